//! A mail server on a free loopback port that records what it gets and answers as a test tells it.
//!
//! ```no_run
//! # use rapport_test_support::{SmtpAnswer, SmtpSink};
//! # use std::time::Duration;
//! # async fn story() {
//! let sink = SmtpSink::start().await;
//! // The first connection is told to come later, the second loses its connection after the mail was sent whole and before the
//! // server has said so, all later ones have their mail taken.
//! sink.script([SmtpAnswer::refuse_recipient(451, "4.3.0 later"), SmtpAnswer::CloseAfterData]);
//! // … the server's configuration: [email] channel = "smtp", smtp_host = "127.0.0.1", smtp_port = sink.port(),
//! // security = "none", from = "Shop <shop@example.com>".
//! let mails = sink.wait_for(2, Duration::from_secs(5)).await;
//! assert!(!mails[0].acknowledged && mails[1].acknowledged);
//! assert_eq!(mails[0].header("message-id"), mails[1].header("message-id"));
//! # }
//! ```
//! Answers of the script are taken in the order in which connections arrive, one for a connection. A mail is recorded once its data
//! have arrived whole, acknowledged or not. The sink stops when its last clone is dropped. It speaks plain SMTP, with 8BITMIME and
//! SMTPUTF8, and without TLS or login.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::http_sink::locked;

#[cfg(test)]
mod tests;

/// A mail as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// The address in `MAIL FROM`.
    pub from: String,
    /// The addresses in `RCPT TO`.
    pub to: Vec<String>,
    /// The data: headers and body, lines end with CR LF, dots unstuffed.
    pub data: String,
    /// Whether the client was told that the server has it.
    pub acknowledged: bool,
}

impl Mail {
    /// The head and the body.
    #[must_use]
    pub fn parts(&self) -> (&str, &str) {
        self.data.split_once("\r\n\r\n").unwrap_or((&self.data, ""))
    }

    /// The value of the first header `name` (in lower case), unfolded, encoded words as they are.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        let head = self.parts().0.replace("\r\n ", " ").replace("\r\n\t", " ");
        let value = |line: &str| {
            line.split_once(':').filter(|(n, _)| n.to_lowercase() == name).map(|(_, v)| v.trim().to_owned())
        };
        head.lines().find_map(value)
    }
}

/// How one connection is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SmtpAnswer {
    /// The mail is taken.
    Accept,
    /// The sender, the recipient or the data are refused with this code and text.
    Refuse {
        /// What is refused.
        at: SmtpStep,
        /// The code, such as 451 or 550.
        code: u16,
        /// What is said.
        text: String,
    },
    /// The connection closes after the data have arrived whole, without a word. The mail is recorded.
    CloseAfterData,
    /// The data are taken and acknowledged; then nothing more is said, not even to `QUIT`.
    HangAfterData,
    /// The connection closes before the greeting.
    Close,
    /// There is no greeting; the connection stays open until the client or the sink goes.
    Hang,
}

/// A step of a mail's way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpStep {
    /// `MAIL FROM`.
    Sender,
    /// `RCPT TO`.
    Recipient,
    /// The end of the data.
    Data,
}

impl SmtpAnswer {
    /// The sender is refused.
    #[must_use]
    pub fn refuse_sender(code: u16, text: &str) -> Self {
        Self::Refuse { at: SmtpStep::Sender, code, text: text.to_owned() }
    }

    /// The recipient is refused.
    #[must_use]
    pub fn refuse_recipient(code: u16, text: &str) -> Self {
        Self::Refuse { at: SmtpStep::Recipient, code, text: text.to_owned() }
    }

    /// The mail is refused when it has arrived. It is not recorded.
    #[must_use]
    pub fn refuse_data(code: u16, text: &str) -> Self {
        Self::Refuse { at: SmtpStep::Data, code, text: text.to_owned() }
    }

    /// What is said at `step` instead of yes.
    fn refusal(&self, step: SmtpStep) -> Option<String> {
        match self {
            Self::Refuse { at, code, text } if *at == step => Some(format!("{code} {text}")),
            _ => None,
        }
    }
}

/// The server.
#[derive(Debug, Clone)]
pub struct SmtpSink {
    address: SocketAddr,
    state: Arc<State>,
    _server: Arc<Running>,
}

#[derive(Debug)]
struct State {
    script: Mutex<VecDeque<SmtpAnswer>>,
    otherwise: Mutex<SmtpAnswer>,
    mails: Mutex<Vec<Mail>>,
    count: watch::Sender<usize>,
    connections: watch::Sender<usize>,
}

