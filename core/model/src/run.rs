//! Runs: one execution of one automation for one trigger.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::automation::AutomationId;
use crate::id::{Digest, RecordId, RunId};
use crate::time::Timestamp;

/// The type of the event with which one run starts another. It comes from the core alone.
pub const INVOKED: &str = "run.invoked";
/// The type of the event that tells how a run has ended that another one started. It comes from the core alone.
pub const ENDED: &str = "run.ended";

/// Where a run stands.
///
/// ```text
/// pending ──slice──▶ completed
///    │  ▲               skipped   (a condition that had to look at another record did not hold)
///    ▼  │ due
/// retrying ──tries used up, or `fail`──▶ dead ──retry──▶ pending
///    └──pause──▶ paused ──resume──▶ pending
///
/// pending ──sleep, wait_for, …────▶ waiting ──what it waits for──▶ pending
///    │                           │  ▲
///    │                         pause └─resume: what it waits for may have come meanwhile
///    └──its calls differ from those before it waited──▶ paused
/// ```
/// Whatever has not ended can be cancelled; what was cancelled can be started again. A run that ended for want of an answer to
/// a call waits for that answer again when it is retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// Waits for its turn on its lane.
    Pending,
    /// Failed, and will be tried again at `wake_at`.
    Retrying,
    /// Waits for an instant, an event or people; costs no memory.
    Waiting,
    /// Held back by someone, or since what it called differed from what it had called before it waited; until it is resumed.
    Paused,
    /// Done.
    Completed,
    /// Its condition did not hold when it was looked at.
    Skipped,
    /// Failed for good; kept with its trace until someone retries it.
    Dead,
    /// Someone ended it before it was done.
    Cancelled,
}

impl RunStatus {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Retrying,
        Self::Waiting,
        Self::Paused,
        Self::Completed,
        Self::Skipped,
        Self::Dead,
        Self::Cancelled,
    ];

    /// Its name, as stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Retrying => "retrying",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Skipped => "skipped",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == text)
    }

    /// Whether the engine still has something to do for it.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Retrying | Self::Waiting | Self::Paused)
    }

    /// Whether a run may go from here to `next`. Who is pending again has been woken, resumed or retried by one alone. That a
    /// run waits again which was held back while it waited is left to who resumes it: a slice must not do so.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Pending | Self::Retrying => !matches!(next, Self::Pending),
            Self::Waiting => matches!(next, Self::Pending | Self::Paused | Self::Dead | Self::Cancelled),
            Self::Paused | Self::Dead => matches!(next, Self::Pending | Self::Waiting | Self::Cancelled),
            Self::Cancelled => matches!(next, Self::Pending | Self::Waiting),
            Self::Completed | Self::Skipped => false,
        }
    }

    /// Whether nothing comes of it any more, unless somebody starts it again.
    #[must_use]
    pub const fn has_ended(self) -> bool {
        !self.is_open()
    }
}

/// One execution of one automation for one event.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Its id: see [`run_id`].
    pub id: RunId,
    /// The automation.
    pub automation: AutomationId,
    /// The version it started with.
    pub digest: Digest,
    /// The position of the event that triggered it. Runs are worked off in the order of (position, automation).
    pub position: i64,
    /// The lane it holds while it works.
    pub lane: Option<RecordId>,
    /// How deep in a cause chain its event stands.
    pub depth: u16,
    /// Where it stands.
    pub status: RunStatus,
    /// How often it was tried.
    pub attempt: u16,
    /// When it is tried next, if it is retrying; when it is woken at the latest, if it waits.
    pub wake_at: Option<Timestamp>,
    /// The position of the event that woke it last; none: its time had come.
    pub wake_event: Option<i64>,
    /// Which of the events that it waited for that was, from 0.
    pub wake_index: Option<i64>,
    /// When its event was committed.
    pub created_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Why it failed last: a code, a space and a sentence for people.
    pub error: Option<String>,
    /// What its last slice did, as JSON text.
    pub trace: Option<String>,
}

/// The id of the run of `automation` for the event at `position`, recorded at `recorded_at`.
///
/// It is a function of the trigger (a UUIDv7 whose random part is a hash), so that the primary key itself keeps one event
/// from running one automation twice, and runs still lie in the order of time.
#[must_use]
pub fn run_id(automation: &AutomationId, position: i64, recorded_at: Timestamp) -> RunId {
    let mut hash = Sha256::new();
    hash.update(b"event\0");
    hash.update(position.to_be_bytes());
    hash.update(automation.as_str().as_bytes());
    let hash: [u8; 32] = hash.finalize().into();
    let mut random = [0; 10];
    random.copy_from_slice(&hash[..10]);
    RunId::from_parts(recorded_at.micros(), random)
}

/// The id of the run that the run `parent` starts with its call number `call`.
///
/// It follows from both, so that a call that is made again means the same run.
#[must_use]
pub fn invoked_run_id(parent: RunId, call: u64) -> RunId {
    let mut hash = Sha256::new();
    hash.update(b"invoke\0");
    hash.update(parent.0.as_bytes());
    hash.update(call.to_be_bytes());
    let hash: [u8; 32] = hash.finalize().into();
    let (mut random, mut millis) = ([0; 10], [0; 8]);
    random.copy_from_slice(&hash[..10]);
    millis[2..].copy_from_slice(&parent.0.as_bytes()[..6]);
    RunId::from_parts(i64::from_be_bytes(millis).saturating_mul(1_000), random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_of_a_run_starts_a_run_of_its_own_at_the_time_of_its_parent() {
        let parent = RunId::from_parts(1_700_000_000_123_000, [7; 10]);
        let (first, second) = (invoked_run_id(parent, 1), invoked_run_id(parent, 2));
        assert_eq!(first, invoked_run_id(parent, 1));
        assert_ne!(first, second);
        assert_eq!(first.0.as_bytes()[..6], parent.0.as_bytes()[..6]);
    }
}
