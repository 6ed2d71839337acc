//! The one door for HTTP: nothing else in the server dials for an automation or a webhook.
//!
//! ```text
//! URL ──resolve──▶ addresses ──every one public or allowed──▶ dial exactly these ──TLS by name──▶ one request, one answer
//!                      └──any other──▶ refused_address
//! ```
//! A name is looked up once, so that name servers which change their mind find nobody asking. An answer that leads elsewhere (3xx) is
//! an answer. No proxy of the environment is used, nothing is unpacked, and the time counts from the first step to the last byte.

use std::net::IpAddr;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rapport_engine::{Failure, Reply};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::failure::{passing, permanent, timeout};
use super::network::special;
use super::request::Outgoing;
use super::resolver::Resolver;
use super::target::{Scheme, Target};
use super::tls::Tls;
use crate::config::OutboundConfig;

/// Headers of one answer.
const HEADERS_MAX: usize = 100;
/// The least that the head of an answer may be limited to: the library's own bound.
const HEAD_BYTES_MIN: usize = 8_192;
/// The longest that anybody is waited for.
const TIMEOUT_MAX: Duration = Duration::from_hours(1);
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;

/// The one door.
pub(super) struct Door {
    config: OutboundConfig,
    resolver: Resolver,
    tls: Tls,
}

/// What a call carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freight {
    /// What anybody may read.
    Plain,
    /// A secret: only by TLS, or to a network that the operator allows by name.
    Secret,
}

/// A call through the door.
pub(super) struct Passage<'a> {
    pub(super) target: &'a Target,
    pub(super) request: Outgoing,
    pub(super) freight: Freight,
    /// From now to the last byte of the answer.
    pub(super) timeout: Duration,
}

impl Door {
    pub(super) fn new(config: OutboundConfig, resolver: Resolver) -> Self {
        Self { config, resolver, tls: Tls::default() }
    }

    /// Whether anything passes at all.
    ///
    /// # Errors
    /// [`Failure`] `disabled` if nothing does.
    pub(super) fn open(&self) -> Result<(), Failure> {
        if self.config.enabled {
            return Ok(());
        }
        Err(permanent("disabled", "nothing leaves by HTTP here: the operator has set outbound.enabled to false"))
    }

    /// Sends the request and reads the whole answer.
    ///
    /// # Errors
    /// [`Failure`] if there was no answer, or none that is wanted here.
    pub(super) async fn pass(&self, passage: Passage<'_>) -> Result<Reply, Failure> {
        self.open()?;
        let (whom, limit) = (passage.target.destination(), passage.timeout.min(TIMEOUT_MAX));
        let deadline = Instant::now() + limit;
        let attempt = self.attempt(passage, deadline);
        tokio::time::timeout_at(deadline, attempt).await.unwrap_or_else(|_| Err(timeout(&whom, limit)))
    }

    async fn attempt(&self, passage: Passage<'_>, deadline: Instant) -> Result<Reply, Failure> {
        let Passage { target, request, freight, .. } = passage;
        let addresses = self.addresses(target).await?;
        if freight == Freight::Secret && target.scheme == Scheme::Http {
            self.check_clear_text(target, &addresses)?;
        }
        let stream = dial(target, &addresses, deadline).await?;
        if target.scheme == Scheme::Http {
            return self.speak(stream, target, request).await;
        }
        let failed = |why: String| passing("tls", format!("`{}`: TLS: {why}", target.destination()));
        let name = ServerName::try_from(target.name()).map_err(|e| failed(e.to_string()))?;
        let connector = self.tls.connector().await?;
        let stream = connector.connect(name, stream).await.map_err(|e| failed(e.to_string()))?;
        self.speak(stream, target, request).await
    }

    /// The addresses of the target. One that is not to be called makes the name suspect, and none is.
    async fn addresses(&self, target: &Target) -> Result<Vec<IpAddr>, Failure> {
        let mut found = match target.address() {
            Some(address) => vec![address],
            None => self.resolve(&target.name()).await?,
        };
        for address in &found {
            if let Some(what) = special(*address).filter(|_| !self.allowed(*address)) {
                // Scripts learn what kind of address it is, not which: they must not map the network.
                tracing::info!(destination = target.destination(), %address, "a call to {address} was refused: {what}");
                let hint = "the operator can allow it in outbound.allow_addresses";
                let message = format!("`{}` leads to {what}: {hint}", target.destination());
                return Err(permanent("refused_address", message));
            }
        }
        found.truncate(ADDRESSES_MAX);
        Ok(found)
    }

    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, Failure> {
        let found = self.resolver.resolve(name).await;
        let found = found.map_err(|e| passing("unresolved", format!("`{name}` has no address: {e}")))?;
        if found.is_empty() {
            return Err(passing("unresolved", format!("`{name}` has no address")));
        }
        Ok(found)
    }

