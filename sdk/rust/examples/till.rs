//! A plugin of actions: it spends a customer's points, tells how many there are, and takes back what it did by entries of its own.

use rapport_sdk::{
    Call, Compensator, Error, Fields, Json, OnAction, Reference, Timestamp, Undone, clock, context, events, flow, jobs,
    messages, records,
};
use serde_json::json;

/// Keeps the till.
struct Till;

impl OnAction for Till {
    fn on_action(call: Call) -> Result<Json, Error> {
        match call.action.as_str() {
            "pay" => pay(&call),
            "balance" => balance(&call),
            "hold" => hold(&call),
            "later" => later(&call),
            "peek" => peek(&call),
            "relay" => Ok(relay(&call)),
            "fail" => Err(Error::new("till_closed", "come back tomorrow")),
            "break" => broken(),
            "wrong" => Ok(json!({ "result": 7 })),
            "seen" => Ok(json!({ "caller": call.caller, "input": call.input, "position": call.event_position })),
            other => Err(Error::new("unknown", other)),
        }
    }
}

impl Compensator for Till {
    fn compensate(undone: Undone) -> Result<(), Error> {
        let run = undone.run;
        let Some(call) = undone.action else { return Err(Error::new("no_action", "a till has only actions")) };
        if call.input["stubborn"] == true {
            return Err(Error::new("stubborn", "what is paid stays paid"));
        }
        let Some(customer) = customer(&call)? else { return Ok(()) };
        for entry in records::find("till_entry").filter("cause == c").param("c", cause(&call)).run()? {
            enter(
                &customer,
                -entry.int("points")?.unwrap_or_default(),
                &format!("undo of {run} by {}", context::actor()),
            )?;
        }
        Ok(())
    }
}

fn customer(call: &Call) -> Result<Option<Reference>, Error> {
    let key = call.input["customer"].as_str().unwrap_or_default();
    Ok(records::get("customer", key)?.map(|found| found.reference()))
}

/// What entries of this call say that they come from.
fn cause(call: &Call) -> String {
    let key = call.input["key"].as_str().map(str::to_owned);
    key.unwrap_or_else(|| format!("event {}", call.event_position))
}

fn points(call: &Call) -> i64 {
    call.input["points"].as_i64().unwrap_or_default()
}

/// Writes an entry into the book, and the balance.
fn enter(customer: &Reference, points: i64, cause: &str) -> Result<(), Error> {
    let entry = Fields::new().with("customer", customer.clone()).with("points", points).with("cause", cause);
    records::create("till_entry", &entry)?;
    records::increment(customer, "points", points)
}

fn pay(call: &Call) -> Result<Json, Error> {
    let key = call.input["customer"].as_str().unwrap_or_default();
    let Some(found) = records::get("customer", key)? else { return Ok(json!({ "result": "rejected_unknown" })) };
    let (has, points) = (found.int("points")?.unwrap_or_default(), points(call));
    if has < points {
        return Ok(json!({ "result": "rejected_balance", "left": has }));
    }
    enter(&found.reference(), -points, &cause(call))?;
    Ok(json!({ "result": "ok", "left": has - points }))
}

fn balance(call: &Call) -> Result<Json, Error> {
    let key = call.input["customer"].as_str().unwrap_or_default();
    let found = records::get("customer", key)?;
    let points = found.map(|found| found.int("points")).transpose()?.flatten();
    Ok(json!({ "points": points.unwrap_or_default() }))
}

/// Breaks down, unless the customer `fixed` is there.
fn broken() -> Result<Json, Error> {
    assert!(records::get("customer", "customer_no:fixed")?.is_some(), "the drawer is stuck");
    Ok(json!({ "result": "ok" }))
}

/// Pays when some time has passed.
fn hold(call: &Call) -> Result<Json, Error> {
    flow::sleep(call.input["span"].as_str().unwrap_or("1 day"))?;
    pay(call)
}

/// Has it paid later.
fn later(call: &Call) -> Result<Json, Error> {
    let mut input = json!({ "customer": call.input["customer"], "points": call.input["points"] });
    if call.input["key"].is_string() {
        input["key"] = call.input["key"].clone();
    }
    let run = match call.input["seconds"].as_i64() {
        Some(seconds) => jobs::start_at("pay", &input, Timestamp(clock::now().0 + seconds * 1_000_000))?,
        None => jobs::start(call.input["action"].as_str().unwrap_or("pay"), &input)?,
    };
    Ok(json!({ "run": run }))
}

/// Tries to do more than to look.
fn peek(call: &Call) -> Result<Json, Error> {
    let about = Reference::new("customer", call.input["customer"].as_str().unwrap_or_default());
    match call.input["how"].as_str().unwrap_or_default() {
        "increment" => records::increment(&about, "points", 1)?,
        "create" => drop(records::create("customer", &Fields::new().with("customer_no", "new"))?),
        "emit" => events::emit("till.closed", &about, &Fields::new())?,
        "send" => drop(messages::email(&about, "none", &Fields::new())?),
        "sleep" => flow::sleep("1 second")?,
        "invoke" => drop(flow::invoke("till.pay", &json!({}))?),
        "job" => drop(jobs::start("pay", &call.input)?),
        _ => {}
    }
    Ok(json!({ "looked": true }))
}

/// Has another till do it.
fn relay(call: &Call) -> Json {
    let action = call.input["action"].as_str().unwrap_or("till.pay");
    let input = json!({ "customer": call.input["customer"], "points": call.input["points"] });
    match flow::invoke(action, &input) {
        Ok(output) => json!({ "relayed": output }),
        Err(error) => json!({ "refused": error.code(), "why": error.to_string() }),
    }
}

rapport_sdk::export!(Till: on_action, compensate);
