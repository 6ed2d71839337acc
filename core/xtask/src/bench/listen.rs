//! Surveys that are listened to: how soon an unhappy answer has its ticket, how many answers a minute one survey takes while fresh
//! events go on, and how long a report over a million answers takes.

mod flood;
mod history;
mod reports;
mod tickets;

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::client::Client;
use super::figure::{self, Figure};
use super::lab::Lab;

/// The survey of the bench: two scores and a text, all on one page.
const SURVEY: &str = r#"//! What the bench asks.
fn survey() {
    #{
        title: #{ en: "Your order", "zh-CN": "您的订单" },
        languages: ["en", "zh-CN"],
        questions: [
            #{ key: "score", kind: "nps", required: true, weight: 1,
               text: #{ en: "How likely are you to recommend us?", "zh-CN": "您会推荐我们吗？" } },
            #{ key: "service", kind: "csat", weight: 1,
               text: #{ en: "How content are you with our service?", "zh-CN": "您对服务满意吗？" } },
            #{ key: "why", kind: "text", max: 500, text: #{ en: "Why?", "zh-CN": "为什么？" } },
        ],
    }
}

fn next(answers, customer) {
    if "score" in answers { () } else { ["score", "service", "why"] }
}
"#;
/// Its name, and that of the question that gives it its score.
const NAME: &str = "bench";
const QUESTION: &str = "score";

/// Measures how soon an answer has its ticket, and how many answers a survey takes.
///
/// # Errors
/// If a plugin does not build, or a server refuses something.
pub(crate) fn run(binary: &Path) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for part in [tickets::run, flood::run] {
        figures.extend(part(binary)?);
        // What comes takes some minutes; it does not take these along if it fails.
        eprintln!("{}", figure::markdown(&figures));
    }
    Ok(figures)
}

/// Measures reports over a million answers.
///
/// # Errors
/// Likewise.
pub(crate) fn reports(binary: &Path) -> Result<Vec<Figure>> {
    reports::run(binary)
}

/// Puts the survey among the scripts of a lab.
fn write_survey(lab: &Lab) -> Result<()> {
    let folder = lab.folder().join("scripts/surveys");
    std::fs::create_dir_all(&folder)?;
    Ok(std::fs::write(folder.join(format!("{NAME}.rhai")), SURVEY)?)
}

fn publish(client: &mut Client, survey: &str) -> Result<()> {
    let done = client.action("survey.publish", &json!({ "script": format!("surveys/{survey}") }))?;
    if done["result"] != "ok" {
        bail!("the survey was not published: {done}");
    }
    Ok(())
}

/// Invites a customer, and gives the answer: `token`, `invitation`.
fn invite(client: &mut Client, survey: &str, customer: u64) -> Result<Value> {
    let input =
        json!({ "survey": survey, "customer": format!("customer_no:{customer}"), "channel": "link", "language": "en" });
    let made = client.action("survey.invite", &input)?;
    if made["result"] != "ok" {
        bail!("customer {customer} was not invited: {made}");
    }
    Ok(made)
}

/// A text of an answer.
fn text<'a>(answer: &'a Value, name: &str) -> Result<&'a str> {
    answer[name].as_str().with_context(|| format!("there is no `{name}` in {answer}"))
}
