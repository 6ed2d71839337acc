//! The host of a run that may wait: it answers from the journal what the run has asked before, and writes down what it
//! asks now.
//!
//! A call that differs from its journal ends the slice before it has any effect. A call that waits ends it too: the slice is
//! committed, and the call is answered when the run has been woken.

use std::sync::Arc;

use async_trait::async_trait;
use rapport_model::automation::Need;
use rapport_model::rule::{ParamTypes, Params, Rule};
use rapport_model::{Event, EventType, Name, Timestamp, Value, duration};
use rapport_sandbox::{
    FindRequest, GuestEvent, GuestFields, Host, HostError, LogLevel, Question, RecordData, Reply, WaitRequest,
};
use rapport_store::WaitFor;
use serde_json::{Value as Json, json};

use crate::journal::{self, Journal, digest};
use crate::slice::SliceHost;
use crate::waits::{self, Wanted};

/// The code with which a slice ends that waits.
pub(crate) const WAITING: &str = "waiting";
/// The code with which a slice ends whose calls differ from its journal.
pub(crate) const DIFFERS: &str = "replay_differs";

type Answer<T> = Result<T, HostError>;

/// What woke a run.
#[derive(Debug, Clone)]
pub(crate) enum Woken {
    /// Nothing: it runs for the first time.
    First,
    /// Its time had come.
    Time,
    /// An event, with its record as it is now.
    Event(Arc<Event>, Option<RecordData>),
}

/// What a run waits for after this slice.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Suspension {
    /// When it is woken at the latest.
    pub(crate) wake_at: Option<Timestamp>,
    /// The event that wakes it.
    pub(crate) wait: Option<WaitFor>,
}

/// The host of one slice of a run that may wait.
#[derive(Debug)]
pub(crate) struct JournaledHost {
    pub(crate) inner: SliceHost,
    journal: Journal,
    fresh: Vec<Json>,
    woken: Woken,
    /// The events that woke the run in earlier slices.
    events: Vec<Arc<Event>>,
    /// The time of the slice that is answered from the journal at present.
    time: Timestamp,
    /// The head of the log when this slice began.
    head: i64,
    /// The record that the run's own event is about, by which waits without a rule go.
    subject: Option<Value>,
    /// The customer that it is about, for questions.
    customer: Option<Value>,
    pub(crate) suspension: Option<Suspension>,
    pub(crate) differs: Option<String>,
}

/// How a call is answered.
enum Step {
    /// From the journal.
    Known(Json),
    /// It waited, and has been woken.
    Woken(Json),
    /// By doing it.
    Live,
}

impl JournaledHost {
    /// The host of a slice that goes on where `journal` ends. `events` are those that the journal names.
    pub(crate) fn new(inner: SliceHost, journal: Journal, woken: Woken, events: Vec<Arc<Event>>) -> Self {
        let head = inner.store.head();
        let time = inner.time;
        let fresh = if journal.is_empty() { vec![json!({ "t": time.micros() })] } else { Vec::new() };
        let mut host = Self {
            inner,
            journal,
            fresh,
            woken,
            events,
            time,
            head,
            subject: None,
            customer: None,
            suspension: None,
            differs: None,
        };
        host.enter_slice();
        host
    }

    /// The record that the run's event was about, as its first slice saw it. Noted in the journal, since it must not change.
    pub(crate) fn first_record(&mut self, event: &Event, now: Option<RecordData>) -> Option<RecordData> {
        self.subject = event.subject.as_ref().map(|subject| Value::Ref(subject.id));
        let record = if self.journal.is_empty() {
            self.fresh.push(json!({ "record": now.as_deref().map(journal::record_json) }));
            now
        } else {
            let first = self.journal.pop().unwrap_or_default();
            journal::read_record(&first["record"], &self.inner.schema)
        };
        self.customer = record.as_deref().and_then(|record| match record.object.name.as_str() {
            "customer" => Some(Value::Ref(record.id)),
            _ => Some(record.get("customer")).filter(|value| matches!(value, Value::Ref(_))).cloned(),
        });
        record
    }

