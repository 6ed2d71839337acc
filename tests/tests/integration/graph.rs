//! What is known before anything runs: which automation can start which, and what a script says that cannot be right.

use serde_json::{Value, json};

use crate::harness::{Database, TestApp, on_both, project, share_compiled_code};
use crate::process::rapport;

on_both!(
    the_graph_follows_rights_and_triggers,
    a_circle_is_told_when_it_is_pushed_and_activated_and_is_not_refused,
    a_right_for_one_field_closes_no_circle_over_another,
    the_command_line_draws_the_graph,
    what_cannot_be_right_is_found_with_line_and_column,
    what_may_be_right_is_left_alone,
    a_check_knows_what_is_declared_and_live,
    who_may_invoke_whom_is_an_edge,
);

/// Writes a note for an order.
const NOTES: &str = "//! Notes orders.\non(\"order.created\");\nuses(\"order:read\", \"customer.notes:write\");\n\
                     fn run(event) { update(event.record.customer, #{ notes: event.record.order_no }); }\n";
/// Makes an order for a note.
const ORDERS: &str = "//! Orders what is noted.\non_change(\"customer\", [\"notes\"]);\nuses(\"order:create\");\n\
                      fn run(event) { if event.record.notes == \"never\" { create(\"order\", #{ order_no: \"x\", customer: event.record.id }); } }\n";

async fn graph(app: &TestApp) -> Value {
    app.get("/v1/automations/graph").await.expect(200).json()
}

fn edges(graph: &Value) -> Vec<String> {
    let edge = |e: &Value| {
        let word = |name: &str| e[name].as_str().unwrap().to_owned();
        format!("{} {} {}", word("from"), word("event"), word("to"))
    };
    graph["edges"].as_array().unwrap().iter().map(edge).collect()
}

async fn the_graph_follows_rights_and_triggers(database: Database) {
    let app = TestApp::on(database).points_script().tiers_plugin().start().await;
    let found = graph(&app).await;
    assert_eq!(edges(&found), ["loyalty/points customer.updated tiers"]);
    assert_eq!(found["circles"], json!([]), "the tier is another field than the points");
    let points = &found["automations"][0];
    assert_eq!(points["makes"], json!([{ "event": "customer.updated", "fields": ["points"] }]));
    let tiers = &found["automations"][1];
    assert_eq!(
        tiers["makes"],
        json!([{ "event": "customer.updated", "fields": ["tier"] }, { "event": "tier.changed" }])
    );
}

async fn a_circle_is_told_when_it_is_pushed_and_activated_and_is_not_refused(database: Database) {
    let app = TestApp::on(database).script("notes", NOTES).start().await;
    let told = json!(["can start itself: orders → order.created → notes → customer.updated → orders"]);
    let pushed = app.post("/v1/automations/orders/versions", json!({ "source": ORDERS })).await.expect(201).json();
    assert_eq!(pushed["notices"], told);
    assert_eq!(graph(&app).await["circles"], json!([]), "a draft starts nothing");
    let live = app.post("/v1/automations/orders/activate", json!({})).await.expect(200).json();
    assert_eq!((&live["changed"], &live["notices"]), (&json!(true), &told));
    let circles = graph(&app).await["circles"].clone();
    assert_eq!(circles[0]["automations"], json!(["notes", "orders"]));
    assert_eq!(circles[0]["chain"], "notes → customer.updated → orders → order.created → notes");
    // What is in a folder is told of at the terminal.
    let app = TestApp::on(database).script("notes", NOTES).script("orders", ORDERS).start().await;
    assert!(app.notices().contains("orders: can start itself: orders → order.created → notes"), "{}", app.notices());
}

async fn a_right_for_one_field_closes_no_circle_over_another(database: Database) {
    let other = ORDERS.replace("[\"notes\"]", "[\"city\"]");
    let on = ORDERS
        .replace("on_change(\"customer\", [\"notes\"])", "on(\"customer.updated\", \"before.city != after.city\")");
    let any = ORDERS.replace("on_change(\"customer\", [\"notes\"])", "on(\"customer.updated\", \"city != 'Bonn'\")");
    for (orders, circles) in [(other, 0), (on, 0), (any, 1)] {
        let app = TestApp::on(database).script("notes", NOTES).script("orders", &orders).start().await;
        let found = graph(&app).await;
        assert_eq!(found["circles"].as_array().unwrap().len(), circles, "{orders}: {found}");
    }
}

