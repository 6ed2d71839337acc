//! The handle on a workspace's data.

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwapOption;
use rapport_model::{
    Actor, AutomationId, Clock, Digest, Event, Name, Record, RecordId, Run, RunId, Schema, Timestamp, Value,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::audit::{self, Anchor, VerifyReport};
use crate::backup::{self, BackupReport};
use crate::commit::{Outcome, Pending, Work};
use crate::config::{Database, StoreConfig};
use crate::db::{Query, Row};
use crate::error::StoreError;
use crate::head::list_counts;
use crate::hooks::Hooks;
use crate::migrate;
use crate::open;
use crate::query::{EventQuery, GroupQuery, RecordQuery, RunCount, RunQuery};
use crate::shared::Shared;
use crate::snapshot::Snapshot;
use crate::stats::StoreStats;
use crate::unit::{Artifact, AutomationRow, Committed, IdempotencyPut, UnitOfWork};

/// The handle on a workspace's data. Clones share everything.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    queue: ArcSwapOption<mpsc::Sender<Work>>,
    task: Mutex<Option<JoinHandle<()>>>,
    /// Where the bytes of files are looked for that are not here.
    lender: OnceLock<Store>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("workspace", &self.workspace())
            .field("head", &self.head())
            .finish_non_exhaustive()
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".into())
}

impl Store {
    pub(crate) fn new(shared: Arc<Shared>, queue: mpsc::Sender<Work>, task: JoinHandle<()>) -> Self {
        let queue = ArcSwapOption::from_pointee(queue);
        Self(Arc::new(Inner { shared, queue, task: Mutex::new(Some(task)), lender: OnceLock::new() }))
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    /// Opens the workspace that `config` names: makes it if it is new, brings its tables up to date, declares the
    /// standard objects.
    ///
    /// # Errors
    /// [`StoreError::Locked`] if another process works on it, [`StoreError::Newer`] if a later program wrote it,
    /// [`StoreError::UnsafeSqlite`], [`StoreError::Unavailable`] if the database cannot be reached.
    pub async fn open(config: StoreConfig, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        open::open(config, clock).await
    }

    /// From now on, `hooks` are asked which automations react, and told what became durable.
    pub fn set_hooks(&self, hooks: Arc<dyn Hooks>) {
        self.0.shared.hooks.store(Arc::new(hooks));
    }

    /// Says whether some record's history is also that of others, which were merged into it: rules that ask of the log look for both then.
    pub fn join_histories(&self, joined: bool) {
        self.0.shared.joined.store(joined, std::sync::atomic::Ordering::Release);
    }

    /// What is declared at present.
    #[must_use]
    pub fn schema(&self) -> Arc<Schema> {
        self.0.shared.schema.load_full()
    }

    /// From now on, bytes of files that are not here are looked for in `lender`: for a workspace that is thrown away and stands on what
    /// another one holds.
    pub fn borrow_blobs(&self, lender: Self) {
        self.0.lender.get_or_init(|| lender);
    }

    pub(crate) fn lender(&self) -> Option<&Self> {
        self.0.lender.get()
    }

    pub(crate) async fn fetch(&self, query: Query) -> Result<Vec<Row>, StoreError> {
        Ok(self.0.shared.pool.fetch(query).await?)
    }

    /// Asks the committer for something beside units.
    pub(crate) async fn ask<T>(
        &self,
        work: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Work,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.send(work(reply)).await?;
        answer.await.map_err(|_| closed())?
    }

    async fn send(&self, work: Work) -> Result<(), StoreError> {
        let queue = self.0.queue.load_full().ok_or_else(closed)?;
        queue.send(work).await.map_err(|_| closed())
    }

    async fn hand_over(&self, unit: UnitOfWork) -> Result<oneshot::Receiver<Outcome>, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.send(Work::Unit(Box::new(Pending { unit, reply }))).await?;
        Ok(answer)
    }

    /// Commits a unit: whole and durable when this returns, or not at all.
    ///
    /// If the caller stops waiting, the unit may still commit.
    ///
    /// # Errors
    /// Whatever of [`StoreError`] stands against it; [`StoreError::Conflict`] means to decide again on fresh data.
    pub async fn commit(&self, unit: UnitOfWork) -> Result<Committed, StoreError> {
        let declares = !unit.schema.is_empty();
        let done = self.hand_over(unit).await?.await.map_err(|_| closed())?;
        if declares && done.is_ok() {
            self.fill_search().await;
        }
        done
    }

    /// Commits independent units, in their order. Each succeeds or fails alone.
    pub async fn commit_all(&self, units: Vec<UnitOfWork>) -> Vec<Result<Committed, StoreError>> {
        let mut answers = Vec::with_capacity(units.len());
        for unit in units {
            answers.push(self.hand_over(unit).await);
        }
        let mut outcomes = Vec::with_capacity(answers.len());
        for answer in answers {
            outcomes.push(match answer {
                Ok(answer) => answer.await.unwrap_or_else(|_| Err(closed())),
                Err(error) => Err(error),
            });
        }
        outcomes
    }

