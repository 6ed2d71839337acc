//! What may leave, and how: HTTP, mail, webhooks.

use serde::{Deserialize, Serialize};

use super::Secret;
use crate::outbound::Network;

/// What may leave by HTTP: the calls of automations, and webhooks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutboundConfig {
    /// Whether anything leaves by HTTP.
    pub enabled: bool,
    /// Networks that may be called although they are not public, such as `["10.1.2.0/24", "fd00:1::7/128"]`. Every automation
    /// that may use HTTP can then call them, also without TLS and with secrets.
    pub allow_addresses: Vec<Network>,
    /// Bytes of the head of an answer; at least 8192 are taken.
    pub head_bytes_max: usize,
    /// Bytes of the body of an answer. Nothing is unpacked.
    pub body_bytes_max: usize,
    /// `capture` takes every webhook and sends none; `deliver` sends to those of `[webhooks.NAME]`.
    pub webhook: WebhookChannel,
}

impl Default for OutboundConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            allow_addresses: Vec::new(),
            head_bytes_max: 64 << 10,
            body_bytes_max: 1 << 20,
            webhook: WebhookChannel::Capture,
        }
    }
}

/// What becomes of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WebhookChannel {
    /// It is kept, and does not leave.
    Capture,
    /// It is sent.
    Deliver,
}

/// How mail leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmailConfig {
    /// `capture` keeps every mail and sends none; `smtp` hands it to the server below.
    pub channel: EmailChannel,
    /// The name or address of the mail server. It may be on a private network.
    pub smtp_host: String,
    /// Its port: 587 with `starttls`, 465 with `tls`.
    pub smtp_port: u16,
    /// `starttls`, `tls`, or `none`, which also sends no password.
    pub security: EmailSecurity,
    /// A file of certificates (PEM) of the authorities that may vouch for the server. Empty: those that the system trusts.
    pub ca_file: String,
    /// Whom to log in as. Empty: nobody.
    pub user: String,
    /// The password; better given as `RAPPORT_EMAIL_PASSWORD`.
    pub password: Secret,
    /// Who the mail is from, such as `Shop <shop@example.com>`.
    pub from: String,
    /// Milliseconds that one attempt may take, from the name's resolution to the server's word that it has the mail.
    pub timeout_ms: u64,
}

impl Default for EmailConfig {
    fn default() -> Self {
        Self {
            channel: EmailChannel::Capture,
            smtp_host: String::new(),
            smtp_port: 587,
            security: EmailSecurity::Starttls,
            ca_file: String::new(),
            user: String::new(),
            password: Secret::default(),
            from: String::new(),
            timeout_ms: 30_000,
        }
    }
}

/// What becomes of a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EmailChannel {
    /// It is kept, and does not leave.
    Capture,
    /// It is sent.
    Smtp,
}

/// How the way to the mail server is guarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EmailSecurity {
    /// Plain at first, then TLS, or nothing is sent.
    Starttls,
    /// TLS from the first byte.
    Tls,
    /// In clear text.
    None,
}

/// Where webhooks of one name go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookConfig {
    /// The address that is posted to.
    pub url: String,
    /// The names of the keys that sign (`rapport secret set`, each `whsec_` and base64). More than one while a key is changed:
    /// the receiver needs to know one of them.
    pub secrets: Vec<String>,
    /// Milliseconds that one attempt may take.
    pub timeout_ms: u64,
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self { url: String::new(), secrets: Vec::new(), timeout_ms: 15_000 }
    }
}
