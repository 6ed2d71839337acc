//! Scenarios: stories about automations that an author writes in JSON, and what the command line says of them.

use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{copy, copy_plugin, project, share_compiled_code};
use crate::process::{Outcome, rapport};

/// A folder with the project's scripts and plugins, the built component among them.
struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        share_compiled_code(&folder.path().join("data"));
        copy(&project().join("scripts"), &folder.path().join("scripts"));
        copy(&project().join("tests/data/scenarios"), &folder.path().join("scenarios"));
        let plugin = folder.path().join("plugins/tiers");
        std::fs::create_dir_all(&plugin).unwrap();
        for name in ["plugin.toml", "tiers.test.json"] {
            std::fs::copy(project().join("plugins/tiers").join(name), plugin.join(name)).unwrap();
        }
        std::fs::copy(env!("TIERS_COMPONENT"), plugin.join("tiers.wasm")).unwrap();
        for name in ["desk", "loyalty", "survey"] {
            copy_plugin(name, &folder.path().join("plugins").join(name));
        }
        Self(folder)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        rapport(&[&["--data", "data"], arguments].concat()).within(self.0.path()).run()
    }

    /// Plays one scenario over the points script on `order.paid`; gives its report.
    fn play(&self, scenario: &Value) -> (i32, Value) {
        self.write("scenarios/this.json", &scenario.to_string());
        let outcome = self.run(&["test", "scenarios/this.json", "--json"]);
        let report: Value = serde_json::from_str(&outcome.output).unwrap_or_else(|_| panic!("{}", outcome.text));
        (outcome.code, report["scenarios"][0].clone())
    }
}

/// Steps after a customer `c1` paid an order of 120.50 at two o'clock, with points doubled above 100.
fn paid(steps: &[Value]) -> Value {
    let event =
        json!({"id": "e1", "type": "order.paid", "subject": "customer/customer_no:c1", "data": {"amount": "120.50"}});
    let mut all = vec![json!({"at": "2026-03-01T02:00:00Z", "event": event})];
    all.extend_from_slice(steps);
    json!({"scripts": ["points.rhai"], "settings": {"points": {"double_over": 100}},
        "records": [{"object": "customer", "customer_no": "c1"}], "steps": all})
}

fn points(expected: i64) -> Value {
    json!({"expect": {"record": "customer/customer_no:c1", "fields": {"points": expected}}})
}

#[test]
fn the_scenario_of_the_issue_comes_true() {
    let bench = Bench::new();
    std::fs::copy(bench.0.path().join("scenarios/points.rhai"), bench.0.path().join("scripts/loyalty/points.rhai"))
        .unwrap();
    let outcome = bench.run(&["test", "scenarios/issue.json", "--json"]).expect(0);
    let report: Value = serde_json::from_str(&outcome.output).unwrap();
    assert_eq!(report["ok"], true);
    let results: Vec<&Value> =
        report["scenarios"][0]["steps"].as_array().unwrap().iter().map(|s| &s["result"]).collect();
    assert_eq!(results, ["pass"; 5]);
}

#[test]
fn every_script_and_the_plugin_keep_what_their_scenarios_say() {
    let bench = Bench::new();
    let mut open = vec![bench.0.path().join("scripts")];
    let mut tested = 0;
    while let Some(folder) = open.pop() {
        for path in std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rhai") {
                bench.run(&["script", "test", path.to_str().unwrap()]).expect(0);
                tested += 1;
            }
        }
    }
    assert!(tested > 0);
    let outcome = bench.run(&["plugin", "test", "plugins/tiers"]).expect(0);
    assert!(outcome.output.contains("tiers.test.json: ok, 8 steps"), "{}", outcome.output);
}

#[test]
fn the_points_program_keeps_what_its_scenarios_say() {
    let bench = Bench::new();
    let outcome = bench.run(&["plugin", "test", "plugins/loyalty"]).expect(0);
    assert!(outcome.output.contains("spend.json: ok, 12 steps"), "{}", outcome.output);
    let used = outcome.output.lines().last().unwrap_or_default();
    assert!(
        used.starts_with("loyalty: ") && used.contains(" of 50.00 million fuel, ") && used.contains(" of 32.0 MiB, "),
        "{used}"
    );
}

#[test]
fn surveys_and_the_service_desk_keep_what_their_scenarios_say() {
    let bench = Bench::new();
    for plugin in ["plugins/desk", "plugins/survey"] {
        let outcome = bench.run(&["plugin", "test", plugin]).expect(0);
        assert!(outcome.output.contains(".json: ok, "), "{}", outcome.output);
    }
}

