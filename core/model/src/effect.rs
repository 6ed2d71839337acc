//! Effects: what leaves the database. A row written with the slice that asked for it, carried out after its commit.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use crate::id::{EffectId, RunId};
use crate::time::Timestamp;

/// Where an effect stands.
///
/// ```text
/// pending ──an answer──▶ done
///    │ ▲  └─tries or time used up, or refused for good─▶ dead ──retry──▶ pending
///    │ └──failed: tried again at `next_at`
///    └──its run was cancelled or undone──▶ cancelled
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EffectStatus {
    /// To be carried out at `next_at`.
    Pending,
    /// Answered.
    Done,
    /// Given up; kept until someone retries it.
    Dead,
    /// Called off before it was carried out.
    Cancelled,
}

impl EffectStatus {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Done, Self::Dead, Self::Cancelled];

    /// Its name, as stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == text)
    }
}

/// The channel of HTTP calls, beside those of messages.
pub const HTTP: &str = "http";

/// A message or an HTTP call of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    /// Its key: the same at every attempt. See [`effect_id`].
    pub id: EffectId,
    /// The run.
    pub run: RunId,
    /// The number of the effect in its run: see [`effect_call`].
    pub call: i64,
    /// `http`, or the channel of a message: `email`, `webhook`.
    pub channel: String,
    /// What shares a limit of concurrent attempts and a circuit.
    pub destination: String,
    /// What is to be sent.
    pub request: Json,
    /// Where it stands.
    pub status: EffectStatus,
    /// How often it was tried.
    pub attempt: u16,
    /// When it is tried next.
    pub next_at: Option<Timestamp>,
    /// When it is given up.
    pub deadline_at: Timestamp,
    /// When its slice asked for it.
    pub created_at: Timestamp,
    /// When it was answered or given up.
    pub finished_at: Option<Timestamp>,
    /// What came back.
    pub reply: Option<Json>,
    /// Why it failed last: a code, a space and a sentence for people.
    pub error: Option<String>,
}

/// The number of effect `place` (from 0) of slice `slice` of a run.
#[must_use]
pub fn effect_call(slice: i64, place: usize) -> i64 {
    slice.saturating_mul(1_000).saturating_add(i64::try_from(place).unwrap_or(999))
}

/// The key of effect `call` of a run: a function of both, so that a repeat carries the same key.
#[must_use]
pub fn effect_id(run: RunId, call: i64) -> EffectId {
    let mut hash = Sha256::new();
    hash.update(b"effect\0");
    hash.update(run.0.as_bytes());
    let hash: [u8; 32] = hash.finalize().into();
    let mut random = [0; 10];
    random.copy_from_slice(&hash[..10]);
    // Effects of one run lie in the order of their calls; the time is that of the run's own id.
    random[3..7].copy_from_slice(&u32::try_from(call).unwrap_or(u32::MAX).to_be_bytes());
    let bytes = run.0.as_bytes();
    let millis = bytes[..6].iter().fold(0_i64, |sum, b| (sum << 8) | i64::from(*b));
    EffectId::from_parts(millis.saturating_mul(1_000), random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_follows_from_run_and_call_alone() {
        let run = RunId::from_parts(1_700_000_000_000_000, [7; 10]);
        assert_eq!(effect_id(run, 1), effect_id(run, 1));
        assert_ne!(effect_id(run, 1), effect_id(run, 2));
        assert!(effect_id(run, 1) < effect_id(run, 2) && effect_id(run, 999) < effect_id(run, 1_000));
        assert_eq!(effect_id(run, 1).0.as_bytes()[..6], run.0.as_bytes()[..6]);
    }

    #[test]
    fn effects_of_different_slices_have_different_numbers() {
        assert_eq!((effect_call(0, 2), effect_call(3, 0)), (2, 3_000));
    }
}
