//! Reads a request to an address of a plugin, and what is expected of its answer.

use serde_json::{Map, Value as Json};

use super::{Members, Read, brief, owned, read_expect, wrong};
use crate::routes::{form, read_query};
use crate::scenario::{Asked, Awaited};

/// What is expected of the answer itself.
const OWN: [&str; 4] = ["status", "body", "contains", "headers"];

/// The request of `step`, with the expectation beside it.
pub(super) fn read(step: &Members<'_>) -> Read<Asked> {
    let request = Members::of(step.get("request").unwrap_or(&Json::Null), &step.place("request"))?;
    request.only(&["method", "path", "query", "headers", "body", "form"])?;
    let path = request.needed("path")?;
    let (path, inline) = path.split_once('?').unwrap_or((path, ""));
    let Some(address) = path.strip_prefix("/x/") else {
        return wrong(&request.place("path"), "expected `/x/PLUGIN/…`");
    };
    let Ok(mut query) = read_query(inline) else { return wrong(&request.place("path"), "its query does not read") };
    query.extend(texts(&request, "query")?);
    let (body, kind) = body(&request)?;
    let mut headers: Vec<(String, String)> =
        texts(&request, "headers")?.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    if let Some(kind) = kind.filter(|_| headers.iter().all(|(name, _)| name != "content-type")) {
        headers.push(("content-type".to_owned(), kind.to_owned()));
    }
    let method = request.text("method")?.unwrap_or(if body.is_empty() { "GET" } else { "POST" }).to_owned();
    Ok(Asked { method, address: address.to_owned(), query, headers, body, awaited: awaited(step)? })
}

fn body(request: &Members<'_>) -> Read<(Vec<u8>, Option<&'static str>)> {
    match (request.get("body"), request.get("form")) {
        (Some(_), Some(_)) => wrong(&request.pointer, "holds `body` and `form`: a request has one of them"),
        (None, Some(_)) => Ok((form(&texts(request, "form")?).into_bytes(), Some("application/x-www-form-urlencoded"))),
        (Some(Json::String(text)), None) => Ok((text.as_bytes().to_vec(), Some("text/plain; charset=utf-8"))),
        (Some(json), None) => Ok((json.to_string().into_bytes(), Some("application/json"))),
        (None, None) => Ok((Vec::new(), None)),
    }
}

/// An object of texts; numbers and truth values stand for theirs.
fn texts(from: &Members<'_>, name: &str) -> Read<Vec<(String, String)>> {
    let Some(json) = from.get(name) else { return Ok(Vec::new()) };
    let all = Members::of(json, &from.place(name))?;
    let text = |(key, value): (&String, &Json)| match value {
        Json::String(text) => Ok((key.clone(), text.clone())),
        Json::Number(_) | Json::Bool(_) => Ok((key.clone(), value.to_string())),
        other => wrong(&all.place(key), format!("expected a text, got {}", brief(other))),
    };
    all.map.iter().map(text).collect()
}

fn awaited(step: &Members<'_>) -> Read<Awaited> {
    let mut awaited = Awaited::default();
    let Some(json) = step.get("expect") else { return Ok(awaited) };
    let expect = Members::of(json, &step.place("expect"))?;
    match expect.get("status") {
        None => {}
        Some(Json::String(text)) if text == "waiting" => awaited.waits = true,
        Some(status) => match status.as_u64().and_then(|status| u16::try_from(status).ok()) {
            Some(status) => awaited.status = Some(status),
            None => return wrong(&expect.place("status"), "expected the number of a status, or \"waiting\""),
        },
    }
    awaited.body = expect.get("body").cloned();
    awaited.contains = expect.text("contains")?.map(str::to_owned);
    awaited.headers = texts(&expect, "headers")?;
    let rest: Map<String, Json> =
        expect.map.iter().filter(|(name, _)| !OWN.contains(&name.as_str())).map(owned).collect();
    if !rest.is_empty() {
        awaited.expect = Some(read_expect(&Members { map: &rest, pointer: expect.pointer.clone() })?);
    }
    Ok(awaited)
}
