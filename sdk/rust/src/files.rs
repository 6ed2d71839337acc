//! Files: attachments of records, pictures, letters.
//!
//! What is put belongs to the slice and is kept with it. Rights: `file:read`, `file:write` (or `file:create`, `file:delete`), and for a
//! file that is attached to a record the right to read, or to update, that object. What a slice puts counts with all else that it
//! writes (1 MiB by default), what it reads with all else that it is given (4 MiB).
//!
//! ```
//! use rapport_sdk::{Fields, fake, files};
//!
//! fake::reset();
//! let ada = fake::insert("customer", Fields::new());
//! let letter = files::attach(&ada.reference(), "letter.txt", "text/plain", b"Dear Ada").unwrap();
//! assert_eq!(files::read(&letter.id, 5, 100).unwrap(), b"Ada");
//! assert_eq!(files::of(&ada.reference(), "", 10).unwrap()[0].name, "letter.txt");
//! assert!(files::delete(&letter.id).unwrap());
//! ```

use crate::bindings::rapport::plugin::files as wire;
use crate::door::files as door;
use crate::{Error, Reference, Timestamp};

/// What there is to know of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its media type, in lower case and without parameters.
    pub media_type: String,
    /// Its bytes.
    pub size: u64,
    /// SHA-256 of its bytes, in hexadecimal digits.
    pub sha256: String,
    /// The record that it is attached to.
    pub attached: Option<Reference>,
    /// When it came.
    pub created_at: Timestamp,
}

impl From<wire::FileInfo> for File {
    fn from(info: wire::FileInfo) -> Self {
        let wire::FileInfo { id, name, media_type, size, sha256, attached, created_at } = info;
        let attached = attached.map(|owner| Reference::new(owner.object, owner.id));
        Self { id, name, media_type, size, sha256, attached, created_at: Timestamp(created_at) }
    }
}

/// Keeps a file that belongs to no record.
///
/// # Errors
/// `invalid` for a name that is a path or a media type that is not taken; `too_large`; `quota` if there is no room for it.
pub fn put(name: &str, media_type: &str, content: &[u8]) -> Result<File, Error> {
    Ok(door::put(name, media_type, content, None)?.into())
}

/// Keeps a file that is attached to a record.
///
/// # Errors
/// As for [`put`]; `not_found` if there is no such record.
pub fn attach(record: &Reference, name: &str, media_type: &str, content: &[u8]) -> Result<File, Error> {
    let owner = wire::Owner { object: record.object.clone(), id: record.id.clone() };
    Ok(door::put(name, media_type, content, Some(&owner))?.into())
}

/// What there is to know of a file; `None` if there is no such file.
///
/// # Errors
/// The host's.
pub fn info(id: &str) -> Result<Option<File>, Error> {
    Ok(door::info(id)?.map(File::from))
}

/// Up to `length` bytes of a file from the place `offset` on: fewer where it ends, none behind its end.
///
/// # Errors
/// `not_found` if there is no such file.
pub fn read(id: &str, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
    Ok(door::read(id, offset, length)?)
}

/// The files of a record by id, and so in the order in which they came (within one slice in any): those behind the file `after`
/// (empty: from the first), `limit` at most.
///
/// # Errors
/// The host's.
pub fn of(record: &Reference, after: &str, limit: u32) -> Result<Vec<File>, Error> {
    Ok(door::attached(&record.object, &record.id, after, limit)?.into_iter().map(File::from).collect())
}

/// Deletes a file; false if there is no such file. Undo brings it back.
///
/// # Errors
/// The host's.
pub fn delete(id: &str) -> Result<bool, Error> {
    Ok(door::delete(id)?)
}
