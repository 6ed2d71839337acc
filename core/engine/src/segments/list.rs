//! Segments as callers from outside read them.

use rapport_model::json::record_to_json;
use rapport_model::nearest::nearest;
use rapport_model::rule::{ParamTypes, Rule, RuleError, Scope, outline};
use rapport_model::{Name, RecordId, SegmentDef, SegmentName, Timestamp};
use rapport_store::{RecordQuery, StayOf};
use serde_json::{Value as Json, json};

use super::set::Segment;
use super::state::Standing;
use super::{Segments, State};
use crate::engine::{Engine, Inner};
use crate::error::EngineError;
use crate::gate::{Act, Caller};
use crate::page::{Page, cursor, open_cursor, page_rows};

/// The records that a preview shows.
const SAMPLE_ROWS: u32 = 10;
/// The most points of a curve of sizes.
const SIZES_MAX: usize = 1_000;
/// The stays of a record that are shown.
const STAYS_SHOWN: u32 = 200;

/// Which members.
#[derive(Debug, Clone, Default)]
pub struct MembersRequest {
    /// Rows of the page.
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

/// A rule that somebody asks about, as text or as a tree.
#[derive(Debug, Clone)]
pub enum Asked {
    /// Text.
    Text(String),
    /// A tree: see [`rapport_model::rule::outline`].
    Tree(Json),
}

impl Asked {
    /// The text of the rule.
    ///
    /// # Errors
    /// The place in the tree that is no node.
    pub(super) fn text(&self) -> Result<String, EngineError> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::Tree(tree) => {
                outline::to_text(tree).map_err(|e| EngineError::invalid(format!("/tree{}", e.pointer), e.message))
            }
        }
    }
}

fn stay_json(stay: &StayOf) -> Json {
    json!({ "segment": stay.segment, "entered_at": stay.entered_at, "left_at": stay.left_at })
}

/// The refusal of a rule that asks whether records of `object` are in a segment of another one.
fn foreign(def: &SegmentDef, object: &Name) -> RuleError {
    let message = format!("the segment `{}` is one of `{}`, not of `{object}`", def.name, def.object);
    RuleError { line: 1, column: 1, message, help: String::new() }
}

impl Inner {
    /// The segment of that name that is not retired.
    pub(super) fn known_segment(&self, name: &str) -> Result<std::sync::Arc<State>, EngineError> {
        let states = self.segment_states();
        let found = SegmentName::new(name).ok().and_then(|name| states.get(&name).cloned());
        found.filter(|state| state.standing != Standing::Retired).ok_or_else(|| {
            let near = nearest(name, states.keys().map(SegmentName::as_str));
            let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            EngineError::not_found(format!("segment `{}`{hint}", name.chars().take(100).collect::<String>()))
        })
    }

    /// The live segment of that name, compiled.
    pub(super) fn compiled_segment(&self, name: &SegmentName) -> Result<std::sync::Arc<Segment>, EngineError> {
        let snapshot = self.snapshot.load();
        let found = snapshot.segments().find(name).map(|(_, segment)| segment.clone());
        found.ok_or_else(|| EngineError::not_found(format!("live segment `{name}`")))
    }

    /// Refuses a rule that looks at what the caller may not read.
    pub(crate) fn may_ask(&self, caller: &Caller, rule: &Rule) -> Result<(), EngineError> {
        let schema = self.store.schema();
        for reference in rule.references() {
            caller.object(&schema, reference.object.as_str(), Act::Read)?;
        }
        for did in rule.dids() {
            if did.is_change
                && let Some((object, _)) = did.kind.as_str().rsplit_once('.')
            {
                caller.object(&schema, object, Act::Read)?;
            }
        }
        for asked in rule.memberships() {
            let state = self.known_segment(asked.segment.as_str())?;
            if let Some(object) = asked.object.as_ref().filter(|object| **object != state.def.object) {
                return Err(foreign(&state.def, object).into());
            }
        }
        Ok(())
    }
}

