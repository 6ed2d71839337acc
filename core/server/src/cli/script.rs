//! `rapport script`: checks and tests scripts, has a server try them on the past, and brings their versions to life.

use std::path::PathBuf;

use clap::Subcommand;
use rapport_sandbox::Sandbox;

use super::{Common, Failure, Outcome, backtest, check, replay, test, versions};
use crate::app;
use crate::config::Flags;

/// What can be done with scripts.
#[derive(Debug, Subcommand)]
pub(super) enum ScriptCommand {
    /// Checks scripts: syntax, names, rights, types, rules, and circles of automations. With a running server, against what is
    /// declared and live there; else against the standard objects and the files given.
    Check {
        /// Scripts, and folders of plugins.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Plays the scenarios beside a script: `points.test.json` and `points.test/*.json` for `points.rhai`. Needs no server.
    Test {
        /// The script.
        file: PathBuf,
        #[command(flatten)]
        options: test::Options,
    },
    /// Keeps a script as a draft: content and settings, named by a digest. Nothing runs it until it is activated.
    Push(versions::PushArgs),
    /// Makes a version live: the newest draft, or the one named. Runs that have begun stay on theirs.
    Activate(versions::ActivateArgs),
    /// Makes the version live that was live before; again: further back. The way forward is `activate --version`.
    Rollback {
        /// The automation.
        id: String,
    },
    /// Shows what differs between two versions: the text, what is declared, the settings.
    Diff(versions::DiffArgs),
    /// Lists versions: who pushed them and when, when they were live, how many runs are still on them.
    Versions(versions::VersionsArgs),
    /// Plays a period of the past again with a script, and says what would have been different. Writes and sends nothing.
    Backtest(backtest::BacktestArgs),
    /// Plays a run again with a script on this machine: each call is answered as it was then, and has no effect.
    Replay(replay::ScriptArgs),
}

pub(super) fn run(common: &Common, command: &ScriptCommand) -> Outcome {
    match command {
        ScriptCommand::Check { files } => check::run(common, files),
        ScriptCommand::Test { file, options } => test::script(common, file, *options),
        ScriptCommand::Push(args) => versions::push(common, args),
        ScriptCommand::Activate(args) => versions::activate(common, args),
        ScriptCommand::Rollback { id } => versions::roll_back(common, id),
        ScriptCommand::Diff(args) => versions::diff(common, args),
        ScriptCommand::Versions(args) => versions::versions(common, args),
        ScriptCommand::Backtest(args) => backtest::run(common, args),
        ScriptCommand::Replay(args) => replay::script(common, args),
    }
}

/// A sandbox without a server. Where no server has been, compiled code goes to a folder that is gone with the second value.
pub(super) fn offline_sandbox(common: &Common) -> Result<(Sandbox, Option<Scratch>), Failure> {
    let mut config = common.load(Flags::default())?.config;
    let scratch = (!config.storage.data.is_dir())
        .then(|| Scratch(std::env::temp_dir().join(format!("rapport-{}", std::process::id()))));
    if let Some(Scratch(place)) = &scratch {
        config.storage.data.clone_from(place);
    }
    let sandbox = app::sandbox(&config).map_err(|e| Failure::Failed(e.to_string()))?;
    Ok((sandbox, scratch))
}

/// A folder that is removed when this goes.
pub(super) struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
