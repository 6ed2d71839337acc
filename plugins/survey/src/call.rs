//! What actions are called with.

use rapport_sdk::{Error, Json, Record, Timestamp, records};

/// The input of an action, and who calls it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) input: &'a Json,
    /// Who calls: `user:mei`, `automation:textsense`.
    pub(crate) caller: &'a str,
}

impl<'a> Call<'a> {
    /// The text that the input has under `name`; none if it is missing, null or empty.
    pub(crate) fn optional_text(self, name: &str) -> Result<Option<&'a str>, Error> {
        match &self.input[name] {
            Json::Null => Ok(None),
            Json::String(text) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
            _ => Err(Error::new("invalid", format!("`{name}` is a text"))),
        }
    }

    /// The text that the input has under `name`.
    pub(crate) fn text(self, name: &str) -> Result<&'a str, Error> {
        self.optional_text(name)?.ok_or_else(|| Error::new("invalid", format!("`{name}` is missing")))
    }

    /// The whole number that the input has under `name`; none if it is missing or null.
    pub(crate) fn integer(self, name: &str) -> Result<Option<i64>, Error> {
        match &self.input[name] {
            Json::Null => Ok(None),
            number => {
                number.as_i64().map(Some).ok_or_else(|| Error::new("invalid", format!("`{name}` is a whole number")))
            }
        }
    }

    /// The customer that the input names under `name`, by id or by a unique field; none if none is named, or there is no such customer.
    pub(crate) fn customer(self, name: &str) -> Result<Option<Record>, Error> {
        let Some(key) = self.optional_text(name)? else { return Ok(None) };
        records::get("customer", key.strip_prefix("customer/").unwrap_or(key))
    }
}

/// An instant as people write it.
pub(crate) fn instant(json: &Json, name: &str) -> Result<Option<Timestamp>, Error> {
    let Some(text) = json.as_str() else {
        return if json.is_null() { Ok(None) } else { Err(Error::new("invalid", format!("`{name}` is an instant"))) };
    };
    let wrong = |e| Error::new("invalid", format!("`{name}` is no instant such as 2026-03-31T16:00:00Z: {e}"));
    let at: jiff::Timestamp = text.parse().map_err(wrong)?;
    Ok(Some(Timestamp(at.as_microsecond())))
}
