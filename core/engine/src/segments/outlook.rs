//! What a version would make of segments, before it is live.

use std::fmt;

use rapport_model::{AutomationId, SegmentKind, SegmentName, Value};
use rapport_store::RecordQuery;
use serde::Serialize;

use super::check::Telling;
use super::set::rule_of;
use super::state::Standing;
use crate::engine::Inner;
use crate::error::EngineError;
use crate::registry::Version;
use crate::schedules::set as change;
use crate::schema::{changes_of, with_changes};

/// A segment that a version would fill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Outlook {
    segment: SegmentName,
    /// How many are in it.
    size: u64,
    /// For how many the rule holds; none: it reads what is only declared with it.
    would_be: Option<u64>,
}

impl fmt::Display for Outlook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segment, size, would_be } = self;
        match would_be {
            Some(would_be) => write!(f, "segment `{segment}`: {size} in it, {would_be} by this rule"),
            None => write!(f, "segment `{segment}`: {size} in it"),
        }
    }
}

impl Inner {
    /// The segments that `version` would fill, with the number that would be in each.
    pub(crate) async fn segment_outlook(&self, version: &Version) -> Result<Vec<Outlook>, EngineError> {
        let (states, schema) = (self.segment_states(), self.store.schema());
        let new = changes_of(&schema, &version.declaration);
        let with = with_changes(&schema, &new).unwrap_or_else(|_| (*schema).clone());
        let mut all = Vec::new();
        for def in version.declaration.segments.iter().filter(|def| def.kind != SegmentKind::Manual) {
            let known = states.get(&def.name).filter(|state| state.standing != Standing::Retired);
            if known.is_some_and(|state| state.def.rule == def.rule && state.def.object == def.object) {
                continue;
            }
            let size = self.store.segment_size(&def.name).await?;
            // What reads a field that is not there yet cannot be asked of the database.
            let would_be = match rule_of(def, &with) {
                Ok(Some(rule)) if new.is_empty() => {
                    let mut query = RecordQuery::new(def.object.clone(), self.clock.now(), 0);
                    query.rule = Some(rule);
                    Some(self.store.count(&query).await?)
                }
                _ => None,
            };
            all.push(Outlook { segment: def.name.clone(), size, would_be });
        }
        Ok(all)
    }

    /// Has what `work` makes live for `automation` fill its segments as `telling` says.
    pub(crate) async fn telling_segments<T>(
        &self,
        automation: &AutomationId,
        telling: Telling,
        work: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, EngineError> {
        if telling == Telling::Silent {
            return work.await;
        }
        // Nobody fills anything as long as this is held.
        let _turn = self.segments.turn.lock().await;
        let done = work.await?;
        let states = self.segment_states();
        let filling = states.values().filter(|s| s.automation == *automation && s.standing == Standing::Filling);
        for state in filling {
            self.note_segment(state, vec![change("announce", Value::Bool(true))]).await?;
        }
        Ok(done)
    }
}