async fn the_command_line_draws_the_graph(database: Database) {
    let app = TestApp::on(database).script("notes", NOTES).script("orders", ORDERS).start().await;
    let key = app.folder.path().join("key");
    let draw =
        |more: &[&str]| rapport(&[&["automation", "graph"], more].concat()).to(&app, &key).run().expect(0).output;
    let text = draw(&[]);
    assert!(text.contains("  → customer.updated (notes) → orders"), "{text}");
    assert!(text.contains("circle: notes → customer.updated → orders → order.created → notes"), "{text}");
    let dot = draw(&["--dot"]);
    assert!(
        dot.starts_with("digraph") && dot.contains("\"notes\" -> \"orders\" [label=\"customer.updated\", color=red];"),
        "{dot}"
    );
    let json: Value = serde_json::from_str(&draw(&["--json"])).unwrap();
    assert_eq!(edges(&json), ["notes customer.updated orders", "orders order.created notes"]);
}

/// A script that an order starts, with this body in line 6; and what a check says of it.
async fn checked(app: &TestApp, body: &str) -> Vec<String> {
    let source = format!(
        "//! Tries.\non(\"order.created\");\nuses(\"customer:read\", \"order:read\", \"task:create\", \"customer.notes:write\", \"emit:x.said\");\n\
         event_type(\"x.said\", #{{ word: #{{ type: \"text\", required: true }} }});\nfn run(event) {{\n{body}\n}}\n"
    );
    let file = json!({ "id": "tries", "path": "tries.rhai", "source": source });
    let answer = app.post("/v1/scripts/check", json!({ "files": [file] })).await.expect(200).items();
    let one = |p: &Value| {
        let word = |name: &str| p[name].as_str().unwrap_or_default().to_owned();
        format!("{}:{} {}; {}", p["line"], p["column"], word("message"), word("help"))
    };
    answer[0]["problems"].as_array().into_iter().flatten().map(one).collect()
}

/// Bodies of `run`, the word at the place of what is wrong, and what is said of it.
const WRONG: [(&str, &str, &str); 19] = [
    (
        "create(\"task\", #{ titel: \"x\", title: \"y\" });",
        "titel",
        "`task` has no field `titel`; did you mean `title`?",
    ),
    ("create(\"task\", #{ body: \"x\" });", "create", "`task` needs `title`; "),
    (
        "update(\"customer\", \"customer_no:1\", #{ ntoes: 1 });",
        "ntoes",
        "`customer` has no field `ntoes`; did you mean `notes`?",
    ),
    (
        "update(event.record.customer, #{ ntoes: 1 });",
        "ntoes",
        "`customer` has no field `ntoes`; did you mean `notes`?",
    ),
    (
        "let c = get(\"customer\", \"customer_no:1\"); update(c, #{ nots: 1 });",
        "nots",
        "`customer` has no field `nots`; did you mean `notes`?",
    ),
    (
        "increment(event.record.customer, \"pionts\", 1);",
        "\"pionts\"",
        "`customer` has no field `pionts`; declare it: `field(\"customer\", \"pionts\", \"text\");`",
    ),
    (
        "update(event.record, #{ status: \"x\" });",
        "update",
        "`update` needs the right `order.status:write`, which the script does not declare; write `uses(\"order.status:write\");` at the top level",
    ),
    ("log(event.record.amuont);", "amuont", "`order` has no field `amuont`; did you mean `amount`?"),
    ("log(event.after.amuont);", "amuont", "`order` has no field `amuont`; did you mean `amount`?"),
    (
        "log(event.record.customer.name);",
        "name",
        "a reference to a `customer` has no `name`: it only knows its `id`; read the record first: `get(reference)`",
    ),
    ("find(\"custmer\", \"\");", "\"custmer\"", "there is no object `custmer`; did you mean `customer`?"),
    ("count(\"order\", \"amuont > 5\");", "amuont", "in the rule: unknown name `amuont`; did you mean `amount`?"),
    (
        "emit(\"x.sad\", event.record, #{ word: \"a\" });",
        "\"x.sad\"",
        "there is no event type `x.sad`; did you mean `x.said`?",
    ),
    (
        "emit(\"x.said\", event.record, #{ wrod: \"a\", word: \"b\" });",
        "wrod",
        "the event `x.said` has no field `wrod`; did you mean `word`?",
    ),
    ("emit(\"x.said\", event.record, #{});", "emit", "`x.said` needs `word`; "),
    (
        "wait_for(\"order.payed\", \"\", #{}, \"1 day\");",
        "\"order.payed\"",
        "there is no event type `order.payed`; did you mean `order.paid`?",
    ),
    (
        "wait_for(\"order.created\", \"amount > 5\", #{}, \"1 day\");",
        "\"amount",
        "the rule holds no field equal to a value, by which the event could be found; write `customer == c && …` with `#{ c: … }`",
    ),
    (
        "wait_for(\"order.created\", \"customer.country == 'Norway'\", #{}, \"1 day\");",
        "\"customer.",
        "the rule looks at another record (`customer`); a rule that is waited for looks at the event alone",
    ),
    (
        "log(setting(\"nothing\"));",
        "\"nothing\"",
        "there is no setting `nothing`; write `setting(\"nothing\", …);` with its default at the top level",
    ),
];

