//! What the check of a script finds, and how it tells.

use rapport_sandbox::Sandbox;

use crate::host::sandbox;

async fn wrong(sandbox: &Sandbox, source: &str) -> Vec<String> {
    let found = sandbox.check_script("x.rhai", source).await.unwrap_err();
    found.iter().map(|d| d.to_string().replace("\n  help: ", " | ")).collect()
}

const RUN: &str = "fn run(event) { }";

#[tokio::test]
async fn everything_wrong_is_told_at_once() {
    let source = "on(\"order.created\");\nfn run(event) {\n    incremnt(event.record, \"points\", 1);\n    emitt(1);\n    updte();\n}";
    assert_eq!(
        wrong(&sandbox(), source).await,
        [
            "x.rhai:3:5: there is no function `incremnt` | did you mean `increment`?",
            "x.rhai:4:5: there is no function `emitt` | did you mean `emit`?",
            "x.rhai:5:5: there is no function `updte` | did you mean `update`?",
        ]
    );
}

#[tokio::test]
async fn a_mistake_of_syntax_names_its_place() {
    let sandbox = sandbox();
    for (source, told) in [
        ("on(\"order.created\");\nfn run(event) {\n  let x = ;\n}", "x.rhai:3:11: "),
        ("on(\"order.created\");\nfn run(event) {", "expecting '}'"),
        (
            "on(\"order.created\");\nfn run(event) { log(evnt.type); }",
            "there is no variable `evnt` | did you mean `event`?",
        ),
        ("fn run(event) { let match = 1; }", "reserved word"),
        ("on(\"order.created\");\nfn run(event) { eval(\"1\"); }", "eval"),
        ("import \"x\" as y;", "x.rhai:1:"),
    ] {
        let found = wrong(&sandbox, source).await;
        assert!(found[0].contains(told), "{source}: {found:?}");
    }
}

#[tokio::test]
async fn run_must_be_there_and_take_the_event() {
    let sandbox = sandbox();
    assert_eq!(
        wrong(&sandbox, "on(\"order.created\");").await,
        ["x.rhai:0:0: there is no function `run` | write `fn run(event) { … }`"]
    );
    let found = wrong(&sandbox, "on(\"order.created\"); fn run() { }").await;
    assert!(found[0].contains("`run` takes one parameter, the event, not 0"), "{found:?}");
}

#[tokio::test]
async fn something_must_start_it() {
    let sandbox = sandbox();
    for source in [RUN, "//! Nothing at all.", "setting(\"a\", 1);"] {
        let found = wrong(&sandbox, source).await;
        assert!(found[0].contains("nothing starts this script"), "{found:?}");
    }
}

#[tokio::test]
async fn a_script_may_hold_functions_alone_which_are_pure() {
    let sandbox = sandbox();
    let flow = "//! A flow.\nsetting(\"from\", 9);\nfn next(answers, customer) { if answers[0] > setting(\"from\") { now() } }\n";
    let declared = sandbox.check_script("x.rhai", flow).await.unwrap();
    assert_eq!((declared.title.as_str(), declared.settings.len(), declared.is_started()), ("A flow.", 1, false));
    let found = wrong(&sandbox, "fn next(a) {\n  get(\"customer\", a)\n}\nfn later() { sleep(\"1 day\") }").await;
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].starts_with("x.rhai:2:3: `get` cannot be called in a script that only holds functions"),
        "{found:?}"
    );
    assert!(found[1].contains("`sleep`"), "{found:?}");
}

#[tokio::test]
async fn a_right_that_is_used_must_be_declared() {
    let source = "on(\"order.created\");\nuses(\"customer:read\");\nfn run(event) {\n  let c = get(\"customer\", \"a\");\n  \
                  update(\"customer\", \"a\", #{ city: 1, tier: 2 });\n  emit(\"x.y\", #{});\n  create(\"task\", #{ title: \"a\" });\n}";
    assert_eq!(
        wrong(&sandbox(), source).await,
        [
            "x.rhai:5:3: `update` needs the right `customer.city:write`, which the script does not declare | write `uses(\"customer.city:write\");` at the top level",
            "x.rhai:5:3: `update` needs the right `customer.tier:write`, which the script does not declare | write `uses(\"customer.tier:write\");` at the top level",
            "x.rhai:6:3: `emit` needs the right `emit:x.y`, which the script does not declare | write `uses(\"emit:x.y\");` at the top level",
            "x.rhai:7:3: `create` needs the right `task:create`, which the script does not declare | write `uses(\"task:create\");` at the top level",
        ]
    );
}

