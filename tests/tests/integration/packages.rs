//! Plugins in packages: nothing runs that was not granted, nobody takes another's place, and there is a way back from everything.

use rapport_model::limits::Trust;
use rapport_package::{Package, Rotation, SecretKey};
use serde_json::{Value, json};

use crate::client::{Client, Reply, Request};
use crate::harness::{Database, TestApp, eventually, on_both, project};
use crate::process::{ServerProcess, rapport};

on_both!(
    nothing_runs_before_the_grant,
    an_upgrade_that_asks_for_no_more_is_live_at_once,
    an_upgrade_that_asks_for_more_waits_while_the_old_one_runs,
    a_package_that_nobody_signed_needs_a_word,
    an_operator_says_whose_packages_come_in,
    a_package_that_was_changed_is_refused,
    another_key_does_not_take_the_place_of_the_publishers,
    a_grant_is_for_one_list,
    a_right_that_was_not_granted_is_refused_when_it_is_used,
    a_disabled_plugin_is_held_back_until_it_is_enabled,
    a_blocked_package_does_not_run,
    two_plugins_do_not_claim_the_same,
    an_uninstalled_plugin_leaves_its_data_and_no_grant,
    what_a_plugin_brings_may_no_more_than_the_plugin,
    an_upgrade_killed_midway_leaves_the_old_one_whole,
    an_upgrade_indexes_records_that_are_there,
    a_partner_packs_and_an_admin_installs,
);

/// The manifest of the demo's plugin.
fn manifest() -> String {
    std::fs::read_to_string(project().join("plugins/tiers/plugin.toml")).unwrap()
}

fn later(version: &str) -> String {
    manifest().replace("version = \"0.1.0\"", &format!("version = \"{version}\""))
}

/// A later version that reads orders as well.
fn asking_more() -> String {
    format!("{}\n[[capabilities]]\nright = \"order:read\"\nreason = \"looks at orders\"\n", right_last(&later("0.2.0")))
}

/// `[settings]` closes the manifest: what is added stands before it.
fn right_last(text: &str) -> String {
    let (head, settings) = text.split_once("[settings]").unwrap();
    let settings: Vec<&str> = settings.lines().filter(|l| !l.is_empty()).collect();
    let inline: Vec<String> = settings.iter().map(ToString::to_string).collect();
    format!("settings = {{ {} }}\n{head}", inline.join(", "))
}

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

/// The component of the demo's plugin in a package with another manifest and more files.
fn package(manifest: &str, more: &[(&str, &str)]) -> Package {
    let component = std::fs::read(env!("TIERS_COMPONENT")).unwrap();
    let mut files = vec![("plugin.toml", manifest.as_bytes().to_vec()), ("tiers.wasm", component)];
    files.extend(more.iter().map(|(name, text)| (*name, text.as_bytes().to_vec())));
    Package::new(files.into_iter().map(|(name, content)| (name.parse().unwrap(), content))).unwrap()
}

/// The till in a package: what its manifest says beside its head.
pub(crate) fn till_package(rest: &str) -> Package {
    let component = std::fs::read(env!("TILL_COMPONENT")).unwrap();
    let head = "id = \"till\"\nversion = \"0.1.0\"\napi = \"0.1\"\npublisher = \"Tests\"\ntitle = \"A till\"\n";
    let manifest = format!("{head}compensate = true\n{rest}").into_bytes();
    let files = [("plugin.toml", manifest), ("till.wasm", component)];
    Package::new(files.into_iter().map(|(name, content)| (name.parse().unwrap(), content))).unwrap()
}

fn signed(manifest: &str) -> Vec<u8> {
    let mut package = package(manifest, &[]);
    package.sign("Rapport", &key(1), Vec::new()).unwrap();
    package.pack()
}

async fn send(client: &Client, method: &str, path: &str, archive: &[u8]) -> Reply {
    client.send(Request::new(method, path).body("application/octet-stream", archive)).await
}

async fn install(app: &TestApp, archive: &[u8]) -> Value {
    send(app, "POST", "/v1/plugins?grant_all=true", archive).await.expect(201).json()
}

async fn workspace(database: Database) -> TestApp {
    TestApp::on(database).points_script().start().await
}

async fn buy(client: &Client, order_no: &str, amount: &str) {
    let order = json!({ "order_no": order_no, "customer": { "customer_no": "a" }, "amount": amount });
    client.post("/v1/records/order", order).await.expect(201);
}

