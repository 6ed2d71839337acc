//! Reads what HTTP calls are answered.

use rapport_model::nearest::nearest;
use serde_json::Value as Json;

use super::{Members, Read, brief, wrong};
use crate::effects::transport::Reply;
use crate::scenario::stubs::Stub;

/// How a call can fail.
const FAILURES: [&str; 2] = ["timeout", "unreachable"];

/// `{"match": "POST https://…", "reply": {"status": 200, "json": {}}}`, or `"fail": "timeout"` in place of the reply.
pub(super) fn read(http: &Members<'_>) -> Read<Stub> {
    http.only(&["match", "reply", "fail"])?;
    let pattern = http.needed("match")?;
    if !pattern.split_once(' ').is_some_and(|(_, url)| url.starts_with("http://") || url.starts_with("https://")) {
        let message =
            "write the method and the URL, such as `POST https://api.example/refunds`, or with `*` at its end";
        return wrong(&http.place("match"), message);
    }
    let answer = match (http.get("reply"), http.text("fail")?) {
        (Some(reply), None) => Ok(read_reply(&Members::of(reply, &http.place("reply"))?)?),
        (None, Some(code)) if FAILURES.contains(&code) => Err(code.to_owned()),
        (None, Some(code)) => {
            let hint = nearest(code, FAILURES.into_iter()).map(|near| format!("; did you mean `{near}`?"));
            let message = format!("a call fails by {}{}", FAILURES.join(" or "), hint.unwrap_or_default());
            return wrong(&http.place("fail"), message);
        }
        _ => return wrong(&http.pointer, "needs a `reply` or a `fail`, one of them"),
    };
    Ok(Stub { pattern: pattern.to_owned(), answer })
}

fn read_reply(reply: &Members<'_>) -> Read<Reply> {
    reply.only(&["status", "json", "body", "headers"])?;
    let status = reply.count("status")?;
    let Some(status) = u16::try_from(status).ok().filter(|status| (100..=599).contains(status)) else {
        return wrong(&reply.place("status"), "expected a status from 100 to 599");
    };
    let mut headers = Vec::new();
    if let Some(json) = reply.get("headers") {
        let given = Members::of(json, &reply.place("headers"))?;
        for name in given.map.keys() {
            headers.push((name.to_ascii_lowercase(), given.needed(name)?.to_owned()));
        }
    }
    // Null is JSON, too.
    let body = match (reply.map.get("json"), reply.get("body")) {
        (Some(json), None) => {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
            json.to_string().into_bytes()
        }
        (None, Some(Json::String(text))) => text.clone().into_bytes(),
        (None, None) => Vec::new(),
        (None, Some(other)) => return wrong(&reply.place("body"), format!("expected a text, got {}", brief(other))),
        (Some(_), Some(_)) => return wrong(&reply.pointer, "holds `json` and `body`: give one of them"),
    };
    Ok(Reply { status, headers, body })
}
