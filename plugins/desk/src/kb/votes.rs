//! Whether an article has helped. Visitors are known by nothing: the form carries a mark of the page that was shown, and what comes with
//! the same mark counts once, the last word of it.

use rapport_sdk::{Error, Fields, Record, clock, random, records};

use crate::input::hex;

/// The object.
const OBJECT: &str = "kb_feedback";
/// The longest mark, in bytes.
const MARK_BYTES_MAX: usize = 64;
/// The longest remark, in characters.
const REMARK_CHARS_MAX: usize = 1_000;

/// A mark for a page.
pub(super) fn mark() -> String {
    hex(&random::bytes(16))
}

/// Whether this could be such a mark.
fn is_mark(text: &str) -> bool {
    !text.is_empty() && text.len() <= MARK_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Notes what a visitor says of an article; false if the form was not one of its pages.
///
/// # Errors
/// The host's.
pub(super) fn note(article: &Record, mark: &str, helped: bool, remark: &str) -> Result<bool, Error> {
    if !is_mark(mark) {
        return Ok(false);
    }
    let key = format!("{} {mark}", article.id);
    let known = records::get(OBJECT, &format!("key:{key}"))?;
    let before = known.map(|known| known.read::<bool>("helpful")).transpose()?.flatten();
    let remark: String = remark.chars().filter(|c| !c.is_control() || *c == '\n').take(REMARK_CHARS_MAX).collect();
    let fields = Fields::new()
        .with("key", key)
        .with("article", article.reference())
        .with("edition", article.int("edition")?)
        .with("helpful", helped)
        .with("remark", Some(remark.trim()).filter(|remark| !remark.is_empty()))
        .with("at", clock::now());
    records::upsert(OBJECT, "key", &fields)?;
    let count = |field: &str, by: i64| records::increment(&article.reference(), field, by);
    let field = |helped: bool| if helped { "helpful" } else { "unhelpful" };
    match before {
        Some(before) if before == helped => {}
        Some(before) => {
            count(field(before), -1)?;
            count(field(helped), 1)?;
        }
        None => count(field(helped), 1)?,
    }
    Ok(true)
}