async fn tier_after(app: &TestApp, order_no: &str, amount: &str) -> Value {
    buy(app, order_no, amount).await;
    app.run_until_idle().await;
    app.customer_field("a", "tier").await
}

async fn show(app: &TestApp) -> Value {
    app.get("/v1/plugins/tiers").await.expect(200).json()
}

async fn nothing_runs_before_the_grant(database: Database) {
    let app = workspace(database).await;
    let waiting = send(&app, "POST", "/v1/plugins", &signed(&manifest())).await.expect(201).json();
    assert_eq!(
        (&waiting["state"], &waiting["version"], &waiting["trust"]),
        (&json!("waiting"), &Value::Null, &json!("signed"))
    );
    assert_eq!(waiting["pending"]["version"], "0.1.0");
    let more: Vec<&str> = waiting["pending"]["more"].as_array().unwrap().iter().map(|m| m.as_str().unwrap()).collect();
    assert_eq!(
        more,
        [
            "customer.tier:write",
            "emit:tier.changed",
            "event_type:tier.changed",
            "field:customer.tier",
            "trigger:customer.updated"
        ]
    );
    buy(&app, "1", "5000").await;
    app.run_until_idle().await;
    assert!(app.runs("automation=tiers").await.is_empty());
    // The way around is closed as well.
    let around = app.post("/v1/automations/tiers/activate", json!({})).await.expect(409);
    assert_eq!(around.code(), "grant_needed");

    let granted = app.post("/v1/plugins/tiers/grant", json!({ "all": true })).await.expect(200).json();
    assert_eq!(
        (&granted["state"], &granted["version"], &granted["pending"]),
        (&json!("enabled"), &json!("0.1.0"), &Value::Null)
    );
    assert!(granted["granted_by"].as_str().unwrap().starts_with("user:"), "{granted}");
    assert_eq!(tier_after(&app, "2", "10").await, "gold");
    assert_eq!(app.get("/v1/plugins").await.expect(200).items().len(), 1);
    let again = send(&app, "POST", "/v1/plugins", &signed(&manifest())).await.expect(409);
    assert_eq!(again.code(), "conflict");
}

async fn an_upgrade_that_asks_for_no_more_is_live_at_once(database: Database) {
    let app = workspace(database).await;
    install(&app, &signed(&manifest())).await;
    let upgraded = later("0.1.1").replace("gold_from = 5000", "gold_from = 3000");
    let live = send(&app, "PUT", "/v1/plugins/tiers", &signed(&upgraded)).await.expect(200).json();
    assert_eq!((&live["version"], &live["pending"], &live["before"]), (&json!("0.1.1"), &Value::Null, &json!("0.1.0")));
    assert_eq!(tier_after(&app, "1", "2000").await, "gold");
    // The same package again changes nothing; an older one, or the same version with other content, is refused.
    let same = send(&app, "PUT", "/v1/plugins/tiers", &signed(&upgraded)).await.expect(200).json();
    assert_eq!(same["version"], "0.1.1");
    for other in [manifest(), later("0.1.1")] {
        let refused = send(&app, "PUT", "/v1/plugins/tiers", &signed(&other)).await.expect(409);
        assert!(refused.text().contains("0.1.1 is installed"), "{}", refused.text());
    }
    let back = app.post("/v1/plugins/tiers/rollback", json!({})).await.expect(200).json();
    assert_eq!((&back["version"], &back["before"]), (&json!("0.1.0"), &Value::Null));
    assert_eq!(app.post("/v1/plugins/tiers/rollback", json!({})).await.expect(409).code(), "conflict");
}

async fn an_upgrade_that_asks_for_more_waits_while_the_old_one_runs(database: Database) {
    let app = workspace(database).await;
    install(&app, &signed(&manifest())).await;
    let waiting = send(&app, "PUT", "/v1/plugins/tiers", &signed(&asking_more())).await.expect(200).json();
    assert_eq!((&waiting["version"], &waiting["pending"]["version"]), (&json!("0.1.0"), &json!("0.2.0")));
    assert_eq!(waiting["pending"]["more"], json!(["order:read"]));
    assert_eq!(tier_after(&app, "1", "5000").await, "gold");

    let granted = app.post("/v1/plugins/tiers/grant", json!({ "all": true })).await.expect(200).json();
    assert_eq!((&granted["version"], &granted["before"]), (&json!("0.2.0"), &json!("0.1.0")));
    assert_eq!(tier_after(&app, "2", "10000").await, "platinum");
    let back = app.post("/v1/plugins/tiers/rollback", json!({})).await.expect(200).json();
    assert_eq!(back["version"], "0.1.0");
    assert_eq!(tier_after(&app, "3", "-20000").await, "bronze");
    // What was granted once is not asked for again.
    let forth = send(&app, "PUT", "/v1/plugins/tiers", &signed(&asking_more())).await.expect(200).json();
    assert_eq!((&forth["version"], &forth["pending"]), (&json!("0.2.0"), &Value::Null));
}

