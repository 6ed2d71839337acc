//! What an effect's row says is to be sent, and what came back: written down and read.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rapport_model::limits::HTTP_TIMEOUT_MICROS;
use rapport_model::{Effect, Limits};
use serde_json::{Map, Value as Json, json};

use super::transport::{HttpCall, Message, Reply, SecretUse};

/// What is handed to the transport.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Parcel {
    /// A call.
    Http(HttpCall),
    /// A message.
    Message(Message),
}

/// Bytes as JSON: a text if they are one, base64 otherwise.
pub(crate) fn body_json(body: &[u8]) -> (&'static str, Json) {
    match std::str::from_utf8(body) {
        Ok(text) => ("body", json!(text)),
        Err(_) => ("body_base64", json!(STANDARD.encode(body))),
    }
}

/// Reads bytes back.
fn read_body(json: &Json) -> Result<Vec<u8>, String> {
    if let Some(text) = json["body"].as_str() {
        return Ok(text.as_bytes().to_vec());
    }
    json["body_base64"].as_str().map_or(Ok(Vec::new()), |text| STANDARD.decode(text).map_err(|e| e.to_string()))
}

fn headers_json(headers: &[(String, String)]) -> Json {
    headers.iter().map(|(name, value)| json!([name, value])).collect()
}

fn read_headers(json: &Json) -> Vec<(String, String)> {
    let pair = |pair: &Json| Some((pair.get(0)?.as_str()?.to_owned(), pair.get(1)?.as_str()?.to_owned()));
    json.as_array().into_iter().flatten().filter_map(pair).collect()
}

/// Writes an answer down.
pub(crate) fn reply_json(reply: &Reply) -> Json {
    let mut json = json!({ "status": reply.status, "headers": headers_json(&reply.headers) });
    if !reply.body.is_empty() {
        let (name, body) = body_json(&reply.body);
        json[name] = body;
    }
    json
}

/// Reads an answer back.
pub(crate) fn read_reply(json: &Json) -> Reply {
    let status = json["status"].as_u64().and_then(|n| u16::try_from(n).ok()).unwrap_or(0);
    Reply { status, headers: read_headers(&json["headers"]), body: read_body(json).unwrap_or_default() }
}

/// Writes a call down.
pub(crate) fn call_json(call: &HttpCall, attempts: u32) -> Json {
    let mut json = Map::new();
    json.insert("method".into(), json!(call.method));
    json.insert("url".into(), json!(call.url));
    json.insert("headers".into(), headers_json(&call.headers));
    if !call.body.is_empty() {
        let (name, body) = body_json(&call.body);
        json.insert(name.into(), body);
    }
    if let Some(secret) = &call.secret {
        json.insert("secret".into(), json!(secret.name));
        json.insert("secret_header".into(), json!(secret.header));
    }
    json.insert("timeout_us".into(), json!(call.timeout.as_micros()));
    if attempts > 0 {
        json.insert("attempts".into(), json!(attempts));
    }
    Json::Object(json)
}

/// Writes a message down.
pub(crate) fn message_json(message: &Message, about: Option<&str>) -> Json {
    let mut json = json!({ "to": message.to, "template": message.template });
    if let Some(about) = about {
        json["about"] = json!(about);
    }
    for (name, text) in [("subject", &message.subject), ("text", &message.text)] {
        if !text.is_empty() {
            json[name] = json!(text);
        }
    }
    if let Some(html) = &message.html {
        json["html"] = json!(html);
    }
    json["data"] = message.data.clone();
    json
}

/// What `effect` has to be handed to the transport.
///
/// # Errors
/// A text that says what does not read.
pub(crate) fn parcel(effect: &Effect) -> Result<Parcel, String> {
    let request = &effect.request;
    let text = |name: &str| request[name].as_str().unwrap_or_default().to_owned();
    if effect.channel != rapport_model::effect::HTTP {
        return Ok(Parcel::Message(Message {
            key: effect.id.to_string(),
            channel: effect.channel.clone(),
            to: text("to"),
            template: text("template"),
            subject: text("subject"),
            text: text("text"),
            html: request["html"].as_str().map(str::to_owned),
            data: request["data"].clone(),
            created_at: effect.created_at,
        }));
    }
    let usual = u64::try_from(HTTP_TIMEOUT_MICROS).unwrap_or(10_000_000);
    let secret = request["secret"].as_str().map(|name| SecretUse { name: name.into(), header: text("secret_header") });
    Ok(Parcel::Http(HttpCall {
        key: effect.id.to_string(),
        method: text("method"),
        url: text("url"),
        headers: read_headers(&request["headers"]),
        body: read_body(request)?,
        secret,
        timeout: Duration::from_micros(request["timeout_us"].as_u64().unwrap_or(usual)),
    }))
}

/// How often `effect` is tried at most.
pub(crate) fn attempts_max(effect: &Effect, limits: &Limits) -> u16 {
    let asked = effect.request["attempts"].as_u64().and_then(|n| u16::try_from(n).ok());
    asked.map_or(limits.effect_attempts_max, |n| n.min(limits.effect_attempts_max)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_reads_back_as_it_was() {
        let headers = vec![("x".to_owned(), "1".to_owned())];
        for body in [&b"{}"[..], &[0xff, 0x00][..], &[]] {
            let reply = Reply { status: 200, headers: headers.clone(), body: body.to_vec() };
            assert_eq!(read_reply(&reply_json(&reply)), reply);
        }
    }
}
