//! A client of HTTP/1.1 on one kept-alive connection: all that a load driver and the demo need, and nothing that would blur
//! what is measured.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::time::Duration;

#[cfg(test)]
mod tests;

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_mins(2);

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

/// The answer to one request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// Whether the connection can be used again.
    pub(crate) keep: bool,
}

impl Answer {
    /// Whether the status is one of success.
    pub(crate) const fn is_success(&self) -> bool {
        self.status >= 200 && self.status < 300
    }

    /// The body as text, cut to what a message can hold.
    pub(crate) fn excerpt(&self) -> String {
        String::from_utf8_lossy(&self.body[..self.body.len().min(300)]).into_owned()
    }
}

/// How long the body of an answer is.
enum Length {
    Known(usize),
    Chunked,
    UntilClose,
}

/// What stands before the body of an answer.
struct Head {
    status: u16,
    length: Length,
    keep: bool,
}

impl Connection {
    /// Connects to `address`, without delay for small packets.
    ///
    /// # Errors
    /// If nobody listens there.
    pub(crate) fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        Ok(Self { stream: BufReader::with_capacity(16_384, stream) })
    }

    /// Sends the bytes of one request and reads its answer.
    ///
    /// # Errors
    /// If the connection breaks, or the answer is no HTTP.
    pub(crate) fn call(&mut self, request: &[u8]) -> Result<Answer> {
        self.stream.get_mut().write_all(request)?;
        self.answer()
    }

    /// Sends a part of a request; [`Self::answer`] follows the last.
    ///
    /// # Errors
    /// If the connection breaks.
    #[cfg(feature = "bench")]
    pub(crate) fn send(&mut self, part: &[u8]) -> Result<()> {
        self.stream.get_mut().write_all(part)
    }

    /// Reads the answer to what was sent.
    ///
    /// # Errors
    /// If the connection breaks, or the answer is no HTTP.
    pub(crate) fn answer(&mut self) -> Result<Answer> {
        loop {
            let head = self.head()?;
            if head.status == 100 {
                continue;
            }
            let bare = head.status == 204 || head.status == 304;
            let mut body = Vec::new();
            let mut keep = head.keep;
            match head.length {
                Length::Chunked => self.chunks(&mut body)?,
                Length::Known(length) => self.exactly(length, &mut body)?,
                Length::UntilClose if bare => {}
                Length::UntilClose => {
                    self.stream.read_to_end(&mut body)?;
                    keep = false;
                }
            }
            return Ok(Answer { status: head.status, body, keep });
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(bad("the connection was closed"));
        }
        line.truncate(line.trim_end().len());
        Ok(line)
    }

    fn head(&mut self) -> Result<Head> {
        let status = self.line()?.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(|| bad("no status"))?;
        let mut head = Head { status, length: Length::UntilClose, keep: true };
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(head);
            }
            let Some((name, value)) = line.split_once(':') else { continue };
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                head.length = Length::Known(value.parse().map_err(|_| bad("a length that is no number"))?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") && value.eq_ignore_ascii_case("chunked") {
                head.length = Length::Chunked;
            } else if name.eq_ignore_ascii_case("connection") {
                head.keep = !value.eq_ignore_ascii_case("close");
            }
        }
    }

    fn exactly(&mut self, length: usize, body: &mut Vec<u8>) -> Result<()> {
        let start = body.len();
        body.resize(start + length, 0);
        self.stream.read_exact(&mut body[start..])
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> Result<()> {
        loop {
            let line = self.line()?;
            let digits = line.split(';').next().unwrap_or_default();
            let length = usize::from_str_radix(digits, 16).map_err(|_| bad("a chunk without a length"))?;
            self.exactly(length, body)?;
            self.line()?;
            if length == 0 {
                return Ok(());
            }
        }
    }
}

fn bad(message: &str) -> Error {
    Error::new(ErrorKind::InvalidData, message)
}
