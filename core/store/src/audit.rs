//! Checks the log's chain, and anchors it outside.
//!
//! The chain shows any change of an event, and any event taken out, put in or moved: not that the end was cut off. Against
//! that stands an anchor, a signed statement of where the log stood, kept elsewhere.

use std::fmt::Write as _;

use ed25519_dalek::{Signature, Signer as _, SigningKey, Verifier as _, VerifyingKey};
use rapport_model::{Digest, Timestamp};
use serde::{Deserialize, Serialize};

use crate::db::{Cell, Query, Reader, Row};
use crate::error::StoreError;
use crate::log::{EVENT_COLUMNS, EventRow, read_event};
use crate::seal::{event_hash, genesis, payload_hash};
use crate::shared::Shared;

/// Events read at a time.
const BATCH: i64 = 1_000;
const SELECT_HASH: &str = "select hash from event where position = $1";

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
    /// How many of them were erased: their payload cannot be checked, their place in the chain is.
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
    /// The last position, which is also the count of events.
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

impl Anchor {
    /// The text that is signed.
    fn statement(&self) -> String {
        let Self { workspace, position, hash, time, key, .. } = self;
        format!("rapport anchor 1\n{workspace}\n{position}\n{hash}\n{time}\n{key}\n")
    }
}

/// Checks one event; says what is wrong with it.
fn check(row: &EventRow, expected: i64, before: &Digest) -> Option<String> {
    if row.event.position != expected {
        return Some("it is missing".into());
    }
    match (&row.payload, &row.salt) {
        (Some(payload), Some(salt)) if payload_hash(salt, payload.as_bytes()) != row.payload_hash => {
            return Some("its payload was changed".into());
        }
        (Some(_), None) | (None, Some(_)) => return Some("its payload or its salt is gone".into()),
        _ => {}
    }
    (event_hash(before, &row.event, &row.payload_hash) != row.hash)
        .then(|| "it was changed, or does not follow the one before".into())
}

async fn hash_at(reader: &mut Reader<'_>, workspace: &str, position: i64) -> Result<Option<Digest>, StoreError> {
    if position <= 0 {
        return Ok(Some(genesis(workspace)));
    }
    let rows = reader.fetch(Query::new(SELECT_HASH, vec![Cell::Int(position)])).await?;
    Ok(rows.first().map(|row| row.digest(0)).transpose()?)
}

pub(crate) async fn verify(
    shared: &Shared,
    after: i64,
    progress: &(dyn Fn(i64) + Sync),
) -> Result<VerifyReport, StoreError> {
    let head = *shared.head.borrow();
    verify_log(&mut Reader::Pool(&shared.pool), &shared.workspace, (after, head), progress).await
}

/// Checks the events after one position, up to another.
pub(crate) async fn verify_log(
    reader: &mut Reader<'_>,
    workspace: &str,
    (after, head): (i64, i64),
    progress: &(dyn Fn(i64) + Sync),
) -> Result<VerifyReport, StoreError> {
    let start = after.clamp(0, head);
    let mut report =
        VerifyReport { events: 0, erased: 0, head_position: head, head_hash: Digest([0; 32]), first_bad: None };
    let Some(hash) = hash_at(reader, workspace, start).await? else {
        report.first_bad = Some(Break { position: start, why: "it is missing".into() });
        return Ok(report);
    };
    report.head_hash = hash;
    let select = format!("select {EVENT_COLUMNS} from event where position > $1 and position <= $2 order by position");
    let mut position = start;
    while position < head && report.first_bad.is_none() {
        let end = (position + BATCH).min(head);
        let rows = reader.fetch(Query::new(&select, vec![Cell::Int(position), Cell::Int(end)])).await?;
        report.first_bad = check_batch(&rows, (position, end), &mut report);
        position = end;
        progress(position);
    }
    Ok(report)
}

/// Checks the events of one batch, which must be all of those after one position up to another.
fn check_batch(rows: &[Row], (after, end): (i64, i64), report: &mut VerifyReport) -> Option<Break> {
    let mut position = after;
    for row in rows {
        position += 1;
        let bad = match read_event(row) {
            Ok(row) => {
                let bad = check(&row, position, &report.head_hash);
                report.erased += u64::from(row.payload.is_none());
                report.head_hash = row.hash;
                bad
            }
            Err(error) => Some(error.to_string()),
        };
        if let Some(why) = bad {
            return Some(Break { position, why });
        }
        report.events += 1;
    }
    (position < end).then(|| Break { position: position + 1, why: "it is missing".into() })
}

pub(crate) async fn anchor(shared: &Shared, key: &[u8; 32]) -> Result<Anchor, StoreError> {
    let position = *shared.head.borrow();
    let missing = || StoreError::Corrupt { what: "the log".into(), why: format!("position {position} is missing") };
    let hash = hash_at(&mut Reader::Pool(&shared.pool), &shared.workspace, position).await?.ok_or_else(missing)?;
    let key = SigningKey::from_bytes(key);
    let mut anchor = Anchor {
        workspace: shared.workspace.clone(),
        position,
        hash,
        time: shared.clock.now(),
        key: hex(key.verifying_key().as_bytes()),
        signature: String::new(),
    };
    anchor.signature = hex(&key.sign(anchor.statement().as_bytes()).to_bytes());
    Ok(anchor)
}

pub(crate) async fn check_anchor(shared: &Shared, anchor: &Anchor) -> Result<Option<String>, StoreError> {
    let wrong = |why: &str| Ok(Some(why.to_owned()));
    if !is_signed(anchor) {
        return wrong("its signature does not hold");
    }
    if anchor.workspace != shared.workspace {
        return wrong("it is another workspace's");
    }
    if anchor.position > *shared.head.borrow() {
        return wrong("the log is shorter than it was: its end was cut off");
    }
    match hash_at(&mut Reader::Pool(&shared.pool), &shared.workspace, anchor.position).await? {
        Some(hash) if hash == anchor.hash => Ok(None),
        _ => wrong("the log holds another event at that position"),
    }
}

fn is_signed(anchor: &Anchor) -> bool {
    let key = unhex::<32>(&anchor.key).and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok());
    let signature = unhex::<64>(&anchor.signature).map(|bytes| Signature::from_bytes(&bytes));
    match (key, signature) {
        (Some(key), Some(signature)) => key.verify(anchor.statement().as_bytes(), &signature).is_ok(),
        _ => false,
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a text takes any text");
    }
    text
}

pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; N];
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(bytes)
}
