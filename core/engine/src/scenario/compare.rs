//! Holds what was found against what was expected: lists exact and in order, objects by the fields given.

use std::collections::HashMap;

use rust_decimal::Decimal;
use serde_json::{Map, Value as Json};

use super::below;
use super::report::Difference;

/// Texts that name records by a unique field, with the id that each stands for.
pub(super) type Names = HashMap<String, String>;

/// Compares JSON and gathers differences.
pub(super) struct Comparison<'a> {
    pub(super) names: &'a Names,
    pub(super) differences: Vec<Difference>,
}

impl Comparison<'_> {
    /// Notes where `found` is not as `expected`, which stands at `pointer` and is called `what`.
    pub(super) fn compare(&mut self, (pointer, what): (&str, &str), expected: &Json, found: &Json) {
        match (expected, found) {
            (Json::Object(wanted), Json::Object(map)) => {
                for (name, wanted) in wanted {
                    let inner = if what.is_empty() { name.clone() } else { format!("{what}.{name}") };
                    let found = map.get(name).unwrap_or(&Json::Null);
                    self.compare((&below(pointer, name), &inner), wanted, found);
                }
            }
            (Json::Array(wanted), Json::Array(list)) if wanted.len() == list.len() => {
                for (i, (wanted, found)) in wanted.iter().zip(list).enumerate() {
                    self.compare((&below(pointer, &i.to_string()), &format!("{what}[{i}]")), wanted, found);
                }
            }
            _ if self.same(expected, found) => {}
            _ => self.note((pointer, what), expected.clone(), found.clone()),
        }
    }

    pub(super) fn note(&mut self, (pointer, what): (&str, &str), expected: Json, found: Json) {
        self.differences.push(Difference { pointer: pointer.to_owned(), what: what.to_owned(), expected, found });
    }

    fn same(&self, expected: &Json, found: &Json) -> bool {
        if expected == found || same_number(expected, found) {
            return true;
        }
        let (Some(name), Some(found)) = (expected.as_str(), found.as_str()) else { return false };
        let meant = |id: &String| found == id || found.rsplit_once('/').is_some_and(|(_, found)| found == id);
        self.names.get(name).is_some_and(meant)
    }
}

/// Decimals are shown as texts with all their digits: `12.5` and `"12.50"` are the same number. Texts without a point are
/// none: a customer's number `007` is not `7`.
fn same_number(expected: &Json, found: &Json) -> bool {
    let shown = found.as_str().filter(|text| text.contains('.')).and_then(|text| text.parse::<Decimal>().ok());
    let wanted = match expected {
        Json::String(text) => text.parse::<Decimal>().ok(),
        Json::Number(number) => number.to_string().parse().ok(),
        _ => None,
    };
    shown.is_some() && shown == wanted
}

/// Of each item, the members that some expected item names, or else the `usual` ones: so that a list that differs as a
/// whole can be read.
pub(super) fn cut(found: &[Json], expected: &[Json], usual: &[&str]) -> Json {
    let named = |name: &String| expected.iter().any(|item| item.get(name).is_some());
    let all_unnamed = expected.iter().all(|item| item.as_object().is_none_or(Map::is_empty));
    let keep = |name: &String| if all_unnamed { usual.contains(&name.as_str()) } else { named(name) };
    let short = |item: &Json| match item {
        Json::Object(map) => {
            Json::Object(map.iter().filter(|(name, _)| keep(name)).map(|(n, v)| (n.clone(), v.clone())).collect())
        }
        other => other.clone(),
    };
    found.iter().map(short).collect()
}

/// All texts in `json` that may name a record: `customer/customer_no:1`, `customer_no:1` in a field.
pub(super) fn texts(json: &Json) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![json];
    while let Some(json) = open.pop() {
        match json {
            Json::String(text) if text.contains('/') && text.contains(':') => found.push(text.clone()),
            Json::Array(items) => open.extend(items),
            Json::Object(map) => open.extend(map.values()),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn differs(expected: &Json, found: &Json) -> Vec<String> {
        let names = Names::from([("customer/customer_no:1".to_owned(), "id-1".to_owned())]);
        let mut comparison = Comparison { names: &names, differences: Vec::new() };
        comparison.compare(("", ""), expected, found);
        comparison.differences.into_iter().map(|d| d.pointer).collect()
    }

    #[test]
    fn objects_compare_the_fields_given_and_lists_are_exact() {
        assert!(differs(&json!({"a": {"b": 1}}), &json!({"a": {"b": 1, "c": 2}, "d": 3})).is_empty());
        assert_eq!(differs(&json!([{"a": 1}, {"a": 2}]), &json!([{"a": 1}, {"a": 3}])), ["/1/a"]);
        assert_eq!(differs(&json!([1]), &json!([1, 2])), [""]);
        assert_eq!(differs(&json!({"x": []}), &json!({"x": [1]})), ["/x"]);
        assert_eq!(differs(&json!([2, 1]), &json!([1, 2])), ["/0", "/1"]);
    }

    #[test]
    fn decimals_are_numbers_and_other_texts_are_not() {
        assert!(differs(&json!([12.5, "12.5", 12]), &json!(["12.50", "12.50", "12.00"])).is_empty());
        assert_eq!(differs(&json!(["7", 7]), &json!(["007", "7"])), ["/0", "/1"]);
    }

    #[test]
    fn a_record_is_named_by_its_key() {
        let expected = json!(["customer/customer_no:1", "customer/customer_no:1", "customer/customer_no:1"]);
        assert_eq!(differs(&expected, &json!(["id-1", "customer/id-1", "customer/id-2"])), ["/2"]);
    }
}
