//! What may be attached: the name, what it says of itself, and its first bytes must agree.
//!
//! A file is judged by its ending; the media type that came along and the bytes must be those of that ending. Whatever a computer would
//! run is refused wherever its ending stands in the name, so that `invoice.pdf.exe` and `invoice.exe.pdf` do not come in.

use std::fmt;

use crate::archive;

/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 180;
/// How many of the last bytes of an archive are looked at, for what it holds.
pub(crate) const TAIL_BYTES: usize = 256 << 10;
/// How many of the first bytes are looked at.
pub(crate) const HEAD_BYTES: usize = 8 << 10;

/// What the first bytes are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Magic {
    /// One of these beginnings.
    Begins(&'static [&'static [u8]]),
    /// `RIFF`, a length, and this.
    Riff(&'static [u8]),
    /// A length, and `ftyp`.
    Film,
    /// An archive, which is looked into.
    Zip,
    /// Text: no zero byte, and no beginning of something else.
    Text,
}

/// Endings, the media types that files with them have (the first is the one that is kept), and their first bytes.
const KINDS: [(&str, &[&str], Magic); 26] = [
    ("pdf", &["application/pdf"], Magic::Begins(&[b"%PDF-"])),
    ("png", &["image/png"], Magic::Begins(&[b"\x89PNG\r\n\x1a\n"])),
    ("jpg", &["image/jpeg", "image/jpg"], Magic::Begins(&[b"\xff\xd8\xff"])),
    ("jpeg", &["image/jpeg", "image/jpg"], Magic::Begins(&[b"\xff\xd8\xff"])),
    ("gif", &["image/gif"], Magic::Begins(&[b"GIF87a", b"GIF89a"])),
    ("webp", &["image/webp"], Magic::Riff(b"WEBP")),
    ("wav", &["audio/wav", "audio/x-wav", "audio/wave"], Magic::Riff(b"WAVE")),
    ("mp3", &["audio/mpeg", "audio/mp3"], Magic::Begins(&[b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b"\xff\xfa"])),
    ("mp4", &["video/mp4"], Magic::Film),
    ("docx", &["application/vnd.openxmlformats-officedocument.wordprocessingml.document"], Magic::Zip),
    ("xlsx", &["application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"], Magic::Zip),
    ("pptx", &["application/vnd.openxmlformats-officedocument.presentationml.presentation"], Magic::Zip),
    ("odt", &["application/vnd.oasis.opendocument.text"], Magic::Zip),
    ("ods", &["application/vnd.oasis.opendocument.spreadsheet"], Magic::Zip),
    ("zip", &["application/zip", "application/x-zip-compressed"], Magic::Zip),
    ("doc", &["application/msword"], Magic::Begins(&[b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"])),
    ("xls", &["application/vnd.ms-excel"], Magic::Begins(&[b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"])),
    ("txt", &["text/plain"], Magic::Text),
    ("log", &["text/plain", "text/x-log"], Magic::Text),
    ("md", &["text/plain", "text/markdown"], Magic::Text),
    ("ics", &["text/plain", "text/calendar"], Magic::Text),
    ("vcf", &["text/plain", "text/vcard", "text/x-vcard"], Magic::Text),
    ("csv", &["text/csv", "text/plain", "application/csv", "application/vnd.ms-excel"], Magic::Text),
    ("tsv", &["text/plain", "text/tab-separated-values"], Magic::Text),
    ("json", &["application/json", "text/json", "text/plain"], Magic::Text),
    ("eml", &["message/rfc822", "text/plain"], Magic::Text),
];

/// Endings of what a computer or a browser runs.
const RUN: [&str; 50] = [
    "exe", "com", "scr", "pif", "bat", "cmd", "msi", "msp", "dll", "cpl", "sys", "jar", "class", "js", "jse", "mjs",
    "vbs", "vbe", "wsf", "wsh", "hta", "ps1", "psm1", "sh", "bash", "zsh", "py", "pl", "rb", "php", "lnk", "url",
    "reg", "inf", "html", "htm", "xhtml", "mht", "svg", "swf", "xml", "apk", "ipa", "dmg", "iso", "img", "docm",
    "xlsm", "pptm", "app",
];

/// Beginnings of what is no text, whatever its name says.
const NO_TEXT: [&[u8]; 9] = [
    b"MZ",
    b"\x7fELF",
    b"PK\x03\x04",
    b"%PDF-",
    b"\x89PNG",
    b"\xd0\xcf\x11\xe0",
    b"\xca\xfe\xba\xbe",
    b"Rar!",
    b"\xff\xd8\xff",
];

/// A file that is to be attached, or the parts of it that are looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate<'a> {
    pub(crate) name: &'a str,
    /// What it says of itself; empty: nothing.
    pub(crate) media_type: &'a str,
    pub(crate) size: u64,
    /// The first [`HEAD_BYTES`] or more.
    pub(crate) head: &'a [u8],
    /// The last [`TAIL_BYTES`] or more.
    pub(crate) tail: &'a [u8],
}

/// A file that may come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Accepted {
    /// Its name, without what a name may not hold.
    pub(crate) name: String,
    /// The media type of its ending.
    pub(crate) media_type: &'static str,
}

/// Why a file does not come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unfit(pub(crate) String);

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name without folders, control characters and what turns the direction of writing, no longer than a name may be.
pub(crate) fn clean_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    let shown: String = last.chars().filter(|c| !hidden(*c)).collect();
    let shown = shown.trim_matches(|c: char| c.is_whitespace() || c == '.');
    if shown.len() <= NAME_BYTES_MAX {
        return shown.to_owned();
    }
    // The ending stays: it says what the file is.
    let ending = shown.rfind('.').filter(|dot| shown.len() - dot <= 10).map_or("", |dot| &shown[dot..]);
    let mut end = NAME_BYTES_MAX - ending.len();
    while !shown.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{ending}", shown[..end].trim_end())
}

/// Judges a file.
///
/// # Errors
/// Why it does not come in, for whoever wanted to attach it.
pub(crate) fn judge(file: &Candidate<'_>, bytes_max: u64) -> Result<Accepted, Unfit> {
    let name = clean_name(file.name);
    let refuse = |why: String| Err(Unfit(format!("`{name}` is not taken: {why}")));
    if file.size == 0 {
        return refuse("it is empty".into());
    }
    if file.size > bytes_max {
        return refuse(format!("it has {} bytes, {bytes_max} at most are taken", file.size));
    }
    if let Some(ending) = ending_that_runs(&name) {
        return refuse(format!("files with `.{ending}` in their name can be run"));
    }
    let Some((_, ending)) = name.rsplit_once('.') else {
        return refuse("its name has no ending that says what it is".into());
    };
    let ending = ending.trim().to_lowercase();
    let Some((_, types, magic)) = KINDS.iter().find(|(known, ..)| *known == ending) else {
        return refuse(format!("files that end in `.{ending}` are not taken"));
    };
    let said = file.media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if !said.is_empty() && said != "application/octet-stream" && !types.contains(&said.as_str()) {
        return refuse(format!("it ends in `.{ending}` and says that it is `{said}`"));
    }
    if !is_like(*magic, file.head) {
        return refuse(format!("it ends in `.{ending}`, and its bytes are those of something else"));
    }
    if *magic == Magic::Zip
        && let Err(why) = archive::judge(file.tail, file.size, ending == "zip")
    {
        return refuse(why);
    }
    Ok(Accepted { media_type: types[0], name })
}

/// An ending in a name that makes a file run. `example.com.pdf` is a picture of a site.
pub(crate) fn ending_that_runs(name: &str) -> Option<String> {
    let mut parts = name.split('.').skip(1).map(|part| part.trim().to_lowercase()).peekable();
    while let Some(part) = parts.next() {
        let inner = parts.peek().is_some();
        if RUN.contains(&part.as_str()) && !(inner && part == "com") {
            return Some(part);
        }
    }
    None
}

fn is_like(magic: Magic, head: &[u8]) -> bool {
    match magic {
        Magic::Begins(all) => all.iter().any(|beginning| head.starts_with(beginning)),
        Magic::Riff(kind) => head.starts_with(b"RIFF") && head.get(8..12) == Some(kind),
        Magic::Film => head.get(4..8) == Some(b"ftyp"),
        Magic::Zip => head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06"),
        Magic::Text => {
            let is_other = NO_TEXT.iter().any(|beginning| head.starts_with(beginning));
            // UTF-16 has zero bytes, and says so.
            let wide = head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff");
            !is_other && (wide || !head.contains(&0)) && !looks_like_page(head)
        }
    }
}

/// Whether a browser would take these bytes for a page.
fn looks_like_page(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(&head[..head.len().min(512)]).trim_start().to_ascii_lowercase();
    ["<!doctype html", "<html", "<script", "<svg", "<?xml"].iter().any(|beginning| text.starts_with(beginning))
}

#[cfg(test)]
mod tests;