    /// What this slice wrote down, as JSON text.
    pub(crate) fn entries(&self) -> String {
        Json::Array(self.fresh.clone()).to_string()
    }

    /// How many entries and bytes the journal has with what this slice wrote down.
    pub(crate) fn size(&self, before: (usize, usize)) -> (usize, usize) {
        let fresh: usize = self.fresh.iter().map(|entry| entry.to_string().len() + 1).sum();
        (before.0 + self.fresh.len(), before.1 + fresh)
    }

    fn enter_slice(&mut self) {
        if let Some(time) = self.journal.pop_time() {
            self.time = time;
        }
    }

    fn ends(&mut self, code: &'static str, message: String) -> HostError {
        HostError { code: code.into(), message, retryable: false, ends_slice: true }
    }

    fn differs(&mut self, message: String) -> HostError {
        self.differs.get_or_insert_with(|| message.clone());
        self.ends(DIFFERS, message)
    }

    /// How the call `name` with these arguments is answered.
    fn step(&mut self, name: &str, arguments: &str) -> Answer<Step> {
        if let Some(message) = self.differs.clone() {
            return Err(self.ends(DIFFERS, message));
        }
        if self.journal.is_empty() {
            return Ok(Step::Live);
        }
        let entry = self.journal.pop().unwrap_or_default();
        let (known, with) = (entry["c"].as_str().unwrap_or("nothing"), entry["a"].as_str().unwrap_or_default());
        if known != name || with != digest(arguments) {
            let about = entry["s"].as_str().unwrap_or_default();
            let brief: String = arguments.chars().take(120).collect();
            let message =
                format!("the run called `{name}` ({brief}) where it had called `{known}` ({about}) before it waited");
            return Err(self.differs(message));
        }
        if entry.get("p").is_none() {
            let answer = entry.get("r").cloned().unwrap_or_default();
            self.enter_slice();
            return Ok(Step::Known(answer));
        }
        // The call that waited: its answer is the next entry, or has just come.
        if let Some(answer) = self.journal.pop() {
            self.enter_slice();
            return Ok(Step::Known(answer.get("w").cloned().unwrap_or_default()));
        }
        self.time = self.inner.time;
        Ok(Step::Woken(entry["p"].clone()))
    }

    fn note(&mut self, name: &str, arguments: &str, answer: Result<Json, &HostError>) {
        let about: String = arguments.chars().take(80).collect();
        let answer = answer.unwrap_or_else(|error| json!({ "error": journal::error_json(error) }));
        self.fresh.push(json!({ "c": name, "a": digest(arguments), "s": about, "r": answer }));
    }

    /// Notes what a live call returned; one that ended the slice is not part of the journal.
    fn noted<T>(
        &mut self,
        name: &str,
        arguments: &str,
        result: Answer<T>,
        write: impl FnOnce(&T) -> Json,
    ) -> Answer<T> {
        match &result {
            Ok(value) => {
                let written = write(value);
                self.note(name, arguments, Ok(written));
            }
            Err(error) if !error.ends_slice => self.note(name, arguments, Err(error)),
            Err(_) => {}
        }
        result
    }

    /// Suspends the run in the call `name`.
    fn suspend<T>(&mut self, (name, arguments): (&str, &str), request: Json, suspension: Suspension) -> Answer<T> {
        let about: String = arguments.chars().take(80).collect();
        self.fresh.push(json!({ "c": name, "a": digest(arguments), "s": about, "p": request }));
        if let Some(wait) = &suspension.wait {
            self.inner.waits.register(&wait.kind, &wait.field, wait.after);
        }
        self.suspension = Some(suspension);
        Err(self.ends(WAITING, format!("the run waits in `{name}`")))
    }

    /// Notes how a call that waited was answered, and that a new slice begins.
    fn answered(&mut self, answer: Json) {
        self.fresh.push(json!({ "w": answer }));
        self.fresh.push(json!({ "t": self.inner.time.micros() }));
    }

