//! Takes a message that was read: once, onto its ticket, with its files.

use rapport_sdk::{Error, Fields, Json, Record, Reference, Timestamp, clock, files, log, records, settings};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::loops;
use super::parse::{Attachment, Message};
use super::quote::without_quoted;
use super::thread::{Place, place};
use crate::attachments::clean_name;
use crate::comments::{self, Comment, Kind};
use crate::desk::Work;
use crate::input::{hex, refused};
use crate::open::{self, Opening, answer};
use crate::status::Status;
use crate::{files as kept, links};

/// The longest message that does not come as a file, in bytes: it is written down as it came.
pub(super) const MESSAGE_BYTES_MAX: usize = 1_000_000;
/// The longest message that is read from a file, in bytes: a slice is given 4 MiB.
pub(super) const FILE_BYTES_MAX: usize = 3_500_000;
/// What a slice writes at most, in bytes.
const WRITTEN_BYTES_MAX: usize = 1 << 20;
/// What is left of that for records, notes and events, in bytes.
const RECORDS_BYTES: usize = 32 << 10;
/// Messages without an id that are known by all of their bytes; of a longer one the first and the last half of so many bytes are hashed.
const HASHED_BYTES_MAX: usize = 32 << 10;
/// The most attachments of one message that are kept.
const ATTACHMENTS_MAX: usize = 30;
/// What it may take to decode attachments, in units of fuel: half of what a slice has by default (`limits.slice_fuel_max`).
const EFFORT_MAX: usize = 25_000_000;
/// Microseconds of an hour.
const HOUR: i64 = 3_600_000_000;
/// How many times as many mails as are answered are taken at all.
const FLOOD: i64 = 5;

/// What is known of a message before it is taken.
struct Coming<'a> {
    message: &'a Message<'a>,
    raw: &'a [u8],
    /// The file that it came as, if it did.
    file: Option<&'a files::File>,
    /// What makes it one.
    key: String,
    /// Why a machine has written it; none if a person has.
    automatic: Option<String>,
}

/// Takes a message.
///
/// # Errors
/// The host's.
pub(super) fn take(message: &Message<'_>, raw: &[u8], file: Option<&files::File>) -> Result<Json, Error> {
    let key = key_of(message, raw);
    if let Some(known) = records::get(comments::OBJECT, &format!("mail_key:{key}"))? {
        let ticket = known.read::<Reference>("ticket")?.map(|ticket| ticket.id);
        return Ok(json!({ "result": "duplicate_ignored", "ticket": ticket, "comment": known.id }));
    }
    let own: Json = settings::get("addresses")?;
    if own.as_array().into_iter().flatten().filter_map(Json::as_str).any(|own| own.eq_ignore_ascii_case(&message.from))
    {
        log::warn("a mail from the desk's own address came in: it is not taken, since it would go round");
        return Ok(json!({ "result": "ignored_loop", "reason": "it is from the desk's own address" }));
    }
    let (written, limit) = (lately(&message.from)?, settings::get::<i64>("mails_per_hour")?);
    if limit > 0 && written >= limit.saturating_mul(FLOOD) {
        return Ok(refused(
            "rejected_rate",
            format!("{written} mails of one sender came within an hour: no more are taken until some have passed"),
        ));
    }
    let many = (limit > 0 && written >= limit).then(|| format!("{written} mails of one sender within an hour"));
    let coming = Coming { message, raw, file, key, automatic: loops::automatic(message).or(many) };
    match place(message)? {
        Place::On(record) => coming.onto(&record),
        Place::Strange(record) => coming.anew(Some((&record, "relates"))),
        Place::Nowhere => coming.anew(None),
    }
}

/// A message is known by its sender and its id; one without id by its bytes, a long one by its length, its ends, and a sum of all.
fn key_of(message: &Message<'_>, raw: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(message.from.as_bytes());
    hash.update([0]);
    if !message.id.is_empty() {
        hash.update(message.id.as_bytes());
    } else if raw.len() <= HASHED_BYTES_MAX {
        hash.update(raw);
    } else {
        let half = HASHED_BYTES_MAX / 2;
        hash.update(&raw[..half]);
        hash.update(&raw[raw.len() - half..]);
        hash.update(u64::try_from(raw.len()).unwrap_or(u64::MAX).to_le_bytes());
        hash.update(sum(raw).to_le_bytes());
    }
    hex(&hash.finalize())
}

