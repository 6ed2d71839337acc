//! What one instance carries besides its memory: the host of the present slice, and what the slice may still use.

use std::sync::Arc;
use std::time::Instant;

use rapport_model::Limits;
use wasmtime::{ResourceLimiter, Result};

use crate::error::GuestFailure;
use crate::host::{Allowance, Host, HostError, LogLevel};
use crate::wire::OutError;

/// The code that tells the interpreter that the slice has ended and that the script must not go on.
pub(crate) const SLICE_ENDED: &str = "slice-ended";

/// How a guest learns that its slice has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The interpreter: by an error that it lets no script catch, so that the instance stays whole.
    Told,
    /// A plugin: it traps.
    Trapped,
}

/// The data of a wasmtime store.
pub(crate) struct State {
    host: Option<Box<dyn Host>>,
    limits: Arc<Limits>,
    ending: Ending,
    /// When the slice must be over.
    pub(crate) deadline: Instant,
    used: Used,
    ended: Option<HostError>,
    memory_bytes: usize,
    last_words: String,
    /// A counter that seeds a guest's random numbers where no host is there yet.
    seed: u8,
}

/// What a slice has used.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Used {
    /// Host calls.
    pub(crate) host_calls: u32,
    input_bytes: usize,
    output_bytes: usize,
    log_bytes: usize,
}

impl State {
    /// The state of a new instance, without a host.
    pub(crate) fn new(limits: Arc<Limits>, ending: Ending, deadline: Instant) -> Self {
        Self {
            host: None,
            limits,
            ending,
            deadline,
            used: Used::default(),
            ended: None,
            memory_bytes: 0,
            last_words: String::new(),
            seed: 0,
        }
    }

    /// Begins a slice under these limits.
    pub(crate) fn begin(&mut self, host: Box<dyn Host>, limits: Arc<Limits>, deadline: Instant) {
        self.host = Some(host);
        self.limits = limits;
        self.deadline = deadline;
        self.used = Used::default();
        self.ended = None;
        self.last_words.clear();
    }

    /// Ends a slice: gives the host back, what was used, and the error with which the host ended it, if it did.
    pub(crate) fn finish(&mut self) -> (Option<Box<dyn Host>>, Used, Option<HostError>) {
        (self.host.take(), self.used, self.ended.take())
    }

    /// The limits.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The bytes of linear memory of this instance.
    pub(crate) const fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// Counts a host call and gives the host.
    ///
    /// # Errors
    /// [`Stop::Answer`] if the slice has ended already; [`Stop::Trap`] if there have been too many calls, or there is no
    /// host since the guest is only being made ready.
    pub(crate) fn call(&mut self) -> Result<&mut dyn Host, Stop> {
        self.count_call()?;
        if let Some(error) = &self.ended {
            let told = Stop::told(self.ending, error);
            return Err(told);
        }
        match &mut self.host {
            Some(host) => Ok(&mut **host),
            None => Err(GuestFailure::Trap("called the host before it was called itself".into()).into()),
        }
    }

    /// What this slice leaves to what works within it, with this much fuel left; the call by which it does so is counted.
    pub(crate) fn allowance(&self, fuel: u64) -> Allowance {
        let calls = self.used.host_calls.saturating_add(1);
        let host_calls = self.limits.slice_host_calls_max.saturating_sub(calls);
        Allowance { fuel, host_calls, deadline: self.deadline }
    }

    /// Counts host calls that were made within an [`Allowance`].
    pub(crate) fn spend_calls(&mut self, calls: u32) {
        self.used.host_calls = self.used.host_calls.saturating_add(calls);
    }

    fn count_call(&mut self) -> Result<(), Stop> {
        self.used.host_calls = self.used.host_calls.saturating_add(1);
        let max = self.limits.slice_host_calls_max;
        if self.used.host_calls > max { Err(GuestFailure::HostCalls { max }.into()) } else { Ok(()) }
    }

    /// The host, for what a guest's standard library asks; none while the guest is only being made ready.
    pub(crate) fn quiet_host(&mut self) -> Result<Option<&mut dyn Host>, Stop> {
        self.count_call()?;
        Ok(self.host.as_deref_mut())
    }

    /// Counts bytes given to the guest.
    ///
    /// # Errors
    /// [`GuestFailure::Input`] beyond the limit.
    pub(crate) fn give(&mut self, bytes: usize) -> Result<(), GuestFailure> {
        self.used.input_bytes = self.used.input_bytes.saturating_add(bytes);
        let max = self.limits.slice_input_bytes_max;
        if self.used.input_bytes > max { Err(GuestFailure::Input { max }) } else { Ok(()) }
    }

