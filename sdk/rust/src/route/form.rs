//! What a form of a page sends.

use crate::Error;

/// The media type of a form.
const FORM: &str = "application/x-www-form-urlencoded";

/// The fields of a form, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Reads the body of a request whose `content-type` is `kind`.
    pub(super) fn read(kind: Option<&str>, body: &[u8]) -> Result<Self, Error> {
        let media = kind.unwrap_or(FORM).split(';').next().unwrap_or_default().trim();
        if !media.eq_ignore_ascii_case(FORM) {
            return Err(Error::new("invalid", format!("the body is `{media}`, not a form: {FORM}")));
        }
        let broken = || Error::new("invalid", "the body is no form: it is not UTF-8, or not encoded as one");
        let pairs = body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
        let read = |pair: &[u8]| {
            let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &[][..]),
            };
            Some((decode(name)?, decode(value)?))
        };
        pairs.map(read).collect::<Option<_>>().map(Self).ok_or_else(broken)
    }

    /// The first value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(own, _)| *own == name).map(|(_, value)| value)
    }

    /// All values of `name`: of boxes that were ticked, say.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Names and values, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

fn decode(text: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|d| char::from(*d).to_digit(16));
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            other => *other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_decoded() {
        let form =
            Form::read(Some("application/x-www-form-urlencoded; charset=UTF-8"), b"a=1+2&b=%C3%BC%26&a=&c").unwrap();
        assert_eq!(
            (form.get("a"), form.get("b"), form.get("c"), form.get("d")),
            (Some("1 2"), Some("ü&"), Some(""), None)
        );
        assert_eq!(form.all("a").collect::<Vec<_>>(), ["1 2", ""]);
        assert_eq!(form.iter().count(), 4);
        assert_eq!(Form::read(None, b"").unwrap(), Form::default());
    }

    #[test]
    fn what_is_no_form_is_refused() {
        for (kind, body) in
            [(Some("application/json"), &b"{}"[..]), (None, b"a=%ff"), (None, b"a=%4"), (None, b"%zz=1")]
        {
            assert_eq!(Form::read(kind, body).unwrap_err().code(), "invalid", "{body:?}");
        }
    }
}
