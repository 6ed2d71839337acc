//! A host in memory, for native tests of plugins.
//!
//! Each test thread has its own. It keeps records, takes down what the plugin writes, and knows no rules: a query with a rule is
//! answered by [`answer_queries`]. Rights, settings and objects come from the plugin's `plugin.toml` by [`load`]; without it (and
//! without [`allow`]) everything is allowed, and a record has the fields that it is given.
//!
//! ```
//! use rapport_sdk::{Fields, fake, records};
//!
//! fake::reset();
//! let ada = fake::insert("customer", Fields::new().with("points", 5));
//! records::increment(&ada.reference(), "points", 2).unwrap();
//! assert_eq!(fake::read(&ada).int("points").unwrap(), Some(7));
//! ```

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use crate::bindings::rapport::plugin::log::Level;
use crate::http::Response;
use crate::{Error, Event, Fields, Json, Record, Reference, Timestamp, Value};

pub(crate) mod door;
mod rights;

pub use rights::{allow, load, set_context};

/// An event that the plugin emitted.
#[derive(Debug, Clone, PartialEq)]
pub struct Emitted {
    /// Its type.
    pub kind: String,
    /// What it is about; `None` for nothing.
    pub subject: Option<Reference>,
    /// Its fields.
    pub data: Fields,
}

/// A query with a rule, as the plugin asked it.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// The object.
    pub object: String,
    /// The rule.
    pub filter: String,
    /// Its parameters.
    pub params: Fields,
}

/// A call of a function of a script, as the plugin made it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ScriptCall {
    /// The script.
    pub script: String,
    /// The function.
    pub function: String,
    /// Its arguments.
    pub arguments: Vec<Json>,
}

/// Work for later that the plugin has started.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// The action.
    pub action: String,
    /// Its input.
    pub input: Json,
    /// Not before then.
    pub at: Option<Timestamp>,
}

/// What [`crate::context`] tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The run; empty: none.
    pub run: String,
    /// The plugin.
    pub plugin: String,
    /// Who caused what is going on.
    pub actor: String,
    /// Which slice this is.
    pub slice: u32,
}

impl Default for Context {
    fn default() -> Self {
        Self { run: "run-1".into(), plugin: "plugin".into(), actor: "user:fake".into(), slice: 1 }
    }
}

type Answers = Box<dyn Fn(&Asked) -> Vec<Record>>;
type ScriptAnswers = Box<dyn Fn(&ScriptCall) -> Result<Json, Error>>;
type CalendarAnswers = (Rc<dyn Fn(Timestamp, i64) -> Timestamp>, Rc<dyn Fn(Timestamp, Timestamp) -> i64>);
type FunctionAnswers = Rc<dyn Fn(&[Json]) -> Result<Json, Error>>;

#[derive(Default)]
struct World {
    records: Vec<Record>,
    emitted: Vec<Emitted>,
    logged: Vec<(Level, String)>,
    settings: Fields,
    now: i64,
    made: u64,
    drawn: u8,
    answers: Option<Answers>,
    slept: Vec<String>,
    arrivals: VecDeque<Event>,
    replies: VecDeque<String>,
    locked: Vec<String>,
    invoked: Vec<(String, Json)>,
    results: VecDeque<Result<Json, Error>>,
    replied: Option<Json>,
    called: Vec<(String, String)>,
    answered: VecDeque<Response>,
    sent: Vec<Sent>,
    /// Nothing: everything is allowed.
    rights: Option<Vec<String>>,
    /// The fields of the objects that the plugin declares.
    objects: BTreeMap<String, Vec<Declared>>,
    kept: BTreeMap<String, Vec<u8>>,
    files: Vec<KeptFile>,
    secrets: BTreeMap<String, Vec<u8>>,
    scripts: Option<ScriptAnswers>,
    functions: BTreeMap<(String, String), FunctionAnswers>,
    calendars: BTreeMap<String, CalendarAnswers>,
    jobs: Vec<Job>,
    context: Context,
}

/// A field of an object that the plugin declares.
#[derive(Debug, Clone)]
struct Declared {
    name: String,
    /// What it holds if nothing is said.
    default: Value,
    unique: bool,
}

/// A file that the plugin put.
#[derive(Debug, Clone)]
struct KeptFile {
    info: crate::bindings::rapport::plugin::files::FileInfo,
    content: Vec<u8>,
}

/// A message that the plugin sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// The channel.
    pub channel: String,
    /// A record as `object/id`, an address, or the name of a webhook.
    pub to: String,
    /// The template, or the type of what a webhook reports.
    pub template: String,
    /// What it is filled with.
    pub data: Fields,
}

thread_local! {
    // The functions of the host take no handle, as in a component: the world of a test is that of its thread.
    static WORLD: RefCell<World> = RefCell::default();
}

fn world<T>(work: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with_borrow_mut(work)
}

/// Empties the world of this thread: no records, no settings, 1970.
pub fn reset() {
    world(|w| *w = World::default());
}

/// A record that is not in the world, for events.
#[must_use]
pub fn record(object: &str, fields: Fields) -> Record {
    let id = world(|w| {
        w.made += 1;
        format!("00000000-0000-7000-8000-{:012}", w.made)
    });
    let at = Timestamp(world(|w| w.now));
    Record { object: object.into(), id, version: 1, created_at: at, updated_at: at, fields }
}

/// Puts a record into the world and returns it.
#[must_use]
pub fn insert(object: &str, fields: Fields) -> Record {
    let record = record(object, fields);
    world(|w| w.records.push(record.clone()));
    record
}

/// The record as it is now in the world; as given, if it is not there.
#[must_use]
pub fn read(record: &Record) -> Record {
    world(|w| w.records.iter().find(|r| r.id == record.id).cloned()).unwrap_or_else(|| record.clone())
}

