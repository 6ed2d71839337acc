//! Mail by TLS, from the start and by STARTTLS, to a server that an authority of the operator's own vouches for.
//!
//! `testdata` holds an authority made for these tests, and the certificate of 127.0.0.1 that it signed, with its key.

use std::sync::Arc;

use rapport_test_support::SmtpSink;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::tests::{message, settings};
use super::*;

const SERVER: &[u8] = include_bytes!("testdata/server.der");
const SERVER_KEY: &[u8] = include_bytes!("testdata/server.key.der");

fn acceptor() -> TlsAcceptor {
    let key = PrivateKeyDer::try_from(SERVER_KEY.to_vec()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![SERVER.to_vec().into()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Puts TLS before `sink`; the port of the guarded server.
async fn guarded(sink: &SmtpSink, security: EmailSecurity) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, inner) = (listener.local_addr().unwrap().port(), sink.address());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                // A client that does not trust us goes away in the midst.
                let _ = serve(stream, inner, security).await;
            });
        }
    });
    port
}

async fn serve(stream: TcpStream, inner: std::net::SocketAddr, security: EmailSecurity) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    if security == EmailSecurity::Starttls {
        stream.write_all(b"220 front\r\n").await?;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await?;
            match line.trim_end() {
                "STARTTLS" => break,
                "" => return Ok(()),
                hello if hello.starts_with("EHLO") => stream.write_all(b"250-front\r\n250 STARTTLS\r\n").await?,
                _ => stream.write_all(b"530 only after STARTTLS\r\n").await?,
            }
        }
        stream.write_all(b"220 go on\r\n").await?;
    }
    let mut secret = acceptor().accept(stream.into_inner()).await?;
    let mut behind = TcpStream::connect(inner).await?;
    if security == EmailSecurity::Starttls {
        // There is no second greeting.
        behind.read_exact(&mut [0; "220 sink\r\n".len()]).await?;
    }
    tokio::io::copy_bidirectional(&mut secret, &mut behind).await?;
    Ok(())
}

fn trusting(port: u16, security: EmailSecurity) -> EmailConfig {
    let ca_file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/outbound/mail/testdata/authority.pem").to_owned();
    EmailConfig { security, ca_file, timeout_ms: 20_000, ..settings(port) }
}

#[tokio::test]
async fn mail_goes_by_tls_to_a_server_that_a_named_authority_vouches_for() {
    for security in [EmailSecurity::Starttls, EmailSecurity::Tls] {
        let sink = SmtpSink::start().await;
        let port = guarded(&sink, security).await;
        let reply = Mail::new(&trusting(port, security)).unwrap().send(&message()).await.unwrap();
        assert_eq!((reply.status, reply.body.as_slice()), (250, &b"2.0.0 taken"[..]));
        assert_eq!(sink.mails()[0].to, ["ada@example.org"], "{security:?}");
    }
}

#[tokio::test]
async fn a_server_that_nobody_trusted_vouches_for_gets_no_mail() {
    for security in [EmailSecurity::Starttls, EmailSecurity::Tls] {
        let sink = SmtpSink::start().await;
        let port = guarded(&sink, security).await;
        let strange = EmailConfig { ca_file: String::new(), ..trusting(port, security) };
        let other = EmailConfig { smtp_host: "localhost".into(), ..trusting(port, security) };
        for config in [strange, other] {
            let failure = Mail::new(&config).unwrap().send(&message()).await.unwrap_err();
            assert_eq!((failure.code.as_str(), failure.retryable), ("tls", true), "{failure}");
        }
        assert!(sink.mails().is_empty());
    }
}

#[test]
fn a_file_of_authorities_that_is_none_is_named() {
    let refusal = |file: &str| {
        let config = EmailConfig { ca_file: file.to_owned(), ..trusting(465, EmailSecurity::Tls) };
        Mail::new(&config).err().unwrap().to_string()
    };
    assert!(refusal("/nowhere/ca.pem").contains("email.ca_file names `/nowhere/ca.pem`"));
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    assert!(refusal(own).contains("holds no certificate"), "{}", refusal(own));
}
