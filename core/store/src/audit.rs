//! x
use rapport_model::{Digest, Timestamp};
use serde::{Deserialize, Serialize};

/// Where the chain is broken first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Break {
    /// The position of the event.
    pub position: i64,
    /// What is wrong with it.
    pub why: String,
}

/// What came of checking the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyReport {
    /// How many events were checked.
    pub events: u64,
    /// How many of them were erased (their payload cannot be checked, their place in the chain is).
    pub erased: u64,
    /// The last position.
    pub head_position: i64,
    /// The hash of the event there.
    pub head_hash: Digest,
    /// The first event that does not fit, if one does not.
    pub first_bad: Option<Break>,
}

/// A signed statement of where the log stood: proof against truncation. Lives as JSON outside the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    /// The workspace.
    pub workspace: String,
    /// The last position.
    pub position: i64,
    /// The hash of the event there.
    pub hash: Digest,
    /// When it was made.
    pub time: Timestamp,
    /// The public key, 64 hexadecimal digits.
    pub key: String,
    /// The Ed25519 signature of all fields above, 128 hexadecimal digits.
    pub signature: String,
}