impl Engine {
    /// All segments with their sizes.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`].
    pub async fn segments(&self, caller: &Caller) -> Result<Vec<Json>, EngineError> {
        caller.require(Act::Read)?;
        let states = self.inner.segment_states();
        let shown = states.values().filter(|s| s.standing != Standing::Retired && caller.sees(&s.def.object));
        let mut all = Vec::new();
        for state in shown {
            let mut json = state.to_json();
            json["size"] = self.inner.store.segment_size(&state.def.name).await?.into();
            all.push(json);
        }
        Ok(all)
    }

    /// One segment: its rule as text and as a tree, where it stands, its size.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`].
    pub async fn segment(&self, caller: &Caller, name: &str) -> Result<Json, EngineError> {
        let state = self.inner.known_segment(name)?;
        caller.object(&self.inner.store.schema(), state.def.object.as_str(), Act::Read)?;
        let mut json = state.to_json();
        json["size"] = self.inner.store.segment_size(&state.def.name).await?.into();
        let segment = self.inner.compiled_segment(&state.def.name).ok();
        json["tree"] = segment.and_then(|s| s.rule.as_ref().map(|r| outline::to_json(r.root()))).unwrap_or_default();
        Ok(json)
    }

    /// One page of the members of a segment, in the order of their ids: the records, and since when they are in it.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`], [`EngineError::Invalid`] for limits and cursors.
    pub async fn segment_members(
        &self,
        caller: &Caller,
        name: &str,
        request: &MembersRequest,
    ) -> Result<Page<Json>, EngineError> {
        let state = self.inner.known_segment(name)?;
        let object = caller.object(&self.inner.store.schema(), state.def.object.as_str(), Act::Read)?;
        let described = ["segment", state.def.name.as_str()];
        let after = match request.cursor.as_deref() {
            None => None,
            Some(text) => {
                let values = open_cursor(&described, text)?;
                values.first().and_then(Json::as_str).and_then(|id| id.parse::<RecordId>().ok())
            }
        };
        let rows = page_rows(request.limit)?;
        let mut stays = self.inner.store.segment_members(&state.def.name, after, rows + 1).await?;
        let more = stays.len() > rows as usize;
        stays.truncate(rows as usize);
        let ids: Vec<RecordId> = stays.iter().map(|stay| stay.id).collect();
        let records = self.inner.store.records(&object.name, &ids).await?;
        let shown = stays.iter().zip(records).filter_map(|(stay, record)| {
            let mut json = record_to_json(&*record?);
            json["entered_at"] = json!(stay.entered_at);
            Some(json)
        });
        let next = stays.last().filter(|_| more).map(|last| cursor(&described, vec![json!(last.id)]));
        Ok(Page { items: shown.collect(), next })
    }

    /// Who would be in a segment of this rule: how many, and some of them. Nothing is changed.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::UnknownObject`], [`EngineError::Rule`].
    pub async fn preview_segment(&self, caller: &Caller, object: &str, asked: &Asked) -> Result<Json, EngineError> {
        let schema = self.inner.store.schema();
        let object = caller.object(&schema, object, Act::Read)?;
        let text = asked.text()?;
        let scope = Scope::Record(object.clone());
        let rule = Rule::parse_with_history(&text, &scope, &schema, &ParamTypes::none())?;
        self.inner.may_ask(caller, &rule)?;
        let mut query = RecordQuery::new(object.name.clone(), self.inner.clock.now(), SAMPLE_ROWS);
        query.rule = Some(rule.clone());
        let count = self.inner.store.count(&query).await?;
        let sample = self.inner.store.find(&query).await?;
        Ok(json!({
            "object": object.name,
            "count": count,
            "rule": rule.to_string(),
            "tree": outline::to_json(rule.root()),
            "sample": sample.iter().map(|record| record_to_json(record)).collect::<Vec<_>>(),
        }))
    }

