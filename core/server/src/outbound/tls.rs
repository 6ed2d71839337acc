//! TLS as this process speaks it: the roots of the system, ring, HTTP/1.1.

use std::sync::Arc;

use rapport_engine::Failure;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;

use super::failure::passing;

/// Speaks TLS. The system's roots are read at the first use, since most workspaces never need them.
#[derive(Default)]
pub(super) struct Tls(OnceCell<TlsConnector>);

impl Tls {
    /// What makes a connection secret where `connector` is used.
    #[cfg(test)]
    pub(super) fn with(connector: TlsConnector) -> Self {
        Self(OnceCell::new_with(Some(connector)))
    }

    /// What makes a connection secret.
    ///
    /// # Errors
    /// [`Failure`] `tls` if the system has no roots; the next call looks again.
    pub(super) async fn connector(&self) -> Result<&TlsConnector, Failure> {
        self.0.get_or_try_init(|| async { joined(tokio::task::spawn_blocking(connector).await) }).await
    }
}

fn joined(result: Result<Result<TlsConnector, Failure>, tokio::task::JoinError>) -> Result<TlsConnector, Failure> {
    result.unwrap_or_else(|_| Err(passing("tls", "the certificates of this system could not be read")))
}

/// Trusts whom this system trusts.
fn connector() -> Result<TlsConnector, Failure> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (taken, _) = roots.add_parsable_certificates(found.certs);
    if taken == 0 {
        let hint = "install the package ca-certificates, or name a file of them in SSL_CERT_FILE";
        return Err(passing("tls", format!("this system knows no certificate authority: {hint}")));
    }
    trusting(roots)
}

/// Trusts `roots`.
pub(super) fn trusting(roots: RootCertStore) -> Result<TlsConnector, Failure> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| passing("tls", e.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
