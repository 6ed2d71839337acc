//! Merging: one record goes, and another stays for both.
//!
//! ```text
//! merge.requested ─┬─▶ record.merging   both are there: plugins move what they keep by a record's id
//!                  └─▶ the merge        references, tags and lists go over, the one goes, its names lead to the other ─▶ record.merged
//! ```

/// Both records are there still; the event is about the one that stays, `merged` is the id of the other.
pub const MERGING: &str = "record.merging";
/// It is done; the event is about the record that stayed, `merged` is the id of the one that went. `lists` are the manual and frozen segments
/// that it was in, `joined` those of them that the other came into by it.
pub const MERGED: &str = "record.merged";
