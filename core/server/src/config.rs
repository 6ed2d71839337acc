//! Configuration: one struct per concern, and where each value came from.
//!
//! A value is taken from the flag, else from the environment (`RAPPORT_SECTION_KEY`), else from the file, else it is the
//! default. A key that nobody knows is an error that names the nearest one.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use rapport_model::{FileRules, Limits};
use serde::{Deserialize, Serialize};

use crate::outbound::Network;

pub mod load;
mod outbound;

pub use load::{ConfigError, Flags, Loaded, Source, check_text, load};
pub use outbound::{EmailChannel, EmailConfig, EmailSecurity, OutboundConfig, WebhookChannel, WebhookConfig};

/// The sample file: every key with its default and what it means.
pub const SAMPLE: &str = include_str!("../rapport.sample.toml");

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the server listens, and what one client may take.
    pub server: ServerConfig,
    /// Where data are kept.
    pub storage: StorageConfig,
    /// Which scripts and plugins are loaded at the start.
    pub automations: AutomationConfig,
    /// What one slice of an automation may use.
    pub limits: Limits,
    /// Which files may come in, and how long the bytes of those that are gone are kept.
    pub files: FileRules,
    /// What may leave by HTTP: the calls of automations, and webhooks.
    pub outbound: OutboundConfig,
    /// How mail leaves.
    pub email: EmailConfig,
    /// Where webhooks go, by the names that automations send to.
    pub webhooks: BTreeMap<String, WebhookConfig>,
    /// How the server logs.
    pub log: LogConfig,
}

/// Where the server listens, and what one client may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// The address and port to listen on. Port 0 takes a free one.
    pub listen: String,
    /// Connections held open at one time; more wait until one ends.
    pub connections_max: usize,
    /// Milliseconds a client may take to send the head of a request, and a connection may rest between two.
    pub head_ms_max: u64,
    /// Milliseconds a client may take to send a body that is not streamed.
    pub body_ms_max: u64,
    /// Milliseconds a streamed body may pause, and a reader may leave its answer unread.
    pub idle_ms_max: u64,
    /// Headers of one request.
    pub headers_max: usize,
    /// Bytes of a single record or event.
    pub body_bytes_max: usize,
    /// Bytes of a batch of events in one JSON array.
    pub batch_bytes_max: usize,
    /// Readers of the event stream at one time.
    pub streams_max: usize,
    /// Milliseconds that requests and runs in flight get to finish when the server is told to stop.
    pub drain_ms_max: u64,
    /// Networks of proxies that are believed when they say in `X-Forwarded-For` whom a request comes from, such as
    /// `["10.1.2.0/24"]`. The addresses of plugins count requests by that.
    pub trusted_proxies: Vec<Network>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".into(),
            connections_max: 1_024,
            head_ms_max: 30_000,
            body_ms_max: 30_000,
            idle_ms_max: 30_000,
            headers_max: 100,
            body_bytes_max: 1 << 20,
            batch_bytes_max: 8 << 20,
            streams_max: 256,
            drain_ms_max: 30_000,
            trusted_proxies: Vec::new(),
        }
    }
}

/// Where data are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StorageConfig {
    /// The folder of the embedded database, the owner's key, compiled code and backups. Made at the first start.
    pub data: PathBuf,
    /// A PostgreSQL address, such as `postgres://user:password@host/database`. Empty: the embedded SQLite in the data folder.
    pub database: Secret,
    /// Records kept in memory.
    pub cache_records: usize,
    /// Connections that read.
    pub readers: u32,
    /// Bytes that the embedded database may take; what would pass them is refused as on a full disk. 0: as many as there are.
    pub database_bytes_max: u64,
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            data: "data".into(),
            database: Secret::default(),
            cache_records: 20_000,
            readers: 4,
            database_bytes_max: 0,
        }
    }
}

/// Which scripts and plugins are loaded at the start.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AutomationConfig {
    /// A folder of scripts (`**/*.rhai`), each activated at the start. Empty: none.
    pub scripts: PathBuf,
    /// A folder of plugins, each a folder with a `plugin.toml`. Empty: none.
    pub plugins: PathBuf,
    /// Whether a file that changes is checked and goes live at once, for development.
    pub watch: bool,
}

/// How the server logs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// `text` for people, `json` for programs.
    pub format: LogFormat,
    /// What is logged: `error`, `warn`, `info`, `debug` or `trace`, also per module: `info,rapport_engine=debug`.
    pub filter: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info".into() }
    }
}

/// How a line of the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// A text with a password in it. Shows itself without: only [`Secret::reveal`] gives it away.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// A secret of this text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one who connects.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether none was given.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Secret {
    /// The address of a database without its password and parameters; anything else as `***`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        let address = self.0.split_once("://").filter(|(scheme, _)| matches!(*scheme, "postgres" | "postgresql"));
        let Some((scheme, rest)) = address else { return f.write_str("***") };
        let rest = rest.split('?').next().unwrap_or_default();
        match rest.rsplit_once('@') {
            Some((account, host)) => {
                let user = account.split(':').next().unwrap_or_default();
                write!(f, "{scheme}://{user}:***@{host}")
            }
            None => write!(f, "{scheme}://{rest}"),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({self})")
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl Config {
    /// Every key by section with the value in force, secrets redacted.
    #[must_use]
    pub fn values(&self) -> BTreeMap<(String, String), toml::Value> {
        let table = toml::Table::try_from(self).unwrap_or_default();
        let sections = table.into_iter().filter_map(|(name, section)| match section {
            toml::Value::Table(keys) => Some((name, keys)),
            _ => None,
        });
        sections.flat_map(|(name, keys)| keys.into_iter().map(move |(key, v)| ((name.clone(), key), v))).collect()
    }

    /// The folder of scripts, if one is set.
    #[must_use]
    pub fn scripts(&self) -> Option<&Path> {
        Some(self.automations.scripts.as_path()).filter(|p| !p.as_os_str().is_empty())
    }

    /// The folder of plugins, if one is set.
    #[must_use]
    pub fn plugins(&self) -> Option<&Path> {
        Some(self.automations.plugins.as_path()).filter(|p| !p.as_os_str().is_empty())
    }
}

#[cfg(test)]
mod tests;
