//! Manual and frozen segments in a merge: who is merged leaves its lists to the record that stays, and gets them back when the merge is undone.

use std::collections::BTreeSet;

use rapport_model::event::{Body, NewEvent, Subject};
use rapport_model::merge::MERGED;
use rapport_model::segment::{ENTERED, LEFT};
use rapport_model::{EventType, RecordId, Run, SegmentKind, SegmentName, Timestamp, Value};
use rapport_store::{EventQuery, Stay, StayStep};
use serde_json::json;

use super::core;
use super::report::Report;
use crate::engine::Inner;
use crate::error::EngineError;
use crate::merge::Merge;

/// Events of a merge that are looked through for the one that says what it did.
const EVENTS_MAX: u32 = 1_000;

/// The steps in segments that go with a change of records, and the events that tell them.
pub(crate) type Steps = (Vec<Stay>, Vec<NewEvent>);

impl Inner {
    /// The lists that a record is in.
    async fn lists_of(&self, id: RecordId) -> Result<BTreeSet<SegmentName>, EngineError> {
        let states = self.segment_states();
        let is_list = |name: &SegmentName| {
            states.get(name).is_some_and(|s| matches!(s.def.kind, SegmentKind::Manual | SegmentKind::Frozen))
        };
        let stays = self.store.segments_of(&[id]).await?.remove(&id).unwrap_or_default();
        Ok(stays.into_iter().map(|stay| stay.segment).filter(is_list).collect())
    }

    /// The record that stays comes into the lists of the one that goes; the report says into which.
    pub(super) async fn hand_lists_over(
        &self,
        merge: &Merge,
        lane: RecordId,
        now: Timestamp,
        report: &mut Report,
    ) -> Result<Steps, EngineError> {
        let (lists, own) = (self.lists_of(merge.merged).await?, self.lists_of(merge.survivor).await?);
        report.joined = lists.difference(&own).cloned().collect();
        report.lists = lists.into_iter().collect();
        let about = Subject { object: merge.object.name.clone(), id: merge.survivor };
        let data = vec![
            (core("merged"), Value::text(&merge.merged.to_string())),
            (core("lists"), Value::Json(std::sync::Arc::new(json!(report.lists)))),
            (core("joined"), Value::Json(std::sync::Arc::new(json!(report.joined)))),
        ];
        let mut steps = (Vec::new(), vec![event(MERGED, &about, lane, now, data)]);
        for name in &report.joined {
            step(&mut steps, (name, StayStep::Enter), (&about, lane), now);
        }
        Ok(steps)
    }
}

/// What gives the lists of the merge `run` back: the record that went comes into its own, and the other leaves those that it came into.
pub(crate) async fn given_back(inner: &Inner, run: &Run, now: Timestamp) -> Result<Steps, EngineError> {
    let merge = inner.merge_of(run).await?;
    let query = EventQuery { run: Some(run.id), limit: EVENTS_MAX, ..EventQuery::default() };
    let events = inner.store.events(&query).await?;
    let Some(told) = events.iter().find(|event| event.kind.as_str() == MERGED) else { return Ok(Steps::default()) };
    let said = |name: &str| -> Vec<SegmentName> {
        let Some(Body::Data(data)) = &told.body else { return Vec::new() };
        match data.iter().find(|(field, _)| field.as_str() == name) {
            Some((_, Value::Json(json))) => serde_json::from_value((**json).clone()).unwrap_or_default(),
            _ => Vec::new(),
        }
    };
    let (mut steps, states) = (Steps::default(), inner.segment_states());
    for (id, names, kind) in
        [(merge.merged, said("lists"), StayStep::Enter), (merge.survivor, said("joined"), StayStep::Leave)]
    {
        let about = Subject { object: merge.object.name.clone(), id };
        let there = inner.lists_of(id).await?;
        let record = inner.store.record(&about.object, id).await?;
        let lane = record.map_or(id, |record| record.lane());
        for name in names {
            // A list that is no more, or one that somebody has put the record into or taken it from since, stays as it is.
            if states.contains_key(&name) && there.contains(&name) == (kind == StayStep::Leave) {
                step(&mut steps, (&name, kind), (&about, lane), now);
            }
        }
    }
    Ok(steps)
}

fn step(
    steps: &mut Steps,
    (segment, kind): (&SegmentName, StayStep),
    (about, lane): (&Subject, RecordId),
    now: Timestamp,
) {
    let data = vec![(core("segment"), Value::text(segment.as_str()))];
    let told = if kind == StayStep::Enter { ENTERED } else { LEFT };
    steps.0.push(Stay { segment: segment.clone(), id: about.id, at: now, step: kind });
    steps.1.push(event(told, about, lane, now, data));
}

fn event(kind: &str, about: &Subject, lane: RecordId, time: Timestamp, data: rapport_model::event::Fields) -> NewEvent {
    let kind = EventType::new(kind).expect("the standard event types are valid: a test reads them all");
    NewEvent { origin: None, kind, subject: Some(about.clone()), lane: Some(lane), time, data }
}
