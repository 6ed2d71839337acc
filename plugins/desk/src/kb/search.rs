//! Looks for articles: by what somebody asks for, and by what a ticket is about.

use std::collections::BTreeMap;

use rapport_sdk::search::{self, Hit};
use rapport_sdk::{Error, Json, records};
use serde_json::json;

use super::words::telling;
use super::{ARTICLE, LANGUAGES, language_of};
use crate::comments::unknown;
use crate::input::{Input, refused};
use crate::ticket::{self, Ticket};

/// Words by which articles for a ticket are looked for, each by itself.
const WORDS_MAX: usize = 10;
/// Hits of one of these words.
const HITS_PER_WORD: u32 = 30;
/// The longest question, in bytes.
const QUESTION_BYTES_MAX: usize = 500;

/// Public articles of a language in which a text stands.
///
/// # Errors
/// The host's.
pub(super) fn find(question: &str, language: &str, limit: u32) -> Result<Vec<Hit>, Error> {
    let mut end = question.len().min(QUESTION_BYTES_MAX);
    while !question.is_char_boundary(end) {
        end -= 1;
    }
    let asked =
        search::find(ARTICLE, &question[..end]).filter("status == 'published' && language == l").param("l", language);
    match asked.limit(limit).run() {
        // There is no word in it to look for.
        Err(error) if error.code() == "invalid" => Ok(Vec::new()),
        hits => hits,
    }
}

/// What an answer says of an article.
fn shown(id: &str, score: f64) -> Result<Option<Json>, Error> {
    let Some(article) = records::get(ARTICLE, id)? else { return Ok(None) };
    let (slug, language) = (article.text("slug")?.unwrap_or_default(), article.text("language")?.unwrap_or_default());
    Ok(Some(json!({
        "article": id, "title": article.text("title")?, "slug": slug, "language": language, "score": (score * 1_000.0).round() / 1_000.0,
        "address": format!("/x/desk/kb/{slug}?lang={language}"),
    })))
}

fn language_said(input: Input<'_>, text: &str) -> Result<&'static str, Error> {
    let said = input.optional("language")?.unwrap_or_else(|| language_of(text));
    Ok(LANGUAGES.into_iter().find(|language| *language == said).unwrap_or("en"))
}

fn limit_of(input: Input<'_>, default: u32) -> u32 {
    input.number("limit").and_then(|limit| u32::try_from(limit).ok()).unwrap_or(default).clamp(1, 50)
}

/// Does the action `kb_search`.
///
/// # Errors
/// The host's.
pub(crate) fn search(input: Input<'_>) -> Result<Json, Error> {
    let question = input.text("q")?;
    let language = language_said(input, question)?;
    let mut articles = Vec::new();
    for hit in find(question, language, limit_of(input, 10))? {
        if let Some(mut article) = shown(&hit.id, hit.score)? {
            article["snippet"] = hit.text.into();
            articles.push(article);
        }
    }
    Ok(json!({ "result": "ok", "language": language, "articles": articles }))
}

/// Does the action `suggest`: articles that might help with a ticket.
///
/// # Errors
/// The host's.
pub(crate) fn suggest(input: Input<'_>) -> Result<Json, Error> {
    let (subject, description, said) = if let Some(key) = input.optional("ticket")? {
        let Some(record) = ticket::find(key)? else { return Ok(unknown(key)) };
        let ticket = Ticket::read(&record)?;
        (ticket.subject, ticket.description, ticket.language)
    } else {
        let text = |name| Ok::<_, Error>(input.optional(name)?.unwrap_or_default().to_owned());
        (text("subject")?, text("description")?, None)
    };
    if subject.is_empty() && description.is_empty() {
        return Ok(refused("rejected_unknown", "give a `ticket`, or a `subject` and a `description`"));
    }
    let both = format!("{subject}\n{description}");
    let language = match said {
        Some(said) if input.optional("language")?.is_none() => {
            LANGUAGES.into_iter().find(|own| *own == said).unwrap_or("en")
        }
        _ => language_said(input, &both)?,
    };
    let words = telling(&[&subject, &description], WORDS_MAX);
    let mut found = Vec::new();
    for word in &words {
        found.push(find(word, language, HITS_PER_WORD)?);
    }
    let mut articles = Vec::new();
    for (id, score) in best(&found).into_iter().take(usize::try_from(limit_of(input, 3)).unwrap_or(3)) {
        articles.extend(shown(&id, score)?);
    }
    Ok(json!({ "result": "ok", "language": language, "words": words, "articles": articles }))
}

/// The articles by what the words say together. A word that stands in many says less of each; equal ones go by id.
fn best(found: &[Vec<Hit>]) -> Vec<(String, f64)> {
    let mut scores: BTreeMap<&str, f64> = BTreeMap::new();
    for hits in found {
        let rare = 1.0 / f64::from(u32::try_from(hits.len()).unwrap_or(u32::MAX).max(1)).sqrt();
        for hit in hits {
            *scores.entry(&hit.id).or_default() += hit.score * rare;
        }
    }
    let mut all: Vec<(String, f64)> = scores.into_iter().map(|(id, score)| (id.to_owned(), score)).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(id: &str, score: f64) -> Hit {
        Hit { id: id.into(), score, field: "body".into(), text: String::new(), matches: Vec::new() }
    }

    #[test]
    fn a_word_that_stands_everywhere_says_less() {
        let common = ["a", "b", "c", "d"].map(|id| hit(id, 0.5)).to_vec();
        let order: Vec<String> = best(&[common, vec![hit("c", 0.4)]]).into_iter().map(|(id, _)| id).collect();
        assert_eq!(order, ["c", "a", "b", "d"]);
    }
}
