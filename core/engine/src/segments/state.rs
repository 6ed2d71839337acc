//! Where each segment stands: records of the system object `segment`, and what activation makes of them.
//!
//! ```text
//! declared ─▶ filling ─▶ ready          its rule is changed: filling again
//!                          │ nothing declares it any more
//!                          ▼
//!                       retiring ─▶ retired
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use rapport_model::record::{Change, Put, PutKind};
use rapport_model::segment::OBJECT;
use rapport_model::{
    Actor, AutomationId, Declaration, Name, Record, RecordId, Schema, SegmentDef, SegmentKind, SegmentName, Timestamp,
    Value,
};
use rapport_store::{ReadVersion, RecordQuery, UnitOfWork};
use serde_json::{Value as Json, json};

use super::set::{circle, rule_of};
use crate::engine::Inner;
use crate::entropy;
use crate::error::EngineError;
use crate::registry::Version;
use crate::schedules::{field, set};

/// The most segments of a workspace.
const SEGMENTS_MAX: u32 = 100_000;

/// How far a segment is what its rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Filling,
    Ready,
    Retiring,
    Retired,
}

impl Standing {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Filling => "filling",
            Self::Ready => "ready",
            Self::Retiring => "retiring",
            Self::Retired => "retired",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Filling, Self::Ready, Self::Retiring, Self::Retired].into_iter().find(|known| known.as_str() == text)
    }
}

/// Where a segment stands.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) record: RecordId,
    version: i64,
    pub(crate) automation: AutomationId,
    /// What it was declared to be when it was filled, or is to be.
    pub(crate) def: SegmentDef,
    pub(crate) standing: Standing,
    /// Who comes and leaves while it is filled is told.
    pub(crate) announce: bool,
    pub(crate) filled_at: Option<Timestamp>,
    pub(crate) next_at: Option<Timestamp>,
    pub(crate) checked_at: Option<Timestamp>,
    pub(crate) faults: Option<i64>,
}

impl State {
    /// # Errors
    /// What does not read, in words.
    fn of_record(record: &Record) -> Result<Self, String> {
        let text = |name: &str| record.get(name).as_text().unwrap_or_default();
        let given = |name: &str| Some(text(name)).filter(|text| !text.is_empty());
        let time = |name: &str| if let Value::Time(time) = record.get(name) { Some(*time) } else { None };
        let def = SegmentDef {
            name: SegmentName::new(text("name")).map_err(|e| e.to_string())?,
            title: text("title").to_owned(),
            object: Name::new(text("object")).map_err(|e| e.to_string())?,
            kind: serde_json::from_value(Json::String(text("kind").to_owned())).map_err(|e| e.to_string())?,
            rule: given("rule").map(str::to_owned),
            every: given("every")
                .map(str::parse)
                .transpose()
                .map_err(|e: rapport_model::cron::CronError| e.to_string())?,
            zone: given("zone")
                .map(str::parse)
                .transpose()
                .map_err(|e: rapport_model::zone::ZoneError| e.to_string())?,
        };
        Ok(Self {
            record: record.id,
            version: record.version,
            automation: AutomationId::new(text("automation")).map_err(|e| e.to_string())?,
            def,
            standing: Standing::parse(text("state")).ok_or("its state is none")?,
            announce: matches!(record.get("announce"), Value::Bool(true)),
            filled_at: time("filled_at"),
            next_at: time("next_at"),
            checked_at: time("checked_at"),
            faults: if let Value::Int(n) = record.get("faults") { Some(*n) } else { None },
        })
    }

    /// The version of its record.
    pub(crate) const fn version(&self) -> i64 {
        self.version
    }

    fn put(&self, changes: Vec<(Name, Change)>) -> Put {
        Put { object: field(OBJECT), id: self.record, kind: PutKind::Update, changes }
    }

    /// As callers see it, but for its size.
    pub(crate) fn to_json(&self) -> Json {
        json!({
            "name": self.def.name,
            "title": self.def.title,
            "object": self.def.object,
            "kind": self.def.kind,
            "rule": self.def.rule,
            "every": self.def.every,
            "zone": self.def.zone.as_ref().map(rapport_model::Zone::name),
            "automation": self.automation,
            "state": self.standing.as_str(),
            "filled_at": self.filled_at,
            "next_at": self.next_at,
            "checked_at": self.checked_at,
            "faults": self.faults,
        })
    }
}

fn described(def: &SegmentDef) -> Vec<(Name, Change)> {
    let text = |name: &str, text: Option<&str>| set(name, text.map_or(Value::Null, Value::text));
    vec![
        text("title", Some(&def.title)),
        text("object", Some(def.object.as_str())),
        text("kind", Some(def.kind.as_str())),
        text("rule", def.rule.as_deref()),
        text("every", def.every.as_ref().map(rapport_model::Cron::as_str)),
        text("zone", def.zone.as_ref().map(rapport_model::Zone::name)),
    ]
}

/// What is wrong with the segments of `declaration`, as far as the schema tells, in words for its author.
pub(crate) fn problems(declaration: &Declaration, schema: &Schema) -> Vec<String> {
    let told = |def: &SegmentDef| match rule_of(def, schema) {
        Ok(None) if schema.object(def.object.as_str()).is_none() => {
            Some(format!("the segment `{}`: there is no object `{}`", def.name, def.object))
        }
        Ok(_) => None,
        Err(error) => Some(format!("the rule of the segment `{}`: {error}", def.name)),
    };
    declaration.segments.iter().filter_map(told).collect()
}

