//! What leaves the server: calls of automations, webhooks and mail. It makes one attempt and says how it went; when to try again is the engine's.
//!
//! ```text
//! http ────▶ secrets ──▶ door ──▶ the public internet, and the networks that the operator allows
//! webhook ─▶ signature ─▶ door
//! email ───▶ the operator's mail server
//! ```
//! Nothing else here dials, but for the command line's client of the operator's own server.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use rapport_engine::{Failure, HttpCall, Message, Reply, Route, SecretUse, Transport};
use rapport_model::Clock;
use rapport_model::nearest::nearest;

use crate::config::Config;
use door::{Door, Freight, Passage};
use failure::permanent;
use mail::Mail;
use redact::Redactor;
use request::RequestBuilder;
use target::Target;
use webhook::Webhooks;

mod door;
mod failure;
mod mail;
mod network;
mod redact;
mod request;
mod resolver;
mod secrets;
mod target;
mod tls;
mod webhook;

pub use network::{InvalidNetwork, Network};
pub use resolver::Resolver;
pub use secrets::{NamedSecret, SECRETS_FOLDER, SecretError, Secrets};
pub(crate) use webhook::{SignedBy, verify as verify_webhook};

/// The channels that there are.
const CHANNELS: [&str; 2] = ["email", "webhook"];

/// Why nothing can be sent as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// Something about mail.
    #[error("the configuration's email.{key} {why}")]
    Email {
        /// The key.
        key: &'static str,
        /// What is wrong.
        why: String,
    },
    /// A webhook that cannot be.
    #[error("the configuration's [webhooks.{name}]: {why}")]
    Webhook {
        /// Its name.
        name: String,
        /// What is wrong.
        why: String,
    },
}

/// Carries effects out as the operator configured it.
pub struct Outbound {
    door: Door,
    secrets: Secrets,
    webhooks: Webhooks,
    mail: Mail,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").finish_non_exhaustive()
    }
}

impl Outbound {
    /// What `config` says, with secrets from its data folder. Opens no connection and reads no secret yet.
    ///
    /// # Errors
    /// [`OutboundError`] naming the key that is missing or wrong.
    pub fn new(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, OutboundError> {
        Self::with_resolver(config, clock, Resolver::system())
    }

    /// As [`Outbound::new`], with names looked up by `resolver`.
    ///
    /// # Errors
    /// [`OutboundError`] as for [`Outbound::new`].
    pub fn with_resolver(config: &Config, clock: Arc<dyn Clock>, resolver: Resolver) -> Result<Self, OutboundError> {
        Ok(Self {
            door: Door::new(config.outbound.clone(), resolver),
            secrets: Secrets::new(&config.storage.data),
            webhooks: Webhooks::new(config)?,
            mail: Mail::new(&config.email)?,
            clock,
        })
    }

    /// Works on the files of secrets where that holds up nobody.
    async fn reading<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Secrets) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let secrets = self.secrets.clone();
        let read = tokio::task::spawn_blocking(move || work(&secrets)).await;
        read.unwrap_or_else(|_| Err(failure::passing("unknown_secret", "the secrets cannot be read")))
    }

    /// The secret of a call to `target`.
    async fn secret(&self, asked: &SecretUse, target: &Target) -> Result<NamedSecret, Failure> {
        let name = asked.name.clone();
        let unknown = |e: SecretError| permanent("unknown_secret", e.to_string());
        let secret = self.reading(move |secrets| secrets.read(&name).map_err(unknown)).await?;
        let host = target.name();
        if secret.may_go_to(&host) {
            return Ok(secret);
        }
        let hint = format!("it may go to {}", secret.hosts().join(", "));
        Err(permanent("secret_host", format!("the secret `{}` does not go to `{host}`: {hint}", asked.name)))
    }

    async fn deliver(&self, message: &Message) -> Result<Reply, Failure> {
        if self.webhooks.captures() {
            return Ok(Reply { status: 250, ..Reply::default() });
        }
        self.door.open()?;
        let webhook = self.webhooks.find(&message.to)?;
        let (own, now) = (message.clone(), self.clock.now());
        let signer = Arc::clone(webhook);
        let request = self.reading(move |secrets| signer.request(&own, secrets, now)).await?;
        let passage = Passage { target: &webhook.target, request, freight: Freight::Plain, timeout: webhook.timeout };
        self.door.pass(passage).await
    }
}

#[async_trait]
impl Transport for Outbound {
    async fn http(&self, call: &HttpCall) -> Result<Reply, Failure> {
        self.door.open()?;
        let target = Target::parse(&call.url)?;
        let mut builder = RequestBuilder::new(&call.method, &call.headers)?;
        if builder.changes() {
            builder = builder.default_header("idempotency-key", &call.key)?;
        }
        let mut redactor = None;
        let mut freight = Freight::Plain;
        if let Some(asked) = &call.secret {
            let secret = self.secret(asked, &target).await?;
            redactor = Some(Redactor::new(secret.reveal()));
            let bearer = asked.header.eq_ignore_ascii_case("authorization");
            let value = if bearer { format!("Bearer {}", secret.reveal()) } else { secret.reveal().to_owned() };
            builder = builder.secret_header(&asked.header, &value)?;
            freight = Freight::Secret;
        }
        let request = builder.build(&target, call.body.clone())?;
        let answer = self.door.pass(Passage { target: &target, request, freight, timeout: call.timeout }).await;
        match (answer, redactor) {
            (Ok(reply), Some(redactor)) => Ok(redactor.reply(reply)),
            (Err(failure), Some(redactor)) => Err(redactor.failure(failure)),
            (answer, None) => answer,
        }
    }

    async fn send(&self, message: &Message) -> Result<Reply, Failure> {
        match message.channel.as_str() {
            "email" => self.mail.send(message).await,
            "webhook" => self.deliver(message).await,
            other => Err(unknown_channel(other)),
        }
    }

    fn route(&self, channel: &str, to: &str) -> Result<Route, Failure> {
        match channel {
            "email" => self.mail.route(to),
            "webhook" if self.webhooks.captures() => self.webhooks.route(to),
            "webhook" => self.door.open().and_then(|()| self.webhooks.route(to)),
            other => Err(unknown_channel(other)),
        }
    }

    async fn secret_exists(&self, name: &str) -> Result<bool, Failure> {
        let name = name.to_owned();
        self.reading(move |secrets| match secrets.read(&name) {
            Ok(_) => Ok(true),
            Err(SecretError::Missing { .. }) => Ok(false),
            Err(error) => Err(permanent("unknown_secret", error.to_string())),
        })
        .await
    }

    async fn secret_hmac(&self, name: &str, message: &[u8]) -> Result<Vec<u8>, Failure> {
        let (name, message) = (name.to_owned(), message.to_vec());
        self.reading(move |secrets| {
            let secret = secrets.read(&name).map_err(|e| permanent("unknown_secret", e.to_string()))?;
            Ok(secret.hmac(&message))
        })
        .await
    }
}

fn unknown_channel(channel: &str) -> Failure {
    let shown: String = channel.escape_debug().take(64).collect();
    let hint = match nearest(channel, CHANNELS.into_iter()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "there are `email` and `webhook`".to_owned(),
    };
    permanent("unknown_channel", format!("there is no channel `{shown}`: {hint}"))
}

#[cfg(test)]
mod tests;
