//! The standard objects of the core, and the system objects that hold people and keys.
//!
//! The core knows no loyalty, no survey, no segment: those come from scripts and plugins.

use crate::calendar;
use crate::fan_out;
use crate::file;
use crate::merge;
use crate::name::{EventType, Name};
use crate::relation;
use crate::rollup::{Function, Rollup};
use crate::schedule::{self, Misfire, Overlap};
use crate::schema::{EventTypeDef, FieldDef, FieldKind, ObjectDef, Origin};
use crate::segment;

/// The system object of what plugins keep for themselves.
pub const KV_OBJECT: &str = "plugin_kv";

fn name(text: &str) -> Name {
    Name::new(text).expect("the standard names are valid: a test reads them all")
}

fn event_type(text: &str) -> EventType {
    EventType::new(text).expect("the standard event types are valid: a test reads them all")
}

fn field(text: &str, kind: FieldKind) -> FieldDef {
    FieldDef::new(name(text), kind)
}

fn required(mut def: FieldDef) -> FieldDef {
    def.required = true;
    def
}

fn unique(mut def: FieldDef) -> FieldDef {
    def.unique = true;
    def
}

fn indexed(mut def: FieldDef) -> FieldDef {
    def.indexed = true;
    def
}

fn by_default(mut def: FieldDef, value: impl Into<serde_json::Value>) -> FieldDef {
    def.default = Some(value.into());
    def
}

fn text(n: &str) -> FieldDef {
    field(n, FieldKind::Text)
}

fn instant(n: &str) -> FieldDef {
    field(n, FieldKind::Timestamp)
}

fn money(n: &str) -> FieldDef {
    field(n, FieldKind::Decimal { scale: 2 })
}

fn choice(n: &str, options: &[&str]) -> FieldDef {
    field(n, FieldKind::Choice { options: options.iter().map(|o| (*o).to_owned()).collect() })
}

fn reference(n: &str, object: &str) -> FieldDef {
    field(n, FieldKind::Reference { object: name(object) })
}

/// A roll-up over the orders of a customer.
fn over_orders(def: FieldDef, function: Function, of: Option<&str>) -> FieldDef {
    let (object, via) = (name("order"), name("customer"));
    let rollup = Rollup { function, object, via, field: of.map(name), condition: None, by: None };
    FieldDef { rollup: Some(Box::new(rollup)), ..def }
}

fn object(n: &str, origin: Origin, lane: Option<&str>, fields: Vec<FieldDef>) -> ObjectDef {
    ObjectDef::new(name(n), origin, lane.map(name), fields)
}

/// The objects that every workspace has, in an order in which each refers only to itself and those before it.
#[must_use]
pub fn objects() -> Vec<ObjectDef> {
    let mut all = commerce_objects();
    all.extend(contact_objects());
    all.extend(system_objects());
    all
}

fn commerce_objects() -> Vec<ObjectDef> {
    let standard = Origin::Standard;
    vec![
        object(
            "company",
            standard.clone(),
            None,
            vec![
                unique(text("company_no")),
                indexed(text("name")),
                text("domain"),
                text("country"),
                text("city"),
                text("phone"),
                text("notes"),
            ],
        ),
        object(
            "customer",
            standard.clone(),
            None,
            vec![
                unique(text("customer_no")),
                text("name"),
                unique(text("email")),
                indexed(text("phone")),
                reference("company", "company"),
                text("country"),
                text("city"),
                text("postcode"),
                text("language"),
                field("birthday", FieldKind::Date),
                text("notes"),
                over_orders(field("order_count", FieldKind::Integer), Function::Count, None),
                over_orders(money("lifetime_value"), Function::Sum, Some("amount")),
                over_orders(instant("first_order_at"), Function::Min, Some("ordered_at")),
                over_orders(instant("last_order_at"), Function::Max, Some("ordered_at")),
                over_orders(money("average_order"), Function::Average, Some("amount")),
            ],
        ),
        object(
            "order",
            standard.clone(),
            Some("customer"),
            vec![
                required(unique(text("order_no"))),
                required(reference("customer", "customer")),
                indexed(instant("ordered_at")),
                money("amount"),
                text("currency"),
                text("country"),
                by_default(choice("status", &["open", "paid", "shipped", "completed", "cancelled"]), "open"),
                field("line_count", FieldKind::Integer),
            ],
        ),
        object(
            "order_line",
            standard.clone(),
            None,
            vec![
                required(reference("order", "order")),
                indexed(text("sku")),
                text("description"),
                field("quantity", FieldKind::Integer),
                field("unit_price", FieldKind::Decimal { scale: 4 }),
            ],
        ),
    ]
}

