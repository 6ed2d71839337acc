//! An HTTP server on a free loopback port that records what it gets and answers as a test tells it.
//!
//! ```no_run
//! # use rapport_test_support::{Answer, HttpSink};
//! # use std::time::Duration;
//! # async fn story() {
//! let sink = HttpSink::start().await;
//! // The first two requests are answered by the script, all later ones by the default (200 without a body).
//! sink.script([Answer::status(503).header("retry-after", "1"), Answer::json(200, r#"{"paid": true}"#)]);
//! let url = sink.url("/pay");
//! // … make the server call `url`; its configuration needs `outbound.allow_addresses = ["127.0.0.1/32"]`.
//! let seen = sink.wait_for(2, Duration::from_secs(5)).await;
//! assert_eq!(seen[0].header("idempotency-key"), seen[1].header("idempotency-key"));
//! # }
//! ```
//! Answers of the script are taken in the order in which requests have arrived whole. Every connection carries one request. The sink
//! stops when its last clone is dropped. It speaks plain HTTP/1.1 with bodies of a given length, as the outbound door sends them.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

#[cfg(test)]
mod tests;

/// A request as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The path and query, as sent.
    pub target: String,
    /// The headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// The first header `name` (in lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    ///
    /// # Panics
    /// If it is no UTF-8.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is UTF-8")
    }
}

/// How a request is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// With a status, headers and a body; `content-length` and `connection: close` are added.
    Reply {
        /// The status.
        status: u16,
        /// Further headers.
        headers: Vec<(String, String)>,
        /// The body.
        body: Vec<u8>,
    },
    /// With these bytes and nothing else, then the connection closes: for what no decent server sends.
    Raw(Vec<u8>),
    /// With status 200 and, as body, the request itself: its line, its headers and its body. Its headers come back as `x-echo-…`, too.
    Echo,
    /// With a head that promises a thousand bytes, and then one byte at a time, this long apart, for as long as the client stays, also after the thousandth.
    Drip(Duration),
    /// Never: the connection stays open until the client or the sink goes.
    Hang,
    /// By closing the connection.
    Close,
}

impl Answer {
    /// A status without a body.
    #[must_use]
    pub const fn status(status: u16) -> Self {
        Self::Reply { status, headers: Vec::new(), body: Vec::new() }
    }

    /// A status with a body of JSON.
    #[must_use]
    pub fn json(status: u16, body: &str) -> Self {
        Self::status(status).header("content-type", "application/json").body(body)
    }

    /// The same reply with one more header. Other kinds of answers stay as they are.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Self::Reply { headers, .. } = &mut self {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// The same reply with this body. Other kinds of answers stay as they are.
    #[must_use]
    pub fn body(mut self, text: impl Into<Vec<u8>>) -> Self {
        if let Self::Reply { body, .. } = &mut self {
            *body = text.into();
        }
        self
    }
}

/// The server.
#[derive(Debug, Clone)]
pub struct HttpSink {
    address: SocketAddr,
    state: Arc<State>,
    _server: Arc<Running>,
}

#[derive(Debug)]
struct State {
    script: Mutex<Script>,
    requests: Mutex<Vec<Request>>,
    count: watch::Sender<usize>,
}

#[derive(Debug)]
struct Script {
    next: VecDeque<Answer>,
    otherwise: Answer,
}

/// Ends the server with its last owner.
#[derive(Debug)]
struct Running(JoinHandle<()>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl HttpSink {
    /// Starts one on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// If no port is free.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let script = Mutex::new(Script { next: VecDeque::new(), otherwise: Answer::status(200) });
        let state = Arc::new(State { script, requests: Mutex::default(), count: watch::Sender::new(0) });
        let server = tokio::spawn(accept(listener, Arc::clone(&state)));
        Self { address, state, _server: Arc::new(Running(server)) }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of `path`, which begins with `/`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Adds answers for the requests to come, one each.
    pub fn script(&self, answers: impl IntoIterator<Item = Answer>) {
        locked(&self.state.script).next.extend(answers);
    }

    /// Answers so whenever the script is at its end.
    pub fn otherwise(&self, answer: Answer) {
        locked(&self.state.script).otherwise = answer;
    }

    /// Every request so far, in order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        locked(&self.state.requests).clone()
    }

    /// Waits until `count` requests have arrived, and gives all there are.
    ///
    /// # Panics
    /// If there are fewer after `within`.
    pub async fn wait_for(&self, count: usize, within: Duration) -> Vec<Request> {
        let mut seen = self.state.count.subscribe();
        let arrived = tokio::time::timeout(within, seen.wait_for(|n| *n >= count)).await.is_ok();
        let requests = self.requests();
        assert!(arrived, "{} requests after {within:?}, not {count}: {requests:?}", requests.len());
        requests
    }
}

/// A test that fails in another thread must not hide what happened here.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    // Dropped with this task, and with it every connection.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        connections.spawn(async move {
            // A client that goes away in the midst is part of many tests.
            let _ = serve(stream, &state).await;
        });
    }
}

async fn serve(stream: TcpStream, state: &State) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let Some(request) = read(&mut stream).await? else { return Ok(()) };
    let answer = {
        let mut script = locked(&state.script);
        let next = script.next.pop_front();
        let mut requests = locked(&state.requests);
        requests.push(request.clone());
        state.count.send_replace(requests.len());
        next.unwrap_or_else(|| script.otherwise.clone())
    };
    reply(&mut stream, answer, &request).await
}

async fn read(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return Ok(None) };
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, v)| v.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await?;
    Ok(Some(Request { method, target, headers, body }))
}

async fn reply(stream: &mut BufReader<TcpStream>, answer: Answer, request: &Request) -> std::io::Result<()> {
    match answer {
        Answer::Reply { status, headers, body } => stream.write_all(&plain(status, &headers, &body)).await?,
        Answer::Raw(bytes) => stream.write_all(&bytes).await?,
        Answer::Echo => stream.write_all(&echo(request)).await?,
        Answer::Drip(every) => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await?;
            loop {
                stream.write_all(b".").await?;
                tokio::time::sleep(every).await;
            }
        }
        Answer::Hang => {
            // Until the client closes.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
        Answer::Close => return Ok(()),
    }
    stream.shutdown().await
}

fn plain(status: u16, headers: &[(String, String)], body: &[u8]) -> Vec<u8> {
    let lines: String = headers.iter().flat_map(|(name, value)| [name, ": ", value, "\r\n"]).collect();
    let own = format!("HTTP/1.1 {status} Scripted\r\ncontent-length: {}\r\nconnection: close\r\n", body.len());
    [own.as_bytes(), lines.as_bytes(), b"\r\n", body].concat()
}

fn echo(request: &Request) -> Vec<u8> {
    let line = format!("{} {}\n", request.method, request.target);
    let lines: String = request.headers.iter().flat_map(|(name, value)| [name, ": ", value, "\n"]).collect();
    let headers = request.headers.iter().map(|(name, value)| (format!("x-echo-{name}"), value.clone()));
    let body = [line.as_bytes(), lines.as_bytes(), b"\n", &request.body].concat();
    plain(200, &headers.collect::<Vec<_>>(), &body)
}
