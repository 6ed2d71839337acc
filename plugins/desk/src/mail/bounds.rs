//! What a message may be like before it is read at all: so that no message makes its reader large, slow or deep.
//!
//! One pass over the lines. Whatever says in an unusual way where its parts end is refused: it would be counted otherwise here than there.
//! Messages in messages are not opened but attached as they are: in the bytes that the reader is given, they have another type.

/// The most bytes before the first empty line.
pub(super) const HEADER_BYTES_MAX: usize = 64 << 10;
/// The most lines before the first empty line.
const HEADER_LINES_MAX: usize = 1_000;
/// The most borders that a message declares: each multipart inside another one declares one.
const BORDERS_MAX: usize = 20;
/// The most lines that are borders.
const PARTS_MAX: usize = 300;
/// The header that says what a part is.
const KIND: &[u8] = b"content-type";

/// Looks at a message as it came, and gives it as it may be read.
///
/// # Errors
/// Why it is not read.
pub(super) fn readable(raw: &[u8]) -> Result<Vec<u8>, String> {
    if raw.iter().all(u8::is_ascii_whitespace) {
        return Err("the message is empty: send it as it is, with its headers".into());
    }
    header(raw)?;
    let (mut all, mut of_kind) = (Vec::with_capacity(raw.len()), false);
    let mut borders: Vec<Vec<u8>> = Vec::new();
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        let begins = line.get(..KIND.len()).is_some_and(|name| name.eq_ignore_ascii_case(KIND));
        of_kind = begins || (of_kind && matches!(line.first(), Some(b' ' | b'\t')));
        let start = all.len();
        all.extend_from_slice(line);
        if !of_kind {
            continue;
        }
        if let Some(border) = border(line)? {
            borders.push(border.to_vec());
        }
        if borders.len() > BORDERS_MAX {
            return Err(format!("its parts lie more than {BORDERS_MAX} deep"));
        }
        close(&mut all[start..]);
    }
    borders.sort();
    borders.dedup();
    let is_border =
        |line: &[u8]| line.strip_prefix(b"--").is_some_and(|rest| borders.iter().any(|b| rest.starts_with(b)));
    let parts = raw.split(|byte| *byte == b'\n').filter(|line| is_border(line)).take(PARTS_MAX + 1).count();
    if parts > PARTS_MAX {
        return Err(format!("it has more than {PARTS_MAX} parts"));
    }
    Ok(all)
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
    line.windows(what.len()).position(|window| window.eq_ignore_ascii_case(what))
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
        assert_eq!(readable(raw).unwrap(), raw);
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
        let read = String::from_utf8(readable(raw).unwrap()).unwrap();
        assert_eq!(
            read,
            "Content-Type: multipart/xigest; boundary=b\n\n--b\nContent-TYPE:\n xESSAGE/rfc822\n\nmessage/rfc822"
        );
    }

    #[test]
    fn nothing_is_no_message() {
        assert!(check(b" \r\n\r\n").unwrap_err().contains("empty"));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_looked_at(raw: Vec<u8>, line in "(content-type: |)(boundary|message/rfc822|--)[=\"a-z*0;]{0,20}") {
            let _ = check(&raw);
            let _ = check(&[line.as_bytes(), b"\n", &raw, b"\n", line.as_bytes()].concat());
        }
    }
}