impl Inner {
    /// Where all segments stand.
    pub(crate) fn segment_states(&self) -> Arc<BTreeMap<SegmentName, Arc<State>>> {
        self.segments.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads where all segments stand, and how far they have followed.
    pub(crate) async fn load_segments(&self) -> Result<(), EngineError> {
        let query = RecordQuery::new(field(OBJECT), self.clock.now(), SEGMENTS_MAX);
        let mut all = BTreeMap::new();
        for record in self.store.find(&query).await? {
            match State::of_record(&record) {
                Ok(state) => drop(all.insert(state.def.name.clone(), Arc::new(state))),
                Err(why) => tracing::error!(segment.id = %record.id, "the segment {} is left out: {why}", record.id),
            }
        }
        *self.segments.known.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(all);
        self.segments.look();
        Ok(())
    }

    /// Takes note of where segments stand now, and leaves the others as they are known.
    fn know_segment(&self, records: impl Iterator<Item = Arc<Record>>) {
        let mut known = self.segments.known.lock().unwrap_or_else(PoisonError::into_inner);
        for record in records {
            if let Ok(state) = State::of_record(&record) {
                Arc::make_mut(&mut known).insert(state.def.name.clone(), Arc::new(state));
            }
        }
        drop(known);
        self.segments.look();
    }

    /// What of the segments of `version` stands against what is live: a name that another automation has, a segment that nothing
    /// declares, a circle.
    pub(crate) fn segment_obstacles(&self, version: &Version) -> Vec<String> {
        let live = self.snapshot.load();
        let (others, schema) = (live.segments(), self.store.schema());
        let mut asks: BTreeMap<SegmentName, Vec<SegmentName>> = BTreeMap::new();
        for segment in others.all().iter().filter(|segment| segment.automation != version.id) {
            let asked = segment.rule.as_ref().map_or(&[][..], rapport_model::rule::Rule::segments);
            asks.insert(segment.def.name.clone(), asked.to_vec());
        }
        let mut wrong = Vec::new();
        for def in &version.declaration.segments {
            if let Some((_, other)) = others.find(&def.name).filter(|(_, other)| other.automation != version.id) {
                wrong.push(format!("the segment `{}` is declared by `{}` already", def.name, other.automation));
            }
            let rule = rule_of(def, &schema).ok().flatten();
            asks.insert(def.name.clone(), rule.map_or_else(Vec::new, |rule| rule.segments().to_vec()));
        }
        for def in &version.declaration.segments {
            let unknown = asks[&def.name].iter().find(|asked| !asks.contains_key(*asked));
            if let Some(asked) = unknown {
                let near = rapport_model::nearest::nearest(asked.as_str(), asks.keys().map(SegmentName::as_str));
                let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                wrong.push(format!("the rule of the segment `{}`: there is no segment `{asked}`{hint}", def.name));
            }
        }
        if let Some(found) = circle(&asks) {
            let path: Vec<&str> = found.iter().map(SegmentName::as_str).collect();
            wrong.push(format!("the segment `{}` asks for itself: {}", path[0], path.join(" → ")));
        }
        wrong
    }

    /// What makes the segments of `automation` those that it now declares: what is the same stays as it is, what is new or has another
    /// rule is to be filled, what is no longer there is to be emptied.
    pub(crate) fn segment_puts(
        &self,
        automation: &AutomationId,
        declared: &[SegmentDef],
        (now, announce): (Timestamp, bool),
    ) -> Vec<Put> {
        let known = self.segment_states();
        let mut puts = Vec::new();
        for state in known.values().filter(|state| state.automation == *automation) {
            let gone = !declared.iter().any(|def| def.name == state.def.name);
            if gone && !matches!(state.standing, Standing::Retiring | Standing::Retired) {
                puts.push(state.put(vec![set("state", Value::text(Standing::Retiring.as_str()))]));
            }
        }
        for def in declared {
            let state = known.get(&def.name);
            let same = state.is_some_and(|state| {
                let there = matches!(state.standing, Standing::Filling | Standing::Ready);
                there
                    && SegmentDef { title: String::new(), ..state.def.clone() }
                        == SegmentDef { title: String::new(), ..def.clone() }
            });
            let mut changes = described(def);
            changes.push(set("automation", Value::text(automation.as_str())));
            if !same {
                let standing = if def.kind == SegmentKind::Manual { Standing::Ready } else { Standing::Filling };
                let next = def.every.as_ref().map_or(Value::Null, |cron| {
                    let zone = def.zone.clone().unwrap_or_else(rapport_model::Zone::utc);
                    cron.next_after(&zone, now).map_or(Value::Null, Value::Time)
                });
                changes.push(set("state", Value::text(standing.as_str())));
                changes.push(set("announce", Value::Bool(announce)));
                changes.push(set("next_at", next));
            }
            puts.push(if let Some(state) = state {
                state.put(changes)
            } else {
                changes.push(set("name", Value::text(def.name.as_str())));
                let id = entropy::record_id(&*self.entropy, now);
                Put { object: field(OBJECT), id, kind: PutKind::Create, changes }
            });
        }
        puts
    }

    /// Notes something about a segment, unless somebody else has changed where it stands since `state`. Says whether it did.
    pub(crate) async fn note_segment(&self, state: &State, changes: Vec<(Name, Change)>) -> Result<bool, EngineError> {
        let mut unit = UnitOfWork::new(self.clock.now(), Actor::System);
        unit.reads.push(ReadVersion { object: field(OBJECT), id: state.record, version: state.version });
        unit.puts.push(state.put(changes));
        match self.store.commit(unit).await {
            Ok(committed) => {
                self.know_segment(committed.records.into_iter().filter_map(|(_, record)| record));
                Ok(true)
            }
            Err(rapport_store::StoreError::Conflict { .. }) => {
                self.load_segments().await?;
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }
}
