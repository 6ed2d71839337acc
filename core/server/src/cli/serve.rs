//! `rapport serve`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{Common, Failure, Outcome, block_on};
use crate::app::{App, AppOptions};
use crate::config::{Config, Flags, LogConfig, LogFormat};

/// What `serve` takes.
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// The address and port to listen on [default: 127.0.0.1:8080]; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// A PostgreSQL address; without one the embedded database in the data folder is used.
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// A folder of scripts to activate.
    #[arg(long, value_name = "DIR")]
    scripts: Option<PathBuf>,
    /// A folder of plugins to activate.
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,
    /// Check and activate scripts and plugins as their files change.
    #[arg(long)]
    watch: bool,
}

impl ServeArgs {
    fn flags(&self) -> Flags {
        let mut flags = Flags::default();
        let path = |p: &Option<PathBuf>| p.as_ref().map(|p| p.display().to_string());
        flags.set("server", "listen", self.listen.clone());
        flags.set("storage", "database", self.database.clone());
        flags.set("automations", "scripts", path(&self.scripts));
        flags.set("automations", "plugins", path(&self.plugins));
        flags.set("automations", "watch", self.watch.then_some(true));
        flags
    }
}

pub(super) fn run(common: &Common, args: &ServeArgs) -> Outcome {
    let loaded = common.load(args.flags())?;
    start_log(&loaded.config.log)?;
    for stray in &loaded.strays {
        tracing::warn!("{stray}");
    }
    block_on(serve(loaded.config))?
}

/// Writes the log to the standard error stream.
fn start_log(log: &LogConfig) -> Result<(), Failure> {
    let filter =
        EnvFilter::try_new(&log.filter).map_err(|e| Failure::Usage(format!("the log filter `{}`: {e}", log.filter)))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match log.format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|e| Failure::Failed(format!("cannot start the log: {e}")))
}

async fn serve(config: Config) -> Outcome {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let app = App::start_with(AppOptions::new(config)).await?;
    announce(&app);
    let fatal = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        reason = app.failed() => Some(reason),
    };
    if let Some(reason) = fatal {
        // The database cannot be trusted with more work: nothing is drained, what was acknowledged is durable.
        return Err(Failure::Fatal(reason));
    }
    tracing::info!("stopping: requests and runs in flight are finished first");
    app.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

/// Says where the key is and where the server listens. The last line is one that a program can wait for.
fn announce(app: &App) {
    let mut out = std::io::stdout().lock();
    let key = app.owner_key_file();
    if app.made_owner_key() {
        let _ = writeln!(out, "The owner's key is in {} (readable by you alone)", key.display());
    }
    let _ = writeln!(out, "The documentation is at {}/docs", app.url());
    let _ = writeln!(out, "rapport ready on {}", app.url());
    let _ = out.flush();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: ServeArgs,
    }

    fn config(line: &[&str]) -> Config {
        let line = std::iter::once("serve").chain(line.iter().copied());
        let flags = Line::try_parse_from(line).unwrap().args.flags();
        config::load(None, [("RAPPORT_AUTOMATIONS_WATCH".to_owned(), "true".to_owned())], &flags).unwrap().config
    }

    #[test]
    fn flags_become_configuration() {
        let config =
            config(&["--listen", "0.0.0.0:1", "--scripts", "s", "--plugins", "p", "--database", "postgres://x/y"]);
        assert_eq!(config.server.listen, "0.0.0.0:1");
        assert_eq!((config.scripts(), config.plugins()), (Some("s".as_ref()), Some("p".as_ref())));
        assert_eq!(config.storage.database.reveal(), "postgres://x/y");
    }

    #[test]
    fn a_flag_that_is_not_given_leaves_the_environment_alone() {
        assert!(config(&[]).automations.watch);
        assert_eq!(config(&[]).scripts(), None);
    }
}
