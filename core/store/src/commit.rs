//! The committer: the one task through which every change of state goes.
//!
//! It takes whatever waits in its queue, up to a cap, and commits it as one physical transaction; what arrives meanwhile is
//! the next group. So one caller alone waits for one transaction, and a thousand callers share few. Only what runs commit may
//! wait a moment for company, while callers come and go (see [`company`]). The queue is bounded: who is faster than the disk
//! waits for room.
//!
//! ```text
//! queue ─▶ gather ─▶ load images ─▶ apply units in memory ─▶ write ─▶ commit ─▶ cache ─▶ hooks ─▶ answers
//!                        ▲                                     │ a constraint objects
//!                        └──── look up all that was assumed ◀──┘ (rolled back)
//! ```
//!
//! On PostgreSQL the committer's session holds the workspace's advisory lock, so that one process writes at a time, and a group
//! is one statement, which fails unless the head row ([`crate::head`]) is where this process left it; what is not a matter of
//! rows alone is a transaction that locks the head first. If the head has moved, another process has written in between, and
//! everything in memory is forgotten before the group is decided.

mod aside;
mod checkpoint;
mod company;
mod facts;
mod group;
mod load;
mod postgres;
mod rollups;
mod solo;
mod write;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rapport_model::rollup::Kept;
use rapport_model::{Event, Record, Run, RunId, RunStatus, Schema, Timestamp};
use tokio::sync::{mpsc, oneshot};

pub(crate) use facts::{idempotent_query, read_idempotent};
pub(crate) use postgres::lock_workspace;

use self::company::{Company, group_size};
use self::facts::{Assumed, Facts};
use self::group::{Ground, Group, Image, KnownRun};
use self::rollups::Asked;
use self::solo::Extra;
use self::write::Order;
pub(crate) use self::write::WAIT_PLACES;
use crate::config::Durability;
use crate::crash::crash_point;
use crate::db::{Conn, DbError};
use crate::error::StoreError;
use crate::head::Head;
use crate::open::FileLock;
use crate::rule_sql::Dialect;
use crate::seal::Salts;
use crate::segments::{Fill, Filled};
use crate::shared::Shared;
use crate::stats::add;
use crate::unit::{Committed, UnitOfWork};

/// What came of one unit.
pub(crate) type Outcome = Result<Committed, StoreError>;

/// A unit that waits, and who waits for it.
pub(crate) struct Pending {
    pub(crate) unit: UnitOfWork,
    pub(crate) reply: oneshot::Sender<Outcome>,
}

/// What the committer is asked for.
pub(crate) enum Work {
    Unit(Box<Pending>),
    /// Units that one transaction carries, and nothing else.
    Together(Vec<Pending>),
    /// To put records into a workspace as they are.
    Furnish {
        records: Vec<Arc<Record>>,
        reply: oneshot::Sender<Result<(), StoreError>>,
    },
    /// To clear away bytes that no file has had since `before`.
    SweepBlobs {
        now: Timestamp,
        before: Timestamp,
        reply: oneshot::Sender<Result<u64, StoreError>>,
    },
    /// To go on with making the words of a field findable; whether there is more to do.
    FillSearch {
        reply: oneshot::Sender<Result<bool, StoreError>>,
    },
    /// To go on with making the keys of customers; whether there is more to do.
    FillMatchKeys {
        reply: oneshot::Sender<Result<bool, StoreError>>,
    },
    /// To make roll-ups what their children say; how many records that changed, for each.
    Mend {
        which: Vec<Arc<Kept>>,
        reply: oneshot::Sender<Result<Vec<u64>, StoreError>>,
    },
    /// To bring a page of a segment to what its rule says.
    FillSegment {
        fill: Fill,
        reply: oneshot::Sender<Result<Filled, StoreError>>,
    },
    /// To make indexes, by texts of the store's own.
    Index {
        texts: Vec<String>,
        reply: oneshot::Sender<Result<(), StoreError>>,
    },
    /// To forget the answers that have expired.
    Purge {
        now: Timestamp,
        reply: oneshot::Sender<Result<u64, StoreError>>,
    },
}

