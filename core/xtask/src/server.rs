//! A Rapport server as a process of its own: built, started, waited for, asked, and stopped.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use crate::http::{Answer, Connection};
use crate::workspace::{cargo, command, root, run};

#[cfg(test)]
mod tests;

/// How long a start may take: the first compiles the interpreter.
const START_MAX: Duration = Duration::from_mins(1);
/// How long the server may take to finish its work once told to stop.
const STOP_MAX: Duration = Duration::from_mins(1);

/// Builds the binary in release mode and returns where it lies.
///
/// # Errors
/// If the build fails.
pub(crate) fn build() -> Result<PathBuf> {
    run(cargo().args(["build", "--release", "--package", "rapport-server", "--bin", "rapport"]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    Ok(root().join(target).join("release/rapport"))
}

/// Builds one of the first-party plugins as a component, where `serve --plugins` finds it.
///
/// # Errors
/// If the build fails.
pub(crate) fn build_plugin(binary: &Path, folder: &str) -> Result<()> {
    run(command(binary).args(["plugin", "build", folder]).stdout(Stdio::null()))
}

/// How to start a server.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    /// The data folder.
    pub(crate) data: &'a Path,
    /// More arguments of `serve`.
    pub(crate) arguments: Vec<String>,
    /// The processor core it is bound to, if any.
    pub(crate) core: Option<u32>,
}

/// A running server. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Host and port.
    pub(crate) address: String,
    /// The file with the owner's key.
    pub(crate) key_file: PathBuf,
    key: String,
    log: PathBuf,
    /// From the start of the process until it answered.
    pub(crate) ready_after: Duration,
}

impl Server {
    /// Starts `binary` and waits until it answers.
    ///
    /// # Errors
    /// If it ends or does not answer in time; the message holds what it printed last.
    pub(crate) fn start(binary: &Path, start: &Start<'_>) -> Result<Self> {
        std::fs::create_dir_all(start.data).with_context(|| format!("cannot make folder {}", start.data.display()))?;
        let address_file = start.data.join("server.addr");
        if address_file.exists() {
            std::fs::remove_file(&address_file)?;
        }
        let log = start.data.join("server.log");
        let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut serve = start.core.map_or_else(
            || command(binary),
            |core| {
                let mut pinned = command("taskset");
                pinned.args(["-c", &core.to_string()]).arg(binary);
                pinned
            },
        );
        serve.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(start.data).args(&start.arguments);
        let began = Instant::now();
        let child = serve.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).spawn();
        let child = child.with_context(|| format!("cannot start {}", binary.display()))?;
        let mut server = Self {
            child,
            address: String::new(),
            key_file: start.data.join("owner.key"),
            key: String::new(),
            log,
            ready_after: Duration::ZERO,
        };
        server.wait_until_ready(&address_file, began)?;
        let key = std::fs::read_to_string(&server.key_file)
            .with_context(|| format!("cannot read the key in {}", server.key_file.display()))?;
        key.trim().clone_into(&mut server.key);
        Ok(server)
    }

    fn wait_until_ready(&mut self, address_file: &Path, began: Instant) -> Result<()> {
        while began.elapsed() < START_MAX {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended at once: {status}\n{}", self.last_output());
            }
            let address = std::fs::read_to_string(address_file).unwrap_or_default();
            let address = address.trim().trim_start_matches("http://");
            if !address.is_empty() && is_ready(address) {
                address.clone_into(&mut self.address);
                self.ready_after = began.elapsed();
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        bail!("the server did not answer within {} s\n{}", START_MAX.as_secs(), self.last_output())
    }

    /// The last lines that the server printed.
    pub(crate) fn last_output(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// The header line that carries the owner's key.
    pub(crate) fn authorization(&self) -> String {
        format!("Authorization: Bearer {}", self.key)
    }

    /// The owner's key.
    #[cfg(feature = "bench")]
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends one request with the owner's key on a connection of its own.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub(crate) fn call(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> Result<Answer> {
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            self.address,
            self.authorization(),
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        let mut connection =
            Connection::open(&self.address).with_context(|| format!("no server at {}", self.address))?;
        connection.call(&request).with_context(|| format!("{method} {path} got no answer"))
    }

    /// Reads a resource as JSON.
    ///
    /// # Errors
    /// If the answer is none of success, or no JSON.
    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        let answer = self.call("GET", path, "application/json", b"")?;
        if !answer.is_success() {
            bail!("GET {path} was answered with {}: {}", answer.status, answer.excerpt());
        }
        serde_json::from_slice(&answer.body).with_context(|| format!("GET {path} was not answered with JSON"))
    }

    /// Every record of an object with the fields named, page by page.
    ///
    /// # Errors
    /// If a page cannot be read.
    pub(crate) fn records(&self, object: &str, fields: &str) -> Result<Vec<Value>> {
        let mut found = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("/v1/records/{object}?limit=1000&fields={fields}{cursor}"))?;
            let items = page["items"].as_array().ok_or_else(|| anyhow!("a page of {object} has no `items`"))?;
            found.extend_from_slice(items);
            let Some(next) = page["next"].as_str() else { return Ok(found) };
            cursor = format!("&cursor={next}");
        }
    }

    /// The figures of `/metrics` that are not split by labels.
    ///
    /// # Errors
    /// If they cannot be read.
    pub(crate) fn metric(&self, name: &str) -> Result<f64> {
        let answer = self.call("GET", "/metrics", "text/plain", b"")?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        sum_of_metric(&text, name).ok_or_else(|| anyhow!("/metrics has no `{name}`"))
    }

    /// Asks the server to stop and waits until it has finished its work.
    ///
    /// # Errors
    /// If it does not exit with 0 in time.
    pub(crate) fn stop(mut self) -> Result<()> {
        run(command("kill").args(["-TERM", &self.id().to_string()]))?;
        let began = Instant::now();
        while began.elapsed() < STOP_MAX {
            if let Some(status) = self.child.try_wait()? {
                if status.success() {
                    return Ok(());
                }
                bail!("the server stopped with {status}\n{}", self.last_output());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("the server did not stop within {} s", STOP_MAX.as_secs())
    }

    /// Serves until the process ends: by Ctrl-C, which the terminal sends to both of us.
    ///
    /// # Errors
    /// If it ends otherwise than by a wish to stop.
    pub(crate) fn wait(mut self) -> Result<()> {
        let status = self.child.wait()?;
        if !status.success() {
            bail!("the server stopped with {status}\n{}", self.last_output());
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already: then there is nothing to do.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn is_ready(address: &str) -> bool {
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\n\r\n");
    Connection::open(address).and_then(|mut c| c.call(request.as_bytes())).is_ok_and(|a| a.status == 200)
}

/// The sum over the labels of one figure in the text that `/metrics` answers with.
fn sum_of_metric(text: &str, name: &str) -> Option<f64> {
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let value = if rest.starts_with('{') { rest.split_once('}')?.1 } else { rest };
        value.starts_with(' ').then(|| value.trim().parse::<f64>().ok()).flatten()
    });
    values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}