/// All records of an object.
#[must_use]
pub fn all(object: &str) -> Vec<Record> {
    world(|w| w.records.iter().filter(|r| r.object == object).cloned().collect())
}

/// What the plugin has emitted so far, in order.
#[must_use]
pub fn emitted() -> Vec<Emitted> {
    world(|w| w.emitted.clone())
}

/// The lines that the plugin has logged so far.
#[must_use]
pub fn logged() -> Vec<String> {
    world(|w| w.logged.iter().map(|(_, line)| line.clone()).collect())
}

/// Sets a setting.
pub fn set(name: &str, value: impl Into<Value>) {
    world(|w| w.settings.set(name, value));
}

/// Sets the clock.
pub fn set_now(now: Timestamp) {
    world(|w| w.now = now.0);
}

/// Says what queries with a rule find.
pub fn answer_queries(answers: impl Fn(&Asked) -> Vec<Record> + 'static) {
    world(|w| w.answers = Some(Box::new(answers)));
}

/// The spans and instants that the plugin has slept for so far. Nothing waits here.
#[must_use]
pub fn slept() -> Vec<String> {
    world(|w| w.slept.clone())
}

/// Lets the next [`crate::flow::wait_for`] or [`crate::flow::wait_any`] see `event`; without one, the time is up at once. What
/// waits for several gets it as the first alternative of its type.
pub fn arrive(event: Event) {
    world(|w| w.arrivals.push_back(event));
}

/// Lets the next [`crate::flow::ask`] be answered with `choice`; without one, nobody answers in time.
pub fn reply(choice: &str) {
    world(|w| w.replies.push_back(choice.into()));
}

/// Lets the next [`crate::http`] call be answered so; without an answer it fails with the code `unreachable`.
pub fn answer_call(response: Response) {
    world(|w| w.answered.push_back(response));
}

/// The calls that the plugin has made so far: method and URL.
#[must_use]
pub fn called() -> Vec<(String, String)> {
    world(|w| w.called.clone())
}

/// The messages that the plugin has sent so far.
#[must_use]
pub fn sent() -> Vec<Sent> {
    world(|w| w.sent.clone())
}

/// The locks that the plugin has taken so far, in order. Nobody contends for them here.
#[must_use]
pub fn locked() -> Vec<String> {
    world(|w| w.locked.clone())
}

/// Lets the next [`crate::flow::invoke`] come to `result`; without one, it fails with the code `unknown_automation`.
pub fn result_of_next(result: Result<Json, Error>) {
    world(|w| w.results.push_back(result));
}

/// The automations that the plugin has invoked so far, each with its input.
#[must_use]
pub fn invoked() -> Vec<(String, Json)> {
    world(|w| w.invoked.clone())
}

/// What the plugin has said that it results in.
#[must_use]
pub fn replied() -> Option<Json> {
    world(|w| w.replied.clone())
}

/// Stores a secret.
pub fn set_secret(name: &str, key: &[u8]) {
    world(|w| w.secrets.insert(name.into(), key.into()));
}

/// Says what one function of a script answers. Calls of others fail as they would in a workspace that has these scripts alone.
pub fn script(script: &str, function: &str, answers: impl Fn(&[Json]) -> Result<Json, Error> + 'static) {
    world(|w| w.functions.insert((script.into(), function.into()), Rc::new(answers)));
}

/// Says what all those functions of scripts answer of which nothing is said by [`script`].
pub fn answer_scripts(answers: impl Fn(&ScriptCall) -> Result<Json, Error> + 'static) {
    world(|w| w.scripts = Some(Box::new(answers)));
}

/// Gives a calendar: when so many seconds of open time have gone by since an instant, and how many seconds lie between two.
pub fn calendar(
    name: &str,
    due: impl Fn(Timestamp, i64) -> Timestamp + 'static,
    elapsed: impl Fn(Timestamp, Timestamp) -> i64 + 'static,
) {
    world(|w| w.calendars.insert(name.into(), (Rc::new(due), Rc::new(elapsed))));
}

/// The work for later that the plugin has started so far.
#[must_use]
pub fn jobs() -> Vec<Job> {
    world(|w| w.jobs.clone())
}

/// The call of an action with `input`.
#[must_use]
pub fn call(action: &str, input: Json) -> crate::Call {
    crate::Call { action: action.into(), input, caller: "user:fake".into(), event_position: 1 }
}

/// The event with which a run is called that another one invoked with `input`.
#[must_use]
pub fn invocation(input: &Json) -> Event {
    let data = Fields::new().with("input", Value::Json(input.clone()));
    Event { subject: None, record: None, ..event("run.invoked", &record("customer", Fields::new()), data) }
}

/// The event `<object>.updated` of a change of `record` that gave its fields the values `after`.
#[must_use]
pub fn change(record: &Record, after: Fields) -> Event {
    let before = after.iter().map(|(name, _)| (name, record.fields.get(name).cloned().unwrap_or_default())).collect();
    let mut now = record.clone();
    after.iter().for_each(|(name, value)| now.fields.set(name, value.clone()));
    Event { before, after, ..event(&format!("{}.updated", record.object), &now, Fields::new()) }
}

/// An event of the type `kind` about `record`.
#[must_use]
pub fn event(kind: &str, record: &Record, data: Fields) -> Event {
    let now = Timestamp(world(|w| w.now));
    Event {
        position: 1,
        kind: kind.into(),
        subject: Some(record.reference()),
        time: now,
        recorded_at: now,
        actor: "system".into(),
        depth: 0,
        data,
        before: Fields::new(),
        after: Fields::new(),
        delta: Fields::new(),
        record: Some(record.clone()),
    }
}

#[cfg(test)]
mod tests;