async fn a_package_that_nobody_signed_needs_a_word(database: Database) {
    let app = workspace(database).await;
    let bare = package(&manifest(), &[]).pack();
    let refused = send(&app, "POST", "/v1/plugins?grant_all=true", &bare).await.expect(422);
    assert_eq!(refused.code(), "untrusted_package");
    assert!(app.get("/v1/plugins").await.items().is_empty() && app.get("/v1/publishers").await.items().is_empty());
    let taken = send(&app, "POST", "/v1/plugins?grant_all=true&unsigned=true", &bare).await.expect(201).json();
    assert_eq!((&taken["state"], &taken["trust"]), (&json!("enabled"), &json!("unsigned")));
    assert_eq!(tier_after(&app, "1", "5000").await, "gold");
    // Once its publisher signs, nothing unsigned comes in that bears the name.
    send(&app, "PUT", "/v1/plugins/tiers", &signed(&later("0.1.1"))).await.expect(200);
    let bare = package(&later("0.1.2"), &[]).pack();
    let refused = send(&app, "PUT", "/v1/plugins/tiers?unsigned=true", &bare).await.expect(422);
    assert_eq!(refused.code(), "untrusted_package");
    assert_eq!(show(&app).await["version"], "0.1.1");
}

async fn an_operator_says_whose_packages_come_in(database: Database) {
    let setup = TestApp::on(database).points_script();
    let app = setup.configure(|config| config.limits.packages_at_least = Trust::Signed).start().await;
    let bare = package(&manifest(), &[]).pack();
    let refused = send(&app, "POST", "/v1/plugins?grant_all=true&unsigned=true", &bare).await.expect(422).json();
    assert!(refused["detail"].as_str().unwrap().contains("`limits.packages_at_least`"), "{refused}");
    let app = app.restart(|setup| setup.configure(|config| config.limits.packages_at_least = Trust::Trusted)).await;
    let refused = send(&app, "POST", "/v1/plugins?grant_all=true", &signed(&manifest())).await.expect(422).json();
    let way = format!("rapport plugin trust \"Rapport\" --key {}", key(1).public());
    assert!(refused["detail"].as_str().unwrap().ends_with(&way), "{refused}");
    assert!(app.get("/v1/publishers").await.items().is_empty(), "a refused package pins no key");
    app.put("/v1/publishers/Rapport", json!({ "key": key(1).public().to_string() })).await.expect(200);
    assert_eq!(install(&app, &signed(&manifest())).await["trust"], "trusted");
    // A key that follows from it is trusted as it was.
    let mut next = package(&later("0.1.1"), &[]);
    next.sign("Rapport", &key(2), vec![Rotation::make("Rapport", &key(1), key(2).public())]).unwrap();
    let upgraded = send(&app, "PUT", "/v1/plugins/tiers", &next.pack()).await.expect(200).json();
    assert_eq!((&upgraded["version"], &upgraded["trust"]), (&json!("0.1.1"), &json!("trusted")));
}

async fn a_package_that_was_changed_is_refused(database: Database) {
    let app = workspace(database).await;
    let whole = signed(&manifest());
    for at in [0, 20, whole.len() / 2, whole.len() - 1] {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        let refused = send(&app, "POST", "/v1/plugins?grant_all=true&unsigned=true", &changed).await.expect(422);
        assert_eq!(refused.code(), "invalid_package", "{at}");
    }
    let refused = send(&app, "POST", "/v1/plugins", b"PK").await.expect(422);
    assert_eq!(refused.code(), "invalid_package");
    let json = app.post("/v1/plugins", json!({})).await.expect(415);
    assert_eq!(json.code(), "unsupported_media_type");
    let viewer = json!({ "name": "viewer", "scopes": ["read", "write"] });
    let key = app.post("/v1/keys", viewer).await.expect(201).json()["secret"].as_str().unwrap().to_owned();
    assert_eq!(send(&app.with_key(&key), "POST", "/v1/plugins", &whole).await.expect(403).code(), "forbidden");
    assert!(app.get("/v1/plugins").await.items().is_empty());
    let report = send(&app, "POST", "/v1/packages/inspect", &whole).await.expect(200).json();
    assert_eq!(
        (&report["id"], &report["refused"], &report["package"]["signed_by"]),
        (&json!("tiers"), &Value::Null, &json!("Rapport"))
    );
    assert!(app.get("/v1/plugins").await.items().is_empty());
}

