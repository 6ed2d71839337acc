//! Takes a secret out of what comes back, in the forms that a server is likely to echo it in.
//!
//! This guards against echoes: error pages, debug end points, mirrored headers. A server that wants to pass a secret on can always
//! hide it; that is why a secret goes to its own hosts only.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
use rapport_engine::{Failure, Reply};

/// Hexadecimal digits.
const LOWER: &[u8; 16] = b"0123456789abcdef";
const UPPER: &[u8; 16] = b"0123456789ABCDEF";

/// What stands where a secret stood.
const MASK: &[u8] = b"***";

/// Takes one secret out of replies and errors.
pub(super) struct Redactor {
    /// What to look for, longest first.
    forms: Vec<Vec<u8>>,
}

impl Redactor {
    /// One that looks for `secret` as it is, in JSON, HTML or a URL, in hexadecimal digits, and in base64 wherever in the coded text.
    pub(super) fn new(secret: &str) -> Self {
        let json = in_json(secret);
        let mut texts = vec![secret.to_owned(), json.replace('/', "\\/"), json, in_html(secret)];
        for digits in [LOWER, UPPER] {
            let url = in_url(secret, digits);
            texts.extend([url.replace("%20", "+"), url, secret.bytes().map(|byte| hex(byte, digits)).collect()]);
        }
        let mut forms: Vec<Vec<u8>> = texts.into_iter().map(String::into_bytes).collect();
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
fn in_json(secret: &str) -> String {
    let text = serde_json::Value::from(secret).to_string();
    text[1..text.len() - 1].to_owned()
}

/// As HTML writes it.
fn in_html(secret: &str) -> String {
    let text = secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&#39;")
}

/// As a URL writes it.
fn in_url(secret: &str, digits: &[u8; 16]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    let coded = |byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{}", hex(byte, digits)) };
    secret.bytes().map(coded).collect()
}

fn hex(byte: u8, digits: &[u8; 16]) -> String {
    [byte >> 4, byte & 15].map(|half| char::from(digits[usize::from(half)])).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rapport_engine::Failure;

    const SECRET: &str = "sk_live-\"4eC 39+H/L";

    fn clean(text: &str) -> String {
        String::from_utf8(Redactor::new(SECRET).bytes(text.as_bytes().to_vec())).unwrap()
    }

    #[test]
    fn a_secret_is_found_in_every_form() {
        assert_eq!(clean(SECRET), "***");
        assert_eq!(clean(&format!("Bearer {SECRET}, again {SECRET}!")), "Bearer ***, again ***!");
        assert_eq!(clean(&serde_json::json!({ "key": SECRET }).to_string()), r#"{"key":"***"}"#);
        assert_eq!(clean(r#"{"key":"sk_live-\"4eC 39+H\/L"}"#), r#"{"key":"***"}"#);
        assert_eq!(clean("<b>sk_live-&quot;4eC 39+H/L</b>"), "<b>***</b>");
        assert_eq!(clean("a=sk_live-%224eC%2039%2BH%2FL&b=sk_live-%224eC+39%2bH%2fL"), "a=***&b=***");
        assert_eq!(clean("736b5f6c6976652d223465432033392b482f4c 736B5F6C6976652D223465432033392B482F4C"), "*** ***");
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
        for text in ["", "sk_live", "nothing here", "sk_live-\"4eC 39+H/"] {
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
