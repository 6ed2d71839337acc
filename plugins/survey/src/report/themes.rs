//! What texts speak of, and in which mood: as somebody has judged them (`survey.judge`), or by lists of words: counted, not understood.
//!
//! Irony, comparisons, and whatever is not in a list are beyond it. It orders a pile of texts; it judges nobody.

mod lexicon;

use std::collections::BTreeMap;

use rapport_sdk::query::{self, Row};
use rapport_sdk::{Error, Json, Value, WrongKind, scripts, settings};
use serde_json::json;

use super::judged::Judged;
use super::{Choice, Period, text_question, text_rule};
use crate::books::{self, ANSWER};
use crate::call::Call;

pub(crate) use lexicon::{Mood, mood, words};

/// Texts that are read in one call, and characters of them together: what fits one slice.
const TEXTS_MAX: usize = 1_000;
const CHARS_MAX: usize = 60_000;
/// Texts of a page.
const PAGE: u32 = 200;
/// Words that are told.
const WORDS_MAX: usize = 20;

/// What is read of each answer.
const COLUMNS: [&str; 7] = ["id", "body", "language", "answered_at", "mood", "themes", "read_by"];

/// An answer in words, and what somebody said of it.
struct Said {
    text: String,
    judged: Option<Judged>,
}

impl Said {
    fn of(row: &Row) -> Result<Self, Error> {
        let (mood, by) = (row.text(4)?, row.text(6)?);
        let judged = Judged::read(mood.as_deref(), row.value(5), by);
        Ok(Self { text: row.text(1)?.unwrap_or_default(), judged })
    }
}

/// A page of texts, the newest first.
struct Pile {
    rows: Vec<Row>,
    next: Option<String>,
}

fn page(choice: &Choice<'_>, question: &crate::flow::Question, cursor: &str) -> Result<Pile, Error> {
    let (rule, params) = text_rule(choice, question);
    let select = query::select(ANSWER, &COLUMNS).filter(&rule).order("-answered_at");
    let select = params.into_iter().fold(select, |select, (name, value)| select.param(name, value));
    let page = select.limit(PAGE).cursor(cursor).run()?;
    Ok(Pile { rows: page.rows, next: page.next })
}

/// The action `survey.texts`: the texts themselves, for a plugin that reads them better.
pub(crate) fn texts(call: Call<'_>) -> Result<Json, Error> {
    let (survey, question) = match text_question(call)? {
        Ok((_, question)) => (call.text("survey")?, question),
        Err(unknown) => return Ok(unknown),
    };
    let choice = Choice { survey, period: Period::read(call.input, "")?, segment: "" };
    let pile = page(&choice, &question, call.optional_text("cursor")?.unwrap_or_default())?;
    let shown = |row: &Row| -> Result<Json, Error> {
        let at = row.read::<rapport_sdk::Timestamp>(3)?.map(books::instant_text);
        let judged = row.text(6)?;
        Ok(
            json!({ "id": books::plain(row.value(0)), "text": row.text(1)?, "language": row.text(2)?, "answered_at": at, "judged_by": judged }),
        )
    };
    let texts = pile.rows.iter().map(shown).collect::<Result<Vec<_>, _>>()?;
    Ok(json!({ "result": "ok", "question": question.key, "texts": texts, "cursor": pile.next }))
}

/// The action `survey.themes`.
pub(crate) fn themes(call: Call<'_>) -> Result<Json, Error> {
    let (survey, question) = match text_question(call)? {
        Ok((_, question)) => (call.text("survey")?, question),
        Err(unknown) => return Ok(unknown),
    };
    let choice = Choice { survey, period: Period::read(call.input, "")?, segment: "" };
    let (texts, more) = read(&choice, &question)?;
    let script: String = settings::get("text_script")?;
    if !script.is_empty() {
        let bodies: Vec<&str> = texts.iter().map(|said| said.text.as_str()).collect();
        let said = scripts::run(&script, "themes", &[json!(bodies)])?;
        return Ok(
            json!({ "result": "ok", "question": question.key, "read": texts.len(), "more": more, "by": script, "said": said }),
        );
    }
    let mut found = counted(&texts, &lists()?);
    found["result"] = "ok".into();
    found["question"] = question.key.as_str().into();
    found["read"] = texts.len().into();
    found["more"] = more.into();
    Ok(found)
}

