//! Business time: calendars as records, what scripts and plugins ask of them, and what the command line tells of a file.

use serde_json::{Value, json};

use crate::backtests::{assert_exact, backtest};
use crate::client::Reply;
use crate::harness::{Database, TestApp, on_both, order_paid};
use crate::keeping::asked;
use crate::process::{Outcome, rapport};
use crate::waiting::{clock, completed, later, waiting};

on_both!(
    a_script_knows_when_business_time_is_over,
    a_calendar_that_is_none_is_refused_at_its_place,
    a_script_writes_no_broken_calendar,
    what_a_slice_writes_of_a_calendar_it_reads,
    what_is_asked_wrongly_says_what_to_write,
    a_script_without_the_right_is_told_at_its_check,
    a_run_that_waits_is_told_the_same_after_a_change_of_hours,
    a_plugin_asks_as_a_script_does,
    a_backtest_and_a_tape_have_the_hours_of_then,
    the_command_line_asks_a_calendar_of_the_workspace,
);

/// China, the Spring Festival of 2026: Saturday the 14th is worked; closed from Sunday the 15th to Monday the 23rd.
pub(crate) fn china() -> Value {
    let day = json!([["09:00", "12:00"], ["13:00", "18:00"]]);
    json!({
        "tz": "Asia/Shanghai",
        "hours": { "1": day, "2": day, "3": day, "4": day, "5": day },
        "holidays": ["2026-02-16", "2026-02-17", "2026-02-18", "2026-02-19", "2026-02-20", "2026-02-23"],
        "extra_workdays": ["2026-02-14", "2026-02-28"],
    })
}

pub(crate) async fn keep(app: &TestApp, name: &str, definition: &Value) -> Reply {
    app.post("/v1/records/calendar", json!({ "name": name, "title": "Office", "definition": definition })).await
}

async fn pay(app: &TestApp, number: &str) {
    app.post("/v1/events", order_paid(number, "1", "5")).await.expect(202);
}

/// A script whose run of a paid order notes what `body` makes of it.
fn noting(body: &str) -> String {
    format!(
        "//! Notes.\non(\"order.paid\");\nuses(\"calendar:read\", \"calendar:write\", \"calendar:create\", \
         \"customer.notes:write\");\nfn run(event) {{\n{body}\n}}\n"
    )
}

async fn office(database: Database, body: &str) -> TestApp {
    let app = TestApp::on(database).script("notes", &noting(body)).clock(clock()).start().await;
    app.post("/v1/records/customer", json!({ "customer_no": "1" })).await.expect(201);
    keep(&app, "cn", &china()).await.expect(201);
    app
}

/// What the script noted.
async fn noted(app: &TestApp) -> Value {
    pay(app, "o").await;
    app.run_until_idle().await;
    app.customer_field("1", "notes").await
}

