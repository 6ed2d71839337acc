//! The calls that read and write records.

use std::rc::Rc;

use rhai::{Array, Dynamic, Engine, Map};
use rust_decimal::Decimal;

use super::{Target, fields_of, invalid, key_of, kind, value_of};
use crate::bindings::rapport::plugin::records::{self, Page};
use crate::bindings::rapport::plugin::types::{Field, RecordData, Value};
use crate::failure::raise;
use crate::nearest::nearest;
use crate::values::Reference;
use crate::view::{Answer, RecordView};

/// Rows of a `find` that names no limit.
const FIND_ROWS_DEFAULT: u32 = 100;
const FIND_OPTIONS: [&str; 3] = ["order", "limit", "after"];

/// Makes the calls known to `engine`. Where a record or a reference may stand, both have a signature of their own: Rhai finds
/// those faster than one for any value, which is there for everything else and for its error.
pub(super) fn register(engine: &mut Engine) {
    register_reads(engine);
    register_update(engine);
    register_increment(engine);
    register_tags(engine);
    engine.register_fn("create", |object: &str, fields: Map| -> Answer<Dynamic> {
        records::create(object, &fields_of(&fields)?).map(view).map_err(raise)
    });
    engine.register_fn("upsert", |object: &str, by: &str, fields: Map| -> Answer<Dynamic> {
        records::upsert(object, by, &fields_of(&fields)?).map(view).map_err(raise)
    });
    engine.register_fn("delete", |target: Dynamic| -> Answer<bool> {
        let Target { object, key } = Target::of(&target)?;
        records::delete(&object, &key).map_err(raise)
    });
    engine.register_fn("delete", |object: &str, key: Dynamic| -> Answer<bool> {
        records::delete(object, &key_of(&key)?).map_err(raise)
    });
}

fn register_reads(engine: &mut Engine) {
    engine.register_fn("get", |object: &str, key: Dynamic| get(object, &key_of(&key)?));
    engine.register_fn("get", |target: Dynamic| -> Answer<Dynamic> {
        let Target { object, key } = Target::of(&target)?;
        get(&object, &key)
    });
    // What a run read before it waited is as old as that: this reads it again.
    engine.register_fn("refresh", |target: Dynamic| -> Answer<Dynamic> {
        let Target { object, key } = Target::of(&target)?;
        get(&object, &key)
    });
    engine.register_fn("find", |object: &str, filter: &str| find(object, filter, &Map::new(), &Map::new()));
    engine.register_fn("find", |object: &str, filter: &str, params: Map| find(object, filter, &params, &Map::new()));
    engine
        .register_fn("find", |object: &str, filter: &str, params: Map, page: Map| find(object, filter, &params, &page));
    engine.register_fn("count", |object: &str, filter: &str| count(object, filter, &Map::new()));
    engine.register_fn("count", |object: &str, filter: &str, params: Map| count(object, filter, &params));
}

fn register_update(engine: &mut Engine) {
    engine.register_fn("update", |record: &mut RecordView, fields: Map| update(&Target::from(&*record), &fields));
    engine.register_fn("update", |reference: Reference, fields: Map| update(&reference.into(), &fields));
    engine
        .register_fn("update", |target: Dynamic, fields: Map| -> Answer<()> { update(&Target::of(&target)?, &fields) });
    engine.register_fn("update", |object: &str, key: Dynamic, fields: Map| -> Answer<()> {
        update(&Target { object: object.into(), key: key_of(&key)? }, &fields)
    });
}

fn register_increment(engine: &mut Engine) {
    engine.register_fn("increment", |record: &mut RecordView, field: &str, by: i64| {
        increment(&Target::from(&*record), field, &Value::Integer(by))
    });
    engine.register_fn("increment", |reference: Reference, field: &str, by: i64| {
        increment(&reference.into(), field, &Value::Integer(by))
    });
    engine.register_fn("increment", |reference: Reference, field: &str, by: Decimal| {
        increment(&reference.into(), field, &Value::Decimal(by.to_string()))
    });
    engine.register_fn("increment", |target: Dynamic, field: &str, by: Dynamic| -> Answer<()> {
        increment(&Target::of(&target)?, field, &number_of(&by)?)
    });
    engine.register_fn("increment", |object: &str, key: Dynamic, field: &str, by: Dynamic| -> Answer<()> {
        increment(&Target { object: object.into(), key: key_of(&key)? }, field, &number_of(&by)?)
    });
}