async fn another_key_does_not_take_the_place_of_the_publishers(database: Database) {
    let app = workspace(database).await;
    install(&app, &signed(&manifest())).await;
    let by = |seed: u8, rotations: Vec<Rotation>, version: &str| {
        let mut package = package(&later(version), &[]);
        package.sign("Rapport", &key(seed), rotations).unwrap();
        package.pack()
    };
    let refused = send(&app, "PUT", "/v1/plugins/tiers", &by(2, vec![], "0.1.1")).await.expect(422);
    assert_eq!(refused.code(), "untrusted_package");
    let rotation = Rotation::make("Rapport", &key(1), key(2).public());
    let followed = send(&app, "PUT", "/v1/plugins/tiers", &by(2, vec![rotation], "0.1.1")).await.expect(200).json();
    assert_eq!((&followed["version"], &followed["key"]), (&json!("0.1.1"), &json!(key(2).public())));
    // The old key's time is over.
    let refused = send(&app, "PUT", "/v1/plugins/tiers", &by(1, vec![], "0.1.2")).await.expect(422);
    assert_eq!(refused.code(), "untrusted_package");
    let address = "/v1/publishers/Rapport";
    app.put(address, json!({ "key": key(3).public() })).await.expect(200);
    let trusted = send(&app, "PUT", "/v1/plugins/tiers", &by(3, vec![], "0.1.2")).await.expect(200).json();
    assert_eq!((&trusted["version"], &trusted["trust"]), (&json!("0.1.2"), &json!("trusted")));
    // A name in the manifest that is not the signer's is nobody's.
    let mut package = package(&later("0.1.3"), &[]);
    package.sign("Somebody", &key(3), vec![]).unwrap();
    let refused = send(&app, "PUT", "/v1/plugins/tiers", &package.pack()).await.expect(422);
    assert!(refused.text().contains("signed by `Somebody`"), "{}", refused.text());
}

async fn a_grant_is_for_one_list(database: Database) {
    let app = workspace(database).await;
    let first = send(&app, "POST", "/v1/plugins", &signed(&manifest())).await.expect(201).json();
    let shown = first["pending"]["asked_digest"].clone();
    // While the admin reads, another package comes in that asks for more.
    send(&app, "PUT", "/v1/plugins/tiers", &signed(&asking_more())).await.expect(200);
    let stale = app.post("/v1/plugins/tiers/grant", json!({ "all": true, "asked": shown })).await.expect(409);
    assert!(stale.text().contains("another list"), "{}", stale.text());
    // Or the publisher's key changes.
    app.put("/v1/publishers/Rapport", json!({ "key": key(9).public() })).await.expect(200);
    let other = app.post("/v1/plugins/tiers/grant", json!({ "all": true })).await.expect(422);
    assert_eq!(other.code(), "untrusted_package");
    for (grant, told) in [
        (json!({}), "grant `all`, or a list of `items`"),
        (json!({ "all": true, "items": [] }), "grant `all`, or a list of `items`"),
        (json!({ "items": ["customer.tier:wrte"] }), "did you mean `customer.tier:write`?"),
        (json!({ "items": ["customer.tier:write"] }), "cannot be left out"),
    ] {
        app.put("/v1/publishers/Rapport", json!({ "key": key(1).public() })).await.expect(200);
        let refused = app.post("/v1/plugins/tiers/grant", grant).await.expect(422);
        assert!(refused.text().contains(told), "{}", refused.text());
    }
    assert_eq!(show(&app).await["state"], "waiting");
    assert_eq!(app.post("/v1/plugins/none/grant", json!({ "all": true })).await.expect(404).code(), "not_found");
}