/// The newest texts, as many as fit, and whether there are more.
fn read(choice: &Choice<'_>, question: &crate::flow::Question) -> Result<(Vec<Said>, bool), Error> {
    let (mut texts, mut chars, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let pile = page(choice, question, &cursor)?;
        for row in &pile.rows {
            let said = Said::of(row)?;
            chars += said.text.chars().count();
            if texts.len() == TEXTS_MAX || chars > CHARS_MAX {
                return Ok((texts, true));
            }
            texts.push(said);
        }
        match pile.next {
            Some(next) => cursor = next,
            None => return Ok((texts, false)),
        }
    }
}

/// Words by theme: those of the settings, or those that are known here.
fn lists() -> Result<BTreeMap<String, Vec<String>>, Error> {
    struct Map(Json);
    impl TryFrom<Value> for Map {
        type Error = WrongKind;
        fn try_from(value: Value) -> Result<Self, WrongKind> {
            Ok(Self(books::plain(&value)))
        }
    }
    let given = settings::get::<Map>("themes")?.0;
    let given = given.as_object().filter(|map| !map.is_empty());
    let own = |map: &serde_json::Map<String, Json>| {
        map.iter().map(|(theme, words)| (theme.clone(), books::strings(words))).collect()
    };
    Ok(given.map_or_else(lexicon::themes, own))
}

/// What texts speak of, and in which mood.
fn counted(texts: &[Said], lists: &BTreeMap<String, Vec<String>>) -> Json {
    let mut moods: BTreeMap<Mood, usize> = BTreeMap::new();
    let mut themes: BTreeMap<&str, BTreeMap<Mood, usize>> = BTreeMap::new();
    let mut counted: BTreeMap<String, usize> = BTreeMap::new();
    let mut judges: BTreeMap<&str, usize> = BTreeMap::new();
    for said in texts {
        let lower = said.text.to_lowercase();
        let words = words(&lower);
        let (mood, of): (Mood, Vec<&str>) = if let Some(judged) = &said.judged {
            *judges.entry(&judged.by).or_default() += 1;
            (judged.mood, judged.themes.iter().map(String::as_str).collect())
        } else {
            let speaks = |list: &[String]| list.iter().any(|word| lexicon::speaks_of(&lower, &words, word));
            let of = lists.iter().filter(|(_, list)| speaks(list)).map(|(theme, _)| theme.as_str());
            (mood(&lower), of.collect())
        };
        *moods.entry(mood).or_default() += 1;
        for theme in of {
            *themes.entry(theme).or_default().entry(mood).or_default() += 1;
        }
        for word in words {
            *counted.entry(word).or_default() += 1;
        }
    }
    let told = |moods: &BTreeMap<Mood, usize>| {
        let of = |mood| moods.get(&mood).copied().unwrap_or(0);
        json!({ "positive": of(Mood::Positive), "neutral": of(Mood::Neutral), "negative": of(Mood::Negative) })
    };
    let mut themes: Vec<_> =
        themes.iter().map(|(theme, moods)| (*theme, moods.values().sum::<usize>(), told(moods))).collect();
    themes.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let themes: Vec<Json> =
        themes.into_iter().map(|(theme, n, mood)| json!({ "theme": theme, "n": n, "mood": mood })).collect();
    let mut words: Vec<(String, usize)> = counted.into_iter().filter(|(_, n)| *n > 1).collect();
    words.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    words.truncate(WORDS_MAX);
    let words: Vec<Json> = words.into_iter().map(|(word, n)| json!({ "word": word, "n": n })).collect();
    let judges: Vec<Json> = judges.into_iter().map(|(by, n)| json!({ "by": by, "n": n })).collect();
    json!({ "mood": told(&moods), "themes": themes, "words": words, "by": "lists of words", "judged": judges })
}
