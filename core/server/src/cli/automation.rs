//! `rapport automation`: shows what is live and how it hangs together, takes it out of service, sets its settings.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Map, Value as Json};
use ureq::http::Method;

use super::record::assignments;
use super::{Common, Failure, Outcome, graph};
use crate::client::{Address, Call, Client};
use crate::strict_json;

/// What can be done with automations.
#[derive(Debug, Subcommand)]
pub(super) enum AutomationCommand {
    /// Lists automations.
    List,
    /// Shows which automation can start which, by which events, and circles among them.
    Graph {
        /// Write it in the language of Graphviz: `rapport automation graph --dot | dot -Tsvg`.
        #[arg(long, conflicts_with = "json")]
        dot: bool,
    },
    /// Takes an automation out of service. Runs that have begun go on.
    Deactivate {
        /// Its id.
        id: String,
    },
    /// Sets settings of a live automation. The others keep their values.
    Set {
        /// Its id.
        id: String,
        /// Values: `double_over=200`, `manager=role:shop-manager`, `list:=["a"]` (JSON).
        #[arg(value_name = "NAME=VALUE")]
        values: Vec<String>,
        /// A setting that goes back to its default.
        #[arg(long, value_name = "NAME")]
        reset: Vec<String>,
    },
}

pub(super) fn run(common: &Common, command: &AutomationCommand) -> Outcome {
    let client = common.client()?;
    match command {
        AutomationCommand::List => {
            let all = client.get("/v1/automations")?;
            common.output().list(&all, &["id", "kind", "active", "title", "uses", "runs"]);
        }
        AutomationCommand::Graph { dot } => {
            let found = client.get("/v1/automations/graph")?;
            common.output().show(&found, if *dot { graph::dot } else { graph::text });
        }
        AutomationCommand::Deactivate { id } => {
            client.post(&Address::of(&["v1", "automations", id, "deactivate"]).text(), &Json::Object(Map::new()))?;
            common.output().show(&Json::Null, |_| format!("out of service: {id}"));
        }
        AutomationCommand::Set { id, values, reset } => {
            if values.is_empty() && reset.is_empty() {
                return Err(Failure::Usage("name a setting: NAME=VALUE, or --reset NAME".to_owned()));
            }
            common.output().one(&set(&client, id, values, reset)?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn set(client: &Client, id: &str, values: &[String], reset: &[String]) -> Result<Json, Failure> {
    let all = client.get("/v1/automations")?;
    let items = all["items"].as_array().map_or(&[][..], Vec::as_slice);
    let known = items.iter().find(|automation| automation["id"] == id);
    let declared = known.and_then(|automation| automation["settings"].as_array()).map_or(&[][..], Vec::as_slice);
    let body = Json::Object(merged(declared, assignments(values)?, reset)).to_string();
    let path = Address::of(&["v1", "automations", id, "settings"]).text();
    let call = Call { path, body: Some(body.as_bytes()), media: "application/json", ..Call::default() };
    client.json(&Method::PUT, &call)
}

/// The values in force with `given` in place of some and without those of `reset`. A text given for a setting that holds no
/// text is read as JSON, so that numbers need no quotes; whether it fits is for the server to say.
fn merged(declared: &[Json], given: Map<String, Json>, reset: &[String]) -> Map<String, Json> {
    let find = |name: &str| declared.iter().find(|setting| setting["name"] == name);
    let mut values: Map<String, Json> = declared
        .iter()
        .filter(|setting| setting["value"] != setting["default"])
        .filter_map(|setting| Some((setting["name"].as_str()?.to_owned(), setting["value"].clone())))
        .filter(|(name, _)| !reset.contains(name))
        .collect();
    for (name, value) in given {
        let holds_text = find(&name).is_none_or(|setting| setting["default"].is_string());
        let read = value.as_str().filter(|_| !holds_text).and_then(|text| strict_json::parse(text.as_bytes()).ok());
        values.insert(name, read.unwrap_or(value));
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_is_read_as_its_setting_holds_it_and_the_others_stay() {
        let declared = [
            json!({"name": "over", "default": 100, "value": 100}),
            json!({"name": "code", "default": "x", "value": "y"}),
            json!({"name": "old", "default": 1, "value": 2}),
        ];
        let given = assignments(&["over=250".to_owned(), "code=007".to_owned()]).unwrap();
        let values = merged(&declared, given, &["old".to_owned()]);
        assert_eq!(Json::Object(values), json!({"over": 250, "code": "007"}));
        assert_eq!(Json::Object(merged(&declared, Map::new(), &[])), json!({"code": "y", "old": 2}));
    }
}
