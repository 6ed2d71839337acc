//! What came of a scenario.

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
