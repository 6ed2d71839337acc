//! What a guest may ask of the host, and what it is answered.
//!
//! The engine implements [`Host`]; the sandbox only carries questions and answers. Nothing here knows SQL or rights.

mod data;

use std::any::Any;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use rapport_model::{Event, Record, Timestamp, Value};

pub use data::{FileInfo, Grouping, KvEntry, Measure, NewFile, SearchAsked, SearchFound, Selection, Table};

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

/// What a guest waits for beside time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WaitRequest {
    /// The type of the event.
    pub kind: String,
    /// A rule that must hold for it.
    pub filter: String,
    /// The rule's parameters.
    pub params: GuestFields,
    /// How long to wait, such as `7 days`; empty: for ever.
    pub timeout: String,
}

/// The event that came first of several that a guest waited for.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Its place among them, from 0.
    pub index: u32,
    /// The event.
    pub event: GuestEvent,
}

/// What a guest asks people.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Question {
    /// Who is to answer: `role:shop-manager` or `user:NAME`.
    pub who: String,
    /// The question.
    pub title: String,
    /// What there is to know about it.
    pub body: String,
    /// What can be chosen; empty: any text.
    pub choices: Vec<String>,
    /// The record that it is about, as `object/key`; empty: the event's subject.
    pub about: String,
    /// How long to wait, such as `2 days`; empty: for ever.
    pub timeout: String,
}

/// What people answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reply {
    /// What was chosen; empty if nobody answered in time.
    pub choice: String,
    /// Who answered.
    pub by: String,
    /// Whether the time was up first.
    pub timed_out: bool,
    /// The task, as `task/id`.
    pub task: String,
}

/// An HTTP call as a guest asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HttpRequest {
    /// The method.
    pub method: String,
    /// The URL.
    pub url: String,
    /// Headers, in their order.
    pub headers: Vec<(String, String)>,
    /// The body; empty: none.
    pub body: Vec<u8>,
    /// The name of a secret that goes along; empty: none.
    pub secret: String,
    /// The header that carries it; empty: `Authorization`.
    pub secret_header: String,
    /// How long one attempt may take, such as `10 seconds`; empty: as usual.
    pub timeout: String,
    /// How long to go on trying, such as `1 hour`; empty: as usual.
    pub deadline: String,
    /// How often it is tried at most; 0: as usual.
    pub attempts: u32,
}

/// The answer to an HTTP call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HttpReply {
    /// The status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// A message as a guest sends it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outgoing {
    /// The channel.
    pub channel: String,
    /// A record as `object/key`, or an address.
    pub to: String,
    /// The template, or the type of what a webhook reports.
    pub template: String,
    /// What the template is filled with.
    pub data: GuestFields,
}

/// What a slice has left, for what works within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Fuel.
    pub fuel: u64,
    /// Host calls.
    pub host_calls: u32,
    /// When the slice must be over.
    pub deadline: Instant,
}

/// What was used of an [`Allowance`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// Fuel.
    pub fuel: u64,
    /// Host calls.
    pub host_calls: u32,
}

/// A function of a script as a guest calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptCall {
    /// The script.
    pub script: String,
    /// The function.
    pub function: String,
    /// Its arguments, a JSON array.
    pub arguments: String,
    /// What the caller has left: the function must do with it.
    pub left: Allowance,
}

/// A run of an own action that a guest starts for later.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JobRequest {
    /// The action.
    pub action: String,
    /// Its input, JSON.
    pub input: String,
    /// Not before then; `None`: at once.
    pub at: Option<Timestamp>,
}

/// What a guest is running as.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunContext {
    /// The run; empty if there is none.
    pub run: String,
    /// The plugin or script.
    pub plugin: String,
    /// Who caused what is going on.
    pub actor: String,
    /// Which slice of the run this is, from 1.
    pub slice: u32,
}

/// What a guest is told by a host through which nothing leaves.
fn nothing_leaves<T>() -> Result<T, HostError> {
    Err(HostError::permanent("unsupported", "nothing leaves here"))
}

