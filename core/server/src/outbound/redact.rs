//! Takes a secret out of what comes back, in the forms that a server is likely to echo it in.
//!
//! This guards against echoes: error pages, debug end points, mirrored headers. A server that wants to pass a secret on can always
//! hide it; that is why a secret goes to its own hosts only.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
use rapport_engine::{Failure, Reply};

/// What stands where a secret stood.
const MASK: &[u8] = b"***";

/// Takes one secret out of replies and errors.
pub(super) struct Redactor {
    /// What to look for, longest first.
    forms: Vec<Vec<u8>>,
}

impl Redactor {
    /// One that looks for `secret` as it is, in JSON, in a URL, in hexadecimal digits, and in base64 at any place of what was encoded.
    pub(super) fn new(secret: &str) -> Self {
        let mut forms = vec![secret.as_bytes().to_vec(), in_json(secret), in_url(secret, false), in_url(secret, true)];
        forms.push(hex(secret, "0123456789abcdef"));
        forms.push(hex(secret, "0123456789ABCDEF"));
        for shift in 0..3 {
            let shifted: Vec<u8> = std::iter::repeat_n(0, shift).chain(secret.bytes()).collect();
            for text in [BASE64_STANDARD.encode(&shifted), BASE64_URL_SAFE.encode(&shifted)] {
                // The first and the last character also hold bits of the neighbours.
                let whole = (shift * 8).div_ceil(6)..shifted.len() * 8 / 6;
                forms.push(text.as_bytes()[whole].to_vec());
            }
        }
        forms.retain(|form| !form.is_empty());
        forms.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
        forms.dedup();
        Self { forms }
    }

    /// The reply without the secret.
    pub(super) fn reply(&self, reply: Reply) -> Reply {
        let headers = reply.headers.into_iter().map(|(name, value)| (self.text(&name), self.text(&value))).collect();
        Reply { status: reply.status, headers, body: self.bytes(reply.body) }
    }

    /// The failure without the secret.
    pub(super) fn failure(&self, failure: Failure) -> Failure {
        Failure { message: self.text(&failure.message), ..failure }
    }

    fn text(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.bytes(text.as_bytes().to_vec())).into_owned()
    }

    fn bytes(&self, bytes: Vec<u8>) -> Vec<u8> {
        let found = |at: usize| self.forms.iter().find(|form| bytes[at..].starts_with(form));
        let Some(first) = (0..bytes.len()).find(|at| found(*at).is_some()) else { return bytes };
        let mut clean = bytes[..first].to_vec();
        let mut at = first;
        while at < bytes.len() {
            if let Some(form) = found(at) {
                clean.extend_from_slice(MASK);
                at += form.len();
            } else {
                clean.push(bytes[at]);
                at += 1;
            }
        }
        clean
    }
}

/// As JSON writes it, without the quotation marks.
fn in_json(secret: &str) -> Vec<u8> {
    let text = serde_json::Value::from(secret).to_string();
    text.trim_start_matches('"').strip_suffix('"').unwrap_or_default().as_bytes().to_vec()
}

/// As a URL or a form writes it.
fn in_url(secret: &str, plus: bool) -> Vec<u8> {
    let mut text = Vec::new();
    for byte in secret.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => text.push(byte),
            b' ' if plus => text.push(b'+'),
            _ => text.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
    text
}

fn hex(secret: &str, digits: &str) -> Vec<u8> {
    let digits = digits.as_bytes();
    secret.bytes().flat_map(|byte| [digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rapport_engine::Failure;

    const SECRET: &str = "sk_live-\"4eC 39+HqL";

    fn clean(text: &str) -> String {
        String::from_utf8(Redactor::new(SECRET).bytes(text.as_bytes().to_vec())).unwrap()
    }

    #[test]
    fn a_secret_is_found_in_every_form() {
        assert_eq!(clean(SECRET), "***");
        assert_eq!(clean(&format!("Bearer {SECRET}, again {SECRET}!")), "Bearer ***, again ***!");
        assert_eq!(clean(&serde_json::json!({ "key": SECRET }).to_string()), r#"{"key":"***"}"#);
        assert_eq!(clean("a=sk_live-%224eC%2039%2BHqL&b=sk_live-%224eC+39%2BHqL"), "a=***&b=***");
        assert_eq!(clean("736b5f6c6976652d22346543203339 2b48714c".replace(' ', "").as_str()), "***");
        for before in ["", "a", "ab", "user:", "Bearer ", "user1:"] {
            for after in ["", "z", "zz"] {
                for coder in [BASE64_STANDARD, BASE64_URL_SAFE] {
                    let shown = clean(&coder.encode(format!("{before}{SECRET}{after}")));
                    assert!(shown.contains("***") && shown.len() < 20, "{before:?} {after:?}: {shown}");
                }
            }
        }
    }

    #[test]
    fn what_holds_no_secret_stays_as_it_is() {
        for text in ["", "sk_live", "nothing here", "sk_live-\"4eC 39+Hq"] {
            assert_eq!(clean(text), text);
        }
        let bytes = vec![0, 159, 146, 150];
        assert_eq!(Redactor::new(SECRET).bytes(bytes.clone()), bytes);
    }

    #[test]
    fn replies_and_failures_are_cleaned_throughout() {
        let redactor = Redactor::new(SECRET);
        let reply = Reply {
            status: 200,
            headers: vec![("x-echo".into(), format!("Bearer {SECRET}")), (SECRET.into(), "v".into())],
            body: format!("you sent {SECRET}").into_bytes(),
        };
        let shown = format!("{:?}", redactor.reply(reply));
        assert!(!shown.contains("4eC") && shown.contains("***"), "{shown}");
        let failure = Failure { code: "x".into(), message: format!("no {SECRET}"), retryable: true, retry_after: None };
        assert_eq!(redactor.failure(failure).message, "no ***");
    }
}
