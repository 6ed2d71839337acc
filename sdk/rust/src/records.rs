//! Reads and writes records. Writes are kept when the handler returns `Ok`; reads see them at once.

use crate::bindings::rapport::plugin::records::Page;
use crate::door::records as door;
use crate::{Error, Fields, Record, Reference, Value};

/// Rows of a [`Query`] that sets no limit.
const ROWS_DEFAULT: u32 = 100;

/// The record of `object` that `key` names: an id, or `field:value` of a unique field.
///
/// # Errors
/// The host's, for example `denied` if the plugin may not read the object.
pub fn get(object: &str, key: &str) -> Result<Option<Record>, Error> {
    Ok(door::get(object, key)?.map(Into::into))
}

/// A query: `records::find("order").filter("amount > min").param("min", 10).limit(5).run()`.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    object: String,
    filter: String,
    params: Fields,
    order: String,
    limit: u32,
    after: String,
}

/// Asks for records of `object`: all of them, by id, at most 100, until told otherwise.
#[must_use]
pub fn find(object: &str) -> Query {
    Query {
        object: object.into(),
        filter: String::new(),
        params: Fields::new(),
        order: String::new(),
        limit: ROWS_DEFAULT,
        after: String::new(),
    }
}

impl Query {
    /// Only records that a rule accepts: `customer == c && amount > 0`.
    #[must_use]
    pub fn filter(mut self, rule: &str) -> Self {
        self.filter = rule.into();
        self
    }

    /// A parameter of the rule.
    #[must_use]
    pub fn param(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.params.set(name, value);
        self
    }

    /// Ordered by a field; `-field` for descending.
    #[must_use]
    pub fn order(mut self, field: &str) -> Self {
        self.order = field.into();
        self
    }

    /// At most so many rows.
    #[must_use]
    pub const fn limit(mut self, rows: u32) -> Self {
        self.limit = rows;
        self
    }

    /// Only rows after the one with this id; for queries by id.
    #[must_use]
    pub fn after(mut self, id: &str) -> Self {
        self.after = id.into();
        self
    }

    /// The records found.
    ///
    /// # Errors
    /// The host's, for example `denied`, or `rule` for a rule that does not parse.
    pub fn run(self) -> Result<Vec<Record>, Error> {
        let page = Page { order: self.order, limit: self.limit, after: self.after };
        let found = door::find(&self.object, &self.filter, &self.params.to_wire(), &page)?;
        Ok(found.into_iter().map(Into::into).collect())
    }

    /// How many records there are, whatever the limit.
    ///
    /// # Errors
    /// As [`Query::run`].
    pub fn count(self) -> Result<u64, Error> {
        Ok(door::count(&self.object, &self.filter, &self.params.to_wire())?)
    }
}

/// Creates a record and returns it, with its defaults.
///
/// # Errors
/// The host's, for example `invalid` for a field that does not fit, `unique` for a value that is taken.
pub fn create(object: &str, fields: &Fields) -> Result<Record, Error> {
    Ok(door::create(object, &fields.to_wire())?.into())
}

/// Changes fields of a record.
///
/// # Errors
/// The host's, for example `not_found`.
pub fn update(record: &Reference, fields: &Fields) -> Result<(), Error> {
    Ok(door::update(&record.object, &record.id, &fields.to_wire())?)
}

/// Adds `by` to a number field, whatever others do to it meanwhile. Null counts as 0.
///
/// # Errors
/// The host's, for example `invalid` if the field is no number.
pub fn increment(record: &Reference, field: &str, by: impl Into<Value>) -> Result<(), Error> {
    Ok(door::increment(&record.object, &record.id, field, &(&by.into()).into())?)
}

/// Adds tags to a record, whatever others do to its tags meanwhile.
///
/// # Errors
/// The host's, for example `invalid` if a text is no tag.
pub fn tag<S: AsRef<str>>(record: &Reference, tags: impl IntoIterator<Item = S>) -> Result<(), Error> {
    retag(record, "add", tags)
}

/// Takes tags away from a record, whatever others do to its tags meanwhile.
///
/// # Errors
/// As [`tag`].
pub fn untag<S: AsRef<str>>(record: &Reference, tags: impl IntoIterator<Item = S>) -> Result<(), Error> {
    retag(record, "remove", tags)
}

fn retag<S: AsRef<str>>(record: &Reference, side: &str, tags: impl IntoIterator<Item = S>) -> Result<(), Error> {
    let tags: Vec<String> = tags.into_iter().map(|tag| tag.as_ref().to_owned()).collect();
    update(record, &Fields::new().with("tags", serde_json::json!({ side: tags })))
}

/// Updates the record whose unique field `by` has the value given in `fields`, or creates it.
///
/// # Errors
/// The host's, for example `invalid` if `by` is not unique or not among the fields.
pub fn upsert(object: &str, by: &str, fields: &Fields) -> Result<Record, Error> {
    Ok(door::upsert(object, by, &fields.to_wire())?.into())
}

/// Deletes a record; false if there was none.
///
/// # Errors
/// The host's, for example `referenced` if others refer to it.
pub fn delete(record: &Reference) -> Result<bool, Error> {
    Ok(door::delete(&record.object, &record.id)?)
}
