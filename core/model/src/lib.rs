//! The words of Rapport as types: names, values, objects, records, events, automations, rules and limits.
//!
//! Nothing here does I/O, awaits, reads a clock or draws a random number; every other crate depends on this one and
//! this one on none of them.

pub mod actor;
pub mod automation;
pub mod calendar;
pub mod covering;
pub mod cron;
pub mod duplicate;
pub mod duration;
pub mod effect;
pub mod event;
pub mod fan_out;
pub mod file;
pub mod formula;
pub mod id;
pub mod image;
pub mod json;
pub mod json_schema;
pub mod limits;
pub mod match_key;
pub mod merge;
pub mod name;
pub mod nearest;
pub mod plugin;
pub mod record;
pub mod relation;
pub mod rollup;
pub mod rule;
pub mod run;
pub mod schedule;
pub mod schema;
pub mod search;
pub mod segment;
pub mod standard;
pub mod tags;
pub mod time;
pub mod value;
pub mod zone;

pub use actor::Actor;
pub use automation::{AutomationId, Capability, Declaration, Trigger};
pub use calendar::Calendar;
pub use cron::Cron;
pub use effect::{Effect, EffectStatus};
pub use event::Event;
pub use file::FileRules;
pub use id::{Digest, EffectId, RecordId, RunId};
pub use json_schema::JsonSchema;
pub use limits::Limits;
pub use match_key::{MatchKey, MatchKind};
pub use name::{EventType, Name};
pub use plugin::{ActionDef, ActionName, Budgets, RouteDef};
pub use record::{Change, Record};
pub use run::{Run, RunStatus};
pub use schedule::ScheduleDef;
pub use schema::{FieldDef, FieldKind, ObjectDef, Schema};
pub use segment::{SegmentDef, SegmentKind, SegmentName};
pub use time::{Clock, Timestamp};
pub use value::Value;
pub use zone::Zone;
