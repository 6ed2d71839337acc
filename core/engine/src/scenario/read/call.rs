//! Reads a call of an action, and what is expected of it.

use serde_json::{Map, Value as Json};

use super::{Members, Read, owned, read_expect, wrong};
use crate::scenario::Call;

/// What is expected of the call itself.
const OWN: [&str; 3] = ["output", "error", "status"];

/// The call of `step`, with the expectation beside it.
pub(super) fn read(step: &Members<'_>) -> Read<Call> {
    let place = step.place("call");
    let call = Members::of(step.get("call").unwrap_or(&Json::Null), &place)?;
    call.only(&["action", "input"])?;
    let mut read = Call {
        action: call.needed("action")?.to_owned(),
        input: call.get("input").cloned().unwrap_or_else(|| Json::Object(Map::new())),
        output: None,
        error: None,
        waits: false,
        expect: None,
    };
    let Some(json) = step.get("expect") else { return Ok(read) };
    let expect = Members::of(json, &step.place("expect"))?;
    read.output = expect.get("output").cloned();
    read.error = expect.text("error")?.map(str::to_owned);
    match expect.text("status")? {
        None => {}
        Some("waiting") => read.waits = true,
        Some(_) => return wrong(&expect.place("status"), "a call has come to its end, or is \"waiting\""),
    }
    if OWN.iter().filter(|name| expect.get(name).is_some()).count() > 1 {
        return wrong(&expect.pointer, format!("a call comes to one of {}", OWN.join(", ")));
    }
    let rest: Map<String, Json> =
        expect.map.iter().filter(|(name, _)| !OWN.contains(&name.as_str())).map(owned).collect();
    if !rest.is_empty() {
        read.expect = Some(read_expect(&Members { map: &rest, pointer: expect.pointer.clone() })?);
    }
    Ok(read)
}
