//! Reports over a million answers, by all that they can be asked by. `RAPPORT_BENCH_ANSWERS` asks for another number.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::{NAME, QUESTION, history, publish, write_survey};
use crate::bench::client::Client;
use crate::bench::figure::Figure;
use crate::bench::lab::{Lab, Place};
use crate::bench::{postgres, stage};
use crate::table::number;

/// Times that each report is asked for.
const TIMES: usize = 20;

/// Segments by which scores are asked for: a fifth of the customers, and the four others.
const SEGMENTS: &str = r#"//! Where customers live.
segment("norway", "country == 'Norway'");
segment("abroad", "country != 'Norway'");
"#;
/// How long the segments may take to be filled.
const FILL: Duration = Duration::from_mins(2);

/// How many responses there are.
fn responses() -> u64 {
    std::env::var("RAPPORT_BENCH_ANSWERS").ok().and_then(|v| v.parse().ok()).unwrap_or(1_000_000)
}

/// Measures them on SQLite and on PostgreSQL.
pub(super) fn run(binary: &Path) -> Result<Vec<Figure>> {
    let lab = Lab::new(binary, "listen-reports")?;
    stage::set(&lab, &["survey"], &[])?;
    write_survey(&lab)?;
    postgres::on_both(|name, database| measure(&lab, name, database))
}

fn measure(lab: &Lab, name: &str, database: Option<&str>) -> Result<Vec<Figure>> {
    let server = lab.serve(&format!("data-{}", name.to_lowercase()), Place { core: None, database })?;
    let mut owner = Client::open(&server)?;
    publish(&mut owner, NAME)?;
    let (began, all) = (Instant::now(), responses());
    history::write(&server, all)?;
    let filled = began.elapsed();
    eprintln!("listen, {name}: {all} responses after {} s", filled.as_secs());
    let answers = number(i64::try_from(all)?);
    let mut figures = vec![Figure::new(
        format!("listen, {name}: {answers} responses by the bulk API, with invitations, answers, and counts kept"),
        filled.as_secs_f64(),
        "s",
    )];
    // A connection that rested while the records came is closed.
    let mut owner = Client::open(&server)?;
    follow(&mut owner)?;
    postgres::look_after(database)?;
    for (what, action, input) in asked() {
        let (first, slowest) = times(&mut owner, action, &input, all)?;
        let what = format!("listen, {name}: {what}, {answers} answers, slowest of {TIMES}");
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        eprintln!("{what}: {:.1} ms (the first: {:.1} ms)", millis(slowest), millis(first));
        figures.push(Figure::new(what, millis(slowest), "ms").under(1_000.0));
    }
    server.stop()?;
    Ok(figures)
}

/// Has customers put into segments.
fn follow(owner: &mut Client) -> Result<()> {
    let push = json!({ "path": "segments/places.rhai", "source": SEGMENTS }).to_string();
    owner.post("/v1/automations/segments%2Fplaces/versions", &push)?;
    owner.post("/v1/automations/segments%2Fplaces/activate", "{}")?;
    let began = Instant::now();
    for (segment, size) in [("norway", history::CUSTOMERS / 5), ("abroad", history::CUSTOMERS / 5 * 4)] {
        while owner.get(&format!("/v1/segments/{segment}"))?["size"] != size {
            if began.elapsed() > FILL {
                bail!("the segment `{segment}` was not filled");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    Ok(())
}

/// What is asked for: a name, the action, and its input.
fn asked() -> Vec<(&'static str, &'static str, Value)> {
    let report = |more: Value| {
        let mut input = json!({ "survey": NAME, "question": QUESTION });
        for (name, value) in more.as_object().into_iter().flatten() {
            input[name] = value.clone();
        }
        input
    };
    let part = json!({ "from": "2025-02-10T00:00:00+08:00", "to": "2025-11-20T00:00:00+08:00", "by": "channel" });
    let halves = json!({
        "survey": NAME, "before": { "to": "2025-07-01T00:00:00+08:00" }, "after": { "from": "2025-07-01T00:00:00+08:00" },
    });
    // A report has a thousand groups at most, here a day with a value.
    let days = json!({ "from": "2025-10-01T00:00:00+08:00", "to": "2025-12-01T00:00:00+08:00", "by": "day" });
    let mut autumn = json!({ "segments": ["norway"] });
    autumn["from"] = "2025-09-01T00:00:00+08:00".into();
    vec![
        ("report of a survey", "survey.report", report(json!({}))),
        ("report by channel", "survey.report", report(json!({ "by": "channel" }))),
        ("report by month", "survey.report", report(json!({ "by": "month" }))),
        ("report by day of two months", "survey.report", report(days)),
        ("report by question", "survey.report", report(json!({ "by": "question" }))),
        ("report by channel of a period with parts of months", "survey.report", report(part)),
        ("two halves of a year compared", "survey.compare", halves),
        (
            "report with a segment of a fifth of the customers",
            "survey.report",
            report(json!({ "segments": ["norway"] })),
        ),
        ("report with a segment of four fifths", "survey.report", report(json!({ "segments": ["abroad"] }))),
        ("report with a segment of a fifth, from September on", "survey.report", report(autumn)),
    ]
}

/// Asks again and again; says how long the first time took, and the slowest.
fn times(owner: &mut Client, action: &str, input: &Value, all: u64) -> Result<(Duration, Duration)> {
    let mut times = Vec::new();
    for _ in 0..TIMES {
        let began = Instant::now();
        let report = owner.action(action, input)?;
        times.push(began.elapsed());
        let told = |place: &str| report[place]["n"].as_u64();
        let whole = told("total").or_else(|| Some(told("before")? + told("after")?));
        // Of a part of the year there are fewer.
        if report["result"] != "ok" || (input["from"].is_null() && whole != Some(all)) {
            bail!("a report of other answers than {all}: {report}");
        }
    }
    Ok((times[0], times.into_iter().max().unwrap_or_default()))
}
