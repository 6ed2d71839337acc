//! Finds the ticket that a message belongs to.
//!
//! A message names one by what it answers (a mail that the desk has sent, or one that came in before), or by `[T-1001]` in its subject. Who
//! knows such an id or number is not therefore somebody who may write there: the sender must be who asked, the customer, or somebody who
//! has written on that ticket by mail before. Others get a ticket of their own, with a note and a link that only the desk sees.

use rapport_sdk::{Error, Record, records};

use super::parse::Message;
use crate::comments;
use crate::open::customer_of;
use crate::ticket::{self, Ticket};

/// Where a message belongs.
#[derive(Debug)]
pub(super) enum Place {
    /// On this ticket.
    On(Box<Record>),
    /// It names this ticket, and its sender has nothing to do with it.
    Strange(Box<Record>),
    /// It names none.
    Nowhere,
}

/// Finds where a message belongs.
///
/// # Errors
/// The host's.
pub(super) fn place(message: &Message<'_>) -> Result<Place, Error> {
    let Some(named) = named(message)? else { return Ok(Place::Nowhere) };
    let record = ticket::survivor(named)?;
    let record = Box::new(record);
    Ok(if belongs(&message.from, &Ticket::read(&record)?)? { Place::On(record) } else { Place::Strange(record) })
}

/// The ticket that a message names.
fn named(message: &Message<'_>) -> Result<Option<Record>, Error> {
    for id in message.references.iter().take(20) {
        // What the desk has sent carries the key of its message as the first part.
        let sent = id.split('@').next().unwrap_or_default();
        let rule = "message == sent || mail_id == came";
        let found = records::find(comments::OBJECT)
            .filter(rule)
            .param("sent", sent)
            .param("came", id.as_str())
            .limit(1)
            .run()?;
        if let Some(comment) = found.first()
            && let Some(of) = comment.read::<rapport_sdk::Reference>("ticket")?
            && let Some(record) = records::get(ticket::OBJECT, &of.id)?
        {
            return Ok(Some(record));
        }
    }
    match tag(&message.subject) {
        Some(number) => ticket::find(&number),
        None => Ok(None),
    }
}

/// The number in the last `[T-1001]` of a subject.
fn tag(subject: &str) -> Option<String> {
    let mut rest = subject;
    while let Some(at) = rest.rfind("[T-") {
        let digits: String = rest[at + 3..].chars().take_while(char::is_ascii_digit).take(12).collect();
        if !digits.is_empty() && rest[at + 3 + digits.len()..].starts_with(']') {
            return Some(format!("T-{digits}"));
        }
        rest = &rest[..at];
    }
    None
}

/// Whether somebody may write on a ticket by mail.
fn belongs(from: &str, ticket: &Ticket) -> Result<bool, Error> {
    if ticket.requester.as_deref() == Some(from) {
        return Ok(true);
    }
    let email = customer_of(ticket)?.map(|customer| customer.text("email")).transpose()?.flatten();
    if email.is_some_and(|email| email.to_lowercase() == from) {
        return Ok(true);
    }
    let rule = "ticket == t && author == a && via == 'mail' && kind == 'public'";
    let written = records::find(comments::OBJECT).filter(rule).param("t", ticket.reference()).param("a", from);
    Ok(!written.limit(1).run()?.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_number_of_a_subject_counts() {
        assert_eq!(tag("Re: [T-1001] was [T-7]: x").as_deref(), Some("T-7"));
        assert_eq!(tag("回复：[T-1001] 坏了").as_deref(), Some("T-1001"));
        for none in ["T-1001", "[T-]", "[T-1x]", "[T-1", "[T-12345678901234]"] {
            assert_eq!(tag(none), None, "{none}");
        }
    }
}
