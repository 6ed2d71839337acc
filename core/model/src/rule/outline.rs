//! A rule as a tree of JSON, for forms in which nobody writes text, and back: the rule that comes back has the same typed tree.
//!
//! ```json
//! {"all": [
//!   {"field": "lifetime_value", "op": ">", "value": 5000},
//!   {"days_since": "last_order_at", "op": ">", "value": 60},
//!   {"field": "country", "op": "in", "value": ["Germany", "France"]},
//!   {"not": {"in_segment": "staff"}},
//!   {"did": "order.created", "within": "30 days", "at_least": 3, "where": "amount > 50"},
//!   {"rule": "points % 2 == 1"}
//! ]}
//! ```
//! | Node | Means |
//! |---|---|
//! | `all`, `any` | all or one of its parts |
//! | `not` | not that |
//! | `field`, `op`, `value` | `op` is one of `== != < <= > >= in has contains startsWith endsWith`, of which `has` asks for a tag; `value` is a number, a text, true, false, null, a list after `in`, `{"date": …}` or `{"timestamp": …}`; `field` may be one step away: `company.country` |
//! | `days_since`, `op`, `value` | the same of the days since a field |
//! | `did`, with `within`, `at_least`, `where` | see [`crate::rule::history`] |
//! | `in_segment`, with `of` | membership; `of` names a reference field: membership of what that refers to |
//! | `rule` | whatever else, as text |

use std::fmt::{self, Write as _};

use serde_json::{Map, Value as Json, json};

use super::history::Did;
use super::print;
use super::tree::{Base, Comparison, Condition, Datum, FieldTerm, List, Term, TextTest};
use crate::limits::{RULE_BYTES_MAX, RULE_DEPTH_MAX};
use crate::time::Timestamp;

/// A part of a rule as text, in normal form.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a>(pub &'a Condition);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print::condition(f, self.0)
    }
}

/// Why a tree is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {message}")]
pub struct OutlineError {
    /// Where, as a JSON pointer.
    pub pointer: String,
    /// What is wrong, and what to write instead.
    pub message: String,
}

/// The tree of `condition`.
#[must_use]
pub fn to_json(condition: &Condition) -> Json {
    match condition {
        Condition::All(parts) => json!({ "all": parts.iter().map(to_json).collect::<Vec<_>>() }),
        Condition::Any(parts) => json!({ "any": parts.iter().map(to_json).collect::<Vec<_>>() }),
        Condition::Not(inner) => match &**inner {
            Condition::IsNull(Term::Field(field)) => leaf("field", field, "!=", Json::Null),
            inner => json!({ "not": to_json(inner) }),
        },
        Condition::IsNull(Term::Field(field)) => leaf("field", field, "==", Json::Null),
        Condition::InSegment(segment, None) => json!({ "in_segment": segment }),
        Condition::InSegment(segment, Some(of)) => json!({ "in_segment": segment, "of": of.name }),
        Condition::Did(did) => of_did(did),
        other => plain(other).unwrap_or_else(|| json!({ "rule": Shown(other).to_string() })),
    }
}

fn leaf(key: &str, field: &FieldTerm, op: &str, value: Json) -> Json {
    let name = match &field.base {
        Base::Through(via) => format!("{via}.{}", field.name),
        _ => field.name.to_string(),
    };
    let mut map = Map::new();
    map.insert(key.to_owned(), name.into());
    map.insert("op".to_owned(), op.into());
    map.insert("value".to_owned(), value);
    Json::Object(map)
}

/// A comparison of a field with a value, if it is one that a form can show.
fn plain(condition: &Condition) -> Option<Json> {
    let of_record = |field: &FieldTerm| matches!(field.base, Base::Own | Base::Through(_));
    let of = |term: &Term, op: &str, value: Json| match term {
        Term::Field(field) if of_record(field) => Some(leaf("field", field, op, value)),
        Term::DaysSince(inner) => match &**inner {
            Term::Field(field) if of_record(field) => Some(leaf("days_since", field, op, value)),
            _ => None,
        },
        _ => None,
    };
    match condition {
        Condition::Compare(comparison, left, right) => of(left, comparison.sign(), value(right)?),
        Condition::In(item, List::Items(items)) => {
            let items: Option<Vec<Json>> = items.iter().map(value).collect();
            of(item, "in", Json::Array(items?))
        }
        Condition::Text(test, whole, part) => of(whole, test.name(), value(part)?),
        Condition::Tagged(tag, tags) if of_record(&tags.field) => Some(leaf("field", &tags.field, "has", value(tag)?)),
        _ => None,
    }
}

