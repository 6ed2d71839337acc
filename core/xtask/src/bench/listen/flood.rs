//! Ten thousand answers a minute on one survey, over several connections at an even pace, while fresh orders are to have their points.
//!
//! Each answer is a whole response: a score of two questions and a text, sent by form with an invitation that was made before.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::json;

use super::{NAME, QUESTION, invite, publish, text, write_survey};
use crate::bench::client::Client;
use crate::bench::driver::percentile;
use crate::bench::figure::Figure;
use crate::bench::lab::{Lab, Place, add_customers, drive, is_idle, no_dead, processor_time, wait_until};
use crate::bench::single::{Target, field, job};
use crate::bench::stage::{self, Visitors};
use crate::bench::workload::CUSTOMERS;
use crate::bench::{rate, ratio};
use crate::server::Server;

/// Answers, and how many of them are due in a minute.
const ANSWERS: u64 = 10_500;
const PER_MINUTE: u64 = 10_500;
/// Connections that answers come by, and those by which invitations are made.
const CONNECTIONS: usize = 8;
const INVITING: usize = 4;
/// Seconds of one measurement of fresh events.
const WINDOW: u64 = 3;

/// Measures it on SQLite with `synchronous=FULL`: answers alone, then with a ticket for each unhappy one.
pub(super) fn run(binary: &Path) -> Result<Vec<Figure>> {
    let mut figures = alone(binary)?;
    figures.extend(with_tickets(binary)?);
    Ok(figures)
}

fn alone(binary: &Path) -> Result<Vec<Figure>> {
    let lab = Lab::new(binary, "listen-flood")?;
    stage::set(&lab, &["survey"], &[])?;
    let flood = Flood::measure(&lab, |_| Ok(()))?;
    let line = |what: &str| format!("listen, 10,500 answers a minute: {what}");
    Ok(vec![
        Figure::new("listen: answers a minute that one survey takes", flood.per_minute, "a minute").at_least(10_000.0),
        Figure::new(line("an order to its points meanwhile, worst p99 of 3 s (floor: before)"), flood.fresh_ms, "ms")
            .floor(flood.before_ms)
            .under(250.0),
        Figure::new(line("an answer from when it is due to when it is taken, p50"), flood.p50_ms, "ms"),
        Figure::new(line("the same, p99"), flood.p99_ms, "ms"),
        Figure::new(line("processor time of the server, orders included"), flood.processor, "cores"),
        Figure::new(line("statements of each answer, orders included"), flood.statements, "statements"),
    ])
}

fn with_tickets(binary: &Path) -> Result<Vec<Figure>> {
    let lab = Lab::new(binary, "listen-flood-tickets")?;
    stage::set(&lab, &["survey", "desk"], &["automations/closed-loop", "desk/targets"])?;
    let flood = Flood::measure(&lab, |owner| {
        stage::calendar(owner, "shop")?;
        stage::settings(owner, "desk", &json!({ "targets": "desk/targets" }))?;
        stage::settings(owner, "desk/targets", &json!({ "calendar": "shop" }))
    })?;
    let line = |what: &str| format!("listen, the same with a ticket for each fifth answer: {what}");
    Ok(vec![
        Figure::new(line("answers"), flood.per_minute, "a minute"),
        Figure::new(line("an order to its points, worst p99 of 3 s (floor: before)"), flood.fresh_ms, "ms")
            .floor(flood.before_ms),
        Figure::new(line("an answer, p99"), flood.p99_ms, "ms"),
        Figure::new(line("from the last answer until all is done"), flood.rest_s, "s"),
    ])
}

/// What a flood came to.
struct Flood {
    per_minute: f64,
    before_ms: f64,
    fresh_ms: f64,
    p50_ms: f64,
    p99_ms: f64,
    processor: f64,
    statements: f64,
    rest_s: f64,
}

