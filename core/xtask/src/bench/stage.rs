//! A shop with first-party plugins, and the visitors of their pages.
//!
//! Visitors come through a proxy that the server trusts, each from an address of its own: limits of one client then hold nobody up,
//! and those of all clients are as the plugins are delivered.

use std::fs::{copy, create_dir_all, read_dir, write};
use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::client::Client;
use super::lab::Lab;
use crate::http::{Answer, Connection};
use crate::server::{self, Server};
use crate::workspace::root;

/// What the server is told of the proxy before it.
const CONFIG: &str = "[server]\ntrusted_proxies = [\"127.0.0.1/32\"]\n";
/// The first address of visitors: 10.0.0.0.
const VISITORS: u32 = 0x0a00_0000;

/// Builds plugins, and has servers of the lab begin with them, with scripts of the project, and with the proxy before them.
///
/// # Errors
/// If a plugin does not build.
pub(crate) fn set(lab: &Lab, plugins: &[&str], scripts: &[&str]) -> Result<()> {
    for plugin in plugins {
        let source = root().join("plugins").join(plugin);
        server::build_plugin(lab.binary(), &source.display().to_string())?;
        let here = lab.folder().join("plugins").join(plugin);
        create_dir_all(here.join("templates"))?;
        for name in ["plugin.toml".to_owned(), format!("{plugin}.wasm")] {
            copy(source.join(&name), here.join(&name)).with_context(|| format!("{plugin} has no {name}"))?;
        }
        for template in read_dir(source.join("templates"))? {
            let template = template?;
            copy(template.path(), here.join("templates").join(template.file_name()))?;
        }
    }
    for script in scripts {
        let name = format!("scripts/{script}.rhai");
        let here = lab.folder().join(&name);
        create_dir_all(here.parent().unwrap_or_else(|| lab.folder()))?;
        copy(root().join(&name), here).with_context(|| format!("there is no {name}"))?;
    }
    Ok(write(lab.folder().join("rapport.toml"), CONFIG)?)
}

/// Gives an automation its settings.
///
/// # Errors
/// If they are refused.
pub(crate) fn settings(client: &mut Client, automation: &str, settings: &Value) -> Result<()> {
    let path = format!("/v1/automations/{}/settings", automation.replace('/', "%2F"));
    client.put(&path, &settings.to_string()).map(drop)
}

/// Opens a calendar that is always open.
///
/// # Errors
/// If it is refused.
pub(crate) fn calendar(client: &mut Client, name: &str) -> Result<()> {
    let hours = json!([["00:00", "24:00"]]);
    let week: serde_json::Map<String, Value> = (1..=7).map(|day: u32| (day.to_string(), hours.clone())).collect();
    let record = json!({ "name": name, "title": name, "definition": { "tz": "UTC", "hours": week } });
    client.put(&format!("/v1/records/calendar/name:{name}"), &record.to_string()).map(drop)
}

/// Visitors of public pages, on one connection of their proxy.
#[derive(Debug)]
pub(crate) struct Visitors {
    connection: Connection,
    address: String,
}

impl Visitors {
    /// Connects.
    ///
    /// # Errors
    /// If nobody listens.
    pub(crate) fn open(server: &Server) -> Result<Self> {
        let address = server.address.clone();
        Ok(Self { connection: Connection::open(&address)?, address })
    }

    /// Looks at a page as the visitor of that number.
    ///
    /// # Errors
    /// If there is no answer.
    pub(crate) fn look(&mut self, visitor: u32, path: &str) -> Result<Answer> {
        self.ask(&format!("GET {path} HTTP/1.1\r\n{}\r\n", self.head(visitor)))
    }

    /// Sends a form as the visitor of that number.
    ///
    /// # Errors
    /// If there is no answer.
    pub(crate) fn send(&mut self, visitor: u32, path: &str, form: &str) -> Result<Answer> {
        let head = self.head(visitor);
        let length = form.len();
        self.ask(&format!(
            "POST {path} HTTP/1.1\r\n{head}Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{form}"
        ))
    }

    fn head(&self, visitor: u32) -> String {
        format!("Host: {}\r\nX-Forwarded-For: {}\r\n", self.address, Ipv4Addr::from(VISITORS + visitor))
    }

    fn ask(&mut self, request: &str) -> Result<Answer> {
        let answer = self.connection.call(request.as_bytes())?;
        if !answer.keep {
            self.connection = Connection::open(&self.address)?;
        }
        Ok(answer)
    }
}