    /// Commits units in one transaction, in their order. Each succeeds or fails alone, and a crash leaves either all that succeed or
    /// none. They change neither the registry nor what is live.
    pub async fn commit_together(&self, units: Vec<UnitOfWork>) -> Vec<Result<Committed, StoreError>> {
        let (group, answers): (Vec<_>, Vec<_>) = units
            .into_iter()
            .map(|unit| {
                let (reply, answer) = oneshot::channel();
                (Pending { unit, reply }, answer)
            })
            .unzip();
        // If it cannot be sent, its answers say so.
        self.send(Work::Together(group)).await.ok();
        let mut outcomes = Vec::with_capacity(answers.len());
        for answer in answers {
            outcomes.push(answer.await.unwrap_or_else(|_| Err(closed())));
        }
        outcomes
    }

    /// The record, from memory or the database.
    ///
    /// # Errors
    /// [`StoreError::UnknownObject`], or that the database cannot be read.
    pub async fn record(&self, object: &Name, id: RecordId) -> Result<Option<Arc<Record>>, StoreError> {
        Ok(self.0.shared.records(object, &[id]).await?.pop().flatten())
    }

    /// The record, if it is in memory.
    #[must_use]
    pub fn cached(&self, object: &Name, id: RecordId) -> Option<Arc<Record>> {
        self.0.shared.cache.get(object, id)
    }

    /// The records with these ids, in their order; `None` for those that are not there.
    ///
    /// # Errors
    /// As for [`Store::record`].
    pub async fn records(&self, object: &Name, ids: &[RecordId]) -> Result<Vec<Option<Arc<Record>>>, StoreError> {
        self.0.shared.records(object, ids).await
    }

    /// The records whose unique `field` has these values, in their order; `None` where there is none.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] if the field is not unique; else as for [`Store::record`].
    pub async fn resolve(
        &self,
        object: &Name,
        field: &Name,
        values: &[Value],
    ) -> Result<Vec<Option<Arc<Record>>>, StoreError> {
        self.0.shared.resolve(object, field, values).await
    }

    /// The records that `query` asks for, in its order.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] if the rule or the cursor does not fit, [`StoreError::Unfit`] for an unknown field to order
    /// by; else as for [`Store::record`].
    pub async fn find(&self, query: &RecordQuery) -> Result<Vec<Arc<Record>>, StoreError> {
        self.0.shared.find(query).await
    }

    /// The greatest id of the records of `object`; ids follow the time at which records are created. None: it has none.
    ///
    /// # Errors
    /// As for [`Store::events`]; [`StoreError::UnknownObject`].
    pub async fn last_id(&self, object: &Name) -> Result<Option<RecordId>, StoreError> {
        self.0.shared.last_id(object).await
    }

    /// How many records `query` means; its order, cursor and limit do not count.
    ///
    /// # Errors
    /// As for [`Store::find`].
    pub async fn count(&self, query: &RecordQuery) -> Result<u64, StoreError> {
        self.0.shared.count(query).await
    }

    /// One row for each group that `query` makes, ordered by what makes the groups: these values, then the measures. Sums are exact.
    ///
    /// # Errors
    /// As for [`Store::find`]; [`StoreError::Invalid`] for a field that cannot be grouped by or measured so, and for a sum that is no
    /// whole number of 64 bits.
    pub async fn groups(&self, query: &GroupQuery) -> Result<Vec<Vec<Value>>, StoreError> {
        self.0.shared.groups(query).await
    }

    /// The events that `query` asks for, in its order.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if a row does not read; [`StoreError::Unavailable`].
    pub async fn events(&self, query: &EventQuery) -> Result<Vec<Arc<Event>>, StoreError> {
        self.0.shared.events(query).await
    }

