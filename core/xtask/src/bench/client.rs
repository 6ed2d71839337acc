//! A client that keeps its connection to one server: what is measured is the server, not the connecting.

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::http::Connection;
use crate::server::Server;

/// A connection to a server, with the owner's key.
#[derive(Debug)]
pub(crate) struct Client {
    connection: Connection,
    head: String,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// If nobody listens.
    pub(crate) fn open(server: &Server) -> Result<Self> {
        let head = format!("Host: {}\r\n{}\r\n", server.address, server.authorization());
        Ok(Self { connection: Connection::open(&server.address)?, head })
    }

    /// Reads a resource.
    ///
    /// # Errors
    /// If the answer is none of success, or no JSON.
    pub(crate) fn get(&mut self, path: &str) -> Result<Value> {
        self.call("GET", path, "")
    }

    /// Sends JSON.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub(crate) fn post(&mut self, path: &str, body: &str) -> Result<Value> {
        self.call("POST", path, body)
    }

    /// Puts JSON.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub(crate) fn put(&mut self, path: &str, body: &str) -> Result<Value> {
        self.call("PUT", path, body)
    }

    fn call(&mut self, method: &str, path: &str, body: &str) -> Result<Value> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\n{}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.head,
            body.len()
        );
        let answer = self.connection.call(request.as_bytes())?;
        if !answer.is_success() {
            bail!("{method} {path} was answered with {}: {}", answer.status, answer.excerpt());
        }
        serde_json::from_slice(&answer.body).with_context(|| format!("{method} {path} was not answered with JSON"))
    }
}