/// Ends the server with its last owner.
#[derive(Debug)]
struct Running(JoinHandle<()>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl SmtpSink {
    /// Starts one on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// If no port is free.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let state = Arc::new(State {
            script: Mutex::default(),
            otherwise: Mutex::new(SmtpAnswer::Accept),
            mails: Mutex::default(),
            count: watch::Sender::new(0),
            connections: watch::Sender::new(0),
        });
        let server = tokio::spawn(accept(listener, Arc::clone(&state)));
        Self { address, state, _server: Arc::new(Running(server)) }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port that it listens on.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.address.port()
    }

    /// Adds answers for the connections to come, one each.
    pub fn script(&self, answers: impl IntoIterator<Item = SmtpAnswer>) {
        locked(&self.state.script).extend(answers);
    }

    /// Answers so whenever the script is at its end.
    pub fn otherwise(&self, answer: SmtpAnswer) {
        *locked(&self.state.otherwise) = answer;
    }

    /// Every mail so far whose data have arrived whole and were not refused, in order of arrival.
    #[must_use]
    pub fn mails(&self) -> Vec<Mail> {
        locked(&self.state.mails).clone()
    }

    /// How many connections there were.
    #[must_use]
    pub fn connections(&self) -> usize {
        *self.state.connections.borrow()
    }

    /// Waits until `count` mails have arrived, and gives all there are.
    ///
    /// # Panics
    /// If there are fewer after `within`.
    pub async fn wait_for(&self, count: usize, within: Duration) -> Vec<Mail> {
        let mut seen = self.state.count.subscribe();
        let arrived = tokio::time::timeout(within, seen.wait_for(|n| *n >= count)).await.is_ok();
        let mails = self.mails();
        assert!(arrived, "{} mails after {within:?}, not {count}: {mails:?}", mails.len());
        mails
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let answer = locked(&state.script).pop_front().unwrap_or_else(|| locked(&state.otherwise).clone());
        state.connections.send_modify(|n| *n += 1);
        let state = Arc::clone(&state);
        connections.spawn(async move {
            // A client that goes away in the midst is part of many tests.
            let _ = Session { stream: BufReader::new(stream), answer }.serve(&state).await;
        });
    }
}

/// One connection.
struct Session {
    stream: BufReader<TcpStream>,
    answer: SmtpAnswer,
}

impl Session {
    async fn serve(mut self, state: &State) -> std::io::Result<()> {
        match self.answer {
            SmtpAnswer::Close => return Ok(()),
            SmtpAnswer::Hang => return self.until_gone().await,
            _ => self.say("220 sink").await?,
        }
        let mut mail = Mail { from: String::new(), to: Vec::new(), data: String::new(), acknowledged: false };
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let verb = line.trim_end().split([' ', ':']).next().unwrap_or_default().to_uppercase();
            match verb.as_str() {
                "EHLO" => self.say("250-sink\r\n250-8BITMIME\r\n250 SMTPUTF8").await?,
                "HELO" | "RSET" | "NOOP" => self.say("250 ok").await?,
                "MAIL" => {
                    mail.from = between(&line);
                    self.step(SmtpStep::Sender).await?;
                }
                "RCPT" => {
                    mail.to.push(between(&line));
                    self.step(SmtpStep::Recipient).await?;
                }
                "DATA" => {
                    self.say("354 go on").await?;
                    mail.data = self.data().await?;
                    if !self.taken(mail.clone(), state).await? {
                        return Ok(());
                    }
                }
                "QUIT" => return self.say("221 bye").await,
                _ => self.say("502 no such command").await?,
            }
        }
    }

    /// Ends a mail as the answer says; whether the connection goes on.
    async fn taken(&mut self, mail: Mail, state: &State) -> std::io::Result<bool> {
        if let Some(refusal) = self.answer.refusal(SmtpStep::Data) {
            self.say(&refusal).await?;
            return Ok(true);
        }
        let acknowledged = self.answer != SmtpAnswer::CloseAfterData;
        {
            let mut mails = locked(&state.mails);
            mails.push(Mail { acknowledged, ..mail });
            state.count.send_replace(mails.len());
        }
        if acknowledged {
            self.say("250 2.0.0 taken").await?;
        }
        if self.answer == SmtpAnswer::HangAfterData {
            self.until_gone().await?;
        }
        Ok(acknowledged)
    }

    async fn step(&mut self, step: SmtpStep) -> std::io::Result<()> {
        let said = self.answer.refusal(step).unwrap_or_else(|| "250 ok".to_owned());
        self.say(&said).await
    }

    async fn say(&mut self, text: &str) -> std::io::Result<()> {
        self.stream.write_all(format!("{text}\r\n").as_bytes()).await
    }

    /// The data up to the lone dot, without the dots that guard others.
    async fn data(&mut self) -> std::io::Result<String> {
        let mut data = String::new();
        loop {
            let mut line = Vec::new();
            if self.stream.read_until(b'\n', &mut line).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let line = String::from_utf8_lossy(&line);
            if line == ".\r\n" {
                return Ok(data);
            }
            data.push_str(line.strip_prefix('.').unwrap_or(&line));
        }
    }

    async fn until_gone(&mut self) -> std::io::Result<()> {
        self.stream.read_to_end(&mut Vec::new()).await.map(|_| ())
    }
}

/// The address between the angles.
fn between(line: &str) -> String {
    let inner = line.split_once('<').and_then(|(_, rest)| rest.rsplit_once('>'));
    inner.map_or_else(String::new, |(address, _)| address.to_owned())
}
