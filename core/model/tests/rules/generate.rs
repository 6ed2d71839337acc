//! Random rules and records, for the property tests of this crate and of the store.
//!
//! Rules are generated as text by kind, so that nearly all of them pass the checker, and lean on values at the edges.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::select;
use rapport_model::rule::{ParamTypes, Params};
use rapport_model::schema::{FieldDef, FieldKind, ObjectDef, Origin, Schema};
use rapport_model::value::{DECIMAL_UNITS_MAX, INTEGER_MAX};
use rapport_model::{Name, Record, RecordId, Timestamp, Value};
use rust_decimal::Decimal;

/// 2026-03-01T12:00:00Z.
pub(crate) const NOW: i64 = 1_772_366_400_000_000;

const TEXTS: [&str; 24] = [
    "",
    "a",
    "A",
    "b",
    "ab",
    "abc",
    "Abc",
    "%",
    "_",
    "a%b",
    "\\",
    "'",
    "\"",
    "e\u{301}",
    "é",
    "É",
    "ß",
    "\u{d7ff}",
    "\u{ffff}",
    "😀",
    "a😀b",
    "line\nbreak",
    "tab\tand \u{7f}",
    "\u{10ffff}",
];
/// Some of them are among the texts, some among the options.
const TAGS: [&str; 10] =
    ["a", "A", "ab", "%", "'", "e\u{301}", "\u{c9}", "a\u{1f600}b", "gold", "'; drop table o_thing; --"];
/// The segments that rules ask for.
pub(crate) const SEGMENTS: [&str; 2] = ["near", "far"];
const OPTIONS: [&str; 3] = ["gold", "silver", "tin"];
const DATES: [&str; 9] = [
    "0001-01-01",
    "1582-10-15",
    "1969-12-31",
    "1970-01-01",
    "2024-02-29",
    "2026-02-28",
    "2026-03-01",
    "2026-03-02",
    "9999-12-31",
];
const INSTANTS: [&str; 10] = [
    "0001-01-01T00:00:00Z",
    "1969-12-31T23:59:59.999999Z",
    "1970-01-01T00:00:00Z",
    "2026-02-27T12:00:00Z",
    "2026-02-28T11:59:59.999999Z",
    "2026-02-28T12:00:00Z",
    "2026-02-28T12:00:00.000001Z",
    "2026-03-01T12:00:00Z",
    "2026-03-29T02:30:00Z",
    "9999-12-30T22:00:00Z",
];

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn object(object: &str, fields: Vec<(&str, FieldKind)>) -> Arc<ObjectDef> {
    let fields = fields.into_iter().map(|(field, kind)| FieldDef::new(name(field), kind)).collect();
    Arc::new(ObjectDef::new(name(object), Origin::Custom, None, fields))
}

/// The object that rules are about.
pub(crate) fn thing() -> Arc<ObjectDef> {
    let choice = || FieldKind::Choice { options: OPTIONS.map(str::to_owned).to_vec() };
    object(
        "thing",
        vec![
            ("label", FieldKind::Text),
            ("nick", FieldKind::Text),
            ("n", FieldKind::Integer),
            ("m", FieldKind::Integer),
            ("amount", FieldKind::Decimal { scale: 2 }),
            ("rate", FieldKind::Decimal { scale: 6 }),
            ("whole", FieldKind::Decimal { scale: 0 }),
            ("ok", FieldKind::Boolean),
            ("done", FieldKind::Boolean),
            ("day", FieldKind::Date),
            ("due", FieldKind::Date),
            ("at", FieldKind::Timestamp),
            ("until", FieldKind::Timestamp),
            ("tier", choice()),
            ("rank", choice()),
            ("owner", FieldKind::Reference { object: name("owner") }),
            ("extra", FieldKind::Json),
            ("tags", FieldKind::Tags),
        ],
    )
}

/// The object that `owner` refers to.
pub(crate) fn owner() -> Arc<ObjectDef> {
    object(
        "owner",
        vec![
            ("label", FieldKind::Text),
            ("n", FieldKind::Integer),
            ("amount", FieldKind::Decimal { scale: 4 }),
            ("ok", FieldKind::Boolean),
            ("at", FieldKind::Timestamp),
            ("day", FieldKind::Date),
            ("tags", FieldKind::Tags),
        ],
    )
}

pub(crate) fn schema() -> Schema {
    let mut schema = Schema::default();
    for object in [thing(), owner()] {
        schema.objects.insert(object.name.clone(), object);
    }
    schema
}