async fn a_right_that_was_not_granted_is_refused_when_it_is_used(database: Database) {
    let app = workspace(database).await;
    let waiting = send(&app, "POST", "/v1/plugins", &signed(&manifest())).await.expect(201).json();
    let asked = waiting["pending"]["asked"].as_array().unwrap().clone();
    let items: Vec<Value> = asked.into_iter().filter(|item| item != "emit:tier.changed").collect();
    let granted = app.post("/v1/plugins/tiers/grant", json!({ "items": items })).await.expect(200).json();
    assert_eq!(granted["declined"], json!(["emit:tier.changed"]));
    buy(&app, "1", "5000").await;
    let dead = eventually("the run to die", || async { app.runs("automation=tiers&status=dead").await.pop() }).await;
    assert!(dead["error"].to_string().contains("may not use `emit:tier.changed`: it was not granted"), "{dead}");
    app.expect_dead(1);
    app.run_until_idle().await;
    assert_eq!(app.customer_field("a", "tier").await, Value::Null);
    assert!(app.get("/v1/events?type=tier.changed").await.items().is_empty());
    // What was declined is not asked for again by an upgrade.
    let upgraded = send(&app, "PUT", "/v1/plugins/tiers", &signed(&later("0.1.1"))).await.expect(200).json();
    assert_eq!((&upgraded["version"], &upgraded["pending"]), (&json!("0.1.1"), &Value::Null));
}

async fn a_disabled_plugin_is_held_back_until_it_is_enabled(database: Database) {
    let app = workspace(database).await;
    let waiting = send(&app, "POST", "/v1/plugins", &signed(&manifest())).await.expect(201).json();
    let asked = waiting["pending"]["asked"].as_array().unwrap().clone();
    let items: Vec<Value> = asked.into_iter().filter(|item| item != "emit:tier.changed").collect();
    app.post("/v1/plugins/tiers/grant", json!({ "items": items })).await.expect(200);
    buy(&app, "1", "5000").await;
    let dead = eventually("the run to die", || async { app.runs("automation=tiers&status=dead").await.pop() }).await;
    let run = format!("/v1/runs/{}", dead["id"].as_str().unwrap());

    let off = app.post("/v1/plugins/tiers/disable", json!({})).await.expect(200).json();
    assert_eq!(off["state"], "disabled");
    assert_eq!(app.post("/v1/plugins/tiers/disable", json!({})).await.expect(409).code(), "conflict");
    buy(&app, "2", "10").await;
    app.post(&format!("{run}/retry"), json!({})).await.expect(200);
    app.run_until_idle().await;
    let held = app.get(&run).await.expect(200).json();
    assert_eq!(held["status"], "paused");
    assert!(held["error"].to_string().contains("plugin_disabled"), "{held}");
    assert_eq!(app.runs("automation=tiers").await.len(), 1);
    for path in ["activate", "rollback"] {
        let around = app.post(&format!("/v1/automations/tiers/{path}"), json!({ "version": "active" })).await;
        assert!(around.status >= 400, "{path} {}", around.text());
    }
    // It stays so over a restart.
    let app = app.restart(|setup| setup).await;
    assert_eq!(show(&app).await["state"], "disabled");
    buy(&app, "3", "10").await;
    app.run_until_idle().await;
    assert_eq!(app.runs("automation=tiers").await.len(), 1);

    let on = app.post("/v1/plugins/tiers/enable", json!({})).await.expect(200).json();
    assert_eq!((&on["state"], &on["resumed"]), (&json!("enabled"), &json!(1)));
    app.run_until_idle().await;
    assert_eq!(app.get(&run).await.expect(200).json()["status"], "dead");
    app.expect_dead(1);
    assert_eq!(app.post("/v1/plugins/tiers/enable", json!({})).await.expect(409).code(), "conflict");
}

async fn a_blocked_package_does_not_run(database: Database) {
    let app = workspace(database).await;
    let first = install(&app, &signed(&manifest())).await;
    let digest = first["package"].as_str().unwrap().to_owned();
    let address = format!("/v1/blocked-packages/{digest}");
    let blocked = app.put(&address, json!({ "reason": "it lies" })).await.expect(200).json();
    assert_eq!(blocked["disabled"], json!(["tiers"]));
    let refused = app.post("/v1/plugins/tiers/enable", json!({})).await.expect(422);
    assert!(refused.text().contains("it lies"), "{}", refused.text());
    app.delete("/v1/plugins/tiers").await.expect(200);
    let refused = send(&app, "POST", "/v1/plugins?grant_all=true", &signed(&manifest())).await.expect(422);
    assert_eq!(refused.code(), "untrusted_package");
    // Another package of the same plugin is another matter.
    install(&app, &signed(&later("0.1.1"))).await;
    assert_eq!(app.get("/v1/blocked-packages").await.items().len(), 1);
    app.delete(&address).await.expect(204);
    assert!(app.get("/v1/blocked-packages").await.items().is_empty());
    assert_eq!(app.put("/v1/blocked-packages/xyz", json!({})).await.expect(422).code(), "invalid");
}

