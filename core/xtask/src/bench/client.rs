//! A client that keeps its connection to one server: what is measured is the server, not the connecting.

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::http::{Answer, Connection};
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

    /// Calls an action.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub(crate) fn action(&mut self, name: &str, input: &Value) -> Result<Value> {
        self.post(&format!("/v1/actions/{name}"), &input.to_string())
    }

    /// Reads a resource that may not be there.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub(crate) fn find(&mut self, path: &str) -> Result<Option<Value>> {
        let answer = self.answer("GET", path, "")?;
        if answer.status == 404 { Ok(None) } else { told("GET", path, &answer).map(Some) }
    }

    fn call(&mut self, method: &str, path: &str, body: &str) -> Result<Value> {
        let answer = self.answer(method, path, body)?;
        told(method, path, &answer)
    }

    fn answer(&mut self, method: &str, path: &str, body: &str) -> Result<Answer> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\n{}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.head,
            body.len()
        );
        Ok(self.connection.call(request.as_bytes())?)
    }
}

/// The JSON of an answer of success.
fn told(method: &str, path: &str, answer: &Answer) -> Result<Value> {
    if !answer.is_success() {
        bail!("{method} {path} was answered with {}: {}", answer.status, answer.excerpt());
    }
    serde_json::from_slice(&answer.body).with_context(|| format!("{method} {path} was not answered with JSON"))
}
