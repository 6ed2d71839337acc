//! `http` and `send` of a run that may wait.

use rapport_model::EffectId;
use rapport_model::EffectStatus;
use rapport_sandbox::{Host as _, HostError, HttpReply, HttpRequest, Outgoing};
use rapport_store::StoreError;
use serde_json::{Value as Json, json};

use super::host::failure;
use super::{Answer, JournaledHost, Step, Suspension, WAITING, ends};
use crate::effects::request::{body_json, read_reply};
use crate::effects::transport::Reply;
use crate::journal::{self, digest};

impl JournaledHost {
    pub(super) async fn send_journaled(&mut self, message: Outgoing) -> Answer<String> {
        let Outgoing { channel, to, template, data } = &message;
        let arguments = json!([channel, to, template, journal::params_json(data)]).to_string();
        match self.step("send", &arguments)? {
            Step::Known(json) | Step::Woken(json) => match failure(&json) {
                Some(error) => Err(error),
                None => Ok(json.as_str().unwrap_or_default().to_owned()),
            },
            Step::Live => {
                let sent = self.inner.send(message).await;
                self.noted("send", &arguments, sent, |key| json!(key))
            }
        }
    }

    pub(super) async fn http_journaled(&mut self, request: HttpRequest) -> Answer<HttpReply> {
        let arguments = arguments_of(&request);
        match self.step("http", &arguments)? {
            Step::Known(json) => read_answer(&json),
            Step::Woken(pending) => self.answered_call(&pending).await,
            Step::Live => {
                let started = std::time::Instant::now();
                let about = format!("{} {}", request.method, request.url);
                match self.inner.prepare_http(request) {
                    Ok(id) => {
                        self.inner.trace.call("http", &about, &format!("effect {id}"), started);
                        let (request, suspension) = self.call_made(id);
                        self.suspend(("http", &arguments), &request, suspension)
                    }
                    Err(error) => {
                        self.inner.trace.call("http", &about, &format!("{}: {}", error.code, error.message), started);
                        self.noted("http", &arguments, Err(error), |_: &HttpReply| Json::Null)
                    }
                }
            }
        }
    }

    /// What the run waits for: the answer, or where a recorded log is played again, the moment at which it came then.
    fn call_made(&self, id: EffectId) -> (Json, Suspension) {
        let mut request = json!({ "effect": id.to_string() });
        let mut wake_at = None;
        let outbound = &self.inner.outbound;
        if let (Some(replay), Some(effect)) = (&outbound.replay, outbound.effects.last()) {
            let then = replay.call_as(effect);
            request["then"] = json!(then.map(|then| then.id.to_string()));
            wake_at = Some(then.and_then(|then| then.finished_at).unwrap_or(self.inner.time).max(self.inner.time));
        }
        (request, Suspension { wake_at, waits: Vec::new() })
    }

    /// What was answered then, if a recorded log is played again.
    fn answer_then(&self, pending: &Json) -> Option<Json> {
        let replay = self.inner.outbound.replay.as_ref()?;
        let id = pending["then"].as_str().and_then(|id| id.parse().ok());
        Some(match id.and_then(|id| replay.call(id)) {
            Some(then) if then.status == EffectStatus::Done => then.reply.clone().unwrap_or_default(),
            Some(then) => error_answer(then.error.as_deref().unwrap_or("unreachable nobody answered")),
            None => error_answer("unknown no such call was made then: what would have been answered is not known"),
        })
    }

    /// The answer to the call that the run was woken for. One that is not there yet is waited for again.
    async fn answered_call(&mut self, pending: &Json) -> Answer<HttpReply> {
        if let Some(answer) = self.answer_then(pending) {
            self.answered(&answer);
            return read_answer(&answer);
        }
        let id: Option<EffectId> = pending["effect"].as_str().and_then(|id| id.parse().ok());
        let Some(id) = id else { return Err(ends("journal", "the journal names no effect".into())) };
        let effect = match self.inner.store.effect(id).await {
            Ok(effect) => effect,
            Err(error @ (StoreError::Unavailable(_) | StoreError::Full)) => {
                return Err(HostError::ending("unavailable", error.to_string()));
            }
            Err(error) => return Err(ends("effect", error.to_string())),
        };
        let answer = match effect {
            Some(effect) if effect.status == EffectStatus::Done => effect.reply.unwrap_or_default(),
            Some(effect) if effect.status == EffectStatus::Pending => {
                self.suspension = Some(Suspension { wake_at: None, waits: Vec::new() });
                return Err(ends(WAITING, "the run waits in `http`".into()));
            }
            Some(effect) if effect.status == EffectStatus::Cancelled => {
                error_answer("cancelled the call was called off")
            }
            Some(effect) => error_answer(effect.error.as_deref().unwrap_or("unreachable nobody answered")),
            None => error_answer("missing the call is not there any more"),
        };
        self.answered(&answer);
        read_answer(&answer)
    }
}

/// What a call is asked for with, for the journal: its body by its digest.
fn arguments_of(request: &HttpRequest) -> String {
    let HttpRequest { method, url, headers, body, secret, secret_header, timeout, deadline, attempts } = request;
    let (_, body) = body_json(body);
    let body = digest(&body.to_string());
    json!([method, url, headers, body, secret, secret_header, timeout, deadline, attempts]).to_string()
}

/// Why there was no answer: a code, a space and a sentence.
fn error_answer(error: &str) -> Json {
    let (code, message) = error.split_once(' ').unwrap_or(("unreachable", error));
    json!({ "error": journal::error_json(&HostError::permanent(code.to_owned(), message)) })
}

fn read_answer(json: &Json) -> Answer<HttpReply> {
    if let Some(error) = failure(json) {
        return Err(error);
    }
    let Reply { status, headers, body } = read_reply(json);
    Ok(HttpReply { status, headers, body })
}

#[cfg(test)]
mod tests {
    use crate::effects::request::reply_json;

    use super::*;

    #[test]
    fn an_answer_and_a_failure_read_back_from_the_journal() {
        let reply = Reply { status: 201, headers: vec![("a".into(), "b".into())], body: b"x".to_vec() };
        let read = read_answer(&reply_json(&reply)).unwrap();
        assert_eq!((read.status, read.body.as_slice()), (201, b"x".as_slice()));
        let failed = read_answer(&error_answer("timeout nobody answered in 10 seconds")).unwrap_err();
        assert_eq!((failed.code.as_ref(), failed.message.as_str()), ("timeout", "nobody answered in 10 seconds"));
    }
}
