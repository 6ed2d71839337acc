//! `rapport test`: plays scenarios on the production engine over a workspace that is thrown away.

use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use rapport_engine::{Cast, EngineError, Scenario, ScenarioReport, ScriptFile, Shown, Stage, Verdict};
use rapport_model::{Budgets, limits::Limits};
use rapport_sandbox::author;
use serde_json::{Value as Json, json};

use super::script::offline_sandbox;
use super::{Common, Failure, Outcome, block_on};
use crate::config::Flags;
use crate::output::plain;
use crate::strict_json;

/// The largest scenario file, in bytes.
const FILE_BYTES_MAX: u64 = 8 << 20;
/// The most characters of a value in a line for people.
const VALUE_CHARS_MAX: usize = 400;

/// What `test` takes.
#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// The scenarios. Paths in a scenario are looked for beside its file, then in this folder.
    #[arg(required = true, value_name = "SCENARIO")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    options: Options,
}

/// How scenarios are played.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Options {
    /// Show every run with its trace.
    #[arg(long)]
    trace: bool,
}

/// A scenario to be played.
struct Play {
    file: PathBuf,
    /// What is on stage whether the scenario names it or not.
    always: Always,
}

/// What a scenario is about, if it is not the scenario that says so.
enum Always {
    Nothing,
    Script(PathBuf),
    Plugin(PathBuf),
}

pub(super) fn run(common: &Common, args: &TestArgs) -> Outcome {
    let plays = args.files.iter().map(|file| Play { file: file.clone(), always: Always::Nothing });
    play_all(common, &plays.collect::<Vec<_>>(), args.options)
}

/// Plays the scenarios beside the script `file`.
pub(super) fn script(common: &Common, file: &Path, options: Options) -> Outcome {
    let files =
        beside(file.parent().unwrap_or(Path::new("")), &file.file_stem().unwrap_or_default().to_string_lossy())?;
    let plays = files.into_iter().map(|scenario| Play { file: scenario, always: Always::Script(file.to_owned()) });
    play_all(common, &plays.collect::<Vec<_>>(), options)
}

/// Plays the scenarios in the folder `dir` of a plugin.
pub(super) fn plugin(common: &Common, dir: &Path, options: Options) -> Outcome {
    let manifest = author::read_manifest(dir).map_err(|e| Failure::Failed(e.to_string()))?;
    let files = beside(dir, manifest.id.as_str())?;
    let plays = files.into_iter().map(|scenario| Play { file: scenario, always: Always::Plugin(dir.to_owned()) });
    let plays: Vec<Play> = plays.collect();
    let budgets = manifest.declaration.budgets;
    play_with(common, &plays, (options, Some((manifest.id.as_str(), budgets))))
}

/// The scenarios called `stem` in `folder`: `stem.test.json`, and all in `stem.test/`.
fn beside(folder: &Path, stem: &str) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    let one = folder.join(format!("{stem}.test.json"));
    if one.is_file() {
        files.push(one.clone());
    }
    let many = folder.join(format!("{stem}.test"));
    if many.is_dir() {
        let mut found: Vec<PathBuf> = std::fs::read_dir(&many)?.flatten().map(|entry| entry.path()).collect();
        found.retain(|path| path.is_file() && path.extension().is_some_and(|e| e == "json"));
        found.sort();
        files.extend(found);
    }
    if files.is_empty() {
        let text = format!("there are no scenarios: write {} or a folder {}", one.display(), many.display());
        return Err(Failure::Failed(text));
    }
    Ok(files)
}

fn play_all(common: &Common, plays: &[Play], options: Options) -> Outcome {
    play_with(common, plays, (options, None))
}

