//! What is refused, where it points, and what it advises.

use super::*;

fn refused(text: &str) -> String {
    match parse(text) {
        Ok(rule) => panic!("{text} was taken as {rule}"),
        Err(error) => error.to_string().replace("line 1, column ", ""),
    }
}

#[test]
fn an_unknown_name_advises_the_nearest() {
    assert_eq!(refused("points > 1 && contry == 'DE'"), "15: unknown name `contry`; did you mean `country`?");
    assert_eq!(refused("company.nmae == 'x'"), "1: `company` has no field `nmae`; did you mean `name`?");
    assert_eq!(refused("compnay.name == 'x'"), "1: unknown name `compnay`; did you mean `company`?");
    assert_eq!(refused("day_since(seen_at) > 1"), "1: there is no function `day_since`; did you mean `days_since`?");
    assert_eq!(refused("name.startswith('a')"), "1: there is no function `startswith`; did you mean `startsWith`?");
}

#[test]
fn the_line_and_the_character_are_told() {
    let error = parse("points > 1 &&\n  'é' == naem").unwrap_err();
    assert_eq!((error.line, error.column), (2, 10));
}

#[test]
fn kinds_do_not_mix() {
    assert_eq!(
        refused("points > 'a'"),
        "10: cannot compare `points` (a number) with a text; write numbers without quotes, texts in quotes"
    );
    assert_eq!(
        refused("birthday == '2026-03-01'"),
        "13: cannot compare `birthday` (a date) with a text; write a date as date(\"2026-03-01\")"
    );
    assert!(refused("seen_at > birthday").contains("a date has no time of day"));
    assert!(refused("vip == 1").contains("a boolean is `true` or `false`"));
    assert!(refused("company == id").contains("a reference to `company`"));
    assert!(refused("points + name > 1").contains("texts cannot be joined"));
    assert!(refused("seen_at - birthday > 1").contains("days_since"));
    assert!(refused("extra == 'x'").contains("JSON can be tested with `== null`"));
    assert!(refused("points.contains('1')").contains("`points` (a number) is no text"));
    assert!(refused("days_since(points) > 1").contains("neither an instant nor a date"));
}

#[test]
fn a_choice_is_compared_with_its_options_alone() {
    assert_eq!(refused("tier == 'glod'"), "9: `glod` is no option of this choice; did you mean `gold`?");
    assert_eq!(
        refused("tier in ['gold', 'x']"),
        "18: `x` is no option of this choice; known here: `bronze`, `silver`, `gold`"
    );
    assert!(refused("tier < 'gold'").contains("`tier` (a choice) has no order"));
    assert!(refused("'gold' < tier").contains("has no order"));
}

#[test]
fn a_reference_is_compared_with_an_id() {
    assert!(refused("company == 'acme'").contains("`acme` is no id of a record of `company`"));
    assert!(parse(&format!("company == '{}'", id(1))).is_ok());
}

#[test]
fn only_one_step_to_another_record_is_possible() {
    let schema = schema();
    let scope = Scope::Record(schema.object("order").unwrap().clone());
    assert!(Rule::parse("customer.country == 'DE'", &scope, &schema, &ParamTypes::none()).is_ok());
    let error = Rule::parse("customer.company.name == 'x'", &scope, &schema, &ParamTypes::none()).unwrap_err();
    assert_eq!(error.message, "only one step to another record is possible");
    assert!(refused("name.lower == 'x'").contains("a function needs brackets"));
}

#[test]
fn a_value_alone_is_no_condition() {
    assert_eq!(refused("points"), "1: `points` (a number) is no condition; compare it with a value, or with `null`");
    assert!(refused("points && vip").contains("no condition"));
    assert!(refused("'a'").contains("a text is no condition"));
}