/// What a guest is told by a host that does not offer what it asks for.
fn unsupported<T>(what: &str) -> Result<T, HostError> {
    Err(HostError::permanent("unsupported", format!("{what} cannot be used here")))
}

/// What a guest is told by a host whose runs cannot wait.
fn cannot_wait<T>() -> Result<T, HostError> {
    Err(HostError::permanent("unsupported", "runs cannot wait here"))
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
    async fn get(&mut self, _object: &str, _key: &str) -> Result<Option<RecordData>, HostError> {
        unsupported("records")
    }
    /// The records that a query finds.
    async fn find(&mut self, _query: FindRequest) -> Result<Vec<RecordData>, HostError> {
        unsupported("records")
    }
    /// How many records a rule finds.
    async fn count(&mut self, _object: &str, _filter: &str, _params: GuestFields) -> Result<u64, HostError> {
        unsupported("records")
    }
    /// Creates a record and returns it.
    async fn create(&mut self, _object: &str, _fields: GuestFields) -> Result<RecordData, HostError> {
        unsupported("records")
    }
    /// Changes fields of a record.
    async fn update(&mut self, _object: &str, _key: &str, _fields: GuestFields) -> Result<(), HostError> {
        unsupported("records")
    }
    /// Adds `delta` to a number field.
    async fn increment(&mut self, _object: &str, _key: &str, _field: &str, _delta: Value) -> Result<(), HostError> {
        unsupported("records")
    }
    /// Updates the record whose unique field `by` has the value given in `fields`, or creates it.
    async fn upsert(&mut self, _object: &str, _by: &str, _fields: GuestFields) -> Result<RecordData, HostError> {
        unsupported("records")
    }
    /// Deletes a record; false if there was none.
    async fn delete(&mut self, _object: &str, _key: &str) -> Result<bool, HostError> {
        unsupported("records")
    }
    /// Reports an event. The subject is `object/key` or empty.
    async fn emit(&mut self, _kind: &str, _subject: &str, _data: GuestFields) -> Result<(), HostError> {
        unsupported("events")
    }
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
    /// Waits for a span of time. A host that lets a run wait ends the slice here, and answers when it runs again.
    async fn sleep(&mut self, _span: &str) -> Result<(), HostError> {
        cannot_wait()
    }
    /// Waits until an instant.
    async fn sleep_until(&mut self, _instant: Timestamp) -> Result<(), HostError> {
        cannot_wait()
    }
    /// Waits for an event; none if the time was up first.
    async fn wait_for(&mut self, _request: WaitRequest) -> Result<Option<GuestEvent>, HostError> {
        cannot_wait()
    }
    /// Asks people and waits for their answer.
    async fn ask(&mut self, _question: Question) -> Result<Reply, HostError> {
        cannot_wait()
    }
    /// Makes an HTTP call and waits for its answer.
    async fn http(&mut self, _request: HttpRequest) -> Result<HttpReply, HostError> {
        cannot_wait()
    }
    /// Sends a message after the slice has been committed; returns its key.
    async fn send(&mut self, _message: Outgoing) -> Result<String, HostError> {
        nothing_leaves()
    }
    /// Waits for the first of several events, whose own timeouts do not count; none if the time was up first.
    async fn wait_any(
        &mut self,
        _alternatives: Vec<WaitRequest>,
        _timeout: &str,
    ) -> Result<Option<Arrival>, HostError> {
        cannot_wait()
    }
    /// Lets no other slice that takes this lock commit until this one has.
    async fn lock(&mut self, _key: &str) -> Result<(), HostError> {
        Ok(())
    }
    /// Starts a run of another automation and waits for its result. Input and result are JSON.
    async fn invoke(&mut self, _automation: &str, _input: &str) -> Result<String, HostError> {
        cannot_wait()
    }
    /// Takes the result of a run that was invoked, as JSON.
    ///
    /// # Errors
    /// [`HostError`] if it is no JSON, or too long.
    fn reply(&mut self, _value: &str) -> Result<(), HostError> {
        Ok(())
    }
    /// The rows that a selection finds.
    async fn select(&mut self, _selection: Selection) -> Result<Table, HostError> {
        unsupported("queries")
    }
    /// The groups of rows, ordered by what makes them.
    async fn aggregate(&mut self, _grouping: Grouping) -> Result<Table, HostError> {
        unsupported("queries")
    }
    /// The records in which a text stands, the best first.
    async fn search(&mut self, _asked: SearchAsked) -> Result<Vec<SearchFound>, HostError> {
        unsupported("search")
    }
    /// The first instant at which `span` of the calendar's open time has gone by since `start`.
    async fn business_due(&mut self, _calendar: &str, _start: Timestamp, _span: &str) -> Result<Timestamp, HostError> {
        unsupported("calendars")
    }
    /// Seconds of the calendar's open time between two instants.
    async fn business_elapsed(
        &mut self,
        _calendar: &str,
        _start: Timestamp,
        _end: Timestamp,
    ) -> Result<i64, HostError> {
        unsupported("calendars")
    }
    /// What the plugin keeps under `key`.
    async fn kv_get(&mut self, _key: &str) -> Result<Option<Vec<u8>>, HostError> {
        unsupported("kv")
    }
    /// Keeps a value under `key`.
    async fn kv_set(&mut self, _key: &str, _value: Vec<u8>) -> Result<(), HostError> {
        unsupported("kv")
    }
    /// Forgets what is kept under `key`; false if nothing is.
    async fn kv_delete(&mut self, _key: &str) -> Result<bool, HostError> {
        unsupported("kv")
    }
    /// What is kept under keys that begin with `prefix` and come behind `after`, by key.
    async fn kv_list(&mut self, _prefix: &str, _after: &str, _limit: u32) -> Result<Vec<KvEntry>, HostError> {
        unsupported("kv")
    }
    /// Adds to the whole number that is kept under `key`, and returns the sum.
    async fn kv_increment(&mut self, _key: &str, _delta: i64) -> Result<i64, HostError> {
        unsupported("kv")
    }
    /// Keeps a file.
    async fn file_put(&mut self, _file: NewFile) -> Result<FileInfo, HostError> {
        unsupported("files")
    }
    /// What there is to know of a file.
    async fn file_info(&mut self, _id: &str) -> Result<Option<FileInfo>, HostError> {
        unsupported("files")
    }
    /// Up to `length` bytes of a file from the place `offset` on.
    async fn file_read(&mut self, _id: &str, _offset: u64, _length: u32) -> Result<Vec<u8>, HostError> {
        unsupported("files")
    }
    /// The files of a record that come behind `after`.
    async fn files_of(
        &mut self,
        _object: &str,
        _key: &str,
        _after: &str,
        _limit: u32,
    ) -> Result<Vec<FileInfo>, HostError> {
        unsupported("files")
    }
    /// Deletes a file; false if there was none.
    async fn file_delete(&mut self, _id: &str) -> Result<bool, HostError> {
        unsupported("files")
    }
    /// Whether a secret of that name is stored.
    async fn secret_exists(&mut self, _name: &str) -> Result<bool, HostError> {
        unsupported("secrets")
    }
    /// HMAC-SHA-256 of `message` with the secret as its key.
    async fn secret_hmac(&mut self, _name: &str, _message: &[u8]) -> Result<Vec<u8>, HostError> {
        unsupported("secrets")
    }
    /// Calls a function of a live script. Gives its result as JSON, and what it used, however it ended.
    async fn run_script(&mut self, _call: ScriptCall) -> (Result<String, HostError>, Spent) {
        (unsupported("scripts"), Spent::default())
    }
    /// Starts a run of an own action when the slice has been committed; returns its id.
    async fn start_job(&mut self, _job: JobRequest) -> Result<String, HostError> {
        unsupported("jobs")
    }
    /// What the guest is running as.
    fn context(&self) -> RunContext {
        RunContext::default()
    }
}

/// What a handler is called with.
#[derive(Debug, Clone)]
pub struct GuestEvent {
    /// The event.
    pub event: Arc<Event>,
    /// The subject's record as it is now.
    pub record: Option<RecordData>,
}