/// How often a group is looked at anew after a constraint objected, before it is cut in two.
const CAREFUL_TRIES: usize = 3;
/// How often a group asks for what roll-ups do not tell: once for each level of roll-ups over roll-ups.
const ASKS: usize = 8;
/// How often a group waits for somebody else's lock, and for how long at first.
const BUSY_TRIES: u32 = 6;
const BUSY_WAIT: Duration = Duration::from_millis(50);
/// How many open runs are kept in memory; of others the state is asked for.
const KNOWN_RUNS_MAX: usize = 50_000;

/// The committer.
pub(crate) struct Committer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) conn: Conn,
    /// A transaction is open on PostgreSQL.
    pub(crate) open: bool,
    pub(crate) head: Head,
    pub(crate) known_runs: HashMap<RunId, KnownRun>,
    pub(crate) salts: Salts,
    /// The count of transactions at which the write-ahead log is looked at next.
    pub(crate) checkpoint_at: u64,
    /// Keeps other processes out until everything is closed.
    pub(crate) lock: FileLock,
}

/// A group that is durable.
struct Done {
    outcomes: Vec<Outcome>,
    events: Vec<Arc<Event>>,
    runs: Vec<Arc<Run>>,
    quiet: Vec<i64>,
}

impl Done {
    /// Nothing has become durable.
    const fn nothing(outcomes: Vec<Outcome>) -> Self {
        Self { outcomes, events: Vec::new(), runs: Vec::new(), quiet: Vec::new() }
    }
}

impl Committer {
    /// Works until the queue is closed and empty.
    pub(crate) async fn run(mut self, mut queue: mpsc::Receiver<Work>) {
        let cap = self.shared.config.group_units_max.max(1);
        let mut waiting: Vec<Work> = Vec::with_capacity(cap);
        let mut company = Company::default();
        self.limit_lock_waits().await;
        while queue.recv_many(&mut waiting, cap).await > 0 {
            Company::gather(&mut waiting, &mut queue, cap).await;
            // Without a sync to disk there is nothing that units could share by waiting.
            if self.shared.config.durability == Durability::Machine {
                company.wait(&mut waiting, &mut queue, cap).await;
            }
            let mut units = Vec::with_capacity(waiting.len());
            for work in waiting.drain(..) {
                match work {
                    Work::Unit(pending) => units.push(*pending),
                    Work::Together(group) => self.commit(group).await,
                    Work::Furnish { records, reply } => drop(reply.send(self.furnish(records).await)),
                    Work::SweepBlobs { now, before, reply } => {
                        drop(reply.send(self.sweep_blobs(now, before).await));
                    }
                    Work::FillSearch { reply } => drop(reply.send(self.fill_search().await)),
                    Work::FillMatchKeys { reply } => drop(reply.send(self.fill_match_keys().await)),
                    Work::Mend { which, reply } => drop(reply.send(self.mend(which).await)),
                    Work::FillSegment { fill, reply } => drop(reply.send(self.fill_segment(fill).await)),
                    Work::Index { texts, reply } => drop(reply.send(self.index(texts).await)),
                    Work::Purge { now, reply } => drop(reply.send(self.purge(now).await)),
                }
            }
            while !units.is_empty() {
                let rest = units.split_off(group_size(&units));
                let group = std::mem::replace(&mut units, rest);
                self.commit(group).await;
            }
            company.answered();
            self.checkpoint_if_due().await;
        }
        self.finish().await;
    }

    async fn commit(&mut self, group: Vec<Pending>) {
        let (units, replies): (Vec<_>, Vec<_>) = group.into_iter().map(|p| (p.unit, p.reply)).unzip();
        crash_point("commit.taken");
        let outcomes = self.decide(&units).await;
        crash_point("commit.published");
        for (reply, outcome) in replies.into_iter().zip(outcomes) {
            let counters = &self.shared.counters;
            add(if outcome.is_ok() { &counters.units } else { &counters.refused }, 1);
            // Who no longer waits for the answer has its change all the same.
            reply.send(outcome).ok();
        }
    }

