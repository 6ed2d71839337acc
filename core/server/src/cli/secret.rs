//! `rapport secret`: keeps, lists and removes secrets in the data folder. Needs no server; a running one reads them at use.

use std::io::{IsTerminal, Read, stdin};
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use super::{Common, Failure, Outcome};
use crate::config::Flags;
use crate::outbound::{NamedSecret, SecretError, Secrets};

/// Bytes read from the standard input.
const INPUT_BYTES_MAX: u64 = 64 << 10;

/// What can be done with secrets.
#[derive(Debug, Subcommand)]
pub(super) enum SecretCommand {
    /// Keeps a secret; its value is read from the standard input. An older one of this name is replaced.
    Set {
        /// Its name: lower-case letters, digits, `-` and `_`.
        name: String,
        /// A host that it may go to. Can be given more than once.
        #[arg(long = "host", required = true, value_delimiter = ',', value_name = "HOST")]
        hosts: Vec<String>,
    },
    /// Lists secrets with the hosts that they may go to, without their values.
    List,
    /// Removes a secret. Calls that need it fail from now on.
    Delete {
        /// Its name.
        name: String,
    },
}

pub(super) fn run(common: &Common, command: SecretCommand) -> Outcome {
    let secrets = Secrets::new(&common.load(Flags::default())?.config.storage.data);
    match command {
        SecretCommand::Set { name, hosts } => {
            if stdin().is_terminal() {
                eprintln!("The secret's value, then Enter and Ctrl-D. It is shown as you type: better pipe it in.");
            }
            let secret = NamedSecret::new(&value(stdin().lock())?, &hosts)?;
            secrets.set(&name, &secret)?;
            let hosts = secret.hosts();
            common
                .output()
                .show(&json!({"name": name, "hosts": hosts}), |_| format!("kept: {name}, for {}", hosts.join(", ")));
        }
        SecretCommand::List => list(common, &secrets)?,
        SecretCommand::Delete { name } => {
            secrets.delete(&name)?;
            common.output().show(&json!({"deleted": name}), |_| format!("deleted: {name}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(common: &Common, secrets: &Secrets) -> Result<(), Failure> {
    let mut items = Vec::new();
    for name in secrets.names()? {
        // One that is damaged must not hide the others.
        items.push(match secrets.read(&name) {
            Ok(secret) => json!({"name": name, "hosts": secret.hosts().join(", "), "state": "ok"}),
            Err(error) => json!({"name": name, "hosts": "", "state": error.to_string()}),
        });
    }
    common.output().list(&json!({"items": items}), &["name", "hosts", "state"]);
    Ok(())
}

/// The value on `input`, without the line break that ends it.
fn value(input: impl Read) -> Result<String, Failure> {
    let mut text = String::new();
    let read = input.take(INPUT_BYTES_MAX).read_to_string(&mut text);
    read.map_err(|e| Failure::Usage(format!("the secret's value cannot be read from the standard input: {e}")))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

impl From<SecretError> for Failure {
    fn from(error: SecretError) -> Self {
        match error {
            SecretError::Name(_) | SecretError::Value(_) | SecretError::Host(_) | SecretError::NoHost => {
                Self::Usage(error.to_string())
            }
            SecretError::Missing { .. } | SecretError::Damaged { .. } | SecretError::File { .. } => {
                Self::Failed(error.to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_break_at_the_end_is_not_part_of_a_secret() {
        for (typed, kept) in
            [("s3cret\n", "s3cret"), ("s3cret\r\n", "s3cret"), ("s3cret", "s3cret"), ("s3cret\n\n", "s3cret\n")]
        {
            assert_eq!(value(typed.as_bytes()).unwrap(), kept);
        }
        assert!(matches!(value(&b"\xff\xfe"[..]), Err(Failure::Usage(_))));
    }
}
