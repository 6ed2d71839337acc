//! Links between tickets.

use rapport_sdk::{Error, Fields, Json, Record, Reference, records};

use crate::comments::unknown;
use crate::desk::Work;
use crate::input::{Input, refused};
use crate::open::answer;
use crate::ticket;

/// The object.
pub(crate) const OBJECT: &str = "ticket_link";
/// What one ticket can be to another.
const KINDS: [&str; 5] = ["relates", "duplicates", "blocks", "causes", "follows"];

/// Links the ticket to the one that `to` names: whether it was not so before; or what is wrong.
///
/// # Errors
/// The host's.
pub(crate) fn add(work: &Work, to: &str, kind: &str) -> Result<Result<bool, String>, Error> {
    if !KINDS.contains(&kind) {
        return Ok(Err(format!("`{kind}` is no link: write one of {}", KINDS.join(", "))));
    }
    let Some(other) = ticket::find(to)? else { return Ok(Err(format!("there is no ticket `{to}`"))) };
    if other.id == work.ticket.id {
        return Ok(Err("a ticket is not linked to itself".into()));
    }
    join(&work.ticket.reference(), &other.reference(), kind).map(Ok)
}

/// Links one ticket to another; false if they are linked so already.
///
/// # Errors
/// The host's.
pub(crate) fn join(from: &Reference, to: &Reference, kind: &str) -> Result<bool, Error> {
    let key = key(&from.id, kind, &to.id);
    if records::get(OBJECT, &format!("key:{key}"))?.is_some() {
        return Ok(false);
    }
    let fields = Fields::new().with("key", key).with("from", from.clone()).with("to", to.clone()).with("kind", kind);
    records::create(OBJECT, &fields)?;
    Ok(true)
}

fn key(from: &str, kind: &str, to: &str) -> String {
    format!("{from} {kind} {to}")
}

/// Gives the links of one ticket to another. Those that would lead from it to itself, and those that it has already, go.
///
/// # Errors
/// The host's.
pub(crate) fn pass_on(from: &Reference, to: &Reference) -> Result<(), Error> {
    let query = records::find(OBJECT).filter("from == t || to == t").param("t", from.clone()).limit(200);
    for link in query.run()? {
        let end = |link: &Record, name: &str| {
            let end: Option<Reference> = link.read(name)?;
            Ok::<_, Error>(end.map(|end| if end.id == from.id { to.id.clone() } else { end.id }).unwrap_or_default())
        };
        let (start, stop) = (end(&link, "from")?, end(&link, "to")?);
        let kind = link.text("kind")?.unwrap_or_default();
        let key = key(&start, &kind, &stop);
        if start == stop || records::get(OBJECT, &format!("key:{key}"))?.is_some_and(|other| other.id != link.id) {
            records::delete(&link.reference())?;
            continue;
        }
        let ends = Fields::new()
            .with("key", key)
            .with("from", Reference::new(ticket::OBJECT, start))
            .with("to", Reference::new(ticket::OBJECT, stop));
        records::update(&link.reference(), &ends)?;
    }
    Ok(())
}

/// Does the action `link`.
///
/// # Errors
/// The host's.
pub(crate) fn link(input: Input<'_>) -> Result<Json, Error> {
    let key = input.text("ticket")?;
    let Some(record) = ticket::find(key)? else { return Ok(unknown(key)) };
    let work = Work::on(&record)?;
    match add(&work, input.text("to")?, input.optional("kind")?.unwrap_or("relates"))? {
        Err(why) => Ok(refused("rejected_link", why)),
        Ok(new) => Ok(answer(if new { "ok" } else { "duplicate_ignored" }, &work.finish()?)),
    }
}