/// A value that JSON can hold without loss.
fn value(term: &Term) -> Option<Json> {
    let Term::Literal(datum) = term else { return None };
    match datum {
        Datum::Boolean(value) => Some(Json::Bool(*value)),
        Datum::Text(text) => Some(Json::String(text.to_string())),
        Datum::Reference(id) => Some(Json::String(id.to_string())),
        Datum::Date(date) => Some(json!({ "date": date.to_string() })),
        Datum::Time(micros) => Some(json!({ "timestamp": Timestamp::from_micros(*micros).to_string() })),
        Datum::Number(number) if number.scale == 0 => Some(number.units.into()),
        Datum::Number(number) => {
            // Fifteen digits come back from a floating point number as they went in.
            let text = number.to_decimal().to_string();
            let float: f64 = text.parse().ok()?;
            (float.to_string() == text).then(|| json!(float))
        }
        Datum::Null | Datum::Json => None,
    }
}

fn of_did(did: &Did) -> Json {
    let mut map = Map::new();
    map.insert("did".to_owned(), did.kind.as_str().into());
    if let Some(micros) = did.within {
        map.insert("within".to_owned(), crate::duration::words(micros).into());
    }
    if did.at_least != 1 {
        map.insert("at_least".to_owned(), did.at_least.into());
    }
    if let Some(rule) = &did.filter {
        map.insert("where".to_owned(), rule.to_string().into());
    }
    Json::Object(map)
}

/// The text of the rule whose tree `json` is. Names and kinds are checked where it is parsed.
///
/// # Errors
/// [`OutlineError`] with the place of what is no node.
pub fn to_text(json: &Json) -> Result<String, OutlineError> {
    let mut text = String::new();
    write_node(&mut text, json, ("", 0))?;
    Ok(text)
}

fn wrong<T>(pointer: &str, message: impl Into<String>) -> Result<T, OutlineError> {
    Err(OutlineError { pointer: pointer.to_owned(), message: message.into() })
}

const NODES: &str = "a node has one of `all`, `any`, `not`, `field`, `days_since`, `did`, `in_segment`, `rule`";

fn write_node(out: &mut String, json: &Json, (pointer, depth): (&str, usize)) -> Result<(), OutlineError> {
    let Some(map) = json.as_object() else { return wrong(pointer, format!("expected an object: {NODES}")) };
    if depth > RULE_DEPTH_MAX || out.len() > RULE_BYTES_MAX {
        return wrong(pointer, "the rule is too large, or nested too deeply");
    }
    let head = ["all", "any", "not", "field", "days_since", "did", "in_segment", "rule"];
    let mut heads = head.into_iter().filter(|key| map.contains_key(*key));
    let (Some(key), None) = (heads.next(), heads.next()) else { return wrong(pointer, NODES) };
    let allowed: &[&str] = match key {
        "field" | "days_since" => &["op", "value"],
        "did" => &["within", "at_least", "where"],
        "in_segment" => &["of"],
        _ => &[],
    };
    if let Some(unknown) = map.keys().find(|name| *name != key && !allowed.contains(&name.as_str())) {
        return wrong(&format!("{pointer}/{unknown}"), format!("`{key}` has no `{unknown}`"));
    }
    let inside = format!("{pointer}/{key}");
    match key {
        "all" | "any" => write_parts(out, &map[key], (key, &inside, depth)),
        "not" => {
            out.push_str("!(");
            write_node(out, &map[key], (&inside, depth + 1))?;
            out.push(')');
            Ok(())
        }
        "did" => write_did(out, map, pointer),
        "in_segment" => write_in_segment(out, map, pointer),
        "rule" => {
            write!(out, "({})", text(&map[key], &inside)?).expect("a text takes any text");
            Ok(())
        }
        _ => write_leaf(out, map, (key, pointer)),
    }
}

fn write_parts(out: &mut String, json: &Json, (key, pointer, depth): (&str, &str, usize)) -> Result<(), OutlineError> {
    let parts = json.as_array().filter(|parts| !parts.is_empty());
    let Some(parts) = parts else { return wrong(pointer, "expected a list of nodes with at least one in it") };
    out.push('(');
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            out.push_str(if key == "all" { " && " } else { " || " });
        }
        write_node(out, part, (&format!("{pointer}/{i}"), depth + 1))?;
    }
    out.push(')');
    Ok(())
}

