//! What an automation did, by day and kind, beside what it is held against.

use std::collections::BTreeMap;

use rapport_model::effect::HTTP;
use rapport_model::limits::PAGE_ROWS_MAX;
use rapport_model::{Effect, EffectId, Timestamp};
use rapport_store::EffectQuery;
use serde_json::{Value as Json, json};

use super::Work;
use crate::engine::Engine;
use crate::error::EngineError;

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

impl Work {
    /// Why runs of the candidate failed for good, each reason once with how often it occurred in those looked at.
    pub(super) async fn failures(&self, engine: &Engine) -> Result<Json, EngineError> {
        let query = rapport_store::RunQuery {
            status: Some(rapport_model::RunStatus::Dead),
            automation: Some(self.candidate.id.clone()),
            limit: rapport_model::limits::PAGE_ROWS_MAX,
            ..rapport_store::RunQuery::default()
        };
        let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
        for run in engine.inner.store.runs(&query).await? {
            *reasons.entry(run.error.unwrap_or_default()).or_default() += 1;
        }
        let mut reasons: Vec<(String, u64)> = reasons.into_iter().collect();
        reasons.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        Ok(reasons.into_iter().take(10).map(|(why, runs)| json!({ "error": why, "runs": runs })).collect())
    }

    /// The HTTP calls that runs made in the period, with their answers.
    pub(super) async fn calls(&self) -> Result<Vec<Effect>, EngineError> {
        let until = self.new.until.plus_micros(DAY_MICROS);
        let mut query = EffectQuery { channel: Some(HTTP.to_owned()), limit: PAGE_ROWS_MAX, ..EffectQuery::default() };
        // Newest first, from the end of the period on.
        query.before = Some((until, EffectId::from_parts(0, [0; 10])));
        let mut all: Vec<Effect> = Vec::new();
        loop {
            let page = self.live.store.effects(&query).await?;
            query.before = page.last().map(|last| (last.created_at, last.id));
            let full = page.len() == PAGE_ROWS_MAX as usize;
            let over = page.last().is_some_and(|last| last.created_at < self.new.since);
            all.extend(page.into_iter().filter(|call| call.created_at >= self.new.since));
            if !full || over {
                return Ok(all);
            }
        }
    }
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