    /// The event at `position`.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn event(&self, position: i64) -> Result<Option<Arc<Event>>, StoreError> {
        let (after, before) = (Some(position.saturating_sub(1)), Some(position.saturating_add(1)));
        let query = EventQuery { after, before, limit: 1, ..EventQuery::default() };
        Ok(self.events(&query).await?.pop())
    }

    /// The last position that is durable; 0 if the log is empty.
    #[must_use]
    pub fn head(&self) -> i64 {
        *self.0.shared.head.borrow()
    }

    /// Tells when the head moves.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<i64> {
        self.0.shared.head.subscribe()
    }

    /// Tells when the process must stop, and why: the outcome of a commit is unknown, or another process has taken over.
    /// Everything is refused from then on.
    #[must_use]
    pub fn fatal(&self) -> watch::Receiver<Option<String>> {
        self.0.shared.fatal.subscribe()
    }

    /// The run with this id.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn run(&self, id: RunId) -> Result<Option<Run>, StoreError> {
        self.0.shared.run(id).await
    }

    /// The runs that `query` asks for, newest first.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn runs(&self, query: &RunQuery) -> Result<Vec<Run>, StoreError> {
        self.0.shared.runs(query).await
    }

    /// How many runs there are, by automation and state, as of the last commit.
    #[must_use]
    pub fn run_counts(&self) -> Vec<RunCount> {
        list_counts(&self.0.shared.run_counts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Pending runs after (position, automation), in that order; `limit` at most, fewer if rows are damaged.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn open_runs(&self, after: Option<(i64, AutomationId)>, limit: u32) -> Result<Vec<Arc<Run>>, StoreError> {
        self.0.shared.open_runs(after, limit).await
    }

    /// Retrying runs, the next due first.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn retrying_runs(&self, limit: u32) -> Result<Vec<Arc<Run>>, StoreError> {
        self.0.shared.retrying_runs(limit).await
    }

    /// All automations, those out of service included, by id.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn automations(&self) -> Result<Vec<AutomationRow>, StoreError> {
        self.0.shared.automations().await
    }

    /// The content that `digest` names.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if it has been tampered with; [`StoreError::Unavailable`].
    pub async fn artifact(&self, digest: &Digest) -> Result<Option<Artifact>, StoreError> {
        self.0.shared.artifact(digest).await
    }

    /// The answer kept under `key`, unless it has expired at `now`.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn idempotent(
        &self,
        actor: &Actor,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<IdempotencyPut>, StoreError> {
        self.0.shared.idempotent(actor, key, now).await
    }

    /// The workspace as it is at this moment, whatever is written from now on.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the database cannot be reached.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Snapshot::take(&self.0.shared).await
    }

    /// Puts records into a workspace that is thrown away ([`Durability::Process`](crate::Durability)), as they are: versions
    /// and times included, and without events. All or none; those that they refer to must be among them or there.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] in any other workspace; what stands against them.
    pub async fn furnish(&self, records: Vec<Arc<Record>>) -> Result<(), StoreError> {
        self.ask(|reply| Work::Furnish { records, reply }).await
    }

    /// Forgets the answers that have expired at `now`; says how many.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Full`].
    pub async fn purge_expired(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.ask(|reply| Work::Purge { now, reply }).await
    }

    /// Checks the chain after the position `after`, up to where the log stands at the start. `progress` is told the
    /// position reached, now and then.
    ///
    /// # Errors
    /// That the log cannot be read; what does not fit is no error but the report's [`VerifyReport::first_bad`].
    pub async fn verify(&self, after: i64, progress: &(dyn Fn(i64) + Sync)) -> Result<VerifyReport, StoreError> {
        audit::verify(&self.0.shared, after, progress).await
    }

    /// Signs where the log stands with the Ed25519 secret `key`.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn anchor(&self, key: &[u8; 32]) -> Result<Anchor, StoreError> {
        audit::anchor(&self.0.shared, key).await
    }

    /// Checks an anchor: its signature, that it is this workspace's, and that the log still holds the event it names.
    /// Returns what is wrong, if something is.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn check_anchor(&self, anchor: &Anchor) -> Result<Option<String>, StoreError> {
        audit::check_anchor(&self.0.shared, anchor).await
    }

    /// Writes a consistent copy into the folder `to`, which must be empty or missing, while work goes on.
    ///
    /// # Errors
    /// [`StoreError::File`] if the folder is not empty or cannot be written.
    pub async fn backup(&self, to: &Path) -> Result<BackupReport, StoreError> {
        backup::backup(&self.0.shared, to).await
    }

    /// Puts the backup in the folder `from` into `database`, which must be empty or missing, and checks it: the counts of
    /// all tables, and the whole chain.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] if the database is not empty or the backup is another kind's, [`StoreError::Corrupt`] if the
    /// copy does not agree with its manifest.
    pub async fn restore(from: &Path, database: &Database) -> Result<BackupReport, StoreError> {
        backup::restore(from, database).await
    }

    /// Refuses new units, commits those that wait, and closes the database.
    ///
    /// # Errors
    /// [`StoreError::Fatal`] if the committer broke down.
    pub async fn close(self) -> Result<(), StoreError> {
        self.0.queue.store(None);
        let task = self.0.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        match task {
            Some(task) => task.await.map_err(|e| StoreError::Fatal(e.to_string())),
            None => Ok(()),
        }
    }

    /// What the store has counted since it was opened.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        let queued = self.0.queue.load().as_ref().map_or(0, |queue| queue.max_capacity() - queue.capacity());
        self.0.shared.counters.snapshot(queued)
    }

    /// The version of the database's system tables that this program knows.
    #[must_use]
    pub const fn schema_version() -> i64 {
        migrate::VERSION
    }

    /// The random id of the workspace.
    #[must_use]
    pub fn workspace(&self) -> &str {
        &self.0.shared.workspace
    }

    /// The workspace's secret: drawn when it was first opened, kept with its data, in no answer and no log.
    #[must_use]
    pub fn secret(&self) -> &[u8; 32] {
        &self.0.shared.secret
    }
}
