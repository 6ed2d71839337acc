//! The signature of a package: a publisher's word for the list of its checksums.

use serde::{Deserialize, Serialize};

use crate::error::PackageError;
use crate::key::{PublicKey, Rotation, SecretKey, decode, encode};

const FORMAT: &str = "rapport-signature-1";
/// The most keys that a publisher had before.
const ROTATIONS_MAX: usize = 16;
/// The longest name of a publisher, in bytes.
const PUBLISHER_BYTES_MAX: usize = 400;

/// Who signed a package. One that was read from a package has been verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    format: String,
    /// The publisher, as the package's manifest names it.
    pub publisher: String,
    /// The key that signed.
    pub key: PublicKey,
    #[serde(rename = "signature")]
    proof: String,
    /// How the publisher's earlier keys led to this one, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rotations: Vec<Rotation>,
}

impl Signature {
    /// Signs a list of checksums.
    ///
    /// # Errors
    /// [`PackageError::Signature`] if the publisher's name or the rotations do not fit.
    pub(crate) fn make(
        checksums: &str,
        publisher: &str,
        key: &SecretKey,
        rotations: Vec<Rotation>,
    ) -> Result<Self, PackageError> {
        let proof = encode(&key.sign(&message(publisher, checksums.as_bytes())));
        let made = Self { format: FORMAT.into(), publisher: publisher.into(), key: key.public(), proof, rotations };
        made.verify(checksums.as_bytes())?;
        Ok(made)
    }

    /// Reads the signature file of a package with these checksums, and verifies it.
    ///
    /// # Errors
    /// [`PackageError::Signature`].
    pub(crate) fn read(text: &[u8], checksums: &[u8]) -> Result<Self, PackageError> {
        let wrong = |what: String| PackageError::Signature(what);
        let read: Self = serde_json::from_slice(text).map_err(|e| wrong(format!("it cannot be read: {e}")))?;
        if read.to_text().as_bytes() != text {
            return Err(wrong("it is not in its own form".into()));
        }
        read.verify(checksums)?;
        Ok(read)
    }

    /// The signature as a package holds it.
    pub(crate) fn to_text(&self) -> String {
        let text = serde_json::to_string_pretty(self).expect("texts and lists of texts are JSON");
        text + "\n"
    }

    fn verify(&self, checksums: &[u8]) -> Result<(), PackageError> {
        let wrong = |what: &str| Err(PackageError::Signature(what.to_owned()));
        if self.format != FORMAT {
            return wrong("it has another format: this program may be too old for it");
        }
        let named = !self.publisher.trim().is_empty() && self.publisher.len() <= PUBLISHER_BYTES_MAX;
        if !named || self.publisher.chars().any(char::is_control) {
            return wrong("its publisher has no name that can be shown");
        }
        if self.rotations.len() > ROTATIONS_MAX {
            return wrong("it names more than 16 earlier keys");
        }
        if !decode::<64>(&self.proof).is_some_and(|s| self.key.verifies(&message(&self.publisher, checksums), &s)) {
            return wrong("its key did not sign these files for this publisher");
        }
        for (i, rotation) in self.rotations.iter().enumerate() {
            let next = self.rotations.get(i + 1).map_or(self.key, |next| next.from);
            if rotation.to != next {
                return wrong("its earlier keys do not lead to its key");
            }
            if !rotation.holds(&self.publisher) {
                return wrong("an earlier key did not sign the one after it");
            }
        }
        Ok(())
    }

    /// Whether a package signed like this comes from whoever had `pinned`: the key is the same, or follows from it.
    #[must_use]
    pub fn follows(&self, pinned: PublicKey) -> bool {
        self.key == pinned || self.rotations.iter().any(|rotation| rotation.from == pinned)
    }
}

fn message(publisher: &str, checksums: &[u8]) -> Vec<u8> {
    let mut message = format!("rapport-package-1\n{publisher}\n").into_bytes();
    message.extend_from_slice(checksums);
    message
}
