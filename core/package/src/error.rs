//! The one error of the package's border.

use std::io;
use std::path::PathBuf;

/// Why something is no package, or none that may be trusted.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// The bytes are no archive of ours.
    #[error("this is no package: {0}")]
    Format(String),
    /// A name that no file may have.
    #[error("a package may not hold `{path}`: {why}")]
    Path {
        /// The name, shortened.
        path: String,
        /// Why not.
        why: &'static str,
    },
    /// Two files would be one on some machine.
    #[error("a package may not hold `{0}` twice, in capital letters or small ones")]
    Twice(String),
    /// What is needed is not there.
    #[error("the package lacks `{0}`")]
    Missing(&'static str),
    /// There is too much of something.
    #[error("the package is too large: {what} is {limit}")]
    TooLarge {
        /// Of what.
        what: &'static str,
        /// The most that is allowed, with its unit.
        limit: String,
    },
    /// A file is not what the list of checksums says.
    #[error("the package was changed: {0}")]
    Changed(String),
    /// The signature is not right.
    #[error("the signature is not right: {0}")]
    Signature(String),
    /// A text is no key.
    #[error("this is no {0}")]
    Key(&'static str),
    /// A file or folder cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}
