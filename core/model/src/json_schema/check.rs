//! Holds values against a schema, and fills in its defaults.

use std::cmp::Ordering;
use std::str::FromStr as _;

use jiff::civil::Date;
use rust_decimal::Decimal;
use serde_json::{Map, Number, Value as Json};

use super::{Additional, Format, Kind, Misfit, Node, below};
use crate::json::depth;
use crate::limits::JSON_DEPTH_MAX;
use crate::nearest::nearest;
use crate::time::Timestamp;

/// The most places that are told.
const MISFITS_MAX: usize = 20;

/// Every place where `value` does not fit, as far as they are told.
pub(super) fn misfits(node: &Node, value: &Json) -> Vec<Misfit> {
    if depth(value) > JSON_DEPTH_MAX {
        let message = format!("it is nested deeper than {JSON_DEPTH_MAX} levels");
        return vec![Misfit { pointer: String::new(), message }];
    }
    let mut found = Found(Vec::new());
    found.hold(node, value, "");
    found.0
}

/// Puts the defaults of missing properties into `value`, at every level.
pub(super) fn fill(node: &Node, value: &mut Json) {
    match value {
        Json::Object(map) => {
            for (name, inner) in &node.properties {
                match map.get_mut(name) {
                    Some(there) => fill(inner, there),
                    None => {
                        map.extend(inner.default.clone().map(|default| (name.clone(), default)));
                    }
                }
            }
        }
        Json::Array(list) => {
            if let Some(items) = &node.items {
                for item in list {
                    fill(items, item);
                }
            }
        }
        _ => {}
    }
}

struct Found(Vec<Misfit>);

impl Found {
    fn tell(&mut self, pointer: &str, message: String) {
        if self.0.len() < MISFITS_MAX {
            self.0.push(Misfit { pointer: pointer.to_owned(), message });
        }
    }

    fn hold(&mut self, node: &Node, value: &Json, pointer: &str) {
        if self.0.len() >= MISFITS_MAX {
            return;
        }
        if !node.kinds.is_empty() && !node.kinds.iter().any(|kind| is_of(*kind, value)) {
            let kinds: Vec<_> = node.kinds.iter().map(|kind| Kind::WORDS[*kind as usize]).collect();
            self.tell(pointer, format!("expected {}, got {}", kinds.join(" or "), brief(value)));
            return;
        }
        if let Some(choices) = node.choices.as_ref().filter(|choices| !choices.iter().any(|c| same(c, value))) {
            let listed: Vec<_> = choices.iter().map(ToString::to_string).collect();
            self.tell(pointer, format!("expected one of {}, got {}", listed.join(", "), brief(value)));
            return;
        }
        match value {
            Json::Number(number) => self.number(node, number, pointer),
            Json::String(text) => self.text(node, text, pointer),
            Json::Array(list) => self.list(node, list, pointer),
            Json::Object(map) => self.object(node, map, pointer),
            Json::Null | Json::Bool(_) => {}
        }
    }

    fn number(&mut self, node: &Node, number: &Number, pointer: &str) {
        let (low, high) = (&node.range.0, &node.range.1);
        if let Some(low) = low.as_ref().filter(|low| order(number, low) == Ordering::Less) {
            self.tell(pointer, format!("expected {low} or more, got {number}"));
        }
        if let Some(high) = high.as_ref().filter(|high| order(number, high) == Ordering::Greater) {
            self.tell(pointer, format!("expected {high} or less, got {number}"));
        }
    }

    fn text(&mut self, node: &Node, text: &str, pointer: &str) {
        let length = text.chars().count() as u64;
        if let Some(least) = node.length.0.filter(|least| length < *least) {
            self.tell(pointer, format!("expected {least} characters or more, got {length}"));
        }
        if let Some(most) = node.length.1.filter(|most| length > *most) {
            self.tell(pointer, format!("expected {most} characters or less, got {length}"));
            return;
        }
        if let Some(pattern) = node.pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
            self.tell(pointer, format!("expected a text like /{pattern}/, got {}", brief(&text.into())));
        }
        let (reads, like) = match node.format {
            None => return,
            Some(Format::Date) => (Date::from_str(text).is_ok(), "a date such as \"2026-03-01\""),
            Some(Format::DateTime) => {
                (Timestamp::from_str(text).is_ok(), "an instant such as \"2026-03-01T02:00:00Z\"")
            }
            Some(Format::Decimal) => (Decimal::from_str_exact(text).is_ok(), "a decimal such as \"12.50\""),
        };
        if !reads {
            self.tell(pointer, format!("expected {like}, got {}", brief(&text.into())));
        }
    }

    fn list(&mut self, node: &Node, list: &[Json], pointer: &str) {
        let count = list.len() as u64;
        if let Some(least) = node.item_count.0.filter(|least| count < *least) {
            self.tell(pointer, format!("expected {least} items or more, got {count}"));
        }
        if let Some(most) = node.item_count.1.filter(|most| count > *most) {
            self.tell(pointer, format!("expected {most} items or less, got {count}"));
            return;
        }
        let Some(items) = &node.items else { return };
        for (i, item) in list.iter().enumerate() {
            self.hold(items, item, &below(pointer, &i.to_string()));
        }
    }

    fn object(&mut self, node: &Node, map: &Map<String, Json>, pointer: &str) {
        for name in node.required.iter().filter(|name| !map.contains_key(*name)) {
            self.tell(&below(pointer, name), "it is missing".to_owned());
        }
        for (name, value) in map {
            let place = below(pointer, name);
            match (node.properties.get(name), &node.additional) {
                (Some(inner), _) => self.hold(inner, value, &place),
                (None, Additional::Fit(inner)) => self.hold(inner, value, &place),
                (None, Additional::Any) => {}
                (None, Additional::None) => {
                    let hint = nearest(name, node.properties.keys().map(String::as_str));
                    let hint = hint.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                    self.tell(&place, format!("there is no such property{hint}"));
                }
            }
        }
    }
}

fn is_of(kind: Kind, value: &Json) -> bool {
    match kind {
        Kind::Null => value.is_null(),
        Kind::Boolean => value.is_boolean(),
        Kind::Number => value.is_number(),
        Kind::String => value.is_string(),
        Kind::Array => value.is_array(),
        Kind::Object => value.is_object(),
        Kind::Integer => {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0 && n.abs() < 9e15)
        }
    }
}

/// Whether two values are the same to JSON Schema: 1 and 1.0 are.
fn same(left: &Json, right: &Json) -> bool {
    match (left, right) {
        (Json::Number(left), Json::Number(right)) => order(left, right) == Ordering::Equal,
        _ => left == right,
    }
}

/// Whole numbers compare exactly, others as doubles.
fn order(left: &Number, right: &Number) -> Ordering {
    let whole = |n: &Number| n.as_i64().map(i128::from).or_else(|| n.as_u64().map(i128::from));
    if let (Some(left), Some(right)) = (whole(left), whole(right)) {
        return left.cmp(&right);
    }
    let (left, right) = (left.as_f64().unwrap_or(f64::NAN), right.as_f64().unwrap_or(f64::NAN));
    left.partial_cmp(&right).unwrap_or(Ordering::Equal)
}

fn brief(value: &Json) -> String {
    match value {
        Json::Array(_) => "a list".to_owned(),
        Json::Object(_) => "an object".to_owned(),
        _ => {
            let text = value.to_string();
            if text.chars().count() <= 60 { text } else { format!("{}…", text.chars().take(60).collect::<String>()) }
        }
    }
}
