use super::*;

fn problems(source: &str) -> Vec<String> {
    let outline = outline(source);
    let one = |p: &Json| format!("{}:{} {}", p["line"], p["column"], p["message"].as_str().unwrap());
    outline["problems"].as_array().unwrap().iter().map(one).collect()
}

const GOOD: &str = "//! Title.\non(\"a.b\");\nfn run(event) { increment(event.record, \"points\", 1); }";

#[test]
fn a_good_script_has_a_title_and_statements_with_their_places() {
    let outline = outline(GOOD);
    assert_eq!(outline["title"], "Title.");
    assert_eq!(outline["problems"], json!([]));
    assert_eq!(outline["statements"], json!([{ "call": "on", "args": ["a.b"], "line": 2, "column": 1 }]));
    assert_eq!(outline["calls"], json!([]));
}

#[test]
fn a_host_call_with_literal_names_is_told() {
    let source = "fn run(e) { update(\"customer\", \"k\", #{ a: 1, b: e }); if true { emit(\"x.y\", #{}); } get(e); }";
    let calls = outline(source)["calls"].clone();
    assert_eq!(calls[0]["fields"], json!(["a", "b"]));
    assert_eq!((calls[1]["call"].as_str(), calls[1]["object"].as_str()), (Some("emit"), Some("x.y")));
    assert_eq!(calls.as_array().unwrap().len(), 2);
}

#[test]
fn a_function_that_nobody_defined_is_found_wherever_it_is_called() {
    let source = "fn run(e) {\n while nope(1) { }\n let f = |x| nada(x);\n e.zilch();\n [zip(1)];\n #{ a: zap() };\n}";
    let found = problems(source);
    for name in ["nope", "nada", "zilch", "zip", "zap"] {
        assert!(found.iter().any(|p| p.contains(&format!("`{name}`"))), "{name}: {found:?}");
    }
}

#[test]
fn functions_of_the_script_and_of_the_language_are_known() {
    let source = "fn helper(a, b) { a + b }\nfn run(e) { helper(1, 2); 1.helper(2); [1].push(2); \"a\".len(); abs(-1); print(1); \
                  type_of(1); let f = |x| x; f.call(1); let g = Fn(\"helper\"); call(g, 1, 2); [1, 2].map(|x| x + 1); \
                  for i in range(0, 5) { } \"a\" in [\"a\"]; !true; -1; 1..2; }";
    assert_eq!(problems(source), Vec::<String>::new());
}

#[test]
fn a_wrong_number_of_arguments_is_told_with_the_right_one() {
    let outline = outline("fn run(e) { now(1); }");
    assert_eq!(outline["problems"][0]["message"], "`now` cannot take 1 arguments");
    assert_eq!(outline["problems"][0]["help"], "it takes 0");
}

#[test]
fn the_top_level_is_not_run_when_something_is_unknown() {
    let outline = outline("on(\"a.b\"); nope(); fn run(e) { }");
    assert_eq!(outline["statements"], json!([]));
}

#[test]
fn dangerous_functions_do_not_exist() {
    for call in ["eval(\"1\")", "timestamp()", "exit()"] {
        assert!(!problems(&format!("fn run(e) {{ {call}; }}")).is_empty(), "{call}");
    }
    assert!(!problems("import \"x\" as y; fn run(e) { }").is_empty());
}

#[test]
fn what_something_starts_has_a_function_run_and_what_holds_functions_need_not() {
    assert_eq!(problems("on(\"a.b\"); fn next(a) { a }"), ["0:0 there is no function `run`"]);
    assert_eq!(problems("fn next(a) { a }"), Vec::<String>::new());
    assert_eq!(problems("fn run(a, b) { a + b }"), ["0:0 `run` takes one parameter, the event, not 2"]);
    assert_eq!(outline("fn next(a) { a }\nfn prior() { }")["functions"].as_array().unwrap().len(), 2);
}

#[test]
fn default_can_be_a_name() {
    assert_eq!(problems("field(\"a\", \"b\", \"text\", #{ default: \"x\" }); fn run(e) { }"), Vec::<String>::new());
}

#[test]
fn arguments_become_json() {
    let outline = outline("setting(\"a\", 0.5); setting(\"b\", [1, #{ c: () }]); fn run(e) { }");
    assert_eq!(outline["statements"][0]["args"], json!(["a", 0.5]));
    assert_eq!(outline["statements"][1]["args"], json!(["b", [1, { "c": null }]]));
}