    /// Counts bytes taken from the guest.
    ///
    /// # Errors
    /// [`GuestFailure::Output`] beyond the limit.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), Stop> {
        self.used.output_bytes = self.used.output_bytes.saturating_add(bytes);
        let max = self.limits.slice_output_bytes_max;
        if self.used.output_bytes > max { Err(GuestFailure::Output { max }.into()) } else { Ok(()) }
    }

    /// What the guest is answered for a call that failed.
    pub(crate) fn refuse(&mut self, error: HostError) -> Stop {
        if !error.ends_slice {
            return Stop::Answer(answer(error));
        }
        let stop = Stop::told(self.ending, &error);
        self.ended = Some(error);
        stop
    }

    /// Passes a log line on, cut to what the slice may still log.
    pub(crate) fn log(&mut self, level: LogLevel, message: &str) {
        const CUT: &str = "… (the log of this slice ends here: `limits.slice_log_bytes_max`)";
        let max = self.limits.slice_log_bytes_max;
        let left = max.saturating_sub(self.used.log_bytes);
        if left == 0 {
            return;
        }
        let Some(host) = &mut self.host else { return };
        // An empty line costs a byte too, so that no number of them is free.
        self.used.log_bytes = self.used.log_bytes.saturating_add(message.len().max(1));
        if message.len() < left {
            host.log(level, message);
            return;
        }
        self.used.log_bytes = max;
        let end = message.floor_char_boundary(left);
        host.log(level, &format!("{}{CUT}", &message[..end]));
    }

    /// Remembers what a guest writes to standard error: if it breaks down next, that says why.
    pub(crate) fn hear(&mut self, text: &str) {
        const HEARD_BYTES_MAX: usize = 1000;
        let left = HEARD_BYTES_MAX.saturating_sub(self.last_words.len());
        self.last_words.push_str(&text[..text.floor_char_boundary(left.min(text.len()))]);
    }

    /// What the guest wrote to standard error in this slice, as one line.
    pub(crate) fn last_words(&self) -> String {
        let lines = self.last_words.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with("note: "));
        lines.collect::<Vec<_>>().join(" ")
    }

    /// Random bytes: the host's, or a fixed sequence while there is none.
    ///
    /// # Errors
    /// [`Stop::Trap`] beyond the limit of host calls.
    pub(crate) fn random(&mut self, count: u32) -> Result<Vec<u8>, Stop> {
        if let Some(host) = self.quiet_host()? {
            return Ok(host.random(count));
        }
        let mut next = || {
            self.seed = self.seed.wrapping_mul(141).wrapping_add(3);
            self.seed
        };
        Ok((0..count).map(|_| next()).collect())
    }
}

/// Why a host call does not return what was asked for.
pub(crate) enum Stop {
    /// The guest is told.
    Answer(OutError),
    /// The guest is stopped.
    Trap(GuestFailure),
}

impl Stop {
    fn told(ending: Ending, error: &HostError) -> Self {
        let HostError { code, message, retryable, .. } = error.clone();
        match ending {
            Ending::Told => Self::Answer(OutError { code: SLICE_ENDED.into(), message, retryable }),
            Ending::Trapped => Self::Trap(GuestFailure::Ended { code: code.into(), message, retryable }),
        }
    }
}

impl From<GuestFailure> for Stop {
    fn from(failure: GuestFailure) -> Self {
        Self::Trap(failure)
    }
}

fn answer(error: HostError) -> OutError {
    OutError { code: error.code.into(), message: error.message, retryable: error.retryable }
}

impl ResourceLimiter for State {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        let max = self.limits.slice_memory_bytes_max;
        let total = self.memory_bytes.saturating_sub(current).saturating_add(desired);
        if total > max {
            return Err(wasmtime::Error::new(GuestFailure::Memory { max }));
        }
        self.memory_bytes = total;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        let max = self.limits.slice_table_elements_max;
        if desired > max {
            return Err(wasmtime::Error::new(GuestFailure::Table { max }));
        }
        Ok(true)
    }

    fn memories(&self) -> usize {
        4
    }

    fn tables(&self) -> usize {
        8
    }

    fn instances(&self) -> usize {
        32
    }
}
