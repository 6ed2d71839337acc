//! What the plugin keeps for itself: small values under keys of its own, which no other plugin and no script sees.
//!
//! Writes belong to the slice and are kept with it. Keys have 200 bytes at most, values 64 KiB; what all of them take up is limited by
//! the plugin's budget.
//!
//! ```
//! use rapport_sdk::{fake, kv};
//!
//! fake::reset();
//! kv::set("cursor", "17").unwrap();
//! assert_eq!(kv::text("cursor").unwrap().as_deref(), Some("17"));
//! assert_eq!(kv::increment("seen", 2).unwrap(), 2);
//! assert!(kv::delete("cursor").unwrap());
//! ```

use crate::Error;
use crate::door::kv as door;

/// What is kept under `key`.
///
/// # Errors
/// The host's.
pub fn get(key: &str) -> Result<Option<Vec<u8>>, Error> {
    Ok(door::get(key)?)
}

/// What is kept under `key`, as text.
///
/// # Errors
/// `wrong_kind` if it is no text.
pub fn text(key: &str) -> Result<Option<String>, Error> {
    let text = |bytes| String::from_utf8(bytes).map_err(|_| Error::new("wrong_kind", format!("`{key}` is no text")));
    get(key)?.map(text).transpose()
}

/// Keeps a value under `key`.
///
/// # Errors
/// `invalid` for a key or a value that is too long; `quota` if the plugin's storage is full.
pub fn set(key: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
    Ok(door::set(key, value.as_ref())?)
}

/// Forgets what is kept under `key`; false if nothing is.
///
/// # Errors
/// The host's.
pub fn delete(key: &str) -> Result<bool, Error> {
    Ok(door::delete(key)?)
}

/// What is kept under keys that begin with `prefix`, ordered by key: those behind the key `after` (empty: from the first), `limit`
/// at most.
///
/// # Errors
/// The host's.
pub fn list(prefix: &str, after: &str, limit: u32) -> Result<Vec<(String, Vec<u8>)>, Error> {
    Ok(door::list(prefix, after, limit)?.into_iter().map(|entry| (entry.key, entry.value)).collect())
}

/// Adds to the whole number under `key` and returns the sum. A key that is not there counts as 0.
///
/// # Errors
/// `invalid` if there is something else under the key, or the sum is too large.
pub fn increment(key: &str, delta: i64) -> Result<i64, Error> {
    Ok(door::increment(key, delta)?)
}
