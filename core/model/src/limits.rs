//! Every limit, in one place. All are on by default; only the operator raises those of [`Limits`].

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The longest text in a field, in bytes.
pub const TEXT_BYTES_MAX: usize = 262_144;
/// The deepest nesting of JSON anywhere.
pub const JSON_DEPTH_MAX: usize = 64;
/// The most fields an object can have.
pub const OBJECT_FIELDS_MAX: usize = 500;
/// The longest cause chain: an event deeper than this starts no run, and a trace names the loop.
pub const CAUSE_DEPTH_MAX: u16 = 16;
/// Entries of the journal of a run that waits: its calls over all its slices.
pub const JOURNAL_ENTRIES_MAX: usize = 1_000;
/// Bytes of the journal of a run that waits.
pub const JOURNAL_BYTES_MAX: usize = 1 << 20;
/// The longest rule, in bytes.
pub const RULE_BYTES_MAX: usize = 8_192;
/// The deepest nesting of a rule.
pub const RULE_DEPTH_MAX: usize = 32;
/// The most nodes of a rule.
pub const RULE_NODES_MAX: usize = 512;
/// The most items of a list that is a parameter of a rule.
pub const RULE_LIST_ITEMS_MAX: usize = 1_000;
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

/// What one slice of an automation may use, and how slices are tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Fuel (roughly WebAssembly instructions) of one slice.
    pub slice_fuel_max: u64,
    /// Wall-clock milliseconds of one slice, host calls included.
    pub slice_wall_ms_max: u64,
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
    /// Bytes of a run's trace; more is cut, and the cut is marked.
    pub trace_bytes_max: usize,
    /// Tries of a failing run before it goes to the dead letters.
    pub run_attempts_max: u16,
    /// The first wait before a failed run is tried again, in milliseconds; doubles each time, with full jitter.
    pub run_backoff_ms: u64,
    /// The longest such wait, in milliseconds.
    pub run_backoff_ms_max: u64,
    /// Slices that work or wait for their commit at one time.
    pub slices_in_flight_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            slice_fuel_max: 50_000_000,
            slice_wall_ms_max: 2_000,
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
            trace_bytes_max: 64 << 10,
            run_attempts_max: 6,
            run_backoff_ms: 200,
            run_backoff_ms_max: 60_000,
            slices_in_flight_max: 1_024,
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
