//! How soon an unhappy answer has its ticket: sent by form as visitors do, one after another, until the ticket is seen by who asks for it.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::{invite, publish, text};
use crate::bench::client::Client;
use crate::bench::driver::percentile;
use crate::bench::figure::Figure;
use crate::bench::lab::{Lab, Place, add_customers, no_dead};
use crate::bench::stage::{self, Visitors};
use crate::bench::{postgres, ratio};
use crate::server::Server;

/// Answers that are measured, after some that warm up.
const ANSWERS: u64 = 300;
const WARM_UP: u64 = 20;
/// What lies between two answers.
const REST: Duration = Duration::from_millis(30);
/// How long a ticket may take.
const TICKET_MAX: Duration = Duration::from_secs(30);

/// Measures it on SQLite and on PostgreSQL.
pub(super) fn run(binary: &Path) -> Result<Vec<Figure>> {
    let lab = Lab::new(binary, "listen-tickets")?;
    stage::set(&lab, &["survey", "desk"], &["surveys/nps", "automations/closed-loop", "desk/targets"])?;
    postgres::on_both(|name, database| measure(&lab, name, database))
}

fn measure(lab: &Lab, name: &str, database: Option<&str>) -> Result<Vec<Figure>> {
    let server = lab.serve(&format!("data-{}", name.to_lowercase()), Place { core: None, database })?;
    let mut unhappy = Unhappy::open(&server)?;
    add_customers(&server, 1, WARM_UP + ANSWERS)?;
    let (mut answered, mut seen) = (Vec::new(), Vec::new());
    for customer in 1..=WARM_UP + ANSWERS {
        let (answer, ticket) = unhappy.answer(customer)?;
        if customer > WARM_UP {
            answered.push(u64::try_from(answer.as_nanos())?);
            seen.push(u64::try_from(ticket.as_nanos())?);
        }
        std::thread::sleep(REST);
    }
    let mut logged = logged(&server)?;
    no_dead(&server)?;
    server.stop()?;
    for nanos in [&mut answered, &mut seen, &mut logged] {
        nanos.sort_unstable();
    }
    let millis = |nanos: &[u64], thousandths| ratio(percentile(nanos, thousandths), 1_000);
    let line = |what: &str| format!("listen, {name}: {what}");
    Ok(vec![
        Figure::new(line("an unhappy answer, from its form sent to its ticket seen, p50"), millis(&seen, 500), "ms"),
        Figure::new(line("the same, p99"), millis(&seen, 990), "ms").under(100.0),
        Figure::new(line("from the commit of the answer to that of the ticket, p99"), millis(&logged, 990), "ms"),
        Figure::new(line("the page with the answer itself, p99"), millis(&answered, 990), "ms"),
    ])
}

/// Customers who are not happy.
struct Unhappy {
    owner: Client,
    visitors: Visitors,
}

impl Unhappy {
    /// With a survey, a calendar, and what is promised.
    fn open(server: &Server) -> Result<Self> {
        let mut owner = Client::open(server)?;
        stage::calendar(&mut owner, "shop")?;
        stage::settings(&mut owner, "desk", &json!({ "targets": "desk/targets" }))?;
        stage::settings(&mut owner, "desk/targets", &json!({ "calendar": "shop" }))?;
        publish(&mut owner, "nps")?;
        Ok(Self { owner, visitors: Visitors::open(server)? })
    }

    /// Answers both pages. Says how long the second one took, and how long the ticket took from then on.
    fn answer(&mut self, customer: u64) -> Result<(Duration, Duration)> {
        let made = invite(&mut self.owner, "nps", customer)?;
        let path = format!("/x/survey/{}", text(&made, "token")?);
        let visitor = u32::try_from(customer)?;
        self.visitors.look(visitor, &path)?;
        self.send(visitor, &path, &format!("page=0&lang=en&asked=score&q_score={}", customer % 7))?;
        self.visitors.look(visitor, &format!("{path}?page=1"))?;
        let response = format!("/v1/records/survey_response/invitation:{}", text(&made, "invitation")?);
        let response = self.owner.get(&response)?;
        let ticket = format!("/v1/records/ticket/key:survey%20{}", text(&response, "id")?);
        let began = Instant::now();
        self.send(visitor, &path, "page=1&lang=en&asked=wrong+call&q_wrong=The+parcel+came+late.")?;
        let answered = began.elapsed();
        while self.owner.find(&ticket)?.is_none() {
            if began.elapsed() > TICKET_MAX {
                bail!("the answer of customer {customer} has no ticket after {} s", TICKET_MAX.as_secs());
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        Ok((answered, began.elapsed()))
    }

    fn send(&mut self, visitor: u32, path: &str, form: &str) -> Result<()> {
        let sent = self.visitors.send(visitor, path, form)?;
        if sent.status != 303 {
            bail!("an answer was not taken: {} {}", sent.status, sent.excerpt());
        }
        Ok(())
    }
}

/// How long it took from when an answer was recorded to when its ticket was, in nanoseconds, by the log.
fn logged(server: &Server) -> Result<Vec<u64>> {
    let mut answers = HashMap::new();
    for event in events(server, "survey.completed")? {
        answers.insert(format!("survey {}", text(&event["data"], "response")?), micros(text(&event, "recordedat")?)?);
    }
    let mut opened = HashMap::new();
    for event in events(server, "desk.ticket_opened")? {
        opened.insert(text(&event, "subject")?.to_owned(), micros(text(&event, "recordedat")?)?);
    }
    let mut all = Vec::new();
    for ticket in server.records("ticket", "id,key,number")? {
        let answer = answers.get(text(&ticket, "key")?).context("a ticket without its answer")?;
        let opened = opened.get(&format!("ticket/{}", text(&ticket, "id")?)).context("a ticket that nobody opened")?;
        all.push((text(&ticket, "number")?.to_owned(), opened.saturating_sub(*answer) * 1_000));
    }
    // Numbers have four digits here: the first ones warm up.
    all.sort();
    Ok(all.into_iter().skip(usize::try_from(WARM_UP)?).map(|(_, nanos)| nanos).collect())
}

/// All events of a type.
fn events(server: &Server, kind: &str) -> Result<Vec<Value>> {
    let (mut all, mut after) = (Vec::new(), 0);
    loop {
        let page = server.get(&format!("/v1/events?type={kind}&limit=500&after={after}"))?;
        let items = page["items"].as_array().context("a page of events has no `items`")?;
        let Some(last) = items.last().and_then(|event| event["position"].as_u64()) else { return Ok(all) };
        after = last;
        all.extend_from_slice(items);
    }
}

/// Microseconds since midnight of an instant such as `2026-11-30T05:00:00.123456Z`.
fn micros(instant: &str) -> Result<u64> {
    let time = instant.split_once('T').map_or("", |(_, time)| time.trim_end_matches('Z'));
    let (whole, part) = time.split_once('.').unwrap_or((time, ""));
    let mut seconds = 0;
    for number in whole.split(':') {
        seconds = seconds * 60 + number.parse::<u64>().with_context(|| format!("`{instant}` is no instant"))?;
    }
    let part: u64 = format!("{part:0<6.6}").parse().with_context(|| format!("`{instant}` is no instant"))?;
    Ok(seconds * 1_000_000 + part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_told_apart_by_microseconds() {
        let at = |text| micros(text).unwrap();
        assert_eq!(at("2026-11-30T05:00:01.5Z") - at("2026-11-30T05:00:00Z"), 1_500_000);
        assert_eq!(at("2026-11-30T05:00:00.000001Z") - at("2026-11-30T05:00:00Z"), 1);
        assert!(micros("yesterday").is_err());
    }
}
