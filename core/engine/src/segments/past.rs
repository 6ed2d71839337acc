//! Who was, or would have been, in a segment at an instant of the past, by a rule of today.
//!
//! The records that the rule looks at are brought back through the log to how they were, in a workspace that is thrown away; there the rule is
//! asked in SQL, as of that instant. What it asks of the log is answered by the log itself, since no event ever changes.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use rapport_model::json::record_to_json;
use rapport_model::rule::{ParamTypes, Rule, Scope};
use rapport_model::time::SetClock;
use rapport_model::{Actor, Name, RecordId, SegmentName, Timestamp};
use rapport_store::{RecordQuery, Stay, StayStep, UnitOfWork};
use serde_json::{Value as Json, json};

use super::list::{Asked, unnamed};
use super::set::rule_of;
use crate::backtest::recording::{Bounds, PAGE, Recording};
use crate::backtest::{Progress, furnish};
use crate::engine::{Engine, Inner};
use crate::error::EngineError;
use crate::gate::{Act, Caller};
use crate::scratch::{Ground, Scratch};

/// Which rule, and when.
#[derive(Debug, Clone)]
pub struct AsOf {
    /// A segment by its name, whose rule of today is asked; else the rule and the object.
    pub segment: Option<String>,
    /// The object.
    pub object: String,
    /// The rule.
    pub rule: Option<Asked>,
    /// The instant.
    pub at: Timestamp,
    /// How many of the records are shown, 1,000 at most.
    pub limit: u32,
}

impl Engine {
    /// Who was, or would have been, in it: how many, and some of them as they were then. It is asked in a workspace below `folder`, which is
    /// thrown away, so it may take some time.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`], [`EngineError::Rule`]; [`EngineError::Invalid`] for an instant that has not
    /// come.
    pub async fn segment_as_of(&self, caller: &Caller, asked: &AsOf, folder: &Path) -> Result<Json, EngineError> {
        let (inner, schema) = (&self.inner, self.inner.store.schema());
        if asked.at > inner.clock.now() {
            return Err(EngineError::invalid("/at", "this instant has not come yet"));
        }
        let (object, text) = match (&asked.segment, &asked.rule) {
            (Some(name), None) => {
                let state = inner.known_segment(name)?;
                let rule = state.def.rule.clone();
                let why =
                    || EngineError::invalid("/segment", format!("the segment `{name}` is a list: it has no rule"));
                (state.def.object.to_string(), rule.ok_or_else(why)?)
            }
            (None, Some(rule)) => (asked.object.clone(), rule.text()?),
            _ => return Err(EngineError::invalid("/segment", "give either a segment or a rule")),
        };
        let object = caller.object(&schema, &object, Act::Read)?;
        let rule = Rule::parse_with_history(&text, &Scope::Record(object.clone()), &schema, &ParamTypes::none())?;
        inner.may_ask(caller, &rule)?;
        let (inner, folder, at) = (inner.clone(), folder.to_owned(), asked.at);
        let (name, limit) = (object.name.clone(), asked.limit.clamp(1, 1_000));
        // A task of its own, so that a caller who goes away leaves no folder behind.
        let asking = tokio::spawn(async move { inner.past_members((&name, &text), at, limit, &folder).await });
        let (ids, shown) = asking.await.map_err(|e| EngineError::Internal(e.to_string()))??;
        Ok(json!({
            "object": object.name,
            "rule": rule.to_string(),
            "at": asked.at,
            "count": ids.len(),
            "items": shown,
        }))
    }
}

impl Inner {
    /// The records of `object` for which the rule `text` held at `at`, and some of them as they were.
    async fn past_members(
        self: &Arc<Self>,
        (object, text): (&Name, &str),
        at: Timestamp,
        limit: u32,
        folder: &Path,
    ) -> Result<(Vec<RecordId>, Vec<Json>), EngineError> {
        let scratch = Scratch::below(folder)?;
        let past = self.workspace_at((object, text), at, &scratch).await?;
        let asked = async {
            let mut known = BTreeSet::new();
            let rule = self.settled_rule(&past, (object, text), at, &mut known).await?;
            let mut query = RecordQuery::new(object.clone(), at, limit);
            query.rule = Some(rule);
            let ids = past.inner.store.ids_where(&query).await?;
            let shown = past.inner.store.find(&query).await?;
            Ok((ids, shown.iter().map(|record| record_to_json(record)).collect()))
        };
        let answer = asked.await;
        past.shutdown().await?;
        answer
    }

