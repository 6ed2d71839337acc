//! Migrations of plugins: a new version takes over the data of the old one, slice by slice, and is live after the last.

use rapport_package::Package;
use serde_json::{Value, json};

use crate::client::{Client, Reply, Request};
use crate::harness::{Database, TestApp, eventually, on_both};
use crate::process::{ServerProcess, rapport};

on_both!(
    an_upgrade_moves_the_data_before_it_is_live,
    a_chain_of_two_goes_step_by_step,
    what_nothing_leads_to_is_refused,
    a_dry_run_counts_and_keeps_nothing,
    a_slice_that_fails_leaves_the_old_version_live_and_is_gone_on_from,
    nothing_else_of_the_plugin_works_while_data_are_half_moved,
    an_upgrade_is_given_up_and_its_writes_are_undone,
    a_way_back_takes_the_data_back_first,
    a_grant_moves_the_data_too,
    the_ways_around_are_closed,
    killed_in_every_slice_it_goes_on_and_does_none_twice,
    a_slice_is_played_again_from_its_tape,
    an_admin_moves_data_on_the_command_line,
    a_folder_does_not_move_data,
);

const MOVES: [(&str, &str); 2] = [("0.1.0", "0.2.0"), ("0.2.0", "0.3.0")];

/// The cards plugin in a package: each version knows the steps up to it.
fn cards_with(version: &str, steps: &[(&str, &str)], more: &str) -> Vec<u8> {
    let component = std::fs::read(env!("MOVER_COMPONENT")).unwrap();
    let manifest = manifest(version, steps, more);
    let files = [("plugin.toml", manifest.into_bytes()), ("cards.wasm", component)];
    Package::new(files.map(|(name, content)| (name.parse().unwrap(), content))).unwrap().pack()
}

fn manifest(version: &str, steps: &[(&str, &str)], more: &str) -> String {
    let fields =
        if version == "0.1.0" { "" } else { ", cents = \"integer\", moved = { type = \"integer\", default = 0 }" };
    let step = |(from, to): &(&str, &str)| {
        format!("[[migrations]]\nfrom = \"{from}\"\nto = \"{to}\"\ntitle = \"Moves cards\"\n")
    };
    let right = |right: &str| format!("[[capabilities]]\nright = \"{right}\"\nreason = \"it keeps cards\"\n");
    format!(
        "id = \"cards\"\nversion = \"{version}\"\napi = \"0.1\"\npublisher = \"Tests\"\ntitle = \"Cards\"\n\
         settings = {{ shape = \"{version}\" }}\n\
         [[triggers]]\nevent = \"customer.created\"\n\
         [[actions]]\nname = \"issue\"\n[[actions]]\nname = \"count\"\nreadonly = true\n\
         [[objects]]\nname = \"card\"\nfields = {{ number = {{ type = \"text\", unique = true }}, points = \"integer\", \
         note = \"text\"{fields} }}\n{}{}{}{}{more}",
        right("card:read"),
        right("card:write"),
        right("customer:read"),
        steps.iter().map(step).collect::<String>(),
    )
}

fn cards(version: &str) -> Vec<u8> {
    match version {
        // The first version has nothing to move, but a component that could.
        "0.1.0" => cards_with(version, &[("0.0.1", "0.1.0")], ""),
        "0.2.0" => cards_with(version, &MOVES[..1], ""),
        _ => cards_with(version, &MOVES, ""),
    }
}

async fn send(client: &Client, method: &str, path: &str, archive: &[u8]) -> Reply {
    client.send(Request::new(method, path).body("application/octet-stream", archive)).await
}

async fn upgrade(client: &Client, version: &str) -> Reply {
    send(client, "PUT", "/v1/plugins/cards?unsigned=true", &cards(version)).await
}

async fn install(client: &Client) {
    let path = "/v1/plugins?unsigned=true&grant_all=true";
    send(client, "POST", path, &cards("0.1.0")).await.expect(201);
}

/// Makes a card by hand.
async fn card(client: &Client, number: &str, points: i64) {
    let fields = json!({ "number": number, "points": points });
    client.post("/v1/records/card", fields).await.expect(201);
}

/// A workspace with version 0.1.0 and five cards.
async fn workspace(database: Database) -> TestApp {
    let app = TestApp::start(database).await;
    install(&app).await;
    for number in ["a", "b", "c", "d", "e"] {
        card(&app, number, 10).await;
    }
    app
}

