//! Pages as JSON, for shops and apps that show surveys themselves: the same sittings, the same rules.

use rapport_sdk::{Error, Json};
use serde_json::json;

use crate::call::Call;
use crate::flow::text::Filling;
use crate::flow::{Answers, Question, answer};
use crate::sitting::{Page, Posted, Saved, Sitting, State, on_path};
use crate::words::Words;

/// The state of a sitting as the actions say it.
const fn word(state: State) -> &'static str {
    match state {
        State::Open => "open",
        State::Complete => "complete",
        State::Screened => "screened",
        State::Expired => "expired",
        State::Closed => "closed",
    }
}

fn wanted(call: Call<'_>) -> Result<Option<usize>, Error> {
    Ok(call.integer("page")?.and_then(|page| usize::try_from(page).ok()))
}

fn spoken(call: Call<'_>, sitting: &Sitting) -> Result<String, Error> {
    let before = sitting.response.as_ref().map_or(Ok(None), |response| response.text("language"))?;
    sitting.language(call.optional_text("language")?.into_iter().chain(before.as_deref()))
}

/// The action `survey.form`: the page that was asked for, or the one that comes next.
pub(crate) fn form(call: Call<'_>) -> Result<Json, Error> {
    let Some(sitting) = Sitting::find(call.text("token")?)? else { return Ok(json!({ "state": "unknown" })) };
    let state = sitting.state()?;
    if state != State::Open {
        return Ok(json!({ "state": word(state) }));
    }
    let language = spoken(call, &sitting)?;
    match sitting.page(wanted(call)?)? {
        Ok(Some(page)) => shown(&sitting, &page, &language),
        Ok(None) => Ok(json!({ "state": "complete" })),
        Err(problem) => {
            rapport_sdk::log::error(&format!("{} ({})", problem.message, problem.code));
            Ok(json!({ "state": "stuck" }))
        }
    }
}

fn shown(sitting: &Sitting, page: &Page, language: &str) -> Result<Json, Error> {
    let (path, all) = (sitting.path()?, sitting.answers()?);
    let answers = on_path(&path, &all);
    let (definition, customer) = (&sitting.definition, &sitting.customer);
    let filling = Filling { definition, answers: &answers, customer, language };
    let questions: Vec<Json> = sitting.questions(&page.keys).map(|one| question(one, &filling, &all)).collect();
    Ok(json!({
        "state": "open",
        "page": page.index,
        "pages": path.len(),
        "language": language,
        "title": filling.text(&definition.title),
        "questions": questions,
    }))
}

fn question(question: &Question, filling: &Filling<'_>, answers: &Answers) -> Json {
    let text = |texts: &Option<crate::flow::Texts>| texts.as_ref().map(|texts| filling.text(texts));
    let (min, max) = question.scale().map_or((question.min, question.max), |(min, max)| (Some(min), Some(max)));
    let option = |option: &crate::flow::Choice| json!({ "key": option.key, "text": filling.text(&option.text) });
    json!({
        "key": question.key,
        "kind": question.kind.as_str(),
        "text": filling.text(&question.text),
        "help": text(&question.help),
        "low": text(&question.low),
        "high": text(&question.high),
        "label": text(&question.label),
        "required": question.required,
        "min": min,
        "max": max,
        "options": question.options.iter().map(option).collect::<Vec<_>>(),
        "answer": answers.get(&question.key),
    })
}

/// The action `survey.submit`: the answers of one page.
pub(crate) fn submit(call: Call<'_>) -> Result<Json, Error> {
    let Some(sitting) = Sitting::find_alone(call.text("token")?)? else { return Ok(json!({ "result": "unknown" })) };
    let language = spoken(call, &sitting)?;
    let given = call.input["answers"].as_object().cloned().unwrap_or_default();
    let mut values = Vec::new();
    for (key, answer) in &given {
        let sent = answer::as_sent(answer);
        let why =
            || Error::new("invalid", format!("`answers/{key}` is no text, number, true, false, or list of texts"));
        values.push((key.clone(), sent.ok_or_else(why)?));
    }
    let posted = Posted { page: wanted(call)?, asked: Vec::new(), language: language.clone(), values };
    Ok(match sitting.save(&posted)? {
        Saved::Next(page) => json!({ "result": "ok", "page": page }),
        Saved::Complete => json!({ "result": "complete" }),
        Saved::Screened => json!({ "result": "screened" }),
        Saved::Stuck => json!({ "result": "stuck" }),
        Saved::Closed(state) => json!({ "result": word(state) }),
        Saved::Wrong(page, wrong) => {
            let words = Words::of(&language);
            let errors: serde_json::Map<String, Json> = wrong
                .iter()
                .map(|(key, fault)| (key.clone(), json!({ "code": fault.code(), "message": words.fault(*fault) })))
                .collect();
            json!({ "result": "refused", "page": page.index, "errors": errors })
        }
    })
}
