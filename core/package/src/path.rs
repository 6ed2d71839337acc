//! The names that files in a package may have: those that mean one file, below the folder, on every machine.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use crate::error::PackageError;

/// The longest name, in bytes: what a tar header holds without extensions.
pub const PATH_BYTES_MAX: usize = 100;
/// Names that Windows keeps for devices, with any extension.
const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];

/// The name of a file in a package, such as `schemas/redeem.json`: steps of `A-Z`, `a-z`, `0-9`, `.`, `-` and `_`, joined by `/`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PackagePath(String);

impl PackagePath {
    /// Checks `text` and makes it a name.
    ///
    /// # Errors
    /// [`PackageError::Path`] that says why it cannot be one.
    pub fn new(text: &str) -> Result<Self, PackageError> {
        match problem(text) {
            None => Ok(Self(text.to_owned())),
            Some(why) => Err(PackageError::Path { path: text.escape_default().take(100).collect(), why }),
        }
    }

    /// The text of the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as machines see it that take capital letters for small ones.
    pub(crate) fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

fn problem(text: &str) -> Option<&'static str> {
    if text.is_empty() || text.len() > PATH_BYTES_MAX {
        return Some("a name has 1 to 100 bytes");
    }
    if text.contains('\\') {
        return Some("a `\\` separates folders on some machines alone");
    }
    if text.as_bytes().get(1) == Some(&b':') {
        return Some("it names a drive");
    }
    if text.starts_with('/') {
        return Some("it does not lie below the package's folder");
    }
    let ok = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'/');
    if !text.bytes().all(ok) {
        return Some("names are letters A to Z, digits, `.`, `-`, `_` and `/`");
    }
    text.split('/').find_map(step_problem)
}

fn step_problem(step: &str) -> Option<&'static str> {
    let stem = step.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let numbered = stem.len() == 4 && (stem.starts_with("com") || stem.starts_with("lpt"));
    match step {
        "" => Some("it has an empty step"),
        "." | ".." => Some("it climbs"),
        _ if step.starts_with('.') => Some("hidden files stay at home"),
        _ if step.ends_with('.') => Some("a `.` at its end is dropped on some machines"),
        _ if DEVICES.contains(&stem.as_str()) || numbered => Some("it names a device on some machines"),
        _ => None,
    }
}

impl fmt::Display for PackagePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for PackagePath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for PackagePath {
    type Err = PackageError;
    fn from_str(text: &str) -> Result<Self, PackageError> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_one_file_on_every_machine() {
        for good in ["plugin.toml", "schemas/redeem.json", "README.md", "a-b_c.wasm", "x"] {
            assert!(PackagePath::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a/..",
            ".",
            "./a",
            "a//b",
            "a/",
            "C:/x",
            "c:x",
            "a\\b",
            "\\\\host\\x",
            "a\0b",
            "a b",
            "é",
            "e\u{301}",
            ".git/config",
            "a/.hidden",
            "con",
            "NUL.txt",
            "aux/x",
            "com1.wasm",
            "a.",
            "a:b",
            "a\nb",
            "~",
            "\u{202e}gpj.exe",
        ] {
            assert!(PackagePath::new(bad).is_err(), "{bad:?}");
        }
        assert!(PackagePath::new(&"a".repeat(101)).is_err());
    }
}
