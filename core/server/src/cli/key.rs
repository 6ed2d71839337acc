//! `rapport key`: makes, lists and revokes keys.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use rapport_engine::{Caller, EngineError, NewKey};
use rapport_model::time::WallClock;
use serde_json::json;

use super::{Common, Failure, Outcome, block_on};
use crate::app::{self, OWNER_KEY_FILE};
use crate::client::Address;
use crate::config::{Config, Flags};
use crate::secret_file;

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Makes a key and shows its secret this once.
    Create(CreateArgs),
    /// Lists keys.
    List,
    /// Revokes a key.
    Revoke {
        /// Its name or id.
        key: String,
    },
    /// Makes another owner's key when the file with the first was lost. Works on the data folder of a server that is stopped.
    Recover,
}

/// What `key create` takes.
#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// Its name.
    name: String,
    /// What it may do: read, write, admin.
    #[arg(long = "scope", required = true, value_delimiter = ',', value_name = "SCOPE")]
    scopes: Vec<String>,
    /// The only objects that it may touch; all if not given.
    #[arg(long = "object", value_delimiter = ',', value_name = "OBJECT")]
    objects: Vec<String>,
    /// When it ends, such as `2027-01-01T00:00:00Z`.
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// The person behind it.
    #[arg(long)]
    user: Option<String>,
    /// A role by which it answers questions, such as `shop-manager`; for a key without a person.
    #[arg(long = "role", value_delimiter = ',', value_name = "ROLE", conflicts_with = "user")]
    roles: Vec<String>,
}

pub(super) fn run(common: &Common, command: KeyCommand) -> Outcome {
    match command {
        KeyCommand::Create(args) => {
            let objects = (!args.objects.is_empty()).then_some(args.objects);
            let body = json!({
                "name": args.name,
                "scopes": args.scopes,
                "objects": objects,
                "expires_at": args.expires,
                "user": args.user,
                "roles": args.roles,
            });
            let made = common.client()?.post("/v1/keys", &body)?;
            common.output().show(&made, |made| {
                let secret = made["secret"].as_str().unwrap_or_default();
                format!("{secret}\nKeep it now: it is not shown again.")
            });
        }
        KeyCommand::List => {
            let all = common.client()?.get("/v1/keys")?;
            common.output().list(&all, &["id", "name", "scopes", "roles", "objects", "expires_at", "revoked_at"]);
        }
        KeyCommand::Revoke { key } => {
            common.client()?.delete(&Address::of(&["v1", "keys", &key]).text())?;
            common.output().show(&json!({"revoked": key}), |_| format!("revoked: {key}"));
        }
        KeyCommand::Recover => recover(common)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn recover(common: &Common) -> Result<(), Failure> {
    let config = common.load(Flags::default())?.config;
    let file = config.storage.data.join(OWNER_KEY_FILE);
    if file.exists() {
        return Err(Failure::Usage(format!("`{}` is there: no key was lost", file.display())));
    }
    let secret = block_on(recovered_key(&config))??;
    secret_file::write(&file, format!("{secret}\n").as_bytes())?;
    let place = file.display().to_string();
    common.output().show(&json!({"file": place}), |_| format!("a new owner's key is in {place}"));
    Ok(())
}

async fn recovered_key(config: &Config) -> Result<String, Failure> {
    let engine = app::open_engine(config, std::sync::Arc::new(WallClock)).await?;
    let now = engine.clock().now();
    let key = NewKey {
        name: format!("owner-recovered-{}", now.micros() / 1_000_000),
        scopes: vec!["admin".to_owned()],
        ..NewKey::default()
    };
    let failed = |e: EngineError| Failure::Failed(e.to_string());
    let made = engine.create_key(&Caller::system(), key).await;
    let closed = engine.shutdown().await;
    let secret = made.map_err(failed)?.secret;
    closed.map_err(failed)?;
    Ok(secret)
}
