//! Pages and cursors.
//!
//! A cursor is opaque and bound to the query that gave it: one that was changed, or that belongs to another query, is
//! refused. It holds no secret and grants nothing: whoever forges one sees what their key lets them see anyway.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rapport_model::Digest;
use rapport_model::limits::{PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::error::EngineError;

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// Its items.
    pub items: Vec<T>,
    /// What to ask for the next page with; none: this is the last.
    pub next: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Wire {
    v: Vec<Json>,
    q: String,
}

fn fingerprint(query: &[&str], values: &[Json]) -> String {
    let text = serde_json::to_string(&(query, values)).unwrap_or_default();
    Digest::of(text.as_bytes()).short()
}

/// The cursor after a row with `values` in the query that `query` describes.
pub(crate) fn cursor(query: &[&str], values: Vec<Json>) -> String {
    let q = fingerprint(query, &values);
    let text = serde_json::to_vec(&Wire { v: values, q }).unwrap_or_default();
    URL_SAFE_NO_PAD.encode(text)
}

/// The values in a cursor of the query that `query` describes.
///
/// # Errors
/// [`EngineError::Invalid`] if it is none of that query's.
pub(crate) fn open_cursor(query: &[&str], cursor: &str) -> Result<Vec<Json>, EngineError> {
    let wrong = || EngineError::invalid("/cursor", "this is no cursor of this query: take `next` of the page before");
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| wrong())?;
    let wire: Wire = serde_json::from_slice(&bytes).map_err(|_| wrong())?;
    if wire.q == fingerprint(query, &wire.v) { Ok(wire.v) } else { Err(wrong()) }
}

/// The rows to return for a page of `limit`.
///
/// # Errors
/// [`EngineError::Invalid`] if more than the most are asked for, or none.
pub(crate) fn page_rows(limit: Option<u32>) -> Result<u32, EngineError> {
    match limit {
        None => Ok(PAGE_ROWS_DEFAULT),
        Some(rows) if (1..=PAGE_ROWS_MAX).contains(&rows) => Ok(rows),
        Some(_) => Err(EngineError::invalid("/limit", format!("use 1 to {PAGE_ROWS_MAX}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_cursor_opens_only_in_its_own_query() {
        let text = cursor(&["customer", "a"], vec![json!(1)]);
        assert_eq!(open_cursor(&["customer", "a"], &text).unwrap(), vec![json!(1)]);
        assert!(open_cursor(&["customer", "b"], &text).is_err());
        assert!(open_cursor(&["customer", "a"], "forged").is_err());
    }

    #[test]
    fn a_page_has_its_limits() {
        assert_eq!(page_rows(None).unwrap(), 50);
        assert!(page_rows(Some(0)).is_err());
        assert!(page_rows(Some(1_000_000_000)).is_err());
    }
}