#[tokio::test]
async fn the_top_level_only_declares() {
    let sandbox = sandbox();
    let found = wrong(&sandbox, &format!("on(\"order.created\");\nget(\"customer\", \"a\");\n{RUN}")).await;
    assert!(found[0].contains("x.rhai:2:1: `get` cannot be called at the top level"), "{found:?}");
    let found = wrong(&sandbox, "on(\"order.created\");\nfn run(event) { uses(\"customer:read\"); }").await;
    assert!(found[0].contains("`uses` declares and cannot be called in a function"), "{found:?}");
}

#[tokio::test]
async fn a_declaration_that_is_wrong_says_what_would_be_right() {
    let sandbox = sandbox();
    for (line, told) in [
        ("on(\"order\");", "`order` is not a event type"),
        ("on(1);", "expected an event type"),
        ("on();", "`on` cannot take 0 arguments"),
        ("uses(\"customer:own\");", "`customer:own` is not a right"),
        ("field(\"customer\", \"points\", \"intger\");", "did you mean `integer`?"),
        ("field(\"customer\", \"Points\", \"integer\");", "`Points` is not a name"),
        ("field(\"customer\", \"points\", \"integer\", #{ defalt: 0 });", "did you mean `default`?"),
        (
            "field(\"customer\", \"points\", \"integer\", #{ default: \"many\" });",
            "the default of `points` does not fit",
        ),
        ("field(\"customer\", \"points\", \"decimal(9)\");", "no number of decimals from 0 to 6"),
        ("field(\"customer\", \"tier\", \"choice\");", "`choice` says no options"),
        ("setting(\"x\", 1); setting(\"x\", 2);", "the setting `x` is declared twice"),
        ("event_type(\"tier\", #{ to: \"text\" });", "`tier` is not a event type"),
        ("object(\"voucher\", #{ code: 1 });", "expected a type such as \"integer\""),
    ] {
        let found = wrong(&sandbox, &format!("on(\"order.created\");\n{line}\n{RUN}")).await;
        assert!(found[0].starts_with("x.rhai:2:") && found[0].contains(told), "{line}: {found:?}");
    }
}

#[tokio::test]
async fn every_declaration_is_read() {
    let source = r#"//! Title here.
        on("order.*", "amount > 100");
        on_change("customer", ["points", "tier"], "points > 5");
        uses("customer:read", "emit:loyalty.*");
        uses(["task:write"]);
        setting("rate", 0.5);
        field("customer", "tier", "choice", #{ options: ["a", "b"], default: "a", indexed: true });
        event_type("loyalty.moved", #{ amount: "decimal(3)", by: "reference(customer)", subject_optional: true });
        object("voucher", #{ code: #{ type: "text", unique: true, required: true }, valid_to: "date" });
        fn run(event) { helper(1); }
        fn helper(x) { let f = |y| y + 1; f.call(x) }"#;
    let declared = sandbox().check_script("x.rhai", source).await.unwrap();
    insta::assert_snapshot!(serde_json::to_string(&declared).unwrap());
}

#[tokio::test]
async fn the_tour_of_the_design_passes() {
    let source = r#"//! Greets a new customer.
        on("customer.created");
        uses("customer:read", "order:read", "customer.notes:write");
        setting("discount", 10);
        fn run(event) {
            let customer = event.record;
            if count("order", "customer == c", #{ c: customer.id }) == 0 {
                update(customer, #{ notes: `welcome ${setting("discount")}` });
            }
        }"#;
    assert_eq!(sandbox().check_script("x.rhai", source).await.unwrap().title, "Greets a new customer.");
}

#[tokio::test]
async fn hostile_sources_are_refused_and_harm_nothing() {
    let sandbox = sandbox();
    let deep = format!("fn run(event) {{ let x = {}1{}; }}", "(".repeat(50_000), ")".repeat(50_000));
    let blocks = format!("fn run(event) {{ {}{} }}", "{".repeat(20_000), "}".repeat(20_000));
    let arrays = format!("on({}\"a\"{});", "[".repeat(5_000), "]".repeat(5_000));
    for source in [deep.as_str(), &blocks, &arrays, "\0\0", "\u{feff}fn", "\"\\x", "/*", "fn run(event) { \u{202e} }"] {
        assert!(
            sandbox.check_script("x.rhai", source).await.is_err(),
            "{}",
            &source.chars().take(40).collect::<String>()
        );
    }
    assert!(sandbox.check_script("x.rhai", &format!("on(\"a.b\"); {RUN}")).await.is_ok());
}

#[tokio::test]
async fn a_broken_script_cannot_be_loaded() {
    let error = sandbox().load_script("x.rhai", "fn run(event) {\n  let = 1;\n}").await.unwrap_err();
    assert!(error.to_string().starts_with("x.rhai:2:"), "{error}");
}
