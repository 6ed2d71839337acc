//! Texts in several languages, and what is filled into them.

use rapport_sdk::Json;

use super::{Answers, Definition, Kind};

/// A text in several languages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Texts(pub(crate) Vec<(String, String)>);

impl Texts {
    /// The text in a language; in the first one, if it has none in that.
    pub(crate) fn in_language(&self, language: &str) -> &str {
        let found = self.0.iter().find(|(known, _)| known == language).or_else(|| self.0.first());
        found.map_or("", |(_, text)| text)
    }

    /// The keys of answers that it names.
    pub(crate) fn answers_named(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|(_, text)| pieces(text)).filter_map(|piece| match piece {
            Piece::Answer(key, _) => Some(key),
            _ => None,
        })
    }
}

/// What texts are filled with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filling<'a> {
    pub(crate) definition: &'a Definition,
    pub(crate) answers: &'a Answers,
    pub(crate) customer: &'a Json,
    pub(crate) language: &'a str,
}

enum Piece<'a> {
    Plain(&'a str),
    Answer(&'a str, &'a str),
    Customer(&'a str, &'a str),
}

/// Takes a text apart: `{answers.KEY}`, `{customer.FIELD}`, each with `|` and what stands there if there is nothing. All other braces
/// are text.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let (mut found, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.find('{') {
        let Some(length) = rest[at..].find('}') else { break };
        let inner = &rest[at + 1..at + length];
        let (name, otherwise) = inner.split_once('|').unwrap_or((inner, ""));
        let piece = match name.split_once('.') {
            Some(("answers", key)) => Some(Piece::Answer(key, otherwise)),
            Some(("customer", field)) => Some(Piece::Customer(field, otherwise)),
            _ => None,
        };
        if let Some(piece) = piece {
            found.push(Piece::Plain(&rest[..at]));
            found.push(piece);
            rest = &rest[at + length + 1..];
        } else {
            found.push(Piece::Plain(&rest[..=at]));
            rest = &rest[at + 1..];
        }
    }
    found.push(Piece::Plain(rest));
    found
}

impl Filling<'_> {
    /// The text with answers and fields filled in, once: what somebody typed is not looked at again.
    pub(crate) fn text(&self, texts: &Texts) -> String {
        let mut filled = String::new();
        for piece in pieces(texts.in_language(self.language)) {
            let (found, otherwise) = match piece {
                Piece::Plain(text) => (text.to_owned(), ""),
                Piece::Answer(key, otherwise) => (self.answer(key), otherwise),
                Piece::Customer(field, otherwise) => (plain(&self.customer[field]), otherwise),
            };
            filled.push_str(if found.is_empty() { otherwise } else { &found });
        }
        filled
    }

    /// An answer as people read it.
    fn answer(&self, key: &str) -> String {
        let Some(answer) = self.answers.get(key) else { return String::new() };
        let Some(question) = self.definition.question(key) else { return plain(answer) };
        let label = |chosen: &Json| {
            let chosen = chosen.as_str().unwrap_or_default();
            let option = question.options.iter().find(|option| option.key == chosen);
            option.map_or_else(|| chosen.to_owned(), |option| option.text.in_language(self.language).to_owned())
        };
        match (question.kind, answer) {
            (Kind::Single, chosen @ Json::String(_)) => label(chosen),
            (Kind::Multiple, Json::Array(chosen)) => chosen.iter().map(label).collect::<Vec<_>>().join(", "),
            _ => plain(answer),
        }
    }
}

fn plain(json: &Json) -> String {
    match json {
        Json::String(text) => text.clone(),
        Json::Number(number) => number.to_string(),
        _ => String::new(),
    }
}
