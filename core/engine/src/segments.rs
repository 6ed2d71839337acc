//! Segments: who belongs to them, kept up with each event and with time.
//!
//! ```text
//! event ──▶ which segments read what it changed, for whom ──▶ judge in memory ──▶ one commit: stay + segment.entered / segment.left
//! clock ──▶ whose answer turns by now (a range of an index) ──▶ judge as of that instant ──▶ the same
//! activation ──▶ filling: page by page in SQL, without events ──▶ ready: what was touched meanwhile is judged
//! ```
//! Where a segment stands is a record of the system object `segment`; who is in it are rows of the store. How far the log and time have been
//! followed is in the commits that follow them, so that a crash leaves nobody out: what was not followed is followed at the next start,
//! and who is judged twice is judged the same.
//!
//! Events are judged after their commit, by one task in log order, with each record as it then is; the events that come of it stand on the
//! record's own lane, behind the one that caused them.

mod check;
mod explain;
mod fill;
mod follow;
mod judge;
mod list;
mod manual;
mod outlook;
mod past;
mod set;
mod state;
mod sweep;
mod turns;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rapport_model::{Event, RecordId, SegmentName, Timestamp};
use tokio::sync::Notify;

use crate::engine::Inner;
use crate::error::EngineError;

pub use self::check::Telling;
pub use self::explain::{Explanation, Part};
pub use self::list::{Asked, MembersRequest};
pub use self::manual::Moved;
pub use self::past::AsOf;
pub(crate) use self::set::SegmentSet;
pub(crate) use self::state::{State, problems};

/// How long the keeper rests where nothing tells it to work.
const TICK: Duration = Duration::from_millis(100);
/// How long a tick waits after one that failed.
const TICK_AFTER_FAILURE: Duration = Duration::from_secs(1);
/// Events that wait in memory to be followed; beyond that they are read from the log.
const QUEUED_MAX: usize = 20_000;

/// What is known in memory of segments.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    /// Where each stands, as the last commit left it.
    known: Mutex<Arc<BTreeMap<SegmentName, Arc<State>>>>,
    /// What has happened and was not followed yet.
    queue: Mutex<Queue>,
    /// One step, and one change from outside, at a time.
    turn: tokio::sync::Mutex<Work>,
    /// There may be something to do.
    wake: Notify,
    /// Who is in which did not come along with the records, and nobody judges it here.
    unkept: AtomicBool,
}

/// Events to be followed.
#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<Noted>,
    /// The position up to which every event either was followed, or stands in the queue, or touches nothing.
    noted: i64,
    /// There was no room for all: the log is read from here on.
    overflowed: Option<i64>,
}

/// An event to be followed.
#[derive(Debug, Clone)]
struct Noted {
    event: Arc<Event>,
    /// No automation was to react to it, nor shall any to what follows from it.
    is_quiet: bool,
}

/// When time changes the next answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum NextTurn {
    /// It is to be found out.
    #[default]
    Unknown,
    /// It will not.
    Never,
    /// Then.
    At(Timestamp),
}

impl NextTurn {
    fn known(time: Option<Timestamp>) -> Self {
        time.map_or(Self::Never, Self::At)
    }

    /// The instant, if there is one and it is known.
    const fn time(self) -> Option<Timestamp> {
        match self {
            Self::At(time) => Some(time),
            Self::Unknown | Self::Never => None,
        }
    }

    /// The earlier of both, if it was known.
    fn or_at(self, time: Timestamp) -> Self {
        match self {
            Self::Unknown => Self::Unknown,
            Self::Never => Self::At(time),
            Self::At(next) => Self::At(next.min(time)),
        }
    }
}

/// What the keeper is about, beyond one step.
#[derive(Debug, Default)]
struct Work {
    /// The position up to which events were followed.
    followed: i64,
    /// The instant up to which the passing of time was.
    swept_at: Option<Timestamp>,
    /// Both, as the database has them.
    kept: (i64, Option<Timestamp>),
    /// When the next answer turns.
    next_turn: NextTurn,
    /// A history load is followed.
    in_load: bool,
    /// When restless segments were looked at last.
    rested_at: Option<Timestamp>,
    /// How far the filling of each segment has come.
    fills: BTreeMap<SegmentName, fill::Pages>,
    /// Records that were touched while a segment was filled.
    aside: BTreeMap<SegmentName, BTreeSet<RecordId>>,
}

