//! The properties and operators of events, records, references, instants and days.

use std::collections::BTreeSet;

use rhai::{Dynamic, Engine, ImmutableString};

use crate::failure::Failure;
use crate::time::{Civil, Day, Instant};
use crate::values::Reference;
use crate::view::{Answer, EventView, FieldsView, Part, RecordView};

/// Makes the types known to `engine`.
pub(super) fn register(engine: &mut Engine) {
    register_event(engine);
    register_record(engine);
    register_reference(engine);
    register_instant(engine);
    register_day(engine);
    engine
        .register_type_with_name::<Failure>("failure")
        .register_get("code", |f: &mut Failure| f.error.code.clone())
        .register_get("message", |f: &mut Failure| f.error.message.clone())
        .register_get("retryable", |f: &mut Failure| f.error.retryable);
    register_text::<Failure>(engine);
}

/// Makes the fields `names` properties of records and of events' parts. They could be read without: but Rhai looks for a property
/// first, and words an error before it looks for an index, which costs more than all the rest of reading a field.
pub(crate) fn register_properties(engine: &mut Engine, names: &BTreeSet<ImmutableString>) {
    for name in names {
        let (of_record, of_part) = (name.clone(), name.clone());
        engine.register_get(name, move |r: &mut RecordView| -> Answer<Dynamic> { r.property(&of_record) });
        engine.register_get(name, move |f: &mut FieldsView| -> Answer<Dynamic> { f.property(&of_part) });
    }
}

/// Makes a type printable, and joins it to texts as other values are.
fn register_text<T: std::fmt::Display + Clone + 'static>(engine: &mut Engine) {
    engine.register_fn("to_string", |value: &mut T| value.to_string());
    engine.register_fn("to_debug", |value: &mut T| value.to_string());
    engine.register_fn("print", |value: &mut T| value.to_string());
    engine.register_fn("debug", |value: &mut T| value.to_string());
    engine.register_fn("+", |text: ImmutableString, value: T| format!("{text}{value}"));
    engine.register_fn("+", |value: T, text: ImmutableString| format!("{value}{text}"));
}

fn register_event(engine: &mut Engine) {
    engine
        .register_type_with_name::<EventView>("event")
        .register_get("record", |e: &mut EventView| e.record())
        .register_get("data", |e: &mut EventView| e.part(Part::Data))
        .register_get("before", |e: &mut EventView| e.part(Part::Before))
        .register_get("after", |e: &mut EventView| e.part(Part::After))
        .register_get("delta", |e: &mut EventView| e.part(Part::Delta))
        .register_get("subject", |e: &mut EventView| e.subject())
        .register_get("type", |e: &mut EventView| e.event().kind.clone())
        .register_get("time", |e: &mut EventView| Instant(e.event().time))
        .register_get("recorded_at", |e: &mut EventView| Instant(e.event().recorded_at))
        .register_get("actor", |e: &mut EventView| e.event().actor.clone())
        .register_get("depth", |e: &mut EventView| i64::from(e.event().depth))
        .register_get("position", |e: &mut EventView| i64::try_from(e.event().position).unwrap_or(i64::MAX));
    engine
        .register_type_with_name::<FieldsView>("fields")
        .register_indexer_get(|f: &mut FieldsView, name: &str| -> Answer<Dynamic> { f.property(name) })
        .register_fn("contains", |f: &mut FieldsView, name: &str| f.contains(name))
        .register_fn("keys", |f: &mut FieldsView| f.keys());
}

fn register_record(engine: &mut Engine) {
    engine
        .register_type_with_name::<RecordView>("record")
        .register_indexer_get(|r: &mut RecordView, name: &str| -> Answer<Dynamic> { r.property(name) })
        .register_fn("==", |a: RecordView, b: RecordView| a.reference() == b.reference())
        .register_fn("!=", |a: RecordView, b: RecordView| a.reference() != b.reference());
}

fn register_reference(engine: &mut Engine) {
    engine
        .register_type_with_name::<Reference>("reference")
        .register_get("id", |r: &mut Reference| r.id.clone())
        .register_get("object", |r: &mut Reference| r.object.clone())
        .register_fn("==", |a: Reference, b: Reference| a == b)
        .register_fn("!=", |a: Reference, b: Reference| a != b)
        .register_fn("==", |a: Reference, b: &str| a.id == b || a.to_string() == b)
        .register_fn("!=", |a: Reference, b: &str| a.id != b && a.to_string() != b)
        .register_fn("==", |a: &str, b: Reference| b.id == a || b.to_string() == a)
        .register_fn("!=", |a: &str, b: Reference| b.id != a && b.to_string() != a);
    register_text::<Reference>(engine);
}

fn register_order<T: Ord + Clone + 'static>(engine: &mut Engine) {
    engine
        .register_fn("==", |a: T, b: T| a == b)
        .register_fn("!=", |a: T, b: T| a != b)
        .register_fn("<", |a: T, b: T| a < b)
        .register_fn("<=", |a: T, b: T| a <= b)
        .register_fn(">", |a: T, b: T| a > b)
        .register_fn(">=", |a: T, b: T| a >= b);
}

fn register_instant(engine: &mut Engine) {
    engine
        .register_type_with_name::<Instant>("timestamp")
        .register_get("year", |t: &mut Instant| t.civil().year)
        .register_get("month", |t: &mut Instant| t.civil().month)
        .register_get("day", |t: &mut Instant| t.civil().day)
        .register_get("hour", |t: &mut Instant| t.micros_of_day() / 3_600_000_000)
        .register_get("minute", |t: &mut Instant| t.micros_of_day() / 60_000_000 % 60)
        .register_get("weekday", |t: &mut Instant| t.weekday());
    register_order::<Instant>(engine);
    register_text::<Instant>(engine);
}

fn register_day(engine: &mut Engine) {
    fn part(day: &Day, pick: fn(Civil) -> i64) -> Answer<i64> {
        day.civil().map(pick).ok_or_else(|| format!("`{day}` is not a day").into())
    }
    engine
        .register_type_with_name::<Day>("date")
        .register_get("year", |d: &mut Day| part(d, |c| c.year))
        .register_get("month", |d: &mut Day| part(d, |c| c.month))
        .register_get("day", |d: &mut Day| part(d, |c| c.day));
    register_order::<Day>(engine);
    register_text::<Day>(engine);
}
