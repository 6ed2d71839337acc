//! Makes the keys of customers that were there before their table was.

use rapport_model::match_key;
use rapport_model::{Record, RecordId};

use super::{cells, put};
use crate::commit::{Committer, Work};
use crate::db::{Cell, Query};
use crate::error::StoreError;
use crate::migrate;
use crate::store::Store;

/// The records that one commit goes through.
const ROWS: usize = 200;
/// What says in `meta` how far it has come: the last record that has its keys, or that all have.
const MARK: &str = "match_keys";
const DONE: &str = "done";
const SELECT_MARK: &str = "select value from meta where key = $1";

impl Store {
    /// Makes the first keys that are missing, and goes on with the others while the workspace is in use.
    pub(crate) async fn fill_match_keys(&self) {
        if self.fill_some().await {
            let store = self.clone();
            tokio::spawn(async move { while store.fill_some().await {} });
        }
    }

    /// One page; whether there is more. What fails is tried again when the store is opened; until then it is not found.
    async fn fill_some(&self) -> bool {
        match self.ask(|reply| Work::FillMatchKeys { reply }).await {
            Ok(more) => more,
            Err(error) => {
                tracing::warn!("customers are not all found by what they have in common yet: {error}");
                false
            }
        }
    }

    /// Whether all customers have their keys: those that were there before the table was get them by and by.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn match_keys_filled(&self) -> Result<bool, StoreError> {
        let rows = self.fetch(Query::new(SELECT_MARK, vec![Cell::text(MARK)])).await?;
        Ok(rows.first().map(|row| row.text(0)).transpose()?.as_deref() == Some(DONE))
    }
}

impl Committer {
    /// Makes the keys of some customers; whether there is more to do. A page and how far that is are one transaction.
    pub(crate) async fn fill_match_keys(&mut self) -> Result<bool, StoreError> {
        let mark = migrate::meta(&mut self.conn, MARK).await?;
        if mark.as_deref() == Some(DONE) {
            return Ok(false);
        }
        let after: Option<RecordId> = mark.and_then(|text| text.parse().ok());
        let schema = self.shared.schema.load_full();
        let records: Vec<Record> = match schema.object(match_key::OBJECT) {
            Some(object) => self.records_after(object, after, ROWS).await?,
            None => Vec::new(),
        };
        let rows = records.iter().flat_map(|record| {
            let keys = match_key::keys(record);
            keys.into_iter().flat_map(|key| cells(&key, record.id))
        });
        let last = records.last().filter(|_| records.len() == ROWS).map(|record| record.id.to_string());
        let mut statements = put(rows.collect(), self.conn.dialect());
        statements.push(migrate::put_meta(MARK, last.as_deref().unwrap_or(DONE)).into());
        self.apart(statements).await?;
        Ok(last.is_some())
    }
}
