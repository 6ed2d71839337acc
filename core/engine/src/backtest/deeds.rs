//! What an automation did, by day and kind, beside what it is held against.

use std::collections::BTreeMap;

use rapport_model::Timestamp;
use serde_json::{Value as Json, json};

/// The microseconds of a day.
const DAY_MICROS: i64 = 86_400_000_000;

/// Each day and kind with how often it was recorded and how often it came in the backtest.
pub(super) fn shown<K: Ord + Clone>(
    recorded: &BTreeMap<(i64, K), u64>,
    played: &BTreeMap<(i64, K), u64>,
    name: impl Fn(&K) -> &str,
) -> Json {
    let mut all: BTreeMap<(i64, K), (u64, u64)> = BTreeMap::new();
    for (key, n) in recorded {
        all.entry(key.clone()).or_default().0 += n;
    }
    for (key, n) in played {
        all.entry(key.clone()).or_default().1 += n;
    }
    let row = |((day, kind), (then, now)): (&(i64, K), &(u64, u64))| {
        let date: String =
            Timestamp::from_micros(day.saturating_mul(DAY_MICROS)).to_string().chars().take(10).collect();
        json!({ "day": date, "kind": name(kind), "recorded": then, "backtest": now })
    };
    all.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_that_came_only_once_of_both_is_shown_with_a_zero() {
        let (recorded, played) = (BTreeMap::from([((0, "a"), 2)]), BTreeMap::from([((0, "a"), 1), ((1, "b"), 3)]));
        let rows = shown(&recorded, &played, |kind| kind);
        assert_eq!(rows[0], json!({ "day": "1970-01-01", "kind": "a", "recorded": 2, "backtest": 1 }));
        assert_eq!(rows[1], json!({ "day": "1970-01-02", "kind": "b", "recorded": 0, "backtest": 3 }));
    }
}
