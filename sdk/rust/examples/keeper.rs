//! A plugin that keeps and counts: it does what the notes of a new customer say, call by call, and writes beside them what it was told.

use rapport_sdk::query::{Page, Row};
use rapport_sdk::{
    Error, Event, Fields, Json, OnEvent, Reference, Timestamp, calendars, context, files, flow, kv, query, records,
    scripts, search, secrets,
};
use serde_json::json;

/// Keeps what it is told to.
struct Keeper;

impl OnEvent for Keeper {
    fn on_event(event: Event) -> Result<(), Error> {
        let customer = event.subject_record()?;
        let body = customer.text("notes")?.unwrap_or_default();
        let calls: Vec<Vec<Json>> = serde_json::from_str(&body).map_err(|e| Error::new("body", e.to_string()))?;
        let mut told = Vec::new();
        for call in &calls {
            told.push(done(call).or_else(forgiven)?);
        }
        records::update(&customer.reference(), &Fields::new().with("postcode", Json::Array(told).to_string()))
    }
}

/// What is noted of a call that failed; that a function of a script needs too much fails the slice.
fn forgiven(error: Error) -> Result<Json, Error> {
    if error.code() == "budget" { Err(error) } else { Ok(json!({ "error": error.code() })) }
}

/// Does one call: its name, then its arguments.
fn done(call: &[Json]) -> Result<Json, Error> {
    let text = |place: usize| call.get(place).and_then(Json::as_str).unwrap_or_default();
    let number = |place: usize| call.get(place).and_then(Json::as_i64).unwrap_or_default();
    Ok(match text(0) {
        "get" => json!(kv::get(text(1))?.map(|value| String::from_utf8_lossy(&value).into_owned())),
        "set" => json!(kv::set(text(1), text(2))?),
        "fill" => {
            let bytes = usize::try_from(number(2)).unwrap_or_default();
            json!(kv::set(text(1), vec![255; bytes])?)
        }
        "bytes" => json!(kv::get(text(1))?),
        "delete" => json!(kv::delete(text(1))?),
        "list" => {
            let found = kv::list(text(1), text(2), u32::try_from(number(3)).unwrap_or_default())?;
            found.into_iter().map(|(key, _)| key).collect()
        }
        "claim" => {
            let free = kv::get(text(1))?.is_none();
            if free {
                kv::set(text(1), "taken")?;
            }
            json!(free)
        }
        "increment" => json!(kv::increment(text(1), number(2))?),
        "select" => page(&select(call).run()?),
        "aggregate" => aggregate(call).run()?.iter().map(row).collect(),
        "exists" => json!(secrets::exists(text(1))?),
        "hmac" => json!(secrets::hmac_sha256(text(1), text(2).as_bytes())?),
        "context" => json!([context::run(), context::plugin(), context::actor(), context::slice()]),
        "sleep" => json!(flow::sleep(text(1))?),
        "script" => script(call),
        "scripts" => {
            for _ in 0..number(1) {
                scripts::run(text(2), text(3), arguments(call.get(4)))?;
            }
            Json::Null
        }
        "burn" => burn(number(1)),
        "eat" => json!(std::hint::black_box(vec![1_u8; usize::try_from(number(1)).unwrap_or_default()]).len()),
        "trap" => trap()?,
        "put" => put(call)?,
        "info" => files::info(text(1))?.map_or(Json::Null, |file| known(&file)),
        "read" => {
            let (offset, length) = (number(2).try_into().unwrap_or_default(), number(3).try_into().unwrap_or_default());
            json!(String::from_utf8_lossy(&files::read(text(1), offset, length)?))
        }
        "files" => {
            let limit = number(3).try_into().unwrap_or_default();
            let found = files::of(&Reference::parse(text(1)), text(2), limit)?;
            found.into_iter().map(|file| json!([file.id, file.name])).collect()
        }
        "search" => search(call).run()?.into_iter().map(|hit| json!([hit.id, hit.field, hit.text])).collect(),
        "due" => json!(calendars::due(text(1), Timestamp(number(2)), text(3))?.0),
        "elapsed" => json!(calendars::elapsed(text(1), Timestamp(number(2)), Timestamp(number(3)))?),
        "remove" => json!(files::delete(text(1))?),
        "create" => json!(records::create(text(1), &Fields::new().with("customer_no", text(2)))?.id),
        other => return Err(Error::new("unknown", other)),
    })
}

