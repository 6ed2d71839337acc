//! The calls between runs: the first of several events, locks, and runs that start others and wait for their result.

use rhai::{Array, Dynamic, Engine, Map};

use super::{fields_of, invalid};
use crate::bindings::rapport::plugin::flow::{self, Alternative};
use crate::bindings::rapport::plugin::types::Error;
use crate::failure::raise;
use crate::nearest::nearest;
use crate::values::{dynamic_to_json, json_to_dynamic, to_dynamic};
use crate::view::{Answer, EventView};

/// What an alternative of `wait_any` is made of.
const PARTS: [&str; 3] = ["event", "where", "params"];
/// The type of the event that an invoked run is called with.
const INVOKED: &str = "run.invoked";
/// The field of that event that holds what the run is given.
const INPUT: &str = "input";

/// Makes the calls known to `engine`.
pub(super) fn register(engine: &mut Engine) {
    engine.register_fn("wait_any", |list: Array| wait_any(&list, ""));
    engine.register_fn("wait_any", |list: Array, timeout: &str| wait_any(&list, timeout));
    engine.register_fn("lock", |key: &str| -> Answer<()> { flow::lock(key).map_err(raise) });
    engine.register_fn("invoke", |automation: &str| invoke(automation, &Map::new().into()));
    engine.register_fn("invoke", |automation: &str, input: Dynamic| invoke(automation, &input));
    engine.register_get("input", |event: &mut EventView| -> Answer<Dynamic> { input(event) });
}

fn wait_any(list: &Array, timeout: &str) -> Answer<Map> {
    let alternatives = list.iter().map(alternative).collect::<Answer<Vec<_>>>()?;
    let came = flow::wait_any(&alternatives, timeout).map_err(raise)?;
    let timed_out = came.is_none();
    let (index, event) = came.map_or((Dynamic::UNIT, Dynamic::UNIT), |arrival| {
        (Dynamic::from_int(i64::from(arrival.index)), Dynamic::from(EventView::new(arrival.event)))
    });
    Ok(Map::from([("index".into(), index), ("event".into(), event), ("timed_out".into(), timed_out.into())]))
}

fn alternative(value: &Dynamic) -> Answer<Alternative> {
    let usage = "write `#{ event: \"order.created\", where: \"customer == c\", params: #{ c: customer } }`";
    let wrong = || invalid(format!("each event that `wait_any` waits for is a map: {usage}"));
    let map = value.read_lock::<Map>().ok_or_else(wrong)?;
    if let Some(unknown) = map.keys().find(|k| !PARTS.contains(&k.as_str())) {
        let near = nearest(unknown, PARTS.into_iter()).map_or_else(String::new, |n| format!("; did you mean `{n}`?"));
        return Err(invalid(format!(
            "an event that is waited for has no `{unknown}`: it has {}{near}",
            PARTS.join(", ")
        )));
    }
    let text = |name: &str| match map.get(name) {
        None => Ok(String::new()),
        Some(value) => value
            .as_immutable_string_ref()
            .map(|text| text.to_string())
            .map_err(|_| invalid(format!("the `{name}` of an event that is waited for is a text"))),
    };
    let kind = text("event")?;
    if kind.is_empty() {
        return Err(invalid(format!("an event that is waited for names its type: {usage}")));
    }
    let params = match map.get("params") {
        None => Vec::new(),
        Some(params) => fields_of(&*params.read_lock::<Map>().ok_or_else(wrong)?)?,
    };
    Ok(Alternative { kind, where_: text("where")?, params })
}

fn invoke(automation: &str, input: &Dynamic) -> Answer<Dynamic> {
    let input = dynamic_to_json(input, 0).map_err(|why| invalid(format!("the input of `{automation}`: {why}")))?;
    let result = flow::invoke(automation, &input.to_string()).map_err(raise)?;
    read(&result).map_err(|why| invalid(format!("the result of `{automation}`: {why}")))
}

fn read(text: &str) -> Result<Dynamic, String> {
    serde_json::from_str(text).map(|json| json_to_dynamic(&json)).map_err(|e| e.to_string())
}

/// What an invoked run is given; unit for any other event.
fn input(event: &EventView) -> Answer<Dynamic> {
    let given = event.event().data.iter().find(|field| field.name == INPUT && event.event().kind == INVOKED);
    given.map_or(Ok(Dynamic::UNIT), |field| to_dynamic(&field.value).map_err(invalid))
}

/// Tells the host what `run` returned, if it was invoked and returned something.
///
/// # Errors
/// Code `invalid` if that cannot be JSON.
pub(crate) fn reply(kind: &str, returned: &Dynamic) -> Result<(), Error> {
    if kind != INVOKED || returned.is_unit() {
        return Ok(());
    }
    let json = dynamic_to_json(returned, 0).map_err(|why| {
        let message = format!("what `run` ends with is no result: {why}; end it with its result, or with `()`");
        Error { code: "invalid".into(), message, retryable: false }
    })?;
    flow::reply(&json.to_string())
}
