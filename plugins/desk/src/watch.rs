//! Follows tickets that others write: a form, an import, a script. From then on they are like those that the plugin has opened itself.
//!
//! The conditions in `plugin.toml` let only those events through whose ticket is not in order; what the plugin writes itself is.

use rapport_sdk::{Error, Event};

use crate::desk::Work;
use crate::open;
use crate::status::Status;
use crate::ticket::{self, Ticket};

/// Handles `ticket.created` and `ticket.updated`.
///
/// # Errors
/// The host's.
pub(crate) fn follow(event: &Event) -> Result<(), Error> {
    let Some(subject) = &event.subject else { return Ok(()) };
    // As it is now: somebody may have been there since.
    let Some(record) = ticket::find(&subject.id)? else { return Ok(()) };
    let ticket = Ticket::read(&record)?;
    if ticket.opened_at.is_none() {
        return open::adopt(&record);
    }
    let mut work = Work::on(&record)?;
    let status = ticket.status;
    let was = before(&ticket);
    if was == status {
        return Ok(());
    }
    // It stands there already; the clock has yet to follow.
    work.ticket.status = was;
    work.go(status)?;
    work.finish().map(drop)
}

/// Where the clock thinks that a ticket stands.
fn before(ticket: &Ticket) -> Status {
    match ticket.status {
        Status::Waiting if ticket.waiting_since.is_none() => Status::Open,
        Status::Solved if ticket.solved_at.is_none() => waiting_or_open(ticket),
        Status::Closed if ticket.closed_at.is_none() => {
            if ticket.solved_at.is_some() {
                Status::Solved
            } else {
                waiting_or_open(ticket)
            }
        }
        Status::New | Status::Open | Status::OnHold if ticket.solved_at.is_some() => Status::Solved,
        Status::New | Status::Open | Status::OnHold if ticket.waiting_since.is_some() => Status::Waiting,
        status => status,
    }
}

fn waiting_or_open(ticket: &Ticket) -> Status {
    if ticket.waiting_since.is_some() { Status::Waiting } else { Status::Open }
}
