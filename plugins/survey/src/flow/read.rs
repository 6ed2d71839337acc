//! Reads what a script says in `fn survey()`. What does not fit is refused with its place.

use rapport_sdk::Json;

use super::{Choice, Definition, Kind, Question, TEXT_CHARS_MAX, Texts};

/// The most questions of a survey, and the most options of a question.
const QUESTIONS_MAX: usize = 300;
const OPTIONS_MAX: usize = 200;
/// The longest key, and the longest text, in characters.
const KEY_CHARS_MAX: usize = 40;
const TEXT_MAX: usize = 4_000;
/// The most points of a scale.
const POINTS_MAX: i64 = 11;
/// The longest span, in days, and the largest count.
const DAYS_MAX: i64 = 3_650;
const COUNT_MAX: i64 = 1_000_000_000;

const SURVEY: [&str; 10] = [
    "title",
    "languages",
    "intro",
    "thanks",
    "questions",
    "closes_after",
    "closes_at",
    "expires_days",
    "rest_days",
    "open",
];
const QUESTION: [&str; 15] = [
    "key",
    "kind",
    "text",
    "help",
    "low",
    "high",
    "label",
    "required",
    "min",
    "max",
    "options",
    "quotas",
    "weight",
    "positive_from",
    "channel",
];

type Read<T> = Result<T, String>;

fn only(json: &Json, place: &str, known: &[&str]) -> Read<()> {
    let Some(map) = json.as_object() else { return Err(format!("{place}: a map is needed, not {}", brief(json))) };
    match map.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(format!("{place}: there is no `{key}`; there are {}", known.join(", "))),
        None => Ok(()),
    }
}

fn brief(json: &Json) -> String {
    json.to_string().chars().take(60).collect()
}