    fn wake_at(&self, timeout: &str) -> Answer<Option<Timestamp>> {
        if timeout.trim().is_empty() {
            return Ok(None);
        }
        let micros = duration::parse(timeout).map_err(|e| HostError::permanent("invalid", e.to_string()))?;
        Ok(Some(self.inner.time.plus_micros(micros)))
    }

    fn read_records(&self, json: &Json) -> Vec<RecordData> {
        json.as_array().into_iter().flatten().filter_map(|r| journal::read_record(r, &self.inner.schema)).collect()
    }

    fn read_event(&self, json: &Json) -> Option<GuestEvent> {
        let position = json.get("event")?.as_i64()?;
        let event = self.events.iter().find(|e| e.position == position)?.clone();
        Some(GuestEvent { event, record: journal::read_record(&json["record"], &self.inner.schema) })
    }

    /// What woke the run, for the journal and for the guest.
    fn woken_event(&mut self) -> Option<GuestEvent> {
        let Woken::Event(event, record) = self.woken.clone() else {
            self.answered(json!({}));
            return None;
        };
        let written = record.as_deref().map(journal::record_json);
        self.answered(json!({ "event": event.position, "record": written }));
        Some(GuestEvent { event, record })
    }

    /// The event by which a wait is found: the equality of its rule, or the record that the run is about.
    fn found_by(&self, request: &WaitRequest, kind: &EventType) -> Answer<(Name, String)> {
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

    fn allow_waiting(&self, kind: &EventType) -> Answer<()> {
        match kind.as_str().rsplit_once('.') {
            Some((object, "created" | "updated" | "deleted"))
                if self.inner.schema.event_type(kind.as_str()).is_none() =>
            {
                self.inner.allow(Need::Read(object))
            }
            _ => Ok(()),
        }
    }
}

/// Whether an answer from the journal is a failure.
fn failure(json: &Json) -> Option<HostError> {
    journal::read_error(json.get("error")?)
}

fn written_fields(fields: &GuestFields) -> Json {
    journal::params_json(fields)
}

/// Answers a call from the journal, or does it and notes it.
macro_rules! journaled {
    ($self:ident, $name:literal, $arguments:expr, $live:expr, $write:expr, $read:expr) => {{
        let arguments: String = $arguments.to_string();
        match $self.step($name, &arguments)? {
            Step::Known(json) | Step::Woken(json) => match failure(&json) {
                Some(error) => Err(error),
                None => Ok($read(&*$self, &json)),
            },
            Step::Live => {
                let result = $live;
                $self.noted($name, &arguments, result, $write)
            }
        }
    }};
}

fn maybe_record(found: &Option<RecordData>) -> Json {
    found.as_deref().map_or(Json::Null, journal::record_json)
}

#[async_trait]
impl Host for JournaledHost {
    async fn get(&mut self, object: &str, key: &str) -> Answer<Option<RecordData>> {
        journaled!(
            self,
            "get",
            json!([object, key]),
            self.inner.get(object, key).await,
            maybe_record,
            |own: &Self, json| { journal::read_record(json, &own.inner.schema) }
        )
    }

    async fn find(&mut self, query: FindRequest) -> Answer<Vec<RecordData>> {
        let arguments =
            json!([query.object, query.filter, written_fields(&query.params), query.order, query.limit, query.after]);
        journaled!(
            self,
            "find",
            arguments,
            self.inner.find(query).await,
            |rows: &Vec<RecordData>| rows.iter().map(|r| journal::record_json(r)).collect(),
            |own: &Self, json| own.read_records(json)
        )
    }

    async fn count(&mut self, object: &str, filter: &str, params: GuestFields) -> Answer<u64> {
        let arguments = json!([object, filter, written_fields(&params)]);
        journaled!(
            self,
            "count",
            arguments,
            self.inner.count(object, filter, params).await,
            |n: &u64| json!(n),
            |_: &Self, json: &Json| json.as_u64().unwrap_or(0)
        )
    }

    async fn create(&mut self, object: &str, fields: GuestFields) -> Answer<RecordData> {
        let arguments = json!([object, written_fields(&fields)]).to_string();
        match self.step("create", &arguments)? {
            Step::Known(json) | Step::Woken(json) => self.known_record(&json),
            Step::Live => {
                let result = self.inner.create(object, fields).await;
                self.noted("create", &arguments, result, |record| journal::record_json(record))
            }
        }
    }

