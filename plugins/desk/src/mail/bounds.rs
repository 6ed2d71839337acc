//! What a message may be like before it is read at all: so that no message makes its reader large, slow or deep.
//!
//! One pass over the lines. Whatever says in an unusual way where its parts end is refused: it would be counted otherwise here than there.
//! Messages in messages are not opened but attached as they are: in the bytes that the reader is given, they have another type.
//!
//! ```text
//! header, empty line, body ─────────────────────── border, header, empty line, body ── border
//!                     └─ lifted if it is long: only its last line break stays with the bones
//! ```
//! The reader looks at each byte several times. Of a long message it is given the bones, headers and borders, and the long bodies are read
//! where they lie in the message, each once and only if they are wanted.

use super::scan::line_end;

/// The most bytes before the first empty line.
pub(super) const HEADER_BYTES_MAX: usize = 64 << 10;
/// The most lines before the first empty line.
const HEADER_LINES_MAX: usize = 1_000;
/// The most borders that a message declares: each multipart inside another one declares one.
const BORDERS_MAX: usize = 20;
/// The most lines that are borders.
const PARTS_MAX: usize = 300;
/// The most bytes of a message without its long bodies.
const BONES_BYTES_MAX: usize = 192 << 10;
/// The most bytes of headers that say what a part is.
const KIND_BYTES_MAX: usize = 192 << 10;
/// The most lines of a message; one that may be a border counts once more for each border that it may be.
const LINES_MAX: usize = 150_000;
/// Messages to this length, in bytes, are given to the reader whole.
const WHOLE_BYTES_MAX: usize = 64 << 10;
/// The shortest body, in bytes, that is lifted out of a longer one.
const LIFTED_BYTES_MIN: usize = 512;
/// The header that says what a part is.
const KIND: &[u8] = b"content-type";

/// A message as it may be read: without its long bodies.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bones {
    /// What is left.
    pub(super) bytes: Vec<u8>,
    lifted: Vec<Lifted>,
}

/// A body that was lifted out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lifted {
    /// Where it was, among the bones.
    at: usize,
    /// Where it begins in the message.
    from: usize,
    /// Where it ends there.
    until: usize,
}

impl Bones {
    /// Where in the message that lies which the reader sees from `from` to `until`; none if nothing was lifted out of it.
    pub(super) fn lifted(&self, from: usize, until: usize) -> Option<std::ops::Range<usize>> {
        let first = self.lifted.iter().position(|one| one.at >= from)?;
        let last = self.lifted.iter().rposition(|one| one.at <= until.max(from)).filter(|last| *last >= first)?;
        let (first, last) = (self.lifted[first], self.lifted[last]);
        Some(first.from - (first.at - from)..last.until.saturating_add(until.saturating_sub(last.at)))
    }

    /// Whether something was lifted out of what the reader takes for a header from `from` to `until`.
    pub(super) fn cut(&self, from: usize, until: usize) -> bool {
        self.lifted.iter().any(|one| from <= one.at && one.at < until)
    }
}

/// Looks at a message as it came, and gives it as it may be read.
///
/// # Errors
/// Why it is not read.
pub(super) fn readable(raw: &[u8]) -> Result<Bones, String> {
    lift(raw, if raw.len() > WHOLE_BYTES_MAX { LIFTED_BYTES_MIN } else { usize::MAX })
}

/// The same, with bodies lifted out that have `long` bytes or more.
pub(super) fn lift(raw: &[u8], long: usize) -> Result<Bones, String> {
    if raw.iter().all(u8::is_ascii_whitespace) {
        return Err("the message is empty: send it as it is, with its headers".into());
    }
    header(raw)?;
    let mut pass = Pass { raw, long, bones: Bones { bytes: Vec::new(), lifted: Vec::new() }, kept: 0, body: None };
    let mut borders: Vec<&[u8]> = Vec::new();
    let (mut at, mut of_kind, mut kinds, mut parts, mut lines) = (0, false, 0, 0, 0);
    while at < raw.len() {
        let end = line_end(raw, at);
        let line = &raw[at..end];
        lines += if line.starts_with(b"--") { 1 + borders.len() } else { 1 };
        match line[0] {
            b'-' if line.strip_prefix(b"--").is_some_and(|rest| borders.iter().any(|b| rest.starts_with(b))) => {
                of_kind = false;
                parts += 1;
                pass.border(at);
            }
            b'\n' | b'\r' => {
                of_kind = false;
                pass.empty(line, end);
            }
            b'c' | b'C' => {
                of_kind = line.get(..KIND.len()).is_some_and(|name| name.eq_ignore_ascii_case(KIND));
            }
            b' ' | b'\t' => {}
            _ => of_kind = false,
        }
        if of_kind {
            kinds += line.len();
            if kinds > KIND_BYTES_MAX {
                return Err(format!("what it says of the types of its parts has more than {KIND_BYTES_MAX} bytes"));
            }
            borders.extend(border(line)?);
            pass.closed(at, end);
        }
        if borders.len() > BORDERS_MAX {
            return Err(format!("its parts lie more than {BORDERS_MAX} deep"));
        }
        if parts > PARTS_MAX {
            return Err(format!("it has more than {PARTS_MAX} parts"));
        }
        if lines > LINES_MAX {
            return Err(format!("it has more than {LINES_MAX} lines"));
        }
        at = end;
    }
    pass.done()
}

