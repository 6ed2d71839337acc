//! Which customers may be one: suggestions with a score and the reasons.
//!
//! ```text
//! keys in their order ─▶ blocks: who has the same key ─▶ pairs ─▶ reasons, score ─▶ those that nobody told apart
//!      │ some thousand rows at a time         └─ of more than 200 customers: left out
//!      └─ a page ends with its pairs, or with the rows that it may read; the next goes on there
//! ```
//! What two customers have in common is read from their records; the keys only say which to compare. A pair belongs to the first key that
//! both have, so it is found once. A relation of the kind `distinct` says that two are not one: such a pair is no suggestion.

mod pairs;
mod settle;
mod walk;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rapport_model::duplicate::{Profile, reasons, score};
use rapport_model::match_key::OBJECT;
use rapport_model::{MatchKey, Name, Record, RecordId};
use serde_json::{Value as Json, json};

use crate::engine::{Engine, Inner};
use crate::error::EngineError;
use crate::gate::{Act, Caller};
use crate::page::{cursor, open_cursor, page_rows};

use self::pairs::{Pair, left_out, shown};
use self::settle::Told;
use self::walk::{At, Walk};

/// The least score of a suggestion, if none is asked for.
pub const SCORE_DEFAULT: f64 = 0.6;
/// The most customers with the same key that are compared with each other.
pub(crate) const BLOCK_MAX: usize = 200;

/// Which suggestions are wanted.
#[derive(Debug, Clone, Default)]
pub struct DuplicatesRequest {
    /// The least score; [`SCORE_DEFAULT`] if none is named.
    pub at_least: Option<f64>,
    /// How many.
    pub limit: Option<u32>,
    /// Where the page before ended.
    pub cursor: Option<String>,
}

impl DuplicatesRequest {
    fn at_least(&self) -> Result<f64, EngineError> {
        match self.at_least {
            None => Ok(SCORE_DEFAULT),
            Some(score) if score > 0.0 && score <= 1.0 => Ok(score),
            Some(_) => Err(EngineError::invalid("/at_least", "use a number above 0, up to 1")),
        }
    }
}

impl Engine {
    /// One page of the pairs of customers that may be one, in a stable order: by what they have in common first.
    ///
    /// A page reads some thousand keys at most, so it may have fewer pairs than asked for, and none, while there are more: go on as long as
    /// there is a `next`. `left_out` names the keys that too many customers have.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::Invalid`] for scores, limits and cursors.
    pub async fn duplicates(&self, caller: &Caller, request: &DuplicatesRequest) -> Result<Json, EngineError> {
        caller.object(&self.inner.store.schema(), OBJECT, Act::Read)?;
        let at_least = request.at_least()?;
        let (rows, least) = (page_rows(request.limit)?, at_least.to_string());
        let described = ["duplicates", &least];
        let from = match request.cursor.as_deref() {
            Some(text) => At::read(&open_cursor(&described, text)?)?,
            None => At::Beginning,
        };
        let filling = !self.inner.store.match_keys_filled().await?;
        let page = Walk::new(&self.inner, at_least, rows as usize).from(from).await?;
        let items: Vec<Json> = page.pairs.iter().map(shown).collect();
        let next = page.next.map(|at| cursor(&described, at.values()));
        Ok(json!({ "items": items, "next": next, "left_out": left_out(&page.crowded), "filling": filling }))
    }

    /// The customers that may be the same as one, the surest first.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`], [`EngineError::Invalid`] for keys, scores and limits.
    pub async fn duplicates_of(
        &self,
        caller: &Caller,
        key: &str,
        request: &DuplicatesRequest,
    ) -> Result<Json, EngineError> {
        let customer = self.get(caller, OBJECT, key).await?;
        let (at_least, rows) = (request.at_least()?, page_rows(request.limit)?);
        if request.cursor.is_some() {
            return Err(EngineError::invalid("/cursor", "those of one customer are one page"));
        }
        let filling = !self.inner.store.match_keys_filled().await?;
        let (mut pairs, crowded) = self.inner.pairs_of(&customer, at_least).await?;
        pairs.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.records[1].id.cmp(&b.records[1].id)));
        pairs.truncate(rows as usize);
        let items: Vec<Json> = pairs.iter().map(shown).collect();
        Ok(json!({ "items": items, "next": null, "left_out": left_out(&crowded), "filling": filling }))
    }
}

impl Inner {
    /// The pairs of a customer and those that may be the same, it first; and its keys that too many have. One query for each key.
    async fn pairs_of(&self, customer: &Arc<Record>, at_least: f64) -> Result<(Vec<Pair>, Vec<MatchKey>), EngineError> {
        let own = Profile::of(customer);
        let (mut others, mut crowded): (HashSet<RecordId>, Vec<MatchKey>) = (HashSet::new(), Vec::new());
        for key in &own.keys {
            let holders = self.store.key_holders(key, walk::limit(BLOCK_MAX + 1)).await?;
            if holders.len() > BLOCK_MAX {
                crowded.push(key.clone());
            } else {
                others.extend(holders.into_iter().filter(|id| *id != customer.id));
            }
        }
        let mut pairs = Vec::new();
        for (_, other) in self.customers(&others.into_iter().collect::<Vec<_>>()).await? {
            let reasons = reasons(&own, &Profile::of(&other), |key| !crowded.contains(key));
            let score = score(&reasons);
            if score >= at_least {
                pairs.push(Pair { records: [customer.clone(), other], reasons, score });
            }
        }
        let told = Told::of(self, &pairs).await?;
        pairs.retain(|pair| !told.apart(pair));
        Ok((pairs, crowded))
    }

    /// The customers with these ids that are there.
    async fn customers(&self, ids: &[RecordId]) -> Result<HashMap<RecordId, Arc<Record>>, EngineError> {
        let name = Name::new(OBJECT).map_err(|e| EngineError::Internal(e.to_string()))?;
        let found = self.store.records(&name, ids).await?;
        Ok(found.into_iter().flatten().map(|record| (record.id, record)).collect())
    }
}