/// `["put", NAME, TYPE, CONTENT, OWNER]`: the content as text, or as a number of bytes; the id of the file.
fn put(call: &[Json]) -> Result<Json, Error> {
    let text = |place: usize| call.get(place).and_then(Json::as_str).unwrap_or_default();
    let content = match call.get(3).and_then(Json::as_u64) {
        Some(bytes) => vec![b'x'; usize::try_from(bytes).unwrap_or_default()],
        None => text(3).as_bytes().to_vec(),
    };
    let file = match text(4) {
        "" => files::put(text(1), text(2), &content)?,
        owner => files::attach(&Reference::parse(owner), text(1), text(2), &content)?,
    };
    Ok(json!(file.id))
}

fn known(file: &files::File) -> Json {
    json!([file.name, file.media_type, file.size, file.sha256, file.attached.as_ref().map(ToString::to_string)])
}

fn arguments(json: Option<&Json>) -> &[Json] {
    json.and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

/// `["script", SCRIPT, FUNCTION, [ARGUMENT, …]]`: its result, or how it failed.
fn script(call: &[Json]) -> Json {
    let text = |place: usize| call.get(place).and_then(Json::as_str).unwrap_or_default();
    scripts::run(text(1), text(2), arguments(call.get(3)))
        .unwrap_or_else(|error| json!({ "refused": error.code(), "why": error.to_string() }))
}

/// Works in vain for `rounds` rounds.
fn burn(rounds: i64) -> Json {
    json!((0..rounds).fold(0_i64, |sum, n| std::hint::black_box(sum ^ n.rotate_left(7))))
}

/// Breaks down, unless the customer `fixed` is there.
fn trap() -> Result<Json, Error> {
    assert!(records::get("customer", "customer_no:fixed")?.is_some(), "the drawer is stuck");
    Ok(json!("whole"))
}

fn names(json: Option<&Json>) -> Vec<&str> {
    json.and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).collect()
}

/// `["select", OBJECT, [FIELD, …], RULE, ORDER, LIMIT, CURSOR]`
fn select(call: &[Json]) -> query::Select {
    let text = |place: usize| call.get(place).and_then(Json::as_str).unwrap_or_default();
    let limit = call.get(5).and_then(Json::as_u64).and_then(|limit| u32::try_from(limit).ok()).unwrap_or_default();
    query::select(text(1), &names(call.get(2))).filter(text(3)).order(text(4)).limit(limit).cursor(text(6))
}

/// `["search", OBJECT, TEXT, [FIELD, …], RULE, LIMIT]`
fn search(call: &[Json]) -> search::Search {
    let text = |place: usize| call.get(place).and_then(Json::as_str).unwrap_or_default();
    let limit = call.get(5).and_then(Json::as_u64).and_then(|limit| u32::try_from(limit).ok()).unwrap_or_default();
    let asked = search::find(text(1), text(2)).filter(text(4)).limit(limit);
    names(call.get(3)).into_iter().fold(asked, search::Search::field)
}

/// `["aggregate", OBJECT, [FIELD, …], RULE, ["sum:amount", …]]`
fn aggregate(call: &[Json]) -> query::Aggregate {
    let text = |place: usize| call.get(place).and_then(Json::as_str).unwrap_or_default();
    let mut asked = query::aggregate(text(1)).filter(text(3));
    for field in names(call.get(2)) {
        asked = asked.by(field);
    }
    for measure in names(call.get(4)) {
        asked = match measure.split_once(':') {
            Some(("sum", field)) => asked.sum(field),
            Some(("min", field)) => asked.min(field),
            Some(("max", field)) => asked.max(field),
            _ => asked.count(),
        };
    }
    asked
}

fn page(page: &Page) -> Json {
    json!({ "rows": page.rows.iter().map(row).collect::<Json>(), "next": page.next })
}

/// Values as the author of a test writes them: whole numbers as such, all else as text.
fn row(row: &Row) -> Json {
    let shown = |value: &rapport_sdk::Value| match value {
        rapport_sdk::Value::Null => Json::Null,
        rapport_sdk::Value::Int(n) => json!(n),
        rapport_sdk::Value::Text(text) => json!(text),
        rapport_sdk::Value::Decimal(number) => json!(number.to_string()),
        other => json!(format!("{other:?}")),
    };
    row.0.iter().map(shown).collect()
}

rapport_sdk::export!(Keeper: on_event);