    async fn update(&mut self, object: &str, key: &str, fields: GuestFields) -> Answer<()> {
        let arguments = json!([object, key, written_fields(&fields)]);
        journaled!(
            self,
            "update",
            arguments,
            self.inner.update(object, key, fields).await,
            |()| Json::Null,
            |_: &Self, _| ()
        )
    }

    async fn increment(&mut self, object: &str, key: &str, field: &str, delta: Value) -> Answer<()> {
        let arguments = json!([object, key, field, journal::value_json(&delta)]);
        journaled!(
            self,
            "increment",
            arguments,
            self.inner.increment(object, key, field, delta).await,
            |()| Json::Null,
            |_: &Self, _| ()
        )
    }

    async fn upsert(&mut self, object: &str, by: &str, fields: GuestFields) -> Answer<RecordData> {
        let arguments = json!([object, by, written_fields(&fields)]).to_string();
        match self.step("upsert", &arguments)? {
            Step::Known(json) | Step::Woken(json) => self.known_record(&json),
            Step::Live => {
                let result = self.inner.upsert(object, by, fields).await;
                self.noted("upsert", &arguments, result, |record| journal::record_json(record))
            }
        }
    }

    async fn delete(&mut self, object: &str, key: &str) -> Answer<bool> {
        journaled!(
            self,
            "delete",
            json!([object, key]),
            self.inner.delete(object, key).await,
            |done: &bool| json!(done),
            |_: &Self, json: &Json| json.as_bool().unwrap_or(false)
        )
    }

    async fn emit(&mut self, kind: &str, subject: &str, data: GuestFields) -> Answer<()> {
        let arguments = json!([kind, subject, written_fields(&data)]);
        journaled!(
            self,
            "emit",
            arguments,
            self.inner.emit(kind, subject, data).await,
            |()| Json::Null,
            |_: &Self, _| ()
        )
    }

    fn log(&mut self, level: LogLevel, message: &str) {
        // What was logged before the run waited is not logged again.
        if self.journal.is_empty() {
            self.inner.log(level, message);
        }
    }

    fn now(&self) -> Timestamp {
        self.time
    }

    fn random(&mut self, count: u32) -> Vec<u8> {
        let arguments = json!([count]).to_string();
        match self.step("random", &arguments) {
            Ok(Step::Known(json) | Step::Woken(json)) => {
                let bytes = json.as_array().into_iter().flatten().filter_map(|b| u8::try_from(b.as_u64()?).ok());
                bytes.collect()
            }
            Ok(Step::Live) => {
                let bytes = self.inner.random(count);
                self.note("random", &arguments, Ok(json!(bytes)));
                bytes
            }
            // The next call that can say so ends the slice.
            Err(_) => vec![0; usize::try_from(count).unwrap_or(0)],
        }
    }

    fn setting(&mut self, name: &str) -> Answer<Value> {
        let arguments = json!([name]);
        journaled!(
            self,
            "setting",
            arguments,
            self.inner.setting(name),
            journal::value_json,
            |_: &Self, json: &Json| { journal::read_value(json).unwrap_or_default() }
        )
    }

    async fn sleep(&mut self, span: &str) -> Answer<()> {
        let arguments = json!([span]).to_string();
        match self.step("sleep", &arguments)? {
            Step::Known(json) => failure(&json).map_or(Ok(()), Err),
            Step::Woken(_) => {
                self.answered(json!({}));
                Ok(())
            }
            Step::Live => {
                let micros = match duration::parse(span) {
                    Ok(micros) => micros,
                    Err(e) => {
                        let wrong = Err(HostError::permanent("invalid", e.to_string()));
                        return self.noted("sleep", &arguments, wrong, |()| Json::Null);
                    }
                };
                self.sleep_live(("sleep", &arguments), self.inner.time.plus_micros(micros))
            }
        }
    }

