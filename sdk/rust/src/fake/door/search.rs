//! See `search` in the contract: words are looked for as they stand, in lower case.

use super::super::world;
use super::{WireError, need, refuse};
use crate::Value;
use crate::bindings::rapport::plugin::search::{Hit, Options, Snippet};

pub(crate) fn find(object: &str, text: &str, options: &Options) -> Result<Vec<Hit>, WireError> {
    need(&format!("{object}:read"))?;
    if !options.where_.is_empty() {
        return refuse("fake", format!("the fake host knows no rules: it cannot look for `{}`", options.where_));
    }
    let text = text.to_lowercase();
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.is_empty() {
        return refuse("invalid", "say what is looked for".into());
    }
    let limit = if options.limit == 0 { 20 } else { usize::try_from(options.limit).unwrap_or(usize::MAX) };
    Ok(world(|w| {
        let mut hits = Vec::new();
        for record in w.records.iter().filter(|record| record.object == object) {
            let meant = |name: &str| options.fields.is_empty() || options.fields.iter().any(|field| field == name);
            let found = record.fields.iter().filter(|(name, _)| meant(name)).find_map(|(name, value)| match value {
                Value::Text(text) if words.iter().all(|word| text.to_lowercase().contains(word)) => Some((name, text)),
                _ => None,
            });
            if let Some((name, text)) = found {
                let snippet = Snippet { field: name.to_string(), text: text.clone(), matches: Vec::new() };
                hits.push(Hit { id: record.id.clone(), score: 1.0, snippet });
            }
        }
        hits.truncate(limit);
        hits
    }))
}
