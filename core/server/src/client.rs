//! The command line's client of the HTTP API: blocking, small, to servers that the person named.

use std::fmt::Write as _;
use std::io::Read;
use std::time::Duration;

use serde_json::Value as Json;
use ureq::http::{Method, Request, Response};
use ureq::{Agent, Body};

use crate::cli::Failure;

/// How long a connection may take to come about.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// A pooled connection older than this is not used again: the server may have closed it.
const IDLE_MAX: Duration = Duration::from_secs(5);
/// The largest answer taken into memory, in bytes.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// A client of one server.
pub struct Client {
    agent: Agent,
    server: String,
    key: Option<String>,
}

/// A request to be sent.
#[derive(Debug, Clone, Default)]
pub struct Call<'a> {
    /// The path with its query.
    pub path: String,
    /// The body, if there is one.
    pub body: Option<&'a [u8]>,
    /// The body's media type.
    pub media: &'a str,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
}

impl Client {
    /// A client of `server` with `key`.
    ///
    /// # Errors
    /// [`Failure::Usage`] if the address is none of plain HTTP.
    pub fn new(server: &str, key: Option<String>) -> Result<Self, Failure> {
        let server = server.trim_end_matches('/');
        if server.starts_with("https://") {
            let hint = "this client speaks plain HTTP: name the server's own address, or a proxy on this machine";
            return Err(Failure::Usage(format!("`{server}`: {hint}")));
        }
        let server = if server.contains("://") { server.to_owned() } else { format!("http://{server}") };
        if !server.starts_with("http://") {
            return Err(Failure::Usage(format!("`{server}` is not an address such as http://127.0.0.1:8080")));
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // The key must go where the person said and nowhere else.
            .proxy(None)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT_MAX))
            .max_idle_age(IDLE_MAX)
            .user_agent(concat!("rapport/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self { agent: config.new_agent(), server, key })
    }

    /// The address of the server.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Gets JSON.
    ///
    /// # Errors
    /// [`Failure`] if the server cannot be reached or refuses.
    pub fn get(&self, path: &str) -> Result<Json, Failure> {
        self.json(&Method::GET, &Call { path: path.to_owned(), ..Call::default() })
    }

    /// Posts JSON and gets JSON.
    ///
    /// # Errors
    /// [`Failure`] if the server cannot be reached or refuses.
    pub fn post(&self, path: &str, body: &Json) -> Result<Json, Failure> {
        let body = body.to_string();
        let call =
            Call { path: path.to_owned(), body: Some(body.as_bytes()), media: "application/json", ..Call::default() };
        self.json(&Method::POST, &call)
    }

    /// Deletes.
    ///
    /// # Errors
    /// [`Failure`] if the server cannot be reached or refuses.
    pub fn delete(&self, path: &str) -> Result<(), Failure> {
        self.json(&Method::DELETE, &Call { path: path.to_owned(), ..Call::default() }).map(|_| ())
    }

    /// Sends `call` and reads the answer as JSON; null if it is empty.
    ///
    /// # Errors
    /// [`Failure`] if the server cannot be reached, refuses, or answers something else.
    pub fn json(&self, method: &Method, call: &Call<'_>) -> Result<Json, Failure> {
        let mut response = self.send(method, call)?;
        let bytes = self.whole(&mut response)?;
        if bytes.is_empty() {
            return Ok(Json::Null);
        }
        serde_json::from_slice(&bytes).map_err(|_| self.broken("the answer is not JSON: is this a Rapport server?"))
    }

    /// Sends a get request and hands over the answer's body to be read piece by piece.
    ///
    /// # Errors
    /// [`Failure`] if the server cannot be reached or refuses.
    pub fn stream(&self, call: &Call<'_>) -> Result<impl Read + use<>, Failure> {
        let response = self.send(&Method::GET, call)?;
        Ok(response.into_body().into_with_config().limit(u64::MAX).reader())
    }

    fn send(&self, method: &Method, call: &Call<'_>) -> Result<Response<Body>, Failure> {
        let mut request = Request::builder().method(method).uri(format!("{}{}", self.server, call.path));
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        let wrong = |e: ureq::http::Error| Failure::Usage(format!("`{}{}`: {e}", self.server, call.path));
        let sent = match call.body {
            Some(body) => {
                let request = request.header("content-type", call.media).body(body).map_err(wrong)?;
                self.agent.run(request)
            }
            None => self.agent.run(request.body(()).map_err(wrong)?),
        };
        let mut response = sent.map_err(|e| self.broken(&e.to_string()))?;
        let status = response.status().as_u16();
        if status < 400 {
            return Ok(response);
        }
        let bytes = self.whole(&mut response)?;
        Err(Failure::Refused(status, serde_json::from_slice(&bytes).unwrap_or(Json::Null)))
    }

    fn whole(&self, response: &mut Response<Body>) -> Result<Vec<u8>, Failure> {
        let read = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        read.map_err(|e| self.broken(&e.to_string()))
    }

    fn broken(&self, why: &str) -> Failure {
        Failure::Unreachable { server: self.server.clone(), why: why.to_owned() }
    }
}

/// A path with its query, every part encoded.
#[derive(Debug, Clone)]
pub struct Address(String);

impl Address {
    /// An address from parts of a path.
    #[must_use]
    pub fn of(parts: &[&str]) -> Self {
        let mut text = String::new();
        for part in parts {
            text.push('/');
            encode(part, &mut text);
        }
        Self(text)
    }

    /// The address with a parameter, if there is a value for it.
    #[must_use]
    pub fn query(mut self, name: &str, value: Option<&str>) -> Self {
        if let Some(value) = value {
            self.0.push(if self.0.contains('?') { '&' } else { '?' });
            self.0.push_str(name);
            self.0.push('=');
            encode(value, &mut self.0);
        }
        self
    }

    /// The text.
    #[must_use]
    pub fn text(self) -> String {
        self.0
    }
}

fn encode(part: &str, to: &mut String) {
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b':') {
            to.push(char::from(byte));
        } else {
            let _ = write!(to, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_an_address_is_encoded() {
        let address = Address::of(&["v1", "records", "customer", "email:a/b+c@d"])
            .query("where", Some("a == 'é' && b"))
            .query("order", None)
            .query("limit", Some("5"));
        let want = "/v1/records/customer/email:a%2Fb%2Bc%40d?where=a%20%3D%3D%20%27%C3%A9%27%20%26%26%20b&limit=5";
        assert_eq!(address.text(), want);
    }

    #[test]
    fn a_server_is_plain_http() {
        assert_eq!(Client::new("127.0.0.1:8080/", None).unwrap().server(), "http://127.0.0.1:8080");
        for bad in ["https://crm.example", "ftp://crm.example"] {
            assert!(matches!(Client::new(bad, None), Err(Failure::Usage(_))), "{bad}");
        }
    }

    #[test]
    fn a_server_that_is_not_there_is_unreachable() {
        // Port 9 of the loopback is the discard service, which nobody runs.
        let client = Client::new("http://127.0.0.1:9", None).unwrap();
        assert!(matches!(client.get("/healthz"), Err(Failure::Unreachable { .. })));
    }
}
