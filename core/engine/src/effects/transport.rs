//! What carries effects out of the process: the server's outbound door, or a capture that lets nothing leave.
//!
//! A transport makes one attempt. When to try again, how many at a time, and when to leave a destination alone is the engine's.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use rapport_model::Timestamp;
use serde_json::Value as Json;

/// An HTTP call that a run asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpCall {
    /// Names the effect: the same at every attempt. Sent as `Idempotency-Key`, unless the run gave such a header.
    pub key: String,
    /// `GET`, `POST`, …, in capitals.
    pub method: String,
    /// The URL.
    pub url: String,
    /// Headers, as the run gave them.
    pub headers: Vec<(String, String)>,
    /// The body; empty: none.
    pub body: Vec<u8>,
    /// The secret that goes along, which the run itself never sees.
    pub secret: Option<SecretUse>,
    /// How long the attempt may take, from resolving the name to the last byte of the answer.
    pub timeout: Duration,
}

/// How a secret goes into a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretUse {
    /// Its name.
    pub name: String,
    /// The header that carries it. `Authorization` carries `Bearer SECRET`, any other the secret alone.
    pub header: String,
}

/// A message that a run sent through a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Names the effect: the same at every attempt. It becomes the `Message-ID` of a mail, the `webhook-id` of a webhook.
    pub key: String,
    /// `email`, `webhook`, ….
    pub channel: String,
    /// The address: of a mail box, or the name of a configured webhook.
    pub to: String,
    /// The template that it was made from; for a webhook, the type of what it reports.
    pub template: String,
    /// The subject.
    pub subject: String,
    /// The text.
    pub text: String,
    /// The same as HTML.
    pub html: Option<String>,
    /// What a program reads: the `data` of a webhook.
    pub data: Json,
    /// When it was sent by the run.
    pub created_at: Timestamp,
}

/// What came back. A mail server's answer counts as status 250.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, cut at no place: one that is too long is a [`Failure`].
    pub body: Vec<u8>,
}

/// Why an attempt brought no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// A stable code. Of what may pass: `timeout`, `unresolved`, `unreachable`, `tls`, `broken_answer`, `smtp_deferred`, `smtp_login`.
    /// Of what stays: `refused_address`, `too_large`, `invalid_url`, `invalid_request`, `disabled`, `unknown_secret`, `invalid_secret`,
    /// `secret_host`, `unknown_channel`, `unknown_webhook`, `invalid_address`, `invalid_message`, `smtp_refused`, `captured`.
    pub code: String,
    /// What is wrong, for people. Without secrets and addresses of persons.
    pub message: String,
    /// Whether the same may succeed later.
    pub retryable: bool,
    /// How long the other side asked to be left alone.
    pub retry_after: Option<Duration>,
}

/// Where messages of a channel go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// What shares a limit of concurrent attempts and a circuit: `https://api.example:443`, `smtp://mail.example:587`, `capture`.
    pub destination: String,
}

/// Carries effects out.
#[async_trait]
pub trait Transport: Send + Sync + fmt::Debug {
    /// Makes one attempt at an HTTP call. An answer of any status is an answer.
    ///
    /// # Errors
    /// [`Failure`] if there was none.
    async fn http(&self, call: &HttpCall) -> Result<Reply, Failure>;

    /// Makes one attempt at sending a message.
    ///
    /// # Errors
    /// [`Failure`] if it was not taken. A webhook's answer of any status is an answer.
    async fn send(&self, message: &Message) -> Result<Reply, Failure>;

    /// Where a message to `to` through `channel` goes. Asked while the run runs, so it must not block.
    ///
    /// # Errors
    /// [`Failure`] if there is no such channel, or `to` is no address of it: the run is told at once.
    fn route(&self, channel: &str, to: &str) -> Result<Route, Failure>;

    /// Whether a secret of that name is stored.
    ///
    /// # Errors
    /// [`Failure`] if that cannot be told here.
    async fn secret_exists(&self, name: &str) -> Result<bool, Failure> {
        Err(no_secrets(name))
    }

    /// HMAC-SHA-256 of `message` with the secret as its key.
    ///
    /// # Errors
    /// [`Failure`] `unknown_secret` if there is none of that name.
    async fn secret_hmac(&self, name: &str, _message: &[u8]) -> Result<Vec<u8>, Failure> {
        Err(no_secrets(name))
    }
}

fn no_secrets(name: &str) -> Failure {
    let message = format!("the secret `{name}` cannot be used: there are no secrets here");
    Failure { code: "captured".into(), message, retryable: false, retry_after: None }
}

/// Lets nothing leave: messages are taken, HTTP calls fail. The engine's default.
#[derive(Debug, Clone, Copy, Default)]
pub struct Capture;

#[async_trait]
impl Transport for Capture {
    async fn http(&self, call: &HttpCall) -> Result<Reply, Failure> {
        let message = format!("{} {} was not sent: nothing leaves here", call.method, call.url);
        Err(Failure { code: "captured".into(), message, retryable: false, retry_after: None })
    }

    async fn send(&self, _: &Message) -> Result<Reply, Failure> {
        Ok(Reply { status: 250, ..Reply::default() })
    }

    fn route(&self, channel: &str, _: &str) -> Result<Route, Failure> {
        match channel {
            "email" | "webhook" => Ok(Route { destination: "capture".into() }),
            _ => {
                let message = format!("there is no channel `{channel}`: there are `email` and `webhook`");
                Err(Failure { code: "unknown_channel".into(), message, retryable: false, retry_after: None })
            }
        }
    }
}
