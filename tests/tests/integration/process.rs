//! The binary as a process of its own: for what only a process can show (a kill, a second one, an exit code).

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::harness::project;

/// How long a start or an end may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// A call of the command line that is not made yet.
#[derive(Debug)]
pub(crate) struct Call(Command);

/// What a call of the command line came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    /// What it printed, errors included.
    pub(crate) text: String,
    /// What it printed as its result.
    pub(crate) output: String,
}

/// `rapport` with these arguments, in an environment without settings.
pub(crate) fn rapport(arguments: &[&str]) -> Call {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rapport-under-test"));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|n| n.starts_with("RAPPORT_")) {
            command.env_remove(name);
        }
    }
    command.args(arguments).stdin(Stdio::null()).current_dir(project());
    Call(command)
}

impl Call {
    /// Talks to the server that `client` knows, with its key.
    pub(crate) fn to(mut self, client: &Client, key_file: &Path) -> Self {
        std::fs::write(key_file, client.key.as_deref().unwrap_or_default()).unwrap();
        self.0.env("RAPPORT_SERVER", format!("http://{}", client.address)).env("RAPPORT_KEY_FILE", key_file);
        self
    }

    /// Has it read the file at `path` as its standard input.
    pub(crate) fn reading(mut self, path: &Path) -> Self {
        self.0.stdin(std::fs::File::open(path).unwrap());
        self
    }

    pub(crate) fn within(mut self, folder: &Path) -> Self {
        self.0.current_dir(folder);
        self
    }

    /// With this in its environment.
    pub(crate) fn with(mut self, name: &str, value: &Path) -> Self {
        self.0.env(name, value);
        self
    }

    pub(crate) fn run(mut self) -> Outcome {
        let done = self.0.output().unwrap();
        let output = String::from_utf8_lossy(&done.stdout).into_owned();
        let text = format!("{output}{}", String::from_utf8_lossy(&done.stderr));
        Outcome { code: done.status.code().unwrap_or(-1), text, output }
    }

    /// Starts it and lets it run.
    pub(crate) fn spawn(mut self) -> Child {
        self.0.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }
}

impl Outcome {
    /// Fails the story, with what was printed in the message, unless the exit code is `code`.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}", self.text);
        self
    }
}

/// A server in a process of its own. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    child: Child,
    pub(crate) client: Client,
    log: PathBuf,
}

impl ServerProcess {
    /// Starts a server on a data folder and waits until it answers.
    pub(crate) async fn start(data: &Path, database: Option<&str>, more: &[&str]) -> Self {
        Self::start_in(&[], data, database, more).await
    }

    /// The same with an environment.
    pub(crate) async fn start_in(
        environment: &[(&str, &str)],
        data: &Path,
        database: Option<&str>,
        more: &[&str],
    ) -> Self {
        let address_file = data.join("server.addr");
        if address_file.exists() {
            std::fs::remove_file(&address_file).unwrap();
        }
        crate::harness::share_compiled_code(data);
        let (log, mut command) = Self::command(data, database, more);
        command.0.envs(environment.iter().copied());
        let child = command.0.spawn().unwrap();
        let mut server = Self { child, client: Client { address: String::new(), key: None }, log };
        server.wait_until_ready(data).await;
        server
    }

    /// Starts a server that dies by itself, and says whether a signal killed it.
    pub(crate) fn dies_at_start(
        environment: &[(&str, &str)],
        data: &Path,
        database: Option<&str>,
        more: &[&str],
    ) -> bool {
        let (log, mut command) = Self::command(data, database, more);
        command.0.envs(environment.iter().copied());
        let child = command.0.spawn().unwrap();
        let mut server = Self { child, client: Client { address: String::new(), key: None }, log };
        let began = Instant::now();
        loop {
            if let Some(status) = server.child.try_wait().unwrap() {
                return status.code().is_none();
            }
            assert!(began.elapsed() < PATIENCE, "the server lives on: {}", server.output());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn command(data: &Path, database: Option<&str>, more: &[&str]) -> (PathBuf, Call) {
        let log = data.join("server.log");
        let output = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let mut call = rapport(&["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()]);
        if let Some(url) = database {
            call.0.args(["--database", url]);
        }
        call.0.args(more).stdout(output.try_clone().unwrap()).stderr(output);
        (log, call)
    }

    async fn wait_until_ready(&mut self, data: &Path) {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the server ended with {status}: {}", self.output());
            }
            let address = std::fs::read_to_string(data.join("server.addr")).unwrap_or_default();
            self.client.address = address.trim().trim_start_matches("http://").to_owned();
            let probe = crate::client::Request::new("GET", "/readyz");
            if !self.client.address.is_empty() && self.client.try_send(probe).await.is_some_and(|r| r.status == 200) {
                break;
            }
            assert!(began.elapsed() < PATIENCE, "the server did not answer: {}", self.output());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.client.key = Some(std::fs::read_to_string(data.join("owner.key")).unwrap().trim().to_owned());
    }

    /// What it printed so far.
    pub(crate) fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has died by itself, and says whether a signal killed it.
    pub(crate) fn died(mut self) -> bool {
        self.child.wait().unwrap().code().is_none()
    }

    /// Ends it at once, as a power failure would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop, and returns its exit code.
    pub(crate) async fn stop(mut self) -> i32 {
        let asked = Command::new("kill").args(["-TERM", &self.id().to_string()]).status().unwrap();
        assert!(asked.success());
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(began.elapsed() < PATIENCE, "the server did not stop: {}", self.output());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs a server that is expected to refuse its start, and returns what it said.
pub(crate) async fn refused_start(data: &Path, database: Option<&str>, more: &[&str]) -> Outcome {
    let (log, mut command) = ServerProcess::command(data, database, more);
    let before = std::fs::metadata(&log).map_or(0, |m| usize::try_from(m.len()).unwrap());
    let mut child = command.0.spawn().unwrap();
    let began = Instant::now();
    let code = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.code().unwrap_or(-1);
        }
        if began.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("the server did not refuse to start");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let text = std::fs::read_to_string(&log).unwrap()[before..].to_owned();
    Outcome { code, output: text.clone(), text }
}
