//! Records and events as plugins see them.

use rust_decimal::Decimal;

use crate::bindings::rapport::plugin::trigger::Event as WireEvent;
use crate::bindings::rapport::plugin::types::RecordData;
use crate::error::Error;
use crate::value::{Fields, Reference, Timestamp, Value};

/// A record as it was when it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its object.
    pub object: String,
    /// Its id.
    pub id: String,
    /// Counts up with every change.
    pub version: u64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
    /// Its fields, nulls included.
    pub fields: Fields,
}

impl Record {
    /// A reference to this record.
    #[must_use]
    pub fn reference(&self) -> Reference {
        Reference::new(&self.object, &self.id)
    }

    /// The value of `field`.
    ///
    /// # Errors
    /// Code `no_field` if the object has no such field.
    pub fn value(&self, field: &str) -> Result<&Value, Error> {
        self.fields.get(field).ok_or_else(|| Error::no_field(&self.object, field))
    }

    /// The value of `field` as `T`; `None` if it is null.
    ///
    /// # Errors
    /// Code `no_field` if the object has no such field, `wrong_kind` if it holds something else.
    pub fn read<T: TryFrom<Value, Error = crate::WrongKind>>(&self, field: &str) -> Result<Option<T>, Error> {
        read(self.value(field)?, &self.object, field)
    }

    /// The whole number in `field`; `None` if it is null.
    ///
    /// # Errors
    /// As [`Record::read`].
    pub fn int(&self, field: &str) -> Result<Option<i64>, Error> {
        self.read(field)
    }

    /// The number in `field`; `None` if it is null.
    ///
    /// # Errors
    /// As [`Record::read`].
    pub fn decimal(&self, field: &str) -> Result<Option<Decimal>, Error> {
        self.read(field)
    }

    /// The text in `field`; `None` if it is null.
    ///
    /// # Errors
    /// As [`Record::read`].
    pub fn text(&self, field: &str) -> Result<Option<String>, Error> {
        self.read(field)
    }

    /// The tags of the record.
    ///
    /// # Errors
    /// Code `no_field` if its object has none, `wrong_kind` if its field `tags` holds something else.
    pub fn tags(&self) -> Result<Vec<String>, Error> {
        let json: Option<serde_json::Value> = self.read("tags")?;
        let wrong = |e: serde_json::Error| Error::new("wrong_kind", format!("`{}.tags`: {e}", self.object));
        json.map_or(Ok(Vec::new()), |json| serde_json::from_value(json).map_err(wrong))
    }
}

fn read<T: TryFrom<Value, Error = crate::WrongKind>>(value: &Value, of: &str, field: &str) -> Result<Option<T>, Error> {
    if value.is_null() {
        return Ok(None);
    }
    T::try_from(value.clone()).map(Some).map_err(|wrong| Error::new("wrong_kind", format!("`{of}.{field}`: {wrong}")))
}

impl From<RecordData> for Record {
    fn from(wire: RecordData) -> Self {
        let RecordData { object, id, version, created_at, updated_at, fields } = wire;
        let (created_at, updated_at) = (Timestamp(created_at), Timestamp(updated_at));
        Self { object, id, version, created_at, updated_at, fields: Fields::from_wire(fields) }
    }
}

/// The event that a plugin is called for.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its place in the log.
    pub position: u64,
    /// Its type, such as `customer.updated`.
    pub kind: String,
    /// The record it is about.
    pub subject: Option<Reference>,
    /// When it was true.
    pub time: Timestamp,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// Who caused it.
    pub actor: String,
    /// How many events stand before it in its chain of causes.
    pub depth: u32,
    /// The fields of a declared event.
    pub data: Fields,
    /// The fields that a change touched, before it.
    pub before: Fields,
    /// The fields that a change touched, after it.
    pub after: Fields,
    /// By how much numbers were incremented.
    pub delta: Fields,
    /// The subject's record as it is now.
    pub record: Option<Record>,
}

impl Event {
    /// The value of `field` after a change as `T`; `None` if it did not change or is null now.
    ///
    /// # Errors
    /// Code `wrong_kind` if it holds something else.
    pub fn changed_to<T: TryFrom<Value, Error = crate::WrongKind>>(&self, field: &str) -> Result<Option<T>, Error> {
        self.after.get(field).map_or(Ok(None), |value| read(value, &self.kind, field))
    }

    /// The subject's record.
    ///
    /// # Errors
    /// Code `no_record` if the event is about none.
    pub fn subject_record(&self) -> Result<&Record, Error> {
        let none = || Error::new("no_record", format!("the event `{}` is about no record", self.kind));
        self.record.as_ref().ok_or_else(none)
    }
}

impl From<WireEvent> for Event {
    fn from(wire: WireEvent) -> Self {
        Self {
            position: wire.position,
            kind: wire.kind,
            subject: (!wire.subject.is_empty()).then(|| Reference::parse(&wire.subject)),
            time: Timestamp(wire.time),
            recorded_at: Timestamp(wire.recorded_at),
            actor: wire.actor,
            depth: wire.depth,
            data: Fields::from_wire(wire.data),
            before: Fields::from_wire(wire.before),
            after: Fields::from_wire(wire.after),
            delta: Fields::from_wire(wire.delta),
            record: wire.record.map(Into::into),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fake;
    use crate::value::{Fields, Value};

    #[test]
    fn a_field_is_read_as_what_it_is() {
        let record = fake::record("customer", Fields::new().with("points", 12).with("tier", Value::Null));
        assert_eq!(record.int("points").unwrap(), Some(12));
        assert_eq!(record.text("tier").unwrap(), None);
    }

    #[test]
    fn a_field_of_another_kind_says_so() {
        let record = fake::record("customer", Fields::new().with("points", "twelve"));
        let error = record.int("points").unwrap_err();
        assert_eq!(
            (error.code(), error.to_string()),
            ("wrong_kind", "`customer.points`: expected an integer, found a text".into())
        );
    }

    #[test]
    fn a_field_that_is_not_there_says_so() {
        let record = fake::record("customer", Fields::new());
        assert_eq!(record.int("pionts").unwrap_err().to_string(), "`customer` has no field `pionts`");
    }

    #[test]
    fn what_did_not_change_is_none() {
        let event = fake::change(&fake::record("customer", Fields::new()), Fields::new().with("points", 5));
        assert_eq!(event.changed_to::<i64>("points").unwrap(), Some(5));
        assert_eq!(event.changed_to::<i64>("visits").unwrap(), None);
        assert!(event.changed_to::<String>("points").is_err());
    }
}
