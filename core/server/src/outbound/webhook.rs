//! Webhooks by the specification of Standard Webhooks: what is posted, and how it is signed.
//!
//! The body is `{"type", "timestamp", "data"}`. The signature covers id, time of the attempt and body, once for every key, so that a
//! receiver that knows the old or the new one is content while a key is changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use rapport_engine::{Failure, Message, Route};
use rapport_model::Timestamp;
use rapport_model::nearest::nearest;
use serde::Serialize;
use serde_json::Value as Json;
use sha2::Sha256;

use super::OutboundError;
use super::failure::permanent;
use super::request::{Outgoing, RequestBuilder};
use super::secrets::Secrets;
use super::target::Target;
use crate::config::{Config, WebhookChannel, WebhookConfig};

mod verify;

pub(crate) use verify::{SignedBy, verify};

/// What a key begins with.
const KEY_PREFIX: &str = "whsec_";
/// Bytes of a key.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The webhooks of a workspace.
pub(super) struct Webhooks {
    channel: WebhookChannel,
    known: BTreeMap<String, Arc<Webhook>>,
}

/// Where webhooks of one name go.
pub(super) struct Webhook {
    pub(super) target: Target,
    pub(super) timeout: Duration,
    keys: Vec<String>,
}

/// What is posted.
#[derive(Serialize)]
struct Payload<'a> {
    r#type: &'a str,
    timestamp: String,
    data: &'a Json,
}

impl Webhooks {
    /// The webhooks that `config` names.
    ///
    /// # Errors
    /// [`OutboundError::Webhook`] naming the one that cannot be.
    pub(super) fn new(config: &Config) -> Result<Self, OutboundError> {
        let known = config.webhooks.iter().map(|(name, webhook)| {
            let made = Webhook::new(webhook);
            made.map(|webhook| (name.clone(), Arc::new(webhook)))
                .map_err(|why| OutboundError::Webhook { name: name.clone(), why })
        });
        let webhooks = Self { channel: config.outbound.webhook, known: known.collect::<Result<_, _>>()? };
        if webhooks.captures() && !webhooks.known.is_empty() {
            let count = webhooks.known.len();
            tracing::warn!(
                webhooks = count,
                "{count} webhooks are configured and none is sent: set outbound.webhook to `deliver`"
            );
        }
        Ok(webhooks)
    }

    /// Whether webhooks are kept rather than sent.
    pub(super) const fn captures(&self) -> bool {
        matches!(self.channel, WebhookChannel::Capture)
    }

    /// The webhook `name`.
    ///
    /// # Errors
    /// [`Failure`] `unknown_webhook` with the nearest name.
    pub(super) fn find(&self, name: &str) -> Result<&Arc<Webhook>, Failure> {
        self.known.get(name).ok_or_else(|| {
            let shown: String = name.escape_debug().take(64).collect();
            let hint = match nearest(name, self.known.keys().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the operator can add [webhooks.{shown}] to the configuration"),
            };
            permanent("unknown_webhook", format!("there is no webhook `{shown}`: {hint}"))
        })
    }

    /// Where a webhook to `name` goes.
    ///
    /// # Errors
    /// [`Failure`] `unknown_webhook` if webhooks are sent and there is none of this name.
    pub(super) fn route(&self, name: &str) -> Result<Route, Failure> {
        if self.captures() {
            return Ok(Route { destination: "capture".to_owned() });
        }
        Ok(Route { destination: self.find(name)?.target.destination() })
    }
}

impl Webhook {
    fn new(config: &WebhookConfig) -> Result<Self, String> {
        let target = Target::parse(&config.url).map_err(|f| f.message)?;
        if config.secrets.is_empty() {
            return Err("it has no key to sign with: name one in `secrets`".to_owned());
        }
        let timeout = Duration::from_millis(config.timeout_ms);
        Ok(Self { target, timeout, keys: config.secrets.clone() })
    }

    /// The request that delivers `message`, signed at `now`. Reads the keys.
    ///
    /// # Errors
    /// [`Failure`] if a key is missing or none, or the message's key is none of a header.
    pub(super) fn request(&self, message: &Message, secrets: &Secrets, now: Timestamp) -> Result<Outgoing, Failure> {
        let payload =
            Payload { r#type: &message.template, timestamp: message.created_at.to_string(), data: &message.data };
        let body = serde_json::to_vec(&payload).map_err(|e| permanent("invalid_request", e.to_string()))?;
        let seconds = now.micros().div_euclid(1_000_000).to_string();
        let signatures = self.keys.iter().map(|name| Ok(sign(&key(name, secrets)?, &message.key, &seconds, &body)));
        let signatures = signatures.collect::<Result<Vec<_>, Failure>>()?.join(" ");
        let headers = [
            ("content-type", "application/json"),
            ("webhook-id", &message.key),
            ("webhook-timestamp", &seconds),
            ("webhook-signature", &signatures),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        RequestBuilder::new("POST", &headers)?.build(&self.target, body)
    }
}

/// The bytes of the key `name`.
fn key(name: &str, secrets: &Secrets) -> Result<Vec<u8>, Failure> {
    let secret = secrets.read(name).map_err(|e| permanent("unknown_secret", e.to_string()))?;
    key_of(name, secret.reveal())
}

/// The bytes of the key that `text`, the secret `name`, writes.
fn key_of(name: &str, text: &str) -> Result<Vec<u8>, Failure> {
    let text = text.strip_prefix(KEY_PREFIX);
    let bytes = text.and_then(|text| BASE64_STANDARD.decode(text).ok()).filter(|b| KEY_BYTES.contains(&b.len()));
    bytes.ok_or_else(|| {
        let want = "a webhook's key is `whsec_` and the base64 of 24 to 64 bytes";
        permanent("invalid_secret", format!("the secret `{name}` signs no webhook: {want}"))
    })
}

/// The signature of `body` as the specification writes it.
fn sign(key: &[u8], id: &str, seconds: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in [id.as_bytes(), b".", seconds.as_bytes(), b".", body] {
        mac.update(part);
    }
    format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests;