/// Plays them; of the automation `tested`, if there is one, also what it used is shown, against what it may use.
fn play_with(common: &Common, plays: &[Play], (options, tested): (Options, Option<(&str, Budgets)>)) -> Outcome {
    let (sandbox, _place) = offline_sandbox(common)?;
    let limits = common.load(Flags::default())?.config.limits;
    let allowed = tested.map(|(id, budgets)| (id, budgets.within(&limits)));
    let shown = if options.trace { Shown::All } else { Shown::Failed };
    let stage = Stage { sandbox, limits, folder: std::env::temp_dir(), shown };
    let played = block_on(async {
        let mut all = Vec::new();
        for play in plays {
            all.push(report(&play.file, play_one(play, &stage).await));
        }
        all
    })?;
    let ok = played.iter().all(|report| report["ok"] == true);
    let used = allowed.map(|(id, limits)| used(&played, id, &limits)).unwrap_or_default();
    common.output().show(&json!({ "ok": ok, "scenarios": played, "used": used }), |all| people(all, options));
    Ok(ExitCode::from(u8::from(!ok)))
}

/// The most that one slice of the automation `id` used of what it may use.
fn used(scenarios: &[Json], id: &str, limits: &Limits) -> Json {
    let most = |name: &str| scenarios.iter().filter_map(|s| s["usage"][id][name].as_u64()).max().unwrap_or(0);
    let runs: u64 = scenarios.iter().filter_map(|scenario| scenario["usage"][id]["runs"].as_u64()).sum();
    json!({
        "automation": id, "runs": runs,
        "fuel": { "used": most("fuel"), "max": limits.slice_fuel_max },
        "memory_bytes": { "used": most("memory_bytes"), "max": limits.slice_memory_bytes_max },
        "host_calls": { "used": most("host_calls"), "max": limits.slice_host_calls_max },
        "micros": { "used": most("micros"), "max": limits.slice_wall_ms_max * 1_000 },
    })
}

fn used_line(used: &Json) -> String {
    let part = |name: &str| [&used[name]["used"], &used[name]["max"]].map(|n| n.as_f64().unwrap_or(0.0));
    let ([fuel, fuel_max], [memory, memory_max]) = (part("fuel"), part("memory_bytes"));
    let ([calls, calls_max], [micros, micros_max]) = (part("host_calls"), part("micros"));
    let (megabyte, second) = (f64::from(1 << 20), 1e6);
    format!(
        "{}: {} runs; the most that one used: {:.2} of {:.2} million fuel, {:.1} of {:.1} MiB, {calls} of {calls_max} host calls, {:.3} of {:.3} s",
        text(used, "automation"),
        used["runs"],
        fuel / 1e6,
        fuel_max / 1e6,
        memory / megabyte,
        memory_max / megabyte,
        micros / second,
        micros_max / second,
    )
}

/// What came of a scenario, as JSON; one that could not be played has an `error` instead of steps.
fn report(file: &Path, played: Result<ScenarioReport, String>) -> Json {
    let mut json = match played {
        Ok(report) => serde_json::to_value(report).unwrap_or_default(),
        Err(why) => json!({ "ok": false, "steps": [], "runs": [], "error": why }),
    };
    json["scenario"] = file.display().to_string().into();
    json
}

async fn play_one(play: &Play, stage: &Stage) -> Result<ScenarioReport, String> {
    let meta = std::fs::metadata(&play.file).map_err(|e| format!("cannot read it: {e}"))?;
    if meta.len() > FILE_BYTES_MAX {
        return Err(format!("is larger than {FILE_BYTES_MAX} bytes"));
    }
    let bytes = std::fs::read(&play.file).map_err(|e| format!("cannot read it: {e}"))?;
    let json = strict_json::parse(&bytes).map_err(|e| e.to_string())?;
    let scenario = Scenario::read(&json).map_err(|e| e.to_string())?;
    let cast = cast(play, &scenario)?;
    scenario.play(&cast, stage).await.map_err(|e| match e {
        EngineError::Invalid(problems) => {
            problems.iter().map(|p| format!("{}: {}", p.pointer, p.message)).collect::<Vec<_>>().join("\n")
        }
        other => other.to_string(),
    })
}

