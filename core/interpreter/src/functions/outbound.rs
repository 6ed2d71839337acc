//! The calls through which something leaves: `http` and `send`.

use rhai::{Blob, Dynamic, Engine, ImmutableString, Map};

use super::{Target, fields_of, invalid};
use crate::bindings::rapport::plugin::http::{self, Header, Request};
use crate::bindings::rapport::plugin::messages;
use crate::failure::raise;
use crate::nearest::nearest;
use crate::values::{dynamic_to_json, json_to_dynamic};
use crate::view::Answer;

const OPTIONS: [&str; 8] = ["json", "body", "headers", "secret", "secret_header", "timeout", "deadline", "attempts"];

/// Makes the calls known to `engine`.
pub(super) fn register(engine: &mut Engine) {
    engine.register_fn("http", |method: &str, url: &str| call(method, url, &Map::new()));
    engine.register_fn("http", |method: &str, url: &str, options: Map| call(method, url, &options));
    engine.register_fn("send", |channel: &str, to: Dynamic, template: &str| send(channel, &to, template, &Map::new()));
    engine.register_fn("send", |channel: &str, to: Dynamic, template: &str, data: Map| {
        send(channel, &to, template, &data)
    });
}

fn call(method: &str, url: &str, options: &Map) -> Answer<Map> {
    if let Some(unknown) = options.keys().find(|k| !OPTIONS.contains(&k.as_str())) {
        let help = nearest(unknown, OPTIONS.into_iter()).map_or_else(String::new, |n| format!("; did you mean `{n}`?"));
        return Err(invalid(format!("`http` has no option `{unknown}`: it has {}{help}", OPTIONS.join(", "))));
    }
    let text = |name: &str| match options.get(name) {
        None => Ok(String::new()),
        Some(value) => text_of(value).ok_or_else(|| invalid(format!("the option `{name}` of `http` is a text"))),
    };
    let attempts = match options.get("attempts") {
        None => 0,
        Some(n) => n
            .as_int()
            .ok()
            .and_then(|n| u32::try_from(n).ok())
            .filter(|n| *n > 0)
            .ok_or_else(|| invalid("the option `attempts` of `http` is a whole number greater than 0".into()))?,
    };
    let mut headers = options.get("headers").map_or_else(|| Ok(Vec::new()), headers_of)?;
    let body = body_of(options, &mut headers)?;
    let request = Request {
        method: method.into(),
        url: url.into(),
        headers,
        body,
        secret: text("secret")?,
        secret_header: text("secret_header")?,
        timeout: text("timeout")?,
        deadline: text("deadline")?,
        attempts,
    };
    let response = http::call(&request).map_err(raise)?;
    let headers: Map = response.headers.into_iter().map(|h| (h.name.as_str().into(), Dynamic::from(h.value))).collect();
    let parsed = serde_json::from_slice(&response.body).map_or(Dynamic::UNIT, |json| json_to_dynamic(&json));
    let body = String::from_utf8_lossy(&response.body).into_owned();
    Ok(Map::from([
        ("status".into(), i64::from(response.status).into()),
        ("headers".into(), headers.into()),
        ("body".into(), body.into()),
        ("json".into(), parsed),
    ]))
}

/// The body: `json`, or a text or bytes as they are.
fn body_of(options: &Map, headers: &mut Vec<Header>) -> Answer<Vec<u8>> {
    match (options.get("json"), options.get("body")) {
        (Some(_), Some(_)) => Err(invalid("`http` takes `json` or `body`, not both".into())),
        (None, None) => Ok(Vec::new()),
        (Some(json), None) => {
            if !headers.iter().any(|h| h.name.eq_ignore_ascii_case("content-type")) {
                headers.push(Header { name: "content-type".into(), value: "application/json".into() });
            }
            let json =
                dynamic_to_json(json, 0).map_err(|why| invalid(format!("the option `json` of `http`: {why}")))?;
            Ok(json.to_string().into_bytes())
        }
        (None, Some(body)) => {
            if let Some(blob) = body.read_lock::<Blob>() {
                return Ok(blob.clone());
            }
            text_of(body).map(String::into_bytes).ok_or_else(|| invalid("the option `body` of `http` is a text".into()))
        }
    }
}

fn headers_of(value: &Dynamic) -> Answer<Vec<Header>> {
    let wrong =
        || invalid("the option `headers` of `http` is a map of texts, such as `#{ accept: \"text/plain\" }`".into());
    let map = value.read_lock::<Map>().ok_or_else(wrong)?;
    let header = |(name, value): (_, &Dynamic)| {
        let name: &rhai::Identifier = name;
        Ok(Header { name: name.as_str().into(), value: text_of(value).ok_or_else(wrong)? })
    };
    map.iter().map(header).collect()
}

fn text_of(value: &Dynamic) -> Option<String> {
    value.as_immutable_string_ref().ok().map(|text: _| ImmutableString::clone(&text).into())
}

fn send(channel: &str, to: &Dynamic, template: &str, data: &Map) -> Answer<String> {
    let to = match to.as_immutable_string_ref() {
        Ok(text) => text.to_string(),
        Err(_) => Target::of(to).map(|Target { object, key }| format!("{object}/{key}"))?,
    };
    messages::send(channel, &to, template, &fields_of(data)?).map_err(raise)
}
