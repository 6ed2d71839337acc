//! Upgrades that move data: what they would do, how far they are, and the way back.

use std::fmt::Write as _;
use std::thread::sleep;
use std::time::Duration;

use clap::Args;
use serde_json::{Value as Json, json};
use ureq::http::Method;

use super::install::{self, Coming, InstallArgs};
use super::{package, show};
use crate::cli::{Common, Failure};
use crate::client::{Address, Client};
use crate::output;

/// How often it is looked how far the server is.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

/// `plugin upgrade`.
#[derive(Debug, Args)]
pub(in crate::cli) struct UpgradeArgs {
    #[command(flatten)]
    package: InstallArgs,
    /// Says what the migrations of the package would do to the data, on a copy, and changes nothing.
    #[arg(long, conflicts_with_all = ["abandon", "grant"])]
    dry_run: bool,
    /// Gives up an upgrade of which a migration is open: in place of the package the plugin is named, and what its slices have
    /// written is undone.
    #[arg(long, conflicts_with_all = ["grant", "unsigned"])]
    abandon: bool,
}

/// `plugin rollback`.
#[derive(Debug, Args)]
pub(in crate::cli) struct RollbackArgs {
    /// The plugin.
    id: String,
    /// If the upgrade has moved data, undoes that first.
    #[arg(long)]
    undo_data: bool,
}

/// Upgrades, foretells an upgrade, or gives one up.
pub(super) fn upgrade(common: &Common, args: &UpgradeArgs) -> Result<(), Failure> {
    if args.abandon {
        let id = args.package.file.display().to_string();
        let client = common.client()?;
        let plugin = client.post(&Address::of(&["v1", "plugins", &id, "abandon"]).text(), &json!({}))?;
        common.output().show(&ended(&client, &id, plugin)?, show::plugin);
        return Ok(());
    }
    if args.dry_run {
        return rehearse(common, &args.package);
    }
    install::take_in(common, &args.package, Coming::Later)
}

/// Goes back to the version before.
pub(super) fn roll_back(common: &Common, args: &RollbackArgs) -> Result<(), Failure> {
    let client = common.client()?;
    let address = Address::of(&["v1", "plugins", &args.id, "rollback"]);
    let address = address.query("undo_data", args.undo_data.then_some("true"));
    let plugin = client.post(&address.text(), &json!({}))?;
    common.output().show(&ended(&client, &args.id, plugin)?, show::plugin);
    Ok(())
}

fn rehearse(common: &Common, args: &InstallArgs) -> Result<(), Failure> {
    let client = common.client()?;
    let bytes = package::bytes(&args.file)?;
    let report = install::send(&client, &Method::POST, Address::of(&["v1", "packages", "inspect"]), &bytes)?;
    let id = report["id"].as_str().unwrap_or_default();
    let address = Address::of(&["v1", "plugins", id]).query("unsigned", args.unsigned.then_some("true"));
    let told = install::send(&client, &Method::PUT, address.query("dry_run", Some("true")), &bytes)?;
    common.output().show(&told, foretold);
    match told["error"].as_object() {
        None => Ok(()),
        Some(_) => Err(Failure::Failed("the migration would fail; nothing was changed".into())),
    }
}

/// Waits until a migration is at its end; `plugin` as it was shown last.
///
/// # Errors
/// [`Failure::Failed`] if it has failed.
pub(super) fn ended(client: &Client, id: &str, plugin: Json) -> Result<Json, Failure> {
    let mut plugin = plugin;
    let path = Address::of(&["v1", "plugins", id]).text();
    while matches!(plugin["migration"]["state"].as_str(), Some("running" | "taking_back"))
        && plugin["state"] == "enabled"
    {
        sleep(LOOK_AGAIN);
        plugin = client.get(&path)?;
    }
    match plugin["migration"]["error"].as_str() {
        Some(why) if plugin["migration"]["state"] == "failed" => Err(Failure::Failed(why.to_owned())),
        _ => Ok(plugin),
    }
}

/// What a migration would do.
fn foretold(told: &Json) -> String {
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let mut shown = format!("{} {} → {}, nothing is kept", text(&told["id"]), text(&told["from"]), text(&told["to"]));
    let steps = told["steps"].as_array().map_or(&[][..], Vec::as_slice);
    if steps.is_empty() {
        shown.push_str("\nno data have to be moved");
    }
    for step in steps {
        let (from, to, title) = (text(&step["from"]), text(&step["to"]), text(&step["title"]));
        let _ = write!(shown, "\n{from} → {to}  {title}\n  slices  {}", step["slices"]);
        for (object, tally) in step["records"].as_object().into_iter().flatten() {
            let counts = ["created", "changed", "deleted"].map(|what| format!("{} {what}", tally[what]));
            let _ = write!(shown, "\n  {object}  {}", counts.join(", "));
        }
    }
    if told["error"].is_object() {
        let (error, at) = (&told["error"], &told["error"]["at"]);
        let place = format!("slice {} from cursor `{}`", at["slice"], text(&at["cursor"]));
        let _ = write!(shown, "\nwould fail in {place}: {} {}", text(&error["code"]), text(&error["message"]));
    }
    output::plain(&shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_done_is_told_by_step() {
        let shown = foretold(&json!({
            "id": "cards", "from": "0.1.0", "to": "0.2.0",
            "steps": [{"from": "0.1.0", "to": "0.2.0", "title": "Cents", "slices": 3,
                       "records": {"card": {"created": 0, "changed": 25, "deleted": 1}}}],
            "error": {"at": {"slice": 4, "cursor": "k"}, "code": "invalid", "message": "no"},
        }));
        insta::assert_snapshot!(shown, @r"
        cards 0.1.0 → 0.2.0, nothing is kept
        0.1.0 → 0.2.0  Cents
          slices  3
          card  0 created, 25 changed, 1 deleted
        would fail in slice 4 from cursor `k`: invalid no
        ");
    }
}
