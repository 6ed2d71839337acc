//! The walk over the keys, from where the page before ended.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use rapport_model::duplicate::{Profile, Reason, reasons, score};
use rapport_model::{MatchKey, Record, RecordId};
use rapport_store::KeyPlace;
use serde_json::{Value as Json, json};

use super::BLOCK_MAX;
use super::pairs::Pair;
use super::settle::Told;
use crate::engine::Inner;
use crate::error::EngineError;

/// How many rows of the table of keys are read at once.
const ROWS: usize = 2_000;
/// How many a page reads.
const ROWS_MAX: usize = 10_000;
/// As soon as so many pairs are to be looked at closely, they are, before more are made.
const BATCH: usize = 500;

/// Where a page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum At {
    /// At the first key.
    Beginning,
    /// At a key.
    Key(MatchKey),
    /// Behind a pair of those that have a key.
    Pair(MatchKey, [RecordId; 2]),
}

impl At {
    /// What a cursor holds.
    pub(super) fn values(&self) -> Vec<Json> {
        match self {
            Self::Beginning => Vec::new(),
            Self::Key(key) => vec![json!(key.kind.as_str()), json!(key.key)],
            Self::Pair(key, [a, b]) => vec![json!(key.kind.as_str()), json!(key.key), json!(a), json!(b)],
        }
    }

    /// What stands in a cursor.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] if that is no place.
    pub(super) fn read(values: &[Json]) -> Result<Self, EngineError> {
        let wrong =
            || EngineError::invalid("/cursor", "this is no cursor of this query: take `next` of the page before");
        let texts: Vec<&str> = values.iter().filter_map(Json::as_str).collect();
        let key = |kind: &str, key: &str| {
            let kind = kind.parse().map_err(|_| wrong())?;
            Ok::<_, EngineError>(MatchKey { kind, key: key.to_owned() })
        };
        let id = |text: &str| text.parse::<RecordId>().map_err(|_| wrong());
        match texts.as_slice() {
            [kind, text] => Ok(Self::Key(key(kind, text)?)),
            [kind, text, a, b] => Ok(Self::Pair(key(kind, text)?, [id(a)?, id(b)?])),
            _ => Err(wrong()),
        }
    }

    fn place(&self) -> KeyPlace {
        match self {
            Self::Beginning => KeyPlace::First,
            Self::Key(key) | Self::Pair(key, _) => KeyPlace::From(key.clone()),
        }
    }
}

/// Customers with the same key.
struct Block {
    key: MatchKey,
    ids: Vec<RecordId>,
}

/// A pair of a block that may be a suggestion.
struct Candidate {
    home: MatchKey,
    pair: Pair,
}

/// What a page has.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) pairs: Vec<Pair>,
    /// Where each pair stands.
    places: Vec<At>,
    /// Keys that too many have.
    pub(super) crowded: Vec<MatchKey>,
    /// Where the next page begins.
    pub(super) next: Option<At>,
}

/// A walk.
pub(super) struct Walk<'a> {
    inner: &'a Inner,
    at_least: f64,
    /// The pairs of the page.
    pairs: usize,
    found: Found,
}

/// A number of rows, as queries have it.
pub(super) fn limit(rows: usize) -> u32 {
    u32::try_from(rows).unwrap_or(u32::MAX)
}

impl<'a> Walk<'a> {
    pub(super) fn new(inner: &'a Inner, at_least: f64, pairs: usize) -> Self {
        Self { inner, at_least, pairs, found: Found::default() }
    }

    /// The page that begins at `at`.
    pub(super) async fn from(mut self, at: At) -> Result<Found, EngineError> {
        let (mut place, mut behind) = (at.place(), None);
        if let At::Pair(key, pair) = at {
            behind = Some((key, pair));
        }
        let mut read = 0;
        loop {
            let rows = self.inner.store.match_keys(&place, limit(ROWS)).await?;
            read += rows.len();
            let (blocks, next) = self.blocks(rows);
            self.look_at(blocks, behind.as_ref()).await?;
            if self.is_full() {
                return Ok(self.cut());
            }
            let Some(next) = next else { return Ok(self.found) };
            if read >= ROWS_MAX {
                // A key that too many have is behind: the page begins with the one after it.
                let first = self.inner.store.match_keys(&next, 1).await?.pop();
                self.found.next = first.map(|(key, _)| At::Key(key));
                return Ok(self.found);
            }
            place = next;
        }
    }

    fn is_full(&self) -> bool {
        self.found.pairs.len() > self.pairs
    }

    /// The page, without what is too many: the next begins behind its last pair.
    fn cut(mut self) -> Found {
        self.found.pairs.truncate(self.pairs);
        self.found.places.truncate(self.pairs);
        self.found.next = self.found.places.pop();
        if let Some(At::Pair(key, _)) = &self.found.next {
            // The rows behind it are read again.
            self.found.crowded.retain(|crowded| crowded < key);
        }
        self.found
    }