async fn two_plugins_do_not_claim_the_same(database: Database) {
    let app = workspace(database).await;
    let with_object =
        |text: &str| format!("{}\n[[objects]]\nname = \"voucher\"\nfields = {{ code = \"text\" }}\n", right_last(text));
    install(&app, &signed(&with_object(&manifest()))).await;
    // Another publisher's plugin of that name.
    let mut other = package(&later("9.0.0").replace("\"Rapport\"", "\"Other\""), &[]);
    other.sign("Other", &key(5), vec![]).unwrap();
    assert_eq!(send(&app, "POST", "/v1/plugins", &other.pack()).await.expect(409).code(), "conflict");
    let refused = send(&app, "PUT", "/v1/plugins/tiers", &other.pack()).await.expect(422);
    assert!(refused.text().contains("`tiers` comes from `Rapport`"), "{}", refused.text());
    // The same object in a plugin of another name.
    let component = std::fs::read(env!("TIERS_COMPONENT")).unwrap();
    let text = with_object(&manifest().replace("id = \"tiers\"", "id = \"vouchers\""));
    let files = [("plugin.toml", text.into_bytes()), ("vouchers.wasm", component)];
    let mut second = Package::new(files.map(|(name, content)| (name.parse().unwrap(), content))).unwrap();
    second.sign("Rapport", &key(1), vec![]).unwrap();
    let refused = send(&app, "POST", "/v1/plugins", &second.pack()).await.expect(422);
    assert!(refused.text().contains("the object `voucher` belongs to the plugin `tiers`"), "{}", refused.text());
    // A folder of the operator's does not take the place of an installed one either.
    let app = app.restart(crate::harness::Setup::tiers_plugin).await;
    assert!(app.notices().contains("is installed from a package of `Rapport`"), "{}", app.notices());
    assert_eq!(show(&app).await["source"], "package");
}

async fn an_uninstalled_plugin_leaves_its_data_and_no_grant(database: Database) {
    let app = workspace(database).await;
    install(&app, &signed(&manifest())).await;
    assert_eq!(tier_after(&app, "1", "5000").await, "gold");
    let gone = app.delete("/v1/plugins/tiers").await.expect(200).json();
    assert_eq!((&gone["state"], &gone["data_kept"]), (&json!("uninstalled"), &json!(["customer.tier"])));
    assert_eq!(tier_after(&app, "2", "20000").await, "gold");
    assert_eq!(show(&app).await["granted"], json!([]));
    assert_eq!(app.post("/v1/plugins/tiers/enable", json!({})).await.expect(404).code(), "not_found");
    assert_eq!(app.post("/v1/automations/tiers/rollback", json!({})).await.expect(409).code(), "conflict");
    let again = send(&app, "POST", "/v1/plugins", &signed(&manifest())).await.expect(201).json();
    assert_eq!(again["state"], "waiting");
    app.post("/v1/plugins/tiers/grant", json!({ "all": true })).await.expect(200);
    assert_eq!(tier_after(&app, "3", "10").await, "platinum");
}

async fn what_a_plugin_brings_may_no_more_than_the_plugin(database: Database) {
    let app = workspace(database).await;
    let script = |right: &str| format!("on(\"order.created\");\nuses(\"{right}\");\nfn run(event) {{ }}\n");
    let text = format!(
        "scripts = [\"scripts/greet.rhai\"]\n{}\n[[templates]]\nname = \"up\"\nsubject = \"Up!\"\ntext = \"templates/up.txt\"\n",
        right_last(&manifest())
    );
    let bringing = |right: &str| {
        let mut package =
            package(&text, &[("scripts/greet.rhai", &script(right)), ("templates/up.txt", "You moved up")]);
        package.sign("Rapport", &key(1), vec![]).unwrap();
        package.pack()
    };
    let refused = send(&app, "POST", "/v1/plugins", &bringing("customer:write")).await.expect(422);
    assert!(refused.text().contains("the script `tiers/greet` uses `customer:write`"), "{}", refused.text());
    let live = install(&app, &bringing("customer.tier:write")).await;
    assert_eq!(live["notices"], json!([]));
    let automations = app.get("/v1/automations").await.items();
    assert!(automations.iter().any(|a| a["id"] == "tiers/greet" && a["active"] == true), "{automations:?}");
    let template = app.get("/v1/records/template/name:tiers.up").await.expect(200).json();
    assert_eq!((&template["subject"], &template["text"]), (&json!("Up!"), &json!("You moved up")));
    let gone = app.delete("/v1/plugins/tiers").await.expect(200).json();
    assert_eq!(gone["scripts_switched_off"], json!(["tiers/greet"]));
}