pub(crate) fn id(number: u8) -> RecordId {
    RecordId::from_parts(i64::from(number) * 1_000_000, [number; 10])
}

fn nullable(value: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Value> {
    prop_oneof![1 => Just(Value::Null), 5 => value].boxed()
}

fn integer() -> BoxedStrategy<i64> {
    prop_oneof![
        select(vec![0, 1, -1, 2, 7, -7, 100, INTEGER_MAX, -INTEGER_MAX, 3_037_000_500, 1_024]),
        -20_i64..20,
        -INTEGER_MAX..=INTEGER_MAX,
    ]
    .boxed()
}

fn units() -> BoxedStrategy<i64> {
    let most = i64::try_from(DECIMAL_UNITS_MAX).unwrap();
    prop_oneof![select(vec![0, 1, -1, 100, 150, 1_000_000, -2_500_000, most, -most]), -500_i64..500, -most..=most]
        .boxed()
}

fn value_of(kind: &FieldKind) -> BoxedStrategy<Value> {
    match kind {
        FieldKind::Text => nullable(select(TEXTS.to_vec()).prop_map(Value::text)),
        FieldKind::Integer => nullable(integer().prop_map(Value::Int)),
        FieldKind::Decimal { scale } => {
            let scale = u32::from(*scale);
            nullable(units().prop_map(move |units| Value::Decimal(Decimal::new(units, scale))))
        }
        FieldKind::Boolean => nullable(any::<bool>().prop_map(Value::Bool)),
        FieldKind::Date => nullable(select(DATES.to_vec()).prop_map(|text| Value::Date(text.parse().unwrap()))),
        FieldKind::Timestamp => nullable(prop_oneof![
            select(INSTANTS.to_vec()).prop_map(|text| Value::Time(text.parse().unwrap())),
            (-100_i64..100, -1_i64..=1)
                .prop_map(|(days, micros)| Value::Time(Timestamp::from_micros(NOW - days * 86_400_000_000 + micros))),
        ]),
        FieldKind::Choice { .. } => nullable(select(OPTIONS.to_vec()).prop_map(Value::text)),
        // Of the owners 1 to 8 the last is never stored.
        FieldKind::Reference { .. } => nullable((1_u8..=8).prop_map(|number| Value::Ref(id(number)))),
        FieldKind::Tags => {
            let tags = prop::collection::btree_set(select(TAGS.to_vec()), 0..4);
            let json = |tags: std::collections::BTreeSet<&str>| serde_json::json!(tags);
            tags.prop_map(move |tags| rapport_model::tags::read(&json(tags)).unwrap()).boxed()
        }
        FieldKind::Json => nullable(Just(Value::Json(Arc::new(serde_json::json!({"a": [1, null]}))))),
    }
}

/// A record of `object` with the id of `number`.
pub(crate) fn record(object: &Arc<ObjectDef>, number: u8) -> BoxedStrategy<Record> {
    let values: Vec<_> = object.fields.iter().map(|field| value_of(&field.kind)).collect();
    let object = object.clone();
    let instant = select(INSTANTS.to_vec());
    (values, 1_i64..5, instant.clone(), instant)
        .prop_map(move |(values, version, created, updated)| Record {
            object: object.clone(),
            id: id(number),
            version,
            created_at: created.parse().unwrap(),
            updated_at: updated.parse().unwrap(),
            values,
        })
        .boxed()
}

/// The names of parameters that rules use.
pub(crate) fn param_types() -> ParamTypes {
    let names =
        ["p_number", "p_whole", "p_text", "p_flag", "p_day", "p_at", "p_owner", "p_list", "p_numbers", "p_null"];
    names.into_iter().fold(ParamTypes::none(), |types, name| types.with(name, None))
}

/// Values for them.
pub(crate) fn params() -> BoxedStrategy<Params> {
    let json = |items: Vec<serde_json::Value>| Value::Json(Arc::new(serde_json::Value::Array(items)));
    let number = prop_oneof![
        integer().prop_map(Value::Int),
        (units(), 0_u32..=6).prop_map(|(units, scale)| Value::Decimal(Decimal::new(units, scale))),
    ];
    let list = prop::collection::vec(select(TEXTS.to_vec()).prop_map(serde_json::Value::from), 0..4);
    let numbers = prop::collection::vec((-200_i64..200).prop_map(|n| serde_json::json!(format!("{n}.5"))), 0..3);
    (
        nullable(number),
        value_of(&FieldKind::Integer),
        value_of(&FieldKind::Text),
        value_of(&FieldKind::Boolean),
        nullable(select(DATES.to_vec()).prop_map(Value::text)),
        nullable(select(INSTANTS.to_vec()).prop_map(Value::text)),
        value_of(&FieldKind::Reference { object: name("owner") }),
        (list, numbers),
    )
        .prop_map(move |(number, whole, text, flag, day, at, owner, (list, numbers))| {
            Params::none()
                .with("p_number", number)
                .with("p_whole", whole)
                .with("p_text", text)
                .with("p_flag", flag)
                .with("p_day", day)
                .with("p_at", at)
                .with("p_owner", owner)
                .with("p_list", json(list))
                .with("p_numbers", json(numbers))
                .with("p_null", Value::Null)
        })
        .boxed()
}

fn quoted(text: &str) -> String {
    let escaped: String = text
        .chars()
        .map(|c| match c {
            '\'' | '\\' => format!("\\{c}"),
            '\n' => "\\n".to_owned(),
            c => c.to_string(),
        })
        .collect();
    format!("'{escaped}'")
}

fn words(all: &[&'static str]) -> BoxedStrategy<String> {
    select(all.to_vec()).prop_map(str::to_owned).boxed()
}

fn signs() -> BoxedStrategy<String> {
    words(&["==", "!=", "<", "<=", ">", ">="])
}

fn whole_number(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        4 => words(&["n", "m", "whole", "owner.n", "version"]),
        2 => integer().prop_map(|n| n.to_string()),
        1 => words(&["p_whole", "9223372036854775807"]),
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    let inner = || whole_number(depth - 1);
    prop_oneof![
        3 => leaf,
        2 => (inner(), words(&["+", "-", "*", "/", "%"]), inner()).prop_map(|(l, sign, r)| format!("({l} {sign} {r})")),
        1 => inner().prop_map(|n| format!("-({n})")),
        1 => texts(depth - 1).prop_map(|text| format!("size({text})")),
        1 => instants(depth - 1).prop_map(|at| format!("days_since({at})")),
        1 => words(&["days_since(day)", "days_since(owner.day)"]),
    ]
    .boxed()
}

fn number(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        4 => words(&["amount", "rate", "owner.amount"]),
        2 => (units(), 0_u32..1_000_000).prop_map(|(whole, part)| format!("{}.{part:06}", whole / 1_000)),
        1 => (-9_i64..9).prop_map(|n| format!("{n}.5")),
        1 => Just("p_number".to_owned()),
    ];
    if depth == 0 {
        return prop_oneof![leaf, whole_number(0)].boxed();
    }
    let inner = || number(depth - 1);
    prop_oneof![
        3 => leaf,
        3 => whole_number(depth),
        2 => (inner(), words(&["+", "-", "*"]), inner()).prop_map(|(l, sign, r)| format!("({l} {sign} {r})")),
        1 => inner().prop_map(|n| format!("-({n})")),
    ]
    .boxed()
}

fn texts(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        3 => words(&["label", "nick", "owner.label"]),
        2 => select(TEXTS.to_vec()).prop_map(quoted),
        1 => Just("p_text".to_owned()),
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    prop_oneof![4 => leaf, 1 => texts(depth - 1).prop_map(|text| format!("lower({text})"))].boxed()
}

fn instants(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        4 => words(&["at", "until", "owner.at", "created_at", "updated_at"]),
        1 => Just("now()".to_owned()),
        2 => select(INSTANTS.to_vec()).prop_map(|text| format!("timestamp('{text}')")),
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    let durations = words(&["1us", "24h", "3d", "1d12h30m", "90m5s7ms1us", "700000d"]);
    prop_oneof![
        3 => leaf,
        1 => (instants(depth - 1), words(&["+", "-"]), durations)
            .prop_map(|(at, sign, duration)| format!("({at} {sign} duration('{duration}'))")),
    ]
    .boxed()
}

fn days() -> BoxedStrategy<String> {
    prop_oneof![
        3 => words(&["day", "due", "owner.day"]),
        1 => select(DATES.to_vec()).prop_map(|text| format!("date('{text}')")),
        1 => Just("p_day".to_owned()),
    ]
    .boxed()
}

fn compared(left: BoxedStrategy<String>, right: BoxedStrategy<String>) -> BoxedStrategy<String> {
    (left, signs(), right).prop_map(|(l, sign, r)| format!("{l} {sign} {r}")).boxed()
}

fn one_of(item: BoxedStrategy<String>) -> BoxedStrategy<String> {
    (item.clone(), prop::collection::vec(item, 0..4))
        .prop_map(|(item, items)| format!("{item} in [{}]", items.join(", ")))
        .boxed()
}

fn days_compared(depth: u32) -> BoxedStrategy<String> {
    let since = prop_oneof![
        words(&["days_since(at)", "days_since(until - duration('36h'))", "days_since(day)", "days_since(owner.at)"]),
        instants(depth).prop_map(|at| format!("days_since({at})")),
    ];
    let count = prop_oneof![
        5 => (-5_i64..95).prop_map(|n| n.to_string()),
        1 => words(&["1.5", "-0.5", "739000", "-2912000", "100000000", "9223372036854775807"]),
    ];
    compared(since.boxed(), count.boxed())
}

fn simple(depth: u32) -> BoxedStrategy<String> {
    let boolean = words(&["ok", "done", "owner.ok"]);
    let choices = prop_oneof![words(&["tier", "rank"]), select(OPTIONS.to_vec()).prop_map(quoted)].boxed();
    let equals = words(&["==", "!="]);
    let anything = words(&[
        "label",
        "n",
        "rate",
        "ok",
        "day",
        "at",
        "tier",
        "owner",
        "extra",
        "owner.n",
        "owner.id",
        "n + m",
        "n * n * m",
        "amount * rate * 9.5",
        "lower(nick)",
        "days_since(at)",
        "size(owner.label)",
        "n / m",
        "at + duration('1h')",
        "p_null",
        "p_text",
        "(n > 1)",
    ]);
    prop_oneof![
        4 => compared(number(depth), number(depth)),
        3 => compared(texts(depth), texts(depth)),
        2 => compared(instants(depth), instants(depth)),
        1 => compared(days(), days()),
        3 => days_compared(depth),
        1 => (choices.clone(), equals.clone(), words(&["tier", "rank", "label"]))
            .prop_map(|(l, sign, r)| format!("{r} {sign} {l}")),
        2 => (anything, equals.clone()).prop_map(|(term, sign)| format!("{term} {sign} null")),
        1 => (1_u8..=8, words(&["==", "!=", "<", ">="])).prop_map(|(n, sign)| format!("owner {sign} '{}'", id(n))),
        1 => words(&["owner == p_owner", "owner != owner.id", "owner.id == owner", "owner in [p_owner]", "'x' != p_null"]),
        2 => one_of(number(depth)),
        1 => one_of(texts(depth)),
        1 => one_of(words(&["tier", "rank", "'gold'", "'tin'"])).prop_map(|rule| format!("({rule})")),
        1 => words(&["label in p_list", "lower(nick) in p_list", "amount in p_numbers", "n * 1.5 in p_numbers"]),
        3 => (texts(depth), words(&["contains", "startsWith", "endsWith"]), texts(depth))
            .prop_map(|(l, test, r)| format!("{l}.{test}({r})")),
        2 => (texts(depth), words(&["tags", "owner.tags"])).prop_map(|(tag, tags)| format!("{tag} in {tags}")),
        1 => (select(TAGS.to_vec()).prop_map(quoted), words(&["tags", "owner.tags"]))
            .prop_map(|(tag, tags)| format!("{tag} in {tags}")),
        1 => words(&["tier in tags", "rank in owner.tags", "p_text in tags", "p_null in owner.tags", "tags == null", "owner.tags != null"]),
        1 => (words(&["size(tags)", "size(owner.tags)", "tags.size()", "size(tags) * n"]), signs(), words(&["0", "1", "2", "n", "size(owner.tags)"]))
            .prop_map(|(l, sign, r)| format!("{l} {sign} {r}")),
        1 => select(SEGMENTS.to_vec()).prop_map(|name| format!("in_segment('{name}')")),
        1 => select(SEGMENTS.to_vec()).prop_map(|name| format!("in_segment('{name}', owner)")),
        1 => boolean.clone(),
        1 => (boolean.clone(), equals, prop_oneof![boolean, words(&["true", "false", "p_flag", "(n > 0)"])])
            .prop_map(|(l, sign, r)| format!("{l} {sign} {r}")),
    ]
    .boxed()
}

/// The text of a random rule.
pub(crate) fn rule() -> BoxedStrategy<String> {
    simple(2)
        .prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                2 => prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| format!("({})", parts.join(" && "))),
                2 => prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| format!("({})", parts.join(" || "))),
                2 => inner.clone().prop_map(|part| format!("!({part})")),
                1 => (inner.clone(), inner).prop_map(|(l, r)| format!("(({l}) == ({r}))")),
            ]
        })
        .boxed()
}