async fn show(client: &Client) -> Value {
    client.get("/v1/plugins/cards").await.expect(200).json()
}

/// The cards as `number:points/cents/moved`.
async fn all(client: &Client) -> String {
    let page = client.get("/v1/records/card?limit=1000").await.expect(200).items();
    let one = |card: &Value| {
        let (number, points) = (card["number"].as_str().unwrap().to_owned(), &card["points"]);
        format!("{number}:{points}/{}/{}", card["cents"], card["moved"])
    };
    let mut all: Vec<String> = page.iter().map(one).collect();
    all.sort();
    all.join(" ")
}

const MOVED: &str = "a:10/1000/1 b:10/1000/1 c:10/1000/1 d:10/1000/1 e:10/1000/1";

async fn slices(app: &TestApp, more: &str) -> Vec<Value> {
    let lane = show(app).await["migration"]["lane"].as_str().unwrap().to_owned();
    let runs = app.runs(&format!("automation=cards{more}")).await;
    runs.into_iter().filter(|run| run["lane"] == *lane).collect()
}

async fn an_upgrade_moves_the_data_before_it_is_live(database: Database) {
    let app = workspace(database).await;
    let live = upgrade(&app, "0.2.0").await.expect(200).json();
    assert_eq!((&live["version"], &live["before"], &live["pending"]), (&json!("0.2.0"), &json!("0.1.0"), &Value::Null));
    assert_eq!((&live["migration"]["state"], &live["migration"]["slices"]), (&json!("done"), &json!(3)));
    assert_eq!(all(&app).await, MOVED);
    // Each slice is a run of the new version, which the log explains by the upgrade.
    let runs = slices(&app, "").await;
    assert_eq!(runs.len(), 3);
    assert!(runs.iter().all(|run| run["status"] == "completed" && run["digest"] == live["digest"]), "{runs:?}");
    let why = app.get(&format!("/v1/runs/{}/explain", runs[0]["id"].as_str().unwrap())).await.expect(200).json();
    assert_eq!(why["because"][0]["type"], "run.invoked");
    assert_eq!(
        (&why["because"][1]["type"], &why["because"][1]["by"]["kind"]),
        (&json!("automation.pushed"), &json!("user"))
    );
    // A new customer's card is made by the new version.
    app.post("/v1/records/customer", json!({ "customer_no": "z" })).await.expect(201);
    app.run_until_idle().await;
    assert_eq!(app.get("/v1/records/card/number:z").await.expect(200).json()["note"], "0.2.0");
    let same = upgrade(&app, "0.2.0").await.expect(200).json();
    assert_eq!(same["migration"]["slices"], 3);
}

async fn a_chain_of_two_goes_step_by_step(database: Database) {
    let app = workspace(database).await;
    let live = upgrade(&app, "0.3.0").await.expect(200).json();
    assert_eq!((&live["version"], &live["migration"]["slices"]), (&json!("0.3.0"), &json!(6)));
    assert_eq!(all(&app).await, MOVED);
    assert_eq!(app.get("/v1/records/card/number:e").await.expect(200).json()["note"], "1000 cents");
}

async fn what_nothing_leads_to_is_refused(database: Database) {
    let app = workspace(database).await;
    let gap = cards_with("0.3.0", &MOVES[1..], "");
    let refused = send(&app, "PUT", "/v1/plugins/cards?unsigned=true", &gap).await.expect(422);
    assert!(refused.text().contains("upgrade to 0.2.0 first"), "{}", refused.text());
    assert_eq!(
        (show(&app).await["version"].clone(), show(&app).await["pending"].clone()),
        (json!("0.1.0"), Value::Null)
    );
    upgrade(&app, "0.2.0").await.expect(200);
    let live = send(&app, "PUT", "/v1/plugins/cards?unsigned=true", &gap).await.expect(200).json();
    assert_eq!((&live["version"], &live["migration"]["slices"]), (&json!("0.3.0"), &json!(3)));
}

