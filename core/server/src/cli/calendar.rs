//! `rapport calendar`: business time by a calendar in a file, which needs no server, or by one of a workspace.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use rapport_model::calendar::{OBJECT, parse_span};
use rapport_model::time::{Clock, WallClock};
use rapport_model::{Calendar, Timestamp};
use serde_json::json;

use super::{Common, Failure, Outcome};
use crate::client::Address;
use crate::strict_json;

/// The largest file of a calendar, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What can be asked of a calendar.
#[derive(Debug, Subcommand)]
pub(super) enum CalendarCommand {
    /// Tells the instant at which a span of open time has gone by. Due exactly at closing time is that instant.
    Due(DueArgs),
    /// Tells how many seconds of open time lie between two instants.
    Elapsed(ElapsedArgs),
}

/// Which calendar.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Which {
    /// The file of a calendar, JSON. Needs no server.
    #[arg(long, value_name = "FILE")]
    calendar: Option<PathBuf>,
    /// The name of a calendar of the workspace.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

/// When something is due.
#[derive(Debug, Args)]
pub(super) struct DueArgs {
    #[command(flatten)]
    which: Which,
    /// The instant at which the time begins, with any offset; now if not given.
    #[arg(long, value_name = "INSTANT")]
    start: Option<Timestamp>,
    /// The span of open time: `4h`, `1h30m`, `4 hours`. Days and weeks are none: they differ in open time.
    #[arg(long, value_name = "SPAN", value_parser = span)]
    within: i64,
}

/// How much time has gone by.
#[derive(Debug, Args)]
pub(super) struct ElapsedArgs {
    #[command(flatten)]
    which: Which,
    /// The instant at which the time begins, with any offset.
    #[arg(long, value_name = "INSTANT")]
    start: Timestamp,
    /// The instant at which it ends; now if not given.
    #[arg(long, value_name = "INSTANT")]
    end: Option<Timestamp>,
}

fn span(text: &str) -> Result<i64, String> {
    parse_span(text).map_err(|e| e.to_string())
}

pub(super) fn run(common: &Common, command: &CalendarCommand) -> Outcome {
    match command {
        CalendarCommand::Due(args) => due(common, args),
        CalendarCommand::Elapsed(args) => elapsed(common, args),
    }
}

fn due(common: &Common, args: &DueArgs) -> Outcome {
    let calendar = args.which.read(common)?;
    let start = args.start.unwrap_or_else(|| WallClock.now());
    let due = calendar.due(start, args.within).map_err(|e| Failure::Failed(e.to_string()))?;
    common.output().show(&json!({ "due": due }), |_| format!("{due}  {}", calendar.zone().wall_clock(due)));
    Ok(ExitCode::SUCCESS)
}

fn elapsed(common: &Common, args: &ElapsedArgs) -> Outcome {
    let calendar = args.which.read(common)?;
    let end = args.end.unwrap_or_else(|| WallClock.now());
    let seconds = calendar.elapsed(args.start, end).map_err(|e| Failure::Failed(e.to_string()))?;
    common.output().show(&json!({ "elapsed": seconds, "seconds": seconds }), |_| seconds.to_string());
    Ok(ExitCode::SUCCESS)
}

impl Which {
    fn read(&self, common: &Common) -> Result<Calendar, Failure> {
        match (&self.calendar, &self.name) {
            (Some(file), _) => of_file(file),
            (None, name) => of_workspace(common, name.as_deref().unwrap_or_default()),
        }
    }
}

fn of_file(file: &Path) -> Result<Calendar, Failure> {
    let wrong = |why: String| Failure::Usage(format!("{}: {why}", file.display()));
    let size = std::fs::metadata(file).map_err(|e| wrong(e.to_string()))?.len();
    if size > FILE_BYTES_MAX {
        return Err(wrong(format!("a calendar has {FILE_BYTES_MAX} bytes at most, this file has {size}")));
    }
    let bytes = std::fs::read(file).map_err(|e| wrong(e.to_string()))?;
    let definition = strict_json::parse(&bytes).map_err(|e| wrong(format!("it is no JSON: {e}")))?;
    Calendar::from_json(&definition).map_err(|e| wrong(e.to_string()))
}

fn of_workspace(common: &Common, name: &str) -> Result<Calendar, Failure> {
    let path = Address::of(&["v1", "records", OBJECT, &format!("name:{name}")]).text();
    let record = common.client()?.get(&path)?;
    Calendar::from_json(&record["definition"]).map_err(|e| Failure::Failed(format!("calendar `{name}`: {e}")))
}
