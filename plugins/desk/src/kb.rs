//! The knowledge base: articles in versions, in Chinese and English.
//!
//! ```text
//! saved (version 1, 2, 3 …) ─publish─▶ the article holds the text of that version ─withdraw─▶ it holds none
//! ```
//! An article is known by its language and its slug (`en/returns`). Its record holds the text that is public, and is what is searched; all
//! versions stay as they were saved. Going back is publishing an earlier version.

pub(crate) mod pages;
pub(crate) mod search;
mod text;
mod votes;
mod words;

use rapport_sdk::{Error, Fields, Json, Record, Value, clock, records};
use serde_json::json;

use crate::input::{Input, refused};

/// The object of articles.
pub(crate) const ARTICLE: &str = "kb_article";
/// The object of their versions.
const VERSION: &str = "kb_version";
/// The languages.
pub(crate) const LANGUAGES: [&str; 2] = ["en", "zh"];
/// The longest slug, in bytes.
const SLUG_BYTES_MAX: usize = 80;

/// The language that a text is in: Chinese, if an eighth of its letters are: a character says more than a letter.
pub(crate) fn language_of(text: &str) -> &'static str {
    let letters = text.chars().filter(|c| c.is_alphabetic());
    let (mut all, mut chinese) = (0_usize, 0_usize);
    for letter in letters.take(2_000) {
        all += 1;
        chinese += usize::from(words::is_han(letter));
    }
    if chinese * 8 >= all && chinese > 0 { "zh" } else { "en" }
}

fn key(language: &str, slug: &str) -> String {
    format!("{language}/{slug}")
}

/// What names an article: its language and its slug, or why they name none.
fn named(input: Input<'_>) -> Result<Result<(&'static str, String), Json>, Error> {
    let slug = input.text("slug")?;
    let said = input.optional("language")?.unwrap_or("en");
    let Some(language) = LANGUAGES.into_iter().find(|language| *language == said) else {
        return Ok(Err(refused("rejected_language", format!("articles are written in {}", LANGUAGES.join(" or ")))));
    };
    let plain = slug.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !plain || slug.len() > SLUG_BYTES_MAX {
        let why = format!("`slug` is part of an address: at most {SLUG_BYTES_MAX} of a–z, 0–9 and `-`");
        return Ok(Err(refused("rejected_slug", why)));
    }
    Ok(Ok((language, slug.to_owned())))
}

/// The article of that language and slug.
pub(crate) fn article(language: &str, slug: &str) -> Result<Option<Record>, Error> {
    records::get(ARTICLE, &format!("key:{}", key(language, slug)))
}

/// Does the action `kb_save`: keeps a version, and publishes it if that is asked for.
///
/// # Errors
/// The host's.
pub(crate) fn save(input: Input<'_>) -> Result<Json, Error> {
    let (language, slug) = match named(input)? {
        Ok(named) => named,
        Err(answer) => return Ok(answer),
    };
    let key = key(language, &slug);
    let article = match article(language, &slug)? {
        Some(article) => article,
        None => records::create(
            ARTICLE,
            &Fields::new().with("key", key.as_str()).with("slug", slug.as_str()).with("language", language),
        )?,
    };
    let version = article.int("versions")?.unwrap_or(0) + 1;
    let fields = Fields::new()
        .with("key", format!("{key}#{version}"))
        .with("article", article.reference())
        .with("edition", version)
        .with("title", input.text("title")?.trim())
        .with("body", input.text("body")?)
        .with("keywords", input.optional("keywords")?)
        .with("author", input.caller)
        .with("saved_at", clock::now());
    let saved = records::create(VERSION, &fields)?;
    let mut fields = Fields::new().with("versions", version);
    if input.flag("publish", crate::input::Flag::Off) {
        make_public(&mut fields, &saved)?;
    }
    records::update(&article.reference(), &fields)?;
    Ok(
        json!({ "result": "ok", "article": article.id, "version": version, "address": format!("/x/desk/kb/{slug}?lang={language}") }),
    )
}

/// The fields by which an article shows this version.
fn make_public(fields: &mut Fields, version: &Record) -> Result<(), Error> {
    for name in ["title", "body", "keywords", "edition"] {
        fields.set(name, version.value(name)?.clone());
    }
    fields.set("status", "published");
    fields.set("published_at", clock::now());
    Ok(())
}

/// Does the action `kb_publish`: makes a version public, the latest one by default.
///
/// # Errors
/// The host's.
pub(crate) fn publish(input: Input<'_>) -> Result<Json, Error> {
    let (language, slug) = match named(input)? {
        Ok(named) => named,
        Err(answer) => return Ok(answer),
    };
    let Some(article) = article(language, &slug)? else { return Ok(unknown(language, &slug)) };
    let number = input.number("version").or(article.int("versions")?).unwrap_or(0);
    let Some(version) = records::get(VERSION, &format!("key:{}#{number}", key(language, &slug)))? else {
        return Ok(refused("rejected_unknown", format!("the article has no version {number}")));
    };
    let mut fields = Fields::new();
    make_public(&mut fields, &version)?;
    records::update(&article.reference(), &fields)?;
    Ok(json!({ "result": "ok", "article": article.id, "version": number }))
}

/// Does the action `kb_withdraw`: the article is public no more; its versions stay.
///
/// # Errors
/// The host's.
pub(crate) fn withdraw(input: Input<'_>) -> Result<Json, Error> {
    let (language, slug) = match named(input)? {
        Ok(named) => named,
        Err(answer) => return Ok(answer),
    };
    let Some(article) = article(language, &slug)? else { return Ok(unknown(language, &slug)) };
    let fields = Fields::new()
        .with("status", "withdrawn")
        .with("title", Value::Null)
        .with("body", Value::Null)
        .with("keywords", Value::Null)
        .with("edition", Value::Null);
    records::update(&article.reference(), &fields)?;
    Ok(json!({ "result": "ok", "article": article.id }))
}

fn unknown(language: &str, slug: &str) -> Json {
    refused("rejected_unknown", format!("there is no article `{language}/{slug}`: save one with `desk.kb_save`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_tells_its_language() {
        assert_eq!(language_of("我的订单 T-1001 坏了"), "zh");
        assert_eq!(language_of("My order broke"), "en");
        assert_eq!(language_of("The shop 北京 sent the wrong lamp to me again"), "en");
        assert_eq!(language_of("123"), "en");
    }
}
