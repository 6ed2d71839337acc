//! Measures: counted and summed by the host, not row by row.
//!
//! *Solved at first contact*: solved with at most one public answer while the customer wrote once, and not reopened since. *Handling time*:
//! business seconds from opening to the latest solving, without those in which the clock stood still. *Breaches* count by when the
//! promise was due. *Backlog*: tickets that are not solved, by how long ago they were opened. Tickets that were merged into others count
//! in none of them.

use std::collections::BTreeMap;

use rapport_sdk::{Error, Json, Timestamp, clock, query};
use serde_json::{Map, json};

use crate::input::{Input, instant_text, refused, value_json};
use crate::ticket::OBJECT;

/// By what measures can be told apart.
const BY: [&str; 7] = ["queue", "priority", "tier", "owner", "channel", "kind", "status"];
/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;
/// Ages of the backlog: their name, and from how many days to before how many.
const AGES: [(&str, i64, i64); 5] = [
    ("under_1_day", 0, 1),
    ("1_to_3_days", 1, 3),
    ("3_to_7_days", 3, 7),
    ("7_to_30_days", 7, 30),
    ("over_30_days", 30, 36_500),
];
/// What is open.
const OPEN: &str = "merged_into == null && status in ['new', 'open', 'waiting', 'on_hold']";

/// A period, from its first instant to before the one behind its last.
#[derive(Debug, Clone, Copy)]
struct Period {
    from: Timestamp,
    until: Timestamp,
}

impl Period {
    /// The period that the input names: by default the 30 days before now.
    fn read(input: Input<'_>) -> Result<Option<Self>, Error> {
        let until = input.instant("until")?.unwrap_or_else(clock::now);
        let from = input.instant("from")?.unwrap_or(Timestamp(until.0 - 30 * DAY));
        Ok((from < until).then_some(Self { from, until }))
    }

    /// The rule by which `field` lies in it.
    fn rule(field: &str) -> String {
        format!("merged_into == null && {field} >= a && {field} < b")
    }

    fn ask(self, field: &str, more: &str) -> query::Aggregate {
        let rule = format!("{}{more}", Self::rule(field));
        query::aggregate(OBJECT).filter(&rule).param("a", self.from).param("b", self.until)
    }
}

/// The rows of a report, by what they are told apart by.
struct Table {
    by: Option<&'static str>,
    rows: BTreeMap<String, Map<String, Json>>,
}

impl Table {
    /// Takes in what was asked, under these names.
    fn take(&mut self, asked: query::Aggregate, names: &[&str]) -> Result<(), Error> {
        let asked = self.by.map_or(asked.clone(), |by| asked.by(by));
        let skip = usize::from(self.by.is_some());
        for row in asked.run()? {
            let key = if skip == 0 { String::new() } else { row.text(0)?.unwrap_or_default() };
            let entry = self.rows.entry(key).or_default();
            for (at, name) in names.iter().enumerate() {
                entry.insert((*name).to_owned(), value_json(row.value(at + skip)));
            }
        }
        Ok(())
    }

    fn json(self) -> Json {
        let counted =
            ["opened", "solved", "first_contact", "first_response_breached", "resolution_breached", "backlog"];
        let complete = |(key, mut row): (String, Map<String, Json>)| {
            for name in counted.into_iter().chain(AGES.map(|(name, ..)| name)) {
                row.entry(name).or_insert_with(|| 0.into());
            }
            let number = |name: &str| row.get(name).and_then(Json::as_i64);
            let solved = number("solved").unwrap_or(0);
            let average = number("handling_seconds").filter(|_| solved > 0).map(|sum| sum / solved);
            let share = number("first_contact").filter(|_| solved > 0).map(|first| first * 100 / solved);
            row.insert("handling_seconds_average".into(), json!(average));
            row.insert("first_contact_percent".into(), json!(share));
            if let Some(by) = self.by {
                row.insert(by.into(), if key.is_empty() { Json::Null } else { key.into() });
            }
            Json::Object(row)
        };
        self.rows.into_iter().map(complete).collect()
    }
}

/// Does the action `report`.
///
/// # Errors
/// The host's.
pub(crate) fn report(input: Input<'_>) -> Result<Json, Error> {
    let Some(period) = Period::read(input)? else {
        return Ok(refused("rejected_period", "`from` is before `until`"));
    };
    let by = match input.optional("by")? {
        None => None,
        Some(name) => match BY.into_iter().find(|by| *by == name) {
            Some(by) => Some(by),
            None => return Ok(refused("rejected_unknown", format!("`by` is one of {}", BY.join(", ")))),
        },
    };
    let mut table = Table { by, rows: BTreeMap::new() };
    table.take(period.ask("opened_at", "").count(), &["opened"])?;
    let solved = period.ask("solved_at", "").count().sum("handling_seconds").max("handling_seconds").sum("reopens");
    table.take(solved, &["solved", "handling_seconds", "handling_seconds_max", "reopens"])?;
    table.take(period.ask("solved_at", " && first_contact == true").count(), &["first_contact"])?;
    for what in ["first_response", "resolution"] {
        let name = format!("{what}_breached");
        table.take(period.ask(&format!("{what}_breached_at"), "").count(), &[name.as_str()])?;
    }
    let now = clock::now();
    table.take(query::aggregate(OBJECT).filter(OPEN).count(), &["backlog"])?;
    for (name, from, until) in AGES {
        let age = query::aggregate(OBJECT)
            .filter(&format!("{OPEN} && opened_at <= a && opened_at > b"))
            .param("a", Timestamp(now.0 - from * DAY))
            .param("b", Timestamp(now.0 - until * DAY));
        table.take(age.count(), &[name])?;
    }
    Ok(
        json!({ "result": "ok", "from": instant_text(period.from), "until": instant_text(period.until), "rows": table.json() }),
    )
}

/// Does the action `loop_report`: what became of negative answers, by the instant until which each was to be closed.
///
/// # Errors
/// The host's.
pub(crate) fn loop_report(input: Input<'_>) -> Result<Json, Error> {
    let Some(period) = Period::read(input)? else {
        return Ok(refused("rejected_period", "`from` is before `until`"));
    };
    let now = clock::now();
    let count = |more: &str| {
        let asked = period.ask("opened_at", &format!(" && kind == 'feedback' && loop_due != null{more}"));
        let asked = if more.contains(" n") { asked.param("n", now) } else { asked };
        asked.count().run()?.first().map_or(Ok(0), |row| row.int(0).map(Option::unwrap_or_default))
    };
    let all: i64 = count("")?;
    let in_time = count(" && solved_at != null && solved_at <= loop_due")?;
    let late = count(" && solved_at != null && solved_at > loop_due")?;
    let overdue = count(" && solved_at == null && loop_due <= n")?;
    let percent = (all > 0).then(|| in_time * 100 / all);
    Ok(json!({
        "result": "ok", "from": instant_text(period.from), "until": instant_text(period.until), "negative": all,
        "closed_in_time": in_time, "closed_late": late, "overdue": overdue, "open": all - in_time - late - overdue,
        "closed_in_time_percent": percent,
    }))
}