async fn an_upgrade_killed_midway_leaves_the_old_one_whole(database: Database) {
    let folder = tempfile::tempdir().unwrap();
    let (data, url) = (folder.path().join("data"), database.url());
    let scripts = folder.path().join("scripts");
    std::fs::create_dir_all(scripts.join("loyalty")).unwrap();
    std::fs::copy(project().join("scripts/loyalty/points.rhai"), scripts.join("loyalty/points.rhai")).unwrap();
    let more = ["--scripts", scripts.to_str().unwrap()];
    let now = folder.path().join("now");
    let environment = [("RAPPORT_CRASH_AT", "plugin.declared"), ("RAPPORT_CRASH_IF", now.to_str().unwrap())];
    let server = ServerProcess::start_in(&environment, &data, url.as_deref(), &more).await;
    send(&server.client, "POST", "/v1/plugins?grant_all=true", &signed(&manifest())).await.expect(201);
    std::fs::write(&now, "").unwrap();
    let upgraded = format!(
        "{}\n[[fields]]\nobject = \"customer\"\nname = \"since\"\ntype = \"date\"\n",
        right_last(&later("0.2.0"))
    );
    let archive = signed(&upgraded);
    let request =
        Request::new("PUT", "/v1/plugins/tiers?grant_all=true").body("application/octet-stream", archive.clone());
    assert!(server.client.try_send(request).await.is_none());
    assert!(server.died(), "nothing passed the place");

    let server = ServerProcess::start(&data, url.as_deref(), &more).await;
    let plugin = server.client.get("/v1/plugins/tiers").await.expect(200).json();
    assert_eq!((&plugin["version"], &plugin["state"]), (&json!("0.1.0"), &json!("enabled")));
    buy(&server.client, "1", "5000").await;
    let tier = || async {
        let customer = server.client.get("/v1/records/customer/customer_no:a").await.expect(200).json();
        Some(customer).filter(|customer| customer["tier"] == "gold")
    };
    eventually("the tier", tier).await;
    let path = "/v1/plugins/tiers?grant_all=true";
    let plugin = send(&server.client, "PUT", path, &archive).await.expect(200).json();
    assert_eq!((&plugin["version"], &plugin["before"]), (&json!("0.2.0"), &json!("0.1.0")));
    assert_eq!(server.stop().await, 0);
}

/// The demo's plugin with answers, whose `item` is indexed as `options` say.
fn with_answers(version: &str, options: &str) -> Vec<u8> {
    let fields = format!("number = \"integer\"\nitem = {{ type = \"text\", {options} }}\n");
    signed(&format!("{}\n[[objects]]\nname = \"answer\"\n[objects.fields]\n{fields}", right_last(&later(version))))
}

