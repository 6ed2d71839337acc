//! The keys that publishers sign with, and how one follows another.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signature as Raw, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::PackageError;

const PUBLIC: &str = "ed25519:";
const SECRET: &str = "rapport-secret-key:";

/// A public key, written as `ed25519:` and 43 letters and digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// A secret key. It is never shown: only [`SecretKey::to_text`] gives it away, to be kept in a file.
pub struct SecretKey(SigningKey);

impl PublicKey {
    /// Whether `signature` is that of this key over `message`.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verify_strict(message, &Raw::from_bytes(signature)).is_ok()
    }
}

impl SecretKey {
    /// The key that follows from 32 random bytes.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// The text to keep in a file that nobody else can read.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{SECRET}{}\n", URL_SAFE_NO_PAD.encode(self.0.to_bytes()))
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl FromStr for SecretKey {
    type Err = PackageError;
    fn from_str(text: &str) -> Result<Self, PackageError> {
        let seed = text.trim().strip_prefix(SECRET).and_then(decode::<32>);
        seed.map(|seed| Self::from_seed(&seed))
            .ok_or(PackageError::Key("secret key: make one with `rapport plugin keygen`"))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey of {}", self.public())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC}{}", URL_SAFE_NO_PAD.encode(self.0.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = PackageError;
    fn from_str(text: &str) -> Result<Self, PackageError> {
        let bytes = text.trim().strip_prefix(PUBLIC).and_then(decode::<32>);
        let key = bytes.and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok()).filter(|key| !key.is_weak());
        key.map(Self).ok_or(PackageError::Key("public key: it begins with `ed25519:`"))
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The bytes that `text` stands for, if it is the one way to write them.
pub(crate) fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    let bytes: [u8; N] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
    (URL_SAFE_NO_PAD.encode(bytes) == text).then_some(bytes)
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The statement that a publisher's key is followed by another, signed by the key that is followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// The key before.
    pub from: PublicKey,
    /// The key after.
    pub to: PublicKey,
    /// The signature of `from`.
    signature: String,
}

impl Rotation {
    /// States that `to` follows `from` as the key of `publisher`.
    #[must_use]
    pub fn make(publisher: &str, from: &SecretKey, to: PublicKey) -> Self {
        let message = Self::message(publisher, from.public(), to);
        Self { from: from.public(), to, signature: encode(&from.sign(&message)) }
    }

    /// Whether the key before has signed this for `publisher`.
    #[must_use]
    pub fn holds(&self, publisher: &str) -> bool {
        let message = Self::message(publisher, self.from, self.to);
        decode::<64>(&self.signature).is_some_and(|signature| self.from.verifies(&message, &signature))
    }

    fn message(publisher: &str, from: PublicKey, to: PublicKey) -> Vec<u8> {
        format!("rapport-key-rotation-1\n{publisher}\n{from}\n{to}\n").into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SecretKey {
        SecretKey::from_seed(&[seed; 32])
    }

    #[test]
    fn keys_survive_their_text_and_the_secret_one_is_not_shown() {
        let secret = key(7);
        let again: SecretKey = secret.to_text().parse().unwrap();
        assert_eq!(again.public(), secret.public());
        assert_eq!(secret.public().to_string().parse::<PublicKey>().unwrap(), secret.public());
        assert!(!format!("{secret:?}").contains(secret.to_text().trim().trim_start_matches(SECRET)));
        for bad in ["", "ed25519:", "ed25519:AAAA", "ed25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
            assert!(bad.parse::<PublicKey>().is_err(), "{bad}");
        }
        assert!("rapport-secret-key:x".parse::<SecretKey>().is_err());
    }

    #[test]
    fn a_rotation_holds_for_its_publisher_and_its_keys_alone() {
        let rotation = Rotation::make("Acme", &key(1), key(2).public());
        assert!(rotation.holds("Acme"));
        assert!(!rotation.holds("Acme Inc"));
        assert!(!Rotation { to: key(3).public(), ..rotation.clone() }.holds("Acme"));
        assert!(!Rotation { from: key(3).public(), ..rotation }.holds("Acme"));
    }
}