async fn a_dry_run_counts_and_keeps_nothing(database: Database) {
    let app = workspace(database).await;
    card(&app, "f", 0).await;
    let before = app.log().await;
    let path = "/v1/plugins/cards?unsigned=true&dry_run=true";
    let told = send(&app, "PUT", path, &cards("0.3.0")).await.expect(200).json();
    let steps = json!([
        { "from": "0.1.0", "to": "0.2.0", "title": "Moves cards", "slices": 3,
          "records": { "card": { "created": 0, "changed": 5, "deleted": 1 } } },
        { "from": "0.2.0", "to": "0.3.0", "title": "Moves cards", "slices": 3,
          "records": { "card": { "created": 0, "changed": 5, "deleted": 0 } } },
    ]);
    assert_eq!((&told["steps"], &told["error"]), (&steps, &Value::Null));
    card(&app, "bad", -1).await;
    let told = send(&app, "PUT", path, &cards("0.3.0")).await.expect(200).json();
    assert_eq!(told["error"]["at"], json!({ "from": "0.1.0", "to": "0.2.0", "slice": 2, "cursor": "b" }));
    assert_eq!((&told["error"]["code"], &told["steps"][0]["slices"]), (&json!("negative"), &json!(1)));
    assert_eq!(app.log().await.len(), before.len() + 1);
    let plugin = show(&app).await;
    assert_eq!(
        (&plugin["version"], &plugin["pending"], &plugin["migration"]),
        (&json!("0.1.0"), &Value::Null, &Value::Null)
    );
    assert!(!app.get("/v1/objects/card").await.expect(200).text().contains("cents"));
}

async fn a_slice_that_fails_leaves_the_old_version_live_and_is_gone_on_from(database: Database) {
    let app = workspace(database).await;
    card(&app, "cc", -1).await;
    let failed = upgrade(&app, "0.2.0").await.expect(422);
    assert_eq!(failed.code(), "migration_failed");
    let told = "0.1.0 → 0.2.0, slice 2 from cursor `b`: negative the card cc has -1 points";
    assert!(
        failed.text().contains(told) && failed.text().contains("the 1 slices before it stay committed"),
        "{}",
        failed.text()
    );
    let plugin = show(&app).await;
    assert_eq!((&plugin["version"], &plugin["pending"]["version"]), (&json!("0.1.0"), &json!("0.2.0")));
    let migration = &plugin["migration"];
    assert_eq!(
        (&migration["state"], &migration["slices"], &migration["cursor"]),
        (&json!("failed"), &json!(1), &json!("b"))
    );
    assert!(migration["error"].as_str().unwrap().contains(told), "{migration}");
    assert!(all(&app).await.starts_with("a:10/1000/1 b:10/1000/1 c:10/null/0"), "{}", all(&app).await);
    // Another package does not go on with what this one has begun, also not after a restart.
    let app = app.restart(|setup| setup).await;
    let other = send(&app, "PUT", "/v1/plugins/cards?unsigned=true", &cards("0.3.0")).await.expect(409);
    assert!(other.text().contains("--abandon"), "{}", other.text());
    // What stood in the way is mended: it goes on where it was.
    app.patch("/v1/records/card/number:cc", json!({ "points": 10 })).await.expect(200);
    let live = upgrade(&app, "0.2.0").await.expect(200).json();
    assert_eq!((&live["version"], &live["migration"]["state"]), (&json!("0.2.0"), &json!("done")));
    let moved = MOVED.replace("c:10/1000/1 ", "c:10/1000/1 cc:10/1000/1 ");
    assert_eq!((all(&app).await, &live["migration"]["slices"]), (moved, &json!(3)));
    assert_eq!(slices(&app, "&status=cancelled").await.len(), 1);
}

async fn nothing_else_of_the_plugin_works_while_data_are_half_moved(database: Database) {
    let app = workspace(database).await;
    // Where nothing was kept the old version goes on.
    card(&app, "0", -1).await;
    upgrade(&app, "0.2.0").await.expect(422);
    let count = app.post("/v1/actions/cards.count", json!({})).await.expect(200).json();
    assert_eq!(count["cards"], 6);
    app.patch("/v1/records/card/number:0", json!({ "points": 10 })).await.expect(200);
    card(&app, "cc", -1).await;
    upgrade(&app, "0.2.0").await.expect(422);

    for action in ["issue", "count"] {
        let refused = app.post(&format!("/v1/actions/cards.{action}"), json!({})).await.expect(503);
        assert_eq!((refused.code(), refused.header("retry-after")), ("plugin_migrating".into(), Some("5")));
        assert!(refused.text().contains("a migration from 0.1.0 to 0.2.0 has failed"), "{}", refused.text());
    }
    app.post("/v1/records/customer", json!({ "customer_no": "z" })).await.expect(201);
    app.run_until_idle().await;
    let held = app.runs("automation=cards&status=paused").await;
    assert_eq!(held.len(), 1);
    assert!(held[0]["error"].to_string().contains("plugin_migrating"), "{held:?}");
    assert_eq!(app.get("/v1/records/card/number:z").await.status, 404);

    app.patch("/v1/records/card/number:cc", json!({ "points": 10 })).await.expect(200);
    upgrade(&app, "0.2.0").await.expect(200);
    app.run_until_idle().await;
    // It had not begun, so that it goes on with the new version.
    assert_eq!(app.get("/v1/records/card/number:z").await.expect(200).json()["note"], "0.2.0");
    assert_eq!(app.post("/v1/actions/cards.issue", json!({})).await.expect(200).json()["cards"], 9);
    app.expect_dead(2);
}

