//! Waits: for time, for events, for people.
//!
//! A call here may suspend the run. What it wrote so far is kept, the instance goes, and when what it waits for has come the
//! handler is called again from its start: the calls made before return what they returned then, without doing anything
//! again. So a handler may keep what it needs in its variables, and must not look at anything but the host: what it read
//! before a wait is as old as that; [`crate::records::get`] after the wait reads anew.

use crate::bindings::rapport::plugin::flow as wire;
use crate::door::flow as door;
use crate::{Error, Event, Fields, Json, Reference, Timestamp};

/// What people are asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Question {
    /// Who is to answer: `role:shop-manager` or `user:NAME`.
    pub who: String,
    /// The question.
    pub title: String,
    /// What there is to know about it.
    pub body: String,
    /// What can be chosen; empty: any text.
    pub choices: Vec<String>,
    /// The record that it is about; `None`: the event's subject.
    pub about: Option<Reference>,
    /// How long to wait, such as `2 days`; empty: for ever.
    pub timeout: String,
}

/// One of several events that a run waits for, as in [`wait_for`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Alternative {
    /// The type of the event.
    pub kind: String,
    /// The rule that must hold; it holds a field equal to something.
    pub rule: String,
    /// The rule's parameters.
    pub params: Fields,
}

impl Alternative {
    /// Events of the type `kind` for which `rule` holds.
    #[must_use]
    pub fn new(kind: &str, rule: &str, params: Fields) -> Self {
        Self { kind: kind.into(), rule: rule.into(), params }
    }
}

/// What people answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// What was chosen; `None` if nobody answered in time.
    pub choice: Option<String>,
    /// Who answered.
    pub by: String,
    /// The task that was made.
    pub task: Option<Reference>,
}

/// Waits for a span of time, such as `3 days`.
///
/// # Errors
/// `invalid` if the text is no span of time.
pub fn sleep(span: &str) -> Result<(), Error> {
    Ok(door::sleep(span)?)
}

/// Waits until an instant; not at all if it has passed.
///
/// # Errors
/// The host's.
pub fn sleep_until(instant: Timestamp) -> Result<(), Error> {
    Ok(door::sleep_until(instant.0)?)
}

/// Waits for an event of the type `kind` for which `rule` holds; `None` if the time is up first. An empty `timeout` waits for ever.
///
/// # Errors
/// `invalid_rule` if the rule does not read, or holds no field equal to something.
pub fn wait_for(kind: &str, rule: &str, params: &Fields, timeout: &str) -> Result<Option<Event>, Error> {
    Ok(door::wait_for(kind, rule, &params.to_wire(), timeout)?.map(Into::into))
}

/// Asks people: makes a task and waits until it is done.
///
/// # Errors
/// `denied` without the right `task:create`; `invalid` for a question without a title.
pub fn ask(question: Question) -> Result<Answer, Error> {
    let Question { who, title, body, choices, about, timeout } = question;
    let about = about.map(|about| about.to_string()).unwrap_or_default();
    let answer = door::ask(&wire::Question { who, title, body, choices, about, timeout })?;
    let task = (!answer.task.is_empty()).then(|| Reference::parse(&answer.task));
    Ok(Answer { choice: (!answer.timed_out).then_some(answer.choice), by: answer.by, task })
}

/// Waits for the first of several events, 16 alternatives at most: its place among them, and the event; `None` if the time is
/// up first. An empty `timeout` waits for ever.
///
/// # Errors
/// As for [`wait_for`].
pub fn wait_any(alternatives: &[Alternative], timeout: &str) -> Result<Option<(usize, Event)>, Error> {
    let wire = |a: &Alternative| {
        let Alternative { kind, rule, params } = a.clone();
        wire::Alternative { kind, where_: rule, params: params.to_wire() }
    };
    let wired: Vec<wire::Alternative> = alternatives.iter().map(wire).collect();
    let came = door::wait_any(&wired, timeout)?;
    Ok(came.map(|arrival| (usize::try_from(arrival.index).unwrap_or(usize::MAX), arrival.event.into())))
}

/// Takes the lock `key` until this slice has committed: until then no other slice that takes it commits, so what one of
/// them wrote, the next one reads. Take it before the reads that it guards. It is let go where the slice ends, so also
/// where the run waits: lock again after a wait.
///
/// # Errors
/// `invalid` for a key that is empty or longer than 200 bytes.
pub fn lock(key: &str) -> Result<(), Error> {
    Ok(door::lock(key)?)
}

/// Starts a run of another automation, which declares that it is invocable, and waits for its result. That run has rights and
/// a lane of its own, and happens once, however often this slice is tried.
///
/// # Errors
/// `denied` without the right `invoke:AUTOMATION`; `unknown_automation` and `not_invocable`; `invoked_failed` with what is
/// wrong, if that run dies or is cancelled.
pub fn invoke(automation: &str, input: &Json) -> Result<Json, Error> {
    let result = door::invoke(automation, &input.to_string())?;
    serde_json::from_str(&result).map_err(|e| Error::new("invalid", format!("the result of `{automation}`: {e}")))
}

/// What the run was given, if it was invoked by another one; `None` for other events.
#[must_use]
pub fn input(event: &Event) -> Option<Json> {
    match event.data.get("input") {
        Some(crate::Value::Json(input)) if event.kind == "run.invoked" => Some(input.clone()),
        _ => None,
    }
}

/// Says what a run that was invoked results in; the last call counts. Elsewhere it has no effect.
///
/// # Errors
/// `invalid` beyond 64 KiB.
pub fn reply(value: &Json) -> Result<(), Error> {
    Ok(door::reply(&value.to_string())?)
}
