//! Secrets that an admin has stored: usable, never readable. Right: `secret:NAME`.
//!
//! ```
//! use rapport_sdk::{fake, secrets};
//!
//! fake::reset();
//! fake::set_secret("partner", b"key");
//! assert!(secrets::exists("partner").unwrap());
//! let signature = secrets::hmac_sha256("partner", b"The quick brown fox jumps over the lazy dog").unwrap();
//! assert_eq!(signature[..4], [0xf7, 0xbc, 0x83, 0xf4]);
//! ```

use crate::Error;
use crate::door::secrets as door;

/// Whether a secret of that name is stored.
///
/// # Errors
/// `denied` without the right.
pub fn exists(name: &str) -> Result<bool, Error> {
    Ok(door::exists(name)?)
}

/// HMAC-SHA-256 of a message with the secret as its key: 32 bytes.
///
/// # Errors
/// `denied` without the right; `unknown_secret`.
pub fn hmac_sha256(name: &str, message: &[u8]) -> Result<Vec<u8>, Error> {
    Ok(door::hmac_sha256(name, message)?)
}

/// Whether `signature` is that of `message`. Takes the same time wherever they differ.
///
/// # Errors
/// As for [`hmac_sha256`].
pub fn verify_hmac_sha256(name: &str, message: &[u8], signature: &[u8]) -> Result<bool, Error> {
    let right = hmac_sha256(name, message)?;
    let differing = right.iter().zip(signature).fold(0, |differing, (a, b)| differing | (a ^ b));
    Ok(right.len() == signature.len() && std::hint::black_box(differing) == 0)
}