async fn what_cannot_be_right_is_found_with_line_and_column(database: Database) {
    let app = TestApp::start(database).await;
    for (body, place, told) in WRONG {
        let column = body.find(place).unwrap() + 1;
        let told = format!("6:{column} {told}");
        let found = checked(&app, body).await;
        assert!(found.contains(&told), "{body}\n  wanted {told}\n  found  {found:#?}");
    }
    // The same keeps a script from going live.
    let source = "on(\"order.created\");\nuses(\"customer.notes:write\");\nfn run(event) { update(event.record.customer, #{ ntoes: 1 }); }";
    let refused = app.post("/v1/automations/x/versions", json!({ "source": source })).await.expect(422).json();
    assert!(refused["detail"].as_str().unwrap().contains("x.rhai:3:50: `customer` has no field `ntoes`"), "{refused}");
}

async fn what_may_be_right_is_left_alone(database: Database) {
    let app = TestApp::start(database).await;
    for body in [
        "let target = event.record; target = event.record.customer; update(target, #{ notes: 1 });",
        "let name = \"ntoes\"; let fields = #{}; fields[name] = 1; update(event.record.customer, fields);",
        "let c = get(event.record.customer); log(c.name); update(c, #{ notes: c.city });",
        "for c in find(\"customer\", \"city == c\", #{ c: \"Bonn\" }) { update(c, #{ notes: c.name }); }",
        "log(event.record.id); log(event.record.version); log(event.record.customer.id); log(event.record.object);",
        "let next = wait_for(\"order.created\", \"customer == c && amount > 5\", #{ c: event.record.customer }, \"1 day\"); log(next.record.amount);",
        "let rule = \"amount > 5\"; wait_for(\"order.created\", rule, #{}, \"1 day\");",
        "let t = create(\"task\", #{ title: \"x\" }); log(t.state);",
        "emit(\"x.said\", event.record, #{ word: \"a\" });",
    ] {
        assert_eq!(checked(&app, body).await, Vec::<String>::new(), "{body}");
    }
}

async fn a_check_knows_what_is_declared_and_live(database: Database) {
    let app = TestApp::on(database).script("notes", NOTES).points_script().start().await;
    let folder = app.folder.path();
    let (key, data) = (folder.join("key"), folder.join("elsewhere"));
    share_compiled_code(&data);
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let orders = write("orders.rhai", ORDERS);
    // With a server, what is live closes the circle, and fields that other automations declared are known.
    let with_server = |file: &str| rapport(&["script", "check", file]).to(&app, &key).run();
    let told = with_server(&orders).expect(0).text;
    assert!(
        told.contains("notice: can start itself: orders → order.created → notes → customer.updated → orders"),
        "{told}"
    );
    assert!(told.contains("against what is live at http://"), "{told}");
    let reader = "on(\"customer.updated\");\nuses(\"customer:read\");\nfn run(event) { log(event.record.points); }";
    let reader = write("reader.rhai", reader);
    with_server(&reader).expect(0);
    // Without one, the files given are all there is.
    let alone = |files: &[&str]| {
        let common = ["script", "check", "--data", data.to_str().unwrap()];
        rapport(&[common.as_slice(), files].concat()).run()
    };
    let missing = alone(&[&reader]).expect(1).text;
    assert!(missing.contains("reader.rhai:3:34: `customer` has no field `points`"), "{missing}");
    assert!(missing.contains("against the standard objects and these files"), "{missing}");
    let points = project().join("scripts/loyalty/points.rhai");
    let tiers = project().join("plugins/tiers");
    let both = alone(&[&reader, points.to_str().unwrap(), tiers.to_str().unwrap()]).expect(0).text;
    assert!(both.contains("plugin.toml: ok"), "{both}");
    let notes = write("notes.rhai", NOTES);
    assert!(alone(&[&notes, &orders]).expect(0).text.contains("notice: can start itself: notes → customer.updated"));
    alone(&["nowhere.rhai", &notes]).expect(1);
}

async fn who_may_invoke_whom_is_an_edge(database: Database) {
    let check = "//! Checks.\ninvocable();\nuses(\"order:create\");\nfn run(event) { #{ ok: true } }\n";
    let asks = "//! Asks.\non(\"order.created\");\nuses(\"order:read\", \"invoke:check\");\n\
                fn run(event) { invoke(\"check\", #{}); }\n";
    let app = TestApp::on(database).script("asks", asks).script("check", check).start().await;
    let found = graph(&app).await;
    assert_eq!(edges(&found), ["asks run.invoked check", "check order.created asks"]);
    assert_eq!(found["circles"][0]["chain"], "asks → run.invoked → check → order.created → asks");
}
