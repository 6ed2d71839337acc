//! What a guest may ask of the host, and what it is answered.
//!
//! The engine implements [`Host`]; the sandbox only carries questions and answers. Nothing here knows SQL or rights.

use std::any::Any;
use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;
use rapport_model::{Event, Record, Timestamp, Value};

/// Field values by name as a guest gave them: neither the names nor the values have been checked.
pub type GuestFields = Vec<(String, Value)>;

/// A record on its way to a guest. Shared, so that giving one away copies nothing.
pub type RecordData = Arc<Record>;

/// How loud a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// For the author.
    Debug,
    /// Worth keeping.
    Info,
    /// Something odd.
    Warn,
    /// Something wrong.
    Error,
}

/// A query as a guest asks it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FindRequest {
    /// The object.
    pub object: String,
    /// A rule; empty: all records.
    pub filter: String,
    /// The rule's parameters.
    pub params: GuestFields,
    /// Field to order by, `-field` for descending; empty: by id.
    pub order: String,
    /// Rows at most.
    pub limit: u32,
    /// The id of the last row of the page before; empty for the first page.
    pub after: String,
}

/// A host call that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct HostError {
    /// A stable code: `denied`, `not_found`, `invalid`, `conflict`, ….
    pub code: Cow<'static, str>,
    /// What is wrong, for the author.
    pub message: String,
    /// The same call may succeed later.
    pub retryable: bool,
    /// The slice ends here: the guest cannot catch this, and no further call of this slice reaches the host.
    pub ends_slice: bool,
}

impl HostError {
    /// A failure that the guest may catch and that would fail again.
    #[must_use]
    pub fn permanent(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), retryable: false, ends_slice: false }
    }

    /// A failure that ends the slice at once; `retryable` tells whether the slice may be tried again.
    #[must_use]
    pub fn ending(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), retryable: true, ends_slice: true }
    }
}

/// What a guest may ask of the host. One value serves one slice.
///
/// Objects, keys, fields and types come as the guest gave them. Every call may be cut off by the slice's deadline: the
/// future is then dropped where it waits.
#[async_trait]
pub trait Host: Any + Send {
    /// The record that `key` (an id or `field:value`) names.
    async fn get(&mut self, object: &str, key: &str) -> Result<Option<RecordData>, HostError>;
    /// The records that a query finds.
    async fn find(&mut self, query: FindRequest) -> Result<Vec<RecordData>, HostError>;
    /// How many records a rule finds.
    async fn count(&mut self, object: &str, filter: &str, params: GuestFields) -> Result<u64, HostError>;
    /// Creates a record and returns it.
    async fn create(&mut self, object: &str, fields: GuestFields) -> Result<RecordData, HostError>;
    /// Changes fields of a record.
    async fn update(&mut self, object: &str, key: &str, fields: GuestFields) -> Result<(), HostError>;
    /// Adds `delta` to a number field.
    async fn increment(&mut self, object: &str, key: &str, field: &str, delta: Value) -> Result<(), HostError>;
    /// Updates the record whose unique field `by` has the value given in `fields`, or creates it.
    async fn upsert(&mut self, object: &str, by: &str, fields: GuestFields) -> Result<RecordData, HostError>;
    /// Deletes a record; false if there was none.
    async fn delete(&mut self, object: &str, key: &str) -> Result<bool, HostError>;
    /// Reports an event. The subject is `object/key` or empty.
    async fn emit(&mut self, kind: &str, subject: &str, data: GuestFields) -> Result<(), HostError>;
    /// Takes a log line. The sandbox has already cut it to the slice's limit.
    fn log(&mut self, level: LogLevel, message: &str);
    /// The instant of this slice.
    fn now(&self) -> Timestamp;
    /// `count` random bytes from the run's seed; `count` is 4,096 at most.
    fn random(&mut self, count: u32) -> Vec<u8>;
    /// The value of a declared setting.
    ///
    /// # Errors
    /// [`HostError`] if no setting of that name is declared.
    fn setting(&mut self, name: &str) -> Result<Value, HostError>;
}

/// What a handler is called with.
#[derive(Debug, Clone)]
pub struct GuestEvent {
    /// The event.
    pub event: Arc<Event>,
    /// The subject's record as it is now.
    pub record: Option<RecordData>,
}