async fn an_upgrade_indexes_records_that_are_there(database: Database) {
    let app = workspace(database).await;
    install(&app, &with_answers("0.1.0", "indexed = true")).await;
    app.post("/v1/records/answer", json!({ "item": "a", "number": 1 })).await.expect(201);
    let list = |list: &str| format!("indexed = true, indexed_with = [{list}]");
    let upgrade = async |client: &Client, archive: Vec<u8>| send(client, "PUT", "/v1/plugins/tiers", &archive).await;
    let wrong = upgrade(&app, with_answers("0.1.1", &list("\"nmber\""))).await;
    assert_eq!(wrong.status, 422, "{}", wrong.text());
    assert!(wrong.text().contains("which is no field of `answer`; did you mean `number`?"), "{}", wrong.text());
    let live = upgrade(&app, with_answers("0.1.2", &list("\"number\""))).await.expect(200).json();
    assert_eq!((&live["version"], &live["state"]), (&json!("0.1.2"), &json!("enabled")), "{live:#}");
    // One that knows nothing of the index leaves it, another list is refused.
    upgrade(&app, with_answers("0.1.3", "indexed = true")).await.expect(200);
    let other = upgrade(&app, with_answers("0.1.4", &list("\"number\", \"tags\""))).await;
    assert_eq!(other.status, 422, "{}", other.text());
    let answer = app.get("/v1/objects/answer").await.expect(200).json();
    let item = answer["fields"].as_array().unwrap().iter().find(|field| field["name"] == "item").unwrap();
    assert_eq!(item["indexed_with"], json!(["number"]));
    assert_eq!(app.all("answer").await.len(), 1);
    // What is not there cannot be dropped.
    let (url, folder, text) = (app.database_url(), app.folder.clone(), "drop index c_answer_item");
    let drop = async || _ = crate::database::execute(database, &folder.path().join("data"), &url, text).await;
    app.restart_after(drop).await;
}

async fn a_partner_packs_and_an_admin_installs(database: Database) {
    let app = workspace(database).await;
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("tiers");
    std::fs::create_dir(&dir).unwrap();
    std::fs::copy(env!("TIERS_COMPONENT"), dir.join("tiers.wasm")).unwrap();
    let key_file = place.path().join("owner.key");
    let call = |arguments: &[&str]| rapport(arguments).within(place.path()).to(&app, &key_file).run();
    let done = |arguments: &[&str]| {
        let outcome = call(arguments);
        assert_eq!(outcome.code, 0, "{arguments:?}: {}", outcome.text);
        outcome.output
    };
    std::fs::write(dir.join("plugin.toml"), manifest()).unwrap();
    let made = done(&["plugin", "keygen"]);
    let secret = std::fs::read_to_string(place.path().join("publisher.key")).unwrap();
    assert!(made.contains("public key: ed25519:") && !made.contains(secret.trim()), "{made}");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&place.path().join("publisher.key").metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert_ne!(call(&["plugin", "keygen"]).code, 0);
    done(&["plugin", "pack", "tiers"]);
    let one = std::fs::read(place.path().join("tiers-0.1.0.rapport")).unwrap();
    done(&["plugin", "pack", "tiers", "--out", "again.rapport"]);
    assert_eq!(std::fs::read(place.path().join("again.rapport")).unwrap(), one);
    let unsigned = call(&["plugin", "install", "tiers-0.1.0.rapport", "--grant", "all"]);
    assert!(unsigned.code == 1 && unsigned.text.contains("not signed"), "{}", unsigned.text);
    done(&["plugin", "sign", "tiers-0.1.0.rapport", "--key", "publisher.key"]);
    let inspected = done(&["plugin", "inspect", "tiers-0.1.0.rapport"]);
    assert!(inspected.contains("customer.tier:write  writes the tier that a customer has reached"), "{inspected}");
    // Nobody sits at a terminal: it waits.
    let waits = done(&["plugin", "install", "tiers-0.1.0.rapport"]);
    assert!(waits.contains("rapport plugin grant tiers --all"), "{waits}");
    done(&["plugin", "grant", "tiers", "--all"]);
    assert_eq!(tier_after(&app, "1", "5000").await, "gold");

    std::fs::write(dir.join("plugin.toml"), asking_more()).unwrap();
    done(&["plugin", "pack", "tiers"]);
    done(&["plugin", "sign", "tiers-0.2.0.rapport", "--key", "publisher.key"]);
    let waits = done(&["plugin", "upgrade", "tiers-0.2.0.rapport"]);
    assert!(waits.contains("it asks for order:read") && waits.contains("0.1.0 runs on"), "{waits}");
    done(&["plugin", "upgrade", "tiers-0.2.0.rapport", "--grant", "all"]);
    let listed = done(&["plugin", "list"]);
    assert!(listed.contains("0.2.0"), "{listed}");
    done(&["plugin", "rollback", "tiers"]);
    assert!(done(&["plugin", "show", "tiers"]).contains("0.1.0"));
    done(&["plugin", "disable", "tiers"]);
    done(&["plugin", "enable", "tiers"]);
    assert_eq!(call(&["plugin", "uninstall", "tiers"]).code, 2);
    let gone = done(&["plugin", "uninstall", "tiers", "--keep-data"]);
    assert!(gone.contains("its data stays: customer.tier"), "{gone}");
}
