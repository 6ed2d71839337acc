//! What the committer is asked for beside units: to forget answers that have expired, and to put records into a workspace that is
//! thrown away, as they are, which is what a backtest begins with.

use std::collections::HashMap;
use std::sync::Arc;

use rapport_model::{Name, Record, Timestamp};

use super::Committer;
use super::group::Image;
use super::write::{tag_statements, term_statements};
use crate::config::Durability;
use crate::db::{Cell, Query, Statement};
use crate::error::StoreError;
use crate::record_sql;
use crate::rollup_sql;
use crate::rule_sql::Dialect;

/// How long it is known how often a lock was taken.
const LOCK_AGE_MICROS: i64 = 24 * 60 * 60 * 1_000_000;

impl Committer {
    /// Writes records as they are, in one transaction and without events.
    pub(super) async fn furnish(&mut self, records: Vec<Arc<Record>>) -> Result<(), StoreError> {
        if self.shared.config.durability != Durability::Process || self.conn.dialect() != Dialect::Sqlite {
            let why = "records without events are for workspaces that are thrown away";
            return Err(StoreError::Invalid(why.into()));
        }
        let mut by_object: HashMap<Name, Vec<Arc<Record>>> = HashMap::new();
        for record in records {
            by_object.entry(record.object.name.clone()).or_default().push(record);
        }
        let images: Vec<Image> = by_object.values().flatten().map(|record| Image::made(record.clone())).collect();
        let rows =
            by_object.values().filter_map(|all| Some(record_sql::insert(&all.first()?.object, all, Dialect::Sqlite)));
        let mut statements: Vec<Statement> = rows.flatten().collect();
        let schema = self.shared.schema.load_full();
        statements.extend(term_statements(images.iter(), &schema, Dialect::Sqlite));
        statements.extend(tag_statements(images.iter(), Dialect::Sqlite));
        // Nobody looks for duplicates in a workspace that is thrown away: customers have no keys here.
        // What follows from others is made anew from those that are there now.
        statements.extend(rollup_sql::mend_all(self.rollups(&schema).all(), Dialect::Sqlite)?);
        self.conn.transact(statements).await?;
        self.shared.cache.clear();
        Ok(())
    }

    /// Forgets the answers that have expired, the journals of ended runs whose time is up, and how often locks were taken that
    /// nobody has taken for a day. No unit needs them: a key that has expired counts as new, and no slice lasts that long.
    pub(super) async fn purge(&mut self, now: Timestamp) -> Result<u64, StoreError> {
        let text = "delete from idempotency where expires_at <= $1";
        let journals = "delete from journal where run in (select run from journal where kept_until <= $1)";
        self.conn.execute(Query::new(journals, vec![Cell::Int(now.micros())])).await?;
        let old = "delete from named_lock where taken_at <= $1";
        self.conn.execute(Query::new(old, vec![Cell::Int(now.plus_micros(-LOCK_AGE_MICROS).micros())])).await?;
        Ok(self.conn.execute(Query::new(text, vec![Cell::Int(now.micros())])).await?)
    }
}