    async fn sleep_until(&mut self, instant: Timestamp) -> Answer<()> {
        let arguments = json!([instant.micros()]).to_string();
        match self.step("sleep_until", &arguments)? {
            Step::Known(json) => failure(&json).map_or(Ok(()), Err),
            Step::Woken(_) => {
                self.answered(json!({}));
                Ok(())
            }
            Step::Live => self.sleep_live(("sleep_until", &arguments), instant),
        }
    }

    async fn wait_for(&mut self, request: WaitRequest) -> Answer<Option<GuestEvent>> {
        let arguments =
            json!([request.kind, request.filter, written_fields(&request.params), request.timeout]).to_string();
        match self.step("wait_for", &arguments)? {
            Step::Known(json) => failure(&json).map_or_else(|| Ok(self.read_event(&json)), Err),
            Step::Woken(_) => Ok(self.woken_event()),
            Step::Live => match self.wait_live(&request) {
                Ok((wanted, suspension)) => self.suspend(("wait_for", &arguments), wanted, suspension),
                Err(error) => self.noted("wait_for", &arguments, Err(error), |_| Json::Null),
            },
        }
    }

    async fn ask(&mut self, question: Question) -> Answer<Reply> {
        let Question { who, title, body, choices, about, timeout } = &question;
        let arguments = json!([who, title, body, choices, about, timeout]).to_string();
        match self.step("ask", &arguments)? {
            Step::Known(json) => failure(&json).map_or_else(|| Ok(read_reply(&json)), Err),
            Step::Woken(request) => {
                let reply = self.reply(request["task"].as_str().unwrap_or_default());
                self.answered(json!({
                    "choice": reply.choice, "by": reply.by, "timed_out": reply.timed_out, "task": reply.task,
                }));
                Ok(reply)
            }
            Step::Live => match self.ask_live(&question).await {
                Ok((request, suspension)) => self.suspend(("ask", &arguments), request, suspension),
                Err(error) => self.noted("ask", &arguments, Err(error), |_| Json::Null),
            },
        }
    }
}

fn read_reply(json: &Json) -> Reply {
    let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
    let timed_out = json["timed_out"].as_bool().unwrap_or(false);
    Reply { choice: text("choice"), by: text("by"), timed_out, task: text("task") }
}

impl JournaledHost {
    fn known_record(&self, json: &Json) -> Answer<RecordData> {
        if let Some(error) = failure(json) {
            return Err(error);
        }
        let gone = || HostError::permanent("not_found", "the object of this record is gone");
        journal::read_record(json, &self.inner.schema).ok_or_else(gone)
    }

    fn sleep_live(&mut self, call: (&str, &str), until: Timestamp) -> Answer<()> {
        if until <= self.inner.time {
            return self.noted(call.0, call.1, Ok(()), |()| Json::Null);
        }
        self.suspend(call, json!({ "until": until.micros() }), Suspension { wake_at: Some(until), wait: None })
    }

    fn wait_live(&self, request: &WaitRequest) -> Answer<(Json, Suspension)> {
        let kind = EventType::new(&request.kind).map_err(|e| HostError::permanent("invalid", e.to_string()))?;
        self.allow_waiting(&kind)?;
        let (field, value) = self.found_by(request, &kind)?;
        let wake_at = self.wake_at(&request.timeout)?;
        let wanted = Wanted::to_json(&kind, &request.filter, &request.params);
        Ok((wanted, Suspension { wake_at, wait: Some(WaitFor { kind, field, value, after: self.head }) }))
    }

    /// Creates the task, and says what is waited for: that it is no longer open.
    async fn ask_live(&mut self, question: &Question) -> Answer<(Json, Suspension)> {
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
        Ok((request, Suspension { wake_at, wait: Some(wait) }))
    }

    /// The customer that a question is about: named, or that of the run's own event.
    fn customer_of(&self, about: &str) -> Option<Value> {
        match about.split_once('/') {
            Some(("customer", key)) => Some(key.parse().map_or_else(|_| Value::text(about), Value::Ref)),
            Some(_) => None,
            None => self.customer.clone(),
        }
    }

    fn reply(&self, task: &str) -> Reply {
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
