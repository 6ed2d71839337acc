//! Lists of runs for people: a row that does not read is shown as damaged, and hides no other.

use rapport_model::{Run, RunId};

use crate::db::{Cell, DbError, Query, Row};
use crate::error::StoreError;
use crate::log::{Conditions, RUN_COLUMNS, read_run, run_conditions};
use crate::query::RunQuery;
use crate::store::Store;

/// A row of a list of runs.
#[derive(Debug, Clone, PartialEq)]
pub enum ListedRun {
    /// One that reads.
    Sound(Box<Run>),
    /// One that does not.
    Damaged(DamagedRun),
}

/// What can be told of a run whose row does not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedRun {
    /// Its id, if that reads.
    pub id: Option<RunId>,
    /// Its automation, as it stands there.
    pub automation: String,
    /// The position of its event.
    pub position: i64,
    /// Its state, as it stands there.
    pub status: String,
    /// What does not read.
    pub why: String,
}

impl ListedRun {
    /// Its place in the order of runs.
    #[must_use]
    pub fn place(&self) -> (i64, &str) {
        match self {
            Self::Sound(run) => (run.position, run.automation.as_str()),
            Self::Damaged(run) => (run.position, &run.automation),
        }
    }
}

/// Reads a row of [`RUN_COLUMNS`], or says what does not read.
pub(crate) fn read_listed(row: &Row) -> ListedRun {
    match read_run(row) {
        Ok(run) => ListedRun::Sound(Box::new(run)),
        Err(error) => ListedRun::Damaged(DamagedRun {
            id: row.run_id(0).ok(),
            automation: row.text(1).unwrap_or_default(),
            position: row.int(3).unwrap_or_default(),
            status: row.text(6).unwrap_or_default(),
            why: match error {
                DbError::Other(why) => why,
                other => other.to_string(),
            },
        }),
    }
}

impl Store {
    /// The runs that `query` asks for, newest first, before the place `before` (its own [`RunQuery::before`] does not count). Rows
    /// that do not read are among them.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn list_runs(&self, query: &RunQuery, before: Option<(i64, &str)>) -> Result<Vec<ListedRun>, StoreError> {
        let mut conditions = run_conditions(&RunQuery { before: None, ..query.clone() });
        if let Some((position, automation)) = before {
            conditions.add("position <= ?", Cell::Int(position));
            conditions.cells.push(Cell::text(automation));
            let place = conditions.cells.len();
            conditions.add(&format!("(position < ? or automation < ${place})"), Cell::Int(position));
        }
        let Conditions { text, cells } = conditions;
        let rest = format!("{text} order by position desc, automation desc limit {}", query.limit);
        self.listed(&rest, cells).await
    }

    /// The run with this id, though it may be damaged.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn listed_run(&self, id: RunId) -> Result<Option<ListedRun>, StoreError> {
        Ok(self.listed(" where id = $1", vec![Cell::Id(id.0)]).await?.pop())
    }

    async fn listed(&self, rest: &str, cells: Vec<Cell>) -> Result<Vec<ListedRun>, StoreError> {
        let text = format!("select {RUN_COLUMNS} from run{rest}");
        let rows = self.shared().pool.fetch(Query::new(&text, cells)).await?;
        self.shared().settled().await;
        Ok(rows.iter().map(read_listed).collect())
    }
}
