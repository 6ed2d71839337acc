//! The tables of the reference, row by row.

use std::sync::Arc;

use rust_decimal::Decimal;
use serde_json::json;

use super::*;

fn money(text: &str) -> Value {
    Value::Decimal(Decimal::from_str_exact(text).unwrap())
}

fn at(text: &str) -> Value {
    Value::Time(text.parse().unwrap())
}

#[test]
fn the_rule_of_the_reference_finds_who_it_should() {
    let rule = "value > 5000 && days_since(seen_at) > 60 && country in ['Germany', 'France']";
    let seen = ("seen_at", at("2025-12-01T00:00:00Z"));
    let country = ("country", Value::text("France"));
    assert!(holds(rule, &[("value", money("5000.01")), seen.clone(), country.clone()]));
    assert!(!holds(rule, &[("value", money("5000.00")), seen.clone(), country]));
    assert!(!holds(rule, &[("value", money("9999.00")), seen, ("country", Value::text("Spain"))]));
}

#[test]
fn a_comparison_of_order_with_null_is_false_either_way() {
    none_hold(&[], &["points < 1", "points >= 1", "1 > points", "points <= points", "name < 'a'", "seen_at < now()"]);
}

#[test]
fn equality_tells_null_from_a_value_and_finds_two_nulls_equal() {
    all_hold(&[], &["points == null", "points != 0", "points == value", "name == city", "points != 1 && name != ''"]);
    all_hold(&[("points", Value::Int(0))], &["points != null", "points == 0", "points != value"]);
    all_hold(&[("extra", Value::Json(Arc::new(json!([]))))], &["extra != null", "null != extra"]);
    all_hold(&[], &["null == null"]);
}

#[test]
fn a_null_boolean_counts_as_false() {
    none_hold(&[], &["vip", "vip == true", "vip == false"]);
    all_hold(&[("vip", Value::Bool(false))], &["!vip", "vip == false", "vip != true"]);
    all_hold(&[("vip", Value::Bool(true))], &["vip", "vip == (1 < 2)"]);
}

#[test]
fn arithmetic_with_null_is_null() {
    all_hold(
        &[],
        &["points + 1 == null", "-points == null", "value * 2 == null", "size(name) == null", "lower(name) == null"],
    );
    none_hold(&[], &["points + 1 > 0", "days_since(seen_at) >= 0"]);
}

#[test]
fn decimals_are_exact() {
    let fields = [("value", money("0.10")), ("points", Value::Int(3))];
    all_hold(&fields, &["value * 3 == 0.3", "value + 0.2 == 0.30", "value < 0.100001", "value * points * 10 == 3"]);
    all_hold(&[("points", Value::Int(-7))], &["points / 2 == -3", "points % 2 == -1", "points == -7", "-points == 7"]);
}

#[test]
fn overflow_and_division_by_zero_are_null() {
    let most = [("points", Value::Int(9_007_199_254_740_991))];
    all_hold(&most, &["points * points == null", "points / 0 == null", "points % (points - points) == null"]);
    none_hold(&most, &["points * points > 0", "points * points <= 0"]);
    all_hold(&most, &["points < 9223372036854775807", "points > 0.000001", "points * 1000 > 1"]);
}

#[test]
fn precedence_is_that_of_cel() {
    all_hold(&[("points", Value::Int(2))], &["points + 2 * 3 == 8", "(points + 2) * 3 == 12", "points - 1 - 1 == 0"]);
    all_hold(&[], &["true || false && false", "!(true && false)", "!false && true", "2 * 3 % 4 == 2"]);
}

#[test]
fn text_compares_by_bytes_and_in_one_normal_form() {
    let fields = [("name", Value::text("e\u{301}clair"))];
    all_hold(&fields, &["name == 'éclair'", "name == 'e\u{301}clair'", "name > 'z'", "name.startsWith('é')"]);
    all_hold(&[("name", Value::text("Zoe"))], &["name < 'a'", "lower(name) > 'a'", "name.lower() == 'zoe'"]);
}

#[test]
fn lower_leaves_letters_beyond_ascii_alone() {
    all_hold(&[("name", Value::text("ÉCLAIR"))], &["name.lower() == 'Éclair'", "lower('İ') == 'İ'"]);
}

#[test]
fn text_tests_take_their_part_literally_and_mind_case() {
    let fields = [("name", Value::text("100% of_it"))];
    all_hold(&fields, &["name.contains('0% o')", "name.endsWith('_it')", "name.contains('')", "name.startsWith('')"]);
    none_hold(
        &fields,
        &["name.contains('%it')", "name.startsWith('100_')", "name.endsWith('IT')", "city.contains('')"],
    );
}

