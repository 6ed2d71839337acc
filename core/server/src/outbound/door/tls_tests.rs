//! The door by TLS: whom it trusts, and that the name is what counts, wherever it leads.
//!
//! `testdata` holds an authority made for these tests, and the certificate of `api.example` that it signed, with its key.

use std::sync::{Arc, Mutex};

use rustls::pki_types::PrivateKeyDer;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::super::request::RequestBuilder;
use super::super::tls::trusting;
use super::*;

const AUTHORITY: &[u8] = include_bytes!("testdata/authority.der");
const SERVER: &[u8] = include_bytes!("testdata/server.der");
const SERVER_KEY: &[u8] = include_bytes!("testdata/server.key.der");

/// A server of `api.example` on a port of 127.0.0.1, and the names that it was asked for.
async fn server() -> (u16, Arc<Mutex<Vec<String>>>) {
    let key = PrivateKeyDer::try_from(SERVER_KEY.to_vec()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![SERVER.to_vec().into()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let names = Arc::new(Mutex::new(Vec::new()));
    let asked = Arc::clone(&names);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            asked.lock().unwrap().extend(stream.get_ref().1.server_name().map(str::to_owned));
            let _ = stream.read(&mut [0; 4_096]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            let _ = stream.shutdown().await;
        }
    });
    (port, names)
}

/// A door that trusts the authority of these tests, where every name is 127.0.0.1.
fn door(tls: Tls) -> Door {
    let allow_addresses = vec!["127.0.0.1".parse().unwrap()];
    let here = Resolver::new(|_| Box::pin(async { Ok(vec![IpAddr::from([127, 0, 0, 1])]) }));
    Door { config: OutboundConfig { allow_addresses, ..OutboundConfig::default() }, resolver: here, tls }
}

fn known() -> Tls {
    let mut roots = RootCertStore::empty();
    roots.add(AUTHORITY.to_vec().into()).unwrap();
    Tls::with(trusting(roots).unwrap())
}

async fn get(door: &Door, url: &str) -> Result<Reply, Failure> {
    let target = Target::parse(url)?;
    let request = RequestBuilder::new("GET", &[])?.build(&target, Vec::new())?;
    let timeout = Duration::from_secs(20);
    door.pass(Passage { target: &target, request, freight: Freight::Secret, timeout }).await
}

#[tokio::test]
async fn a_server_is_asked_for_by_name_and_must_prove_it() {
    let (port, names) = server().await;
    let door = door(known());
    let reply = get(&door, &format!("https://api.example:{port}/")).await.unwrap();
    assert_eq!((reply.status, reply.body.as_slice()), (200, &b"ok"[..]));
    assert_eq!(*names.lock().unwrap(), ["api.example"]);
    for other in ["https://other.example", "https://a.api.example", "https://127.0.0.1"] {
        let failure = get(&door, &format!("{other}:{port}/")).await.unwrap_err();
        assert_eq!((failure.code.as_str(), failure.retryable), ("tls", true), "{failure}");
    }
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_not_spoken_to() {
    let (port, names) = server().await;
    let stranger = Tls::with(trusting(RootCertStore::empty()).unwrap());
    for tls in [stranger, Tls::default()] {
        let failure = get(&door(tls), &format!("https://api.example:{port}/")).await.unwrap_err();
        assert_eq!(failure.code, "tls", "{failure}");
    }
    assert!(names.lock().unwrap().is_empty());
}
