//! What a slice did, written down as it does it: each host call with what it read and changed, the log, fuel and time.
//!
//! A trace is JSON text of bounded size: what passes the limit is left out, and the trace says so.

use std::fmt::Write as _;
use std::time::Instant;

use rapport_sandbox::{LogLevel, SliceReport};

/// The trace of one slice, growing.
#[derive(Debug)]
pub(crate) struct Trace {
    calls: String,
    log: String,
    count: u32,
    left_out: u32,
    log_cut: bool,
    bytes_max: usize,
    log_bytes_max: usize,
    host_micros: u64,
}

impl Trace {
    pub(crate) const fn new(bytes_max: usize, log_bytes_max: usize) -> Self {
        Self {
            calls: String::new(),
            log: String::new(),
            count: 0,
            left_out: 0,
            log_cut: false,
            bytes_max,
            log_bytes_max,
            host_micros: 0,
        }
    }

    /// Notes one host call: its name, what it was about, and what came of it.
    pub(crate) fn call(&mut self, name: &str, about: &str, outcome: &str, started: Instant) {
        self.count += 1;
        let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.host_micros = self.host_micros.saturating_add(micros);
        let room = about.len() + outcome.len() + 96;
        if self.calls.len() + self.log.len() + room > self.bytes_max {
            self.left_out += 1;
            return;
        }
        let comma = if self.calls.is_empty() { "" } else { "," };
        let (about, outcome) = (quoted(about), quoted(outcome));
        let written = write!(
            self.calls,
            r#"{comma}{{"n":{},"call":"{name}","about":{about},"outcome":{outcome},"micros":{micros}}}"#,
            self.count
        );
        written.expect("writing to a String cannot fail");
    }

    /// The time that the calls took which were noted, in microseconds.
    pub(crate) const fn host_micros(&self) -> u64 {
        self.host_micros
    }

    /// Notes one line that the guest logged.
    pub(crate) fn log(&mut self, level: LogLevel, message: &str) {
        if self.log.len() + message.len() > self.log_bytes_max {
            self.log_cut = true;
            return;
        }
        let comma = if self.log.is_empty() { "" } else { "," };
        let level = match level {
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
        };
        let written = write!(self.log, r#"{comma}{{"level":"{level}","message":{}}}"#, quoted(message));
        written.expect("writing to a String cannot fail");
    }

    /// The finished trace.
    pub(crate) fn finish(&self, report: &SliceReport) -> String {
        let cut = if self.left_out > 0 { format!(r#","calls_left_out":{}"#, self.left_out) } else { String::new() };
        let log_cut = if self.log_cut { r#","log_cut":true"# } else { "" };
        format!(
            r#"{{"calls":[{}],"log":[{}],"fuel":{},"micros":{},"memory_bytes":{}{cut}{log_cut}}}"#,
            self.calls, self.log, report.fuel, report.micros, report.memory_bytes
        )
    }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_else(|_| "\"\"".to_owned())
}

#[cfg(test)]
mod tests {
    use rapport_sandbox::Output;

    use super::*;

    fn report() -> SliceReport {
        SliceReport { fuel: 7, micros: 8, memory_bytes: 9, host_calls: 1, outcome: Ok(()), output: Output::Done }
    }

    #[test]
    fn a_trace_is_json_whatever_a_guest_says() {
        let mut trace = Trace::new(10_000, 1_000);
        trace.call("get", "customer/\"x\"\n", "found\u{1b}", Instant::now());
        trace.log(LogLevel::Info, "a\"b");
        let json: serde_json::Value = serde_json::from_str(&trace.finish(&report())).unwrap();
        assert_eq!(json["calls"][0]["about"], "customer/\"x\"\n");
        assert_eq!(json["log"][0]["message"], "a\"b");
        assert_eq!(json["fuel"], 7);
    }

    #[test]
    fn a_trace_over_its_limit_says_what_it_left_out() {
        let mut trace = Trace::new(300, 5);
        for _ in 0..10 {
            trace.call("get", "customer/1", "found", Instant::now());
        }
        trace.log(LogLevel::Info, "longer than five");
        let text = trace.finish(&report());
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["calls_left_out"].as_u64().unwrap() + json["calls"].as_array().unwrap().len() as u64, 10);
        assert_eq!(json["log_cut"], true);
    }
}
