//! `rapport import`: a CSV file becomes records, row by row, through the public API.
//!
//! ```text
//! file ─decode─▶ rows ─map─▶ NDJSON batches ─▶ [reader thread | this thread] ─▶ POST …/bulk ─▶ counts, refused file, state
//! ```
//! Rows are upserts by a unique field, so a batch that is sent twice (after a kill) changes nothing the second time.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Instant;

use clap::{Args, ValueEnum};
use serde_json::{Value as Json, json};
use ureq::http::Method;

use super::{Common, Failure, Outcome};
use crate::client::{Address, Call, Client};

mod batch;
mod mapping;
mod progress;
mod refused;
mod source;
mod state;
mod tally;

use batch::Batch;
use mapping::{Mapping, TimeReader};
use progress::Progress;
use refused::RefusedFile;
use source::{Format, Source};
use state::{Done, StateFile};
use tally::Tally;

/// Batches that are read ahead of the one being sent.
const BATCHES_AHEAD: usize = 2;

/// What automations shall do about the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Automations {
    /// They react.
    Fire,
    /// They do not, and never will.
    Skip,
    /// Say what they would do; nothing is kept, the rows neither.
    Preview,
}

impl Automations {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Fire => "fire",
            Self::Skip => "skip",
            Self::Preview => "preview",
        }
    }
}

/// What `import` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "Ends with 0 if every row was taken, with 3 if some were refused: they are in the refused file with \
    line and reason.\nThe same command again goes on after a kill, and changes nothing after an end."
)]
pub(super) struct ImportArgs {
    /// The CSV file; its first row names the columns.
    file: PathBuf,
    /// The object that rows become records of.
    #[arg(long)]
    object: String,
    /// The unique field that tells which record a row is.
    #[arg(long, value_name = "FIELD")]
    key: String,
    /// Which field takes which column; `customer.customer_no=customer_no` names a record of another object, which is made if
    /// it is missing.
    #[arg(long = "map", value_name = "FIELD=COLUMN", required = true)]
    maps: Vec<String>,
    /// A field that has the same value in every row.
    #[arg(long = "const", value_name = "FIELD=VALUE")]
    constants: Vec<String>,
    /// The zone of times that name none, such as `Europe/London`.
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    tz: String,
    /// How times are written, such as `%d.%m.%Y %H:%M`; ISO 8601 if not given.
    #[arg(long, value_name = "FORMAT")]
    time_format: Option<String>,
    /// Numbers have a comma before the decimals.
    #[arg(long)]
    decimal_comma: bool,
    /// What stands between the tags in a cell that is mapped onto `tags`.
    #[arg(long, value_name = "TEXT", default_value = ",")]
    tag_separator: String,
    /// The character between cells; found out if not given.
    #[arg(long, value_name = "CHAR")]
    delimiter: Option<String>,
    /// The encoding, such as `gb18030`; UTF-8, or what a byte order mark says, if not given.
    #[arg(long, value_name = "NAME")]
    encoding: Option<String>,
    /// What automations do.
    #[arg(long, value_enum, default_value = "fire")]
    automations: Automations,
    /// Load the past: each row, and what automations do about it, happens at the row's own time.
    #[arg(long, requires = "time")]
    history: bool,
    /// The field that says when a row was true.
    #[arg(long, value_name = "FIELD", requires = "history")]
    time: Option<String>,
    /// Where refused rows go; FILE.refused.csv beside the file if not given.
    #[arg(long, value_name = "FILE")]
    refused: Option<PathBuf>,
    /// The name of the history load; made from the file's name and content if not given.
    #[arg(long)]
    name: Option<String>,
}

pub(super) fn run(common: &Common, args: &ImportArgs) -> Outcome {
    let client = common.client()?;
    let workspace = client.get("/v1/workspace")?;
    let objects = client.get("/v1/objects")?;
    let times = TimeReader::new(&args.tz, args.time_format.clone())?;
    let mut source = Source::open(&args.file, &Format::new(args.delimiter.as_deref(), args.encoding.as_deref())?)?;
    let mapping = Mapping::new(args, &objects, source.columns(), times)?;
    let state = StateFile::beside(&args.file, args, &workspace)?;
    let done = if args.automations == Automations::Preview { Done::default() } else { state.read() };
    if done.rows > 0 && !common.output().is_json() {
        eprintln!("going on after {} rows that were done before", done.rows);
    }
    source.skip(done.rows)?;
    let refused = RefusedFile::open(&args.refused_path(), source.columns(), done.refused_bytes)?;
    let load = if args.history { Some(open_load(&client, args, &state)?) } else { None };
    let path = bulk_path(args, load.as_deref());
    let progress = Progress::start(&source, common.output());

    let (batches, reader) = read_ahead(source, mapping);
    let mut import =
        Import { client: &client, path, args, refused, state, tally: Tally::resume(done.counts, done.head) };
    let began = Instant::now();
    let sent = import.send_all(&batches, done.rows, &progress);
    // Without a receiver the reader ends at its next batch.
    drop(batches);
    let read = reader.join();
    progress.finish();
    sent?;
    if read.is_err() {
        return Err(Failure::Failed("the reader of the file broke down".to_owned()));
    }
    if let Some(name) = &load {
        client.delete(&Address::of(&["v1", "loads", name]).text())?;
    }
    import.finish(common, began)
}

