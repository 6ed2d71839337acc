//! Files of tickets. They are attached to the comment that they came with, and its field `files` names them: a merge that takes the
//! comments along takes the files along.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rapport_sdk::{Error, Fields, Json, Reference, files, records, settings};
use serde_json::json;

use crate::attachments::{Candidate, HEAD_BYTES, TAIL_BYTES, judge};
use crate::comments::{self, Comment, Kind, unknown};
use crate::desk::Work;
use crate::input::{Input, refused};
use crate::open::answer;
use crate::ticket;

/// How large an attachment may be, in bytes.
///
/// # Errors
/// The host's.
pub(crate) fn bytes_max() -> Result<u64, Error> {
    settings::get::<i64>("attachment_bytes_max").map(|bytes| u64::try_from(bytes).unwrap_or(0))
}

/// Attaches bytes to a comment, if they may come in: what is noted of the file, or why it does not come in.
///
/// # Errors
/// The host's, but not what it says of this one file.
pub(crate) fn keep(
    comment: &Reference,
    name: &str,
    media_type: &str,
    bytes: &[u8],
    max: u64,
) -> Result<Result<Json, String>, Error> {
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let accepted = match judge(&Candidate { name, media_type, size, head: bytes, tail: bytes }, max) {
        Ok(accepted) => accepted,
        Err(unfit) => return Ok(Err(unfit.to_string())),
    };
    attach(comment, &accepted.name, accepted.media_type, bytes)
}

/// Attaches bytes that are known to be fit.
///
/// # Errors
/// As for [`keep`].
pub(crate) fn attach(
    comment: &Reference,
    name: &str,
    media_type: &str,
    bytes: &[u8],
) -> Result<Result<Json, String>, Error> {
    match files::attach(comment, name, media_type, bytes) {
        Ok(file) => Ok(Ok(noted(&file))),
        Err(error) if matches!(error.code(), "invalid" | "too_large" | "quota") => Ok(Err(error.to_string())),
        Err(error) => Err(error),
    }
}

/// What a comment says of a file.
pub(crate) fn noted(file: &files::File) -> Json {
    json!({ "id": file.id, "name": file.name, "media_type": file.media_type, "size": file.size, "sha256": file.sha256 })
}

/// Does the action `attach`: bytes in base64, or a file that has been put before.
///
/// # Errors
/// The host's.
pub(crate) fn attach_to(input: Input<'_>) -> Result<Json, Error> {
    let key = input.text("ticket")?;
    let Some(record) = ticket::find(key)? else { return Ok(unknown(key)) };
    let mut work = Work::on(&ticket::survivor(record)?)?;
    let kind = if input.optional("kind")? == Some("public") { Kind::Public } else { Kind::Internal };
    let body = input.optional("body")?.unwrap_or("A file.");
    let comment = Comment { kind, author: input.caller, body, via: "api", ..Comment::default() };
    let kept = match (input.optional("file")?, input.optional("content")?) {
        (Some(id), None) => match known(&work, id)? {
            Ok(file) => (comments::write(&work.ticket, &comment, work.now)?, file),
            Err(answer) => return Ok(answer),
        },
        (None, Some(content)) => {
            let Ok(bytes) = STANDARD.decode(content.trim()) else {
                return Ok(refused("rejected_attachment", "`content` is no base64 (with + and /, and = at its end)"));
            };
            let record = comments::write(&work.ticket, &comment, work.now)?;
            let said = input.optional("media_type")?.unwrap_or_default();
            match keep(&record.reference(), input.text("name")?, said, &bytes, bytes_max()?)? {
                Ok(file) => (record, file),
                Err(why) => {
                    records::delete(&record.reference())?;
                    return Ok(refused("rejected_attachment", why));
                }
            }
        }
        _ => {
            return Err(Error::new(
                "invalid",
                "give either `file`, the id of one, or `content` in base64 with its `name`",
            ));
        }
    };
    let (record, file) = kept;
    records::update(&record.reference(), &Fields::new().with("files", json!([file])))?;
    comments::noted(&mut work, &comment, "agent");
    let mut told = answer("ok", &work.finish()?);
    told["file"] = file;
    Ok(told)
}

/// A file that has been put before, if it may come in; one that may not is deleted.
fn known(work: &Work, id: &str) -> Result<Result<Json, Json>, Error> {
    let Some(file) = files::info(id)? else {
        return Ok(Err(refused("rejected_unknown", format!("there is no file `{id}`"))));
    };
    if file.attached.as_ref().is_some_and(|owner| *owner != work.ticket.reference()) {
        return Ok(Err(refused(
            "rejected_attachment",
            "the file belongs to another record: put it without one, or to this ticket",
        )));
    }
    let wide = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
    let head = files::read(id, 0, u32::try_from(HEAD_BYTES).unwrap_or(u32::MAX))?;
    let tail =
        files::read(id, file.size.saturating_sub(wide(TAIL_BYTES)), u32::try_from(TAIL_BYTES).unwrap_or(u32::MAX))?;
    let candidate =
        Candidate { name: &file.name, media_type: &file.media_type, size: file.size, head: &head, tail: &tail };
    match judge(&candidate, bytes_max()?) {
        Ok(_) => Ok(Ok(noted(&file))),
        Err(unfit) => {
            files::delete(id)?;
            Ok(Err(refused("rejected_attachment", unfit.to_string())))
        }
    }
}
