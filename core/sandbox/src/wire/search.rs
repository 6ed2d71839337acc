//! Searches as they pass the border.

use wasmtime::component::{ComponentType, Lift, Lower};

use super::{FIELD_BYTES, InField, in_bytes, into_fields};
use crate::host::{SearchAsked, SearchFound};

/// How a guest looks for a text.
#[derive(Debug, Clone, ComponentType, Lift)]
#[component(record)]
pub(crate) struct InOptions {
    fields: Vec<String>,
    #[component(name = "where")]
    filter: String,
    params: Vec<InField>,
    limit: u32,
}

impl InOptions {
    /// The bytes that they cost the host.
    pub(crate) fn bytes(&self) -> usize {
        let names: usize = self.fields.iter().map(|name| FIELD_BYTES + name.len()).sum();
        names + self.filter.len() + in_bytes(&self.params)
    }

    /// The search, its parameters checked.
    ///
    /// # Errors
    /// A text that names the parameter and what is wrong with it.
    pub(crate) fn checked(self, (object, text): (String, String)) -> Result<SearchAsked, String> {
        let Self { fields, filter, params, limit } = self;
        Ok(SearchAsked { object, text, fields, filter, params: into_fields(params)?, limit })
    }
}

/// Where something stands.
#[derive(Debug, Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(crate) struct OutSpan {
    start: u32,
    end: u32,
}

/// A part of a text.
#[derive(Debug, Clone, ComponentType, Lower)]
#[component(record)]
pub(crate) struct OutSnippet {
    field: String,
    text: String,
    matches: Vec<OutSpan>,
}

/// A record that was found.
#[derive(Debug, Clone, ComponentType, Lower)]
#[component(record)]
pub(crate) struct OutHit {
    id: String,
    score: f64,
    snippet: OutSnippet,
}

impl From<SearchFound> for OutHit {
    fn from(found: SearchFound) -> Self {
        let SearchFound { id, score, field, text, matches } = found;
        let matches = matches.into_iter().map(|(start, end)| OutSpan { start, end }).collect();
        Self { id, score, snippet: OutSnippet { field, text, matches } }
    }
}

impl OutHit {
    /// The bytes that it costs a guest.
    pub(crate) fn bytes(&self) -> usize {
        let OutSnippet { field, text, matches } = &self.snippet;
        FIELD_BYTES * 2 + self.id.len() + field.len() + text.len() + matches.len() * 8
    }
}
