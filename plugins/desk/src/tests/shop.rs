//! A fake host with the rights of `plugin.toml`, two calendars, and answers to the queries that the desk asks.

use rapport_sdk::{Fields, Json, OnAction, Record, Timestamp, Value, fake};
use serde_json::json;

use crate::Desk;

/// A second, in microseconds.
pub(super) const SECOND: i64 = 1_000_000;
/// An hour, in seconds.
pub(super) const HOUR: i64 = 3_600;

/// Begins anew: a calendar `always` that never closes, and one, `days`, that is open for the first eight hours of each 24.
pub(super) fn open() {
    fake::reset();
    fake::load(include_str!("../../plugin.toml"));
    fake::calendar(
        "always",
        |start, seconds| Timestamp(start.0 + seconds * SECOND),
        |from, until| (until.0 - from.0) / SECOND,
    );
    fake::calendar("days", due, elapsed);
    fake::answer_queries(|asked| {
        let all = fake::all(&asked.object);
        all.into_iter().filter(|record| holds(record, &asked.filter, &asked.params)).collect()
    });
    at(0);
}

fn elapsed(from: Timestamp, until: Timestamp) -> i64 {
    let counted = |at: i64| at / (24 * HOUR) * 8 * HOUR + (at % (24 * HOUR)).min(8 * HOUR);
    counted(until.0 / SECOND) - counted(from.0 / SECOND)
}

fn due(start: Timestamp, seconds: i64) -> Timestamp {
    let mut at = start.0 / SECOND;
    let mut left = seconds;
    loop {
        let open = (8 * HOUR - at % (24 * HOUR)).max(0);
        if left <= open {
            return Timestamp((at + left) * SECOND);
        }
        left -= open;
        at = (at / (24 * HOUR) + 1) * 24 * HOUR;
    }
}

/// The rules that the desk asks by: each part is `field == parameter`, joined by `&&` or `||`; other parts hold.
fn holds(record: &Record, filter: &str, params: &Fields) -> bool {
    let part = |part: &str| {
        let Some((field, wanted)) = part.split_once(" == ").or_else(|| part.split_once(" > ")) else { return true };
        let value = record.fields.get(field.trim()).cloned().unwrap_or_default();
        let wanted = match wanted.trim() {
            "null" => Value::Null,
            quoted if quoted.starts_with('\'') => Value::from(quoted.trim_matches('\'')),
            name => params.get(name).cloned().unwrap_or_default(),
        };
        match (value, wanted) {
            (Value::Time(value), Value::Time(wanted)) => value > wanted,
            (value, wanted) => value == wanted,
        }
    };
    if filter.contains("||") { filter.split("||").any(part) } else { filter.split("&&").all(part) }
}

/// Moves the clock to so many seconds since 1970.
pub(super) fn at(seconds: i64) {
    fake::set_now(Timestamp(seconds * SECOND));
}

/// Calls an action.
pub(super) fn call(action: &str, input: Json) -> Json {
    Desk::on_action(fake::call(action, input)).unwrap()
}

/// Takes in a mail.
pub(super) fn mail(raw: &str) -> Json {
    call("mail_in", json!({ "message": raw }))
}

/// The only ticket of that number.
pub(super) fn ticket(number: &str) -> Record {
    fake::all("ticket").into_iter().find(|ticket| ticket.text("number").unwrap().as_deref() == Some(number)).unwrap()
}

/// The kinds of the events so far that begin with `desk.sla_`, with the promise that they are about.
pub(super) fn promises_noticed() -> Vec<String> {
    let about = |event: fake::Emitted| match (event.kind.strip_prefix("desk.sla_"), event.data.get("target")) {
        (Some(what), Some(Value::Text(target))) => Some(format!("{target} {what}")),
        _ => None,
    };
    fake::emitted().into_iter().filter_map(about).collect()
}

/// An instant of a ticket, in seconds since 1970.
pub(super) fn seconds(ticket: &Record, field: &str) -> Option<i64> {
    ticket.read::<Timestamp>(field).unwrap().map(|at| at.0 / SECOND)
}
