//! What the desk can be asked to do by name. Each answers `{"result": "ok" | …}`; a refusal is an answer, with its reason in `message`.

use rapport_sdk::{Call, Error, Json, Record, records};

use crate::comments::{self, unknown};
use crate::desk::{Work, warn_at};
use crate::input::{Input, refused};
use crate::open::{answer, customer_of, queue_of};
use crate::status::{self, Status};
use crate::ticket::{self, Ticket};
use crate::{canned, files, kb, links, macros, mail, merging, open, report, targets};

/// Does what the action is.
///
/// # Errors
/// The host's; `invalid` for an input that the action's schema does not allow.
pub(crate) fn call(call: &Call) -> Result<Json, Error> {
    let input = Input::new(&call.input, &call.caller);
    let done = match call.action.as_str() {
        "open" => open::open(input),
        "comment" => comments::comment(input),
        "assign" => assign(input),
        "change" => change(input),
        "wait" => go(input, Status::Waiting),
        "hold" => go(input, Status::OnHold),
        "resume" => resume(input),
        "solve" => solve(input),
        "reopen" => reopen(input),
        "close" => go(input, Status::Closed),
        "merge" => merging::merge(input),
        "link" => links::link(input),
        "canned" => canned::canned(input),
        "macro" => macros::run(input),
        "attach" => files::attach_to(input),
        "mail_in" => mail::action(input),
        "tick" => tick(input),
        "recompute" => recompute(input),
        "report" => report::report(input),
        "loop_report" => report::loop_report(input),
        "kb_save" => kb::save(input),
        "kb_publish" => kb::publish(input),
        "kb_withdraw" => kb::withdraw(input),
        "kb_search" => kb::search::search(input),
        "suggest" => kb::search::suggest(input),
        other => Err(Error::new("invalid", format!("there is no action `{other}`"))),
    };
    match done {
        // A step that leads nowhere changes nothing: it is found before anything is written.
        Err(error) if error.code() == "rejected_status" => Ok(refused("rejected_status", error.to_string())),
        done => done,
    }
}

/// Works on the ticket that the input names; one that was merged stands for where it went.
fn on(input: Input<'_>, work_on: impl FnOnce(&mut Work) -> Result<(), Error>) -> Result<Json, Error> {
    let key = input.text("ticket")?;
    let Some(record) = ticket::find(key)? else { return Ok(unknown(key)) };
    let mut work = Work::on(&ticket::survivor(record)?)?;
    work_on(&mut work)?;
    Ok(answer("ok", &work.finish()?))
}

fn go(input: Input<'_>, next: Status) -> Result<Json, Error> {
    on(input, |work| {
        work.go(next)?;
        note(work, input)
    })
}

/// Writes the note that came along, if one did.
fn note(work: &Work, input: Input<'_>) -> Result<(), Error> {
    let Some(body) = input.optional("note")? else { return Ok(()) };
    let comment = comments::Comment { author: input.caller, body, via: "api", ..comments::Comment::default() };
    comments::write(&work.ticket, &comment, work.now).map(drop)
}

fn resume(input: Input<'_>) -> Result<Json, Error> {
    on(input, |work| match work.ticket.status {
        Status::Solved | Status::Closed => {
            Err(Error::new("rejected_status", "what is solved is not resumed but reopened"))
        }
        _ => work.go(Status::Open),
    })
}

fn solve(input: Input<'_>) -> Result<Json, Error> {
    on(input, |work| {
        if let Some(why) = work.ticket.status.refusal(Status::Solved) {
            return Err(Error::new("rejected_status", why));
        }
        if let Some(body) = input.optional("comment")? {
            let comment = comments::Comment { author: input.caller, body, via: "api", ..comments::Comment::default() };
            comments::reply(work, &comment, true)?;
        }
        work.go(Status::Solved)?;
        note(work, input)
    })
}

fn reopen(input: Input<'_>) -> Result<Json, Error> {
    on(input, |work| match work.ticket.status {
        Status::Solved => {
            work.go(Status::Open)?;
            note(work, input)
        }
        Status::Closed => Err(Error::new("rejected_status", Status::Closed.refusal(Status::Open).unwrap_or_default())),
        _ => Err(Error::new("rejected_status", "only a ticket that is solved is reopened")),
    })
}

/// Gives a ticket to somebody, or to nobody.
fn assign(input: Input<'_>) -> Result<Json, Error> {
    on(input, |work| set_owner(work, input.optional("owner")?))
}