async fn an_upgrade_is_given_up_and_its_writes_are_undone(database: Database) {
    let app = workspace(database).await;
    assert_eq!(app.post("/v1/plugins/cards/abandon", json!({})).await.expect(409).code(), "conflict");
    card(&app, "dd", -1).await;
    upgrade(&app, "0.2.0").await.expect(422);
    assert!(all(&app).await.contains("b:10/1000/1"));
    app.post("/v1/records/customer", json!({ "customer_no": "z" })).await.expect(201);
    let plugin = app.post("/v1/plugins/cards/abandon", json!({})).await.expect(200).json();
    assert_eq!(
        (&plugin["version"], &plugin["pending"], &plugin["migration"]),
        (&json!("0.1.0"), &Value::Null, &Value::Null)
    );
    app.run_until_idle().await;
    let back = "a:10/null/0 b:10/null/0 c:10/null/0 d:10/null/0 dd:-1/null/0 e:10/null/0 z:1/null/0";
    assert_eq!(all(&app).await, back);
    // What was held back went on with the version that it had.
    assert_eq!(app.get("/v1/records/card/number:z").await.expect(200).json()["note"], "0.1.0");
    app.post("/v1/actions/cards.issue", json!({})).await.expect(200);
    // Another package may come now.
    app.patch("/v1/records/card/number:dd", json!({ "points": 10 })).await.expect(200);
    assert_eq!(upgrade(&app, "0.3.0").await.expect(200).json()["version"], "0.3.0");
    app.expect_dead(1);
}

async fn a_way_back_takes_the_data_back_first(database: Database) {
    let app = workspace(database).await;
    upgrade(&app, "0.2.0").await.expect(200);
    let refused = app.post("/v1/plugins/cards/rollback", json!({})).await.expect(409);
    assert!(refused.text().contains("rapport plugin rollback cards --undo-data"), "{}", refused.text());
    assert_eq!(all(&app).await, MOVED);
    // What was changed since stays, and is no part of what is taken back.
    app.patch("/v1/records/card/number:a", json!({ "cents": 7 })).await.expect(200);
    let back = app.post("/v1/plugins/cards/rollback?undo_data=true", json!({})).await.expect(200).json();
    assert_eq!((&back["version"], &back["before"], &back["migration"]), (&json!("0.1.0"), &Value::Null, &Value::Null));
    assert_eq!(all(&app).await, "a:10/7/0 b:10/null/0 c:10/null/0 d:10/null/0 e:10/null/0");
    assert_eq!(app.post("/v1/actions/cards.count", json!({})).await.expect(200).json()["cards"], 5);
    // And forth again.
    assert_eq!(upgrade(&app, "0.2.0").await.expect(200).json()["migration"]["slices"], 3);
    assert_eq!(all(&app).await, MOVED);
}

async fn a_grant_moves_the_data_too(database: Database) {
    let app = workspace(database).await;
    let more = "[[capabilities]]\nright = \"order:read\"\nreason = \"looks at orders\"\n";
    let asking = cards_with("0.2.0", &MOVES[..1], more);
    let waits = send(&app, "PUT", "/v1/plugins/cards?unsigned=true", &asking).await.expect(200).json();
    assert_eq!((&waits["version"], &waits["migration"]), (&json!("0.1.0"), &Value::Null));
    assert!(!all(&app).await.contains("1000"));
    let live = app.post("/v1/plugins/cards/grant", json!({ "all": true })).await.expect(200).json();
    assert_eq!((&live["version"], &live["migration"]["slices"]), (&json!("0.2.0"), &json!(3)));
    assert_eq!(all(&app).await, MOVED);
}