/// Reads and maps rows in a thread of its own, a few batches ahead.
fn read_ahead(source: Source, mapping: Mapping) -> (Receiver<Result<Batch, Failure>>, std::thread::JoinHandle<()>) {
    let (sender, receiver) = sync_channel(BATCHES_AHEAD);
    let reader = std::thread::spawn(move || {
        let mut source = source;
        loop {
            let batch = Batch::read(&mut source, &mapping);
            let last = batch.as_ref().map_or(true, Batch::is_empty);
            if sender.send(batch).is_err() || last {
                return;
            }
        }
    });
    (receiver, reader)
}

fn bulk_path(args: &ImportArgs, load: Option<&str>) -> String {
    Address::of(&["v1", "records", &args.object, "bulk"])
        .query("key", Some(&args.key))
        .query("automations", Some(args.automations.as_str()))
        .query("load", load)
        .query("time", load.and(args.time.as_deref()))
        .text()
}

/// Opens the history load, or takes it up again; gives its name.
fn open_load(client: &Client, args: &ImportArgs, state: &StateFile) -> Result<String, Failure> {
    let name = args.name.clone().unwrap_or_else(|| {
        let stem = args.file.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let plain: String = stem.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).take(60).collect();
        format!("{plain}-{}", state.short_digest())
    });
    let load = client.post("/v1/loads", &json!({"name": name}))?;
    Ok(load["name"].as_str().unwrap_or(&name).to_owned())
}

impl ImportArgs {
    fn refused_path(&self) -> PathBuf {
        self.refused.clone().unwrap_or_else(|| self.file.with_extension("refused.csv"))
    }
}

/// An import on its way.
struct Import<'a> {
    client: &'a Client,
    path: String,
    args: &'a ImportArgs,
    refused: RefusedFile,
    state: StateFile,
    tally: Tally,
}

impl Import<'_> {
    fn send_all(
        &mut self,
        batches: &Receiver<Result<Batch, Failure>>,
        rows_before: u64,
        progress: &Progress,
    ) -> Result<(), Failure> {
        let mut rows = rows_before;
        for batch in batches {
            let batch = batch?;
            if batch.is_empty() {
                break;
            }
            rows += batch.len();
            self.send(&batch)?;
            if self.args.automations != Automations::Preview {
                let refused_bytes = self.refused.flush()?;
                self.state.write(&Done {
                    rows,
                    refused_bytes,
                    head: self.tally.head(),
                    counts: self.tally.counts(),
                })?;
            }
            progress.at(rows, self.tally.counts().refused);
        }
        Ok(())
    }

    fn send(&mut self, batch: &Batch) -> Result<(), Failure> {
        for row in batch.unreadable() {
            self.tally.refuse("unreadable", None, &row.reason);
            self.refused.add(row.line, &row.reason, &row.cells)?;
        }
        if batch.body().is_empty() {
            return Ok(());
        }
        let call = Call {
            path: self.path.clone(),
            body: Some(batch.body()),
            media: "application/x-ndjson",
            headers: Vec::new(),
        };
        let answer = self.client.json(&Method::POST, &call)?;
        self.tally.add(&answer);
        for entry in answer["lines"].as_array().map_or(&[][..], Vec::as_slice) {
            let message = entry["message"].as_str().unwrap_or_default();
            self.tally.refuse(entry["code"].as_str().unwrap_or_default(), entry["pointer"].as_str(), message);
            let number = entry["line"].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
            if let Some((line, cells)) = batch.sent_row(number) {
                self.refused.add(line, message, cells)?;
            }
        }
        Ok(())
    }

    fn finish(self, common: &Common, began: Instant) -> Outcome {
        let refused_file = self.refused.finish()?;
        self.state.remove();
        let counts = self.tally.counts();
        let mut summary: Json = self.tally.summary(began.elapsed());
        summary["refused_file"] = refused_file.map(|f| f.display().to_string()).into();
        common.output().show(&summary, tally::people);
        Ok(ExitCode::from(if counts.refused > 0 { 3 } else { 0 }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: ImportArgs,
    }

    fn args(more: &[&str]) -> Result<ImportArgs, clap::Error> {
        let line = ["import", "orders.csv", "--object", "order", "--key", "order_no", "--map", "order_no=order_no"];
        Line::try_parse_from(line.iter().chain(more)).map(|l| l.args)
    }

    #[test]
    fn the_address_says_what_automations_do_and_which_load_it_is() {
        let plain = args(&[]).unwrap();
        assert_eq!(bulk_path(&plain, None), "/v1/records/order/bulk?key=order_no&automations=fire");
        let past = args(&["--history", "--time", "ordered_at", "--automations", "skip"]).unwrap();
        let want = "/v1/records/order/bulk?key=order_no&automations=skip&load=l&time=ordered_at";
        assert_eq!(bulk_path(&past, Some("l")), want);
    }

    #[test]
    fn history_and_time_go_together() {
        assert!(args(&["--history"]).is_err());
        assert!(args(&["--time", "ordered_at"]).is_err());
    }

    #[test]
    fn refused_rows_go_beside_the_file_unless_told_otherwise() {
        assert_eq!(args(&[]).unwrap().refused_path(), PathBuf::from("orders.refused.csv"));
        assert_eq!(args(&["--refused", "r.csv"]).unwrap().refused_path(), PathBuf::from("r.csv"));
    }
}
