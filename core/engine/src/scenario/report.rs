//! What came of a scenario.

use std::collections::BTreeMap;

use rapport_model::Timestamp;
use serde::Serialize;
use serde_json::Value as Json;

/// What came of a scenario.
#[derive(Debug, Clone, Serialize)]
pub struct ScenarioReport {
    /// Whether every step passed.
    pub ok: bool,
    /// Its steps.
    pub steps: Vec<StepReport>,
    /// The runs, in the order of what triggered them: all with their traces if that was asked for; else, if the scenario
    /// failed, those that did not complete.
    pub runs: Vec<Json>,
    /// What the runs of each automation used, by its id.
    pub usage: BTreeMap<String, Spent>,
}

/// The most that one slice used: the last one of each run counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Spent {
    /// Runs that were looked at.
    pub runs: u64,
    /// Units of fuel.
    pub fuel: u64,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Host calls.
    pub host_calls: u64,
    /// Microseconds, host calls included.
    pub micros: u64,
}

impl Spent {
    /// Takes up a run's trace.
    pub(super) fn note(&mut self, trace: &Json) {
        let number = |name: &str| trace[name].as_u64().unwrap_or(0);
        let calls = trace["calls"].as_array().map_or(0, |calls| calls.len() as u64) + number("calls_left_out");
        self.runs += 1;
        self.fuel = self.fuel.max(number("fuel"));
        self.memory_bytes = self.memory_bytes.max(number("memory_bytes"));
        self.host_calls = self.host_calls.max(calls);
        self.micros = self.micros.max(number("micros"));
    }
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It came true.
    Pass,
    /// It did not.
    Fail,
    /// A step before it could not be taken.
    Skipped,
}

/// What came of a step.
#[derive(Debug, Clone, Serialize)]
pub struct StepReport {
    /// Its number, from 1.
    pub step: usize,
    /// Where it stands in the file, as a JSON pointer.
    pub pointer: String,
    /// `event`, `write`, `expect`, `crash`, or `at` if only time passed.
    pub kind: &'static str,
    /// The instant of the clock.
    pub at: Timestamp,
    /// How it ended.
    pub result: Verdict,
    /// What is not as expected.
    pub differences: Vec<Difference>,
    /// Why the step could not be taken or judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Something that is not as expected.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Where the expectation stands in the file, as a JSON pointer.
    pub pointer: String,
    /// What was looked at, in words.
    pub what: String,
    /// What was expected.
    pub expected: Json,
    /// What was found.
    pub found: Json,
}
