//! A fresh PostgreSQL database for each caller.
//!
//! The first test process that asks starts a server in a temporary folder on a free loopback port; later ones share it, since a
//! runner with one process per test would otherwise start hundreds. Every process that uses the server holds a shared lock on a file
//! for as long as it lives, however it ends; a keeper process waits until nobody holds it, then stops the server and removes
//! the folder. With `RAPPORT_TEST_PG_URL` set, databases are made on that server instead.
//!
//! ```text
//! nobody ──url()──▶ starting (start.lock held) ──▶ serving (users.lock shared) ──last user gone──▶ stopped by the keeper
//! ```

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

/// The user that the server runs as where we are root, which it refuses.
const USER: &str = "postgres";
/// Databases that are kept: the one made so many calls ago is dropped if nobody is connected.
const DATABASES_MAX: u64 = 400;
/// How long a start may take.
const START_MAX: Duration = Duration::from_mins(1);

/// Tests do not outlive power failures: nothing needs to reach the disk.
const SETTINGS: &str = "\
fsync = off
full_page_writes = off
synchronous_commit = off
max_connections = 400
shared_buffers = 64MB
listen_addresses = '127.0.0.1'
";

/// Stops the server and removes its folder once nobody has used it for a while. The server is stopped under the lock that starts
/// take, so that nobody is handed a server which is going away.
const KEEPER: &str = r#"
while sleep 10; do
    exec 8>"$1/start.lock" 9>"$1/users.lock"
    if flock -n 8 && flock -n 9; then
        pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null) && kill -QUIT "$pid" 2>/dev/null
        while [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
        rm -rf "$1/data" "$1/port"
        exit 0
    fi
    exec 8>&- 9>&-
done
"#;

/// The address of a new, empty database.
///
/// # Panics
/// If PostgreSQL is not installed or does not start: a test that cannot run has failed.
#[must_use]
pub fn url() -> String {
    match fresh_database() {
        Ok(url) => url,
        Err(problem) => panic!("no PostgreSQL for this test: {problem}"),
    }
}

fn fresh_database() -> Result<String, String> {
    static SERVER: OnceLock<Result<Server, String>> = OnceLock::new();
    let server = SERVER.get_or_init(Server::find).as_ref().map_err(Clone::clone)?;
    let number = server.next_number()?;
    let name = format!("t{}_{number}", std::process::id());
    server.sql(&format!("create database {name} template template0 encoding 'UTF8' lc_collate 'C' lc_ctype 'C'"))?;
    server.remember(number, &name);
    Ok(format!("{}/{name}", server.base))
}

/// A server that databases can be made on.
#[derive(Debug)]
struct Server {
    /// Its address without a database.
    base: String,
    /// The database to connect to for making others.
    entrance: String,
    /// Where its programs are.
    programs: PathBuf,
    /// The folder that its users share; none for a server that was there before.
    folder: Option<PathBuf>,
    /// Held as long as this process lives.
    _in_use: Option<File>,
}

impl Server {
    fn find() -> Result<Self, String> {
        let programs = programs()?;
        if let Ok(url) = std::env::var("RAPPORT_TEST_PG_URL") {
            let (base, _) = split_url(&url)?;
            return Ok(Self { base, entrance: url, programs, folder: None, _in_use: None });
        }
        let folder = std::env::temp_dir().join(format!("rapport-test-postgres-{}", user_id()?));
        std::fs::create_dir_all(&folder).map_err(|e| format!("cannot make {}: {e}", folder.display()))?;
        if owner(&folder)? != user_id()? {
            return Err(format!("{} belongs to somebody else", folder.display()));
        }
        let starting = lock_file(&folder.join("start.lock"))?;
        starting.lock().map_err(|e| e.to_string())?;
        let port = match running(&folder) {
            Some(port) => port,
            None => start(&folder, &programs)?,
        };
        let in_use = lock_file(&folder.join("users.lock"))?;
        in_use.lock_shared().map_err(|e| e.to_string())?;
        let base = format!("postgres://{USER}@127.0.0.1:{port}");
        Ok(Self { entrance: format!("{base}/postgres"), base, programs, folder: Some(folder), _in_use: Some(in_use) })
    }

    /// Counts the databases made on this server, over all processes.
    fn next_number(&self) -> Result<u64, String> {
        let Some(folder) = &self.folder else {
            return Ok(std::time::UNIX_EPOCH.elapsed().map_or(0, |d| u64::from(d.subsec_nanos())));
        };
        let guard = lock_file(&folder.join("count.lock"))?;
        guard.lock().map_err(|e| e.to_string())?;
        let path = folder.join("count");
        let number = std::fs::read_to_string(&path).ok().and_then(|t| t.trim().parse().ok()).unwrap_or(0) + 1;
        std::fs::write(&path, u64::to_string(&number)).map_err(|e| e.to_string())?;
        Ok(number)
    }

    /// Keeps the name of a database, and drops an old one, so that a long run does not fill the disk.
    fn remember(&self, number: u64, name: &str) {
        let Some(folder) = &self.folder else { return };
        let slot = folder.join(format!("slot-{}", number % DATABASES_MAX));
        if let Ok(old) = std::fs::read_to_string(&slot) {
            // Somebody may still be connected: then it stays.
            drop(self.sql(&format!("drop database if exists {}", old.trim())));
        }
        drop(std::fs::write(&slot, name));
    }

    fn sql(&self, text: &str) -> Result<(), String> {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--command", text, &self.entrance]);
        let done = psql.stdin(Stdio::null()).output().map_err(|e| format!("cannot start psql: {e}"))?;
        if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned()) }
    }
}

