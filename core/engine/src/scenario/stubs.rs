//! What a scenario's HTTP calls are answered, and its messages: nothing leaves.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use crate::effects::transport::{Capture, Failure, HttpCall, Message, Reply, Route, Transport};

/// What calls are answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stub {
    /// `POST https://api.example/refunds`; a `*` at its end stands for any rest.
    pub(super) pattern: String,
    /// The answer, or the code of the failure.
    pub(super) answer: Result<Reply, String>,
}

impl Stub {
    fn matches(&self, call: &str) -> bool {
        match self.pattern.strip_suffix('*') {
            Some(start) => call.starts_with(start),
            None => self.pattern == call,
        }
    }
}

/// The transport of a scenario. The stub told last counts.
#[derive(Debug, Default)]
pub(super) struct Stubs {
    told: Mutex<Vec<Stub>>,
    unmatched: Mutex<Vec<String>>,
}

impl Stubs {
    /// From now on calls that match are answered so.
    pub(super) fn tell(&self, stub: Stub) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).push(stub);
    }

    /// The calls that nothing matched, since this was last asked.
    pub(super) fn take_unmatched(&self) -> Vec<String> {
        std::mem::take(&mut self.unmatched.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Transport for Stubs {
    async fn http(&self, call: &HttpCall) -> Result<Reply, Failure> {
        let text = format!("{} {}", call.method, call.url);
        let failure = |code: &str, message: String, retryable| Failure {
            code: code.to_owned(),
            message,
            retryable,
            retry_after: None,
        };
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match told.iter().rev().find(|stub| stub.matches(&text)).map(|stub| stub.answer.clone()) {
            Some(Ok(reply)) => Ok(reply),
            Some(Err(code)) => Err(failure(&code, format!("{text}: {code}, as the scenario says"), true)),
            None => {
                self.unmatched.lock().unwrap_or_else(PoisonError::into_inner).push(text.clone());
                Err(failure("unmatched", format!("{text} matches no `http` step before it"), false))
            }
        }
    }

    async fn send(&self, message: &Message) -> Result<Reply, Failure> {
        Capture.send(message).await
    }

    fn route(&self, channel: &str, to: &str) -> Result<Route, Failure> {
        Capture.route(channel, to)
    }
}
