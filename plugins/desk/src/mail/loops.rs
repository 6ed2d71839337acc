//! Knows what a machine has written, so that two machines do not answer each other for ever.
//!
//! RFC 3834 (`Auto-Submitted`), RFC 2919 (`List-Id`), RFC 2369 (`List-Unsubscribe`), and what older programs say: `Precedence`,
//! `X-Auto-Response-Suppress`, an empty `Return-Path`, the names of mail servers.

use super::parse::Message;

/// The first part of addresses behind which nobody reads.
const NOBODY: [&str; 7] =
    ["mailer-daemon", "postmaster", "noreply", "no-reply", "donotreply", "do-not-reply", "bounce"];

/// Why a message is taken for one that a machine has sent by itself; none if it is taken for that of a person.
pub(super) fn automatic(message: &Message<'_>) -> Option<String> {
    let sign = |name: &str| message.signs.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
    if let Some(value) = sign("auto-submitted").filter(|value| !value.starts_with("no")) {
        return Some(format!("Auto-Submitted: {value}"));
    }
    if let Some(value) = sign("precedence").filter(|value| ["bulk", "list", "junk", "auto_reply"].contains(value)) {
        return Some(format!("Precedence: {value}"));
    }
    for name in ["list-id", "list-unsubscribe", "x-autoreply", "x-loop"] {
        if sign(name).is_some() {
            return Some(name.to_owned());
        }
    }
    if sign("x-auto-response-suppress").is_some_and(|value| value != "none") {
        return Some("X-Auto-Response-Suppress".into());
    }
    if sign("return-path").is_some_and(|value| value == "<>") {
        return Some("an empty Return-Path".into());
    }
    let user = message.from.split('@').next().unwrap_or_default();
    NOBODY
        .iter()
        .find(|name| user == **name || user.starts_with(&format!("{name}+")))
        .map(|name| format!("it is from {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> Message<'static> {
        Message { from: "ada@x.example".into(), signs: vec![(name.into(), value.into())], ..Message::default() }
    }

    #[test]
    fn machines_are_known_by_what_they_say() {
        for (name, value) in [
            ("auto-submitted", "auto-replied"),
            ("precedence", "bulk"),
            ("list-id", "<news.x>"),
            ("x-auto-response-suppress", "all"),
            ("return-path", "<>"),
            ("x-loop", "desk"),
        ] {
            assert!(automatic(&with(name, value)).is_some(), "{name}");
        }
        assert!(automatic(&Message { from: "mailer-daemon@x.example".into(), ..Message::default() }).is_some());
    }

    #[test]
    fn people_are_not_taken_for_machines() {
        for (name, value) in
            [("auto-submitted", "no"), ("precedence", "first-class"), ("return-path", "<ada@x.example>")]
        {
            assert_eq!(automatic(&with(name, value)), None, "{name}");
        }
    }
}