fn contact_objects() -> Vec<ObjectDef> {
    let standard = Origin::Standard;
    vec![
        object(
            "interaction",
            standard.clone(),
            Some("customer"),
            vec![
                required(reference("customer", "customer")),
                required(choice("channel", &["call", "mail", "chat", "visit", "other"])),
                choice("direction", &["in", "out"]),
                text("subject"),
                text("body"),
                indexed(instant("happened_at")),
            ],
        ),
        object(
            "consent",
            standard.clone(),
            Some("customer"),
            vec![
                required(reference("customer", "customer")),
                required(text("channel")),
                text("purpose"),
                required(choice("state", &["granted", "withdrawn"])),
                text("proof"),
                instant("happened_at"),
            ],
        ),
        template(),
        calendar(),
        relation(),
        object(
            "task",
            standard,
            Some("customer"),
            vec![
                required(text("title")),
                text("body"),
                reference("customer", "customer"),
                indexed(text("assignee")),
                instant("due_at"),
                by_default(choice("state", &["open", "done", "cancelled"]), "open"),
                field("choices", FieldKind::Json),
                text("choice"),
            ],
        ),
    ]
}

/// Who has to do with whom: from one customer or company to one.
fn relation() -> ObjectDef {
    object(
        relation::OBJECT,
        Origin::Standard,
        None,
        vec![
            required(indexed(text("kind"))),
            reference("from_customer", "customer"),
            reference("from_company", "company"),
            reference("to_customer", "customer"),
            reference("to_company", "company"),
            field("since", FieldKind::Date),
            field("until", FieldKind::Date),
            text("notes"),
        ],
    )
}

/// What messages are made from: Jinja, filled in when a message is sent.
fn template() -> ObjectDef {
    object(
        "template",
        Origin::Standard,
        None,
        vec![required(unique(text("name"))), text("subject"), text("text"), text("html"), text("notes")],
    )
}

/// When the business is open: `definition` is a [`crate::Calendar`].
fn calendar() -> ObjectDef {
    let fields = vec![
        required(unique(text("name"))),
        text("title"),
        required(field("definition", FieldKind::Json)),
        text("notes"),
    ];
    object(calendar::OBJECT, Origin::Standard, None, fields)
}

fn system_objects() -> Vec<ObjectDef> {
    let system = Origin::System;
    vec![
        schedule(),
        object(
            "user",
            system.clone(),
            None,
            vec![
                required(unique(text("name"))),
                unique(text("email")),
                required(field("roles", FieldKind::Json)),
                by_default(field("active", FieldKind::Boolean), true),
            ],
        ),
        object(
            "api_key",
            system,
            None,
            vec![
                required(unique(text("name"))),
                required(unique(text("hash"))),
                reference("user", "user"),
                required(field("scopes", FieldKind::Json)),
                field("objects", FieldKind::Json),
                instant("expires_at"),
                instant("revoked_at"),
                field("roles", FieldKind::Json),
            ],
        ),
        fan_out(),
        segment_state(),
        undo_job(),
        plugin(),
        publisher(),
        blocked_package(),
        plugin_kv(),
        stored_file(),
        merged_record(),
        object(
            "history_load",
            Origin::System,
            None,
            vec![required(unique(text("name"))), required(choice("state", &["open", "closed"])), instant("last_time")],
        ),
    ]
}

/// Where each schedule of each automation stands.
fn schedule() -> ObjectDef {
    object(
        schedule::OBJECT,
        Origin::System,
        None,
        vec![
            required(indexed(text("automation"))),
            required(text("cron")),
            required(text("zone")),
            required(choice("misfire", Misfire::NAMES)),
            required(choice("overlap", Overlap::NAMES)),
            by_default(field("paused", FieldKind::Boolean), false),
            instant("next_at"),
            instant("last_at"),
            by_default(field("skipped", FieldKind::Integer), 0),
            field("each", FieldKind::Json),
        ],
    )
}

/// How far each fan-out has come. `key` is its schedule and instant: no two have the same.
fn fan_out() -> ObjectDef {
    object(
        fan_out::OBJECT,
        Origin::System,
        None,
        vec![
            required(unique(text("key"))),
            required(indexed(text("schedule"))),
            required(text("automation")),
            required(instant("instant")),
            required(field("by_hand", FieldKind::Boolean)),
            required(text("actor")),
            required(field("each", FieldKind::Json)),
            required(indexed(choice("state", &["queued", "running", "done", "cancelled"]))),
            text("after_id"),
            text("until_id"),
            by_default(field("started", FieldKind::Integer), 0),
            field("total", FieldKind::Integer),
            instant("next_at"),
            instant("ended_at"),
            text("note"),
        ],
    )
}

/// The undoing of many runs, as far as it has come.
fn undo_job() -> ObjectDef {
    let counts = ["runs_total", "runs_done", "changes_done", "changes_left", "runs_failed"];
    let mut fields = vec![
        required(field("request", FieldKind::Json)),
        required(text("actor")),
        required(choice("state", &["running", "done", "cancelled", "failed"])),
        text("error"),
    ];
    fields.extend(counts.map(|name| by_default(field(name, FieldKind::Integer), 0)));
    object("undo_job", Origin::System, None, fields)
}