/// Sets who works on a ticket: one that nobody has touched is then open.
///
/// # Errors
/// The host's; `rejected_status` for a closed one.
pub(crate) fn set_owner(work: &mut Work, owner: Option<&str>) -> Result<(), Error> {
    if work.ticket.status == Status::Closed {
        return Err(Error::new("rejected_status", "a closed ticket stays as it is"));
    }
    work.ticket.owner = owner.map(str::to_owned);
    if owner.is_some() && work.ticket.status == Status::New {
        work.go(Status::Open)?;
    }
    Ok(())
}

/// What changes of a ticket.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Changes<'a> {
    pub(crate) priority: Option<&'a str>,
    pub(crate) queue: Option<&'a str>,
    pub(crate) kind: Option<&'a str>,
    pub(crate) subject: Option<&'a str>,
    pub(crate) tier: Option<&'a str>,
}

fn change(input: Input<'_>) -> Result<Json, Error> {
    let changes = Changes {
        priority: input.optional("priority")?,
        queue: input.optional("queue")?,
        kind: input.optional("kind")?,
        subject: input.optional("subject")?,
        tier: input.optional("tier")?,
    };
    on(input, |work| {
        set(work, changes)?;
        tag(work, &input.texts("tags"), &input.texts("untag"))
    })
}

/// Changes a ticket, and promises anew what follows from it.
///
/// # Errors
/// The host's; `invalid` for what is no priority or queue; `rejected_status` for a closed one.
pub(crate) fn set(work: &mut Work, changes: Changes<'_>) -> Result<(), Error> {
    if work.ticket.status == Status::Closed {
        return Err(Error::new("rejected_status", "a closed ticket stays as it is"));
    }
    let was =
        (work.ticket.priority.clone(), work.ticket.kind.clone(), work.ticket.queue.clone(), work.ticket.tier.clone());
    if let Some(said) = changes.priority {
        status::priority(said)?.clone_into(&mut work.ticket.priority);
    }
    if let Some(name) = changes.queue {
        let queue = queue_of(name)?.ok_or_else(|| Error::new("invalid", format!("there is no queue `{name}`")))?;
        work.ticket.calendar = queue.text("calendar")?.or(work.ticket.calendar.take());
        work.ticket.queue = Some(name.to_owned());
    }
    if let Some(kind) = changes.kind {
        kind.clone_into(&mut work.ticket.kind);
    }
    if let Some(subject) = changes.subject {
        work.ticket.subject = subject.trim().chars().take(open::SUBJECT_CHARS_MAX).collect();
    }
    if let Some(tier) = changes.tier {
        work.ticket.tier = Some(tier.to_owned());
    }
    let is =
        (work.ticket.priority.clone(), work.ticket.kind.clone(), work.ticket.queue.clone(), work.ticket.tier.clone());
    if was == is { Ok(()) } else { promise_anew(work) }
}

fn promise_anew(work: &mut Work) -> Result<(), Error> {
    let customer = customer_of(&work.ticket)?;
    targets::promise(&mut work.ticket, customer.as_ref(), work.now, warn_at()?)?;
    work.settle_again();
    Ok(())
}

/// Adds and takes away tags.
///
/// # Errors
/// The host's.
pub(crate) fn tag(work: &Work, add: &[&str], remove: &[&str]) -> Result<(), Error> {
    if !add.is_empty() {
        records::tag(&work.ticket.reference(), add)?;
    }
    if !remove.is_empty() {
        records::untag(&work.ticket.reference(), remove)?;
    }
    Ok(())
}

/// Looks at a ticket for which something falls due. What has changed since the job was started is looked at as it is now.
fn tick(input: Input<'_>) -> Result<Json, Error> {
    let Some(record) = ticket::find(input.text("ticket")?)? else {
        return Ok(refused("rejected_unknown", "it is gone"));
    };
    let ticket = Ticket::read(&record)?;
    if ticket.clock_next.map(|at| at.0) != input.number("at") {
        return Ok(answer("superseded", &ticket));
    }
    Ok(answer("ok", &Work::on(&record)?.finish()?))
}

/// Promises anew for open tickets after a calendar or the targets have changed, some at a time.
fn recompute(input: Input<'_>) -> Result<Json, Error> {
    let after = input.optional("after")?.unwrap_or_default();
    let rule = "status in ['new', 'open', 'waiting', 'on_hold'] && opened_at != null";
    let mut query = records::find(ticket::OBJECT).filter(rule).after(after).limit(50);
    if let Some(calendar) = input.optional("calendar")? {
        query = query.filter(&format!("{rule} && calendar == c")).param("c", calendar);
    }
    let found = query.run()?;
    for record in &found {
        let mut work = Work::on(record)?;
        promise_anew(&mut work)?;
        work.finish()?;
    }
    let after = (found.len() == 50).then(|| found.last().map(|last: &Record| last.id.clone())).flatten();
    Ok(serde_json::json!({ "result": "ok", "tickets": found.len(), "after": after }))
}
