//! `wait_any`: the first of several events.

use rapport_model::limits::WAIT_ALTERNATIVES_MAX;
use rapport_sandbox::{Arrival, HostError, WaitRequest};
use serde_json::{Value as Json, json};

use super::host::{failure, written_fields};
use super::{Answer, JournaledHost, Step, Suspension, Woken};
use crate::journal;

const CALL: &str = "wait_any";

impl JournaledHost {
    /// Waits for the first of `alternatives`.
    pub(super) fn first_of(&mut self, alternatives: &[WaitRequest], timeout: &str) -> Answer<Option<Arrival>> {
        let written = |a: &WaitRequest| json!([a.kind, a.filter, written_fields(&a.params)]);
        let arguments = json!([alternatives.iter().map(written).collect::<Json>(), timeout]).to_string();
        match self.step(CALL, &arguments)? {
            Step::Known(json) => failure(&json).map_or_else(|| Ok(self.read_arrival(&json)), Err),
            Step::Woken(_) => Ok(self.woken_arrival()),
            Step::Live => match self.any_live(alternatives, timeout) {
                Ok((wanted, suspension)) => self.suspend((CALL, &arguments), &wanted, suspension),
                Err(error) => self.noted(CALL, &arguments, Err(error), |_| Json::Null),
            },
        }
    }

    fn any_live(&self, alternatives: &[WaitRequest], timeout: &str) -> Answer<(Json, Suspension)> {
        if !(1..=WAIT_ALTERNATIVES_MAX).contains(&alternatives.len()) {
            let (given, most) = (alternatives.len(), WAIT_ALTERNATIVES_MAX);
            let message = format!("`{CALL}` waits for the first of 1 to {most} events, not of {given}");
            return Err(HostError::permanent("invalid", message));
        }
        let (mut any, mut waits) = (Vec::new(), Vec::new());
        for (place, request) in alternatives.iter().enumerate() {
            let named = |error: HostError| HostError { message: format!("event {place}: {}", error.message), ..error };
            let (wanted, wait) = self.wanted(request).map_err(named)?;
            any.push(wanted);
            waits.push(wait);
        }
        Ok((json!({ "any": any }), Suspension { wake_at: self.wake_at(timeout)?, waits }))
    }

    /// What woke the run, for the journal and for the guest.
    fn woken_arrival(&mut self) -> Option<Arrival> {
        let Woken::Event(event, record) = self.woken.clone() else {
            self.answered(&json!({}));
            return None;
        };
        let index = self.woken_index.and_then(|index| u32::try_from(index).ok()).unwrap_or(0);
        let written = record.as_deref().map(journal::record_json);
        self.answered(&json!({ "event": event.position, "record": written, "index": index }));
        Some(Arrival { index, event: rapport_sandbox::GuestEvent { event, record } })
    }

    fn read_arrival(&self, json: &Json) -> Option<Arrival> {
        let index = json.get("index")?.as_u64()?;
        Some(Arrival { index: u32::try_from(index).ok()?, event: self.read_event(json)? })
    }
}
