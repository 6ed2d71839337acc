//! The clock of a ticket: what is due when, in business time, and what has become of it.
//!
//! ```text
//! started ─▶ running ⇄ stopped (waiting for the customer; solved)
//!               │ warn_at: warned, once       │ due: breached, once
//! ```
//! While it stands still a promise has no due instant but business seconds that are left, and these run on from where it starts again.
//! A promise that was broken stays broken. Whoever works on a ticket settles it first, so that nothing depends on when a job runs.

use rapport_sdk::{Error, Timestamp};

use crate::business;
use crate::ticket::{Promise, Ticket};

/// What a promise is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// A first answer.
    Response,
    /// A solution.
    Resolution,
}

impl What {
    /// As events have it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Response => "first_response",
            Self::Resolution => "resolution",
        }
    }
}

/// Something that has come to pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Passed {
    /// Which promise.
    pub(crate) what: What,
    /// Whether it was broken; else it will soon be.
    pub(crate) breached: bool,
    /// When it is, or was, due.
    pub(crate) due: Timestamp,
}

/// How much of a target may be used up before there is a warning, in per cent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WarnAt(pub(crate) i64);

impl Ticket {
    fn calendar(&self) -> &str {
        self.calendar.as_deref().unwrap_or_default()
    }

    /// Whether the clock runs.
    fn runs(&self) -> bool {
        self.opened_at.is_some() && self.waiting_since.is_none() && self.status.is_active()
    }

    fn awaited(&mut self, what: What) -> Option<&mut Promise> {
        match what {
            What::Response => self.responded_at.is_none().then_some(&mut self.response),
            What::Resolution => Some(&mut self.resolution),
        }
    }

    /// Notes what has come to pass by `now`, each once.
    pub(crate) fn settle(&mut self, now: Timestamp) -> Vec<Passed> {
        let mut passed = Vec::new();
        if !self.runs() {
            return passed;
        }
        for what in [What::Response, What::Resolution] {
            let Some(promise) = self.awaited(what) else { continue };
            let Some(due) = promise.due else { continue };
            if promise.breached_at.is_some() {
                continue;
            }
            if due <= now {
                promise.breached_at = Some(due);
                passed.push(Passed { what, breached: true, due });
            } else if promise.warned_at.is_none() && promise.warn_at.is_some_and(|at| at <= now) {
                promise.warned_at = Some(now);
                passed.push(Passed { what, breached: false, due });
            }
        }
        passed
    }

    /// The next instant at which something comes to pass if nobody does anything.
    pub(crate) fn next(&mut self) -> Option<Timestamp> {
        if !self.runs() {
            return None;
        }
        let mut next: Option<Timestamp> = None;
        for what in [What::Response, What::Resolution] {
            let Some(promise) = self.awaited(what) else { continue };
            if promise.breached_at.is_some() {
                continue;
            }
            let warning = promise.warn_at.filter(|_| promise.warned_at.is_none());
            next = [next, warning, promise.due].into_iter().flatten().min();
        }
        next
    }

    /// Stops the clock: what is left of each promise is kept.
    ///
    /// # Errors
    /// The host's.
    pub(crate) fn stop(&mut self, now: Timestamp) -> Result<(), Error> {
        let calendar = self.calendar().to_owned();
        for what in [What::Response, What::Resolution] {
            let Some(promise) = self.awaited(what) else { continue };
            let Some(due) = promise.due.filter(|_| promise.breached_at.is_none()) else { continue };
            promise.left = Some(business::elapsed(&calendar, now, due)?);
            (promise.due, promise.warn_at) = (None, None);
        }
        Ok(())
    }

    /// Starts the clock again after it stood still since `since`: what was left runs on from `now`.
    ///
    /// # Errors
    /// The host's.
    pub(crate) fn start_again(&mut self, since: Timestamp, now: Timestamp, warn: WarnAt) -> Result<(), Error> {
        let calendar = self.calendar().to_owned();
        self.paused += business::elapsed(&calendar, since, now)?;
        for what in [What::Response, What::Resolution] {
            let Some(promise) = self.awaited(what) else { continue };
            let Some(left) = promise.left.take() else { continue };
            promise.due = Some(business::due(&calendar, now, &business::seconds(left))?);
            warn_of(promise, &calendar, now, warn)?;
        }
        Ok(())
    }

    /// Promises anew, counted from when the ticket was opened: what has not counted so far does not count.
    ///
    /// # Errors
    /// The host's, such as `invalid` for a target that is no span of time.
    pub(crate) fn promise(&mut self, targets: [Option<String>; 2], now: Timestamp, warn: WarnAt) -> Result<(), Error> {
        let (calendar, paused) = (self.calendar().to_owned(), self.paused);
        let (opened, stopped) = (self.opened_at.unwrap_or(now), self.waiting_since.or(self.solved_at));
        for (what, target) in [What::Response, What::Resolution].into_iter().zip(targets) {
            let Some(promise) = self.awaited(what) else { continue };
            (promise.due, promise.left, promise.warn_at) = (None, None, None);
            promise.target.clone_from(&target);
            let Some(target) = target else { continue };
            let mut due = business::due(&calendar, opened, &target)?;
            if paused > 0 {
                due = business::due(&calendar, due, &business::seconds(paused))?;
            }
            if let Some(since) = stopped {
                promise.left = Some(business::elapsed(&calendar, since, due)?);
            } else {
                promise.due = Some(due);
                warn_of(promise, &calendar, now, warn)?;
            }
        }
        Ok(())
    }

    /// Business seconds from opening until `now` that counted.
    ///
    /// # Errors
    /// The host's.
    pub(crate) fn worked(&self, now: Timestamp) -> Result<i64, Error> {
        let opened = self.opened_at.unwrap_or(now);
        Ok((business::elapsed(self.calendar(), opened, now)? - self.paused).max(0))
    }
}

/// Sets when there is a warning: when the given part of the target is used up, or at once if it is.
fn warn_of(promise: &mut Promise, calendar: &str, now: Timestamp, WarnAt(percent): WarnAt) -> Result<(), Error> {
    promise.warn_at = None;
    let (Some(due), Some(target)) = (promise.due, promise.target.as_deref()) else { return Ok(()) };
    if promise.warned_at.is_some() || !(1..100).contains(&percent) || due <= now {
        return Ok(());
    }
    let whole = business::elapsed(calendar, now, business::due(calendar, now, target)?)?;
    let lead = whole - whole / 100 * percent - whole % 100 * percent / 100;
    let left = business::elapsed(calendar, now, due)?;
    promise.warn_at =
        Some(if left > lead { business::due(calendar, now, &business::seconds(left - lead))? } else { now });
    Ok(())
}
