//! What others say of texts: whoever reads better than lists of words does says so answer by answer, and `survey.themes` goes by it.

use rapport_sdk::{Error, Fields, Json, Value, records};
use serde_json::json;

use super::themes::Mood;
use super::unknown;
use crate::books::{self, ANSWER};
use crate::call::Call;

/// How a text is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) mood: Mood,
    pub(super) themes: Vec<String>,
    /// Who says so.
    pub(super) by: String,
}

impl Judged {
    /// What the fields of an answer say; none if nobody has judged it.
    pub(super) fn read(mood: Option<&str>, themes: &Value, by: Option<String>) -> Option<Self> {
        let mood = Mood::read(mood?)?;
        Some(Self { mood, themes: books::strings(&books::plain(themes)), by: by.unwrap_or_default() })
    }
}

/// The action `survey.judge`: keeps how an answer in words is to be read. The last word counts.
pub(crate) fn judge(call: Call<'_>) -> Result<Json, Error> {
    let key = call.text("answer")?;
    let Some(answer) = records::get(ANSWER, key.strip_prefix("survey_answer/").unwrap_or(key))? else {
        return Ok(unknown("unknown_answer"));
    };
    if answer.text("body")?.is_none() {
        return Ok(json!({ "result": "not_a_text" }));
    }
    let mut themes = books::strings(&call.input["themes"]);
    themes.sort();
    themes.dedup();
    let fields = Fields::new().with("mood", call.text("mood")?).with("read_by", call.caller);
    records::update(&answer.reference(), &books::with_json(fields, "themes", json!(themes)))?;
    Ok(json!({ "result": "ok" }))
}
