//! What the runs of a replay wait for, in memory: most events of a log wake nobody, and that must not cost a query.

use std::collections::HashMap;

use rapport_model::{Event, EventType, Name, RunId};
use rapport_store::WaitFor;

use crate::waits::{text_of, value_in};

/// The events that runs wait for, by type, field and value.
#[derive(Debug, Default)]
pub(super) struct Awaited {
    by_kind: HashMap<EventType, HashMap<Name, HashMap<String, usize>>>,
    by_run: HashMap<RunId, Vec<WaitFor>>,
}

impl Awaited {
    pub(super) fn begin(&mut self, run: RunId, waits: Vec<WaitFor>) {
        self.end(run);
        if waits.is_empty() {
            return;
        }
        for wait in &waits {
            let values = self.by_kind.entry(wait.kind.clone()).or_default().entry(wait.field.clone()).or_default();
            *values.entry(wait.value.clone()).or_default() += 1;
        }
        self.by_run.insert(run, waits);
    }

    pub(super) fn end(&mut self, run: RunId) {
        for wait in self.by_run.remove(&run).into_iter().flatten() {
            let Some(fields) = self.by_kind.get_mut(&wait.kind) else { continue };
            let Some(values) = fields.get_mut(&wait.field) else { continue };
            match values.get_mut(&wait.value) {
                Some(count) if *count > 1 => *count -= 1,
                _ => drop(values.remove(&wait.value)),
            }
            if values.is_empty() {
                fields.remove(&wait.field);
            }
            if fields.is_empty() {
                self.by_kind.remove(&wait.kind);
            }
        }
    }

    /// The types of which some run waits for an event.
    pub(super) fn kinds(&self) -> impl Iterator<Item = &EventType> {
        self.by_kind.keys()
    }

    /// Whether `event` has a value that a run waits for, as far as the event alone tells.
    pub(super) fn may_be(&self, event: &Event) -> bool {
        let Some(fields) = self.by_kind.get(&event.kind) else { return false };
        // A change of a record names what it changed; what else the record has is not known here.
        let tells_all = !event.kind.as_str().ends_with(".updated");
        fields.iter().any(|(field, values)| match value_in(event, None, field) {
            Some(value) => values.contains_key(&text_of(&value)),
            None => !tells_all,
        })
    }
}
