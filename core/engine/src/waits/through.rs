//! Looks through the log for the events that runs wait for.
//!
//! All types of which there may be more are looked through together, in the order of the log, so that of several events that
//! one run waits for the earliest wakes it. An event that was recorded after the time of a wait was up does not count, so that
//! it makes no difference how late anybody looks.

use std::collections::HashSet;
use std::sync::Arc;

use rapport_model::rule::{ParamTypes, Rule};
use rapport_model::{Event, EventType, Name, Record, Run, RunId, RunStatus, Timestamp, Value};
use rapport_store::{EventQuery, StoreError};

use super::{Awaited, BATCH, Kind, Wanted, text_of, value_in};
use crate::engine::Inner;
use crate::error::EngineError;
use crate::journal::Journal;
use crate::registry;

impl Inner {
    /// Wakes the runs whose event is in the log. Returns how many.
    pub(super) async fn wake_by_events(&self, now: Timestamp) -> Result<usize, EngineError> {
        let (open, to) = self.waits.open();
        let kinds: Vec<EventType> = open.iter().map(|(kind, _)| kind.clone()).collect();
        let woken = self.look_through(open, to, now).await;
        if woken.is_err() {
            for kind in &kinds {
                self.waits.again(kind);
            }
        }
        woken
    }

    async fn look_through(&self, open: Vec<(EventType, Kind)>, to: i64, now: Timestamp) -> Result<usize, EngineError> {
        let mut kinds = Vec::with_capacity(open.len());
        for (kind, known) in open {
            // That nobody waits for a type any more need not be asked while its events are at hand.
            let at_hand = known.seen >= to || self.recent.events_between(&kind, known.seen, to).is_some();
            if at_hand || self.store.is_waited_for(&kind).await? {
                kinds.push((kind, known));
            } else {
                self.waits.forget(&kind, known.generation);
            }
        }
        let (mut woken, mut hit) = (0, HashSet::new());
        while kinds.iter().any(|(_, known)| known.seen < to) && !self.is_stopping() {
            let (events, until) = self.next_events(&kinds, to).await?;
            for event in &events {
                let Some((_, known)) = kinds.iter().find(|(kind, _)| *kind == event.kind) else { continue };
                let found = self.waiting_for(event, &known.fields).await?;
                if !found.is_empty() {
                    hit.insert(event.kind.clone());
                }
                woken += self.wake(found, now).await?;
            }
            for (kind, known) in kinds.iter_mut().filter(|(_, known)| known.seen < until) {
                self.waits.seen(kind, known.seen, until);
                known.seen = until;
            }
        }
        for (kind, known) in kinds.iter().filter(|(kind, _)| !hit.contains(kind)) {
            if !self.store.is_waited_for(kind).await? {
                self.waits.forget(kind, known.generation);
            }
        }
        Ok(woken)
    }

    /// The next events of these types, in the order of the log, and the position up to which these are all.
    async fn next_events(&self, kinds: &[(EventType, Kind)], to: i64) -> Result<(Vec<Arc<Event>>, i64), EngineError> {
        let (mut events, mut until) = (Vec::new(), to);
        for (kind, known) in kinds.iter().filter(|(_, known)| known.seen < to) {
            if let Some(found) = self.recent.events_between(kind, known.seen, to) {
                events.extend(found);
                continue;
            }
            let (after, kind) = (Some(known.seen), Some(kind.to_string()));
            let query = EventQuery { after, kind, limit: BATCH, ..EventQuery::default() };
            let found = self.store.events(&query).await?;
            if let (true, Some(last)) = (found.len() == BATCH as usize, found.last()) {
                until = until.min(last.position);
            }
            events.extend(found);
        }
        events.retain(|event| event.position <= until);
        events.sort_unstable_by_key(|event| event.position);
        Ok((events, until))
    }

    /// The runs that `event` wakes.
    async fn waiting_for(
        &self,
        event: &Event,
        fields: &[Name],
    ) -> Result<Vec<(Arc<Run>, Option<Awaited>)>, EngineError> {
        let record = match &event.subject {
            Some(subject) => self.store.record(&subject.object, subject.id).await?,
            None => None,
        };
        self.waits.begin_look();
        let mut found: Vec<(RunId, i64)> = Vec::new();
        for field in fields {
            let Some(value) = value_in(event, record.as_deref(), field) else { continue };
            // Runs wait for a record also by the ids of those that were merged into it.
            let merged = value.as_ref_id().map(|id| self.merged.of(id)).unwrap_or_default();
            for value in std::iter::once(value).chain(merged.into_iter().map(Value::Ref)) {
                for (run, index, after) in self.store.waiting_for(&event.kind, field, &text_of(&value)).await? {
                    if event.position > after && self.is_awaited((run, index), event, record.as_deref()).await? {
                        found.push((run, index));
                    }
                }
            }
        }
        // One event may be several of those that a run waits for: then it is the first of them.
        found.sort_unstable();
        found.dedup_by_key(|(run, _)| *run);
        let mut runs = Vec::with_capacity(found.len());
        for (id, index) in found {
            match self.waiting_run(id).await {
                Ok(run) => {
                    // One that is held back looks through the log once it may go on.
                    let run = run.filter(|run| run.status == RunStatus::Waiting);
                    let run = run.filter(|run| run.wake_at.is_none_or(|until| event.recorded_at <= until));
                    runs.extend(run.map(|run| (run, Some(Awaited { event: event.position, index }))));
                }
                // It must not hold up the others.
                Err(error @ StoreError::Corrupt { .. }) => {
                    tracing::error!(run.id = %id, "the run {id} is left alone: {error}");
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(runs)
    }

    /// The run, from memory if it began to wait a moment ago.
    async fn waiting_run(&self, id: RunId) -> Result<Option<Arc<Run>>, StoreError> {
        match self.recent.sleeper(id).and_then(|sleeper| sleeper.run.clone()) {
            Some(run) => Ok(Some(run)),
            None => Ok(self.store.run(id).await?.map(Arc::new)),
        }
    }

    async fn is_awaited(
        &self,
        (run, index): (RunId, i64),
        event: &Event,
        record: Option<&Record>,
    ) -> Result<bool, EngineError> {
        // A damaged journal must not hold up the others: its run is woken, and ends with what is wrong.
        let Ok(journal) = Journal::read_last(&self.journal_asleep(run).await?) else { return Ok(true) };
        let Some(wanted) = journal.waiting().and_then(|waiting| Wanted::read(waiting.alternative(index))) else {
            return Ok(false);
        };
        if wanted.kind != event.kind {
            return Ok(false);
        }
        if wanted.filter.trim().is_empty() {
            return Ok(true);
        }
        let params = self.merged.followed(wanted.params);
        let schema = self.store.schema();
        let Some(scope) = registry::scope_of(&schema, &event.kind) else { return Ok(false) };
        let rule = Rule::parse(&wanted.filter, &scope, &schema, &ParamTypes::of(&params));
        // A rule that no longer reads, since a field is gone, holds for nothing: the run wakes by its timeout.
        Ok(rule.is_ok_and(|rule| registry::holds_with(&rule, event, record, (&[], &params))))
    }
}