    /// Commits `units`, or says for each why not.
    async fn decide(&mut self, units: &[UnitOfWork]) -> Vec<Outcome> {
        if let Some(why) = self.shared.fatal.borrow().clone() {
            return refuse_all(units, &StoreError::Fatal(why));
        }
        match self.attempt(units).await {
            Ok(done) => {
                self.shared.publish(&self.head, (&done.events, &done.quiet), &done.runs);
                done.outcomes
            }
            Err(error) => refuse_all(units, &self.broken(error).await),
        }
    }

    /// What callers are told if a group failed as a whole.
    async fn broken(&mut self, error: StoreError) -> StoreError {
        match error {
            StoreError::Full => StoreError::Full,
            StoreError::Unavailable(why) if self.conn.dialect() == Dialect::Postgres => {
                self.reconnect_if_gone().await;
                StoreError::Unavailable(why)
            }
            // SQLite is here or it is broken.
            StoreError::Unavailable(why) => {
                self.shared.stop(&why);
                StoreError::Fatal(why)
            }
            StoreError::Corrupt { what, why } if self.conn.dialect() == Dialect::Sqlite && what == "the database" => {
                self.shared.stop(&why);
                StoreError::Fatal(why)
            }
            other => other,
        }
    }

    /// Tries to commit `units`: on the assumption that no constraint objects, then on facts, then in halves.
    async fn attempt(&mut self, units: &[UnitOfWork]) -> Result<Done, StoreError> {
        let mut facts = Facts::default();
        let mut order = Order::Plain;
        let (mut objections, mut waits, mut asks) = (0, 0, 0);
        loop {
            let failure = match self.try_once(units, &mut facts, order).await {
                Ok(done) => return Ok(done),
                Err(failure) => failure,
            };
            // Whatever the transaction on PostgreSQL has done so far is taken back; a broken connection has done so already.
            self.roll_back().await.ok();
            match failure {
                Failure::Objected(assumed) if objections < CAREFUL_TRIES => {
                    (order, objections) = (Order::Careful, objections + 1);
                    add(&self.shared.counters.careful_groups, 1);
                    // What a unit declares itself has no rows to look up yet.
                    let schema = self.shared.schema.load_full();
                    facts.find_out(&mut self.conn, &schema, assumed.map(|a| *a).unwrap_or_default()).await?;
                }
                Failure::Unknown(asked) if asks < ASKS => {
                    asks += 1;
                    let rollups = self.rollups(&self.shared.schema.load_full());
                    facts.rollups.find_out(&mut self.conn, &rollups, *asked).await?;
                }
                Failure::Objected(_) | Failure::Unknown(_) => return self.in_halves(units).await,
                Failure::Busy(_) if waits < BUSY_TRIES => {
                    waits += 1;
                    tokio::time::sleep(BUSY_WAIT * waits).await;
                }
                Failure::Moved if waits < BUSY_TRIES => {
                    waits += 1;
                    self.take_up().await?;
                }
                Failure::Moved => return Err(StoreError::Unavailable("another process writes here too".into())),
                Failure::Busy(why) => {
                    let outcomes = refuse_all(units, &StoreError::Unavailable(why));
                    return Ok(Done::nothing(outcomes));
                }
                Failure::Store(error) => return Err(error),
            }
        }
    }

    /// Cuts a group to which the database objects for a reason that the facts do not explain.
    async fn in_halves(&mut self, units: &[UnitOfWork]) -> Result<Done, StoreError> {
        if units.len() == 1 {
            let why = "a constraint of the database objects for no reason that the store knows".to_owned();
            return Err(StoreError::Corrupt { what: "a record's table".into(), why });
        }
        let (left, right) = units.split_at(units.len() / 2);
        let mut done = Done::nothing(Vec::new());
        for half in [left, right] {
            match Box::pin(self.attempt(half)).await {
                Ok(part) => {
                    done.outcomes.extend(part.outcomes);
                    done.events.extend(part.events);
                    done.runs.extend(part.runs);
                    done.quiet.extend(part.quiet);
                }
                Err(error) => done.outcomes.extend(refuse_all(half, &error)),
            }
        }
        Ok(done)
    }
}

