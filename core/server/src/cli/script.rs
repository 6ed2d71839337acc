//! `rapport script`: checks scripts without a server.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use rapport_sandbox::Sandbox;
use serde_json::{Value as Json, json};

use super::{Common, Failure, Outcome, block_on};
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
}

pub(super) fn run(common: &Common, command: &ScriptCommand) -> Outcome {
    let ScriptCommand::Check { files } = command;
    let mut config = common.load(Flags::default())?.config;
    // A check leaves nothing behind where no server has been.
    let has_data = config.storage.data.is_dir();
    if !has_data {
        config.storage.data = std::env::temp_dir().join(format!("rapport-check-{}", std::process::id()));
    }
    let checked = block_on(check_all(&app::sandbox(&config).map_err(|e| Failure::Failed(e.to_string()))?, files));
    if !has_data {
        let _ = std::fs::remove_dir_all(&config.storage.data);
    }
    let checked = checked?;
    let failed = checked.iter().any(|c| c["ok"] == false);
    common.output().show(&Json::Array(checked), people);
    Ok(ExitCode::from(u8::from(failed)))
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
