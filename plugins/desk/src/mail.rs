//! Mail in: a raw message (RFC 5322) becomes a comment on its ticket, or a ticket.
//!
//! ```text
//! bytes ─bounds─▶ parsed ─▶ known already? loop? ─▶ whose? ─thread─▶ comment on its ticket, or a new one ─▶ files
//! ```
//! Nothing is half done: whatever is refused is refused before the first record is written.

mod body;
mod bounds;
mod incoming;
mod loops;
mod parse;
mod quote;
mod scan;
mod thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rapport_sdk::route::{Request, Response};
use rapport_sdk::{Error, Json, files, settings};

use crate::input::{Input, refused};

use parse::parse;

/// The longest message that does not come as a file, in bytes: what the setting says, and not more than a slice can write.
fn bytes_max() -> Result<usize, Error> {
    let bytes: i64 = settings::get("mail_bytes_max")?;
    Ok(usize::try_from(bytes).unwrap_or(0).min(incoming::MESSAGE_BYTES_MAX))
}

/// Answers `POST /mail`: the body is the message.
///
/// # Errors
/// The host's.
pub(crate) fn post(request: &Request) -> Result<Response, Error> {
    let told = take(&request.body, None)?;
    Ok(Response::json(status_of(&told), &told))
}

fn status_of(told: &Json) -> u16 {
    match told["result"].as_str().unwrap_or_default() {
        "rejected_size" => 413,
        "rejected_rate" => 429,
        result if result.starts_with("rejected") => 422,
        _ => 200,
    }
}

/// Does the action `mail_in`: the message as text, in base64, or as a file that has been put before.
///
/// # Errors
/// The host's.
pub(crate) fn action(input: Input<'_>) -> Result<Json, Error> {
    match (input.optional("message")?, input.optional("base64")?, input.optional("file")?) {
        (Some(message), None, None) => take(message.as_bytes(), None),
        (None, Some(encoded), None) => match STANDARD.decode(encoded.trim()) {
            Ok(bytes) => take(&bytes, None),
            Err(_) => Ok(refused("rejected_message", "`base64` is no base64 (with + and /, and = at its end)")),
        },
        (None, None, Some(id)) => {
            let Some(file) = files::info(id)? else {
                return Ok(refused("rejected_unknown", format!("there is no file `{id}`")));
            };
            let limit = u64::try_from(incoming::FILE_BYTES_MAX).unwrap_or(u64::MAX);
            if file.size > limit {
                return Ok(refused(
                    "rejected_size",
                    format!("the message has {} bytes, {limit} at most are taken", file.size),
                ));
            }
            let bytes = files::read(id, 0, u32::try_from(file.size).unwrap_or(u32::MAX))?;
            take(&bytes, Some(&file))
        }
        _ => Err(Error::new("invalid", "give one of `message`, `base64` and `file`")),
    }
}

/// Takes a message in.
fn take(raw: &[u8], file: Option<&files::File>) -> Result<Json, Error> {
    let limit = bytes_max()?;
    if file.is_none() && raw.len() > limit {
        let way_out = "larger ones are put as a file first, and `desk.mail_in` is given its id";
        return Ok(refused(
            "rejected_size",
            format!("the message has {} bytes, {limit} at most are taken: {way_out}", raw.len()),
        ));
    }
    match parse(raw) {
        Ok(message) => incoming::take(&message, raw, file),
        Err(why) => Ok(refused("rejected_message", why)),
    }
}
