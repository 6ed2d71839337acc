//! The command line: one command per file, each a thin client of the HTTP API but for those that need no server.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::client::Client;
use crate::config::{self, Flags, Loaded};
use crate::output::Output;

mod action;
mod audit;
mod automation;
mod backtest;
mod backup;
mod calendar;
mod check;
mod config_command;
mod cron;
mod customer;
mod discover;
mod doctor;
mod effect;
mod event;
mod explain;
mod failure;
mod file;
mod graph;
mod import;
mod key;
mod merge;
mod plugin;
mod record;
mod relation;
mod replay;
mod rollup;
mod run;
mod schedule;
mod script;
mod search;
mod secret;
mod segment;
mod serve;
mod tag;
mod test;
mod undo;
mod user;
mod version;
mod versions;

pub use failure::Failure;

const EXIT_CODES: &str = "Exit codes:
  0   done
  1   a check failed, or the server refused
  2   the command line or the configuration is wrong
  3   done in part: some rows were refused
  4   the server cannot be reached
  5   the key is missing, wrong or not allowed to do this
  70  the database failed and the server stopped

Without --server the local one is used: the address in DATA/server.addr, with the key in DATA/owner.key.";

/// Rapport: a CRM that a business programs.
#[derive(Debug, Parser)]
#[command(name = "rapport", version = version::LINE, after_help = EXIT_CODES, propagate_version = true)]
pub struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// What every command knows.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// The address of the server, such as `http://127.0.0.1:8080`.
    #[arg(long, global = true, env = "RAPPORT_SERVER", value_name = "URL", help_heading = "Common")]
    server: Option<String>,
    /// The file that holds the key to use.
    #[arg(long, global = true, env = "RAPPORT_KEY_FILE", value_name = "FILE", help_heading = "Common")]
    key_file: Option<PathBuf>,
    /// Write JSON for programs instead of tables for people.
    #[arg(long, global = true, help_heading = "Common")]
    json: bool,
    /// The configuration file; `rapport.toml` in this folder if it is there.
    #[arg(long, global = true, env = "RAPPORT_CONFIG", value_name = "FILE", help_heading = "Common")]
    config: Option<PathBuf>,
    /// The data folder.
    #[arg(long, global = true, env = "RAPPORT_DATA", value_name = "DIR", help_heading = "Common")]
    data: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts the server.
    Serve(serve::ServeArgs),
    /// Imports a CSV file: each row creates or updates a record.
    Import(import::ImportArgs),
    /// Reads and writes records.
    #[command(subcommand)]
    Record(record::RecordCommand),
    /// Shows a customer whole: fields, tags, relations, consent, timeline; tells which customers may be one.
    #[command(subcommand)]
    Customer(customer::CustomerCommand),
    /// Tells who has to do with whom.
    #[command(subcommand)]
    Relation(relation::RelationCommand),
    /// Adds tags to records, takes them away, and tells which there are.
    #[command(subcommand)]
    Tag(tag::TagCommand),
    /// Looks for words in searchable fields of records.
    Search(search::SearchArgs),
    /// Lists roll-up fields, holds them against their children, makes them anew.
    #[command(subcommand)]
    Rollup(rollup::RollupCommand),
    /// Keeps, fetches and lists files, alone or attached to records.
    #[command(subcommand)]
    File(file::FileCommand),
    /// Sends events and follows the log.
    #[command(subcommand)]
    Event(event::EventCommand),
    /// Shows and explains runs of automations, and starts them again.
    #[command(subcommand)]
    Run(run::RunCommand),
    /// Shows automations and how they start each other, sets settings.
    #[command(subcommand)]
    Automation(automation::AutomationCommand),
    /// Shows schedules, pauses, resumes and runs them.
    #[command(subcommand)]
    Schedule(schedule::ScheduleCommand),
    /// Shows segments, who is in them and why, and who was; previews rules; keeps lists.
    #[command(subcommand)]
    Segment(segment::SegmentCommand),
    /// Tells when a cron expression comes, and what it says. Needs no server.
    #[command(subcommand)]
    Cron(cron::CronCommand),
    /// Tells when a span of business time is over, and how much of it has gone by.
    #[command(subcommand)]
    Calendar(calendar::CalendarCommand),
    /// Shows messages and HTTP calls of automations, and has them carried out again.
    #[command(subcommand)]
    Effect(effect::EffectCommand),
    /// Shows the messages that automations sent.
    #[command(subcommand)]
    Message(effect::MessageCommand),
    /// Shows what templates of messages come to.
    #[command(subcommand)]
    Template(effect::TemplateCommand),
    /// Works on scripts.
    #[command(subcommand)]
    Script(script::ScriptCommand),
    /// Works on plugins.
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    /// Lists the actions of plugins, and calls one with its input from the standard input.
    Action(action::ActionArgs),
    /// Plays scenarios: stories about automations, told in JSON. Needs no server.
    Test(test::TestArgs),
    /// Makes, lists and revokes keys.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Keeps, lists and removes secrets that calls to other services carry. Needs no server.
    #[command(subcommand)]
    Secret(secret::SecretCommand),
    /// Adds and lists people.
    #[command(subcommand)]
    User(user::UserCommand),
    /// Checks the audit trail.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Looks after all invariants of a running server at once, and says what to do about what is broken.
    Doctor,
    /// Takes a backup of a running server.
    Backup(backup::BackupArgs),
    /// Puts a backup into an empty workspace and checks it. Needs no server.
    Restore(backup::RestoreArgs),
    /// Checks and shows the configuration.
    #[command(subcommand)]
    Config(config_command::ConfigCommand),
    /// Writes completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Says which version this is.
    Version,
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    run(std::env::args_os())
}

