//! Rules that want to exhaust something.

use super::*;

fn message(text: &str) -> String {
    parse(text).unwrap_err().message
}

#[test]
fn deep_nesting_is_an_error_and_not_a_stack_overflow() {
    for opening in ["(", "!", "-", "[", "lower(", "size((", "!(", "-(-", "now(("] {
        // Within the bytes allowed, and far beyond them.
        for count in [40, 1_000, 100_000] {
            let text = opening.repeat(count);
            let error = parse(&text).unwrap_err();
            let known = ["nested deeper", "more than the 8192 allowed"];
            assert!(known.iter().any(|part| error.message.contains(part)), "{opening}: {}", error.message);
        }
    }
    assert!(parse(&format!("{}vip{}", "(".repeat(100_000), ")".repeat(100_000))).is_err());
}

#[test]
fn the_deepest_rule_allowed_can_be_evaluated_and_printed() {
    let text = format!("{}vip{}", "!(".repeat(15), ")".repeat(15));
    assert!(holds(&text, &[]));
    let sum = format!("points{} > 0", " + 1".repeat(29));
    assert!(holds(&sum, &[("points", Value::Int(0))]));
    assert!(parse(&parse(&sum).unwrap().to_string()).is_ok());
}

#[test]
fn long_chains_of_sums_are_bounded_like_nesting() {
    assert!(message(&format!("points{} > 0", " + 1".repeat(100))).contains("nested deeper than 32"));
}

#[test]
fn wide_rules_are_bounded_by_their_nodes() {
    let wide = |count: usize| vec!["points == 1"; count].join(" || ");
    assert!(parse(&wide(100)).is_ok());
    assert!(message(&wide(300)).contains("more than 512"));
    let list = |count: usize| format!("points in [{}]", vec!["1"; count].join(","));
    assert!(parse(&list(500)).is_ok());
    assert!(message(&list(600)).contains("more than 512"));
}

#[test]
fn a_rule_longer_than_allowed_is_not_read() {
    let error = parse(&" ".repeat(8_193)).unwrap_err();
    assert!(error.message.contains("8193 bytes"), "{}", error.message);
    assert!(error.help.contains("in list"));
}

#[test]
fn messages_do_not_repeat_long_names() {
    let error = parse(&format!("{} == 1", "x".repeat(8_000))).unwrap_err();
    assert!(error.to_string().len() < 500, "{error}");
    let error = parse(&format!("tier == '{}'", "ü".repeat(3_000))).unwrap_err();
    assert!(error.to_string().len() < 500, "{error}");
}

#[test]
fn a_text_cannot_break_out_of_its_quotes_when_printed() {
    let text = r#"name == '\' || vip // "' "#;
    let rule = parse(text).unwrap_or_else(|_| parse(r#"name == "' || vip // \\""#).unwrap());
    let again = parse(&rule.to_string()).unwrap();
    assert_eq!(again.root(), rule.root());
}