/// Why a try of a group came to nothing.
enum Failure {
    /// A constraint objected, perhaps to what the group assumed.
    Objected(Option<Box<Assumed>>),
    /// What is kept does not tell all that follows from it.
    Unknown(Box<Asked>),
    /// Somebody else holds a lock.
    Busy(String),
    /// Another process has moved the head.
    Moved,
    Store(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<DbError> for Failure {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Constraint(_) => Self::Objected(None),
            DbError::Busy(why) => Self::Busy(why),
            DbError::Moved => Self::Moved,
            other => Self::Store(other.into()),
        }
    }
}

fn refuse_all(units: &[UnitOfWork], error: &StoreError) -> Vec<Outcome> {
    units.iter().map(|_| Err(error.clone())).collect()
}

impl Committer {
    /// One try. After a failure nothing was changed; on PostgreSQL the transaction may still be open.
    async fn try_once(&mut self, units: &[UnitOfWork], facts: &mut Facts, order: Order) -> Result<Done, Failure> {
        let hooks = self.shared.hooks.load_full();
        let extra = self.begin(units, order).await?;
        let schema = extra.as_ref().map_or_else(|| self.shared.schema.load_full(), |extra| extra.schema.clone());
        // Those that a unit declares itself are filled once it is written.
        let rollups = self.rollups(&self.shared.schema.load_full());
        facts.rollups.as_of(self.head.commits);
        let facts = &*facts;
        let mut loaded = self.load(units, facts).await?;
        self.load_parents(units, &rollups, &facts.rollups.strangers, &mut loaded).await?;
        if extra.is_some() {
            loaded.adopt(&schema);
        }
        let recorded_at = self.shared.clock.now();
        let ground = Ground { schema: &schema, rollups: &rollups, hooks: &**hooks, facts, recorded_at };
        let mut group = Group::new(ground, &mut self.salts, self.head.clone(), units.len());
        (group.images, group.known_runs, group.unsure) = (loaded.images, loaded.runs, loaded.unsure);
        group.locks = loaded.locks;
        let core = extra.as_ref().map_or(&[][..], |extra| &extra.events);
        let outcomes: Vec<Outcome> = units.iter().map(|unit| group.apply(unit, core)).collect();
        group.count_new_runs();
        group.head.commits += 1;
        if let Some(asked) = group.open_questions() {
            return Err(Failure::Unknown(Box::new(asked)));
        }
        let unproven = group.unproven();
        if !unproven.is_empty() {
            return Err(Failure::Objected(Some(Box::new(unproven))));
        }
        let idle = extra.as_ref().is_none_or(|extra| extra.statements.is_empty()) && group.changes_nothing();
        let refused = extra.is_some() && outcomes.iter().any(Result::is_err);
        if idle || refused {
            self.roll_back().await?;
            return Ok(Done::nothing(outcomes));
        }
        let mut statements = extra.as_ref().map(|extra| extra.statements.clone()).unwrap_or_default();
        statements.extend(write::statements(&group, &schema, order, self.conn.dialect()));
        let fills = extra.as_ref().map(|extra| extra.last.clone()).unwrap_or_default();
        let filled = !fills.is_empty();
        statements.extend(fills);
        let assumed = std::mem::take(&mut group.assumed);
        let parts = Parts::of(group);
        crash_point("commit.decided");
        let shared = self.shared.clone();
        let _turn = shared.turn.write().await;
        match self.write(statements, &parts.head).await {
            Ok(()) => {
                crash_point("commit.durable");
                if extra.is_some() {
                    self.adopt(&schema).await;
                }
                let done = self.make_visible(parts, outcomes);
                if filled {
                    self.shared.cache.clear();
                }
                Ok(done)
            }
            Err(Failure::Objected(_)) => Err(Failure::Objected(Some(Box::new(assumed)))),
            Err(other) => Err(other),
        }
    }