/// What has come of a message so far.
struct Pass<'a> {
    raw: &'a [u8],
    long: usize,
    bones: Bones,
    /// What lies before this is among the bones, or lifted.
    kept: usize,
    /// Where the body begins in which this is: in the message, and among the bones.
    body: Option<(usize, usize)>,
}

impl Pass<'_> {
    /// Keeps all before `at`.
    fn keep(&mut self, at: usize) {
        if at > self.kept {
            self.bones.bytes.extend_from_slice(&self.raw[self.kept..at]);
            self.kept = at;
        }
    }

    /// An empty line ends a header; the body begins behind it.
    fn empty(&mut self, line: &[u8], end: usize) {
        if self.body.is_none() && matches!(line, b"\n" | b"\r\n") {
            self.body = Some((end, self.bones.bytes.len() + (end - self.kept)));
        }
    }

    /// A border at `at` ends a body.
    fn border(&mut self, at: usize) {
        let Some((from, place)) = self.body.take() else { return };
        // The line break before a border is the border's.
        let until = match &self.raw[from..at] {
            [.., b'\r', b'\n'] => at - 2,
            [.., b'\n'] => at - 1,
            _ => at,
        };
        self.lift(from, until, place);
    }

    fn lift(&mut self, from: usize, until: usize, place: usize) {
        if until <= from || until - from < self.long {
            return;
        }
        self.keep(from);
        // What was kept of the body for its headers, or what looks like some.
        self.bones.bytes.truncate(place);
        self.bones.lifted.push(Lifted { at: place, from, until });
        self.kept = until;
    }

    /// Keeps a line in which no message is opened.
    fn closed(&mut self, at: usize, end: usize) {
        self.keep(at);
        let start = self.bones.bytes.len();
        self.keep(end);
        close(&mut self.bones.bytes[start..]);
    }

    fn done(mut self) -> Result<Bones, String> {
        if let Some((from, place)) = self.body.take() {
            self.lift(from, self.raw.len(), place);
        }
        self.keep(self.raw.len());
        if self.raw.len() > WHOLE_BYTES_MAX && self.bones.bytes.len() > BONES_BYTES_MAX {
            return Err(format!("without the bodies of its parts it has more than {BONES_BYTES_MAX} bytes"));
        }
        Ok(self.bones)
    }
}

fn header(raw: &[u8]) -> Result<(), String> {
    let (mut bytes, mut lines) = (0, 0);
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        if line == b"\n" || line == b"\r\n" {
            return Ok(());
        }
        bytes += line.len();
        lines += 1;
        if bytes > HEADER_BYTES_MAX {
            return Err(format!("its headers have more than {HEADER_BYTES_MAX} bytes"));
        }
        if lines > HEADER_LINES_MAX {
            return Err(format!("its headers have more than {HEADER_LINES_MAX} lines"));
        }
    }
    Ok(())
}

fn find(line: &[u8], what: &[u8]) -> Option<usize> {
    let first = what.first()?.to_ascii_lowercase();
    let is_here = |at: usize| line.get(at..at + what.len()).is_some_and(|here| here.eq_ignore_ascii_case(what));
    line.iter().enumerate().position(|(at, byte)| byte.to_ascii_lowercase() == first && is_here(at))
}

