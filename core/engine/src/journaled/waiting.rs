//! What a call that waits asks for, and how it is answered.

use std::sync::Arc;

use rapport_model::automation::Need;
use rapport_model::rule::{ParamTypes, Params, Rule};
use rapport_model::{EventType, Name, Timestamp, Value, duration};
use rapport_sandbox::{GuestEvent, GuestFields, Host as _, HostError, Question, RecordData, Reply, WaitRequest};
use rapport_store::WaitFor;
use serde_json::{Value as Json, json};

use super::host::failure;
use super::{Answer, JournaledHost, Suspension, Woken};
use crate::journal;
use crate::waits::{self, Wanted};

impl JournaledHost {
    pub(super) fn wake_at(&self, timeout: &str) -> Answer<Option<Timestamp>> {
        if timeout.trim().is_empty() {
            return Ok(None);
        }
        let micros = duration::parse(timeout).map_err(|e| HostError::permanent("invalid", e.to_string()))?;
        Ok(Some(self.inner.time.plus_micros(micros)))
    }

    /// What woke the run, for the journal and for the guest.
    pub(super) fn woken_event(&mut self) -> Option<GuestEvent> {
        let Woken::Event(event, record) = self.woken.clone() else {
            self.answered(&json!({}));
            return None;
        };
        let written = record.as_deref().map(journal::record_json);
        self.answered(&json!({ "event": event.position, "record": written }));
        Some(GuestEvent { event, record })
    }

    /// The event by which a wait is found: the equality of its rule, or the record that the run is about.
    pub(super) fn found_by(&self, request: &WaitRequest, kind: &EventType) -> Answer<(Name, String)> {
        let scope = crate::registry::scope_of(&self.inner.schema, kind);
        let scope = scope
            .ok_or_else(|| HostError::permanent("unknown_event_type", format!("there is no event type `{kind}`")))?;
        if request.filter.trim().is_empty() {
            let subject = self.subject.as_ref().ok_or_else(|| {
                HostError::permanent("invalid_rule", "without a rule a run waits for what happens to the record of its own event, and that event has none")
            })?;
            return Ok((journal::subject_field(), waits::text_of(subject)));
        }
        let params: Params = request.params.iter().cloned().collect();
        let rule = Rule::parse(&request.filter, &scope, &self.inner.schema, &ParamTypes::of(&params));
        let rule = rule.map_err(|e| HostError::permanent("invalid_rule", format!("in `{}`: {e}", request.filter)))?;
        if let Some(other) = rule.references().first() {
            let message = format!(
                "`{}` looks at another record: a rule that is waited for looks at the event alone",
                other.object
            );
            return Err(HostError::permanent("invalid_rule", message));
        }
        waits::equality(&rule, &params).ok_or_else(|| {
            let message = format!(
                "`{}` holds no field equal to a value: write `customer == c && …`, so that the event can be found",
                request.filter
            );
            HostError::permanent("invalid_rule", message)
        })
    }

    pub(super) fn allow_waiting(&self, kind: &EventType) -> Answer<()> {
        match kind.as_str().rsplit_once('.') {
            Some((object, "created" | "updated" | "deleted"))
                if self.inner.schema.event_type(kind.as_str()).is_none() =>
            {
                self.inner.allow(Need::Read(object))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn known_record(&self, json: &Json) -> Answer<RecordData> {
        if let Some(error) = failure(json) {
            return Err(error);
        }
        let gone = || HostError::permanent("not_found", "the object of this record is gone");
        journal::read_record(json, &self.inner.schema).ok_or_else(gone)
    }

    pub(super) fn sleep_live(&mut self, call: (&str, &str), until: Timestamp) -> Answer<()> {
        if until <= self.inner.time {
            return self.noted(call.0, call.1, Ok(()), |()| Json::Null);
        }
        self.suspend(call, &json!({ "until": until.micros() }), Suspension { wake_at: Some(until), waits: Vec::new() })
    }

    pub(super) fn wait_live(&self, request: &WaitRequest) -> Answer<(Json, Suspension)> {
        let (wanted, wait) = self.wanted(request)?;
        Ok((wanted, Suspension { wake_at: self.wake_at(&request.timeout)?, waits: vec![wait] }))
    }

    /// What is waited for, as the journal has it and as it is found.
    pub(super) fn wanted(&self, request: &WaitRequest) -> Answer<(Json, WaitFor)> {
        let kind = EventType::new(&request.kind).map_err(|e| HostError::permanent("invalid", e.to_string()))?;
        self.allow_waiting(&kind)?;
        let (field, value) = self.found_by(request, &kind)?;
        let wanted = Wanted::to_json(&kind, &request.filter, &request.params);
        Ok((wanted, WaitFor { kind, field, value, after: self.head }))
    }

    /// Creates the task, and says what is waited for: that it is no longer open.
    pub(super) async fn ask_live(&mut self, question: &Question) -> Answer<(Json, Suspension)> {
        if question.title.trim().is_empty() || question.who.trim().is_empty() {
            return Err(HostError::permanent("invalid", "a question needs a `title`, and somebody who is asked"));
        }
        let wake_at = self.wake_at(&question.timeout)?;
        let mut fields: GuestFields = vec![
            ("title".into(), Value::text(&question.title)),
            ("assignee".into(), Value::text(&question.who)),
            ("state".into(), Value::text("open")),
        ];
        if !question.body.is_empty() {
            fields.push(("body".into(), Value::text(&question.body)));
        }
        if !question.choices.is_empty() {
            fields.push(("choices".into(), Value::Json(Arc::new(json!(question.choices)))));
        }
        if let Some(wake_at) = wake_at {
            fields.push(("due_at".into(), Value::Time(wake_at)));
        }
        if let Some(customer) = self.customer_of(&question.about) {
            fields.push(("customer".into(), customer));
        }
        let task = self.inner.create("task", fields).await?;
        let kind = EventType::new("task.updated").map_err(|e| HostError::permanent("invalid", e.to_string()))?;
        let field = Name::new("id").map_err(|e| HostError::permanent("invalid", e.to_string()))?;
        let id = Value::Ref(task.id);
        let mut request = Wanted::to_json(&kind, "state != 'open'", &[]);
        request["task"] = json!(task.id.to_string());
        let wait = WaitFor { kind, field, value: waits::text_of(&id), after: self.head };
        Ok((request, Suspension { wake_at, waits: vec![wait] }))
    }

    /// The customer that a question is about: named, or that of the run's own event.
    pub(super) fn customer_of(&self, about: &str) -> Option<Value> {
        match about.split_once('/') {
            Some(("customer", key)) => Some(key.parse().map_or_else(|_| Value::text(about), Value::Ref)),
            Some(_) => None,
            None => self.customer.clone(),
        }
    }

    pub(super) fn answer_to(&self, task: &str) -> Reply {
        let task = format!("task/{task}");
        match &self.woken {
            Woken::Event(event, Some(record)) => {
                let done = record.get("state").as_text() == Some("done");
                let choice = if done { record.get("choice").as_text().unwrap_or_default() } else { "cancelled" };
                Reply { choice: choice.to_owned(), by: event.actor.to_string(), timed_out: false, task }
            }
            _ => Reply { timed_out: true, task, ..Reply::default() },
        }
    }
}
