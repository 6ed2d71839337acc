//! `rapport user`: adds and lists people.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use super::{Common, Outcome};

/// What can be done with people.
#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Adds a person, or changes the one with that name.
    Add {
        /// Their name.
        name: String,
        /// Their e-mail address.
        #[arg(long)]
        email: Option<String>,
        /// Their roles: owner, admin, operator, viewer, or one of your own such as `shop-manager`.
        #[arg(long = "role", required = true, value_delimiter = ',', value_name = "ROLE")]
        roles: Vec<String>,
    },
    /// Lists people.
    List,
}

pub(super) fn run(common: &Common, command: UserCommand) -> Outcome {
    let client = common.client()?;
    match command {
        UserCommand::Add { name, email, roles } => {
            let user = client.post("/v1/users", &json!({"name": name, "email": email, "roles": roles}))?;
            common.output().one(&user);
        }
        UserCommand::List => {
            common.output().list(&client.get("/v1/users")?, &["id", "name", "email", "roles", "active"]);
        }
    }
    Ok(ExitCode::SUCCESS)
}
