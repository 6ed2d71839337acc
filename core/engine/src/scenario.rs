//! Scenarios: a story told in JSON about automations, and whether it comes true.
//!
//! ```text
//! file ─read─▶ Scenario ─┐
//! scripts, plugins ──────┼─▶ play: scratch workspace, set clock, production engine ─▶ ScenarioReport
//! sandbox, limits ───────┘        one step after another; each ends when nothing is left to do
//! ```
//! A scenario begins at the instant of its first `at`. Its `records` are there before it begins, and start nothing. A step
//! happens at the clock's instant, and all that it sets off is done before the next begins; `at` moves the clock, and what
//! falls due on the way happens at its own instant, in order. Ids and random numbers follow from `seed`, and slices work
//! one after another, so that the same file gives the same result for good.
//!
//! Nothing leaves: messages are taken, HTTP calls are answered as the `http` steps before them say, and one that none of them
//! matches fails the step in which it was made.

mod call;
mod compare;
mod expect;
mod migrate;
mod play;
mod read;
mod report;
mod request;
mod stubs;

use std::collections::BTreeMap;
use std::path::PathBuf;

use rapport_model::{RunStatus, Timestamp};
use serde_json::{Map, Value as Json};

use crate::ingest::Incoming;

use self::stubs::Stub;
pub use play::{Shown, Stage};
pub use read::ScenarioError;
pub use report::{Difference, ScenarioReport, Spent, StepReport, Verdict};

/// A scenario as its file tells it.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Paths of plugins' folders.
    pub plugins: Vec<String>,
    /// Paths of scripts.
    pub scripts: Vec<String>,
    /// Values of settings that differ from their defaults, by automation.
    settings: BTreeMap<String, Map<String, Json>>,
    /// What is there before it begins.
    records: Vec<Given>,
    steps: Vec<Step>,
    /// What ids and random numbers follow from.
    seed: String,
    /// Who takes the steps.
    actor: Person,
}

/// A record that is there before the scenario begins.
#[derive(Debug, Clone)]
struct Given {
    object: String,
    fields: Map<String, Json>,
}

/// Who takes the steps.
#[derive(Debug, Clone)]
enum Person {
    /// The host itself, which may do everything.
    System,
    /// A person with these roles.
    User { name: String, roles: Vec<String> },
}

/// One step.
#[derive(Debug, Clone)]
struct Step {
    /// Where the clock is moved to first.
    at: Option<Timestamp>,
    what: What,
}

/// What happens in a step.
#[derive(Debug, Clone)]
enum What {
    /// Time passes.
    Pass,
    /// An event comes in from outside.
    Event(Incoming),
    /// A record is written from outside.
    Write(Write),
    /// Somebody answers the question that a task asks: the number of the task, from 1 in the order in which they were made.
    Answer(u32, String),
    /// An action of a plugin is called.
    Call(Call),
    /// A request is sent to an address of a plugin.
    Request(Box<Asked>),
    /// The data of a plugin are moved to the version under test.
    Migrate(Migrate),
    /// From now on HTTP calls are answered so.
    Http(Stub),
    /// Something must be so.
    Expect(Expect),
    /// Memory is lost, and everything starts again from the database.
    Crash,
}

impl What {
    const fn name(&self) -> &'static str {
        match self {
            Self::Pass => "at",
            Self::Event(_) => "event",
            Self::Write(_) => "write",
            Self::Answer(..) => "answer",
            Self::Call(_) => "call",
            Self::Request(_) => "request",
            Self::Migrate(_) => "migrate",
            Self::Http(_) => "http",
            Self::Expect(_) => "expect",
            Self::Crash => "crash",
        }
    }
}

/// Data that are moved.
#[derive(Debug, Clone)]
struct Migrate {
    /// The plugin; none: the only one that has migrations.
    plugin: Option<String>,
    /// The version whose data there are.
    from: String,
}

/// A call of an action, and what it comes to.
#[derive(Debug, Clone)]
struct Call {
    action: String,
    input: Json,
    /// What its output is like.
    output: Option<Json>,
    /// The code with which it fails.
    error: Option<String>,
    /// Whether its run is open when all that is due is done.
    waits: bool,
    /// What else is so afterwards.
    expect: Option<Expect>,
}

/// A request to an address of a plugin.
#[derive(Debug, Clone)]
struct Asked {
    method: String,
    /// What follows `/x/`.
    address: String,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    awaited: Awaited,
}

/// What the answer to a request is like. All that is given holds.
#[derive(Debug, Clone, Default)]
struct Awaited {
    status: Option<u16>,
    /// Whether its run is open when all that is due is done.
    waits: bool,
    /// A text is compared as it is, anything else with the JSON of the body.
    body: Option<Json>,
    /// What stands somewhere in the body.
    contains: Option<String>,
    headers: Vec<(String, String)>,
    /// What else is so afterwards.
    expect: Option<Expect>,
}

/// A write from outside.
#[derive(Debug, Clone)]
struct Write {
    object: String,
    operation: Operation,
    fields: Json,
}

/// What a write does, with the key of the record where it needs one.
#[derive(Debug, Clone)]
enum Operation {
    Create,
    Update(String),
    Upsert(String),
    Delete(String),
}

/// What must be so. All that is given must.
#[derive(Debug, Clone, Default)]
struct Expect {
    record: Option<ExpectRecord>,
    counts: Vec<ExpectCount>,
    runs: Vec<ExpectRuns>,
    events: Option<ExpectEvents>,
    tasks: Option<Vec<Json>>,
    messages: Option<Vec<Json>>,
    effects: Option<Vec<Json>>,
}

/// What a record must be like.
#[derive(Debug, Clone)]
struct ExpectRecord {
    object: String,
    key: String,
    /// None: there must be no such record.
    fields: Option<Map<String, Json>>,
}

/// How many records there must be.
#[derive(Debug, Clone)]
struct ExpectCount {
    pointer: String,
    object: String,
    filter: Option<String>,
    count: u64,
}

/// How many runs must be in a state, of one automation or of all.
#[derive(Debug, Clone)]
struct ExpectRuns {
    pointer: String,
    automation: Option<String>,
    status: RunStatus,
    count: u64,
}

/// The events that must have been appended since the scenario began, all of them and in this order.
#[derive(Debug, Clone)]
struct ExpectEvents {
    /// Only events of this type count, or of types with this prefix.
    kind: Option<String>,
    events: Vec<Json>,
}

/// The automations of a scenario, as they lie on disk.
#[derive(Debug, Clone, Default)]
pub struct Cast {
    /// The scripts.
    pub scripts: Vec<ScriptFile>,
    /// Folders with `plugin.toml` and the component beside it.
    pub plugins: Vec<PathBuf>,
}

/// A script and what it is called.
#[derive(Debug, Clone)]
pub struct ScriptFile {
    /// The id of its automation.
    pub id: String,
    /// Its path, for messages.
    pub path: String,
    /// Its text.
    pub source: String,
}

/// A step into a JSON value, as a pointer (RFC 6901).
fn below(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}
