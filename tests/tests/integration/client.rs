//! A client of HTTP/1.1 that sends exactly what a story says, hostile things included.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long an answer may take before the story fails.
const ANSWER_MAX: Duration = Duration::from_mins(1);

/// Someone with a key who knows the address.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) address: String,
    pub(crate) key: Option<String>,
}

/// A request that is not sent yet.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn new(method: &str, path: &str) -> Self {
        Self { method: method.to_owned(), path: path.to_owned(), headers: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn body(mut self, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("content-type", kind)
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    fn bytes(&self, client: &Client) -> Vec<u8> {
        let mut text =
            format!("{} {} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.method, self.path, client.address);
        if let Some(key) = &client.key {
            let _ = write!(text, "authorization: Bearer {key}\r\n");
        }
        for (name, value) in &self.headers {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        let _ = write!(text, "content-length: {}\r\n\r\n", self.body.len());
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

impl Client {
    /// The same client with another key.
    pub(crate) fn with_key(&self, key: &str) -> Self {
        Self { address: self.address.clone(), key: Some(key.to_owned()) }
    }

    /// The same client without a key.
    pub(crate) fn without_key(&self) -> Self {
        Self { address: self.address.clone(), key: None }
    }

    pub(crate) async fn send(&self, request: Request) -> Reply {
        let bytes = request.bytes(self);
        let what = format!("{} {}", request.method, request.path.chars().take(200).collect::<String>());
        let answer = tokio::time::timeout(ANSWER_MAX, self.exchange(&bytes)).await;
        let raw =
            answer.unwrap_or_else(|_| panic!("{what} got no answer in time")).unwrap_or_else(|e| panic!("{what}: {e}"));
        Reply::parse(&raw).unwrap_or_else(|| panic!("{what}: no HTTP: {:?}", String::from_utf8_lossy(&raw)))
    }

    /// As [`Self::send`], but none if the connection breaks: for servers that are being killed.
    pub(crate) async fn try_send(&self, request: Request) -> Option<Reply> {
        let bytes = request.bytes(self);
        let raw = tokio::time::timeout(ANSWER_MAX, self.exchange(&bytes)).await.ok()?.ok()?;
        Reply::parse(&raw)
    }

    /// Sends raw bytes and returns what comes back until the server closes. What was answered before a reset counts.
    pub(crate) async fn exchange(&self, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let (mut reading, mut writing) = stream.into_split();
        let sent = async { writing.write_all(bytes).await };
        let answered = async {
            let mut raw = Vec::new();
            let mut part = vec![0; 16_384];
            loop {
                match reading.read(&mut part).await {
                    Ok(0) => return Ok(raw),
                    Ok(n) => raw.extend_from_slice(&part[..n]),
                    Err(_) if !raw.is_empty() => return Ok(raw),
                    Err(error) => return Err(error),
                }
            }
        };
        // The server may answer and close before it has read everything: that is an answer, too.
        let (_, raw) = tokio::join!(sent, answered);
        raw
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Request::new("GET", path)).await
    }

    pub(crate) async fn get_owned(&self, path: String) -> Reply {
        self.get(&path).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(Request::new("POST", path).json(&body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Reply {
        self.send(Request::new("PUT", path).json(&body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Reply {
        self.send(Request::new("PATCH", path).json(&body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send(Request::new("DELETE", path)).await
    }

    /// Posts lines of JSON.
    pub(crate) async fn ndjson(&self, path: &str, lines: &[String]) -> Reply {
        self.send(Request::new("POST", path).body("application/x-ndjson", lines.join("\n"))).await
    }

    /// Opens the event stream and leaves it open.
    pub(crate) async fn stream(&self, path: &str, last_event_id: Option<&str>) -> EventStream {
        let mut request = Request::new("GET", path).header("accept", "text/event-stream");
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        stream.write_all(&request.bytes(self)).await.unwrap();
        EventStream { stream, seen: String::new(), at: 0 }
    }
}

/// An open stream of server-sent events.
#[derive(Debug)]
pub(crate) struct EventStream {
    stream: TcpStream,
    seen: String,
    at: usize,
}

impl EventStream {
    /// Waits until the server has answered that it streams: what is committed from now on will be seen.
    pub(crate) async fn begun(&mut self) {
        while !self.seen.contains("\r\n\r\n") {
            self.read_more().await;
        }
        assert!(self.seen.starts_with("HTTP/1.1 200"), "{}", self.seen);
    }

    async fn read_more(&mut self) {
        let mut part = vec![0; 4096];
        let read =
            tokio::time::timeout(ANSWER_MAX, self.stream.read(&mut part)).await.expect("nothing came in time").unwrap();
        assert!(read > 0, "the stream ended after {:?}", self.seen);
        // The frames of chunked transfer stand on lines of their own and look like no field of an event.
        self.seen.push_str(&String::from_utf8_lossy(&part[..read]));
    }

    /// The id and data of the next event.
    pub(crate) async fn next(&mut self) -> (String, Value) {
        loop {
            if let Some(event) = self.take() {
                return event;
            }
            self.read_more().await;
        }
    }

    fn take(&mut self) -> Option<(String, Value)> {
        let rest = &self.seen[self.at..];
        let data = rest.find("data:").filter(|i| rest[*i..].contains('\n'))?;
        let line_end = data + rest[data..].find('\n')?;
        let id = rest[..data]
            .lines()
            .filter_map(|l| l.strip_prefix("id:"))
            .next_back()
            .unwrap_or_default()
            .trim()
            .to_owned();
        let value = serde_json::from_str(rest[data + 5..line_end].trim()).ok()?;
        self.at += line_end;
        Some((id, value))
    }
}

impl Reply {
    fn parse(raw: &[u8]) -> Option<Self> {
        let split = raw.windows(4).position(|w| w == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&raw[..split]).into_owned();
        let mut lines = head.lines();
        let status: u16 = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        if status == 100 {
            return Self::parse(&raw[split + 4..]);
        }
        let headers: Vec<(String, String)> = lines
            .filter_map(|l| l.split_once(':'))
            .map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_owned()))
            .collect();
        let chunked = headers.iter().any(|(n, v)| n == "transfer-encoding" && v == "chunked");
        let body = &raw[split + 4..];
        Some(Self { status, headers, body: if chunked { unchunked(body)? } else { body.to_vec() } })
    }

    /// Fails the story, with the answer in the message, unless the status is `status`.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// The stable code of a problem.
    #[track_caller]
    pub(crate) fn code(&self) -> String {
        let problem = self.json();
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{problem}");
        problem["code"].as_str().unwrap_or_else(|| panic!("no code: {problem}")).to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The items of a page.
    #[track_caller]
    pub(crate) fn items(&self) -> Vec<Value> {
        let page = self.json();
        page["items"].as_array().unwrap_or_else(|| panic!("no items: {page}")).clone()
    }
}

fn unchunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line_end = rest.windows(2).position(|w| w == b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..line_end]).ok()?.split(';').next()?, 16).ok()?;
        rest = &rest[line_end + 2..];
        if length == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..length)?);
        rest = rest.get(length + 2..)?;
    }
}

/// `path?name=value&…` with every value escaped.
pub(crate) fn with_query(path: &str, pairs: &[(&str, &str)]) -> String {
    let mut text = path.to_owned();
    for (i, (name, value)) in pairs.iter().enumerate() {
        text.push(if i == 0 { '?' } else { '&' });
        text.push_str(name);
        text.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                text.push(char::from(byte));
            } else {
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    text
}
