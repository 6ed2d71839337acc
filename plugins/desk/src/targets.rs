//! What is promised for a ticket: by an operator's script, else by the table in the settings.

use rapport_sdk::{Error, Json, Record, scripts, settings};
use serde_json::json;

use crate::clock::WarnAt;
use crate::input::record_json;
use crate::status;
use crate::ticket::Ticket;
use rapport_sdk::Timestamp;

/// What a script says of a ticket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Said {
    calendar: Option<String>,
    response: Option<String>,
    resolution: Option<String>,
    tier: Option<String>,
}

/// The ticket as scripts are given it.
pub(crate) fn ticket_json(ticket: &Ticket) -> Json {
    json!({
        "id": ticket.id, "number": ticket.number, "subject": ticket.subject, "description": ticket.description,
        "language": ticket.language, "status": ticket.status.as_str(), "priority": ticket.priority, "kind": ticket.kind,
        "queue": ticket.queue, "owner": ticket.owner, "channel": ticket.channel, "requester": ticket.requester,
        "customer": ticket.customer.as_ref().map(ToString::to_string), "tier": ticket.tier, "reopens": ticket.reopens,
        "replies": ticket.replies, "messages": ticket.messages,
    })
}

/// Promises what the script or the table says, counted from when the ticket was opened. Notes tier and calendar.
///
/// # Errors
/// The host's; what the script fails with; `targets` for an answer that is none.
pub(crate) fn promise(
    ticket: &mut Ticket,
    customer: Option<&Record>,
    now: Timestamp,
    warn: WarnAt,
) -> Result<(), Error> {
    let said = ask(ticket, customer)?;
    let table: Json = settings::get("sla")?;
    let row = &table[ticket.priority.as_str()];
    let of = |name: &str| row[name].as_str().map(str::to_owned);
    let fallback: String = settings::get("calendar")?;
    let calendar = said.calendar.or_else(|| ticket.calendar.clone()).unwrap_or(fallback);
    if let Some(tier) = said.tier {
        ticket.tier = Some(tier);
    }
    if calendar.is_empty() {
        ticket.calendar = None;
        return ticket.promise([None, None], now, warn);
    }
    ticket.calendar = Some(calendar);
    let spans = [said.response.or_else(|| of("first_response")), said.resolution.or_else(|| of("resolution"))];
    ticket.promise(spans.map(|span| span.filter(|span| !span.is_empty())), now, warn)
}

fn ask(ticket: &Ticket, customer: Option<&Record>) -> Result<Said, Error> {
    let script: String = settings::get("targets")?;
    if script.is_empty() {
        return Ok(Said::default());
    }
    let answer = scripts::run(&script, "targets", &[ticket_json(ticket), customer.map_or(Json::Null, record_json)])?;
    let text = |name: &str| match &answer[name] {
        Json::Null => Ok(None),
        Json::String(text) => Ok(Some(text.clone())),
        other => {
            Err(Error::new("targets", format!("`targets` of `{script}` gives `{name}` as {other}, not as a text")))
        }
    };
    Ok(Said {
        calendar: text("calendar")?,
        response: text("first_response")?,
        resolution: text("resolution")?,
        tier: text("tier")?,
    })
}

/// How pressing a ticket is of which nobody said it: as the operator's script grades it, else `normal`.
///
/// # Errors
/// The host's; what the script fails with; `invalid` if it gives no priority.
pub(crate) fn grade(ticket: &Ticket, customer: Option<&Record>) -> Result<&'static str, Error> {
    let script: String = settings::get("grading")?;
    if script.is_empty() {
        return Ok("normal");
    }
    let answer = scripts::run(&script, "grade", &[ticket_json(ticket), customer.map_or(Json::Null, record_json)])?;
    status::priority(answer.as_str().unwrap_or_default())
        .map_err(|error| Error::new("grading", format!("`grade` of `{script}`: {error}")))
}
