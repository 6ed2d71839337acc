//! Waits: for time, for events, for people.
//!
//! A call here may suspend the run. What it wrote so far is kept, the instance goes, and when what it waits for has come the
//! handler is called again from its start: the calls made before return what they returned then, without doing anything
//! again. So a handler may keep what it needs in its variables, and must not look at anything but the host: what it read
//! before a wait is as old as that; [`crate::records::get`] after the wait reads anew.

use crate::bindings::rapport::plugin::flow as wire;
use crate::door::flow as door;
use crate::{Error, Event, Fields, Reference, Timestamp};

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
