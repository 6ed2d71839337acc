//! What guests ask of data in bulk, of what plugins keep, and of files.

use rapport_model::{Name, Timestamp, Value};

use super::GuestFields;

/// Rows and columns as a guest asks for them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Selection {
    /// The object.
    pub object: String,
    /// The fields of each row.
    pub fields: Vec<String>,
    /// A rule; empty: all records.
    pub filter: String,
    /// The rule's parameters.
    pub params: GuestFields,
    /// Field to order by, `-field` for descending; empty: by id.
    pub order: String,
    /// Rows at most.
    pub limit: u32,
    /// Where the page before ended; empty for the first page.
    pub cursor: String,
}

/// What is measured of a group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Measure {
    /// `count`, `sum`, `min` or `max`, unchecked.
    pub kind: String,
    /// The field; empty for `count`.
    pub field: String,
}

/// Groups of rows as a guest asks for them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Grouping {
    /// The object.
    pub object: String,
    /// A rule; empty: all records.
    pub filter: String,
    /// The rule's parameters.
    pub params: GuestFields,
    /// The fields whose values make a group; empty: all rows are one.
    pub group_by: Vec<String>,
    /// What is measured of each group.
    pub measures: Vec<Measure>,
}

/// Rows for a guest.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// The values, row by row.
    pub rows: Vec<Vec<Value>>,
    /// What the references of each column refer to.
    pub objects: Vec<Option<Name>>,
    /// Where the next page begins.
    pub next: Option<String>,
}

/// What a plugin keeps under a key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KvEntry {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Vec<u8>,
}

/// A file as a guest puts it: nothing has been checked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewFile {
    /// Its name.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// Its bytes.
    pub content: Vec<u8>,
    /// The object and the key of the record that it is attached to.
    pub attached: Option<(String, String)>,
}

/// What there is to know of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileInfo {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// Its bytes.
    pub size: u64,
    /// The digest of its bytes.
    pub sha256: String,
    /// The object and the id of the record that it is attached to.
    pub attached: Option<(String, String)>,
    /// When it came.
    pub created_at: Timestamp,
}

/// What a guest looks for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SearchAsked {
    /// The object.
    pub object: String,
    /// The text.
    pub text: String,
    /// The fields in which it may stand; empty: all that are searchable.
    pub fields: Vec<String>,
    /// A rule; empty: all records.
    pub filter: String,
    /// The rule's parameters.
    pub params: GuestFields,
    /// Hits at most; 0: as usual.
    pub limit: u32,
}

/// A record that a search found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SearchFound {
    /// Its id.
    pub id: String,
    /// How well it fits.
    pub score: f64,
    /// The field of which a part is shown.
    pub field: String,
    /// The part.
    pub text: String,
    /// Where what was looked for stands in it, in characters: first, and behind the last.
    pub matches: Vec<(u32, u32)>,
}