fn write_leaf(out: &mut String, map: &Map<String, Json>, (key, pointer): (&str, &str)) -> Result<(), OutlineError> {
    let name = field_name(&map[key], &format!("{pointer}/{key}"))?;
    let left = if key == "field" { name.to_owned() } else { format!("days_since({name})") };
    let place = format!("{pointer}/op");
    let op = map.get("op").map(|op| text(op, &place)).transpose()?.unwrap_or("==");
    let value = map.get("value").unwrap_or(&Json::Null);
    let inside = format!("{pointer}/value");
    let tests = [TextTest::Contains, TextTest::StartsWith, TextTest::EndsWith];
    let signs = [
        Comparison::Equal,
        Comparison::NotEqual,
        Comparison::Less,
        Comparison::LessOrEqual,
        Comparison::Greater,
        Comparison::GreaterOrEqual,
    ];
    if tests.iter().any(|test| test.name() == op) {
        write!(out, "{left}.{op}({})", literal(value, &inside)?).expect("a text takes any text");
    } else if op == "in" {
        let Some(items) = value.as_array() else { return wrong(&inside, "expected a list after `in`") };
        let items: Result<Vec<String>, OutlineError> = items.iter().map(|item| literal(item, &inside)).collect();
        write!(out, "{left} in [{}]", items?.join(", ")).expect("a text takes any text");
    } else if op == "has" {
        write!(out, "{} in {left}", literal(value, &inside)?).expect("a text takes any text");
    } else if signs.iter().any(|sign| sign.sign() == op) {
        write!(out, "{left} {op} {}", literal(value, &inside)?).expect("a text takes any text");
    } else {
        return wrong(&place, "`op` is one of == != < <= > >= in has contains startsWith endsWith");
    }
    Ok(())
}

fn write_in_segment(out: &mut String, map: &Map<String, Json>, pointer: &str) -> Result<(), OutlineError> {
    let segment = quoted(text(&map["in_segment"], &format!("{pointer}/in_segment"))?);
    let of = match map.get("of") {
        Some(of) => format!(", {}", field_name(of, &format!("{pointer}/of"))?),
        None => String::new(),
    };
    write!(out, "in_segment({segment}{of})").expect("a text takes any text");
    Ok(())
}

fn write_did(out: &mut String, map: &Map<String, Json>, pointer: &str) -> Result<(), OutlineError> {
    let kind = text(&map["did"], &format!("{pointer}/did"))?;
    write!(out, "did({}, {{", quoted(kind)).expect("a text takes any text");
    let mut options = Vec::new();
    for key in ["within", "where"] {
        if let Some(given) = map.get(key) {
            options.push(format!("{key}: {}", quoted(text(given, &format!("{pointer}/{key}"))?)));
        }
    }
    if let Some(given) = map.get("at_least") {
        let count = given.as_u64().filter(|n| *n > 0);
        let Some(count) = count else { return wrong(&format!("{pointer}/at_least"), "expected a whole number from 1") };
        options.push(format!("at_least: {count}"));
    }
    out.push_str(&options.join(", "));
    out.push_str("})");
    Ok(())
}

/// The name of a field, or of one a step away.
fn field_name<'j>(json: &'j Json, pointer: &str) -> Result<&'j str, OutlineError> {
    let name = text(json, pointer)?;
    let word = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && !part.is_empty();
    if name.split('.').all(word) {
        return Ok(name);
    }
    wrong(pointer, format!("`{}` is no field", name.chars().take(60).collect::<String>()))
}

fn text<'j>(json: &'j Json, pointer: &str) -> Result<&'j str, OutlineError> {
    json.as_str().map_or_else(|| wrong(pointer, "expected a text"), Ok)
}

fn literal(json: &Json, pointer: &str) -> Result<String, OutlineError> {
    match json {
        Json::Null => Ok("null".to_owned()),
        Json::Bool(value) => Ok(value.to_string()),
        Json::String(text) => Ok(quoted(text)),
        // The grammar has no exponents.
        Json::Number(number) => match (number.is_f64(), number.as_f64()) {
            (true, Some(float)) => Ok(float.to_string()),
            _ => Ok(number.to_string()),
        },
        Json::Object(map) => match map.iter().next() {
            Some((key, Json::String(text))) if map.len() == 1 && matches!(key.as_str(), "date" | "timestamp") => {
                Ok(format!("{key}({})", quoted(text)))
            }
            _ => wrong(pointer, "expected {\"date\": …} or {\"timestamp\": …}"),
        },
        Json::Array(_) => wrong(pointer, "a list stands after `in`"),
    }
}

fn quoted(text: &str) -> String {
    struct Quoted<'a>(&'a str);
    impl fmt::Display for Quoted<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            print::text(f, self.0)
        }
    }
    Quoted(text).to_string()
}
