//! Canned answers: texts that operators keep as records, with places that are filled in for a ticket.

use rapport_sdk::{Error, Json, Record, records};
use serde_json::json;

use crate::comments::{self, Comment, unknown};
use crate::desk::Work;
use crate::input::{Flag, Input, refused};
use crate::open::{answer, customer_of};
use crate::ticket::{self, Ticket};

/// The places that are filled in.
const PLACES: &str = "customer.FIELD, ticket.number, ticket.subject, ticket.status, owner";

/// The text of the canned answer `name`, filled in; or what is wrong.
///
/// # Errors
/// The host's.
pub(crate) fn fill(
    name: &str,
    language: Option<&str>,
    ticket: &Ticket,
    who: &str,
) -> Result<Result<String, String>, Error> {
    let Some(record) = records::get("canned_answer", &format!("name:{name}"))? else {
        return Ok(Err(format!("there is no canned answer `{name}`")));
    };
    let language = language.or(ticket.language.as_deref()).unwrap_or("en");
    let first = if language.starts_with("zh") { ["zh", "en"] } else { ["en", "zh"] };
    let texts = [record.text(first[0])?, record.text(first[1])?];
    let Some(text) = texts.into_iter().flatten().find(|text| !text.trim().is_empty()) else {
        return Ok(Err(format!("the canned answer `{name}` has no text: set its field `en` or `zh`")));
    };
    let customer = customer_of(ticket)?;
    Ok(filled(&text, |place| of(place, ticket, customer.as_ref(), who))
        .map_err(|place| format!("the canned answer `{name}` has the place `{{{place}}}`; known are {PLACES}")))
}

/// What stands in a place; none for one that is not known.
fn of(place: &str, ticket: &Ticket, customer: Option<&Record>, who: &str) -> Option<String> {
    if let Some(field) = place.strip_prefix("customer.") {
        let Some(customer) = customer else { return Some(String::new()) };
        return match crate::input::value_json(customer.fields.get(field)?) {
            Json::Null => Some(String::new()),
            Json::String(text) => Some(text),
            other => Some(other.to_string()),
        };
    }
    match place {
        "ticket.number" => Some(ticket.name().to_owned()),
        "ticket.subject" => Some(ticket.subject.clone()),
        "ticket.status" => Some(ticket.status.as_str().to_owned()),
        "owner" => Some(ticket.owner.clone().unwrap_or_else(|| who.to_owned())),
        _ => None,
    }
}

/// The text with its places filled in once: what is filled in is not looked at again. `{{` and `}}` stand for braces.
///
/// # Errors
/// The first place that is not known.
fn filled(text: &str, value: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(behind) = rest.strip_prefix(brace) {
            out.push_str(brace);
            rest = behind;
            continue;
        }
        let Some((place, behind)) = rest.split_once('}').filter(|_| brace == "{") else {
            out.push_str(brace);
            continue;
        };
        out.push_str(&value(place.trim()).ok_or_else(|| place.trim().to_owned())?);
        rest = behind;
    }
    out.push_str(rest);
    Ok(out)
}

/// Does the action `canned`: shows the text, or answers with it.
///
/// # Errors
/// The host's.
pub(crate) fn canned(input: Input<'_>) -> Result<Json, Error> {
    let key = input.text("ticket")?;
    let Some(record) = ticket::find(key)? else { return Ok(unknown(key)) };
    let record = ticket::survivor(record)?;
    let mut work = Work::on(&record)?;
    let text = match fill(input.text("name")?, input.optional("language")?, &work.ticket, input.caller)? {
        Ok(text) => text,
        Err(why) => return Ok(refused("rejected_unknown", why)),
    };
    if !input.flag("send", Flag::Off) {
        return Ok(json!({ "result": "ok", "text": text }));
    }
    let comment = Comment { author: input.caller, body: &text, via: "canned", ..Comment::default() };
    let mailed = comments::reply(&mut work, &comment, true)?;
    let mut told = answer("ok", &work.finish()?);
    told["text"] = text.into();
    told["mailed"] = mailed.is_some().into();
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str) -> Result<String, String> {
        filled(text, |place| match place {
            "customer.name" => Some("{owner} <Ada>".into()),
            "owner" => Some("mei".into()),
            _ => None,
        })
    }

    #[test]
    fn places_are_filled_in_once() {
        assert_eq!(with("Dear { customer.name }, {owner}").unwrap(), "Dear {owner} <Ada>, mei");
        assert_eq!(with("您好，{owner}。").unwrap(), "您好，mei。");
    }

    #[test]
    fn braces_stand_for_themselves_when_doubled_or_open() {
        assert_eq!(with("{{owner}} { } and {").unwrap_err(), "");
        assert_eq!(with("{{owner}} and } and {").unwrap(), "{owner} and } and {");
    }

    #[test]
    fn a_place_that_is_not_known_is_named() {
        assert_eq!(with("Hello {custmer.name}").unwrap_err(), "custmer.name");
    }
}
