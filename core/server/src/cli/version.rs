//! `rapport version`: names the commit and the schema.

use std::process::ExitCode;

use serde_json::json;

use super::Common;

/// The commit that this program was built from; `unknown` if it was not built from a repository.
pub(super) const COMMIT: &str = env!("RAPPORT_COMMIT");
/// What `--version` says.
pub(super) const LINE: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("RAPPORT_COMMIT"), ")");

pub(super) fn run(common: &Common) -> ExitCode {
    let schema = rapport_store::Store::schema_version();
    let version = json!({"version": env!("CARGO_PKG_VERSION"), "commit": COMMIT, "schema": schema});
    common.output().show(&version, |_| format!("rapport {LINE}, schema {schema}"));
    ExitCode::SUCCESS
}
