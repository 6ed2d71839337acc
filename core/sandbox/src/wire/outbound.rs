//! HTTP calls and their answers as they pass between host and guest.

use wasmtime::component::{ComponentType, Lift, Lower};

use super::FIELD_BYTES;
use crate::host::{HttpReply, HttpRequest};

/// A header from a guest.
#[derive(Debug, Clone, ComponentType, Lift)]
#[component(record)]
pub(crate) struct InHeader {
    name: String,
    value: String,
}

/// A header on its way to a guest.
#[derive(Debug, Clone, ComponentType, Lower)]
#[component(record)]
pub(crate) struct OutHeader {
    name: String,
    value: String,
}

/// An HTTP call from a guest.
#[derive(Debug, Clone, ComponentType, Lift)]
#[component(record)]
pub(crate) struct InRequest {
    method: String,
    url: String,
    headers: Vec<InHeader>,
    body: Vec<u8>,
    secret: String,
    #[component(name = "secret-header")]
    secret_header: String,
    timeout: String,
    deadline: String,
    attempts: u32,
}

impl InRequest {
    /// The bytes that it costs the host.
    pub(crate) fn bytes(&self) -> usize {
        let headers: usize = self.headers.iter().map(|h| FIELD_BYTES + h.name.len() + h.value.len()).sum();
        let texts = [&self.method, &self.url, &self.secret, &self.secret_header, &self.timeout, &self.deadline];
        headers + self.body.len() + texts.into_iter().map(String::len).sum::<usize>()
    }
}

impl From<InRequest> for HttpRequest {
    fn from(request: InRequest) -> Self {
        let InRequest { method, url, headers, body, secret, secret_header, timeout, deadline, attempts } = request;
        let headers = headers.into_iter().map(|h| (h.name, h.value)).collect();
        Self { method, url, headers, body, secret, secret_header, timeout, deadline, attempts }
    }
}

/// The answer to an HTTP call, on its way to a guest.
#[derive(Debug, Clone, ComponentType, Lower)]
#[component(record)]
pub(crate) struct OutResponse {
    status: u16,
    headers: Vec<OutHeader>,
    body: Vec<u8>,
}

impl From<HttpReply> for OutResponse {
    fn from(HttpReply { status, headers, body }: HttpReply) -> Self {
        let headers = headers.into_iter().map(|(name, value)| OutHeader { name, value }).collect();
        Self { status, headers, body }
    }
}

impl OutResponse {
    /// The bytes that it costs a guest.
    pub(crate) fn bytes(&self) -> usize {
        let headers: usize = self.headers.iter().map(|h| FIELD_BYTES + h.name.len() + h.value.len()).sum();
        FIELD_BYTES + headers + self.body.len()
    }
}