/// Runs a command line, and writes what went wrong to the standard error stream.
pub fn run<I, T>(arguments: I) -> ExitCode
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    match dispatch(cli) {
        Ok(code) => code,
        Err(failure) => {
            failure.print();
            failure.exit_code()
        }
    }
}

/// What a command ends with.
type Outcome = Result<ExitCode, Failure>;

fn dispatch(cli: Cli) -> Outcome {
    let Cli { common, command } = cli;
    match command {
        Command::Serve(args) => serve::run(&common, &args),
        Command::Import(args) => import::run(&common, &args),
        Command::Record(command) => record::run(&common, command),
        Command::Customer(command) => customer::run(&common, &command),
        Command::Relation(command) => relation::run(&common, &command),
        Command::Tag(command) => tag::run(&common, &command),
        Command::Search(args) => search::run(&common, &args),
        Command::Rollup(command) => rollup::run(&common, &command),
        Command::File(command) => file::run(&common, &command),
        Command::Event(command) => event::run(&common, command),
        Command::Run(command) => run::run(&common, command),
        Command::Automation(command) => automation::run(&common, &command),
        Command::Schedule(command) => schedule::run(&common, &command),
        Command::Segment(command) => segment::run(&common, &command),
        Command::Cron(command) => Ok(cron::run(&common, &command)),
        Command::Calendar(command) => calendar::run(&common, &command),
        Command::Effect(command) => effect::run(&common, &command),
        Command::Message(command) => effect::messages(&common, &command),
        Command::Template(command) => effect::template(&common, &command),
        Command::Script(command) => script::run(&common, &command),
        Command::Plugin(command) => plugin::run(&common, &command),
        Command::Action(args) => action::run(&common, &args),
        Command::Test(args) => test::run(&common, &args),
        Command::Key(command) => key::run(&common, command),
        Command::Secret(command) => secret::run(&common, command),
        Command::User(command) => user::run(&common, command),
        Command::Audit(command) => audit::run(&common, command),
        Command::Doctor => doctor::run(&common),
        Command::Backup(args) => backup::run(&common, &args),
        Command::Restore(args) => backup::restore(&common, &args),
        Command::Config(command) => config_command::run(&common, &command),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "rapport", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
        Command::Version => Ok(version::run(&common)),
    }
}

impl Common {
    /// The configuration in force for this command.
    fn load(&self, mut flags: Flags) -> Result<Loaded, Failure> {
        flags.set("storage", "data", self.data.as_ref().map(|d| d.display().to_string()));
        let found = Path::new("rapport.toml");
        let file = self.config.as_deref().or_else(|| found.is_file().then_some(found));
        Ok(config::load(file, std::env::vars(), &flags)?)
    }

    /// A client of the server that is meant.
    fn client(&self) -> Result<Client, Failure> {
        discover::client(self)
    }

    /// How results are written.
    const fn output(&self) -> Output {
        Output::new(self.json)
    }
}

/// A runtime for the commands that work without a server.
fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::Failed(format!("cannot start the runtime: {e}")))?;
    let result = runtime.block_on(work);
    // What still blocks a thread must not keep the process from ending.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An argument that is called like a common one is read in its place, and not as what it is.
    #[test]
    fn no_command_calls_an_argument_like_a_common_one() {
        fn look(command: &clap::Command, common: &[String]) {
            for below in command.get_subcommands() {
                for argument in below.get_arguments() {
                    let own = argument.get_id().as_str();
                    assert!(!common.iter().any(|id| id == own), "{}: {own}", below.get_name());
                }
                look(below, common);
            }
        }
        let cli = Cli::command();
        let common = cli.get_arguments().filter(|a| a.is_global_set()).map(|a| a.get_id().to_string());
        let common: Vec<String> = common.collect();
        assert!(common.len() > 3, "{common:?}");
        look(&cli, &common);
    }

    #[test]
    fn the_tree_of_commands_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_exit_code_is_documented() {
        for code in [0, 1, 2, 3, 4, 5, 70] {
            assert!(EXIT_CODES.contains(&format!("\n  {code} ")), "{code}");
        }
    }

    #[test]
    fn common_flags_work_before_and_after_the_command() {
        for line in [
            ["rapport", "--json", "--server", "http://h:1", "run", "list"],
            ["rapport", "run", "list", "--server", "http://h:1", "--json"],
        ] {
            let cli = Cli::try_parse_from(line).unwrap();
            assert!(cli.common.json && cli.common.server.as_deref() == Some("http://h:1"));
        }
    }

    #[test]
    fn a_wrong_command_line_ends_with_two() {
        assert_eq!(format!("{:?}", run(["rapport", "fly"])), format!("{:?}", ExitCode::from(2)));
    }
}