fn register_tags(engine: &mut Engine) {
    for (name, side) in [("tag", "add"), ("untag", "remove")] {
        engine.register_fn(name, move |record: &mut RecordView, tags: Dynamic| -> Answer<()> {
            retag(&Target::from(&*record), side, &tags)
        });
        engine.register_fn(name, move |reference: Reference, tags: Dynamic| -> Answer<()> {
            retag(&reference.into(), side, &tags)
        });
        engine.register_fn(name, move |target: Dynamic, tags: Dynamic| -> Answer<()> {
            retag(&Target::of(&target)?, side, &tags)
        });
        engine.register_fn(name, move |object: &str, key: Dynamic, tags: Dynamic| -> Answer<()> {
            retag(&Target { object: object.into(), key: key_of(&key)? }, side, &tags)
        });
    }
}

/// Adds tags to a record or takes them away: one as a text, several as an array.
fn retag(target: &Target, side: &str, tags: &Dynamic) -> Answer<()> {
    let wrong = || invalid(format!("tags are a text or an array of texts, got a {}", kind(tags)));
    let items = match tags.read_lock::<Array>() {
        Some(items) => items.clone(),
        None => vec![tags.clone()],
    };
    let texts: Option<Vec<String>> =
        items.iter().map(|tag| tag.as_immutable_string_ref().ok().map(|text| text.to_string())).collect();
    let edit = serde_json::json!({ side: texts.ok_or_else(wrong)? });
    let field = Field { name: "tags".into(), value: Value::Json(edit.to_string()) };
    records::update(&target.object, &target.key, &[field]).map_err(raise)
}

fn get(object: &str, key: &str) -> Answer<Dynamic> {
    records::get(object, key).map(|found| found.map_or(Dynamic::UNIT, view)).map_err(raise)
}

fn find(object: &str, filter: &str, params: &Map, page: &Map) -> Answer<Array> {
    let page = page_of(page)?;
    let found = records::find(object, filter, &fields_of(params)?, &page).map_err(raise)?;
    Ok(found.into_iter().map(view).collect())
}

fn count(object: &str, filter: &str, params: &Map) -> Answer<i64> {
    let count = records::count(object, filter, &fields_of(params)?).map_err(raise)?;
    i64::try_from(count).map_err(|e| invalid(e.to_string()))
}

fn update(target: &Target, fields: &Map) -> Answer<()> {
    records::update(&target.object, &target.key, &fields_of(fields)?).map_err(raise)
}

fn increment(target: &Target, field: &str, by: &Value) -> Answer<()> {
    records::increment(&target.object, &target.key, field, by).map_err(raise)
}

fn view(record: RecordData) -> Dynamic {
    Dynamic::from(RecordView(Rc::new(record)))
}

fn number_of(value: &Dynamic) -> Answer<Value> {
    match value_of(value)? {
        number @ (Value::Integer(_) | Value::Decimal(_)) => Ok(number),
        _ => Err(invalid(format!("increment takes a number, got a {}", kind(value)))),
    }
}

fn page_of(options: &Map) -> Answer<Page> {
    if let Some(unknown) = options.keys().find(|k| !FIND_OPTIONS.contains(&k.as_str())) {
        let help =
            nearest(unknown, FIND_OPTIONS.into_iter()).map_or_else(String::new, |n| format!("; did you mean `{n}`?"));
        return Err(invalid(format!("`find` has no option `{unknown}`: it takes `order`, `limit` and `after`{help}")));
    }
    let limit = match options.get("limit") {
        Some(limit) => u32::try_from(limit.as_int().unwrap_or(-1))
            .map_err(|_| invalid("`limit` is a whole number of rows".into()))?,
        None => FIND_ROWS_DEFAULT,
    };
    let order = options.get("order").map_or_else(|| Ok(String::new()), key_of)?;
    let after = options.get("after").map_or_else(|| Ok(String::new()), key_of)?;
    Ok(Page { order, limit, after })
}
