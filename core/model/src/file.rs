//! Files: what there is to know of one, and what may come in. The bytes are the store's, named by their digest.

use serde::{Deserialize, Serialize};

use crate::value::nfc;

/// The system object of files. Its records say what there is to know of a file, but for its bytes.
pub const OBJECT: &str = "file";
/// The longest name of a file, in bytes.
pub const NAME_BYTES_MAX: usize = 200;
/// The longest media type, in bytes.
const MEDIA_TYPE_BYTES_MAX: usize = 100;

/// Which files may come in, and how long the bytes of those that are gone are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileRules {
    /// Bytes of one file.
    pub bytes_max: usize,
    /// Bytes of all files together.
    pub total_bytes_max: u64,
    /// The media types that files may have: `application/pdf`, or `image/*` for all that begin so. What a file says of itself is
    /// believed: its bytes are not looked at.
    pub media_types: Vec<String>,
    /// Days for which the bytes of a file that was deleted are kept, so that undo can bring it back.
    pub keep_days: u32,
}

/// What people send each other, without what a browser runs.
const MEDIA_TYPES: [&str; 20] = [
    "application/json",
    "application/msword",
    "application/pdf",
    "application/vnd.ms-excel",
    "application/vnd.oasis.opendocument.spreadsheet",
    "application/vnd.oasis.opendocument.text",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "application/zip",
    "audio/mpeg",
    "audio/wav",
    "image/gif",
    "image/jpeg",
    "image/png",
    "image/webp",
    "message/rfc822",
    "text/csv",
    "text/plain",
    "video/mp4",
];

impl Default for FileRules {
    fn default() -> Self {
        Self {
            bytes_max: 10 << 20,
            total_bytes_max: 10 << 30,
            media_types: MEDIA_TYPES.map(str::to_owned).to_vec(),
            keep_days: 30,
        }
    }
}

impl FileRules {
    /// The media type in lower case, without parameters, if files may have it.
    ///
    /// # Errors
    /// Why they may not.
    pub fn media_type(&self, text: &str) -> Result<String, String> {
        let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let token = |part: &str| {
            let ok = |b: u8| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b);
            !part.is_empty() && part.bytes().all(ok)
        };
        let shaped = essence.split_once('/').is_some_and(|(kind, sub)| token(kind) && token(sub));
        if !shaped || essence.len() > MEDIA_TYPE_BYTES_MAX {
            return Err("a media type is written as `application/pdf`".into());
        }
        let taken = |allowed: &String| match allowed.strip_suffix('*') {
            Some(prefix) => essence.starts_with(prefix),
            None => *allowed == essence,
        };
        if self.media_types.iter().any(taken) {
            return Ok(essence);
        }
        Err(format!(
            "files of the type `{essence}` are not taken here: `media_types` in [files] of the configuration says which are"
        ))
    }
}

/// The name of a file as it is kept: in NFC.
///
/// # Errors
/// What is wrong with it: it is empty, too long, a path, or holds what hides what it is.
pub fn name(text: &str) -> Result<String, String> {
    let name = nfc(text);
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(format!("the name of a file has 1 to {NAME_BYTES_MAX} bytes"));
    }
    if name.contains(['/', '\\']) || matches!(&*name, "." | "..") {
        return Err("the name of a file is no path".into());
    }
    // What turns the direction of writing makes `gpj.exe` look like `exe.jpg`.
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if name.chars().any(|c| c.is_control() || turns(c)) {
        return Err("the name of a file holds no characters that cannot be seen".into());
    }
    if name.trim() != &*name {
        return Err("the name of a file neither begins nor ends with a space".into());
    }
    Ok(name.as_ref().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_path_and_hides_nothing() {
        for bad in ["", ".", "..", "../../x", "a/b", "a\\b", "a\nb", "a\0", " a", "a ", "cod\u{202e}fdp.exe"] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
        assert!(name(&"ä".repeat(NAME_BYTES_MAX)).is_err());
        assert_eq!(name("Re\u{301}sume\u{301} 报价.pdf").unwrap(), "Résumé 报价.pdf");
    }

    #[test]
    fn a_media_type_is_one_of_those_taken() {
        let rules = FileRules { media_types: vec!["image/*".into(), "text/plain".into()], ..FileRules::default() };
        assert_eq!(rules.media_type("Text/Plain; charset=utf-8").unwrap(), "text/plain");
        assert_eq!(rules.media_type("image/avif").unwrap(), "image/avif");
        for bad in ["text/html", "imagex/png", "", "text", "text/", "text/pl ain", "/"] {
            assert!(rules.media_type(bad).is_err(), "{bad:?}");
        }
        assert!(FileRules::default().media_type("text/html").is_err());
    }
}
