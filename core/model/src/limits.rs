//! Every limit, in one place. All are on by default; only the operator raises those of [`Limits`].

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The longest text in a field, in bytes.
pub const TEXT_BYTES_MAX: usize = 262_144;
/// The deepest nesting of JSON anywhere.
pub const JSON_DEPTH_MAX: usize = 64;
/// The most fields an object can have.
pub const OBJECT_FIELDS_MAX: usize = 500;
/// The most fields that one field is indexed with.
pub const INDEXED_WITH_MAX: usize = 8;
/// The longest cause chain: an event deeper than this starts no run, and a trace names the loop.
pub const CAUSE_DEPTH_MAX: u16 = 16;
/// Entries of the journal of a run that waits: its calls over all its slices.
pub const JOURNAL_ENTRIES_MAX: usize = 1_000;
/// Bytes of the journal of a run that waits.
pub const JOURNAL_BYTES_MAX: usize = 1 << 20;
/// Bytes of what one effect carries: a body, or a rendered message.
pub const EFFECT_BYTES_MAX: usize = 512 << 10;
/// Bytes of an answer that a run can take from an HTTP call.
pub const HTTP_REPLY_BYTES_MAX: usize = 256 << 10;
/// How long one attempt at an HTTP call may take if the call does not say, in microseconds.
pub const HTTP_TIMEOUT_MICROS: i64 = 10_000_000;
/// The longest that an attempt may be given, in microseconds.
pub const HTTP_TIMEOUT_MICROS_MAX: i64 = 120_000_000;
/// How long an effect is tried at all if its call does not say, in microseconds: a day.
pub const EFFECT_DEADLINE_MICROS: i64 = 86_400_000_000;
/// The most events of which a run waits for the first.
pub const WAIT_ALTERNATIVES_MAX: usize = 16;
/// The longest key of a lock, in bytes.
pub const LOCK_KEY_BYTES_MAX: usize = 200;
/// The most locks that one slice takes.
pub const LOCKS_PER_SLICE_MAX: usize = 16;
/// Bytes of the input of a run that is invoked, and of its result, as JSON.
pub const INVOKE_BYTES_MAX: usize = 64 << 10;
/// Bytes of the body of an answer of a plugin to a request.
pub const ROUTE_REPLY_BYTES_MAX: usize = 512 << 10;
/// The most names, values and operators of a formula, with those of the formulas that it reads.
pub const FORMULA_NODES_MAX: usize = 256;
/// The longest rule, in bytes.
pub const RULE_BYTES_MAX: usize = 8_192;
/// The deepest nesting of a rule.
pub const RULE_DEPTH_MAX: usize = 32;
/// The most nodes of a rule.
pub const RULE_NODES_MAX: usize = 512;
/// The most items of a list that is a parameter of a rule.
pub const RULE_LIST_ITEMS_MAX: usize = 1_000;
/// The most events that `did` in a rule can ask for.
pub const DID_EVENTS_MAX: u32 = 10_000;
/// The longest name of a segment, in bytes.
pub const SEGMENT_NAME_BYTES_MAX: usize = 64;
/// The most segments that one automation declares.
pub const SEGMENTS_PER_AUTOMATION_MAX: usize = 1_000;
/// The longest cron expression, in bytes.
pub const CRON_BYTES_MAX: usize = 256;
/// The most schedules of one automation.
pub const SCHEDULES_PER_AUTOMATION_MAX: usize = 16;
/// The most runs that make up for missed instants of a schedule at one time.
pub const MISFIRE_RUNS_MAX: usize = 100;
/// The most runs that a fan-out starts in one commit: as many as a fresh event can wait for.
pub const FAN_OUT_BATCH_RUNS_MAX: u32 = 50;
/// The most runs of a minute that a fan-out can ask for.
pub const FAN_OUT_PER_MINUTE_MAX: u32 = 1_000_000;
/// The most fan-outs of one schedule that wait for the one before.
pub const FAN_OUTS_QUEUED_MAX: usize = 100;
/// The most rows of one page.
pub const PAGE_ROWS_MAX: u32 = 1_000;
/// The rows of a page if none are asked for.
pub const PAGE_ROWS_DEFAULT: u32 = 50;

/// How far the publisher of a package is trusted, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trust {
    /// Nobody signed it.
    Unsigned,
    /// It is signed with the key that its publisher was first seen with, or one that follows from it.
    Signed,
    /// An admin has looked at that key.
    Trusted,
}

impl Trust {
    /// As texts have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::Signed => "signed",
            Self::Trusted => "trusted",
        }
    }
}