impl Segments {
    fn queue(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of durable events; `quiet` are the positions of those to which nothing reacts.
    pub(crate) fn note(&self, set: &SegmentSet, events: &[Arc<Event>], quiet: &[i64]) {
        let Some(last) = events.last() else { return };
        let mut queue = self.queue();
        if queue.overflowed.is_none() && !set.is_still() {
            for event in events.iter().filter(|event| set.is_touched_by(event)) {
                let is_quiet = quiet.binary_search(&event.position).is_ok();
                queue.events.push_back(Noted { event: event.clone(), is_quiet });
            }
            if queue.events.len() > QUEUED_MAX {
                queue.overflowed = queue.events.front().map(|noted| noted.event.position - 1);
                queue.events.clear();
            }
        }
        queue.noted = queue.noted.max(last.position);
        let is_open = queue.overflowed.is_some() || !queue.events.is_empty();
        drop(queue);
        if is_open {
            self.wake.notify_one();
        }
    }

    /// Whether there are events that were not followed.
    pub(crate) fn is_open(&self) -> bool {
        let queue = self.queue();
        queue.overflowed.is_some() || !queue.events.is_empty()
    }

    /// From now on it is not known here who is in which.
    pub(crate) fn leave_unkept(&self) {
        self.unkept.store(true, Ordering::Relaxed);
    }

    /// Whether it is known here who is in which: not among records that were copied from another workspace.
    pub(crate) fn are_kept(&self) -> bool {
        !self.unkept.load(Ordering::Relaxed)
    }

    /// Has the keeper look again.
    pub(crate) fn look(&self) {
        self.wake.notify_one();
    }
}

/// What a tick did.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tick {
    /// Records that came or left, and pages filled.
    pub(crate) done: usize,
    /// There is more to do right now.
    pub(crate) more: bool,
    /// When time changes the next answer, if that is known.
    pub(crate) next_at: Option<Timestamp>,
}

impl Inner {
    /// Follows time and the log up to now, and works at one page of what is being filled.
    pub(crate) async fn tick_segments(&self, now: Timestamp) -> Result<Tick, EngineError> {
        let mut work = self.segments.turn.lock().await;
        let set = self.snapshot.load().segments().clone();
        let mut tick = Tick::default();
        if set.is_still() {
            self.pass(&mut work);
        } else {
            // While history is loaded its rows say what time it is.
            if !self.is_loading() {
                tick.done += self.sweep(&mut work, &set, now).await?;
            }
            tick.done += self.follow(&mut work, &set, now).await?;
            tick.next_at = work.next_turn.time();
            self.keep_progress(&mut work, now).await?;
        }
        let filled = self.fill_next(&mut work, &set, now).await?;
        tick.done += usize::from(filled);
        tick.more = filled || self.segments.is_open();
        let scheduled = self.segment_states().values().filter_map(|state| state.next_at).min();
        tick.next_at = [tick.next_at, scheduled].into_iter().flatten().min();
        Ok(tick)
    }

    /// In a history load: follows time up to that of the rows that come next. The first of them says when it begins.
    pub(crate) async fn segments_come_to(&self, time: Timestamp) -> Result<(), EngineError> {
        let set = self.snapshot.load().segments().clone();
        let mut work = self.segments.turn.lock().await;
        if !std::mem::replace(&mut work.in_load, true) {
            (work.swept_at, work.next_turn, work.rested_at) = (Some(time), NextTurn::Unknown, None);
        }
        if !set.is_still() {
            self.sweep(&mut work, &set, time).await?;
        }
        Ok(())
    }

    /// After a history load: from the time of its last row on, time is followed to the present.
    pub(crate) async fn segments_leave_load(&self) {
        let mut work = self.segments.turn.lock().await;
        (work.in_load, work.next_turn) = (false, NextTurn::Unknown);
    }

    /// Keeps who is in which segment as it is until the answer is dropped.
    pub(crate) async fn hold_segments(&self) -> impl Drop + Send + '_ {
        self.segments.turn.lock().await
    }

    /// Where no segment is live, the log goes by.
    fn pass(&self, work: &mut Work) {
        let mut queue = self.segments.queue();
        queue.events.clear();
        queue.overflowed = None;
        work.followed = work.followed.max(queue.noted);
        work.next_turn = NextTurn::Unknown;
    }
}

/// Keeps segments up.
pub(crate) async fn keep(inner: Arc<Inner>) {
    while !inner.is_stopping() {
        // Where a log is played again, who plays it says when.
        let tick = if inner.replay.get().is_some() {
            Ok(Tick::default())
        } else {
            inner.tick_segments(inner.clock.now()).await
        };
        match tick {
            Ok(tick) if tick.more => tokio::task::yield_now().await,
            Ok(_) => {
                if let Err(error) = inner.check_next(inner.clock.now()).await {
                    tracing::warn!("segments could not be checked, trying again: {error}");
                    inner.pause(TICK_AFTER_FAILURE).await;
                }
                tokio::select! {
                    () = inner.segments.wake.notified() => {}
                    () = inner.pause(TICK) => {}
                }
            }
            Err(error) => {
                tracing::warn!("segments could not be kept up, trying again: {error}");
                inner.pause(TICK_AFTER_FAILURE).await;
            }
        }
    }
}