/// Reads the scripts and finds the plugins that a scenario names.
fn cast(play: &Play, scenario: &Scenario) -> Result<Cast, String> {
    let folder = play.file.parent().unwrap_or(Path::new(""));
    let mut scripts = Vec::new();
    let mut plugins = Vec::new();
    match &play.always {
        Always::Nothing => {}
        Always::Script(file) => scripts.push(file.clone()),
        Always::Plugin(dir) => plugins.push(dir.clone()),
    }
    for (i, name) in scenario.scripts.iter().enumerate() {
        add(&mut scripts, found(folder, name).ok_or_else(|| missing("scripts", i, name))?);
    }
    for (i, name) in scenario.plugins.iter().enumerate() {
        add(&mut plugins, found(folder, name).ok_or_else(|| missing("plugins", i, name))?);
    }
    for dir in &plugins {
        let built = author::read_manifest(dir).map(|manifest| dir.join(format!("{}.wasm", manifest.id)));
        if built.is_ok_and(|component| !component.is_file()) {
            return Err(format!("{0} is not built: run `rapport plugin build {0}`", dir.display()));
        }
    }
    let read = |file: &PathBuf| {
        let path = file.display().to_string();
        let source = std::fs::read_to_string(file).map_err(|e| format!("cannot read {path}: {e}"))?;
        Ok(ScriptFile { id: script_id(file), path, source })
    };
    Ok(Cast { scripts: scripts.iter().map(read).collect::<Result<_, String>>()?, plugins })
}

/// A path in a scenario: beside its file, or else from the present folder.
fn found(folder: &Path, name: &str) -> Option<PathBuf> {
    [folder.join(name), PathBuf::from(name)].into_iter().find(|path| path.exists())
}

fn missing(list: &str, index: usize, name: &str) -> String {
    format!("/{list}/{index}: there is no `{name}` beside the scenario, nor in the present folder")
}

/// Adds a path unless the same file is there already under another spelling.
fn add(paths: &mut Vec<PathBuf>, path: PathBuf) {
    let same = |a: &Path, b: &Path| a == b || (a.canonicalize().ok().is_some_and(|a| b.canonicalize().ok() == Some(a)));
    if !paths.iter().any(|known| same(known, &path)) {
        paths.push(path);
    }
}

/// The id that a server would give the script: its path below the folder `scripts`, or else its name.
pub(super) fn script_id(file: &Path) -> String {
    let whole = file.canonicalize().unwrap_or_else(|_| file.to_owned()).with_extension("");
    let parts: Vec<String> = whole
        .components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
            _ => None,
        })
        .collect();
    match parts.iter().rposition(|part| part == "scripts") {
        Some(place) if place + 1 < parts.len() => parts[place + 1..].join("/"),
        _ => parts.last().cloned().unwrap_or_default(),
    }
}

/// A line per scenario, and below it what is not as it should be.
fn people(all: &Json, options: Options) -> String {
    let mut lines = Vec::new();
    for scenario in list(all, "scenarios") {
        let (name, steps) = (text(scenario, "scenario"), list(scenario, "steps"));
        let failed = steps.iter().filter(|step| step["result"] == json!(Verdict::Fail)).count();
        lines.push(match (scenario["error"].as_str(), failed) {
            (Some(_), _) => format!("{name}: cannot be played"),
            (None, 0) => format!("{name}: ok, {} steps", steps.len()),
            (None, failed) => format!("{name}: FAILED, {failed} of {} steps", steps.len()),
        });
        lines.extend(text(scenario, "error").lines().map(|line| format!("  {line}")));
        for step in steps.iter().filter(|step| step["result"] != json!(Verdict::Pass)) {
            lines.extend(step_lines(step));
        }
        for run in list(scenario, "runs") {
            lines.extend(run_lines(run, options));
        }
    }
    if all["used"]["runs"].as_u64().is_some_and(|runs| runs > 0) {
        lines.push(used_line(&all["used"]));
    }
    plain(&lines.join("\n"))
}

