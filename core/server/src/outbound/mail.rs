//! Mail by SMTP: what a message looks like as MIME, and how one is handed to the operator's server.
//!
//! The server is the operator's own choice and may be on a private network; automations cannot name another. A message that is tried
//! again is the same to the byte, `Message-ID` included, so that the server or the reader can tell a repeat.

use std::time::{Duration, SystemTime};

use lettre::address::{Address, Envelope};
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use rapport_engine::{Failure, Message, Reply, Route};
use tokio::sync::OnceCell;

use super::OutboundError;
use super::failure::{passing, permanent, timeout};
use crate::config::{EmailChannel, EmailConfig, EmailSecurity};

/// Characters of what a mail server said that are passed on.
const SAID_CHARS_MAX: usize = 200;
/// Bytes of a subject.
const SUBJECT_BYTES_MAX: usize = 2_000;
/// How long a server that has taken a mail may take to say good-bye.
const QUIT_MAX: Duration = Duration::from_secs(2);

/// Sends mail, or keeps it.
pub(super) enum Mail {
    /// Every mail is taken and none is sent.
    Capture,
    /// Mail goes to a server.
    Smtp(Box<Smtp>),
}

/// A way to a mail server.
pub(super) struct Smtp {
    host: String,
    port: u16,
    security: EmailSecurity,
    credentials: Option<Credentials>,
    from: Mailbox,
    timeout: Duration,
    /// Whose certificates are trusted; none: whom the system trusts.
    authorities: Option<Certificate>,
    tls: OnceCell<TlsParameters>,
}

impl Mail {
    /// The way that `config` names.
    ///
    /// # Errors
    /// [`OutboundError::Email`] naming the key that is missing or wrong.
    pub(super) fn new(config: &EmailConfig) -> Result<Self, OutboundError> {
        if config.channel == EmailChannel::Capture {
            return Ok(Self::Capture);
        }
        let wrong = |key: &'static str, why: &str| OutboundError::Email { key, why: why.to_owned() };
        if config.smtp_host.trim().is_empty() {
            return Err(wrong("smtp_host", "names no mail server, and channel is `smtp`"));
        }
        let from =
            config.from.parse::<Mailbox>().ok().and_then(|from| Some(Mailbox::new(from.name, in_ascii(from.email)?)));
        let from = from.ok_or_else(|| wrong("from", "is not like `Shop <shop@example.com>`"))?;
        if config.security == EmailSecurity::None && !config.user.is_empty() {
            return Err(wrong("security", "is `none`, and a password is not sent in clear text: use starttls or tls"));
        }
        let authorities = authorities(&config.ca_file).map_err(|why| wrong("ca_file", &why))?;
        let password = || config.password.reveal().to_owned();
        let credentials = (!config.user.is_empty()).then(|| Credentials::new(config.user.clone(), password()));
        Ok(Self::Smtp(Box::new(Smtp {
            host: config.smtp_host.trim().to_owned(),
            port: config.smtp_port,
            security: config.security,
            credentials,
            from,
            timeout: Duration::from_millis(config.timeout_ms),
            authorities,
            tls: OnceCell::new(),
        })))
    }

    /// Where a mail to `to` goes.
    ///
    /// # Errors
    /// [`Failure`] `invalid_address` if nobody can be written to there.
    pub(super) fn route(&self, to: &str) -> Result<Route, Failure> {
        address(to)?;
        Ok(Route {
            destination: match self {
                Self::Capture => "capture".to_owned(),
                Self::Smtp(smtp) => smtp.destination(),
            },
        })
    }

    /// Hands `message` over, or keeps it.
    ///
    /// # Errors
    /// [`Failure`] if the server did not say that it has it.
    pub(super) async fn send(&self, message: &Message) -> Result<Reply, Failure> {
        match self {
            Self::Capture => {
                address(&message.to)?;
                Ok(Reply { status: 250, ..Reply::default() })
            }
            Self::Smtp(smtp) => smtp.send(message).await,
        }
    }
}

