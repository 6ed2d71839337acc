//! What can stand against a request to the store: facts with names in them.

use rapport_model::image::Unfit;
use rapport_model::{Digest, Name, RecordId, RunId};

/// Why the store did not do what it was asked to. A refused unit of work has changed nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// A record that the unit was decided on has moved since: decide again on fresh data.
    #[error("{object} {id} is at version {found}, not at {expected} (0: not there)")]
    Conflict {
        /// The object.
        object: Name,
        /// The record.
        id: RecordId,
        /// The version that the unit was decided on; 0: the record was not there.
        expected: i64,
        /// The version it has; 0: it is not there.
        found: i64,
    },
    /// Another unit has taken a lock since this one took it: decide again on fresh data.
    #[error("the lock `{key}` has been taken by another slice meanwhile")]
    LockMoved {
        /// The key of the lock.
        key: String,
    },
    /// The run that the unit belongs to is not in a state from which it could take the step.
    #[error("run {run} is {found} and cannot become {wanted}")]
    RunMoved {
        /// The run.
        run: RunId,
        /// The state it is in, or `unknown`.
        found: &'static str,
        /// The state that the unit gives it.
        wanted: &'static str,
    },
    /// Another record holds this value of a unique field.
    #[error("another {object} has {field} = {value}")]
    Unique {
        /// The object.
        object: Name,
        /// The field.
        field: Name,
        /// The value, as JSON text.
        value: String,
    },
    /// The record to change or to delete is not there.
    #[error("there is no {object} {id}")]
    MissingRecord {
        /// The object.
        object: Name,
        /// The record.
        id: RecordId,
    },
    /// The record to create is there already.
    #[error("there is already a {object} {id}")]
    RecordExists {
        /// The object.
        object: Name,
        /// The record.
        id: RecordId,
    },
    /// A reference names a record that is not there.
    #[error("{object}.{field} refers to {target} {id}, which is not there")]
    ReferenceMissing {
        /// The object that holds the reference.
        object: Name,
        /// The reference field.
        field: Name,
        /// The object referred to.
        target: Name,
        /// The record that is missing.
        id: RecordId,
    },
    /// The record to delete is still referred to.
    #[error("{object} {id} cannot be deleted: {by}.{field} still refers to it")]
    Referenced {
        /// The object of the record.
        object: Name,
        /// The record.
        id: RecordId,
        /// The object that refers to it.
        by: Name,
        /// The reference field.
        field: Name,
    },
    /// A value does not fit its field, or a field is unknown or required.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// No such object is declared.
    #[error("there is no object `{0}`")]
    UnknownObject(String),
    /// An event with this outside identity is in the log already, and the unit refuses duplicates.
    #[error("event {id} of {source_name} is in the log already")]
    Duplicate {
        /// Who reported it.
        source_name: String,
        /// Its name there.
        id: String,
    },
    /// The idempotency key was used before: compare the fingerprint, then answer with the response kept.
    #[error("the idempotency key was used before")]
    Idempotent {
        /// The digest of the request that used it.
        fingerprint: Digest,
        /// What was answered then.
        response: Vec<u8>,
    },
    /// The registry cannot be changed so.
    #[error("{0}")]
    Schema(String),
    /// The request itself is out of bounds, whatever the data.
    #[error("{0}")]
    Invalid(String),
    /// The database cannot be reached, or the store is closing.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The database was written by a later version of this program.
    #[error("the database has schema {found}, this program knows {known}: use the newer program")]
    Newer {
        /// The schema version found.
        found: i64,
        /// The newest one known here.
        known: i64,
    },
    /// Another process works on this workspace.
    #[error("another process works on {what}: one process serves one workspace")]
    Locked {
        /// The data folder or database.
        what: String,
    },
    /// The linked SQLite can lose commits.
    #[error("SQLite {found} can lose commits: {least} or later is needed")]
    UnsafeSqlite {
        /// The version linked.
        found: String,
        /// The least safe one.
        least: &'static str,
    },
    /// The disk, or the size allowed to the database, is used up. Nothing was changed; reads go on.
    #[error("the disk is full")]
    Full,
    /// Something stored is not what this program wrote.
    #[error("{what} is damaged: {why}")]
    Corrupt {
        /// What: a table and row, a file.
        what: String,
        /// In which way.
        why: String,
    },
    /// A file cannot be read or written.
    #[error("{path}: {why}")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        why: String,
    },
    /// The store broke down: a failed commit whose outcome is unknown. The process must stop and start again.
    #[error("the store has stopped: {0}")]
    Fatal(String),
}
