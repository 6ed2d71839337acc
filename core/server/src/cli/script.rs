//! `rapport script`: checks and tests scripts, has a server try them on the past, and brings their versions to life.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use rapport_sandbox::Sandbox;
use serde_json::{Value as Json, json};

use super::{Common, Failure, Outcome, backtest, block_on, test, versions};
use crate::app;
use crate::config::Flags;
use crate::output;

/// What can be done with scripts.
#[derive(Debug, Subcommand)]
pub(super) enum ScriptCommand {
    /// Checks scripts: syntax, names, rights and declarations. Needs no server.
    Check {
        /// The files.
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
}

pub(super) fn run(common: &Common, command: &ScriptCommand) -> Outcome {
    match command {
        ScriptCommand::Check { files } => check_scripts(common, files),
        ScriptCommand::Test { file, options } => test::script(common, file, *options),
        ScriptCommand::Push(args) => versions::push(common, args),
        ScriptCommand::Activate(args) => versions::activate(common, args),
        ScriptCommand::Rollback { id } => versions::roll_back(common, id),
        ScriptCommand::Diff(args) => versions::diff(common, args),
        ScriptCommand::Versions(args) => versions::versions(common, args),
        ScriptCommand::Backtest(args) => backtest::run(common, args),
    }
}

fn check_scripts(common: &Common, files: &[PathBuf]) -> Outcome {
    let (sandbox, _place) = offline_sandbox(common)?;
    let checked = block_on(check_all(&sandbox, files))?;
    let failed = checked.iter().any(|c| c["ok"] == false);
    common.output().show(&Json::Array(checked), people);
    Ok(ExitCode::from(u8::from(failed)))
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

async fn check_all(sandbox: &Sandbox, files: &[PathBuf]) -> Vec<Json> {
    let mut all = Vec::new();
    for file in files {
        all.push(check(sandbox, file).await);
    }
    all
}

async fn check(sandbox: &Sandbox, file: &Path) -> Json {
    let path = file.display().to_string();
    let source = match std::fs::read_to_string(file) {
        Ok(source) => source,
        Err(error) => {
            let problem = json!({"line": 0, "column": 0, "message": format!("cannot read it: {error}"), "help": ""});
            return json!({"file": path, "ok": false, "problems": [problem]});
        }
    };
    match sandbox.check_script(&path, &source).await {
        Ok(declaration) => json!({"file": path, "ok": true, "declaration": declaration}),
        Err(found) => {
            let problems: Vec<Json> = found
                .iter()
                .map(|d| json!({"line": d.line, "column": d.column, "message": d.message, "help": d.help}))
                .collect();
            json!({"file": path, "ok": false, "problems": problems})
        }
    }
}

/// `file:line:column: message`, with the help below it.
fn people(checked: &Json) -> String {
    let mut lines = Vec::new();
    for file in checked.as_array().map_or(&[][..], Vec::as_slice) {
        let name = file["file"].as_str().unwrap_or_default();
        if file["ok"] == true {
            let title = file["declaration"]["title"].as_str().unwrap_or_default();
            lines.push(format!("{name}: ok  {title}"));
        }
        for problem in file["problems"].as_array().map_or(&[][..], Vec::as_slice) {
            let message = problem["message"].as_str().unwrap_or_default();
            lines.push(format!("{name}:{}:{}: {message}", problem["line"], problem["column"]));
            if let Some(help) = problem["help"].as_str().filter(|h| !h.is_empty()) {
                lines.push(format!("    help: {help}"));
            }
        }
    }
    output::plain(&lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_file_line_column_and_help() {
        let checked = json!([
            {"file": "good.rhai", "ok": true, "declaration": {"title": "Greets."}},
            {"file": "bad.rhai", "ok": false, "problems": [
                {"line": 3, "column": 7, "message": "there is no function `incremnt`", "help": "did you mean `increment`?"}]},
        ]);
        insta::assert_snapshot!(people(&checked), @r"
        good.rhai: ok  Greets.
        bad.rhai:3:7: there is no function `incremnt`
            help: did you mean `increment`?
        ");
    }
}