async fn a_script_knows_when_business_time_is_over(database: Database) {
    let body = "let paid = event.time;
        let due = within_business(\"4 hours\", \"cn\");
        let over = within_business(\"10h\", \"cn\", due);
        let seconds = business_seconds(paid, due, \"cn\");
        update(event.subject, #{ notes: `${due} ${over} ${seconds} ${due > now()}` });";
    let app = office(database, body).await;
    // The clock stands on Sunday, 1 March, 20:00 in China.
    assert_eq!(noted(&app).await, "2026-03-02T06:00:00Z 2026-03-03T08:00:00Z 14400 true");
}

async fn a_calendar_that_is_none_is_refused_at_its_place(database: Database) {
    let app = TestApp::start(database).await;
    let length = app.log().await.len();
    let broken = [
        (json!({ "tz": "Asia/Shangai", "hours": {} }), "/definition/tz", "did you mean `Asia/Shanghai`?"),
        (json!({ "tz": "UTC", "hours": { "8": [] } }), "/definition/hours/8", "write 1 for Monday to 7 for Sunday"),
        (
            json!({ "tz": "UTC", "hours": { "1": [["9", "12:00"]] } }),
            "/definition/hours/1/0/0",
            "write it as \"09:00\"",
        ),
        (json!({ "tz": "UTC", "hours": {}, "holidays": ["soon"] }), "/definition/holidays/0", "is no date"),
        (json!([]), "/definition", "a calendar is an object"),
    ];
    for (definition, place, said) in &broken {
        let refused = keep(&app, "x", definition).await.expect(422).json();
        assert_eq!(refused["errors"][0]["pointer"], *place, "{refused}");
        assert!(refused["errors"][0]["detail"].as_str().unwrap().contains(said), "{refused}");
    }
    app.post("/v1/records/calendar", json!({ "name": "x" })).await.expect(422);
    assert_eq!(app.log().await.len(), length, "nothing was written");
    keep(&app, "cn", &china()).await.expect(201);
    keep(&app, "cn", &china()).await.expect(409);
    let path = "/v1/records/calendar/name:cn";
    app.patch(path, json!({ "definition": broken[0].0 })).await.expect(422);
    let line = json!({ "name": "cn", "definition": broken[0].0 }).to_string();
    let bulk = app.ndjson("/v1/records/calendar/bulk?key=name", &[line]).await;
    assert!(bulk.status >= 400 || bulk.json()["refused"] == 1, "{}", bulk.text());
    app.patch(path, json!({ "title": "Shanghai" })).await.expect(200);
    assert_eq!(app.get(path).await.expect(200).json()["definition"], china());
}

async fn a_script_writes_no_broken_calendar(database: Database) {
    let body = "try { update(\"calendar/name:cn\", #{ definition: #{ tz: \"UTC\" } }); } catch (e) {
            update(event.subject, #{ notes: `${e.code}: ${e.message}` });
        }";
    let app = office(database, body).await;
    let said = noted(&app).await;
    assert!(said.as_str().unwrap().starts_with("invalid: /definition: `hours` is missing"), "{said}");
    assert_eq!(app.all("calendar").await[0]["definition"], china());
}

async fn what_a_slice_writes_of_a_calendar_it_reads(database: Database) {
    let body = "let before = within_business(\"4 hours\", \"cn\");
        create(\"calendar\", #{ name: \"de\", definition: #{ tz: \"Europe/Berlin\", hours: #{ \"1\": [[\"08:00\", \"16:00\"]] } } });
        update(\"calendar/name:cn\", #{ definition: #{ tz: \"UTC\", hours: #{ \"2\": [[\"08:00\", \"16:00\"]] } } });
        update(event.subject, #{ notes: `${before} ${within_business(\"4 hours\", \"cn\")} ${within_business(\"4 hours\", \"de\")}` });";
    let app = office(database, body).await;
    assert_eq!(noted(&app).await, "2026-03-02T06:00:00Z 2026-03-03T12:00:00Z 2026-03-02T11:00:00Z");
}

async fn what_is_asked_wrongly_says_what_to_write(database: Database) {
    let body = "let said = [];
        for asked in [[\"4 hours\", \"cm\"], [\"2 days\", \"cn\"], [\"4 huors\", \"cn\"], [\"4 hours\", \"never\"]] {
            try { within_business(asked[0], asked[1]); } catch (e) { said.push(`${e.code}: ${e.message}`); }
        }
        try { business_seconds(now(), now().plus_hours(-1), \"cn\"); } catch (e) { said.push(`${e.code}: ${e.message}`); }
        let all = \"\";
        for line in said { all += line + \"\\n\"; }
        update(event.subject, #{ notes: all });";
    let app = office(database, body).await;
    keep(&app, "never", &json!({ "tz": "UTC", "hours": {} })).await.expect(201);
    insta::assert_snapshot!(noted(&app).await.as_str().unwrap().trim_end(), @r"
    not_found: there is no calendar `cm`; did you mean `cn`?
    invalid: `2 days` has days or weeks, which differ in their open time: write hours and minutes, such as `16 hours`
    invalid: `4 huors` is no span of time: write `90 seconds`, `3 days` or `1 week 12 hours`; did you mean `hours`?
    invalid: calendar `never`: nothing is open within ten years from 2026-03-01T12:00:00Z: give the calendar hours, or extra hours after that
    invalid: calendar `cn`: the end 2026-03-01T11:00:00Z is before the start 2026-03-01T12:00:00Z: give the earlier instant first
    ");
}

async fn a_script_without_the_right_is_told_at_its_check(database: Database) {
    let app = TestApp::start(database).await;
    let file = app.folder.path().join("due.rhai");
    let source = "//! Notes.\non(\"order.paid\");\nfn run(event) {\n    within_business(\"4 hours\", \"cn\");\n    \
                  business_seconds(now(), now(), \"cn\");\n}\n";
    std::fs::write(&file, source).unwrap();
    let checked = rapport(&["script", "check", file.to_str().unwrap()]).within(app.folder.path()).run().expect(1);
    let said = checked.text;
    for function in ["within_business", "business_seconds"] {
        assert!(said.contains(&format!("`{function}` needs the right `calendar:read`")), "{said}");
    }
}

async fn a_run_that_waits_is_told_the_same_after_a_change_of_hours(database: Database) {
    let body = "let due = within_business(\"4 hours\", \"cn\");
        sleep(due);
        update(event.subject, #{ notes: `${due} ${now()} ${within_business(\"1 hour\", \"cn\")}` });";
    let clock = clock();
    let app = TestApp::on(database).script("notes", &noting(body)).clock(clock.clone()).start().await;
    app.post("/v1/records/customer", json!({ "customer_no": "1" })).await.expect(201);
    keep(&app, "cn", &china()).await.expect(201);
    pay(&app, "o").await;
    waiting(&app, 1).await;
    let hours = json!({ "tz": "UTC", "hours": { "3": [["08:00", "16:00"]] } });
    app.patch("/v1/records/calendar/name:cn", json!({ "definition": hours })).await.expect(200);
    later(&clock, "18 hours");
    completed(&app, 1).await;
    let noted = app.customer_field("1", "notes").await;
    assert_eq!(noted, "2026-03-02T06:00:00Z 2026-03-02T06:00:00Z 2026-03-04T09:00:00Z");
}

async fn a_plugin_asks_as_a_script_does(database: Database) {
    let app = TestApp::on(database).keeper_plugin("keeper", &["calendar:read"], "").start().await;
    keep(&app, "cn", &china()).await.expect(201);
    // From 13 February 2026, 17:00 in China.
    let start = 1_770_973_200_000_000_i64;
    let hours = |n: i64| start + n * 3_600_000_000;
    let calls = json!([
        ["due", "cn", start, "1 hour"],
        ["due", "cn", start, "4 hours"],
        ["elapsed", "cn", start, hours(24)],
        ["due", "us", start, "1 hour"],
        ["elapsed", "cn", start, hours(-1)],
    ]);
    let error = |code: &str| json!({ "error": code });
    let told = json!([hours(1), hours(19), 8 * 3_600, error("not_found"), error("invalid")]);
    assert_eq!(asked(&app, "keeper", "1", calls).await, told);
}

async fn a_backtest_and_a_tape_have_the_hours_of_then(database: Database) {
    let body = "update(event.subject, #{ notes: `${within_business(\"4 hours\", \"cn\", event.time)}` });";
    let app = office(database, body).await;
    let due = noted(&app).await;
    let run = app.runs("automation=notes").await[0]["id"].as_str().unwrap().to_owned();
    let hours = json!({ "tz": "UTC", "hours": { "3": [["08:00", "16:00"]] } });
    app.patch("/v1/records/calendar/name:cn", json!({ "definition": hours })).await.expect(200);
    let ever = ("1970-01-01T00:00:00Z", "2100-01-01T00:00:00Z");
    assert_exact(&backtest(&app, "notes", &noting(body), ever).await);
    let file = app.folder.path().join("notes.rhai");
    std::fs::write(&file, noting(body)).unwrap();
    let line = ["--json", "script", "replay", &run, "--script", file.to_str().unwrap()];
    let told: Value =
        serde_json::from_str(&rapport(&line).to(&app, &app.folder.path().join("key")).run().expect(0).output).unwrap();
    assert_eq!((&told["verdict"], due.as_str().unwrap().len()), (&json!("same"), 20), "{told}");
}

async fn the_command_line_asks_a_calendar_of_the_workspace(database: Database) {
    let app = TestApp::start(database).await;
    keep(&app, "cn", &china()).await.expect(201);
    let key = app.folder.path().join("key");
    let line = ["calendar", "due", "--name", "cn", "--start", "2026-02-13T17:00:00+08:00", "--within", "4h", "--json"];
    let told: Value = serde_json::from_str(&rapport(&line).to(&app, &key).run().expect(0).output).unwrap();
    assert_eq!(told, json!({ "due": "2026-02-14T04:00:00Z" }));
    let unknown = ["calendar", "due", "--name", "us", "--within", "4h"];
    rapport(&unknown).to(&app, &key).run().expect(1);
}

/// What `rapport calendar` says of this calendar in a file.
fn offline(definition: &str, arguments: &[&str]) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("calendar.json");
    std::fs::write(&file, definition).unwrap();
    let line = [&["calendar", arguments[0], "--calendar", file.to_str().unwrap()], &arguments[1..]].concat();
    rapport(&line).within(folder.path()).run()
}

fn told(arguments: &[&str]) -> Value {
    let line = [arguments, &["--json"]].concat();
    serde_json::from_str(&offline(&china().to_string(), &line).expect(0).output).unwrap()
}

#[test]
fn a_file_is_asked_without_a_server() {
    let due = |start: &str, within: &str| told(&["due", "--start", start, "--within", within])["due"].clone();
    assert_eq!(due("2026-03-02T02:00:00Z", "4h"), "2026-03-02T07:00:00Z", "over lunch");
    assert_eq!(due("2026-03-02T16:00:00+08:00", "2h"), "2026-03-02T10:00:00Z", "at closing");
    assert_eq!(due("2026-02-13T17:00:00+08:00", "10 hours"), "2026-02-24T02:00:00Z", "over the Spring Festival");
    let elapsed = told(&["elapsed", "--start", "2026-02-13T17:00:00+08:00", "--end", "2026-02-24T01:30:00Z"]);
    assert_eq!(elapsed, json!({ "elapsed": 34_200, "seconds": 34_200 }));
}

#[test]
fn people_see_the_wall_clock_of_the_calendar() {
    let said =
        offline(&china().to_string(), &["due", "--start", "2026-03-02T02:00:00Z", "--within", "1h30m"]).expect(0);
    assert_eq!(said.output.trim_end(), "2026-03-02T03:30:00Z  2026-03-02 11:30:00 +08:00");
    let line = ["elapsed", "--start", "2026-03-02T02:00:00Z", "--end", "2026-03-02T03:00:00.9Z"];
    assert_eq!(offline(&china().to_string(), &line).expect(0).output.trim_end(), "3600");
}

#[test]
fn what_is_wrong_with_a_file_or_a_question_is_said() {
    let within = ["due", "--start", "2026-03-02T02:00:00Z", "--within", "4h"];
    for (definition, said) in [
        ("{", "calendar.json: it is no JSON"),
        (r#"{"tz": "Mars/Phobos", "hours": {}}"#, "calendar.json: /tz: there is no time zone `Mars/Phobos`"),
        (r#"{"tz": "UTC", "hours": {"1": [["09:00", "12:00"], ["11:00", "13:00"]]}}"#, "/hours/1/1: it overlaps"),
    ] {
        let outcome = offline(definition, &within).expect(2);
        assert!(outcome.text.contains(said), "{}", outcome.text);
    }
    for (more, code, said) in [
        (["--within", "2d"], 2, "has days or weeks"),
        (["--within", "soon"], 2, "is no span of time"),
        (["--start", "yesterday"], 2, "is not an instant"),
    ] {
        let line = match more[0] {
            "--within" => [&within[..3], &more].concat(),
            _ => [&within[..1], &more, &within[3..]].concat(),
        };
        let outcome = offline(&china().to_string(), &line).expect(code);
        assert!(outcome.text.contains(said), "{}", outcome.text);
    }
    let never = offline(r#"{"tz": "UTC", "hours": {}}"#, &within).expect(1);
    assert!(never.text.contains("nothing is open within ten years"), "{}", never.text);
    rapport(&["calendar", "due", "--within", "4h"]).run().expect(2);
    let backwards = ["elapsed", "--start", "2026-03-02T02:00:00Z", "--end", "2026-03-02T01:00:00Z"];
    assert!(offline(&china().to_string(), &backwards).expect(1).text.contains("give the earlier instant first"));
}