fn step_lines(step: &Json) -> Vec<String> {
    let skipped = if step["result"] == json!(Verdict::Skipped) { ": skipped" } else { "" };
    let mut lines = vec![format!("  step {} ({}) at {}{skipped}", step["step"], text(step, "kind"), text(step, "at"))];
    lines.extend(step["error"].as_str().map(|why| format!("    {why}")));
    for difference in list(step, "differences") {
        lines.push(format!("    {}: {}", text(difference, "pointer"), text(difference, "what")));
        lines.push(format!("      expected {}", value(&difference["expected"])));
        lines.push(format!("      found    {}", value(&difference["found"])));
    }
    lines
}

fn run_lines(run: &Json, options: Options) -> Vec<String> {
    let trigger = &run["trigger"];
    let about = trigger["subject"].as_str().map(|subject| format!(" about {subject}")).unwrap_or_default();
    let mut lines = vec![format!(
        "  run {}: {} for {}{about}",
        text(run, "automation"),
        text(run, "status"),
        text(trigger, "type")
    )];
    lines.extend(run["error"]["message"].as_str().map(|why| format!("    {why}")));
    if options.trace {
        for call in list(&run["trace"], "calls") {
            lines.push(format!("    {} {} → {}", text(call, "call"), text(call, "about"), text(call, "outcome")));
        }
        for line in list(&run["trace"], "log") {
            lines.push(format!("    {}: {}", text(line, "level"), text(line, "message")));
        }
        lines.push(format!("    fuel {}", run["trace"]["fuel"]));
    }
    lines
}

fn list<'a>(json: &'a Json, name: &str) -> &'a [Json] {
    json[name].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(json: &'a Json, name: &str) -> &'a str {
    json[name].as_str().unwrap_or_default()
}

fn value(json: &Json) -> String {
    let text = if json.is_null() { "nothing".to_owned() } else { json.to_string() };
    if text.chars().count() <= VALUE_CHARS_MAX {
        return text;
    }
    format!("{}…", text.chars().take(VALUE_CHARS_MAX).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_called_as_a_server_would_call_it() {
        for (path, id) in [
            ("/x/scripts/loyalty/points.rhai", "loyalty/points"),
            ("/x/points.rhai", "points"),
            ("/scripts/a/scripts/b.rhai", "b"),
            ("/x/scripts.rhai", "scripts"),
        ] {
            assert_eq!(script_id(Path::new(path)), id);
        }
    }

    #[test]
    fn a_difference_is_shown_with_its_place_and_both_values() {
        let difference = json!({"pointer": "/steps/1/expect/fields/points", "what": "customer/customer_no:c1 points",
            "expected": 250, "found": 240});
        let steps = json!([
            {"step": 1, "kind": "event", "at": "2026-03-01T02:00:00Z", "result": "pass", "differences": []},
            {"step": 2, "kind": "expect", "at": "2026-03-01T02:00:00Z", "result": "fail", "differences": [difference]}]);
        let all = json!({"ok": false, "scenarios": [{"scenario": "points.test.json", "ok": false, "steps": steps, "runs": []}]});
        insta::assert_snapshot!(people(&all, Options { trace: false }), @r"
        points.test.json: FAILED, 1 of 2 steps
          step 2 (expect) at 2026-03-01T02:00:00Z
            /steps/1/expect/fields/points: customer/customer_no:c1 points
              expected 250
              found    240
        ");
    }

    #[test]
    fn scenarios_lie_beside_the_script() {
        let folder = tempfile::tempdir().unwrap();
        assert!(beside(folder.path(), "points").unwrap_err().to_string().contains("points.test.json"));
        std::fs::create_dir(folder.path().join("points.test")).unwrap();
        for name in ["points.test.json", "points.test/b.json", "points.test/a.json", "points.test/notes.txt"] {
            std::fs::write(folder.path().join(name), "{}").unwrap();
        }
        let found = beside(folder.path(), "points").unwrap();
        let names: Vec<_> = found.iter().map(|p| p.file_name().unwrap().to_string_lossy().into_owned()).collect();
        assert_eq!(names, ["points.test.json", "a.json", "b.json"]);
    }
}
