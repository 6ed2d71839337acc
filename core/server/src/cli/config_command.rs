//! `rapport config`: checks and shows the configuration.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Subcommand;
use rapport_model::time::WallClock;
use serde_json::{Map, Value as Json, json};

use super::{Common, Failure, Outcome};
use crate::config::{self, Flags, SAMPLE};
use crate::outbound::Outbound;
use crate::output::{self, table};

/// What can be done with the configuration.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Checks a file: every key and value in it.
    Check {
        /// The file; the one in force if not given.
        file: Option<PathBuf>,
    },
    /// Shows every value in force and where it came from.
    Show,
    /// Writes the sample file: every key with its default and what it means.
    Sample,
}

pub(super) fn run(common: &Common, command: &ConfigCommand) -> Outcome {
    match command {
        ConfigCommand::Check { file } => check(common, file.clone()),
        ConfigCommand::Show => show(common),
        ConfigCommand::Sample => {
            output::line(SAMPLE.trim_end());
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn check(common: &Common, file: Option<PathBuf>) -> Outcome {
    let common = Common { config: file.or_else(|| common.config.clone()), ..common.clone() };
    // What is wrong here is the file that was to be checked, not the command line.
    let loaded = common.load(Flags::default()).map_err(|e| Failure::Failed(e.to_string()))?;
    Outbound::new(&loaded.config, Arc::new(WallClock)).map_err(|e| Failure::Failed(e.to_string()))?;
    let strays = &loaded.strays;
    common.output().show(&json!({"ok": strays.is_empty(), "strays": strays}), |_| {
        if strays.is_empty() { "ok".to_owned() } else { strays.join("\n") }
    });
    Ok(ExitCode::from(u8::from(!strays.is_empty())))
}

fn show(common: &Common) -> Outcome {
    let loaded: config::Loaded = common.load(Flags::default())?;
    let values = loaded.config.values();
    let source = |key: &(String, String)| loaded.sources.get(key).map(ToString::to_string).unwrap_or_default();
    let mut all = Map::new();
    for (key, value) in &values {
        let entry = json!({"value": value, "source": source(key)});
        all.insert(format!("{}.{}", key.0, key.1), entry);
    }
    common.output().show(&Json::Object(all), |_| {
        let rows =
            values.iter().map(|(key, value)| vec![format!("{}.{}", key.0, key.1), value.to_string(), source(key)]);
        table(&["key", "value", "source"], rows)
    });
    Ok(ExitCode::SUCCESS)
}
