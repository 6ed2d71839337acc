//! Calls other systems through the host's one door.
//!
//! A call waits for its answer as the calls of [`crate::flow`] do: the slice is committed, the call is made at least once, each
//! time with the same `Idempotency-Key`, and the handler goes on when the answer is there. Rights: `http:HOST`, and
//! `secret:NAME` for a secret that goes along; the plugin never sees its value.
//!
//! ```
//! use rapport_sdk::{fake, http};
//!
//! fake::reset();
//! fake::answer_call(http::Response { status: 201, body: br#"{"id": "re_1"}"#.to_vec(), ..Default::default() });
//! let answer = http::post("https://api.payments.example/refunds").secret("payments").json(r#"{"order": "1"}"#).call().unwrap();
//! assert_eq!((answer.status, answer.text().as_str()), (201, r#"{"id": "re_1"}"#));
//! ```

use crate::Error;
use crate::bindings::rapport::plugin::http as wire;
use crate::door::http as door;

/// A call to be made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use = "a request is made by `call`"]
pub struct Request {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    secret: String,
    secret_header: String,
    timeout: String,
    deadline: String,
    attempts: u32,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Begins a `GET`.
pub fn get(url: &str) -> Request {
    Request::new("GET", url)
}

/// Begins a `POST`.
pub fn post(url: &str) -> Request {
    Request::new("POST", url)
}

impl Request {
    /// Begins a call with a method of its own.
    pub fn new(method: &str, url: &str) -> Self {
        Self { method: method.into(), url: url.into(), ..Self::default() }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sends these bytes.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends this JSON text, and says so.
    pub fn json(self, json: &str) -> Self {
        self.header("content-type", "application/json").body(json)
    }

    /// Sends a secret along, as a bearer token.
    pub fn secret(mut self, name: &str) -> Self {
        self.secret = name.into();
        self
    }

    /// Sends a secret along in this header.
    pub fn secret_in(mut self, name: &str, header: &str) -> Self {
        (self.secret, self.secret_header) = (name.into(), header.into());
        self
    }

    /// How long one attempt may take, such as `10 seconds`.
    pub fn timeout(mut self, span: &str) -> Self {
        self.timeout = span.into();
        self
    }

    /// How long to go on trying, such as `1 hour`.
    pub fn deadline(mut self, span: &str) -> Self {
        self.deadline = span.into();
        self
    }

    /// How often it is tried at most.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Makes the call and waits for its answer, whatever its status.
    ///
    /// # Errors
    /// `denied` without the right; `timeout`, `unreachable` and the like if there was no answer in the end.
    pub fn call(self) -> Result<Response, Error> {
        let headers = self.headers.into_iter().map(|(name, value)| wire::Header { name, value }).collect();
        let request = wire::Request {
            method: self.method,
            url: self.url,
            headers,
            body: self.body,
            secret: self.secret,
            secret_header: self.secret_header,
            timeout: self.timeout,
            deadline: self.deadline,
            attempts: self.attempts,
        };
        let wire::Response { status, headers, body } = door::call(&request)?;
        Ok(Response { status, headers: headers.into_iter().map(|h| (h.name, h.value)).collect(), body })
    }
}

impl Response {
    /// The body as text; what is no UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header, if there is one of that name (in lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}