#[test]
fn a_wrong_expectation_fails_with_what_was_found() {
    let bench = Bench::new();
    bench.write("scenarios/this.json", &paid(&[points(250), points(240)]).to_string());
    let outcome = bench.run(&["test", "scenarios/this.json"]).expect(1);
    insta::assert_snapshot!(outcome.output.trim_end(), @r"
    scenarios/this.json: FAILED, 1 of 3 steps
      step 2 (expect) at 2026-03-01T02:00:00Z
        /steps/1/expect/fields/points: customer/customer_no:c1 points
          expected 250
          found    240
    ");
    let (code, report) = bench.play(&paid(&[points(250)]));
    assert_eq!((code, &report["ok"]), (1, &json!(false)));
    let difference = &report["steps"][1]["differences"][0];
    assert_eq!((&difference["expected"], &difference["found"]), (&json!(250), &json!(240)));
}

#[test]
fn lists_are_exact_and_in_order() {
    let bench = Bench::new();
    let events = |list: Value| json!({"expect": {"events": list}});
    let change = json!({"type": "customer.updated", "data": {"before": {"points": 0}, "after": {"points": 240}}});
    let paid_event = json!({"type": "order.paid", "subject": "customer/customer_no:c1", "data": {"amount": 120.5}});
    let (_, report) = bench.play(&paid(&[
        events(json!([paid_event, change])),
        events(json!([change, paid_event])),
        events(json!([paid_event])),
        events(json!([paid_event, {"data": {"after": {"points": 241}}}])),
        json!({"expect": {"tasks": [], "messages": [], "effects": []}}),
        json!({"write": {"object": "task", "op": "create", "fields": {"title": "Call", "customer": "customer_no:c1"}}}),
        json!({"expect": {"tasks": [{"title": "Call", "customer": "customer/customer_no:c1", "state": "open"}]}}),
        json!({"expect": {"tasks": []}}),
    ]));
    let results: Vec<&Value> = report["steps"].as_array().unwrap().iter().map(|s| &s["result"]).collect();
    assert_eq!(results, ["pass", "pass", "fail", "fail", "fail", "pass", "pass", "pass", "fail"], "{report:#}");
    assert_eq!(report["steps"][4]["differences"][0]["pointer"], "/steps/4/expect/events/1/data/after/points");
}

#[test]
fn tags_are_written_and_expected() {
    let bench = Bench::new();
    let record = "customer/customer_no:c1";
    let write = |tags: Value| json!({"write": {"object": "customer", "op": "update", "key": "customer_no:c1", "fields": {"tags": tags}}});
    let expect = |tags: Value| json!({"expect": {"record": record, "fields": {"tags": tags}}});
    let (_, report) = bench.play(&paid(&[
        write(json!({"add": ["vip", "new"]})),
        expect(json!(["vip", "new"])),
        write(json!({"remove": ["new"]})),
        expect(json!(["vip"])),
        expect(json!(["new"])),
        json!({"expect": {"count": {"object": "customer", "where": "'vip' in tags", "n": 1}}}),
    ]));
    let results: Vec<&Value> = report["steps"].as_array().unwrap().iter().map(|s| &s["result"]).collect();
    assert_eq!(results, ["pass", "pass", "pass", "pass", "pass", "fail", "pass"], "{report:#}");
}

#[test]
fn what_falls_due_on_the_way_happens_at_its_own_instant() {
    let bench = Bench::new();
    bench.write(
        "scenarios/late.rhai",
        r#"//! Fails until a second has passed.
on("order.paid");
uses("customer.notes:write");
fn run(event) {
    if now() - event.time < 1 { throw "too early"; }
    update(event.record, #{ notes: `${now()}` });
}
"#,
    );
    let event = json!({"type": "order.paid", "subject": "customer/customer_no:c1", "data": {"amount": "1"}});
    let scenario = json!({"scripts": ["late.rhai"], "records": [{"object": "customer", "customer_no": "c1"}], "steps": [
        {"at": "2026-03-01T02:00:00Z", "event": event},
        {"expect": {"runs": {"retrying": 1}}},
        {"crash": true},
        {"at": "2026-03-01T03:00:00Z"},
        {"expect": {"runs": {"retrying": 0, "completed": 1}}},
        {"expect": {"record": "customer/customer_no:c1", "fields": {"notes": "?"}}}]});
    let (_, first) = bench.play(&scenario);
    let noted = first["steps"][5]["differences"][0]["found"].as_str().unwrap_or_else(|| panic!("{first:#}")).to_owned();
    assert!(("2026-03-01T02:00:01".."2026-03-01T02:05:00").contains(&noted.as_str()), "{noted}");
    let (_, second) = bench.play(&scenario);
    assert_eq!(first["steps"], second["steps"], "the same seed gives the same story");
    let mut other = scenario;
    other["seed"] = json!(7);
    let (_, third) = bench.play(&other);
    assert_ne!(third["steps"][5]["differences"][0]["found"], noted, "another seed draws other waits");
}

#[test]
fn a_step_that_is_refused_ends_the_story_and_says_why() {
    let bench = Bench::new();
    let order = json!({"write": {"object": "order", "op": "create", "fields": {"order_no": "1", "amuont": 3}}});
    let (code, report) = bench.play(&paid(&[order, points(240)]));
    assert_eq!((code, &report["steps"][2]["result"]), (1, &json!("skipped")));
    assert!(report["steps"][1]["error"].as_str().unwrap().contains("did you mean `amount`?"), "{report:#}");
}

#[test]
fn a_person_in_a_scenario_may_do_what_their_roles_allow() {
    let bench = Bench::new();
    let mut scenario = paid(&[json!({"expect": {"events": {"type": "order.paid", "list": [{}]}}})]);
    scenario["actor"] = json!("user:ann");
    assert_eq!(bench.play(&scenario).0, 0);
    scenario["actor"] = json!({"user": "ann", "roles": ["viewer"]});
    let (code, report) = bench.play(&scenario);
    assert_eq!(code, 1);
    assert!(report["steps"][0]["error"].as_str().unwrap().contains("write"), "{report:#}");
}

#[test]
fn the_runs_are_told_when_asked_and_when_something_went_wrong() {
    let bench = Bench::new();
    bench.write("scenarios/this.json", &paid(&[]).to_string());
    let outcome = bench.run(&["test", "scenarios/this.json", "--trace"]).expect(0);
    assert!(outcome.output.contains("run points: completed for order.paid about customer/"), "{}", outcome.output);
    assert!(outcome.output.contains("increment") && outcome.output.contains("points by 240"), "{}", outcome.output);
    bench.write(
        "scenarios/points.rhai",
        "//! Gives up.\non(\"order.paid\");\nsetting(\"double_over\", 1);\nfn run(event) { fail(\"no luck\"); }\n",
    );
    let outcome = bench.run(&["test", "scenarios/this.json"]).expect(0);
    assert!(!outcome.output.contains("no luck"), "nothing expected it to be otherwise");
    bench.write("scenarios/this.json", &paid(&[json!({"expect": {"runs": {"dead": 0}}})]).to_string());
    let outcome = bench.run(&["test", "scenarios/this.json"]).expect(1);
    assert!(outcome.output.contains("dead runs") && outcome.output.contains("no luck"), "{}", outcome.output);
}

#[test]
fn a_file_that_cannot_be_played_says_where_and_what_would_be_right() {
    let bench = Bench::new();
    for (scenario, told) in [
        (json!({"setps": []}), "/setps: there is no `setps` here; did you mean `steps`?"),
        (json!({"scripts": ["nowhere.rhai"], "steps": [{"crash": true}]}), "/scripts/0: there is no `nowhere.rhai`"),
        (json!({"steps": [{"http": {"match": "POST https://a.example"}}]}), "/steps/0/http"),
        (json!({"steps": [{"answer": {"task": 0, "choice": "refund"}}]}), "/steps/0/answer/task"),
        (json!({"records": [{"object": "customer", "contry": "x"}], "steps": [{"crash": true}]}), "/records/0"),
        (
            json!({"scripts": ["points.rhai"], "settings": {"points": {"duoble_over": 1}}, "steps": [{"crash": true}]}),
            "/settings/points/duoble_over: there is no setting `duoble_over`; did you mean `double_over`?",
        ),
        (
            json!({"scripts": ["points.rhai"], "settings": {"pionts": {}}, "steps": [{"crash": true}]}),
            "did you mean `points`?",
        ),
    ] {
        let (code, report) = bench.play(&scenario);
        assert_eq!(code, 1);
        assert!(report["error"].as_str().unwrap().contains(told), "{report:#}");
    }
    bench.write("scenarios/twice.json", "{\"steps\": [],\n \"steps\": []}");
    let outcome = bench.run(&["test", "scenarios/twice.json"]).expect(1);
    assert!(outcome.output.contains("the key `steps` occurs twice at line 2"), "{}", outcome.output);
    let outcome = bench.run(&["test", "scenarios/nothing.json"]).expect(1);
    assert!(outcome.output.contains("cannot read it"), "{}", outcome.output);
    let outcome = bench.run(&["script", "test", "scenarios/points.rhai"]).expect(1);
    assert!(outcome.text.contains("points.test.json"), "{}", outcome.text);
}

#[test]
fn a_script_that_waits_plays_with_answers_crashes_and_days() {
    let bench = Bench::new();
    let outcome = bench.run(&["script", "test", "scenarios/unhappy.rhai"]);
    assert_eq!(outcome.code, 0, "{}", outcome.text);
    let wrong = std::fs::read_to_string(bench.0.path().join("scenarios/unhappy.test.json")).unwrap();
    bench.write("scenarios/unhappy.test.json", &wrong.replace("came back with b1", "came back with b2"));
    let outcome = bench.run(&["script", "test", "scenarios/unhappy.rhai"]);
    assert_eq!(outcome.code, 1, "{}", outcome.text);
    assert!(outcome.text.contains("came back with b1"), "{}", outcome.text);
}

#[test]
fn a_scenario_plays_runs_that_wait_for_several_lock_and_invoke() {
    let bench = Bench::new();
    let asks = r#"//! Waits for an order or a week, and has the outcome noted once.
on("order.paid");
uses("order:read", "customer:read", "invoke:notes");
fn run(event) {
    let first = wait_any([
        #{ event: "order.created", where: "customer == c && amount > 0", params: #{ c: event.record.id } },
        #{ event: "order.created", where: "customer == c && amount < 0", params: #{ c: event.record.id } },
    ], "7 days");
    let word = switch first.index { 0 => "bought", 1 => "sent back", _ => "nothing" };
    log(invoke("notes", #{ customer: event.record.id, word: word }).noted);
}
"#;
    let notes = r#"//! Notes a word, once.
invocable();
uses("customer:read", "customer.notes:write");
fn run(event) {
    lock("notes");
    let customer = get("customer", event.input.customer);
    if customer.notes == () { update(customer, #{ notes: event.input.word }); }
    sleep("1 hour");
    #{ noted: event.input.word }
}
"#;
    bench.write("scenarios/asks.rhai", asks);
    bench.write("scenarios/notes.rhai", notes);
    let paid = |n: &str, at: &str| {
        let subject = format!("customer/customer_no:{n}");
        json!({ "at": at, "event": { "id": n, "type": "order.paid", "subject": subject, "data": { "amount": "1" } } })
    };
    let noted = |n: &str, word: &Value| json!({ "expect": { "record": format!("customer/customer_no:{n}"), "fields": { "notes": word } } });
    let order = |n: &str, amount: &str| {
        let fields = json!({ "order_no": n, "customer": format!("customer/customer_no:{n}"), "amount": amount });
        json!({ "write": { "object": "order", "op": "create", "fields": fields } })
    };
    let customer = |n: &str| json!({ "object": "customer", "customer_no": n });
    let scenario = json!({
        "scripts": ["asks.rhai", "notes.rhai"],
        "records": [customer("a"), customer("b"), customer("c")],
        "steps": [
            paid("a", "2026-03-01T00:00:00Z"), paid("b", "2026-03-01T00:00:00Z"), paid("c", "2026-03-01T00:00:00Z"),
            order("a", "5"), order("b", "-5"),
            noted("a", &json!("bought")), noted("b", &json!("sent back")), noted("c", &Value::Null),
            { "at": "2026-03-09T00:00:00Z", "expect": { "runs": { "dead": 0, "waiting": 0, "completed": 6 } } },
            noted("c", &json!("nothing")),
        ],
    });
    let (code, report) = bench.play(&scenario);
    assert_eq!(code, 0, "{report}");
}

#[test]
fn a_plugin_calls_functions_of_the_scripts_that_a_scenario_names() {
    let bench = Bench::new();
    let manifest = crate::harness::keeper_manifest("keeper", &["script:surveys/*"], "");
    bench.write("plugins/keeper/plugin.toml", &manifest);
    let component = bench.0.path().join("plugins/keeper/keeper.wasm");
    std::fs::copy(env!("KEEPER_COMPONENT"), component).unwrap();
    let flow = "//! What comes next.\nsetting(\"from\", 9);\nfn next(score) { if score >= setting(\"from\") { \"why\" } else { \"sorry\" } }\n";
    bench.write("scripts/surveys/nps.rhai", flow);
    let calls = json!([["script", "surveys/nps", "next", [8]], ["script", "surveys/nps", "prior", []]]);
    let customer = json!({"object": "customer", "op": "create", "fields": {"customer_no": "1", "country": "keeper", "notes": calls.to_string()}});
    let told = r#"["why",{"refused":"unknown_function","why":"`prior` of `surveys/nps`: the script has no function `prior`"}]"#;
    let scenario = json!({
        "scripts": ["scripts/surveys/nps.rhai"], "plugins": ["plugins/keeper"], "settings": {"surveys/nps": {"from": 8}},
        "steps": [{"write": customer}, {"expect": {"record": "customer/customer_no:1", "fields": {"postcode": told}}}],
    });
    bench.write("plugins/keeper/keeper.test.json", &scenario.to_string());
    bench.run(&["plugin", "test", "plugins/keeper"]).expect(0);
    bench.run(&["script", "check", "scripts/surveys/nps.rhai"]).expect(0);
}
