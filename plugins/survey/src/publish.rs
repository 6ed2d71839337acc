//! Takes in flows: reads what a script says, walks through it, and keeps it.

use rapport_sdk::{Decimal, Error, Fields, Json, Record, Value, clock, records, scripts};
use serde_json::json;

use crate::books::{self, QUESTION, SURVEY, with_json};
use crate::call::Call;
use crate::flow::{self, Definition};

/// The folder of the scripts.
const FOLDER: &str = "surveys/";
/// Places of a weight.
const WEIGHT_PLACES: u32 = 6;

/// The action `survey.publish`. Nothing is kept of a flow that is not right.
///
/// # Errors
/// `flow` says what is wrong with it, and where; the script's own failure as it is.
pub(crate) fn publish(call: Call<'_>) -> Result<Json, Error> {
    let script = call.text("script")?;
    let Some(rest) = script.strip_prefix(FOLDER).filter(|rest| !rest.is_empty()) else {
        return Err(Error::new(
            "invalid",
            format!("`script`: `{script}` is not below `{FOLDER}`: write `{FOLDER}nps`"),
        ));
    };
    let wrong = |why: String| Error::new("flow", format!("{script}: {why}"));
    let name = rest.replace('/', "-");
    let said = scripts::run(script, "survey", &[])?;
    let definition = flow::definition(&said).map_err(wrong)?;
    let old = records::get(SURVEY, &format!("name:{name}"))?;
    let before: Json = old.as_ref().map_or(Ok(None), |old| old.read("definition"))?.unwrap_or_default();
    let kept = flow::keep(&said, &before);
    let whole = Definition::kept(&kept).map_err(wrong)?;
    // The flow is walked as people will meet it: with a customer of whom nothing is known.
    let walked = flow::rehearse(script, &definition, &books::customer_json(None))
        .map_err(|problem| Error::new("flow", format!("{} ({})", problem.message, problem.code)))?;
    let warnings = warnings(&walked);
    let revision = old.as_ref().map_or(Ok(None), |old| old.int("revision"))?.unwrap_or(0);
    if kept == before {
        return Ok(json!({ "result": "unchanged", "survey": name, "revision": revision, "warnings": warnings }));
    }
    let fields = Fields::new()
        .with("name", name.as_str())
        .with("script", script)
        .with("title", definition.title.in_language(&definition.languages[0]))
        .with("revision", revision + 1)
        .with("published_at", clock::now());
    let survey = records::upsert(SURVEY, "name", &with_json(fields, "definition", kept))?;
    keep_questions(&survey, &name, &whole)?;
    let asked = definition.questions.len();
    Ok(json!({ "result": "ok", "survey": name, "revision": revision + 1, "questions": asked, "warnings": warnings }))
}

fn warnings(walked: &flow::Walked) -> Vec<String> {
    let mut warnings: Vec<String> = walked
        .never
        .iter()
        .map(|key| format!("nobody was asked `{key}` on the {} steps that were tried", walked.calls))
        .collect();
    if !walked.whole {
        warnings.push(format!("only {} steps were tried: there are more ways through this flow", walked.calls));
    }
    warnings
}

/// Keeps each question as a record, those that are no longer asked as well.
fn keep_questions(survey: &Record, name: &str, definition: &Definition) -> Result<(), Error> {
    for (position, question) in definition.questions.iter().enumerate() {
        // As a number with six places, by its text: so it is the one that was written.
        let weight = question.weight.and_then(|weight| Decimal::from_str_exact(&format!("{weight:.6}")).ok());
        let weight = weight.map(|weight| weight.round_dp(WEIGHT_PLACES).normalize());
        let fields = Fields::new()
            .with("key", format!("{name}/{}", question.key))
            .with("survey", survey.reference())
            .with("question", question.key.as_str())
            .with("kind", question.kind.as_str())
            .with("text", question.text.in_language(&definition.languages[0]))
            .with("wording", question.version)
            .with("position", i64::try_from(position).unwrap_or(i64::MAX))
            .with("weight", weight.map_or(Value::Null, Value::Decimal))
            .with("active", !question.retired);
        records::upsert(QUESTION, "key", &fields)?;
    }
    Ok(())
}

/// The action `survey.close`.
pub(crate) fn close(call: Call<'_>) -> Result<Json, Error> {
    let Some((survey, _)) = books::survey(call.text("survey")?)? else {
        return Ok(json!({ "result": "unknown_survey" }));
    };
    let state = if call.input["open"].as_bool() == Some(true) { "open" } else { "closed" };
    records::update(&survey.reference(), &Fields::new().with("state", state))?;
    Ok(json!({ "result": "ok", "state": state }))
}