impl Smtp {
    fn destination(&self) -> String {
        format!("smtp://{}:{}", self.host, self.port)
    }

    async fn send(&self, message: &Message) -> Result<Reply, Failure> {
        let (envelope, mail) = compose(&self.from, message)?;
        let attempt = self.attempt(&envelope, &mail);
        match tokio::time::timeout(self.timeout, attempt).await {
            Ok(result) => result,
            Err(_) => Err(timeout(&self.destination(), self.timeout)),
        }
    }

    async fn attempt(&self, envelope: &Envelope, mail: &[u8]) -> Result<Reply, Failure> {
        let mut connection = self.connect().await?;
        if let Some(credentials) = &self.credentials {
            let login = connection.auth(&[Mechanism::Plain, Mechanism::Login], credentials).await;
            // Not the mail's fault: the operator mends it, and the mail can still go.
            login.map_err(|e| passing("smtp_login", self.said("does not take the login", &e)))?;
        }
        let taken = connection.send(envelope, mail).await.map_err(|e| self.refusal(envelope, &e))?;
        // The mail is the server's now: whatever happens from here on must not make it go twice.
        tokio::spawn(async move { tokio::time::timeout(QUIT_MAX, connection.quit()).await });
        let words = without_addresses(&taken.message().collect::<Vec<_>>().join(" "));
        Ok(Reply { status: 250, headers: Vec::new(), body: words.into_bytes() })
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Failure> {
        let failed = |e: SmtpError| {
            let code = if of_tls(&e) { "tls" } else { "unreachable" };
            passing(code, self.said("cannot be reached", &e))
        };
        let hello = ClientId::Domain(self.from.email.domain().to_owned());
        let place = (self.host.as_str(), self.port);
        let wrapper = match self.security {
            EmailSecurity::Tls => Some(self.tls().await?),
            EmailSecurity::Starttls | EmailSecurity::None => None,
        };
        let connected = AsyncSmtpConnection::connect_tokio1(place, Some(self.timeout), &hello, wrapper, None);
        let mut connection = connected.await.map_err(failed)?;
        if self.security == EmailSecurity::Starttls {
            connection.starttls(self.tls().await?, &hello).await.map_err(failed)?;
        }
        Ok(connection)
    }

    /// Whom the mail server must be vouched for by; the roots of the system are read once.
    async fn tls(&self) -> Result<TlsParameters, Failure> {
        let made = self.tls.get_or_try_init(|| async {
            let mut builder = TlsParameters::builder(self.host.clone());
            if let Some(authorities) = self.authorities.clone() {
                builder = builder.certificate_store(CertificateStore::None).add_root_certificate(authorities);
            }
            let made = tokio::task::spawn_blocking(move || builder.build()).await;
            let why = |text: String| passing("tls", format!("`{}`: TLS: {text}", self.destination()));
            made.map_err(|e| why(e.to_string()))?.map_err(|e| why(e.to_string()))
        });
        made.await.cloned()
    }

    /// Why the server did not take the mail.
    fn refusal(&self, envelope: &Envelope, error: &SmtpError) -> Failure {
        if error.is_permanent() {
            return permanent("smtp_refused", self.said("refused the mail", error));
        }
        if error.is_transient() {
            return passing("smtp_deferred", self.said("does not take the mail now", error));
        }
        let local = envelope.to().iter().any(|to| !to.to_string().is_ascii());
        if error.is_client() && local {
            return permanent("smtp_refused", self.said("takes no addresses of this script", error));
        }
        passing("broken_answer", self.said("did not say that it has the mail", error))
    }

    fn said(&self, what: &str, error: &SmtpError) -> String {
        format!("`{}` {what}: {}", self.destination(), without_addresses(&error.to_string()))
    }
}

/// Whether TLS failed: lettre says so for STARTTLS alone.
fn of_tls(error: &SmtpError) -> bool {
    let first: &(dyn std::error::Error + 'static) = error;
    let within = |e: &(dyn std::error::Error + 'static)| {
        let inner = e.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        e.is::<rustls::Error>() || inner.is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>)
    };
    error.is_tls() || std::iter::successors(Some(first), |e| e.source()).any(within)
}

/// The certificates in the file `path`; none if there is no path.
fn authorities(path: &str) -> Result<Option<Certificate>, String> {
    if path.trim().is_empty() {
        return Ok(None);
    }
    let bytes = std::fs::read(path.trim()).map_err(|e| format!("names `{path}`, which cannot be read: {e}"))?;
    if !bytes.windows(11).any(|window| window == b"-----BEGIN ") {
        return Err(format!("names `{path}`, which holds no certificate in PEM format"));
    }
    let read = Certificate::from_pem(&bytes);
    read.map(Some).map_err(|e| format!("names `{path}`, which holds no certificate in PEM format: {e}"))
}

/// The address that `to` is.
fn address(to: &str) -> Result<Address, Failure> {
    let wrong = || permanent("invalid_address", "the recipient's address is none: write it as ada@example.com");
    if to.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(wrong());
    }
    to.parse().ok().and_then(in_ascii).ok_or_else(wrong)
}