async fn the_ways_around_are_closed(database: Database) {
    let app = workspace(database).await;
    let old = show(&app).await["digest"].as_str().unwrap().to_owned();
    card(&app, "cc", -1).await;
    upgrade(&app, "0.2.0").await.expect(422);
    for path in ["activate", "rollback"] {
        let around = app.post(&format!("/v1/automations/cards/{path}"), json!({})).await;
        assert!(around.status == 409 || around.status == 404, "{path} {}", around.text());
    }
    for path in ["plugins/cards/grant", "plugins/cards/rollback"] {
        assert_eq!(app.post(&format!("/v1/{path}"), json!({ "all": true })).await.expect(409).code(), "conflict");
    }
    app.patch("/v1/records/card/number:cc", json!({ "points": 10 })).await.expect(200);
    upgrade(&app, "0.2.0").await.expect(200);
    let back = app.post("/v1/automations/cards/activate", json!({ "version": old })).await.expect(409);
    assert!(back.text().contains("--undo-data"), "{}", back.text());
    assert_eq!(show(&app).await["version"], "0.2.0");
    app.expect_dead(1);
}

async fn killed_in_every_slice_it_goes_on_and_does_none_twice(database: Database) {
    for place in ["migration.slice_started", "slice.committed", "migration.slices_done"] {
        killed_at(place, database).await;
    }
}

/// Dies at `place` as often as it is passed, until the new version is live.
async fn killed_at(place: &str, database: Database) {
    let folder = tempfile::tempdir().unwrap();
    let (data, url) = (folder.path().join("data"), database.url());
    let now = folder.path().join("now");
    let environment = [("RAPPORT_CRASH_AT", place), ("RAPPORT_CRASH_IF", now.to_str().unwrap())];
    let server = ServerProcess::start_in(&environment, &data, url.as_deref(), &[]).await;
    install(&server.client).await;
    for number in ["a", "b", "c", "d", "e"] {
        card(&server.client, number, 10).await;
    }
    std::fs::write(&now, "").unwrap();
    let request =
        Request::new("PUT", "/v1/plugins/cards?unsigned=true").body("application/octet-stream", cards("0.2.0"));
    assert!(server.client.try_send(request).await.is_none());
    assert!(server.died(), "nothing passed `{place}`");
    // It goes on by itself, and dies again where it passes the place.
    let mut deaths = 1;
    while deaths < 3 && place != "migration.slices_done" {
        assert!(ServerProcess::dies_at_start(&environment, &data, url.as_deref(), &[]), "{place} {deaths}");
        deaths += 1;
    }
    let server = ServerProcess::start(&data, url.as_deref(), &[]).await;
    let live = || async { Some(show(&server.client).await).filter(|plugin| plugin["version"] == "0.2.0") };
    let plugin = eventually("the new version", live).await;
    assert_eq!(plugin["migration"]["slices"], 3, "{place}");
    assert_eq!(all(&server.client).await, MOVED, "{place}");
    assert_eq!(server.stop().await, 0);
}

async fn a_slice_is_played_again_from_its_tape(database: Database) {
    let app = workspace(database).await;
    upgrade(&app, "0.2.0").await.expect(200);
    let folder = app.folder.path().join("cards");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("plugin.toml"), manifest("0.2.0", &MOVES[..1], "")).unwrap();
    std::fs::copy(env!("MOVER_COMPONENT"), folder.join("cards.wasm")).unwrap();
    for run in slices(&app, "").await {
        let arguments =
            ["--json", "plugin", "replay", run["id"].as_str().unwrap(), "--plugin", folder.to_str().unwrap()];
        let told = rapport(&arguments).to(&app, &app.folder.path().join("key")).run().expect(0).output;
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!((&told["verdict"], &told["remarks"]), (&json!("same"), &json!([])), "{told}");
        assert!(told["output"]["done"] == true || told["output"]["cursor"].is_string(), "{told}");
    }
}