    /// A workspace with the records that the rule looks at, as they were at `at`.
    async fn workspace_at(
        self: &Arc<Self>,
        (object, text): (&Name, &str),
        at: Timestamp,
        scratch: &Scratch,
    ) -> Result<Engine, EngineError> {
        let mut snapshot = self.store.snapshot().await?;
        let head = snapshot.head();
        let first = snapshot.first_after(at).await?.unwrap_or(head + 1);
        let bounds = Bounds::open(Some(at));
        let progress = Progress::default();
        let recording = Recording::read(&mut snapshot, (first, head), (bounds, &progress)).await?;
        let engine = Ground::over(self, (Arc::new(SetClock::at(at)), text.as_bytes()), scratch).await?;
        furnish::declare(&engine.inner, snapshot.schema()).await?;
        let schema = engine.inner.store.schema();
        let reached = furnish::closed([object.clone()].into(), &schema);
        furnish::records(&engine, &mut snapshot, &recording, &reached, &progress).await?;
        snapshot.close().await?;
        Ok(engine)
    }

    /// The rule `text` with what it asks of the log and of segments settled in `past`: each question has become a segment whose members are
    /// those for whom the answer was yes.
    async fn settled_rule(
        self: &Arc<Self>,
        past: &Engine,
        (object, text): (&Name, &str),
        at: Timestamp,
        known: &mut BTreeSet<SegmentName>,
    ) -> Result<Rule, EngineError> {
        let schema = past.inner.store.schema();
        let rule = rule_of(&unnamed(object, text), &schema)?;
        let rule = rule.ok_or_else(|| EngineError::Internal("a rule has no text".into()))?;
        let merged = if rule.dids().is_empty() { Vec::new() } else { self.merged_at(at).await? };
        let mut answers = Vec::new();
        for did in rule.dids() {
            let name = SegmentName::new(&format!("did-{}", known.len())).expect("letters and digits");
            known.insert(name.clone());
            let ids = self.store.lanes_that_did(did, at, &merged).await?;
            furnish_stays(past, &name, ids, at).await?;
            answers.push((did.clone(), name));
        }
        for name in rule.segments() {
            if !known.insert(name.clone()) {
                continue;
            }
            let ids = self.members_then(past, name, at, known).await?;
            furnish_stays(past, name, ids, at).await?;
        }
        Ok(rule.with_answers(&answers))
    }

    /// Who was in the segment `name` at `at`: by its rule of today, or as it was, if it is a list.
    async fn members_then(
        self: &Arc<Self>,
        past: &Engine,
        name: &SegmentName,
        at: Timestamp,
        known: &mut BTreeSet<SegmentName>,
    ) -> Result<Vec<RecordId>, EngineError> {
        let state = self.known_segment(name.as_str())?;
        let Some(text) = state.def.rule.clone() else { return Ok(self.store.segment_members_at(name, at).await?) };
        let object = state.def.object.clone();
        let rule = Box::pin(self.settled_rule(past, (&object, &text), at, known)).await?;
        let mut query = RecordQuery::new(object, at, 0);
        query.rule = Some(rule);
        Ok(past.inner.store.ids_where(&query).await?)
    }
}

/// Puts records into a segment of a workspace that is thrown away.
async fn furnish_stays(
    past: &Engine,
    segment: &SegmentName,
    ids: Vec<RecordId>,
    at: Timestamp,
) -> Result<(), EngineError> {
    for some in ids.chunks(PAGE as usize) {
        let mut unit = UnitOfWork::new(at, Actor::System);
        let stay = |id: &RecordId| Stay { segment: segment.clone(), id: *id, at, step: StayStep::Enter };
        unit.stays = some.iter().map(stay).collect();
        past.inner.store.commit(unit).await?;
    }
    Ok(())
}
