//! `rapport backup` and `rapport restore`.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use rapport_store::Store;
use serde_json::{Value as Json, json};

use super::{Common, Failure, Outcome, block_on};
use crate::app;
use crate::client::{Address, Call, Client};
use crate::config::Flags;
use crate::digest_file::digest_of;
use crate::secret_file;

/// What `backup` takes.
#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    /// The folder to write; it must not be there yet.
    to: PathBuf,
}

/// What `restore` takes.
#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    /// The folder of the backup.
    from: PathBuf,
    /// The PostgreSQL database to fill; without one the embedded database in the data folder.
    #[arg(long, value_name = "URL")]
    database: Option<String>,
}

pub(super) fn run(common: &Common, args: &BackupArgs) -> Outcome {
    if args.to.exists() {
        return Err(Failure::Usage(format!("`{}` is there already", args.to.display())));
    }
    let client = common.client()?;
    let taken = client.post("/v1/backup", &json!({}))?;
    let name = taken["name"].as_str().unwrap_or_default().to_owned();
    let fetched = fetch_all(&client, &name, &taken, &args.to);
    // The copy on the server has served, also if it did not arrive.
    let _ = client.delete(&Address::of(&["v1", "backup", &name]).text());
    if let Err(failure) = fetched {
        let _ = fs::remove_dir_all(&args.to);
        return Err(failure);
    }
    common.output().show(&taken, |taken| {
        let report = &taken["report"];
        format!("backed up to {}: {} events", args.to.display(), report["head_position"])
    });
    Ok(ExitCode::SUCCESS)
}

fn fetch_all(client: &Client, name: &str, taken: &Json, to: &Path) -> Result<(), Failure> {
    secret_file::make_folder(to)?;
    for file in taken["files"].as_array().map_or(&[][..], Vec::as_slice) {
        let text = |member: &str| file[member].as_str().unwrap_or_default();
        let own = text("name");
        // The server names the files; none may lead out of the folder.
        if own.is_empty() || own.starts_with('.') || own.contains(['/', '\\']) {
            return Err(Failure::Failed(format!("the server named a file `{own}`")));
        }
        let place = to.join(own);
        let path = Address::of(&["v1", "backup", name, own]).text();
        let mut body = client.stream(&Call { path, ..Call::default() })?;
        let mut written = File::create_new(&place)?;
        io::copy(&mut body, &mut written)?;
        written.sync_all()?;
        let (digest, _) = digest_of(&mut File::open(&place)?)?;
        if digest.to_string() != text("sha256") {
            return Err(Failure::Failed(format!("`{own}` did not arrive as it was sent")));
        }
    }
    Ok(())
}

pub(super) fn restore(common: &Common, args: &RestoreArgs) -> Outcome {
    let mut flags = Flags::default();
    flags.set("storage", "database", args.database.clone());
    let config = common.load(flags)?.config;
    secret_file::make_folder(&config.storage.data)?;
    let database = app::database(&config.storage);
    let restored = block_on(Store::restore(&args.from, &database))?;
    let report = restored.map_err(|e| Failure::Failed(e.to_string()))?;
    common.output().show(&json!(report), |report| format!("restored and checked: {} events", report["head_position"]));
    Ok(ExitCode::SUCCESS)
}
