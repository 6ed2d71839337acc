//! Public pages in a real browser: `tests/browser` drives Chromium, and the server is asked what came of it.
//!
//! Where Chromium, Node or npm is missing the story is left out, in CI it fails.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::actions::call;
use crate::harness::{Database, TestApp, project};

/// The program of that name on the search path.
fn program(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path).flat_map(|dir| names.iter().map(move |name| dir.join(name)));
    found.into_iter().find(|file| file.is_file())
}

/// Chromium and npm; none where one is missing, which CI does not allow.
fn tools() -> Option<(PathBuf, PathBuf)> {
    let tools = program(&["chromium", "chromium-browser", "google-chrome"]).zip(program(&["npm"]));
    assert!(tools.is_some() || std::env::var_os("CI").is_none(), "CI must have Chromium and npm");
    if tools.is_none() {
        eprintln!("left out: Chromium or npm is not installed");
    }
    tools
}

/// The tests of the browser in a folder of their own, with what they need.
fn installed(npm: &Path) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser");
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["package.json", "package-lock.json", "survey.test.mjs"] {
        std::fs::copy(project().join("tests/browser").join(name), folder.join(name)).unwrap();
    }
    let mut install = Command::new(npm);
    install.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]).current_dir(&folder);
    assert!(install.status().unwrap().success(), "npm ci failed");
    folder
}

async fn invited(app: &TestApp, story: &str, language: &str) -> String {
    let person = json!({ "customer_no": story, "name": "Ada", "language": language });
    app.post("/v1/records/customer", person).await.expect(201);
    let input = json!({ "survey": "nps", "customer": format!("customer_no:{story}"), "channel": "link" });
    let invited = call(app, "survey.invite", input).await.expect(200).json();
    format!("http://{}/x/survey/{}", app.address, invited["token"].as_str().unwrap_or_else(|| panic!("{invited}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_survey_is_answered_by_mouse_by_keyboard_without_scripts_and_on_a_phone() {
    let Some((chromium, npm)) = tools() else { return };
    let app = TestApp::on(Database::Sqlite).survey_plugin("").own_script("surveys/nps").start().await;
    call(&app, "survey.publish", json!({ "script": "surveys/nps" })).await.expect(200);
    let mut links = serde_json::Map::new();
    for (story, language) in [("mouse", "en"), ("keyboard", "en"), ("plain", "en"), ("phone", "zh-CN"), ("axe", "en")] {
        links.insert(story.to_owned(), invited(&app, story, language).await.into());
    }
    links.insert("unknown".into(), format!("http://{}/x/survey/{:032x}", app.address, 7).into());
    let folder = installed(&npm);
    let told = tokio::task::spawn_blocking(move || {
        let mut node = Command::new("node");
        node.args(["--test", "--test-reporter=tap", "survey.test.mjs"]).current_dir(&folder);
        node.env("RAPPORT_CHROMIUM", chromium).env("RAPPORT_SHOTS", &folder);
        node.env("RAPPORT_LINKS", Value::Object(links).to_string()).output().unwrap()
    });
    let told = told.await.unwrap();
    let (said, wrong) = (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    assert!(told.status.success(), "{said}\n{wrong}");
    let mut scores: Vec<Value> = app.all("survey_response").await.iter().map(|one| one["score"].clone()).collect();
    scores.sort_by_key(|score| score.as_f64().map(f64::to_bits));
    assert_eq!(scores, [json!(3), json!(6), json!(9), json!(10)]);
}
