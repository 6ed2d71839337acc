//! The bench's means: servers and drivers as processes on cores of their own, and what they cost.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::driver::Job;
use super::workload::{self, CUSTOMERS, SCRIPT};
use crate::http::Connection;
use crate::server::{Server, Start};
use crate::workspace::{command, output, succeeds};

/// The core that servers are bound to, where one is.
pub(crate) const SERVER_CORE: u32 = 0;
/// The core that drivers are bound to.
pub(crate) const DRIVER_CORE: u32 = 1;
/// Records of one request of [`bulk`].
const BULK_PART: usize = 20_000;

/// A folder for one bench, with the script that it serves.
#[derive(Debug)]
pub(crate) struct Lab {
    folder: PathBuf,
    binary: PathBuf,
}

/// How a server of the bench is started.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Place<'a> {
    /// The core it is bound to.
    pub(crate) core: Option<u32>,
    /// A PostgreSQL database instead of the embedded one.
    pub(crate) database: Option<&'a str>,
}

impl Lab {
    /// A new, empty folder.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(crate) fn new(binary: &Path, name: &str) -> Result<Self> {
        let folder = crate::workspace::root().join("target/bench").join(name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        std::fs::create_dir_all(folder.join("scripts"))?;
        std::fs::write(folder.join("scripts/points.rhai"), SCRIPT)?;
        Ok(Self { folder, binary: binary.to_path_buf() })
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts a server on a new data folder of that name, with the scripts, plugins and configuration that lie in the lab's.
    ///
    /// # Errors
    /// If it does not start.
    pub(crate) fn serve(&self, name: &str, place: Place<'_>) -> Result<Server> {
        let data = self.folder.join(name);
        let mut arguments = vec!["--scripts".to_owned(), self.folder.join("scripts").display().to_string()];
        for (option, name) in [("--plugins", "plugins"), ("--config", "rapport.toml")] {
            let path = self.folder.join(name);
            if path.exists() {
                arguments.extend([option.to_owned(), path.display().to_string()]);
            }
        }
        arguments.extend(place.database.map(|url| ["--database".to_owned(), url.to_owned()]).into_iter().flatten());
        Server::start(&self.binary, &Start { data: &data, arguments, core: place.core })
    }

    /// The binary of the server.
    pub(crate) fn binary(&self) -> &Path {
        &self.binary
    }

    /// As [`Self::serve`], with the customers that the orders are about.
    ///
    /// # Errors
    /// If it does not start or refuses the customers.
    pub(crate) fn shop(&self, name: &str, place: Place<'_>) -> Result<Server> {
        let server = self.serve(name, place)?;
        add_customers(&server, 1, CUSTOMERS)?;
        Ok(server)
    }
}

/// Adds the customers from `first` to `last`.
///
/// # Errors
/// If one is refused.
pub(crate) fn add_customers(server: &Server, first: u64, last: u64) -> Result<()> {
    let body = workload::customers(first, last);
    let path = "/v1/records/customer/bulk?key=customer_no";
    let answer = server.call("POST", path, "application/x-ndjson", &body)?;
    let summary: Value = serde_json::from_slice(&answer.body).with_context(|| answer.excerpt())?;
    let taken = ["created", "unchanged"].map(|name| summary[name].as_u64().unwrap_or(0)).iter().sum::<u64>();
    if !answer.is_success() || taken != last + 1 - first {
        bail!("not all customers were taken: {} {}", answer.status, answer.excerpt());
    }
    Ok(())
}

/// Writes records as lines, in parts; with a `key`, those that have a value of this unique field are updated. No automation reacts.
///
/// # Errors
/// If not all are taken.
pub(crate) fn bulk(server: &Server, object: &str, key: Option<&str>, lines: impl Iterator<Item = Value>) -> Result<()> {
    let mut lines = lines.peekable();
    while lines.peek().is_some() {
        let mut body = String::new();
        let mut count = 0;
        for line in lines.by_ref().take(BULK_PART) {
            writeln!(body, "{line}")?;
            count += 1;
        }
        let key = key.map(|key| format!("&key={key}")).unwrap_or_default();
        let path = format!("/v1/records/{object}/bulk?automations=skip{key}");
        let answer = server.call("POST", &path, "application/x-ndjson", body.as_bytes())?;
        let summary: Value = serde_json::from_slice(&answer.body).with_context(|| answer.excerpt())?;
        let taken = ["created", "updated", "unchanged"].map(|n| summary[n].as_u64().unwrap_or(0)).iter().sum::<u64>();
        if !answer.is_success() || taken != count {
            bail!("{taken} of {count} records of {object} were taken: {} {}", answer.status, answer.excerpt());
        }
    }
    Ok(())
}

/// Streams events as lines in one chunked request.
///
/// # Errors
/// If not all are taken.
pub(crate) fn send_events(server: &Server, path: &str, lines: &[String]) -> Result<()> {
    let mut connection = Connection::open(&server.address)?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {}\r\n{}\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n",
        server.address,
        server.authorization()
    );
    connection.send(head.as_bytes())?;
    for part in lines.chunks(500) {
        let text = format!("{}\n", part.join("\n"));
        connection.send(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes())?;
    }
    connection.send(b"0\r\n\r\n")?;
    let answer = connection.answer()?;
    let summary: Value = serde_json::from_slice(&answer.body).with_context(|| answer.excerpt())?;
    if summary["accepted"].as_u64() != Some(u64::try_from(lines.len())?) {
        bail!("not all events were taken: {} {}", answer.status, answer.excerpt());
    }
    Ok(())
}

