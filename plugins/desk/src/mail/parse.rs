//! A message as the desk understands it: who writes, what it answers, its text, its files.

use mail_parser::{Address, HeaderValue, MessageParser, MimeHeaders, PartType};

use super::body::Content;
use super::bounds::{Bones, readable};

/// The longest text that is kept of a message, in characters.
const TEXT_CHARS_MAX: usize = 60_000;
/// The most parts.
const PARTS_MAX: usize = 200;
/// The most messages that it says it answers.
const REFERENCES_MAX: usize = 50;
/// The longest id of a message, in bytes.
const ID_BYTES_MAX: usize = 250;

/// A message.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message<'a> {
    /// Its `Message-ID` without brackets; empty: it has none.
    pub(crate) id: String,
    /// The messages that it answers: `In-Reply-To` first, then `References`, the latest first.
    pub(crate) references: Vec<String>,
    /// The address of who writes, in lower case.
    pub(crate) from: String,
    /// Its subject, in one line.
    pub(crate) subject: String,
    /// Its text: that part which is plain, else the words of its page.
    pub(crate) text: String,
    /// The first value of the headers by which one knows what a machine has written, by name in lower case.
    pub(crate) signs: Vec<(String, String)>,
    /// What is attached.
    pub(crate) attachments: Vec<Attachment<'a>>,
}

/// An attachment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attachment<'a> {
    /// Its name; empty: it has none.
    pub(crate) name: String,
    /// What it says that it is.
    pub(crate) media_type: String,
    /// Its bytes.
    pub(crate) content: Content<'a>,
}

/// Headers by which one knows what a machine has written.
const SIGNS: [&str; 8] = [
    "auto-submitted",
    "precedence",
    "list-id",
    "list-unsubscribe",
    "x-auto-response-suppress",
    "x-autoreply",
    "x-loop",
    "return-path",
];

/// Reads a message.
///
/// # Errors
/// Why it is none, or is not read.
pub(crate) fn parse(raw: &[u8]) -> Result<Message<'_>, String> {
    read(raw, &readable(raw)?)
}

/// Reads a message of which the long bodies were lifted out.
fn read<'a>(raw: &'a [u8], bones: &Bones) -> Result<Message<'a>, String> {
    let parsed = MessageParser::default()
        .parse(&bones.bytes)
        .ok_or_else(|| "it has no headers that read: send it as it is".to_owned())?;
    if parsed.parts.len() > PARTS_MAX {
        return Err(format!("it has {} parts, {PARTS_MAX} at most are read", parsed.parts.len()));
    }
    if parsed.parts.iter().any(|part| bones.cut(part.offset_header as usize, part.offset_body as usize)) {
        return Err("it says in an unusual way where its headers end: an empty line is read".into());
    }
    let from = parsed.from().and_then(first).unwrap_or_default();
    if from.is_empty() {
        return Err("it says in no `From` who writes".into());
    }
    let mut references: Vec<String> = ids(parsed.in_reply_to());
    let mut earlier = ids(parsed.references());
    earlier.reverse();
    for id in earlier {
        if !references.contains(&id) {
            references.push(id);
        }
    }
    references.truncate(REFERENCES_MAX);
    let body = parsed.text_body.first().and_then(|at| parsed.part(*at));
    let body = body.filter(|part| matches!(part.body, PartType::Text(_) | PartType::Html(_)));
    let text = body.map(|part| Content::of(part, bones, raw).text()).unwrap_or_default();
    let attachments = parsed.attachments().map(|part| attachment(part, bones, raw)).collect();
    let sign = |name: &str| {
        let value = parsed.header_raw(name)?;
        Some((name.to_owned(), value.trim().chars().take(200).collect::<String>().to_lowercase()))
    };
    Ok(Message {
        id: parsed.message_id().map(id).unwrap_or_default(),
        references,
        subject: one_line(parsed.subject().unwrap_or_default(), 250),
        text: clean(&text),
        signs: SIGNS.into_iter().filter_map(sign).collect(),
        attachments,
        from,
    })
}

/// The first address, in lower case.
fn first(address: &Address<'_>) -> Option<String> {
    let found = address.iter().find(|one| one.address.as_deref().is_some_and(is_address))?;
    Some(found.address.as_deref()?.trim().to_lowercase())
}

/// Whether this could be an address: something before and behind the only `@` outside quotes, and nothing that breaks lines.
fn is_address(text: &str) -> bool {
    let text = text.trim();
    let sides = text.rsplit_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty());
    sides && text.len() <= 254 && !text.chars().any(|c| c.is_whitespace() || c.is_control() || "<>,;".contains(c))
}

fn ids(value: &HeaderValue<'_>) -> Vec<String> {
    match value {
        HeaderValue::Text(text) => vec![id(text)],
        HeaderValue::TextList(list) => list.iter().rev().take(REFERENCES_MAX).rev().map(|text| id(text)).collect(),
        _ => Vec::new(),
    }
}

fn id(text: &str) -> String {
    let text = text.trim().trim_start_matches('<').trim_end_matches('>');
    let mut end = text.len().min(ID_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].chars().filter(|c| !c.is_control()).collect()
}

fn one_line(text: &str, chars: usize) -> String {
    let shown = text.chars().map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c });
    shown.take(chars).collect::<String>().trim().to_owned()
}

fn clean(text: &str) -> String {
    let shown = text.chars().filter(|c| matches!(c, '\n' | '\t') || !c.is_control());
    shown.take(TEXT_CHARS_MAX).collect::<String>().trim().to_owned()
}

fn attachment<'a>(part: &mail_parser::MessagePart<'_>, bones: &Bones, raw: &'a [u8]) -> Attachment<'a> {
    let kind = part.content_type();
    let media_type =
        kind.map(|kind| format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or("octet-stream"))).unwrap_or_default();
    let media_type = media_type.to_ascii_lowercase();
    let name = part.attachment_name().unwrap_or_default().to_owned();
    // A message in a message was kept from being opened.
    let message = media_type == "xessage/rfc822";
    let name = match name.as_str() {
        "" if message => "message.eml".to_owned(),
        _ if message && !name.to_lowercase().ends_with(".eml") => format!("{name}.eml"),
        _ => name,
    };
    let media_type = if message { "message/rfc822".into() } else { media_type };
    Attachment { name, media_type, content: Content::of(part, bones, raw) }
}

#[cfg(test)]
mod tests;
