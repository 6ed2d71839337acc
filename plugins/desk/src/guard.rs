//! Looks at changes of tickets by others: a ticket goes from where it stands only where it may go.
//!
//! The plugin is not asked about what its own runs write; they keep to the same table.

use rapport_sdk::{Change, Fields, Refusal, Value};

use crate::status::Status;

/// Judges a change of a ticket.
///
/// # Errors
/// A [`Refusal`] of a status that does not follow from the one before, or of an empty subject.
pub(crate) fn judge(change: &Change) -> Result<(), Refusal> {
    if change.operation == "delete" {
        return Ok(());
    }
    let subject = text(&change.after, "subject").unwrap_or_default();
    if subject.trim().is_empty() {
        return Err(Refusal::new("no_subject", "a ticket says in its `subject` what it is about").at("subject"));
    }
    if change.operation != "update" || !change.sets("status") {
        return Ok(());
    }
    let status = |fields: &Fields| Status::parse(text(fields, "status").unwrap_or("new"));
    let (Ok(before), Ok(after)) = (status(&change.before), status(&change.after)) else {
        return Err(Refusal::new("status", "that is no status of a ticket").at("status"));
    };
    before.refusal(after).map_or(Ok(()), |why| Err(Refusal::new("status", why).at("status")))
}

fn text<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    match fields.get(name) {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(before: &str, after: &str) -> Change {
        let fields = |status: &str| Fields::new().with("subject", "Broken").with("status", status);
        Change { operation: "update".into(), before: fields(before), after: fields(after), ..Change::default() }
    }

    #[test]
    fn a_step_that_leads_nowhere_is_refused_at_its_field() {
        assert_eq!(judge(&change("open", "waiting")), Ok(()));
        let refusal = judge(&change("closed", "open")).unwrap_err();
        assert_eq!((refusal.code.as_str(), refusal.field.as_str()), ("status", "status"));
        assert!(refusal.message.contains("open a new one"), "{}", refusal.message);
    }

    #[test]
    fn a_ticket_says_what_it_is_about() {
        let mut change = change("new", "new");
        change.after.set("subject", "  ");
        assert_eq!(judge(&change).unwrap_err().field, "subject");
        change.operation = "delete".into();
        assert_eq!(judge(&change), Ok(()));
    }
}