    /// Plans what changes the registry or what is live. For that, and for a careful order, PostgreSQL needs an open transaction.
    async fn begin(&mut self, units: &[UnitOfWork], order: Order) -> Result<Option<Extra>, Failure> {
        let alone = match units {
            [unit] if !unit.schema.is_empty() || !unit.automations.is_empty() => Some(unit),
            _ => None,
        };
        if self.conn.dialect() == Dialect::Postgres && (alone.is_some() || order == Order::Careful) {
            self.lock_head().await?;
        }
        let Some(unit) = alone else { return Ok(None) };
        let schema = self.shared.schema.load_full();
        Ok(Some(solo::plan(&mut self.conn, &schema, self.shared.clock.now(), unit).await?))
    }

    async fn roll_back(&mut self) -> Result<(), DbError> {
        if std::mem::take(&mut self.open) { self.conn.raw("rollback").await } else { Ok(()) }
    }

    async fn write(&mut self, mut statements: Vec<crate::db::Statement>, head: &Head) -> Result<(), Failure> {
        let dialect = self.conn.dialect();
        if dialect == Dialect::Postgres && !self.open {
            return Ok(self.commit_at_once(statements, head).await?);
        }
        statements.push(write::move_head(head, dialect));
        let done = match dialect {
            Dialect::Sqlite => self.conn.transact(statements).await,
            Dialect::Postgres => self.commit_postgres(statements, head).await,
        };
        Ok(done?)
    }

    /// Brings memory up to the commit: head, cache, known runs.
    fn make_visible(&mut self, parts: Parts, outcomes: Vec<Outcome>) -> Done {
        let changed = parts.images.iter().filter(|(_, image)| match (&image.before, &image.now) {
            (None, None) => false,
            (Some(before), Some(now)) => !Arc::ptr_eq(before, now),
            _ => true,
        });
        self.shared.cache.commit(changed.map(|((_, id), image)| (*id, image.now.as_ref())));
        for (id, run) in parts.known_runs {
            // One that waits costs no memory.
            let works = matches!(run.status, RunStatus::Pending | RunStatus::Retrying);
            if works && self.known_runs.len() < KNOWN_RUNS_MAX {
                self.known_runs.insert(id, run);
            } else {
                self.known_runs.remove(&id);
            }
        }
        for run in &parts.runs {
            if self.known_runs.len() < KNOWN_RUNS_MAX {
                let known = KnownRun { automation: run.automation.clone(), digest: run.digest, status: run.status };
                self.known_runs.insert(run.id, known);
            }
        }
        self.head = parts.head;
        add(&self.shared.counters.transactions, 1);
        add(&self.shared.counters.events, parts.events.len());
        Done { outcomes, events: parts.events, runs: parts.runs, quiet: parts.quiet }
    }

    /// Takes up a registry that is now durable.
    async fn adopt(&mut self, schema: &Arc<Schema>) {
        if self.shared.schema.load().epoch != schema.epoch {
            self.shared.schema.store(schema.clone());
            self.shared.cache.clear();
            // A connection that cannot even do this is broken, which the next group will find out.
            self.conn.forget_statements().await.ok();
        }
    }
}

/// What is left of a group once its statements are made.
struct Parts {
    head: Head,
    images: HashMap<facts::Key, Image>,
    known_runs: HashMap<RunId, KnownRun>,
    events: Vec<Arc<Event>>,
    runs: Vec<Arc<Run>>,
    quiet: Vec<i64>,
}

impl Parts {
    fn of(group: Group<'_>) -> Self {
        let Group { head, images, known_runs, events, runs, quiet, .. } = group;
        let events = events.into_iter().map(|sealed| sealed.event).collect();
        Self { head, images, known_runs, events, runs, quiet }
    }
}