/// A sum that tells apart what differs anywhere, unless somebody means it not to.
/// To hash each byte would take most of what a slice may use.
fn sum(bytes: &[u8]) -> u64 {
    // A large odd number: each step can be undone, so that two sums that differ stay different while the same follows.
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let (words, rest) = bytes.as_chunks::<8>();
    let step = |sum: u64, word: u64| (sum ^ word).wrapping_mul(FACTOR).rotate_left(29);
    let sum = words.iter().fold(0, |sum, word| step(sum, u64::from_le_bytes(*word)));
    rest.iter().fold(sum, |sum, byte| step(sum, u64::from(*byte)))
}

/// How many mails of a sender have come within the last hour.
fn lately(from: &str) -> Result<i64, Error> {
    let since = Timestamp(clock::now().0 - HOUR);
    let query = records::find(comments::OBJECT).filter("author == a && via == 'mail' && at > since");
    query.param("a", from).param("since", since).count().map(|count| i64::try_from(count).unwrap_or(i64::MAX))
}

impl Coming<'_> {
    /// What was written, as far as it has room beside the message: it is written down twice, with the ticket and with the comment.
    fn text(&self) -> String {
        let mut text = without_quoted(&self.message.text);
        let mut end = (self.room() / 2).min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text
    }

    /// What may be written beside the message, in bytes.
    fn room(&self) -> usize {
        let message = if self.file.is_some() { 0 } else { self.raw.len() };
        (WRITTEN_BYTES_MAX - RECORDS_BYTES).saturating_sub(message)
    }

    /// Takes it as a comment on its ticket.
    fn onto(&self, record: &Record) -> Result<Json, Error> {
        let mut work = Work::on(record)?;
        if work.ticket.status == Status::Closed && self.automatic.is_none() {
            return self.anew(Some((record, "follows")));
        }
        let text = self.text();
        let comment = self.comment(&text, Kind::Public);
        let written = if let Some(why) = &self.automatic {
            // It moves nothing: a ticket that waits for an answer has not got one.
            let body = format!("{text}\n\n(Taken for an automatic mail: {why}.)");
            let written =
                comments::write(&work.ticket, &Comment { body: &body, kind: Kind::Internal, ..comment }, work.now)?;
            comments::noted(&mut work, &Comment { kind: Kind::Internal, ..comment }, "machine");
            written
        } else {
            comments::heard(&mut work, &comment)?
        };
        let files = self.keep(&written, &text, &work)?;
        let mut told = answer("ok", &work.finish()?);
        self.tell(&mut told, &written, &files, true);
        Ok(told)
    }

    /// Opens a ticket with it.
    fn anew(&self, linked: Option<(&Record, &str)>) -> Result<Json, Error> {
        let message = self.message;
        let customer = records::get("customer", &format!("email:{}", message.from))?;
        let text = self.text();
        let opening = Opening {
            subject: if message.subject.is_empty() { "(no subject)" } else { &message.subject },
            description: &text,
            requester: Some(&message.from),
            language: Some(crate::kb::language_of(&text)),
            channel: Some("mail"),
            priority: self.automatic.as_ref().map(|_| "low"),
            tags: if self.automatic.is_some() { vec!["automatic"] } else { Vec::new() },
            customer,
            ..Opening::default()
        };
        let mut work = open::begin(&opening)?;
        let written = comments::write(&work.ticket, &self.comment(&text, Kind::Public), work.now)?;
        let files = self.keep(&written, &text, &work)?;
        if let Some((other, kind)) = linked {
            let named = other.text("number")?.unwrap_or_default();
            let body = match kind {
                "follows" => format!("It answers {named}, which is closed."),
                _ => format!(
                    "It names {named}, and its sender has nothing to do with that ticket: look before you tell anything of it."
                ),
            };
            note(&work, &body)?;
            links::join(&work.ticket.reference(), &other.reference(), kind)?;
        }
        match &self.automatic {
            Some(why) => {
                note(&work, &format!("Taken for an automatic mail: {why}. It is not answered by itself."))?;
            }
            None => open::acknowledge(&mut work)?,
        }
        let mut told = answer("ok", &work.finish()?);
        self.tell(&mut told, &written, &files, false);
        Ok(told)
    }

    fn comment<'a>(&'a self, body: &'a str, kind: Kind) -> Comment<'a> {
        let id = Some(self.message.id.as_str()).filter(|id| !id.is_empty());
        Comment {
            kind,
            author: &self.message.from,
            body,
            via: "mail",
            message: None,
            mail_id: id,
            mail_key: Some(&self.key),
        }
    }

    /// Keeps the original and what may come in of its attachments, and notes why the others did not.
    fn keep(&self, comment: &Record, text: &str, work: &Work) -> Result<Vec<Json>, Error> {
        let owner = comment.reference();
        let mut noted = Vec::new();
        let mut room = self.room().saturating_sub(2 * text.len());
        match self.file {
            Some(file) => {
                let mut file = kept::noted(file);
                file["original"] = true.into();
                noted.push(file);
            }
            None => match kept::attach(&owner, "original.eml", "message/rfc822", self.raw)? {
                Ok(mut file) => {
                    file["original"] = true.into();
                    noted.push(file);
                }
                Err(why) => noted.push(json!({ "name": "original.eml", "refused": why })),
            },
        }
        let (limit, mut effort) = (kept::bytes_max()?, EFFORT_MAX);
        for (at, attachment) in self.message.attachments.iter().enumerate() {
            let name = name_of(attachment, at);
            let refuse = |why: String| json!({ "name": clean_name(&name), "refused": why });
            if at >= ATTACHMENTS_MAX {
                let why = format!("only the first {ATTACHMENTS_MAX} attachments are kept; the original has all");
                noted.push(json!({ "name": "…", "refused": why }));
                break;
            }
            let crowded = || refuse("there is no room for it beside the others; the original has it".into());
            // Nothing is decoded that would not come in.
            if attachment.content.least() > room {
                noted.push(crowded());
                continue;
            }
            let Some(left) = effort.checked_sub(attachment.content.effort()) else {
                noted.push(refuse("it takes too long to read it out of a message; the original has it".into()));
                continue;
            };
            effort = left;
            let bytes = attachment.content.decoded();
            if bytes.len() > room {
                noted.push(crowded());
                continue;
            }
            match kept::keep(&owner, &name, &attachment.media_type, &bytes, limit)? {
                Ok(file) => {
                    room -= bytes.len();
                    noted.push(file);
                }
                Err(why) => noted.push(refuse(why)),
            }
        }
        records::update(&owner, &Fields::new().with("files", Json::from(noted.clone())))?;
        let refused: Vec<String> =
            noted.iter().filter_map(|file| file["refused"].as_str().map(str::to_owned)).collect();
        if !refused.is_empty() {
            note(work, &format!("Not all that was attached is kept:\n{}", refused.join("\n")))?;
        }
        Ok(noted)
    }

    fn tell(&self, told: &mut Json, comment: &Record, files: &[Json], threaded: bool) {
        told["comment"] = comment.id.as_str().into();
        told["threaded"] = threaded.into();
        told["automatic"] = self.automatic.clone().into();
        told["files"] = files.into();
    }
}

/// Notes something for those who work on it.
fn note(work: &Work, body: &str) -> Result<(), Error> {
    let note = Comment { kind: Kind::Internal, author: "desk", body, via: "desk", ..Comment::default() };
    comments::write(&work.ticket, &note, work.now).map(drop)
}

/// The name of an attachment; for one that has none, what it is.
fn name_of(attachment: &Attachment<'_>, at: usize) -> String {
    if !clean_name(&attachment.name).is_empty() {
        return attachment.name.clone();
    }
    let ending = match attachment.media_type.as_str() {
        "text/plain" => "txt",
        "text/html" => "html",
        "image/jpeg" => "jpg",
        "message/rfc822" => "eml",
        other => other.split('/').nth(1).unwrap_or("bin"),
    };
    format!("attachment-{}.{ending}", at + 1)
}