/// What one slice of an automation may use, and how slices are tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Fuel (roughly WebAssembly instructions) of one slice.
    pub slice_fuel_max: u64,
    /// Wall-clock milliseconds of one slice, host calls included.
    pub slice_wall_ms_max: u64,
    /// Fuel of one plugin's look at a change that is about to be made.
    pub hook_fuel_max: u64,
    /// Wall-clock milliseconds of such a look.
    pub hook_wall_ms_max: u64,
    /// Bytes of linear memory of one instance.
    pub slice_memory_bytes_max: usize,
    /// Bytes of WebAssembly stack.
    pub slice_stack_bytes_max: usize,
    /// Elements of all tables of one instance.
    pub slice_table_elements_max: usize,
    /// Host calls of one slice.
    pub slice_host_calls_max: u32,
    /// Bytes given to a guest in one call (event, records found).
    pub slice_input_bytes_max: usize,
    /// Bytes taken from a guest in one slice (writes, events).
    pub slice_output_bytes_max: usize,
    /// Rows read by one slice.
    pub slice_rows_read_max: u32,
    /// Records written and events emitted by one slice.
    pub slice_writes_max: u32,
    /// Bytes logged by one slice; more is cut, and the cut is marked.
    pub slice_log_bytes_max: usize,
    /// Bytes of one script's text.
    pub script_bytes_max: usize,
    /// Bytes of one component.
    pub component_bytes_max: usize,
    /// How far the publisher of a package must be trusted for it to come in: `unsigned` (if that is said each time), `signed` or `trusted`.
    pub packages_at_least: Trust,
    /// Bytes that one plugin keeps under its own keys.
    pub plugin_kv_bytes_max: usize,
    /// Bytes of a run's trace; more is cut, and the cut is marked.
    pub trace_bytes_max: usize,
    /// Days for which the journal of a run that waited is kept after its end, so that its author can replay it; 0: not at all.
    pub journal_days: u16,
    /// Tries of a failing run before it goes to the dead letters.
    pub run_attempts_max: u16,
    /// The first wait before a failed run is tried again, in milliseconds; doubles each time, with full jitter.
    pub run_backoff_ms: u64,
    /// The longest such wait, in milliseconds.
    pub run_backoff_ms_max: u64,
    /// Slices that work or wait for their commit at one time.
    pub slices_in_flight_max: usize,
    /// Effects (messages, HTTP calls) of one slice.
    pub slice_effects_max: u32,
    /// Tries of an effect before it goes to the dead letters, unless its call says fewer.
    pub effect_attempts_max: u16,
    /// The first wait before a failed effect is tried again, in milliseconds; doubles each time, with full jitter.
    pub effect_backoff_ms: u64,
    /// The longest such wait, in milliseconds.
    pub effect_backoff_ms_max: u64,
    /// Effects on their way at one time.
    pub effects_in_flight_max: usize,
    /// Effects on their way to one destination at one time.
    pub destination_in_flight_max: usize,
    /// Failures in a row after which a destination is left alone for a while: its circuit opens.
    pub circuit_failures_max: u32,
    /// How long it is left alone, in milliseconds; doubles each time up to sixteen times that, until an attempt succeeds.
    pub circuit_open_ms: u64,
    /// Traps in a row (it broke down, or passed a limit or a budget) after which a plugin is left alone for a while.
    pub plugin_circuit_traps_max: u32,
    /// How long after one trap the next one counts as in a row with it, in milliseconds.
    pub plugin_circuit_window_ms: u64,
    /// How long a plugin is left alone, in milliseconds; doubles each time up to sixteen times that, until a run does not trap.
    pub plugin_circuit_open_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            slice_fuel_max: 50_000_000,
            slice_wall_ms_max: 2_000,
            hook_fuel_max: 10_000_000,
            hook_wall_ms_max: 500,
            slice_memory_bytes_max: 32 << 20,
            slice_stack_bytes_max: 512 << 10,
            slice_table_elements_max: 100_000,
            slice_host_calls_max: 1_000,
            slice_input_bytes_max: 4 << 20,
            slice_output_bytes_max: 1 << 20,
            slice_rows_read_max: 10_000,
            slice_writes_max: 1_000,
            slice_log_bytes_max: 16 << 10,
            script_bytes_max: 256 << 10,
            component_bytes_max: 32 << 20,
            packages_at_least: Trust::Unsigned,
            plugin_kv_bytes_max: 16 << 20,
            trace_bytes_max: 64 << 10,
            journal_days: 14,
            run_attempts_max: 6,
            run_backoff_ms: 200,
            run_backoff_ms_max: 60_000,
            slices_in_flight_max: 1_024,
            slice_effects_max: 100,
            effect_attempts_max: 8,
            effect_backoff_ms: 1_000,
            effect_backoff_ms_max: 3_600_000,
            effects_in_flight_max: 64,
            destination_in_flight_max: 8,
            circuit_failures_max: 5,
            circuit_open_ms: 30_000,
            plugin_circuit_traps_max: 5,
            plugin_circuit_window_ms: 60_000,
            plugin_circuit_open_ms: 30_000,
        }
    }
}

impl Limits {
    /// The wall-clock limit of one slice.
    #[must_use]
    pub const fn slice_wall_max(&self) -> Duration {
        Duration::from_millis(self.slice_wall_ms_max)
    }
}
