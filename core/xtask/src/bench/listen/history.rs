//! A year of answers, written by the bulk API as the plugin would have written them.
//!
//! Invitations, responses, answers, and the records that count them are all there and belong together. The counts themselves are not
//! written: they are roll-ups over the answers, which the engine keeps.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::{NAME, text};
use crate::bench::lab::bulk;
use crate::bench::workload::mixed;
use crate::server::Server;

/// Customers that have answered, and where they live.
pub(super) const CUSTOMERS: u64 = 50_000;
const COUNTRIES: [&str; 5] = ["Norway", "Chile", "Japan", "Kenya", "China"];
const CHANNELS: [&str; 2] = ["mail", "link"];
const LANGUAGES: [&str; 2] = ["en", "zh-CN"];
/// Answers on one day are of one of the first days of a month.
const DAYS: u64 = 28;
/// Each tenth response has answered the second question, too.
const SECOND_EACH: u64 = 10;
/// Pages of responses whose answers go into one request.
const PAGES: usize = 20;

/// Writes so many responses.
pub(super) fn write(server: &Server, responses: u64) -> Result<()> {
    let customer = |n: u64| json!({ "customer_no": n.to_string(), "country": COUNTRIES[place(n, COUNTRIES.len())] });
    bulk(server, "customer", Some("customer_no"), (1..=CUSTOMERS).map(customer))?;
    counts(server)?;
    bulk(server, "survey_invitation", Some("token_hash"), (0..responses).map(invitation))?;
    bulk(server, "survey_response", None, (0..responses).map(response))?;
    answers(server)
}

fn place(n: u64, length: usize) -> usize {
    usize::try_from(n % length as u64).unwrap_or(0)
}

fn channel(n: u64) -> &'static str {
    CHANNELS[place(mixed(n) >> 8, CHANNELS.len())]
}

fn language(n: u64) -> &'static str {
    LANGUAGES[place(mixed(n) >> 9, LANGUAGES.len())]
}

fn customer(n: u64) -> String {
    format!("customer_no:{}", 1 + mixed(n) % CUSTOMERS)
}

/// The day of a response: month and day of 2025.
fn day(n: u64) -> (u64, u64) {
    (1 + n % 12, 1 + n / 12 % DAYS)
}

fn invitation(n: u64) -> Value {
    let (month, day) = day(n);
    let at = format!("2025-{month:02}-{day:02}T04:00:00Z");
    json!({
        "token_hash": format!("bench-{n}"), "survey": format!("name:{NAME}"), "customer": customer(n), "channel": channel(n),
        "language": language(n), "state": "complete", "invited_at": at, "expires_at": "2026-01-31T00:00:00Z",
        "shown": ["score", "service", "why"],
    })
}

fn response(n: u64) -> Value {
    let (month, day) = day(n);
    let at = format!("2025-{month:02}-{day:02}T05:00:00Z");
    let score = [9, 10, 8, 7, 10, 9, 6, 3, 0, 10][place(mixed(n) >> 16, 10)];
    let service = n.is_multiple_of(SECOND_EACH).then(|| 1 + (mixed(n) >> 24) % 5);
    json!({
        "invitation": format!("token_hash:bench-{n}"), "survey": format!("name:{NAME}"), "customer": customer(n), "channel": channel(n),
        "language": language(n), "revision": 1, "state": "complete", "path": [["score", "service", "why"]],
        "answers": { "score": score, "service": service, "why": null }, "score": score, "began_at": at, "completed_at": at,
    })
}

/// What an answer is counted by, in one day or month.
fn key(question: &str, number: u64, (channel, language): (&str, &str), period: &str) -> String {
    format!("{NAME}/{question}/{period}/{channel}/{language}={number}")
}

/// The week of a day of 2025, which began with a Wednesday.
fn week((month, day): (u64, u64)) -> String {
    let before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let day = before[place(month - 1, 12)] + day;
    let weekday = (day + 1) % 7 + 1;
    format!("2025-W{:02}", (day + 10 - weekday) / 7)
}

