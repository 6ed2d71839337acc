use super::*;

fn broken(path: &str, text: &str) -> Vec<String> {
    check(Path::new(path), text).iter().map(ToString::to_string).collect()
}

fn function(name: &str, lines: usize) -> String {
    format!("fn {name}() {{\n{}}}\n", "    x();\n".repeat(lines))
}

#[test]
fn a_function_of_seventy_lines_is_the_longest() {
    assert_eq!(broken("a.rs", &function("f", 70)), [""; 0]);
    assert_eq!(broken("a.rs", &function("f", 71)), ["a.rs:1: `f` has 71 lines, at most 70 are allowed"]);
}

#[test]
fn a_long_function_in_a_test_is_found_too() {
    let text = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", function("f", 71));
    assert_eq!(broken("a.rs", &text), ["a.rs:3: `f` has 71 lines, at most 70 are allowed"]);
}

#[test]
fn a_file_of_five_hundred_lines_is_the_longest() {
    assert_eq!(broken("a.rs", &"x;\n".repeat(500)), [""; 0]);
    assert_eq!(
        broken("a.rs", &"x;\n".repeat(501)),
        ["a.rs:1: 501 lines of production code, at most 500 are allowed: split it"]
    );
}

#[test]
fn tests_in_a_file_are_not_counted() {
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "\n// why\nx;\n".repeat(400));
    assert_eq!(broken("a.rs", &format!("{}{tests}", "x;\n".repeat(500))), [""; 0]);
    assert_eq!(broken("a.rs", &format!("{}{tests}", "x;\n".repeat(501))).len(), 1);
}

#[test]
fn comments_count_as_lines_of_a_file() {
    assert_eq!(broken("a.rs", &format!("fn a() {{}}\n{}", "// x\n".repeat(500))).len(), 1);
}

#[test]
fn a_test_file_may_be_long_and_may_unwrap() {
    let text = format!("{}fn f() {{ x.unwrap(); }}", "x;\n".repeat(600));
    for path in ["core/store/src/log/tests.rs", "tests/tests/integration/events.rs", "core/a/benches/b.rs"] {
        assert_eq!(broken(path, &text), [""; 0], "{path}");
    }
}

#[test]
fn unwrap_is_for_tests() {
    let text = "fn f() { a.unwrap() }\n#[cfg(test)]\nmod tests { fn t() { b.unwrap() } }\n/// `x.unwrap()`\nfn g() { a.unwrap_or(1) }";
    assert_eq!(broken("a.rs", text), ["a.rs:1: `unwrap` outside tests: return an error, or `expect` with the proof"]);
}

#[test]
fn marks_of_unfinished_work_are_found_in_comments_and_macros() {
    let text = "// to do: TODOS are fine\n// TODO: x\n/* FIXME */ fn f() { todo!() }\nfn g() { unimplemented!(\"x\") }\nconst A: &str = \"TODO\";";
    let lines: Vec<_> = check(Path::new("a.rs"), text).iter().map(|v| v.line).collect();
    assert_eq!(lines, [2, 3, 3, 4]);
}

#[test]
fn allow_is_found_inside_other_attributes() {
    let text = "#![allow(x)]\n#[cfg_attr(a, allow(y))]\n#[expect(z, reason = \"allow it\")]\nfn f() { allow(); a[0]; }";
    let lines: Vec<_> = check(Path::new("a.rs"), text).iter().map(|v| v.line).collect();
    assert_eq!(lines, [1, 2]);
}

#[test]
fn an_ignored_test_is_found() {
    assert_eq!(broken("a.rs", "#[test]\n#[ignore = \"slow\"]\nfn f() {}"), ["a.rs:2: a test is never ignored"]);
}

#[test]
fn a_module_file_named_mod_is_found() {
    assert_eq!(broken("a/mod.rs", ""), ["a/mod.rs:1: a module is `name.rs`, not `name/mod.rs`"]);
}

/// `cargo test` alone holds the rules, too.
#[test]
fn the_project_keeps_the_rules() {
    let found = violations(&workspace::root()).unwrap();
    let shown: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "{}", shown.join("\n"));
}
