//! `rapport script check`: everything about scripts that can be known before they run.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use rapport_engine::{FileToCheck, check_alone};
use rapport_sandbox::Manifest;
use serde_json::{Value as Json, json};

use super::script::offline_sandbox;
use super::test::script_id;
use super::{Common, Failure, Outcome, block_on, discover};
use crate::client::Client;
use crate::output;

pub(super) fn run(common: &Common, places: &[std::path::PathBuf]) -> Outcome {
    let files: Vec<Result<FileToCheck, Json>> = places.iter().map(|place| read(place)).collect();
    let readable: Vec<FileToCheck> = files.iter().flatten().cloned().collect();
    let (mut found, against) = match discover::running(common)? {
        Some(client) => match ask(&client, &readable) {
            Ok(found) => (found, format!("against what is live at {}", client.server())),
            // An address that a server left which is no longer there means nothing; one that was named does.
            Err(Failure::Unreachable { .. }) if common.server.is_none() => alone(common, &readable)?,
            Err(failure) => return Err(failure),
        },
        None => alone(common, &readable)?,
    };
    found.reverse();
    let next = |file: Result<FileToCheck, Json>| file.map_or_else(Some, |_| found.pop());
    let checked: Vec<Json> = files.into_iter().filter_map(next).collect();
    let failed = checked.iter().any(|c| c["ok"] == false);
    common.output().show(&Json::Array(checked), |checked| format!("{}\n({against})", people(checked)));
    Ok(ExitCode::from(u8::from(failed)))
}

/// A script, or the manifest in the folder of a plugin; or what is told of a file that cannot be read.
fn read(place: &Path) -> Result<FileToCheck, Json> {
    let manifest = place.join("plugin.toml");
    let is_plugin = manifest.is_file();
    let file = if is_plugin { &manifest } else { place };
    let path = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|error| {
        let problem = json!({"line": 0, "column": 0, "message": format!("cannot read it: {error}"), "help": ""});
        json!({"file": path, "ok": false, "problems": [problem]})
    })?;
    let files = if is_plugin { named_files(place, &text) } else { BTreeMap::new() };
    let (source, manifest) = if is_plugin { (None, Some(text)) } else { (Some(text), None) };
    Ok(FileToCheck { id: script_id(place), path, source, manifest, files })
}

/// The texts of the files that a manifest names, as far as they are there.
fn named_files(place: &Path, manifest: &str) -> BTreeMap<String, String> {
    let found = RefCell::new(BTreeMap::new());
    let look = |path: &str| {
        let text = std::fs::read_to_string(place.join(path)).ok()?;
        found.borrow_mut().insert(path.to_owned(), text.clone());
        Some(text.into_bytes())
    };
    // What is wrong with it is told by the check.
    let _ = Manifest::read(manifest, &look);
    found.into_inner()
}

fn ask(client: &Client, files: &[FileToCheck]) -> Result<Vec<Json>, Failure> {
    let one = |file: &FileToCheck| {
        let mut json = json!({ "id": file.id, "path": file.path });
        if let Some(source) = &file.source {
            json["source"] = source.as_str().into();
        }
        if let Some(manifest) = &file.manifest {
            json["manifest"] = manifest.as_str().into();
            json["files"] = json!(file.files);
        }
        json
    };
    let body = json!({ "files": files.iter().map(one).collect::<Vec<_>>() });
    let answer = client.post("/v1/scripts/check", &body)?;
    Ok(answer["items"].as_array().cloned().unwrap_or_default())
}

fn alone(common: &Common, files: &[FileToCheck]) -> Result<(Vec<Json>, String), Failure> {
    let (sandbox, _place) = offline_sandbox(common)?;
    let found = block_on(check_alone(&sandbox, files))?.map_err(|e| Failure::Failed(e.to_string()))?;
    Ok((found, "against the standard objects and these files".to_owned()))
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
        for notice in file["notices"].as_array().map_or(&[][..], Vec::as_slice) {
            lines.push(format!("    notice: {}", notice.as_str().unwrap_or_default()));
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
            {"file": "good.rhai", "ok": true, "declaration": {"title": "Greets."},
                "notices": ["can start itself: good → customer.updated → good"]},
            {"file": "bad.rhai", "ok": false, "problems": [
                {"line": 3, "column": 7, "message": "there is no function `incremnt`", "help": "did you mean `increment`?"}]},
        ]);
        insta::assert_snapshot!(people(&checked), @r"
        good.rhai: ok  Greets.
            notice: can start itself: good → customer.updated → good
        bad.rhai:3:7: there is no function `incremnt`
            help: did you mean `increment`?
        ");
    }
}