    fn allowed(&self, address: IpAddr) -> bool {
        self.config.allow_addresses.iter().any(|network| network.contains(address))
    }

    fn check_clear_text(&self, target: &Target, addresses: &[IpAddr]) -> Result<(), Failure> {
        if addresses.iter().all(|address| self.allowed(*address)) {
            return Ok(());
        }
        let hint = "write https, or let the operator allow the address in outbound.allow_addresses";
        let message = format!("no secret goes to `{}` in clear text: {hint}", target.destination());
        Err(permanent("secret_host", message))
    }

    /// One request and its answer over a connection that both end with.
    async fn speak<S>(&self, stream: S, target: &Target, request: Outgoing) -> Result<Reply, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let whom = target.destination();
        let mut speaker = http1::Builder::new();
        let head_bytes_max = self.config.head_bytes_max.max(HEAD_BYTES_MIN);
        speaker.max_header_size(head_bytes_max).max_buf_size(head_bytes_max).max_headers(HEADERS_MAX);
        let handshake = speaker.handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|e| broken(&whom, &e))?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(|e| broken(&whom, &e))?;
            self.collect(&whom, response).await
        };
        // Both in one future: when the time is up, dropping it closes the connection at once.
        let mut exchange = std::pin::pin!(exchange);
        tokio::select! {
            reply = &mut exchange => return reply,
            _ = connection => {}
        }
        exchange.await
    }

    /// The whole answer, if it is not too long.
    async fn collect(&self, whom: &str, response: Response<Incoming>) -> Result<Reply, Failure> {
        let (head, mut body) = response.into_parts();
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let headers = head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value.as_bytes())));
        let mut reply = Reply { status: head.status.as_u16(), headers: headers.collect(), body: Vec::new() };
        let max = self.config.body_bytes_max;
        let promised = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if promised > max {
            return Err(too_large(whom, max, &reply));
        }
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|e| broken(whom, &e))?.into_data() else { continue };
            if reply.body.len() + data.len() > max {
                return Err(too_large(whom, max, &reply));
            }
            reply.body.extend_from_slice(&data);
        }
        Ok(reply)
    }
}

/// Connects to the first of `addresses` that takes it, each given its share of the time that is left.
async fn dial(target: &Target, addresses: &[IpAddr], deadline: Instant) -> Result<TcpStream, Failure> {
    let whom = target.destination();
    let mut why = "nobody answers".to_owned();
    for (tried, address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        match tokio::time::timeout(share, TcpStream::connect((*address, target.port))).await {
            Ok(Ok(stream)) => {
                // Only a matter of speed.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => why = error.to_string(),
            Err(_) => "nobody answers".clone_into(&mut why),
        }
    }
    Err(passing("unreachable", format!("`{whom}` cannot be reached: {why}")))
}

fn broken(whom: &str, error: &hyper::Error) -> Failure {
    if error.is_parse_too_large() {
        return permanent("too_large", format!("`{whom}` answered with a head that is too long"));
    }
    let why = if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        "it closed the connection before its answer was whole".to_owned()
    } else {
        error.to_string()
    };
    passing("broken_answer", format!("`{whom}` gave no answer: {why}"))
}

/// An answer that is too long. One that says "later" is worth another attempt all the same.
fn too_large(whom: &str, max: usize, reply: &Reply) -> Failure {
    let message = format!("`{whom}` answered {} with more than {max} bytes", reply.status);
    let later = matches!(reply.status, 429 | 503);
    let seconds = reply.headers.iter().find(|(name, _)| name == "retry-after").and_then(|(_, v)| v.parse().ok());
    let retry_after = seconds.filter(|_| later).map(Duration::from_secs);
    Failure { retryable: later, retry_after, ..permanent("too_large", message) }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;