#[test]
fn size_counts_characters() {
    all_hold(&[("name", Value::text("a😀é"))], &["size(name) == 3", "name.size() > 2"]);
    all_hold(&[("name", Value::text(""))], &["size(name) == 0"]);
}

#[test]
fn days_since_counts_full_periods_rounded_down() {
    let seen = |text| [("seen_at", at(text))];
    all_hold(&seen("2026-02-28T12:00:00Z"), &["days_since(seen_at) == 1"]);
    all_hold(&seen("2026-02-28T12:00:00.000001Z"), &["days_since(seen_at) == 0"]);
    all_hold(&seen("2026-03-01T12:00:00.000001Z"), &["days_since(seen_at) == -1"]);
    let birthday = [("birthday", Value::Date("2026-02-28".parse().unwrap()))];
    all_hold(&birthday, &["days_since(birthday) == 1", "birthday < date('2026-03-01')"]);
}

#[test]
fn an_instant_moves_by_a_duration() {
    let fields = [("seen_at", at("2026-02-28T11:00:00Z"))];
    all_hold(&fields, &["seen_at + duration('1d1h') == now()", "seen_at < now() - duration('24h')"]);
    all_hold(&fields, &["duration('1us') + seen_at > seen_at", "seen_at + duration('2h') - duration('2h') == seen_at"]);
    all_hold(&fields, &["seen_at == timestamp('2026-02-28T12:00:00+01:00')"]);
}

#[test]
fn a_list_holds_values_of_any_term() {
    let fields = [("points", Value::Int(5)), ("country", Value::text("DE"))];
    all_hold(&fields, &["points in [1, 5.0]", "country in ['FR', 'DE']", "5 in [points]", "points in [points]"]);
    none_hold(&fields, &["points in []", "points in [5.1]", "city in [city]", "country in ['de']"]);
}

#[test]
fn a_parameter_is_read_as_its_place_asks() {
    let birthday = ("birthday", Value::Date("2026-02-28".parse().unwrap()));
    let fields = [("company", Value::Ref(id(7))), ("points", Value::Int(5)), birthday, ("name", Value::text("é"))];
    let params = Params::none()
        .with("c", Value::text(&id(7).to_string()))
        .with("n", money("5.00"))
        .with("day", Value::text("2026-02-28"))
        .with("who", Value::Text("e\u{301}".into()))
        .with("yes", Value::Bool(true))
        .with("list", Value::Json(Arc::new(json!([4, "5.0", null]))));
    for rule in
        ["company == c", "points == n", "birthday == day", "name == who", "yes", "points in list", "points % n == 0"]
    {
        assert_eq!(eval_with(rule, &fields, &params), Ok(true), "{rule}");
    }
}

#[test]
fn a_null_parameter_is_null() {
    let params = Params::none().with("c", Value::Null);
    assert_eq!(eval_with("company == c", &[], &params), Ok(true));
    assert_eq!(eval_with("points > c", &[("points", Value::Int(1))], &params), Ok(false));
}

#[test]
fn a_parameter_that_does_not_fit_is_named() {
    let error =
        |rule: &str, value: Value| eval_with(rule, &[], &Params::none().with("p", value)).unwrap_err().to_string();
    assert_eq!(
        error("points > p", Value::text("many")),
        "the parameter `p` of the rule must be a number with 6 decimals at most, got \"many\""
    );
    assert_eq!(
        error("company == p", Value::text("acme")),
        "the parameter `p` of the rule must be the id of a record, got \"acme\""
    );
    assert_eq!(error("name in p", Value::text("a")), "the parameter `p` of the rule must be a list, got \"a\"");
    let long = Value::Json(Arc::new(json!(vec![1; 1_001])));
    assert_eq!(error("points in p", long), "the parameter `p` of the rule has 1001 items, more than 1000");
}

#[test]
fn a_missing_parameter_is_named() {
    let rule = parse_with("points > p", &ParamTypes::none().with("p", Some(FieldKind::Integer))).unwrap();
    let lookup = RecordLookup { record: &record(&customer(), &[]), referenced: &[] };
    let error = rule.eval(&Env { now: now(), lookup: &lookup, params: &Params::none() }).unwrap_err();
    assert_eq!(error, EvalError::MissingParam { name: "p".into() });
}

#[test]
fn a_field_that_holds_something_else_is_an_error_not_an_answer() {
    let error = eval_with("points > 1", &[("points", Value::text("1"))], &Params::none()).unwrap_err();
    assert_eq!(error.to_string(), "the field `points` (integer) holds \"1\"");
}

#[test]
fn comments_and_line_breaks_are_space() {
    all_hold(&[], &["true // a comment\n  && // another\n true"]);
}
