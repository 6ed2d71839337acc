//! Installing plugins on a server, and what becomes of them there.

use std::fs::{self, File};
use std::io::{self, BufRead as _, IsTerminal as _, Write as _, stderr, stdin};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use ureq::http::Method;

use super::{migrate, package, show};
use crate::cli::{Common, Failure};
use crate::client::{Address, Call, Client};
use crate::output;

/// Records fetched at a time when data is exported.
const PAGE_ROWS: &str = "1000";

/// `plugin install` and `plugin upgrade`.
#[derive(Debug, Args)]
pub(in crate::cli) struct InstallArgs {
    /// The package.
    pub(super) file: PathBuf,
    /// `all`, or a TOML file with `items = ["customer:read", …]`. Asked for at a terminal if it is not given.
    #[arg(long, value_name = "all|FILE")]
    grant: Option<String>,
    /// Takes a package that nobody signed.
    #[arg(long)]
    pub(super) unsigned: bool,
}

/// `plugin grant`.
#[derive(Debug, Args)]
pub(in crate::cli) struct GrantArgs {
    /// The plugin.
    id: String,
    /// Grants all that it asks for.
    #[arg(long, conflicts_with = "file", required_unless_present = "file")]
    all: bool,
    /// A TOML file with `items = ["customer:read", …]`: rights that are not in it are refused when they are used.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// `plugin uninstall`.
#[derive(Debug, Args)]
pub(in crate::cli) struct UninstallArgs {
    /// The plugin.
    id: String,
    /// Its records stay in the workspace.
    #[arg(long, conflicts_with = "export", required_unless_present = "export")]
    keep_data: bool,
    /// The records of its own objects are written to this file first, a line of JSON each. They stay in the workspace as well.
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
}

/// What a file of `--grant` holds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantFile {
    items: Vec<String>,
}

/// Whether a package is the first of its plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coming {
    First,
    Later,
}

/// Installs or upgrades.
pub(super) fn take_in(common: &Common, args: &InstallArgs, coming: Coming) -> Result<(), Failure> {
    let client = common.client()?;
    let bytes = package::bytes(&args.file)?;
    let report = send(&client, &Method::POST, Address::of(&["v1", "packages", "inspect"]), &bytes)?;
    let id = report["id"].as_str().unwrap_or_default().to_owned();
    let items = match args.grant.as_deref() {
        None | Some("all") => None,
        Some(file) => Some(read_grant(Path::new(file))?),
    };
    if !common.output().is_json() {
        output::line(&show::package(&report));
    }
    let address =
        if coming == Coming::First { Address::of(&["v1", "plugins"]) } else { Address::of(&["v1", "plugins", &id]) };
    let method = if coming == Coming::First { Method::POST } else { Method::PUT };
    let address = address.query("unsigned", args.unsigned.then_some("true"));
    let mut plugin = send(&client, &method, address, &bytes)?;
    if let Some(asked) = plugin["pending"]["asked_digest"].as_str().map(str::to_owned) {
        let grant = match (args.grant.as_deref(), items) {
            (Some(_), Some(items)) => Some(json!({ "items": items, "asked": asked })),
            (Some(_), None) => Some(json!({ "all": true, "asked": asked })),
            (None, _) if yes(&id)? => Some(json!({ "all": true, "asked": asked })),
            (None, _) => None,
        };
        if let Some(grant) = grant {
            plugin = client.post(&Address::of(&["v1", "plugins", &id, "grant"]).text(), &grant)?;
        }
    }
    common.output().show(&migrate::ended(&client, &id, plugin)?, show::plugin);
    Ok(())
}

/// Grants what a plugin waits for.
pub(super) fn grant(common: &Common, args: &GrantArgs) -> Result<(), Failure> {
    let body = match &args.file {
        Some(file) => json!({ "items": read_grant(file)? }),
        None => json!({ "all": true }),
    };
    let client = common.client()?;
    let plugin = client.post(&Address::of(&["v1", "plugins", &args.id, "grant"]).text(), &body)?;
    common.output().show(&migrate::ended(&client, &args.id, plugin)?, show::plugin);
    Ok(())
}

/// Asks at the terminal; elsewhere the answer is no.
fn yes(id: &str) -> Result<bool, Failure> {
    if !(stdin().is_terminal() && stderr().is_terminal()) {
        return Ok(false);
    }
    let asked = write!(stderr(), "Grant `{id}` all of this? [y/N] ").and_then(|()| stderr().flush());
    let mut answer = String::new();
    let read = asked.and_then(|()| stdin().lock().read_line(&mut answer));
    read.map_err(|e| Failure::Failed(format!("the terminal: {e}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn read_grant(file: &Path) -> Result<Vec<String>, Failure> {
    let text = fs::read_to_string(file).map_err(|e| Failure::Usage(format!("{}: {e}", file.display())))?;
    let read: GrantFile = toml::from_str(&text).map_err(|e| Failure::Usage(format!("{}: {e}", file.display())))?;
    Ok(read.items)
}

pub(super) fn send(client: &Client, method: &Method, address: Address, bytes: &[u8]) -> Result<Json, Failure> {
    let call = Call { path: address.text(), body: Some(bytes), media: "application/octet-stream", ..Call::default() };
    client.json(method, &call)
}

/// Takes a plugin away; with its records in a file first, if that was asked for.
pub(super) fn uninstall(common: &Common, args: &UninstallArgs) -> Result<(), Failure> {
    let client = common.client()?;
    let path = Address::of(&["v1", "plugins", &args.id]).text();
    let plugin = client.get(&path)?;
    let mut exported = 0;
    if let Some(file) = &args.export {
        exported = export(&client, &plugin, file)?;
    }
    let call = Call { path, ..Call::default() };
    let mut gone = client.json(&Method::DELETE, &call)?;
    if let Some(file) = &args.export {
        gone["exported"] = json!({ "file": file.display().to_string(), "records": exported });
    }
    common.output().show(&gone, |gone| {
        let kept: Vec<&str> = gone["data_kept"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
        let kept = if kept.is_empty() {
            "it had no data of its own".to_owned()
        } else {
            format!("its data stays: {}", kept.join(", "))
        };
        let copy =
            args.export.as_ref().map(|f| format!("; {exported} records are in {}", f.display())).unwrap_or_default();
        output::plain(&format!("uninstalled: {} ({} runs cancelled)\n{kept}{copy}", args.id, gone["runs_cancelled"]))
    });
    Ok(())
}

/// Writes the records of a plugin's own objects to `file`; says how many.
fn export(client: &Client, plugin: &Json, file: &Path) -> Result<u64, Failure> {
    let failed = |e: &io::Error| Failure::Failed(format!("{}: {e}", file.display()));
    let mut out = io::BufWriter::new(File::create(file).map_err(|e| failed(&e))?);
    let granted = plugin["granted"].as_array().into_iter().flatten().filter_map(Json::as_str);
    let mut written = 0;
    for object in granted.filter_map(|item| item.strip_prefix("object:")) {
        let mut cursor: Option<String> = None;
        loop {
            let address = Address::of(&["v1", "records", object]).query("limit", Some(PAGE_ROWS));
            let page = client.get(&address.query("cursor", cursor.as_deref()).text())?;
            for record in page["items"].as_array().into_iter().flatten() {
                writeln!(out, "{}", json!({ "object": object, "record": record })).map_err(|e| failed(&e))?;
                written += 1;
            }
            cursor = page["next"].as_str().map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
    }
    out.into_inner().map_err(|e| failed(e.error()))?.sync_all().map_err(|e| failed(&e))?;
    Ok(written)
}
