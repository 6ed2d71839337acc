//! Sends messages, after the slice has been committed. Right: `message:CHANNEL`.

use crate::door::messages as door;
use crate::{Error, Fields, Reference};

/// Sends a mail made from the record of the object `template` of that name, to a record with an e-mail address. Returns the key
/// that the mail carries.
///
/// # Errors
/// `denied` without the rights `message:email` and to read the record; `unknown_template`, `no_address`; `template` if a
/// variable is missing.
pub fn email(to: &Reference, template: &str, data: &Fields) -> Result<String, Error> {
    Ok(door::send("email", &to.to_string(), template, &data.to_wire())?)
}

/// Sends a mail to an address.
///
/// # Errors
/// As for [`email`]; `invalid_address`.
pub fn email_to(address: &str, template: &str, data: &Fields) -> Result<String, Error> {
    Ok(door::send("email", address, template, &data.to_wire())?)
}

/// Reports something of the type `kind` to the configured webhook `name`.
///
/// # Errors
/// `denied` without the right `message:webhook`; `unknown_webhook`.
pub fn webhook(name: &str, kind: &str, data: &Fields) -> Result<String, Error> {
    Ok(door::send("webhook", name, kind, &data.to_wire())?)
}