    /// How many records are in both segments, and in each.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`]; [`EngineError::Invalid`] if they are of different objects.
    pub async fn segment_overlap(&self, caller: &Caller, one: &str, other: &str) -> Result<Json, EngineError> {
        let (a, b) = (self.inner.known_segment(one)?, self.inner.known_segment(other)?);
        caller.object(&self.inner.store.schema(), a.def.object.as_str(), Act::Read)?;
        if a.def.object != b.def.object {
            let message = format!("`{one}` is about {}, `{other}` about {}", a.def.object, b.def.object);
            return Err(EngineError::invalid("/with", message));
        }
        let store = &self.inner.store;
        Ok(json!({
            "segments": [a.def.name, b.def.name],
            "sizes": [store.segment_size(&a.def.name).await?, store.segment_size(&b.def.name).await?],
            "both": store.segment_overlap(&a.def.name, &b.def.name).await?,
        }))
    }

    /// How many were in a segment at each of these instants.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`]; [`EngineError::Invalid`] for more than a thousand instants.
    pub async fn segment_sizes(
        &self,
        caller: &Caller,
        name: &str,
        instants: &[Timestamp],
    ) -> Result<Vec<Json>, EngineError> {
        let state = self.inner.known_segment(name)?;
        caller.object(&self.inner.store.schema(), state.def.object.as_str(), Act::Read)?;
        if instants.len() > SIZES_MAX {
            return Err(EngineError::invalid("/at", format!("at most {SIZES_MAX} instants")));
        }
        let mut sizes = Vec::with_capacity(instants.len());
        for time in instants {
            let size = self.inner.store.segment_size_at(&state.def.name, *time).await?;
            sizes.push(json!({ "time": time, "size": size }));
        }
        Ok(sizes)
    }

    /// The segments that a record is in, and those that it was in, the latest first, 200 at most.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`].
    pub async fn segments_of(&self, caller: &Caller, object: &str, key: &str) -> Result<Vec<Json>, EngineError> {
        let record = self.get(caller, object, key).await?;
        Ok(self.inner.store.stays_of(record.id, STAYS_SHOWN).await?.iter().map(stay_json).collect())
    }

    /// Compares a segment with its rule, both as of now: what a self-check each night does, too.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`].
    pub async fn check_segment(&self, caller: &Caller, name: &str) -> Result<Json, EngineError> {
        caller.everywhere(Act::Admin)?;
        let state = self.inner.known_segment(name)?;
        let faults = self.inner.check_segment(&state).await?;
        let (missing, surplus) = (&faults.missing, &faults.surplus);
        Ok(json!({
            "segment": state.def.name,
            "missing": { "count": missing.0, "records": missing.1 },
            "surplus": { "count": surplus.0, "records": surplus.1 },
        }))
    }

    /// Makes a segment anew what its rule says; silently, unless who comes and leaves is to be told.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`]; [`EngineError::Invalid`] if it has no rule.
    pub async fn rebuild_segment(
        &self,
        caller: &Caller,
        name: &str,
        telling: super::Telling,
    ) -> Result<Json, EngineError> {
        caller.everywhere(Act::Admin)?;
        let state = self.inner.known_segment(name)?;
        if state.def.rule.is_none() {
            return Err(EngineError::invalid("/name", format!("the segment `{name}` is a list: it has no rule")));
        }
        self.inner.refill_segment(&state, telling).await?;
        Ok(self.inner.known_segment(name)?.to_json())
    }
}

impl Segments {
    /// How many segments stand how.
    pub(crate) fn counts(&self) -> Vec<(&'static str, usize)> {
        let known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let standings = [Standing::Filling, Standing::Ready, Standing::Retiring, Standing::Retired];
        let count = |standing: Standing| known.values().filter(|state| state.standing == standing).count();
        standings.map(|standing| (standing.as_str(), count(standing))).to_vec()
    }
}

/// The definition of a segment that nobody declares: a rule of today over records of the past.
pub(super) fn unnamed(object: &Name, rule: &str) -> SegmentDef {
    SegmentDef {
        name: SegmentName::new("unnamed").expect("a letter and letters"),
        title: String::new(),
        object: object.clone(),
        kind: rapport_model::SegmentKind::Frozen,
        rule: Some(rule.to_owned()),
        every: None,
        zone: None,
    }
}