#[test]
fn habits_from_other_languages_are_answered() {
    assert!(refused("points = 1").contains("write `==` to compare"));
    assert!(refused("vip and vip").contains("write `&&`"));
    assert!(refused("vip & vip").contains("write `&&` for and"));
    assert!(refused("vip or vip").contains("write `||`"));
    assert!(refused("not vip").contains("an operator is missing"));
    assert!(refused("points <> 1").contains("`>` cannot stand here"));
    assert!(refused("vip ? 1 : 2").contains("write `a && b || !a && c`"));
    assert!(refused("0 < points < 10").contains("comparisons cannot be chained"));
    assert!(refused("name == ‘x’").contains("straight quotes"));
    assert!(refused("contains(name, 'x')").contains("write `field.contains('part')`"));
    assert!(refused("points > 1e3").contains("write digits alone"));
    assert!(refused("points < null").contains("`null` has no order"));
    assert!(refused("points in 5").contains("`in` needs a list"));
    assert!(refused("points in [null]").contains("`null` is in no list"));
    assert!(refused("duration('1h') > 1").contains("a duration cannot stand alone"));
}

#[test]
fn broken_texts_and_numbers_are_shown_where_they_begin() {
    assert!(refused("name == 'abc").starts_with("9: the text does not end on its line"));
    assert!(refused("name == 'a\\x'").starts_with("11: unknown escape"));
    assert!(refused("name == '\\ud800'").contains("names no character"));
    assert!(refused("name == '\\u0000'").contains("U+0000"));
    assert!(refused("points > 9223372036854775808").contains("too large"));
    assert!(refused("points > 0.1234567").contains("at most 6 decimals"));
    assert!(refused("birthday == date('2026-02-30')").contains("`2026-02-30` is no date"));
    assert!(refused("birthday == date('-002026-02-28')").contains("is no date"));
    assert!(refused("seen_at > timestamp('yesterday')").contains("is no instant"));
    assert!(refused("seen_at + duration('3 days') > now()").contains("is no duration"));
    assert!(refused("seen_at + duration('9999999999d') > now()").contains("is no duration"));
    assert!(refused("seen_at + duration('700000d') + duration('999999d') > now()").contains("4000 years"));
}

#[test]
fn brackets_must_match() {
    assert_eq!(refused("(points > 1"), "1: this bracket is not closed by `)`");
    assert!(refused("points > 1)").contains("`)` cannot stand here"));
    assert!(refused("points in [1, 2").contains("not closed by `]`"));
    assert!(refused("").contains("the rule is empty"));
    assert!(refused("points >").contains("ends too early"));
}

#[test]
fn division_is_for_whole_numbers() {
    assert!(refused("value / 2 > 1").contains("`value` (a number) has decimals"));
    assert!(refused("points / 0.5 > 1").contains("multiply the other side"));
    assert!(parse("value * 2 > points / 3").is_ok());
}

#[test]
fn a_product_has_its_decimals_bounded() {
    assert!(parse("value * 0.000001 * 0.000001 > 1").is_ok());
    assert!(refused("0.000001 * 0.000001 * 0.000001 * value > 1").contains("20 decimals, more than 18"));
}

#[test]
fn a_parameter_named_like_a_field_is_refused() {
    let error = parse_with("country == 'DE'", &ParamTypes::none().with("country", None)).unwrap_err();
    assert_eq!(error.message, "`country` is both a field and a parameter");
}

#[test]
fn a_parameter_needs_a_place_that_says_its_kind() {
    let types = ParamTypes::none().with("a", None).with("b", None).with("n", Some(FieldKind::Integer));
    assert!(parse_with("a == b", &types).unwrap_err().message.contains("nothing says what kind"));
    assert!(parse_with("a in b", &types).unwrap_err().message.contains("nothing says what"));
    assert!(parse_with("a == n", &types).is_ok());
    assert!(parse_with("n == 'x'", &types).unwrap_err().message.contains("`n` (a number)"));
    assert!(parse_with("a.x == 1", &types).unwrap_err().message.contains("is a parameter"));
}