    /// The blocks in these rows that are whole, and where to read on; nowhere if that were all. Those of too many are noted.
    fn blocks(&mut self, rows: Vec<(MatchKey, RecordId)>) -> (VecDeque<Block>, Option<KeyPlace>) {
        let more = rows.len() >= ROWS;
        let mut blocks: VecDeque<Block> = VecDeque::new();
        for (key, id) in rows {
            match blocks.back_mut().filter(|block| block.key == key) {
                Some(block) => block.ids.push(id),
                None => blocks.push_back(Block { key, ids: vec![id] }),
            }
        }
        let mut next = None;
        if let Some(last) = blocks.back().filter(|_| more) {
            if last.ids.len() > BLOCK_MAX {
                next = Some(KeyPlace::After(last.key.clone()));
            } else {
                next = Some(KeyPlace::From(last.key.clone()));
                blocks.pop_back();
            }
        }
        let crowded = blocks.iter().filter(|block| block.ids.len() > BLOCK_MAX).map(|block| block.key.clone());
        self.found.crowded.extend(crowded);
        blocks.retain(|block| (2..=BLOCK_MAX).contains(&block.ids.len()));
        (blocks, next)
    }

    /// Makes the pairs of blocks and keeps the suggestions among them, until the page is full.
    async fn look_at(
        &mut self,
        mut blocks: VecDeque<Block>,
        behind: Option<&(MatchKey, [RecordId; 2])>,
    ) -> Result<(), EngineError> {
        let ids: HashSet<RecordId> = blocks.iter().flat_map(|block| block.ids.iter().copied()).collect();
        let records = self.inner.customers(&ids.into_iter().collect::<Vec<_>>()).await?;
        let profiles: HashMap<RecordId, Profile> =
            records.iter().map(|(id, record)| (*id, Profile::of(record))).collect();
        let mut batch = Vec::new();
        while let Some(block) = blocks.pop_front() {
            let after = behind.filter(|(key, _)| *key == block.key).map(|(_, pair)| *pair);
            self.make(&block, after, (&records, &profiles), &mut batch);
            if batch.len() >= BATCH || blocks.is_empty() {
                self.settle(std::mem::take(&mut batch)).await?;
                if self.is_full() {
                    return Ok(());
                }
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// The pairs of a block behind `after` that would be suggestions if all they have in common counted.
    fn make(
        &self,
        block: &Block,
        after: Option<[RecordId; 2]>,
        (records, profiles): (&HashMap<RecordId, Arc<Record>>, &HashMap<RecordId, Profile>),
        batch: &mut Vec<Candidate>,
    ) {
        let members: Vec<(&Arc<Record>, &Profile)> =
            block.ids.iter().filter_map(|id| Some((records.get(id)?, profiles.get(id)?))).collect();
        for (n, (first, own)) in members.iter().enumerate() {
            for (second, other) in &members[n + 1..] {
                if after.is_some_and(|pair| [first.id, second.id] <= pair) {
                    continue;
                }
                let reasons = reasons(own, other, |_| true);
                let score = score(&reasons);
                // What the keys say may be older than the records.
                let is_reason = reasons.iter().any(|reason| reason.key() == Some(&block.key));
                if is_reason && score >= self.at_least {
                    let pair = Pair { records: [(*first).clone(), (*second).clone()], reasons, score };
                    batch.push(Candidate { home: block.key.clone(), pair });
                }
            }
        }
    }

    /// Keeps of these pairs what are suggestions: whose first key that counts is the one that they were found by, and whom nobody told apart.
    async fn settle(&mut self, batch: Vec<Candidate>) -> Result<(), EngineError> {
        let keys = |candidate: &Candidate| -> Vec<MatchKey> {
            let all = candidate.pair.reasons.iter().filter_map(Reason::key);
            all.filter(|key| **key != candidate.home).cloned().collect()
        };
        let others: HashSet<MatchKey> = batch.iter().flat_map(keys).collect();
        let others: Vec<MatchKey> = others.into_iter().collect();
        let crowded: HashSet<MatchKey> =
            self.inner.store.crowded_keys(&others, limit(BLOCK_MAX)).await?.into_iter().collect();
        let (mut pairs, mut places) = (Vec::new(), Vec::new());
        for Candidate { home, mut pair } in batch {
            pair.reasons.retain(|reason| reason.key().is_none_or(|key| !crowded.contains(key)));
            pair.score = score(&pair.reasons);
            let first = pair.reasons.iter().find_map(Reason::key);
            if first == Some(&home) && pair.score >= self.at_least {
                places.push(At::Pair(home, pair.records.each_ref().map(|record| record.id)));
                pairs.push(pair);
            }
        }
        let told = Told::of(self.inner, &pairs).await?;
        for (pair, place) in pairs.into_iter().zip(places) {
            if !told.apart(&pair) {
                self.found.pairs.push(pair);
                self.found.places.push(place);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rapport_model::MatchKind;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let key = MatchKey { kind: MatchKind::Phone, key: "701234567".into() };
        let id = |n| RecordId::from_parts(n, [1; 10]);
        for at in [At::Key(key.clone()), At::Pair(key, [id(1), id(2)])] {
            assert_eq!(At::read(&at.values()).unwrap(), at);
        }
        for values in [vec![json!("fax"), json!("1")], vec![json!("email")], vec![json!(1), json!(2)]] {
            assert!(At::read(&values).is_err(), "{values:?}");
        }
    }
}
