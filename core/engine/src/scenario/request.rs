//! Takes the step that sends a request to an address of a plugin.

use std::time::Duration;

use rapport_model::Digest;
use rapport_model::plugin::Access;
use serde_json::{Value as Json, json};

use super::compare::{Comparison, Names};
use super::expect::Judge;
use super::play::{Halt, Player};
use super::report::Difference;
use super::{Asked, below};
use crate::error::EngineError;
use crate::routes::{FoundRoute, RouteAnswer, RouteMiss, RouteOptions, RouteReply, RouteRequest, Sender};

/// What came back.
enum Came {
    Reply(RouteReply),
    Waits,
}

impl Player<'_> {
    /// Sends the request and holds the answer against what is expected: a status of an error that is not is one of the step.
    pub(super) async fn request(&self, asked: &Asked, pointer: &str) -> Result<Vec<Difference>, Halt> {
        let came = self.send_request(asked).await?;
        self.engine.settle().await;
        self.check_calls()?;
        let place = below(pointer, "expect");
        let names = Names::new();
        let mut comparison = Comparison { names: &names, differences: Vec::new() };
        let awaited = &asked.awaited;
        match came {
            Came::Waits if awaited.waits => {}
            Came::Waits => {
                comparison.note((&below(&place, "status"), "status"), json!(awaited.status), json!("waiting"));
            }
            Came::Reply(reply) if awaited.waits => {
                comparison.note((&below(&place, "status"), "status"), json!("waiting"), json!(reply.status));
            }
            Came::Reply(reply) => {
                let text = String::from_utf8_lossy(&reply.body);
                if awaited.status.is_none() && reply.status >= 400 {
                    return Err(Halt::Refused(format!("the answer is {}: {}", reply.status, brief(&text))));
                }
                compare(asked, &reply, &place, &mut comparison);
            }
        }
        let mut differences = comparison.differences;
        if let Some(expect) = &awaited.expect {
            let judge = Judge { engine: &self.engine, began: self.began };
            differences.extend(judge.judge(&place, expect).await?);
        }
        Ok(differences)
    }

    async fn send_request(&self, asked: &Asked) -> Result<Came, Halt> {
        let route = match self.engine.find_route(&asked.address, &asked.method) {
            Ok(route) => route,
            Err(miss) => return Ok(Came::Reply(refused(status_of(&miss), "missed", &miss.to_string()))),
        };
        if asked.body.len() > usize::try_from(route.def().body_bytes_max).unwrap_or(usize::MAX) {
            return Ok(Came::Reply(refused(413, "too_large", "the body is larger than the route takes")));
        }
        let sender = match route.def().access {
            Access::Public => Sender::Nobody,
            // Whoever tells the story knows the secret.
            Access::Signed => Sender::Signed,
            Access::Users => Sender::Caller(&self.caller),
        };
        let request =
            RouteRequest { query: asked.query.clone(), headers: asked.headers.clone(), body: asked.body.clone() };
        let options = RouteOptions { once: once(asked, &route), wait: Duration::ZERO };
        match self.engine.answer_and_settle(&route, request, sender, &options).await {
            Ok(RouteAnswer::Reply { reply, .. }) => Ok(Came::Reply(reply)),
            Ok(RouteAnswer::Open { .. }) => Ok(Came::Waits),
            Err(EngineError::RouteFailed { code, message, .. }) => Ok(Came::Reply(refused(500, &code, &message))),
            Err(EngineError::Idempotency(message)) => Ok(Came::Reply(refused(422, "idempotency_key_reused", &message))),
            Err(EngineError::Forbidden { need, .. }) => Ok(Came::Reply(refused(403, "forbidden", &need))),
            Err(error) => Err(error.into()),
        }
    }
}

/// What makes signed requests the same, and those of people.
fn once(asked: &Asked, route: &FoundRoute) -> Option<(String, Digest)> {
    let name = match route.def().access {
        Access::Signed => "webhook-id",
        Access::Users => "idempotency-key",
        Access::Public => return None,
    };
    let (_, key) = asked.headers.iter().find(|(header, _)| header == name)?;
    let what = [asked.method.as_bytes(), asked.address.as_bytes(), &asked.body].join(&0);
    Some((key.clone(), Digest::of(&what)))
}

const fn status_of(miss: &RouteMiss) -> u16 {
    match miss {
        RouteMiss::Unreadable(_) => 400,
        RouteMiss::NotFound => 404,
        RouteMiss::Method(_) => 405,
        RouteMiss::Off => 503,
    }
}

/// An answer of the host's own.
fn refused(status: u16, code: &str, detail: &str) -> RouteReply {
    let body = json!({ "code": code, "detail": detail }).to_string().into_bytes();
    RouteReply { status, headers: vec![("content-type".to_owned(), "application/problem+json".to_owned())], body }
}

fn compare(asked: &Asked, reply: &RouteReply, place: &str, comparison: &mut Comparison<'_>) {
    let awaited = &asked.awaited;
    let text = String::from_utf8_lossy(&reply.body);
    if let Some(status) = awaited.status.filter(|status| *status != reply.status) {
        let found = json!(format!("{} {}", reply.status, brief(&text)));
        comparison.note((&below(place, "status"), "status"), json!(status), found);
    }
    match &awaited.body {
        None => {}
        Some(wanted @ Json::String(_)) => comparison.compare((&below(place, "body"), "body"), wanted, &json!(text)),
        Some(wanted) => {
            let found = serde_json::from_str(&text).unwrap_or_else(|_| json!(brief(&text)));
            comparison.compare((&below(place, "body"), "body"), wanted, &found);
        }
    }
    if let Some(part) = awaited.contains.as_deref().filter(|part| !text.contains(part)) {
        comparison.note((&below(place, "contains"), "the body"), json!(part), json!(brief(&text)));
    }
    for (name, wanted) in &awaited.headers {
        let at = below(&below(place, "headers"), name);
        comparison.compare((&at, name), &json!(wanted), &json!(reply.header(&name.to_ascii_lowercase())));
    }
}

fn brief(text: &str) -> String {
    if text.chars().count() <= 300 {
        text.to_owned()
    } else {
        format!("{}…", text.chars().take(300).collect::<String>())
    }
}
