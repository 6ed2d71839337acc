//! What the watchdog and the metrics look at. Every read is a page, a bounded count or the first row of an index; only a recount
//! walks through indexes as a whole, and never through the rows of runs that are done.

use std::collections::BTreeMap;

use rapport_model::{RunId, RunStatus, Timestamp};

use crate::db::{Cell, DbError, Query, Row};
use crate::error::StoreError;
use crate::head;
use crate::listing::{ListedRun, read_listed};
use crate::snapshot::Snapshot;
use crate::store::Store;

/// The columns of [`crate::log::RUN_COLUMNS`] without the trace, which may be long.
const WATCHED_COLUMNS: &str = "id, automation, digest, position, lane, depth, status, attempt, wake_at, created_at, \
     finished_at, error, null, wake_event, wake_index";
/// What may wake a run that waits. Whoever adds another reason to wait adds its line here.
const WAKE_SOURCES: [&str; 3] = [
    "wake_at is not null",
    "exists (select 1 from awaited where awaited.run = run.id)",
    "exists (select 1 from effect where effect.run = run.id and effect.channel = 'http' and effect.status = 'pending')",
];
/// Served by `run_waiting`, as [`NEXT_WAKE`](crate::Store::next_wake) is.
const OVERDUE: &str = "select count(*) from (select 1 from run where status = 'waiting' and wake_at <= $1 \
     order by wake_at limit 100000) as due";
/// By the primary key; one row for each run, whatever the number of its slices. Those kept beyond the end of their runs are left out.
const JOURNALS: &str = "select j.run, (select r.status from run as r where r.id = j.run) from \
     (select distinct run from journal where run > $1 and not exists (select 1 from journal as kept where kept.run = journal.run \
     and kept.kept_until is not null) order by run limit $2) as j order by j.run";
const WAITS: &str = "select w.run, (select r.status from run as r where r.id = w.run) from \
     (select distinct run from awaited where run > $1 order by run limit $2) as w order by w.run";
/// Served by `run_position` alone.
const COUNT_ALL: &str = "select automation, count(*) from run group by automation order by automation";

/// An open run, and whether anything wakes it if it waits.
#[derive(Debug, Clone, PartialEq)]
pub struct WatchedRun {
    /// The run, without its trace.
    pub run: ListedRun,
    /// Whether an instant or an event wakes it.
    pub has_wake_source: bool,
}

/// What is kept for runs that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// What their calls returned.
    Journals,
    /// What wakes them.
    Waits,
}

/// A number of runs in the head of the log that is not what the table holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountOff {
    /// The automation.
    pub automation: String,
    /// The state.
    pub status: &'static str,
    /// What the head says.
    pub noted: u64,
    /// What the table holds.
    pub counted: u64,
}

impl Store {
    /// How many waiting runs are due at `now` and not woken yet; 100,000 at most.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn overdue_count(&self, now: Timestamp) -> Result<u64, StoreError> {
        let rows = self.shared().pool.fetch(Query::new(OVERDUE, vec![Cell::Int(now.micros())])).await?;
        let count = rows.first().map(|row| row.int(0)).transpose()?.unwrap_or(0);
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// When the event of the first run in the state `status` was committed; not for those that are completed.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn oldest_in(&self, status: RunStatus) -> Result<Option<Timestamp>, StoreError> {
        // As a word of the text, not as a value, so that the partial indexes serve it.
        let text = format!(
            "select created_at from run where status = '{}' order by position, automation limit 1",
            status.as_str()
        );
        let rows = self.shared().pool.fetch(Query::new(&text, Vec::new())).await?;
        Ok(rows.first().map(|row| row.micros(0)).transpose()?)
    }

    /// Runs in the state `status` after the place `after`, in the order of the log, damaged ones included; `limit` at most.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn watched_runs(
        &self,
        status: RunStatus,
        after: (i64, &str),
        limit: u32,
    ) -> Result<Vec<WatchedRun>, StoreError> {
        let text = format!(
            "select {WATCHED_COLUMNS}, cast(case when {} then 1 else 0 end as bigint) from run \
             where status = '{}' and position >= $1 and (position > $1 or automation > $2) \
             order by position, automation limit {limit}",
            WAKE_SOURCES.join(" or "),
            status.as_str()
        );
        let rows = self.shared().pool.fetch(Query::new(&text, vec![Cell::Int(after.0), Cell::text(after.1)])).await?;
        self.shared().settled().await;
        let read = |row: &Row| Ok(WatchedRun { run: read_listed(row), has_wake_source: row.int(15)? != 0 });
        Ok(rows.iter().map(read).collect::<Result<_, DbError>>()?)
    }

    /// The runs after `after` for which something is kept, in the order of their ids, with their states as they stand; `limit` at
    /// most. `None`: there is no such run.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn kept_for(
        &self,
        what: Kept,
        after: RunId,
        limit: u32,
    ) -> Result<Vec<(RunId, Option<String>)>, StoreError> {
        let text = if what == Kept::Journals { JOURNALS } else { WAITS };
        let cells = vec![Cell::Id(after.0), Cell::Int(i64::from(limit))];
        let rows = self.shared().pool.fetch(Query::new(text, cells)).await?;
        Ok(rows.iter().map(|row| Ok((row.run_id(0)?, row.opt_text(1)?))).collect::<Result<_, DbError>>()?)
    }
}

impl Snapshot {
    /// Counts all runs anew, and says which numbers in the head of the log are off.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; [`StoreError::Corrupt`] if the head does not read.
    pub async fn recount(&mut self) -> Result<Vec<CountOff>, StoreError> {
        let noted = head::load(&mut self.conn).await?.run_counts;
        let mut counted: BTreeMap<(String, &'static str), u64> = BTreeMap::new();
        let mut done = self.count(COUNT_ALL).await?;
        for status in RunStatus::ALL.into_iter().filter(|status| *status != RunStatus::Completed) {
            let text = format!(
                "select automation, count(*) from run where status = '{}' group by automation order by automation",
                status.as_str()
            );
            for (automation, count) in self.count(&text).await? {
                let rest = done.entry(automation.clone()).or_default();
                *rest = rest.saturating_sub(count);
                counted.insert((automation, status.as_str()), count);
            }
        }
        let completed = RunStatus::Completed.as_str();
        counted.extend(done.into_iter().map(|(automation, count)| ((automation, completed), count)));
        let mut all: BTreeMap<(String, &'static str), (u64, u64)> = BTreeMap::new();
        for ((automation, status), count) in noted {
            all.entry((automation.to_string(), status)).or_default().0 = count;
        }
        for (key, count) in counted {
            all.entry(key).or_default().1 = count;
        }
        let off = all.into_iter().filter(|(_, (noted, counted))| noted != counted);
        Ok(off
            .map(|((automation, status), (noted, counted))| CountOff { automation, status, noted, counted })
            .collect())
    }

    async fn count(&mut self, text: &str) -> Result<BTreeMap<String, u64>, StoreError> {
        let rows = self.conn.fetch(Query::new(text, Vec::new())).await?;
        let read = |row: &Row| Ok((row.text(0)?, u64::try_from(row.int(1)?).unwrap_or(0)));
        Ok(rows.iter().map(read).collect::<Result<_, DbError>>()?)
    }
}
