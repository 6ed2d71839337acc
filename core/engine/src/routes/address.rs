//! What stands in an address: read once, and refused where two readers could understand two things.

use std::fmt::Write as _;

/// Why an address cannot be read.
pub(crate) type Unreadable = &'static str;

/// The path behind `/x/PLUGIN`, decoded: `/partners/acme/earn`. Each step is decoded once; one that would hold a `/`, climb, or still
/// be encoded after that is refused.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn path(raw: &str) -> Result<String, Unreadable> {
    let mut decoded = String::with_capacity(raw.len());
    for step in raw.strip_prefix('/').unwrap_or(raw).split('/') {
        let step = decode(step, Plus::Stays)?;
        if step == "." || step == ".." {
            return Err("has a step that climbs");
        }
        if step.contains(['/', '\\']) || step.chars().any(char::is_control) {
            return Err("has a step with a slash or a control character in it");
        }
        if is_encoded(&step) {
            return Err("is encoded twice");
        }
        decoded.push('/');
        decoded.push_str(&step);
    }
    Ok(decoded)
}

/// The parameters of a query, decoded, in their order.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn query(raw: &str) -> Result<Vec<(String, String)>, Unreadable> {
    let pairs = raw.split('&').filter(|pair| !pair.is_empty());
    let read = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode(name, Plus::IsSpace)?, decode(value, Plus::IsSpace)?);
        if name.contains('\0') || value.contains('\0') { Err("has a NUL in its query") } else { Ok((name, value)) }
    };
    pairs.map(read).collect()
}

/// Writes pairs so that [`query`] reads them.
pub(crate) fn form(pairs: &[(String, String)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    pairs.join("&")
}

fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => encoded.push('+'),
            b if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'*') => encoded.push(char::from(b)),
            b => _ = write!(encoded, "%{b:02X}"),
        }
    }
    encoded
}

/// What `+` means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Plus {
    Stays,
    IsSpace,
}

fn decode(text: &str, plus: Plus) -> Result<String, Unreadable> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next(), rest.next()].map(|d| d.and_then(|d| char::from(d).to_digit(16)));
                let [Some(high), Some(low)] = digits else { return Err("has a `%` without two hexadecimal digits") };
                u8::try_from(high * 16 + low).unwrap_or_default()
            }
            b'+' if plus == Plus::IsSpace => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8")
}

/// Whether something in `text` still looks encoded.
fn is_encoded(text: &str) -> bool {
    let hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let bytes = text.as_bytes();
    bytes.iter().enumerate().any(|(i, byte)| *byte == b'%' && hex(bytes.get(i + 1)) && hex(bytes.get(i + 2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_decoded_once() {
        assert_eq!(path("/partners/a%20b/%C3%BC").unwrap(), "/partners/a b/ü");
        assert_eq!(
            (path("").unwrap(), path("/").unwrap(), path("/a//b").unwrap()),
            ("/".into(), "/".into(), "/a//b".into())
        );
        assert_eq!(path("/100%25/a+b").unwrap(), "/100%/a+b");
    }

    #[test]
    fn a_path_that_two_readers_could_understand_differently_is_refused() {
        for raw in [
            "/..",
            "/a/../b",
            "/%2e%2e/b",
            "/.%2E",
            "/a/.",
            "/a%2fb",
            "/a%5Cb",
            "/a\\b",
            "/%252e%252e",
            "/a%2541",
            "/%",
            "/%4",
            "/%zz",
            "/%ff",
            "/%c3",
            "/a%00",
            "/a%0d%0a",
        ] {
            assert!(path(raw).is_err(), "{raw}");
        }
    }

    #[test]
    fn a_query_keeps_its_order_and_what_is_there_twice() {
        let pairs =
            |list: &[(&str, &str)]| list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>();
        assert_eq!(query("b=1&a=x+y%26&b=2&c").unwrap(), pairs(&[("b", "1"), ("a", "x y&"), ("b", "2"), ("c", "")]));
        let odd = pairs(&[("a&b", "c=d +%ü\n"), ("", "")]);
        assert_eq!(query(&form(&odd)).unwrap(), odd);
        assert_eq!(query("").unwrap(), []);
        for raw in ["a=%ff", "a=%", "%00=1", "a=%00"] {
            assert!(query(raw).is_err(), "{raw}");
        }
    }
}