async fn an_admin_moves_data_on_the_command_line(database: Database) {
    let app = workspace(database).await;
    let place = tempfile::tempdir().unwrap();
    let key_file = place.path().join("owner.key");
    std::fs::write(place.path().join("new.rapport"), cards("0.2.0")).unwrap();
    let call = |arguments: &[&str]| rapport(arguments).within(place.path()).to(&app, &key_file).run();
    let foretold = call(&["plugin", "upgrade", "new.rapport", "--unsigned", "--dry-run"]);
    assert_eq!(foretold.code, 0, "{}", foretold.text);
    assert!(foretold.output.contains("card  0 created, 5 changed, 0 deleted"), "{}", foretold.output);
    card(&app, "cc", -1).await;
    let failed = call(&["plugin", "upgrade", "new.rapport", "--unsigned"]);
    assert!(failed.code == 1 && failed.text.contains("slice 2 from cursor `b`"), "{}", failed.text);
    let shown = call(&["plugin", "show", "cards"]);
    assert!(shown.output.contains("0.1.0 → 0.2.0 failed at"), "{}", shown.output);
    let given_up = call(&["plugin", "upgrade", "cards", "--abandon"]);
    assert_eq!(given_up.code, 0, "{}", given_up.text);
    app.patch("/v1/records/card/number:cc", json!({ "points": 10 })).await.expect(200);
    let live = call(&["plugin", "upgrade", "new.rapport", "--unsigned"]);
    assert!(live.code == 0 && live.output.contains("0.1.0 → 0.2.0 done at"), "{}", live.text);
    let back = call(&["plugin", "rollback", "cards"]);
    assert!(back.code == 1 && back.text.contains("--undo-data"), "{}", back.text);
    assert_eq!(call(&["plugin", "rollback", "cards", "--undo-data"]).code, 0);
    assert_eq!(show(&app).await["version"], "0.1.0");
    app.expect_dead(1);
}

async fn a_folder_does_not_move_data(database: Database) {
    let app = TestApp::on(database).cards_plugin(&manifest("0.1.0", &[("0.0.1", "0.1.0")], "")).start().await;
    card(&app, "a", 10).await;
    let app = app.restart(|setup| setup.cards_plugin(&manifest("0.2.0", &MOVES[..1], ""))).await;
    assert!(app.notices().contains("the data of `cards` 0.1.0 have to be moved"), "{}", app.notices());
    assert_eq!(app.post("/v1/actions/cards.count", json!({})).await.expect(200).json()["cards"], 1);
    assert!(!app.get("/v1/objects/card").await.expect(200).text().contains("cents"));
}

#[test]
fn a_scenario_moves_data() {
    let folder = tempfile::tempdir().unwrap();
    crate::harness::share_compiled_code(&folder.path().join("data"));
    let dir = folder.path().join("cards");
    std::fs::create_dir(&dir).unwrap();
    std::fs::copy(env!("MOVER_COMPONENT"), dir.join("cards.wasm")).unwrap();
    std::fs::write(dir.join("plugin.toml"), manifest("0.3.0", &MOVES, "")).unwrap();
    let play = |steps: Value| {
        let points = steps[0]["points"].clone();
        let story = json!({
            "records": [{ "object": "card", "number": "a", "points": 10 }, { "object": "card", "number": "b", "points": points }],
            "steps": steps.as_array().unwrap()[1..],
        });
        std::fs::write(dir.join("cards.test.json"), story.to_string()).unwrap();
        rapport(&["plugin", "test", "cards", "--data", "data"]).within(folder.path()).run()
    };
    let moved = json!({ "record": "card/number:a", "fields": { "cents": 1000, "moved": 1, "note": "1000 cents" } });
    let passed = play(json!([{ "points": 1 }, { "migrate": { "from": "0.1.4" } }, { "expect": moved }]));
    assert_eq!(passed.code, 0, "{}", passed.text);
    let failed = play(json!([{ "points": -1 }, { "migrate": { "from": "0.1.0", "plugin": "cards" } }]));
    let told = "0.1.0 → 0.2.0, slice 1 from cursor ``: negative the card b has -1 points";
    assert!(failed.code == 1 && failed.text.contains(told), "{}", failed.text);
    for (step, told) in [
        (json!({ "from": "0.3.0" }), "have not to be moved"),
        (json!({ "from": "0.0.9" }), "upgrade to 0.1.0 first"),
        (json!({ "from": "0.1.0", "plugin": "other" }), "there is no plugin `other`"),
    ] {
        let refused = play(json!([{ "points": 1 }, { "migrate": step }]));
        assert!(refused.code == 1 && refused.text.contains(told), "{}", refused.text);
    }
}
