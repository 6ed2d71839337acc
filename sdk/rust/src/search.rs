//! Looks for words in the texts of records, in fields that are declared as `searchable`.
//!
//! Case, diacritics and compatible forms of characters make no difference; Chinese, Japanese and Korean are looked for by pairs of
//! neighbouring characters. All words must be there, the last one may go on. Rights: to read the object, or the fields.
//!
//! The fake host looks whether the words stand in any text of a record, and knows no rules:
//!
//! ```
//! use rapport_sdk::{Fields, fake, search};
//!
//! fake::reset();
//! let _ = fake::insert("article", Fields::new().with("title", "How to ask for a refund"));
//! let hits = search::find("article", "refund").limit(5).run().unwrap();
//! assert_eq!((hits.len(), hits[0].field.as_str()), (1, "title"));
//! ```

use crate::bindings::rapport::plugin::search as wire;
use crate::door::search as door;
use crate::{Error, Fields, Value};

/// A record that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// Its id.
    pub id: String,
    /// How well it fits.
    pub score: f64,
    /// The field of which a part is shown.
    pub field: String,
    /// The part around what was found: plain text.
    pub text: String,
    /// Where what was found stands in it, in characters.
    pub matches: Vec<std::ops::Range<u32>>,
}

/// A search; see [`find`].
#[derive(Debug, Clone, PartialEq)]
#[must_use = "it is asked by `run`"]
pub struct Search {
    object: String,
    text: String,
    fields: Vec<String>,
    filter: String,
    params: Fields,
    limit: u32,
}

/// Looks for a text in all searchable fields of an object; 20 hits at most, until told otherwise.
pub fn find(object: &str, text: &str) -> Search {
    let (object, text) = (object.into(), text.into());
    Search { object, text, fields: Vec::new(), filter: String::new(), params: Fields::new(), limit: 0 }
}

impl Search {
    /// Only in this field, and others that are named so.
    pub fn field(mut self, name: &str) -> Self {
        self.fields.push(name.into());
        self
    }

    /// Only records that a rule accepts.
    pub fn filter(mut self, rule: &str) -> Self {
        self.filter = rule.into();
        self
    }

    /// A parameter of the rule.
    pub fn param(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.params.set(name, value);
        self
    }

    /// At most so many hits, 100 at most.
    pub const fn limit(mut self, hits: u32) -> Self {
        self.limit = hits;
        self
    }

    /// The hits, the best first.
    ///
    /// # Errors
    /// `invalid` if the text holds no word or a field is not searchable; `denied`, `unwritten`, `invalid_rule`.
    pub fn run(self) -> Result<Vec<Hit>, Error> {
        let Self { object, text, fields, filter, params, limit } = self;
        let options = wire::Options { fields, where_: filter, params: params.to_wire(), limit };
        let hit = |hit: wire::Hit| Hit {
            id: hit.id,
            score: hit.score,
            field: hit.snippet.field,
            text: hit.snippet.text,
            matches: hit.snippet.matches.iter().map(|span| span.start..span.end).collect(),
        };
        Ok(door::find(&object, &text, &options)?.into_iter().map(hit).collect())
    }
}