/// Where each plugin that came in a package stands: what it asked for, what was granted, by whom.
fn plugin() -> ObjectDef {
    object(
        "plugin",
        Origin::System,
        None,
        vec![
            required(unique(text("name"))),
            required(choice("state", &["waiting", "enabled", "disabled", "uninstalled"])),
            required(text("publisher")),
            text("key"),
            field("live", FieldKind::Json),
            field("before", FieldKind::Json),
            field("pending", FieldKind::Json),
            required(field("granted", FieldKind::Json)),
            required(field("declined", FieldKind::Json)),
            text("granted_by"),
            instant("granted_at"),
            field("migration", FieldKind::Json),
        ],
    )
}

/// What each plugin keeps for itself: `slot` is `PLUGIN:KEY`; the value stands in `text`, or in `base64` if it is none.
fn plugin_kv() -> ObjectDef {
    let fields =
        vec![required(unique(text("slot"))), text("text"), text("base64"), required(field("size", FieldKind::Integer))];
    object(KV_OBJECT, Origin::System, None, fields)
}

/// What there is to know of each file. `attached` is the record that it belongs to, as `OBJECT/ID`; the bytes lie apart, by `sha256`.
fn stored_file() -> ObjectDef {
    let fields = vec![
        required(text("name")),
        required(text("media_type")),
        required(field("size", FieldKind::Integer)),
        required(indexed(text("sha256"))),
        indexed(text("attached")),
    ];
    object(file::OBJECT, Origin::System, None, fields)
}

/// To which record the names of another lead that was merged into it. Ids are 32 hexadecimal digits.
fn merged_record() -> ObjectDef {
    let fields = vec![
        required(text("object")),
        required(unique(text("merged"))),
        required(indexed(text("survivor"))),
        required(field("keys", FieldKind::Json)),
    ];
    object(merge::OBJECT, Origin::System, None, fields)
}

/// Where each segment stands.
fn segment_state() -> ObjectDef {
    let fields = vec![
        required(unique(text("name"))),
        required(indexed(text("automation"))),
        required(text("object")),
        required(choice("kind", segment::SegmentKind::NAMES)),
        text("title"),
        text("rule"),
        text("every"),
        text("zone"),
        // filling: its members are not yet what the rule says; ready: they are; retiring: nothing declares it any more, and its members
        // have to leave; retired: they have.
        required(choice("state", &["filling", "ready", "retiring", "retired"])),
        by_default(field("announce", FieldKind::Boolean), false),
        instant("filled_at"),
        instant("next_at"),
        instant("checked_at"),
        field("faults", FieldKind::Integer),
    ];
    object(segment::OBJECT, Origin::System, None, fields)
}

/// The key of each publisher, as the first package or an admin named it.
fn publisher() -> ObjectDef {
    let fields = vec![
        required(unique(text("name"))),
        required(text("key")),
        by_default(field("trusted", FieldKind::Boolean), false),
    ];
    object("publisher", Origin::System, None, fields)
}

/// The packages that must not run, by their digests.
fn blocked_package() -> ObjectDef {
    let fields =
        vec![required(unique(text("digest"))), text("reason"), by_default(field("active", FieldKind::Boolean), true)];
    object("blocked_package", Origin::System, None, fields)
}

/// The event types that every workspace has: those that it accepts from outside, and those that come from the core alone: who
/// comes into a segment and who leaves it, and which record is merged into which.
#[must_use]
pub fn event_types() -> Vec<EventTypeDef> {
    let kind = |n, fields| EventTypeDef { name: event_type(n), fields, subject_optional: false };
    vec![
        kind("order.paid", vec![text("order_no"), money("amount"), text("currency")]),
        kind("order.shipped", vec![text("order_no"), text("carrier"), text("tracking_no")]),
        kind("page.viewed", vec![text("url"), text("referrer")]),
        kind(segment::ENTERED, vec![text("segment")]),
        kind(segment::LEFT, vec![text("segment"), instant("entered_at")]),
        kind(merge::MERGING, vec![text("merged")]),
        kind(merge::MERGED, vec![text("merged"), field("lists", FieldKind::Json), field("joined", FieldKind::Json)]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_objects_are_sound() {
        let all = objects();
        for (i, object) in all.iter().enumerate() {
            if let Some(lane) = &object.lane {
                assert!(matches!(object.field(lane.as_str()).unwrap().kind, FieldKind::Reference { .. }));
            }
            for field in &object.fields {
                if let FieldKind::Reference { object: target } = &field.kind {
                    assert!(all[..=i].iter().any(|o| o.name == *target), "{}.{}", object.name, field.name);
                }
            }
        }
        assert_eq!(event_types().len(), 7);
    }
}