fn key(json: &Json, place: &str) -> Read<String> {
    let fits = |text: &&str| {
        text.len() <= KEY_CHARS_MAX
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    let why = || {
        format!(
            "{place}: {} is no key: use a–z, 0–9 and _, beginning with a letter, {KEY_CHARS_MAX} at most",
            brief(json)
        )
    };
    json.as_str().filter(fits).map(str::to_owned).ok_or_else(why)
}

fn texts(json: &Json, place: &str, languages: &[String]) -> Read<Texts> {
    if let (Json::String(text), [only]) = (json, languages) {
        return Ok(Texts(vec![(only.clone(), text.clone())]));
    }
    let Some(map) = json.as_object() else {
        return Err(format!(
            "{place}: a text in each language is needed: #{{ {}: \"…\" }}",
            languages.join(": \"…\", ")
        ));
    };
    if let Some(other) = map.keys().find(|language| !languages.contains(language)) {
        return Err(format!("{place}: `{other}` is none of the survey's languages, {}", languages.join(", ")));
    }
    let one = |language: &String| match map.get(language).and_then(Json::as_str).filter(|text| !text.trim().is_empty())
    {
        None => Err(format!("{place}: the text in `{language}` is missing")),
        Some(text) if text.chars().count() > TEXT_MAX => {
            Err(format!("{place}: the text in `{language}` is longer than {TEXT_MAX} characters"))
        }
        Some(text) => Ok((language.clone(), text.to_owned())),
    };
    Ok(Texts(languages.iter().map(one).collect::<Read<_>>()?))
}

fn maybe<T>(json: &Json, read: impl FnOnce(&Json) -> Read<T>) -> Read<Option<T>> {
    if json.is_null() { Ok(None) } else { read(json).map(Some) }
}

fn whole(json: &Json, place: &str, (min, max): (i64, i64)) -> Read<i64> {
    let why = || format!("{place}: {} is no whole number from {min} to {max}", brief(json));
    json.as_i64().filter(|n| (min..=max).contains(n)).ok_or_else(why)
}

fn truth(json: &Json, place: &str, usual: bool) -> Read<bool> {
    match json {
        Json::Null => Ok(usual),
        Json::Bool(yes) => Ok(*yes),
        other => Err(format!("{place}: {} is not true or false", brief(other))),
    }
}

fn instant(json: &Json, place: &str) -> Read<i64> {
    let text = json.as_str().ok_or_else(|| format!("{place}: {} is no instant", brief(json)))?;
    let at: jiff::Timestamp =
        text.parse().map_err(|e| format!("{place}: `{text}` is no instant such as 2026-12-31T23:59:00Z: {e}"))?;
    Ok(at.as_microsecond())
}

/// Reads a survey.
pub(super) fn definition(json: &Json) -> Read<Definition> {
    only(json, "survey()", &SURVEY)?;
    let languages = languages(&json["languages"])?;
    let Json::Array(given) = &json["questions"] else { return Err("`questions`: a list is needed".into()) };
    if given.is_empty() || given.len() > QUESTIONS_MAX {
        return Err(format!("`questions`: {} are not from 1 to {QUESTIONS_MAX}", given.len()));
    }
    let questions = given.iter().map(|one| question(one, &languages)).collect::<Read<Vec<_>>>()?;
    for (place, question) in questions.iter().enumerate() {
        if questions[..place].iter().any(|other| other.key == question.key) {
            return Err(format!("`questions`: two have the key `{}`", question.key));
        }
        let strange = |key: &&str| questions.iter().all(|other| other.key != *key);
        let named = [Some(&question.text), question.help.as_ref()];
        if let Some(unknown) = named.into_iter().flatten().flat_map(Texts::answers_named).find(strange) {
            return Err(format!(
                "question `{}`: its text names the answer to `{unknown}`, which is no question",
                question.key
            ));
        }
    }
    Ok(Definition {
        title: texts(&json["title"], "`title`", &languages)?,
        intro: maybe(&json["intro"], |json| texts(json, "`intro`", &languages))?,
        thanks: maybe(&json["thanks"], |json| texts(json, "`thanks`", &languages))?,
        closes_after: maybe(&json["closes_after"], |json| whole(json, "`closes_after`", (1, COUNT_MAX)))?,
        closes_at: maybe(&json["closes_at"], |json| instant(json, "`closes_at`"))?,
        expires_days: maybe(&json["expires_days"], |json| whole(json, "`expires_days`", (1, DAYS_MAX)))?,
        rest_days: maybe(&json["rest_days"], |json| whole(json, "`rest_days`", (0, DAYS_MAX)))?,
        open: truth(&json["open"], "`open`", false)?,
        languages,
        questions,
    })
}

fn languages(json: &Json) -> Read<Vec<String>> {
    let fits =
        |text: &&str| (2..=20).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let one = |json: &Json| json.as_str().filter(fits).map(str::to_owned);
    let all = json.as_array().and_then(|all| all.iter().map(one).collect::<Option<Vec<_>>>());
    match all {
        Some(all) if !all.is_empty() && all.len() <= 20 => Ok(all),
        _ => Err("`languages`: a list such as [\"en\", \"zh-CN\"] is needed; the first is for whom none fits".into()),
    }
}

/// Reads a question.
pub(super) fn question(json: &Json, languages: &[String]) -> Read<Question> {
    only(json, "question", &QUESTION)?;
    let key = key(&json["key"], "question")?;
    let place = |name: &str| format!("question `{key}`: `{name}`");
    let kind = json["kind"].as_str().and_then(Kind::parse).ok_or_else(|| {
        let all: Vec<&str> = Kind::ALL.iter().map(|(name, _)| *name).collect();
        format!("{}: {} is none of {}", place("kind"), brief(&json["kind"]), all.join(", "))
    })?;
    let words = |name: &str| maybe(&json[name], |json| texts(json, &place(name), languages));
    let read = Question {
        kind,
        text: texts(&json["text"], &place("text"), languages)?,
        help: words("help")?,
        low: words("low")?,
        high: words("high")?,
        label: words("label")?,
        required: truth(&json["required"], &place("required"), false)?,
        min: maybe(&json["min"], |json| whole(json, &place("min"), (-COUNT_MAX, COUNT_MAX)))?,
        max: maybe(&json["max"], |json| whole(json, &place("max"), (-COUNT_MAX, COUNT_MAX)))?,
        options: options(&json["options"], &key, languages)?,
        quotas: quotas(&json["quotas"], &key)?,
        weight: maybe(&json["weight"], |json| weight(json, &place("weight")))?,
        positive_from: maybe(&json["positive_from"], |json| whole(json, &place("positive_from"), (0, POINTS_MAX)))?,
        channel: maybe(&json["channel"], |json| self::key(json, &place("channel")))?,
        version: 1,
        retired: false,
        key,
    };
    check(&read).map_err(|why| format!("question `{}`: {why}", read.key))?;
    Ok(read)
}

/// What must hold of a question as a whole.
fn check(question: &Question) -> Read<()> {
    let Question { kind, min, max, options, .. } = question;
    if min.zip(*max).is_some_and(|(min, max)| min > max) {
        return Err("`min` is above `max`".into());
    }
    if let Some((min, max)) = question.scale() {
        if *kind == Kind::Nps && (min, max) != (0, 10) {
            return Err("a net promoter score is asked from 0 to 10".into());
        }
        if min < 0 || min >= max || max - min >= POINTS_MAX {
            return Err(format!("a scale has 2 to {POINTS_MAX} points, from 0 on"));
        }
        if question.positive_from() > max || question.positive_from() <= min {
            return Err(format!("`positive_from` lies above {min} and is at most {max}"));
        }
    }
    let chooses = matches!(kind, Kind::Single | Kind::Multiple);
    if chooses == options.is_empty() {
        let what = if chooses { "`options` is missing" } else { "only `single` and `multiple` have `options`" };
        return Err(what.into());
    }
    if *kind == Kind::Text && max.is_some_and(|max| !(1..=TEXT_CHARS_MAX).contains(&max)) {
        return Err(format!("`max` is its length, 1 to {TEXT_CHARS_MAX} characters"));
    }
    if question.weight.is_some() && kind.scale().is_none() {
        return Err("only scales have a `weight`".into());
    }
    if !question.quotas.is_empty() && kind.scale().is_none() && *kind != Kind::Single {
        return Err("only scales and `single` have `quotas`".into());
    }
    Ok(())
}

fn weight(json: &Json, place: &str) -> Read<f64> {
    // A decimal of a script comes as a text.
    let read = json.as_f64().or_else(|| json.as_str().and_then(|text| text.parse().ok()));
    let fits = read.filter(|weight| (0.0..=1_000_000.0).contains(weight));
    fits.ok_or_else(|| format!("{place}: {} is no number from 0 to 1,000,000", brief(json)))
}

fn options(json: &Json, of: &str, languages: &[String]) -> Read<Vec<Choice>> {
    let place = format!("question `{of}`: `options`");
    let given = match json {
        Json::Null => return Ok(Vec::new()),
        Json::Array(given) if (1..=OPTIONS_MAX).contains(&given.len()) => given,
        _ => return Err(format!("{place}: a list of 1 to {OPTIONS_MAX} is needed")),
    };
    let mut options: Vec<Choice> = Vec::with_capacity(given.len());
    for one in given {
        only(one, &place, &["key", "text"])?;
        let option = Choice { key: key(&one["key"], &place)?, text: texts(&one["text"], &place, languages)? };
        if options.iter().any(|other| other.key == option.key) {
            return Err(format!("{place}: two have the key `{}`", option.key));
        }
        options.push(option);
    }
    Ok(options)
}

fn quotas(json: &Json, of: &str) -> Read<Vec<(String, i64)>> {
    let place = format!("question `{of}`: `quotas`");
    match json {
        Json::Null => Ok(Vec::new()),
        Json::Object(map) => {
            map.iter().map(|(value, n)| Ok((value.clone(), whole(n, &place, (0, 100_000))?))).collect()
        }
        other => Err(format!("{place}: {} is no map of values and counts", brief(other))),
    }
}