impl Flood {
    fn measure(lab: &Lab, set_up: impl Fn(&mut Client) -> Result<()>) -> Result<Self> {
        write_survey(lab)?;
        let server = lab.serve("data", Place::default())?;
        let mut owner = Client::open(&server)?;
        set_up(&mut owner)?;
        publish(&mut owner, NAME)?;
        for first in (1..=CUSTOMERS + ANSWERS).step_by(5_000) {
            add_customers(&server, first, (first + 4_999).min(CUSTOMERS + ANSWERS))?;
        }
        let tokens = tokens(&server)?;
        wait_until("the invitations", || is_idle(&server))?;
        let target = Target::ours(&server, CUSTOMERS);
        let fresh =
            || -> Result<f64> { Ok(field(&drive(&job(target, "visible", 1, WINDOW), None)?, "visible_p99_us")? / 1e3) };
        fresh()?;
        let before_ms = fresh()?;
        let (processor, statements) = (processor_time(server.id())?, server.metric("rapport_statements_total")?);
        let began = Instant::now();
        let (nanos, took, fresh_ms) = std::thread::scope(|scope| -> Result<(Vec<u64>, Duration, f64)> {
            let answers = scope.spawn(|| answer_all(&server, &tokens, began));
            let mut worst = 0.0_f64;
            while !answers.is_finished() {
                worst = worst.max(fresh()?);
            }
            let (nanos, took) = answers.join().map_err(|_| anyhow!("the answers ended early"))??;
            Ok((nanos, took, worst))
        })?;
        let processor =
            processor_time(server.id())?.saturating_sub(processor).as_secs_f64() / began.elapsed().as_secs_f64();
        let statements = server.metric("rapport_statements_total")? - statements;
        wait_until("the runs", || {
            Ok(server.metric("rapport_units_queued")? < 0.5 && server.metric("rapport_runs_pending")? < 0.5)
        })?;
        let rest_s = began.elapsed().saturating_sub(took).as_secs_f64();
        no_dead(&server)?;
        hold(&server)?;
        server.stop()?;
        let millis = |thousandths| ratio(percentile(&nanos, thousandths), 1_000);
        Ok(Self {
            per_minute: rate(ANSWERS, took) * 60.0,
            before_ms,
            fresh_ms,
            p50_ms: millis(500),
            p99_ms: millis(990),
            processor,
            statements: statements / ratio(ANSWERS, 1),
            rest_s,
        })
    }
}

/// Makes the invitations; gives their tokens.
fn tokens(server: &Server) -> Result<Vec<String>> {
    let next = AtomicUsize::new(0);
    let all = usize::try_from(ANSWERS)?;
    let inviting = || -> Result<Vec<String>> {
        let (mut owner, mut tokens) = (Client::open(server)?, Vec::new());
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= all {
                return Ok(tokens);
            }
            let made = invite(&mut owner, NAME, CUSTOMERS + 1 + number as u64)?;
            tokens.push(text(&made, "token")?.to_owned());
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..INVITING).map(|_| scope.spawn(inviting)).collect();
        let mut tokens = Vec::new();
        for thread in threads {
            tokens.extend(thread.join().map_err(|_| anyhow!("the invitations ended early"))??);
        }
        Ok(tokens)
    })
}

/// Sends all answers, each when it is due; gives how long each took from then on, sorted, and when the last was taken.
fn answer_all(server: &Server, tokens: &[String], began: Instant) -> Result<(Vec<u64>, Duration)> {
    let next = AtomicUsize::new(0);
    let answering = || -> Result<Vec<u64>> {
        let (mut visitors, mut nanos) = (Visitors::open(server)?, Vec::new());
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(token) = tokens.get(number) else { return Ok(nanos) };
            let due = Duration::from_micros(number as u64 * 60_000_000 / PER_MINUTE);
            std::thread::sleep(due.saturating_sub(began.elapsed()));
            let sent = visitors.send(u32::try_from(number)?, &format!("/x/survey/{token}"), &form(number))?;
            if sent.status != 303 {
                bail!("answer {number} was not taken: {} {}", sent.status, sent.excerpt());
            }
            nanos.push(u64::try_from(began.elapsed().saturating_sub(due).as_nanos())?);
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(answering)).collect();
        let mut nanos = Vec::new();
        for thread in threads {
            nanos.extend(thread.join().map_err(|_| anyhow!("a connection ended early"))??);
        }
        let took = began.elapsed();
        nanos.sort_unstable();
        Ok((nanos, took))
    })
}

/// The form of an answer: each fifth is unhappy.
fn form(number: usize) -> String {
    let score = if number.is_multiple_of(5) { number / 5 % 7 } else { 7 + number % 4 };
    let (service, why) = (1 + score / 3, if score < 7 { "The+parcel+came+late." } else { "Quick+and+friendly." });
    format!("page=0&lang=en&asked=score+service+why&q_score={score}&q_service={service}&q_why={why}")
}

/// Holds the survey's report against what was sent.
fn hold(server: &Server) -> Result<()> {
    // A connection that rested meanwhile would be closed.
    let report = Client::open(server)?.action("survey.report", &json!({ "survey": NAME, "question": QUESTION }))?;
    let taken = report["total"]["n"].as_u64().with_context(|| format!("a report without a count: {report}"))?;
    if taken != ANSWERS {
        bail!("{taken} of {ANSWERS} answers were taken");
    }
    Ok(())
}
