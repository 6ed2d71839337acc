//! The engine: where store and sandbox meet.
//!
//! It takes events and writes in, decides which automations react, runs their slices against a buffer, and commits what
//! came of them; it is the one gate for rights. It knows no HTTP and writes no SQL, and it reads no clock and draws no
//! random number but through its arguments.
//!
//! ```text
//! ingest, records, bulk ─▶ Store::commit ─▶ hooks: which runs? ─▶ lanes ─▶ execute: slice ─▶ Store::commit
//! ```

mod actions;
mod automations;
mod backtest;
mod buffer;
mod bulk;
mod bundle;
mod calls;
mod check;
mod config;
mod draft;
mod duplicates;
mod effects;
mod engine;
mod entropy;
mod error;
mod execute;
mod explain;
mod fan_out;
mod files;
mod gate;
mod gauges;
mod graph;
mod history;
mod ingest;
mod invoked;
mod journal;
mod journaled;
mod judges;
mod key;
mod keys;
mod lanes;
mod load;
mod locks;
mod lookup;
mod merge;
mod merged;
mod operate;
mod page;
mod plan;
mod plugins;
mod present;
mod preview;
mod query;
mod questions;
mod recent;
mod records;
mod registry;
mod rehearse;
mod relations;
mod replay;
mod retry;
mod rollups;
mod routes;
mod runs;
mod scenario;
mod schedules;
mod schema;
mod scratch;
mod search;
mod segments;
mod settings;
mod settle;
mod slice;
mod tags;
mod tape;
mod trace;
mod turns;
mod undo;
mod undos;
mod usage;
mod versions;
mod waits;
mod watchdog;
mod whole;

pub use actions::{ActionAnswer, ActionOptions, call_alone};
pub use automations::Activated;
pub use backtest::{Against, Candidate, NewBacktest};
pub use bulk::{BulkOptions, BulkOutcome, PreviewLine, Reaction, RowOutcome};
pub use check::{FileToCheck, check_alone};
pub use config::EngineConfig;
pub use duplicates::{DuplicatesRequest, SCORE_DEFAULT};
pub use effects::transport::{Capture, Failure, HttpCall, Message, Reply, Route, SecretUse, Transport};
pub use effects::{CircuitState, EffectFilter, EffectSelection, TemplatePreview};
pub use engine::Engine;
pub use entropy::{Entropy, RunSecret, SeededEntropy, SystemEntropy};
pub use error::{EngineError, FieldProblem};
pub use fan_out::FanOutMetrics;
pub use files::{FileContent, FileListRequest, FileUpload, PutFile};
pub use gate::{Act, Caller, Scopes};
pub use gauges::Gauges;
pub use history::HistoryPage;
pub use ingest::{EventFilter, Incoming, Intake};
pub use keys::{CreatedKey, NewKey, NewUser};
pub use lanes::Load as RunLoad;
pub use load::Load;
pub use merge::{FieldChoice, MergeRequest};
pub use operate::{RunAction, RunSelection};
pub use page::Page;
pub use plugins::{Grant, InstallOptions, MovedData, package_report};
pub use present::event_to_json;
pub use records::{ListRequest, WriteOptions, Written};
pub use registry::AutomationKind;
pub use rehearse::RehearsalPage;
pub use relations::RelationWalk;
pub use retry::{RetryOn, RetryOptions};
pub use routes::{FoundRoute, RouteAnswer, RouteMiss, RouteOptions, RouteReply, RouteRequest, Sender, read_query};
pub use runs::{EngineMetrics, RunFilter};
pub use scenario::{
    Cast, Difference, Scenario, ScenarioError, ScenarioReport, ScriptFile, Shown, Spent, Stage, StepReport, Verdict,
};
pub use schedules::Progress;
pub use scratch::Scratch;
pub use search::SearchRequest;
pub use segments::{AsOf, Asked, Explanation, MembersRequest, Moved, Part, Telling};
pub use tape::{Candidate as TapeCandidate, Tape, play_tape};
pub use undo::UndoOptions;
pub use undos::UndoMany;
pub use usage::{PluginUsage, Spending};
pub use versions::Pushed;
pub use watchdog::{CheckReport, Finding, WatchReport, WatchSummary};
pub use whole::TimelinePage;
