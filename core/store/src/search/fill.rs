//! Makes the words of a field findable that has become searchable while there were records.

use std::fmt::Write as _;
use std::sync::Arc;

use rapport_model::{Name, ObjectDef, Record, RecordId};

use super::{put_terms, terms};
use crate::commit::{Committer, Work};
use crate::db::{Cell, DbError, Kind, Query, Statement};
use crate::error::StoreError;
use crate::record_sql;
use crate::rule_sql::Dialect;
use crate::store::Store;

/// The records that one commit goes through.
const ROWS: usize = 200;
const NEXT: &str = "select object, field, after from search_fill order by object, field limit 1";
const MOVE: &str = "update search_fill set after = $3 where object = $1 and field = $2";
const DONE: &str = "delete from search_fill where object = $1 and field = $2";

impl Store {
    /// Goes on until all that is to be findable is. What fails is tried again when the store is opened; until then it is not found.
    pub(crate) async fn fill_search(&self) {
        loop {
            match self.ask(|reply| Work::FillSearch { reply }).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!("the words of a field are not all findable yet: {error}");
                    return;
                }
            }
        }
    }
}

impl Committer {
    /// Makes the words of some records findable; whether there is more to do.
    pub(crate) async fn fill_search(&mut self) -> Result<bool, StoreError> {
        let rows = self.conn.fetch(Query::new(NEXT, Vec::new())).await?;
        let Some(row) = rows.first() else { return Ok(false) };
        let (object, field, after) = (row.text(0)?, row.text(1)?, row.opt_uuid(2)?.map(RecordId));
        let key = vec![Cell::text(&object), Cell::text(&field)];
        let schema = self.shared.schema.load_full();
        let place = schema.object(&object).and_then(|def| Some((def.clone(), def.position(&field)?)));
        let Some((def, place)) = place else {
            self.conn.execute(Query::new(DONE, key)).await?;
            return Ok(true);
        };
        let records = self.records_after(&def, after, ROWS).await?;
        let dialect = self.conn.dialect();
        let name = &def.fields[place].name;
        let mut statements = put_terms(records.iter().flat_map(|r| cells_of(r, place, name)).collect(), dialect);
        statements.push(match records.last().filter(|_| records.len() == ROWS) {
            Some(last) => Query::new(MOVE, [key, vec![Cell::id(last.id)]].concat()).into(),
            None => Query::new(DONE, key).into(),
        });
        self.apart(statements).await?;
        Ok(true)
    }

    /// The records of an object behind `after`, `limit` at most, by id.
    pub(crate) async fn records_after(
        &mut self,
        object: &Arc<ObjectDef>,
        after: Option<RecordId>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let mut text = record_sql::select(object);
        let cells: Vec<Cell> = after.into_iter().map(Cell::id).collect();
        text.push_str(if cells.is_empty() { "" } else { " where t.\"id\" > $1" });
        write!(text, " order by t.\"id\" limit {limit}").expect("a text takes any text");
        let mut records = Vec::new();
        for row in self.conn.fetch(Query::new(&text, cells)).await? {
            records.push(record_sql::read(&row, object)?);
        }
        Ok(records)
    }

    /// Runs statements as a transaction of their own.
    pub(crate) async fn apart(&mut self, statements: Vec<Statement>) -> Result<(), DbError> {
        if self.conn.dialect() == Dialect::Sqlite {
            return self.conn.transact(statements).await;
        }
        self.conn.raw("begin").await?;
        for statement in statements {
            if let Err(error) = self.conn.execute(statement).await {
                // The first error says more than a failed rollback would.
                self.conn.raw("rollback").await.ok();
                return Err(error);
            }
        }
        self.conn.raw("commit").await
    }
}

/// The rows of a field of a record.
fn cells_of(record: &Record, place: usize, field: &Name) -> Vec<Cell> {
    let (counts, length) = terms(record.at(place).as_text());
    let object: Arc<str> = record.object.name.as_str().into();
    let row = |(term, count): (String, i64)| {
        [
            Cell::Text(object.clone()),
            Cell::Owned(term),
            Cell::text(field.as_str()),
            Cell::id(record.id),
            Cell::Int(count),
            Cell::Int(length),
        ]
    };
    counts.into_iter().flat_map(row).collect()
}

/// What [`cells_of`] gives is what [`put_terms`] takes.
const _: () = assert!(super::PUT_KINDS.len() == 6 && matches!(super::PUT_KINDS[5], Kind::Int));
