//! `rapport action`: lists the actions of plugins, and calls one.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use rapport_engine::{ActionAnswer, Shown, Stage, call_alone};
use serde_json::{Value as Json, json};
use ureq::http::Method;

use super::script::offline_sandbox;
use super::{Common, Failure, Outcome, block_on};
use crate::client::{Address, Call};
use crate::config::Flags;
use crate::{output, strict_json};

/// The largest input, in bytes.
const INPUT_BYTES_MAX: u64 = 1 << 20;

/// What `action` takes.
#[derive(Debug, Args)]
pub(super) struct ActionArgs {
    /// The action, such as `loyalty.redeem`. Without one, all actions are listed.
    #[arg(value_name = "PLUGIN.ACTION")]
    name: Option<String>,
    /// The folder of a built plugin: the action is called in an empty workspace that is thrown away, without a server.
    #[arg(long, value_name = "DIR")]
    plugin: Option<PathBuf>,
    /// The input as JSON; without it, it is read from the standard input.
    #[arg(long, value_name = "JSON")]
    input: Option<String>,
    /// Names the call, so that it happens once however often it is sent.
    #[arg(long, value_name = "TEXT")]
    idempotency_key: Option<String>,
    /// How long to wait for the end of the run, 0 to 60 seconds.
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    wait: u64,
}

pub(super) fn run(common: &Common, args: &ActionArgs) -> Outcome {
    let Some(name) = &args.name else {
        let columns = ["name", "title", "readonly", "callers"];
        common.output().list(&common.client()?.get("/v1/actions")?, &columns);
        return Ok(ExitCode::SUCCESS);
    };
    let input = input(args)?;
    let answer = if let Some(folder) = &args.plugin {
        alone(common, folder, (name, input))?
    } else {
        let body = input.to_string();
        let mut headers = vec![("prefer", format!("wait={}", args.wait))];
        headers.extend(args.idempotency_key.clone().map(|key| ("idempotency-key", key)));
        let path = Address::of(&["v1", "actions", name]).text();
        let call = Call { path, body: Some(body.as_bytes()), media: "application/json", headers };
        common.client()?.json(&Method::POST, &call)?
    };
    common.output().show(&answer, |answer| output::plain(&output::members(answer)));
    Ok(ExitCode::SUCCESS)
}

fn input(args: &ActionArgs) -> Result<Json, Failure> {
    let mut bytes = Vec::new();
    match &args.input {
        Some(text) => bytes.extend(text.as_bytes()),
        None => drop(std::io::stdin().take(INPUT_BYTES_MAX + 1).read_to_end(&mut bytes)?),
    }
    if bytes.len() as u64 > INPUT_BYTES_MAX {
        return Err(Failure::Usage(format!("the input is larger than {INPUT_BYTES_MAX} bytes")));
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(json!({}));
    }
    strict_json::parse(&bytes).map_err(|e| Failure::Usage(format!("the input is no JSON: {e}")))
}

/// Calls the action of the plugin in `folder` in a workspace of its own.
fn alone(common: &Common, folder: &Path, (name, input): (&str, Json)) -> Result<Json, Failure> {
    let (sandbox, _place) = offline_sandbox(common)?;
    let limits = common.load(Flags::default())?.config.limits;
    let stage = Stage { sandbox, limits, folder: std::env::temp_dir(), shown: Shown::Failed };
    let called = block_on(call_alone(&stage, folder, name, input))?;
    match called.map_err(|e| Failure::Failed(e.to_string()))? {
        ActionAnswer::Output { output, .. } => Ok(output),
        ActionAnswer::Open { status, .. } => Ok(json!({ "status": status.as_str() })),
    }
}
