//! Packages of plugins: what a partner hands on and an admin installs.
//!
//! A package is a tar archive (ustar, plain files alone, sorted, all metadata zero) in gzip, so that any tool opens it and the same
//! files make the same bytes on every machine. Beside the plugin's files it holds `checksums` (SHA-256 of each, as
//! `sha256sum --check` reads them) and, if it is signed, `signature`: the publisher's ed25519 signature of that list. What it
//! is, is named by the digest of the list, whoever signed it and however it was compressed.
//!
//! Reading is strict: an archive that this crate would not have written is refused, whatever is odd about it. Nothing is
//! unpacked to a disk to be looked at, and nothing here opens a connection, reads a clock or draws a random number.

mod archive;
mod checksums;
mod error;
pub mod folder;
pub mod key;
mod path;
mod signature;
mod tar;

use std::collections::BTreeMap;

use rapport_model::Digest;

pub use archive::{ARCHIVE_BYTES_MAX, CONTENT_BYTES_MAX, FILES_MAX};
pub use error::PackageError;
pub use key::{PublicKey, Rotation, SecretKey};
pub use path::{PATH_BYTES_MAX, PackagePath};
pub use signature::Signature;

/// The name of the manifest.
pub const MANIFEST: &str = "plugin.toml";
/// The name of the list of checksums.
pub const CHECKSUMS: &str = "checksums";
/// The name of the signature.
pub const SIGNATURE: &str = "signature";
/// What the name of a package's file ends in.
pub const EXTENSION: &str = "rapport";

/// The files of a plugin, with the signature if there is one. Both have been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    files: BTreeMap<PackagePath, Vec<u8>>,
    signature: Option<Signature>,
}

impl Package {
    /// A package of these files, unsigned.
    ///
    /// # Errors
    /// [`PackageError`] if there is no manifest, a name is taken twice or is the package's own, or there is too much.
    pub fn new(files: impl IntoIterator<Item = (PackagePath, Vec<u8>)>) -> Result<Self, PackageError> {
        let mut kept = BTreeMap::new();
        for (path, content) in files {
            if kept.insert(path.clone(), content).is_some() {
                return Err(PackageError::Twice(path.to_string()));
            }
        }
        archive::check(&kept)?;
        Ok(Self { files: kept, signature: None })
    }

    /// Reads and verifies an archive.
    ///
    /// # Errors
    /// [`PackageError`] with what is wrong: it is no package, it holds what a package may not hold, a file was changed, or the
    /// signature is not that of its key.
    pub fn read(bytes: &[u8]) -> Result<Self, PackageError> {
        let (files, signature) = archive::read(bytes)?;
        Ok(Self { files, signature })
    }

    /// The archive: the same files and signature give the same bytes.
    #[must_use]
    pub fn pack(&self) -> Vec<u8> {
        archive::write(&self.files, self.signature.as_ref())
    }

    /// The files alone, as a plain tar: what a host that has verified the package keeps of it. The same files give the same bytes.
    #[must_use]
    pub fn to_tar(&self) -> Vec<u8> {
        tar::write(self.files().map(|(path, content)| (path.as_str(), content)))
    }

    /// Reads what [`Package::to_tar`] wrote; unsigned.
    ///
    /// # Errors
    /// [`PackageError`] for anything else.
    pub fn from_tar(bytes: &[u8]) -> Result<Self, PackageError> {
        Self::new(tar::read(bytes, FILES_MAX)?.into_iter().map(|(path, content)| (path, content.to_vec())))
    }

    /// Signs the package in the name of `publisher`, in place of the signature that it has. `rotations` lead from keys that the
    /// publisher had before to `key`, oldest first.
    ///
    /// # Errors
    /// [`PackageError::Signature`] if the publisher's name or the rotations do not fit.
    pub fn sign(&mut self, publisher: &str, key: &SecretKey, rotations: Vec<Rotation>) -> Result<(), PackageError> {
        self.signature = Some(Signature::make(&self.checksums(), publisher, key, rotations)?);
        Ok(())
    }

    /// The list of checksums.
    #[must_use]
    pub fn checksums(&self) -> String {
        checksums::list(&self.files)
    }

    /// Names the content: the digest of the list of checksums.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.checksums().as_bytes())
    }

    /// The signature; it has been verified.
    #[must_use]
    pub const fn signature(&self) -> Option<&Signature> {
        self.signature.as_ref()
    }

    /// The content of the file `path`.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(Vec::as_slice)
    }

    /// The files in the order of their names; `checksums` and `signature` are not among them.
    pub fn files(&self) -> impl Iterator<Item = (&PackagePath, &[u8])> {
        self.files.iter().map(|(path, content)| (path, content.as_slice()))
    }
}
