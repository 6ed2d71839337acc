//! The calls that wait: the run is suspended, and goes on when what it waits for has come.

use rhai::{Array, Dynamic, Engine, ImmutableString, Map};

use super::{Target, fields_of, invalid, key_of};
use crate::bindings::rapport::plugin::flow::{self, Question};
use crate::failure::raise;
use crate::nearest::nearest;
use crate::time::Instant;
use crate::view::{Answer, EventView};

const QUESTION_PARTS: [&str; 4] = ["title", "body", "choices", "about"];

/// Makes the calls known to `engine`.
pub(super) fn register(engine: &mut Engine) {
    engine.register_fn("sleep", |span: &str| -> Answer<()> { flow::sleep(span).map_err(raise) });
    engine.register_fn("sleep", |until: Instant| -> Answer<()> { flow::sleep_until(until.0).map_err(raise) });
    engine.register_fn("wait_for", |kind: &str, rule: &str| wait_for(kind, rule, &Map::new(), ""));
    engine.register_fn("wait_for", |kind: &str, rule: &str, params: Map| wait_for(kind, rule, &params, ""));
    engine.register_fn("wait_for", |kind: &str, rule: &str, params: Map, timeout: &str| {
        wait_for(kind, rule, &params, timeout)
    });
    engine.register_fn("ask", |who: &str, question: Map| ask(who, &question, ""));
    engine.register_fn("ask", |who: &str, question: Map, timeout: &str| ask(who, &question, timeout));
    // An event that was waited for came in time; what stands in its place otherwise says that it did not.
    engine.register_get("timed_out", |_: &mut EventView| false);
}

fn wait_for(kind: &str, rule: &str, params: &Map, timeout: &str) -> Answer<Dynamic> {
    let came = flow::wait_for(kind, rule, &fields_of(params)?, timeout).map_err(raise)?;
    Ok(came.map_or_else(
        || Dynamic::from(Map::from([("timed_out".into(), Dynamic::TRUE)])),
        |event| Dynamic::from(EventView::new(event)),
    ))
}

fn ask(who: &str, question: &Map, timeout: &str) -> Answer<Map> {
    if let Some(unknown) = question.keys().find(|k| !QUESTION_PARTS.contains(&k.as_str())) {
        let help =
            nearest(unknown, QUESTION_PARTS.into_iter()).map_or_else(String::new, |n| format!("; did you mean `{n}`?"));
        return Err(invalid(format!("a question has no `{unknown}`: it has {}{help}", QUESTION_PARTS.join(", "))));
    }
    let part = |name: &str| question.get(name).map_or_else(|| Ok(String::new()), |value| text(name, value));
    let question = Question {
        who: who.into(),
        title: part("title")?,
        body: part("body")?,
        choices: question.get("choices").map_or_else(|| Ok(Vec::new()), choices)?,
        about: question.get("about").map_or_else(|| Ok(String::new()), about)?,
        timeout: timeout.into(),
    };
    let answer = flow::ask(&question).map_err(raise)?;
    Ok(Map::from([
        ("choice".into(), answer.choice.into()),
        ("by".into(), answer.by.into()),
        ("timed_out".into(), answer.timed_out.into()),
        ("task".into(), answer.task.into()),
    ]))
}

fn text(name: &str, value: &Dynamic) -> Answer<String> {
    let read = value.as_immutable_string_ref().map(|text| text.to_string());
    read.map_err(|_| invalid(format!("the `{name}` of a question is a text")))
}

fn choices(value: &Dynamic) -> Answer<Vec<String>> {
    let wrong = || invalid("the `choices` of a question are a list of texts, such as `[\"yes\", \"no\"]`".into());
    let list = value.read_lock::<Array>().ok_or_else(wrong)?;
    list.iter().map(|choice| choice.clone().try_cast::<ImmutableString>().map(Into::into).ok_or_else(wrong)).collect()
}

fn about(value: &Dynamic) -> Answer<String> {
    match Target::of(value) {
        Ok(target) => Ok(format!("{}/{}", target.object, target.key)),
        Err(_) => key_of(value),
    }
}