/// Runs the driver on its core and returns its report.
///
/// # Errors
/// If it fails.
pub(crate) fn drive(job: &Job, core: Option<u32>) -> Result<Value> {
    let report = output(&mut myself(core, "bench-driver", &job.arguments())?)?;
    serde_json::from_str(&report).with_context(|| format!("the driver reported `{report}`"))
}

/// This program again, doing `task`, bound to a core.
fn myself(core: Option<u32>, task: &str, arguments: &[String]) -> Result<Command> {
    let program = std::env::current_exe()?;
    let mut command = match core {
        Some(core) => {
            let mut pinned = command("taskset");
            pinned.args(["-c", &core.to_string()]).arg(program);
            pinned
        }
        None => command(program),
    };
    command.arg(task).args(arguments);
    Ok(command)
}

/// A floor that serves HTTP in a process of its own. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Floor {
    child: Child,
    pub(crate) address: String,
}

impl Floor {
    /// Starts one of this program's own servers on the servers' core.
    ///
    /// # Errors
    /// If it does not print its address.
    pub(crate) fn start(task: &str, arguments: &[String]) -> Result<Self> {
        let mut child = myself(Some(SERVER_CORE), task, arguments)?.stdout(Stdio::piped()).spawn()?;
        let pipe = child.stdout.take().context("the floor has no output")?;
        let mut address = String::new();
        BufReader::new(pipe).read_line(&mut address)?;
        let floor = Self { child, address: address.trim().to_owned() };
        if floor.address.is_empty() {
            bail!("the floor `{task}` did not start");
        }
        Ok(floor)
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        // It may have ended already: then there is nothing to do.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The processor time that a process used so far.
///
/// # Errors
/// If the system does not tell.
pub(crate) fn processor_time(id: u32) -> Result<Duration> {
    let text =
        std::fs::read_to_string(format!("/proc/{id}/stat")).context("this system does not tell processor times")?;
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<u64>().ok()).context("a time that is no number");
    // User and system time are the 14th and 15th field; the first two stand before the parenthesis. A tick is 10 ms on Linux.
    Ok(Duration::from_millis((ticks(11)? + ticks(12)?) * 10))
}

/// The memory of a process that is in use, in bytes.
///
/// # Errors
/// If the system does not tell.
pub(crate) fn resident_bytes(id: u32) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{id}/status")).context("this system does not tell memory")?;
    let line = text.lines().find(|l| l.starts_with("VmRSS:")).context("no resident memory")?;
    let kilobytes: u64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).context("no number")?;
    Ok(kilobytes * 1_024)
}

/// Waits until `what` is true.
///
/// # Errors
/// If that takes longer than ten minutes.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    while !is_so()? {
        if began.elapsed() > Duration::from_mins(10) {
            bail!("waited too long for {what}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Whether no run waits, works or sleeps.
///
/// # Errors
/// If the server does not answer.
pub(crate) fn is_idle(server: &Server) -> Result<bool> {
    Ok(server.metric("rapport_runs_in_memory")? < 0.5 && server.metric("rapport_units_queued")? < 0.5)
}

/// Looks whether every run came to a good end.
///
/// # Errors
/// If some went to the dead letters.
pub(crate) fn no_dead(server: &Server) -> Result<()> {
    let dead = server.metric("rapport_dead_letters")?;
    if dead > 0.5 {
        bail!("{dead:.0} runs went to the dead letters\n{}", server.last_output());
    }
    Ok(())
}

/// Whether programs can be bound to cores here.
pub(crate) fn can_pin() -> bool {
    succeeds(command("taskset").args(["-c", "0,1", "true"]))
}
