//! Reads an answer as it was sent, and says what is wrong with it.

use rapport_sdk::{Decimal, Json};

use super::{Kind, Question, TEXT_CHARS};

/// The largest number, so that it fits a field with six places.
const NUMBER_MAX: i64 = 1_000_000_000;
/// The most places of a number.
const PLACES_MAX: u32 = 6;

/// What is wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// There is none, and one is needed.
    Missing,
    /// It is none of those that can be chosen.
    NotThere,
    /// It is no number.
    NoNumber,
    /// It is no day.
    NoDate,
    /// It is less, or more, than can be.
    TooLow(i64),
    TooHigh(i64),
    /// It has more characters than can be.
    TooLong(i64),
    /// More, or fewer, are chosen than can be.
    TooMany(i64),
    TooFew(i64),
}

impl Fault {
    /// A stable code.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::NotThere => "not_there",
            Self::NoNumber => "no_number",
            Self::NoDate => "no_date",
            Self::TooLow(_) => "too_low",
            Self::TooHigh(_) => "too_high",
            Self::TooLong(_) => "too_long",
            Self::TooMany(_) => "too_many",
            Self::TooFew(_) => "too_few",
        }
    }
}

/// The answer that these texts of a form give to a question; null if there is none.
///
/// # Errors
/// [`Fault`].
pub(crate) fn read(question: &Question, sent: &[&str]) -> Result<Json, Fault> {
    let text = sent.first().copied().unwrap_or_default();
    let answer = match question.kind {
        Kind::Text => long_text(question, text)?,
        Kind::Multiple => several(question, sent)?,
        Kind::Consent => consent(question, text),
        _ if text.trim().is_empty() => Json::Null,
        Kind::Single => one_of(question, text.trim())?.into(),
        Kind::Number => number(question, text.trim())?,
        Kind::Date => date(text.trim())?,
        Kind::Nps | Kind::Csat | Kind::Ces | Kind::Likert => point(question, text.trim())?,
    };
    let nothing = answer.is_null() || answer == Json::Bool(false);
    if question.required && nothing { Err(Fault::Missing) } else { Ok(answer) }
}

/// The texts that a form would have sent for an answer in JSON; none for what is no answer.
pub(crate) fn as_sent(answer: &Json) -> Option<Vec<String>> {
    match answer {
        Json::Null => Some(Vec::new()),
        Json::Bool(yes) => Some(if *yes { vec!["yes".into()] } else { Vec::new() }),
        Json::Number(number) => Some(vec![number.to_string()]),
        Json::String(text) => Some(vec![text.clone()]),
        Json::Array(all) => all.iter().map(|one| one.as_str().map(str::to_owned)).collect(),
        Json::Object(_) => None,
    }
}

fn long_text(question: &Question, text: &str) -> Result<Json, Fault> {
    let clean: String =
        text.replace("\r\n", "\n").chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
    let clean = clean.trim();
    let length = i64::try_from(clean.chars().count()).unwrap_or(i64::MAX);
    let max = question.max.unwrap_or(TEXT_CHARS);
    if length > max {
        return Err(Fault::TooLong(max));
    }
    match question.min.filter(|min| length > 0 && length < *min) {
        Some(min) => Err(Fault::TooLow(min)),
        None if clean.is_empty() => Ok(Json::Null),
        None => Ok(clean.into()),
    }
}

fn one_of<'a>(question: &Question, text: &'a str) -> Result<&'a str, Fault> {
    if question.options.iter().any(|option| option.key == text) { Ok(text) } else { Err(Fault::NotThere) }
}

fn several(question: &Question, sent: &[&str]) -> Result<Json, Fault> {
    let sent: Vec<&str> = sent.iter().copied().filter(|text| !text.is_empty()).collect();
    sent.iter().try_for_each(|text| one_of(question, text).map(drop))?;
    let chosen: Vec<Json> = question
        .options
        .iter()
        .filter(|option| sent.contains(&option.key.as_str()))
        .map(|option| option.key.as_str().into())
        .collect();
    let n = i64::try_from(chosen.len()).unwrap_or(i64::MAX);
    if let Some(max) = question.max.filter(|max| n > *max) {
        return Err(Fault::TooMany(max));
    }
    match question.min.filter(|min| n > 0 && n < *min) {
        Some(min) => Err(Fault::TooFew(min)),
        None if chosen.is_empty() => Ok(Json::Null),
        None => Ok(chosen.into()),
    }
}

fn consent(question: &Question, text: &str) -> Json {
    match text {
        "yes" => true.into(),
        // A box that nobody ticked is a no: whoever sees it has decided.
        _ if !question.required => false.into(),
        _ => Json::Null,
    }
}

fn point(question: &Question, text: &str) -> Result<Json, Fault> {
    let (min, max) = question.scale().unwrap_or((0, 10));
    let is_plain = text.len() <= 3 && text.bytes().all(|b| b.is_ascii_digit());
    let value: i64 = text.parse().ok().filter(|_| is_plain).ok_or(Fault::NotThere)?;
    if (min..=max).contains(&value) { Ok(value.into()) } else { Err(Fault::NotThere) }
}

fn number(question: &Question, text: &str) -> Result<Json, Fault> {
    // Some write a comma where others write a point.
    let text = text.replace(',', ".");
    let value = Decimal::from_str_exact(&text).ok().filter(|n| n.scale() <= PLACES_MAX).ok_or(Fault::NoNumber)?;
    let (min, max) = (question.min.unwrap_or(-NUMBER_MAX), question.max.unwrap_or(NUMBER_MAX));
    if value < Decimal::from(min) {
        return Err(Fault::TooLow(min));
    }
    if value > Decimal::from(max) {
        return Err(Fault::TooHigh(max));
    }
    let plain = value.normalize().to_string();
    let number = plain.parse::<i64>().map(Json::from).or_else(|_| plain.parse::<f64>().map(Json::from));
    number.map_err(|_| Fault::NoNumber)
}

fn date(text: &str) -> Result<Json, Fault> {
    let read: jiff::civil::Date = text.parse().map_err(|_| Fault::NoDate)?;
    // Only the one way of writing a day is taken.
    if read.to_string() == text { Ok(text.into()) } else { Err(Fault::NoDate) }
}
