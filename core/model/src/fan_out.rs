//! Fan-outs: one run per record that satisfies a rule, at an instant of a schedule; how many at a time, and how fast.
//!
//! Pure: which records of a page belong to a batch, and when the next batch may come, are functions of their arguments.

use serde::{Deserialize, Serialize};

use crate::id::RecordId;
use crate::limits::FAN_OUT_BATCH_RUNS_MAX;
use crate::name::Name;
use crate::time::Timestamp;

/// The type of the event that says that an instant has come for one record. It comes from the core alone.
pub const EACH: &str = "schedule.each";
/// The system object that keeps how far each fan-out has come.
pub const OBJECT: &str = "fan_out";
/// How many batches make up a minute's runs where there are that many: few enough to cost little, many enough to be smooth.
const BATCHES_PER_MINUTE: u32 = 120;
const MINUTE_MICROS: i64 = 60 * 1_000_000;

/// What an automation declares about the records that it goes through at each instant of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Each {
    /// The object.
    pub object: Name,
    /// Only records for which this holds; none: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The most runs that it starts in a minute; none: as many as there is room for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_minute: Option<u32>,
}

/// How many runs are started at a time, and how long it is from one time to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The most runs of one batch.
    pub batch_runs: u32,
    /// The least time from one batch to the next.
    pub gap_micros: i64,
}

impl Pace {
    /// The pace of at most `per_minute` runs in any minute.
    ///
    /// A whole number of batches makes up a minute, so that no minute, wherever it begins, holds one run too many. What a
    /// late batch leaves out is not made up for.
    #[must_use]
    pub fn of(per_minute: Option<u32>) -> Self {
        let Some(per_minute) = per_minute.map(|n| n.max(1)) else {
            return Self { batch_runs: FAN_OUT_BATCH_RUNS_MAX, gap_micros: 0 };
        };
        let batch_runs = (per_minute / BATCHES_PER_MINUTE).clamp(1, FAN_OUT_BATCH_RUNS_MAX);
        let batches = i64::from(per_minute / batch_runs);
        Self { batch_runs, gap_micros: (MINUTE_MICROS + batches - 1) / batches }
    }

    /// Whether a batch may come at `now`, where `next_at` was said to be the next time.
    ///
    /// A time that lies further ahead than the gap was set by a clock that has been put back since: it binds nobody.
    #[must_use]
    pub fn is_due(&self, next_at: Option<Timestamp>, now: Timestamp) -> bool {
        next_at.is_none_or(|next| next <= now || next > now.plus_micros(self.gap_micros))
    }

    /// When the next batch may come after one at `now`.
    #[must_use]
    pub fn next_at(&self, now: Timestamp) -> Timestamp {
        now.plus_micros(self.gap_micros)
    }
}

/// How many of a page of `wanted` ids, in order, belong to a fan-out that ends with `last`, and whether none come after them.
///
/// Records that are created while it is worked on have later ids, so that it ends, however many come.
#[must_use]
pub fn within(page: &[RecordId], wanted: usize, last: RecordId) -> (usize, bool) {
    let count = page.partition_point(|id| *id <= last);
    let ends = count < page.len() || page.len() < wanted || page.last() == Some(&last);
    (count, ends)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(n: u128) -> RecordId {
        RecordId(uuid::Uuid::from_u128(n))
    }

    #[test]
    fn without_a_rate_batches_follow_at_once() {
        assert_eq!(Pace::of(None), Pace { batch_runs: FAN_OUT_BATCH_RUNS_MAX, gap_micros: 0 });
        assert!(Pace::of(None).is_due(Some(Timestamp::from_micros(5)), Timestamp::from_micros(5)));
    }

    #[test]
    fn a_rate_is_cut_into_even_batches() {
        assert_eq!(Pace::of(Some(600)), Pace { batch_runs: 5, gap_micros: 500_000 });
        assert_eq!(Pace::of(Some(1)), Pace { batch_runs: 1, gap_micros: 60_000_000 });
        assert_eq!(Pace::of(Some(7)), Pace { batch_runs: 1, gap_micros: 8_571_429 });
    }

    #[test]
    fn a_clock_that_was_put_back_holds_nothing_up() {
        let (pace, hour) = (Pace::of(Some(60)), 3_600_000_000);
        let next = pace.next_at(Timestamp::from_micros(hour));
        assert!(!pace.is_due(Some(next), Timestamp::from_micros(hour)));
        assert!(pace.is_due(Some(next), Timestamp::from_micros(0)));
    }

    proptest! {
        #[test]
        fn no_minute_has_one_run_too_many(per_minute in 1_u32..2_000_000, late in proptest::collection::vec(0_i64..3_000_000, 1..300)) {
            let pace = Pace::of(Some(per_minute));
            let mut now = 0;
            let mut batches = Vec::new();
            for wait in late {
                batches.push(now);
                now = pace.next_at(Timestamp::from_micros(now)).micros() + wait;
            }
            for (i, first) in batches.iter().enumerate() {
                let inside = batches[i..].iter().take_while(|at| **at < first + MINUTE_MICROS).count();
                prop_assert!(inside as u64 * u64::from(pace.batch_runs) <= u64::from(per_minute));
            }
        }

        #[test]
        fn pages_give_every_record_up_to_the_last_once(
            ids in proptest::collection::btree_set(0_u128..500, 0..200),
            last in 0_u128..500,
            wanted in 1_usize..40,
        ) {
            let all: Vec<u128> = ids.into_iter().collect();
            let (mut after, mut found, mut pages) = (None, Vec::new(), 0);
            loop {
                let rest = all.iter().copied().filter(|n| after.is_none_or(|a| *n > a));
                let page: Vec<RecordId> = rest.take(wanted).map(id).collect();
                let (count, ends) = within(&page, wanted, id(last));
                found.extend(page[..count].iter().map(|id| id.0.as_u128()));
                after = found.last().copied();
                pages += 1;
                if ends { break }
            }
            let want: Vec<u128> = all.iter().copied().filter(|n| *n <= last).collect();
            prop_assert_eq!(&found, &want);
            prop_assert!(pages <= want.len() / wanted + 1);
        }
    }
}
