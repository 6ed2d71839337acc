//! Work on one ticket: it is settled first, changed, and written back once, with the events and the job that follow from it.

use rapport_sdk::{Error, Fields, Record, Timestamp, Value, clock, events, flow, jobs, kv, records, settings};
use serde_json::json;

use crate::clock::{Passed, WarnAt};
use crate::status::Status;
use crate::ticket::{OBJECT, Ticket};

/// The first number is the one behind this.
const NUMBER_BEFORE_FIRST: i64 = 1_000;

/// A ticket that is worked on.
#[derive(Debug)]
pub(crate) struct Work {
    /// The ticket.
    pub(crate) ticket: Ticket,
    /// The instant of the work.
    pub(crate) now: Timestamp,
    before: Fields,
    events: Vec<(&'static str, Fields)>,
}

/// How much of a target may be used up before there is a warning.
///
/// # Errors
/// The host's.
pub(crate) fn warn_at() -> Result<WarnAt, Error> {
    settings::get("warn_percent").map(WarnAt)
}

/// A number for a new ticket.
///
/// # Errors
/// The host's.
pub(crate) fn next_number() -> Result<String, Error> {
    // Who opens next reads what this slice has counted.
    flow::lock("desk/number")?;
    loop {
        let number = format!("T-{}", NUMBER_BEFORE_FIRST + kv::increment("number", 1)?);
        // The undo of an opening gives its number back while later ones stay taken.
        if records::get(OBJECT, &format!("number:{number}"))?.is_none() {
            return Ok(number);
        }
    }
}

impl Work {
    /// Begins to work on the ticket of `record`: what has come to pass until now is noted first.
    ///
    /// # Errors
    /// The host's.
    pub(crate) fn on(record: &Record) -> Result<Self, Error> {
        let ticket = Ticket::read(record)?;
        let (before, now) = (ticket.fields(), clock::now());
        let mut work = Self { ticket, now, before, events: Vec::new() };
        let passed = work.ticket.settle(now);
        work.note(&passed);
        Ok(work)
    }

    /// Begins with a ticket that has just been written.
    pub(crate) fn anew(ticket: Ticket, now: Timestamp) -> Self {
        let before = ticket.fields();
        Self { ticket, now, before, events: Vec::new() }
    }

    /// Notes what has come to pass, once more: since promises have changed.
    pub(crate) fn settle_again(&mut self) {
        let passed = self.ticket.settle(self.now);
        self.note(&passed);
    }

    fn note(&mut self, passed: &[Passed]) {
        for each in passed {
            let kind = if each.breached { "desk.sla_breached" } else { "desk.sla_warning" };
            let data = self.about().with("target", each.what.as_str()).with("due", each.due);
            self.events.push((kind, data));
        }
    }

    /// What every event says of the ticket.
    fn about(&self) -> Fields {
        let ticket = &self.ticket;
        Fields::new()
            .with("number", ticket.number.clone())
            .with("priority", ticket.priority.as_str())
            .with("kind", ticket.kind.as_str())
            .with("queue", ticket.queue.clone())
            .with("owner", ticket.owner.clone())
            .with("customer", ticket.customer.clone().map(|customer| customer.id))
    }

    /// Tells an event of the ticket, with what it says beside that.
    pub(crate) fn tell(&mut self, kind: &'static str, data: &Fields) {
        let mut all = self.about();
        data.iter().for_each(|(name, value)| all.set(name, value.clone()));
        self.events.push((kind, all));
    }

    /// Goes to another status, with all that the clock makes of it. Nothing happens if it stands there already.
    ///
    /// # Errors
    /// The host's; `rejected_status` for a step that leads nowhere.
    pub(crate) fn go(&mut self, next: Status) -> Result<(), Error> {
        let (from, now) = (self.ticket.status, self.now);
        if from == next {
            return Ok(());
        }
        if let Some(why) = from.refusal(next) {
            return Err(Error::new("rejected_status", why));
        }
        let warn = warn_at()?;
        if let Some(since) = self.ticket.waiting_since.take() {
            self.ticket.start_again(since, now, warn)?;
        }
        match next {
            Status::Waiting => {
                self.ticket.stop(now)?;
                self.ticket.waiting_since = Some(now);
            }
            Status::Solved => self.solve()?,
            Status::Closed => {
                self.ticket.stop(now)?;
                self.ticket.closed_at = Some(now);
            }
            _ => {}
        }
        if let (Status::Solved, true) = (from, next.is_active()) {
            let since = self.ticket.solved_at.take().unwrap_or(now);
            self.ticket.start_again(since, now, warn)?;
            self.ticket.reopens += 1;
            (self.ticket.handling, self.ticket.first_contact) = (None, false);
            self.tell("desk.ticket_reopened", &Fields::new().with("reopens", self.ticket.reopens));
        }
        self.ticket.status = next;
        Ok(())
    }

    fn solve(&mut self) -> Result<(), Error> {
        let (ticket, now) = (&mut self.ticket, self.now);
        ticket.handling = Some(ticket.worked(now)?);
        ticket.stop(now)?;
        // What is solved has been answered.
        ticket.responded_at.get_or_insert(now);
        ticket.solved_at = Some(now);
        ticket.first_contact = ticket.replies <= 1 && ticket.messages <= 1 && ticket.reopens == 0;
        let data = Fields::new()
            .with("handling_seconds", ticket.handling)
            .with("first_contact", ticket.first_contact)
            .with("in_time", ticket.resolution.breached_at.is_none());
        self.tell("desk.ticket_solved", &data);
        Ok(())
    }

    /// Writes the ticket back, has the plugin look at it again when the next thing falls due, and tells what happened.
    ///
    /// # Errors
    /// The host's.
    pub(crate) fn finish(mut self) -> Result<Ticket, Error> {
        let next = self.ticket.next();
        if next != self.ticket.clock_next {
            self.ticket.clock_next = next;
            if let Some(at) = next {
                let input = json!({ "ticket": self.ticket.reference().to_string(), "at": at.0 });
                jobs::start_at("tick", &input, at)?;
            }
        }
        let mut changed = Fields::new();
        for (name, value) in self.ticket.fields().iter() {
            if self.before.get(name).unwrap_or(&Value::Null) != value {
                changed.set(name, value.clone());
            }
        }
        if changed.iter().next().is_some() {
            records::update(&self.ticket.reference(), &changed)?;
        }
        let subject = self.ticket.reference();
        self.events.iter().try_for_each(|(kind, data)| events::emit(kind, &subject, data))?;
        Ok(self.ticket)
    }
}