/// The same address with its domain in ASCII: every server takes that form, few take another.
fn in_ascii(address: Address) -> Option<Address> {
    if address.domain().is_ascii() {
        return Some(address);
    }
    match url::Host::parse(address.domain()).ok()? {
        url::Host::Domain(domain) => Address::new(address.user(), domain).ok(),
        url::Host::Ipv4(_) | url::Host::Ipv6(_) => None,
    }
}

/// The envelope and the bytes of `message`, the same for the same message.
fn compose(from: &Mailbox, message: &Message) -> Result<(Envelope, Vec<u8>), Failure> {
    let wrong = |why: String| permanent("invalid_message", format!("the mail cannot be written: {why}"));
    let to = address(&message.to)?;
    let seconds = u64::try_from(message.created_at.micros() / 1_000_000).unwrap_or_default();
    let id = format!("<{}@{}>", atom(&message.key), from.email.domain());
    let subject = one_line(&message.subject);
    if subject.len() > SUBJECT_BYTES_MAX {
        return Err(wrong(format!("its subject is longer than {SUBJECT_BYTES_MAX} bytes")));
    }
    let builder = lettre::Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, to))
        .subject(subject)
        .date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
        .message_id(Some(id))
        .raw_header(by_a_program());
    let text = SinglePart::plain(message.text.clone());
    let built = match &message.html {
        None => builder.singlepart(text),
        Some(html) => {
            let parts = MultiPart::alternative().boundary(border_of(&message.text, html));
            builder.multipart(parts.singlepart(text).singlepart(SinglePart::html(html.clone())))
        }
    };
    let built = built.map_err(|e| wrong(e.to_string()))?;
    Ok((built.envelope().clone(), built.formatted()))
}

/// Tells other programs that nobody wrote the mail by hand, so that none of them answers it (RFC 3834, section 5).
fn by_a_program() -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned())
}

/// What stands between the parts. It depends on every byte of them: nobody can write a part that holds it.
fn border_of(text: &str, html: &str) -> String {
    use sha2::{Digest as _, Sha256};
    let mut hash = Sha256::new();
    hash.update(u64::try_from(text.len()).unwrap_or_default().to_be_bytes());
    hash.update(text);
    hash.update(html);
    let mut shown = rapport_model::Digest(hash.finalize().into()).to_string();
    shown.truncate(32);
    format!("=_{shown}")
}

/// `key` as the first part of a `Message-ID`, other keys to other parts.
fn atom(key: &str) -> String {
    let shown = |byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
        _ => format!("={byte:02x}"),
    };
    key.bytes().map(shown).collect()
}

/// `text` in one line: a header ends where its line does.
fn one_line(text: &str) -> String {
    let text: String =
        text.chars().map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c }).collect();
    text.trim().to_owned()
}

/// What a server said, in one line, without the addresses in it.
fn without_addresses(said: &str) -> String {
    let words = said.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let words = words.map(|word| if word.contains('@') { "***" } else { word });
    words.collect::<Vec<_>>().join(" ").chars().take(SAID_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;
