//! What is said on a ticket: to the customer, by the customer, and among those who work on it.

use rapport_sdk::{Error, Fields, Json, Record, Reference, Timestamp, messages, records, settings};

use crate::desk::Work;
use crate::input::{Flag, Input, refused};
use crate::open::{answer, customer_of};
use crate::status::Status;
use crate::ticket::{self, Ticket};

/// The object.
pub(crate) const OBJECT: &str = "ticket_comment";
/// The longest comment, in bytes.
pub(crate) const BODY_BYTES_MAX: usize = 100_000;

/// Whom a comment is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Kind {
    /// The customer sees it.
    Public,
    /// Only who works on the ticket sees it.
    #[default]
    Internal,
}

/// A comment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Comment<'a> {
    pub(crate) kind: Kind,
    /// `user:mei`, or the address of a customer.
    pub(crate) author: &'a str,
    pub(crate) body: &'a str,
    /// How it came: `api`, `mail`, `macro`, `desk`.
    pub(crate) via: &'a str,
    /// The key of the mail that it went out with.
    pub(crate) message: Option<&'a str>,
    /// The `Message-ID` of the mail that it came by.
    pub(crate) mail_id: Option<&'a str>,
    /// What makes that mail one.
    pub(crate) mail_key: Option<&'a str>,
}

/// Writes a comment, and nothing else.
///
/// # Errors
/// The host's.
pub(crate) fn write(ticket: &Ticket, comment: &Comment<'_>, now: Timestamp) -> Result<Record, Error> {
    let kind = if comment.kind == Kind::Public { "public" } else { "internal" };
    let fields = Fields::new()
        .with("ticket", ticket.reference())
        .with("kind", kind)
        .with("author", comment.author)
        .with("body", cut(comment.body))
        .with("via", comment.via)
        .with("at", now)
        .with("message", comment.message.map(message_atom))
        .with("mail_id", comment.mail_id)
        .with("mail_key", comment.mail_key);
    records::create(OBJECT, &fields)
}

/// The text, not longer than a comment may be.
fn cut(body: &str) -> String {
    let mut end = body.len().min(BODY_BYTES_MAX);
    while !body.is_char_boundary(end) {
        end -= 1;
    }
    // A NUL is nothing that a database keeps.
    body[..end].replace('\0', "")
}

/// The first part of the `Message-ID` of a mail that was sent with this key: the host writes all but letters, digits, `-` and `_` so.
fn message_atom(key: &str) -> String {
    let shown = |byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
        _ => format!("={byte:02x}"),
    };
    key.bytes().map(shown).collect()
}

/// Sends a mail to who asks, and gives its key; none if there is no address.
///
/// # Errors
/// The host's, such as `unknown_template`.
pub(crate) fn send(ticket: &Ticket, template: &str, body: &str) -> Result<Option<String>, Error> {
    let data = Fields::new()
        .with("number", ticket.name())
        .with("subject", ticket.subject.as_str())
        .with("body", body)
        .with("language", ticket.language.as_deref().unwrap_or("en"));
    if let Some(customer) = customer_of(ticket)?
        && customer
            .text("email")?
            .is_some_and(|email| ticket.requester.as_deref().is_none_or(|asks| email.to_lowercase() == asks))
    {
        return messages::email(&customer.reference(), template, &data).map(Some);
    }
    let Some(requester) = ticket.requester.as_deref() else { return Ok(None) };
    match messages::email_to(requester, template, &data) {
        Err(error) if matches!(error.code(), "invalid_address" | "no_address") => Ok(None),
        sent => sent.map(Some),
    }
}

/// Does the action `comment`.
///
/// # Errors
/// The host's.
pub(crate) fn comment(input: Input<'_>) -> Result<Json, Error> {
    let key = input.text("ticket")?;
    let Some(record) = ticket::find(key)? else { return Ok(unknown(key)) };
    let mut work = Work::on(&ticket::survivor(record)?)?;
    let body = input.text("body")?;
    if input.optional("from")? == Some("customer") {
        let author = work.ticket.requester.clone().unwrap_or_else(|| input.caller.to_owned());
        if work.ticket.status == Status::Closed {
            return Ok(refused("rejected_status", "a closed ticket stays closed: open a new one and link it"));
        }
        heard(&mut work, &Comment { kind: Kind::Public, author: &author, body, via: "api", ..Comment::default() })?;
        return Ok(answer("ok", &work.finish()?));
    }
    let comment = Comment { author: input.caller, body, via: "api", ..Comment::default() };
    if input.optional("kind")? == Some("internal") {
        write(&work.ticket, &comment, work.now)?;
        noted(&mut work, &comment, "agent");
        return Ok(answer("ok", &work.finish()?));
    }
    let mailed = reply(&mut work, &comment, input.flag("mail", Flag::On))?;
    let mut told = answer("ok", &work.finish()?);
    told["mailed"] = mailed.is_some().into();
    Ok(told)
}

/// Answers the customer: the first answer is noted, and a mail goes out if there is an address. Gives its key.
///
/// # Errors
/// The host's; `rejected_status` for a closed ticket, of which nothing is written then.
pub(crate) fn reply(work: &mut Work, comment: &Comment<'_>, mail: bool) -> Result<Option<String>, Error> {
    if work.ticket.status == Status::Closed {
        return Err(Error::new("rejected_status", "a closed ticket is not answered: open a new one and link it"));
    }
    let template: String = settings::get("reply_template")?;
    let key = if mail && !template.is_empty() { send(&work.ticket, &template, comment.body)? } else { None };
    write(&work.ticket, &Comment { kind: Kind::Public, message: key.as_deref(), ..*comment }, work.now)?;
    work.ticket.replies += 1;
    work.ticket.responded_at.get_or_insert(work.now);
    if work.ticket.status == Status::New {
        work.go(Status::Open)?;
    }
    noted(work, &Comment { kind: Kind::Public, ..*comment }, "agent");
    Ok(key)
}

/// The customer says something: a ticket that waits for it, or was solved, is open again.
///
/// # Errors
/// The host's.
pub(crate) fn heard(work: &mut Work, comment: &Comment<'_>) -> Result<Record, Error> {
    let record = write(&work.ticket, comment, work.now)?;
    work.ticket.messages += 1;
    if matches!(work.ticket.status, Status::Waiting | Status::Solved) {
        work.go(Status::Open)?;
    }
    noted(work, comment, "customer");
    Ok(record)
}

/// Tells that something was said.
pub(crate) fn noted(work: &mut Work, comment: &Comment<'_>, from: &str) {
    let kind = if comment.kind == Kind::Public { "public" } else { "internal" };
    let data =
        Fields::new().with("comment", kind).with("from", from).with("author", comment.author).with("via", comment.via);
    work.tell("desk.ticket_commented", &data);
}

/// The answer for a ticket that is not there.
pub(crate) fn unknown(key: &str) -> Json {
    refused("rejected_unknown", format!("there is no ticket `{key}`: give its number (`T-1001`) or its id"))
}

/// The comments of a ticket, those behind the comment `after`, by id.
///
/// # Errors
/// The host's.
pub(crate) fn of(ticket: &Reference, after: &str, limit: u32) -> Result<Vec<Record>, Error> {
    records::find(OBJECT).filter("ticket == t").param("t", ticket.clone()).after(after).limit(limit).run()
}