/// The records that count: of each month, and of each day.
fn counts(server: &Server) -> Result<()> {
    let (mut months, mut days) = (Vec::new(), Vec::new());
    for (question, numbers) in [("score", 0..=10), ("service", 1..=5)] {
        for number in numbers {
            for of in CHANNELS.into_iter().flat_map(|channel| LANGUAGES.map(|language| (channel, language))) {
                for month in 1..=12 {
                    let of_month = format!("2025-{month:02}");
                    let mut count = json!({
                        "key": key(question, number, of, &of_month), "survey": format!("name:{NAME}"), "item": format!("{NAME}/{question}"),
                        "question": question, "number": number, "value": number.to_string(), "channel": of.0, "language": of.1,
                        "month": of_month,
                    });
                    months.push(count.clone());
                    for day in 1..=DAYS {
                        let of_day = format!("{of_month}-{day:02}");
                        count["key"] = key(question, number, of, &of_day).into();
                        count["day"] = of_day.into();
                        count["week"] = week((month, day)).into();
                        count["month_tally"] = format!("key:{}", key(question, number, of, &of_month)).into();
                        days.push(count.clone());
                    }
                }
            }
        }
    }
    bulk(server, "survey_month", Some("key"), months.into_iter())?;
    bulk(server, "survey_tally", Some("key"), days.into_iter())
}

/// The answers of all responses that there are.
fn answers(server: &Server) -> Result<()> {
    let (mut cursor, mut seen) = (String::new(), BTreeSet::new());
    let fields = "id,customer,channel,language,answers,completed_at";
    loop {
        let mut lines = Vec::new();
        let mut next = None;
        for _ in 0..PAGES {
            let page = server.get(&format!("/v1/records/survey_response?limit=1000&fields={fields}{cursor}"))?;
            for response in page["items"].as_array().context("a page of responses has no `items`")? {
                of_response(response, &mut lines)?;
            }
            next = page["next"].as_str().map(ToOwned::to_owned);
            let Some(next) = &next else { break };
            if !seen.insert(next.clone()) {
                bail!("the pages of responses do not end");
            }
            cursor = format!("&cursor={next}");
        }
        bulk(server, "survey_answer", Some("key"), lines.into_iter())?;
        if next.is_none() {
            return Ok(());
        }
    }
}

/// The answers of a response.
fn of_response(response: &Value, lines: &mut Vec<Value>) -> Result<()> {
    let (id, at) = (text(response, "id")?, text(response, "completed_at")?);
    let of = (text(response, "channel")?, text(response, "language")?);
    for (question, kind) in [("score", "nps"), ("service", "csat")] {
        let Some(number) = response["answers"][question].as_u64() else { continue };
        lines.push(json!({
            "key": format!("{id}/{question}"), "survey": format!("name:{NAME}"), "response": id, "customer": response["customer"],
            "item": format!("{NAME}/{question}"), "question": question, "kind": kind, "wording": 1, "number": number,
            "first": true, "tally": format!("key:{}", key(question, number, of, &at[..10])),
            "channel": of.0, "language": of.1, "answered_at": at,
        }));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weeks_are_those_of_the_calendar() {
        assert_eq!([(1, 1), (1, 5), (1, 6), (12, 28)].map(week), ["2025-W01", "2025-W01", "2025-W02", "2025-W52"]);
    }

    #[test]
    fn responses_are_of_all_days_scores_channels_and_languages() {
        let of = |part: fn(u64) -> String| (0..5_000).map(part).collect::<BTreeSet<_>>().len();
        assert_eq!(
            (of(|n| channel(n).into()), of(|n| language(n).into()), of(|n| format!("{:?}", day(n)))),
            (2, 2, 336)
        );
        assert_eq!(of(|n| response(n)["score"].to_string()), 7);
    }
}