/// The border that a line of the header declares.
fn border(line: &[u8]) -> Result<Option<&[u8]>, String> {
    let Some(at) = find(line, b"boundary") else { return Ok(None) };
    let unusual = || "it says in an unusual way where its parts end: `boundary=\"…\"` on one line is read".to_owned();
    let value = line[at + 8..].trim_ascii_start().strip_prefix(b"=").ok_or_else(unusual)?.trim_ascii();
    let border = match value.strip_prefix(b"\"") {
        Some(quoted) => &quoted[..quoted.iter().position(|byte| *byte == b'"').ok_or_else(unusual)?],
        None => &value[..value.iter().position(|byte| b" ;\t\r(".contains(byte)).unwrap_or(value.len())],
    };
    // RFC 2046, section 5.1.1: 70 characters at most, none of which is written in another way.
    let plain =
        border.iter().all(|byte| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? *!#$&^~@{}|<>[]".contains(byte));
    if border.is_empty() || border.len() > 120 || !plain {
        return Err(unusual());
    }
    Ok(Some(border))
}

/// Changes what would have the reader open a message inside this one.
fn close(line: &mut [u8]) {
    for (what, with) in [(&b"message"[..], b'x'), (&b"digest"[..], b'x')] {
        let mut from = 0;
        while let Some(at) = find(&line[from..], what) {
            line[from + at] = with;
            from += at + what.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &[u8]) -> Result<(), String> {
        readable(raw).map(drop)
    }

    #[test]
    fn a_plain_message_may_be_read_and_stays_as_it_is() {
        let raw = b"From: a@b.example\r\nSubject: x\r\n\r\nThe boundary of a message/digest\r\n-- \r\nAda";
        assert_eq!(readable(raw).unwrap().bytes, raw);
    }

    #[test]
    fn headers_have_limits() {
        let long = format!("Subject: {}\r\n\r\n", "x".repeat(HEADER_BYTES_MAX));
        assert!(check(long.as_bytes()).unwrap_err().contains("headers"));
        let many = format!("{}\r\n", "X: y\r\n".repeat(HEADER_LINES_MAX + 1));
        assert!(check(many.as_bytes()).unwrap_err().contains("1000 lines"));
        assert!(check(&vec![b'x'; HEADER_BYTES_MAX + 1]).is_err());
    }

    #[test]
    fn thousands_of_parts_are_refused() {
        let parts = "--b\r\n\r\nx\r\n".repeat(PARTS_MAX + 1);
        let message = format!("Content-Type: multipart/mixed;\r\n boundary=b\r\n\r\n{parts}");
        assert!(check(message.as_bytes()).unwrap_err().contains("300 parts"));
    }

    #[test]
    fn what_lies_too_deep_is_refused() {
        let part = |n: i32| format!("Content-Type: multipart/mixed;\r\n boundary=\"b{n}\"\r\n\r\n--b{n}\r\n");
        let deep: String = (0..60).map(part).collect();
        assert!(check(deep.as_bytes()).unwrap_err().contains("deep"));
    }

    #[test]
    fn borders_that_would_be_counted_otherwise_are_refused() {
        for border in [
            "boundary*=utf-8''%62",
            "boundary*0=b",
            "boundary=\"b",
            "boundary=",
            "boundary",
            "boundary=(c)b",
            "boundary=\"a\\b\"",
        ] {
            let message = format!("From: a@b.example\nContent-Type: multipart/mixed; {border}\n\n--b\n");
            assert!(check(message.as_bytes()).unwrap_err().contains("unusual"), "{border}");
        }
    }

    #[test]
    fn a_message_in_a_message_is_not_opened() {
        let raw =
            b"Content-Type: multipart/digest; boundary=b\n\n--b\nContent-TYPE:\n MESSAGE/rfc822\n\nmessage/rfc822";
        let read = String::from_utf8(readable(raw).unwrap().bytes).unwrap();
        assert_eq!(
            read,
            "Content-Type: multipart/xigest; boundary=b\n\n--b\nContent-TYPE:\n xESSAGE/rfc822\n\nmessage/rfc822"
        );
    }

    #[test]
    fn nothing_is_no_message() {
        assert!(check(b" \r\n\r\n").unwrap_err().contains("empty"));
    }

    #[test]
    fn what_would_take_too_long_is_refused() {
        let head = "Content-Type: multipart/mixed; boundary=b\n\n";
        let lines = format!("{head}{}", "\n".repeat(LINES_MAX));
        assert!(check(lines.as_bytes()).unwrap_err().contains("150000 lines"));
        let borders = format!("{head}{}", "--\n".repeat(LINES_MAX / 2));
        assert!(check(borders.as_bytes()).unwrap_err().contains("lines"));
        let kinds = format!("{head}{}", "Content-Type: x/y\n".repeat(KIND_BYTES_MAX / 18 + 1));
        assert!(check(kinds.as_bytes()).unwrap_err().contains("types"));
        let headers = format!("{head}--b\n{}", "x: y\n".repeat(BONES_BYTES_MAX / 5));
        assert!(check(headers.as_bytes()).unwrap_err().contains("without the bodies"));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_looked_at(raw: Vec<u8>, line in "(content-type: |)(boundary|message/rfc822|--)[=\"a-z*0;]{0,20}") {
            let _ = check(&raw);
            let _ = check(&[line.as_bytes(), b"\n", &raw, b"\n", line.as_bytes()].concat());
        }
    }
}
