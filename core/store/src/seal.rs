//! The seal of an event: hashes that make the log a chain.
//!
//! `payload_hash` = SHA-256(salt ‖ payload). `hash` = SHA-256(hash of the event before ‖ canonical header), where the header
//! holds every column but payload and salt, and the payload's hash. So erasing a person's payload and salt leaves the chain
//! whole, and the hash alone does not give the erased away, since the salt is gone too. The first event follows
//! SHA-256 of the workspace's id.

use rapport_model::event::Event;
use rapport_model::{Digest, RecordId, RunId};
use sha2::{Digest as _, Sha256};

/// Random bytes before the payload, so that a short payload cannot be guessed from its hash.
pub(crate) type Salt = [u8; 16];

/// The mark of the first format of headers. Another format needs another mark.
const MARK: &[u8] = b"rapport event 1\0";

/// The hash that the first event of a workspace follows.
pub(crate) fn genesis(workspace: &str) -> Digest {
    Digest::of(workspace.as_bytes())
}

/// The hash of a payload.
pub(crate) fn payload_hash(salt: &Salt, payload: &[u8]) -> Digest {
    let mut hash = Sha256::new();
    hash.update(salt);
    hash.update(payload);
    Digest(hash.finalize().into())
}

/// The hash of an event that follows one with the hash `before`.
pub(crate) fn event_hash(before: &Digest, event: &Event, payload_hash: &Digest) -> Digest {
    let mut header = Header(Vec::with_capacity(320));
    header.0.extend_from_slice(&before.0);
    header.0.extend_from_slice(MARK);
    header.number(event.position);
    header.maybe(event.origin.as_ref().map(|o| o.source.as_bytes()));
    header.maybe(event.origin.as_ref().map(|o| o.id.as_bytes()));
    header.bytes(event.kind.as_str().as_bytes());
    header.maybe(event.subject.as_ref().map(|s| s.object.as_str().as_bytes()));
    header.maybe(event.subject.as_ref().map(|s| s.id.0.as_bytes().as_slice()));
    header.maybe(event.lane.as_ref().map(|RecordId(id)| id.as_bytes().as_slice()));
    header.number(event.time.micros());
    header.number(event.recorded_at.micros());
    header.bytes(event.actor.to_string().as_bytes());
    header.maybe(event.run.as_ref().map(|RunId(id)| id.as_bytes().as_slice()));
    header.maybe(event.cause.map(i64::to_be_bytes).as_ref().map(<[u8; 8]>::as_slice));
    header.number(i64::from(event.depth));
    header.0.extend_from_slice(&payload_hash.0);
    Digest::of(&header.0)
}

/// Fields one after another, each so that no two lists of fields give the same bytes.
struct Header(Vec<u8>);

impl Header {
    fn number(&mut self, number: i64) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(i64::try_from(bytes.len()).unwrap_or(i64::MAX));
        self.0.extend_from_slice(bytes);
    }

    fn maybe(&mut self, bytes: Option<&[u8]>) {
        self.0.push(u8::from(bytes.is_some()));
        if let Some(bytes) = bytes {
            self.bytes(bytes);
        }
    }
}

/// Random salts, drawn from the system a page at a time.
#[derive(Debug, Default)]
pub(crate) struct Salts {
    page: Vec<u8>,
}

impl Salts {
    /// The next salt.
    ///
    /// # Errors
    /// What the system said when it gave no random bytes.
    pub(crate) fn next(&mut self) -> Result<Salt, String> {
        if self.page.len() < 16 {
            self.page.resize(4096, 0);
            getrandom::fill(&mut self.page).map_err(|e| e.to_string())?;
        }
        let rest = self.page.len() - 16;
        let salt = self.page[rest..].try_into().map_err(|_| "no 16 bytes left".to_owned())?;
        self.page.truncate(rest);
        Ok(salt)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;

    use rapport_model::event::{Origin, Subject};
    use rapport_model::{Actor, EventType, Name, Timestamp};

    use super::*;

    fn event() -> Event {
        Event {
            position: 7,
            origin: Some(Origin { source: Arc::from("shop"), id: Arc::from("1") }),
            kind: EventType::new("order.paid").unwrap(),
            subject: Some(Subject { object: Name::new("customer").unwrap(), id: RecordId::from_parts(0, [1; 10]) }),
            lane: None,
            time: Timestamp::EPOCH,
            recorded_at: Timestamp::EPOCH,
            actor: Actor::System,
            run: None,
            cause: None,
            depth: 0,
            body: None,
        }
    }

    #[test]
    fn every_part_of_the_header_changes_the_hash() {
        type Change = fn(&mut Event);
        let changes: [Change; 12] = [
            |e| e.position = 8,
            |e| e.origin = None,
            |e| e.origin = Some(Origin { source: Arc::from("sho"), id: Arc::from("p1") }),
            |e| e.kind = EventType::new("order.paie").unwrap(),
            |e| e.subject = None,
            |e| e.lane = Some(RecordId::from_parts(0, [2; 10])),
            |e| e.time = Timestamp::from_micros(1),
            |e| e.recorded_at = Timestamp::from_micros(1),
            |e| e.actor = Actor::User(RecordId::from_parts(0, [3; 10])),
            |e| e.run = Some(RunId::from_parts(0, [4; 10])),
            |e| e.cause = Some(0),
            |e| e.depth = 1,
        ];
        let (before, payload) = (Digest::of(b"before"), Digest::of(b"payload"));
        let mut seen = HashSet::from([event_hash(&before, &event(), &payload)]);
        for change in changes {
            let mut changed = event();
            change(&mut changed);
            assert!(seen.insert(event_hash(&before, &changed, &payload)));
        }
        assert!(seen.insert(event_hash(&Digest::of(b"other"), &event(), &payload)));
        assert!(seen.insert(event_hash(&before, &event(), &Digest::of(b"other"))));
    }

    #[test]
    fn the_body_is_not_part_of_the_header() {
        let mut erased = event();
        erased.body = Some(rapport_model::event::Body::Data(Vec::new()));
        let digest = Digest::of(b"");
        assert_eq!(event_hash(&digest, &event(), &digest), event_hash(&digest, &erased, &digest));
    }

    #[test]
    fn salts_differ_across_pages() {
        let mut salts = Salts::default();
        let seen: HashSet<Salt> = (0..1_000).map(|_| salts.next().unwrap()).collect();
        assert_eq!(seen.len(), 1_000);
    }
}