/// The part of an address before the database, and the database.
fn split_url(url: &str) -> Result<(String, String), String> {
    let wrong = || format!("RAPPORT_TEST_PG_URL must be postgres://USER@HOST:PORT/DATABASE, not `{url}`");
    let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
    let (host, database) = rest.split_once('/').ok_or_else(wrong)?;
    Ok((format!("{scheme}://{host}"), database.to_owned()))
}

/// The folder of PostgreSQL's programs: the one on the path, else Debian's newest.
fn programs() -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<PathBuf> = debian.map(|e| e.path().join("bin")).collect();
    versions.sort_by_key(|p| std::cmp::Reverse(version(p)));
    places.extend(versions);
    let complete = |p: &&PathBuf| ["initdb", "postgres", "psql"].iter().all(|program| p.join(program).is_file());
    let found = places.iter().find(complete).cloned();
    found.ok_or_else(|| "it is not installed: `apt-get install postgresql`, or set RAPPORT_TEST_PG_URL".to_owned())
}

/// The version in `…/postgresql/15/bin`.
fn version(programs: &Path) -> u32 {
    let name = programs.parent().and_then(Path::file_name).and_then(|n| n.to_str());
    name.and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// Who we are, for the name of the folder: each user has a server of their own.
fn user_id() -> Result<u32, String> {
    owner(Path::new("/proc/self"))
}

fn owner(path: &Path) -> Result<u32, String> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).map(|m| m.uid()).map_err(|e| format!("cannot tell whose {} is: {e}", path.display()))
}

fn lock_file(path: &Path) -> Result<File, String> {
    OpenOptions::new().create(true).append(true).open(path).map_err(|e| format!("cannot open {}: {e}", path.display()))
}

/// The port of the server in `folder`, if one runs there.
fn running(folder: &Path) -> Option<u16> {
    let port = std::fs::read_to_string(folder.join("port")).ok()?.trim().parse().ok()?;
    std::net::TcpStream::connect(("127.0.0.1", port)).ok().map(|_| port)
}

/// Starts a server in `folder` and the keeper that ends it.
fn start(folder: &Path, programs: &Path) -> Result<u16, String> {
    let data = folder.join("data");
    if data.exists() {
        std::fs::remove_dir_all(&data).map_err(|e| format!("cannot remove {}: {e}", data.display()))?;
    }
    std::fs::create_dir(&data).map_err(|e| e.to_string())?;
    if user_id()? == 0 {
        run(Command::new("chown").args(["-R", USER]).arg(&data))?;
    }
    let initdb = ["-D", &data.to_string_lossy(), "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        .map(str::to_owned);
    run(as_user(programs.join("initdb"))?.args(initdb))?;
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).map_err(|e| e.to_string())?.port();
    let settings = format!("{SETTINGS}port = {port}\nunix_socket_directories = ''\n");
    let mut file = OpenOptions::new().append(true).open(data.join("postgresql.conf")).map_err(|e| e.to_string())?;
    file.write_all(settings.as_bytes()).map_err(|e| e.to_string())?;
    let log = File::create(folder.join("server.log")).map_err(|e| e.to_string())?;
    let errors = log.try_clone().map_err(|e| e.to_string())?;
    let mut server = detached(&as_user(programs.join("postgres"))?);
    server.arg("-D").arg(&data).stdin(Stdio::null()).stdout(log).stderr(errors);
    server.spawn().map_err(|e| format!("cannot start the server: {e}"))?;
    wait_until_serving(folder, programs, port)?;
    std::fs::write(folder.join("port"), port.to_string()).map_err(|e| e.to_string())?;
    let mut keeper = detached(&Command::new("sh"));
    keeper.args(["-c", KEEPER, "keeper"]).arg(folder);
    let keeper = keeper.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    keeper.map_err(|e| format!("cannot start the keeper: {e}"))?;
    Ok(port)
}

fn wait_until_serving(folder: &Path, programs: &Path, port: u16) -> Result<(), String> {
    let address = format!("postgres://{USER}@127.0.0.1:{port}/postgres");
    let began = Instant::now();
    while began.elapsed() < START_MAX {
        let mut psql = Command::new(programs.join("psql"));
        psql.args(["--no-psqlrc", "--quiet", "--command", "select 1", &address]);
        if psql.stdin(Stdio::null()).output().is_ok_and(|o| o.status.success()) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let log = std::fs::read_to_string(folder.join("server.log")).unwrap_or_default();
    Err(format!("the server did not answer within {} s: {log}", START_MAX.as_secs()))
}

/// The program as the user that PostgreSQL accepts.
fn as_user(program: PathBuf) -> Result<Command, String> {
    if user_id()? != 0 {
        return Ok(Command::new(program));
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", USER, "--regid", USER, "--clear-groups", "--"]).arg(program).current_dir("/");
    Ok(command)
}

/// The command in a session of its own, so that what ends the test does not end it.
fn detached(command: &Command) -> Command {
    let mut apart = Command::new("setsid");
    apart.arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        apart.current_dir(folder);
    }
    apart
}

fn run(command: &mut Command) -> Result<(), String> {
    let done = command.stdin(Stdio::null()).output().map_err(|e| format!("cannot start {command:?}: {e}"))?;
    if done.status.success() {
        return Ok(());
    }
    Err(format!("{command:?} failed: {}", String::from_utf8_lossy(&done.stderr)))
}
