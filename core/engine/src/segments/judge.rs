//! Judges whether records belong to segments, in memory, and commits who comes and who leaves.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use rapport_model::event::{NewEvent, Subject};
use rapport_model::rule::days::midnight;
use rapport_model::rule::history::{Did, History, HistoryLookup};
use rapport_model::rule::tree::Base;
use rapport_model::rule::{Env, Params, Rule};
use rapport_model::segment::{ENTERED, LEFT};
use rapport_model::{Actor, EventType, Name, Record, RecordId, SegmentKind, SegmentName, Timestamp, Value};
use rapport_store::{Followed, Moment, Stay, StayStep, Triggers, UnitOfWork, crash_point};

use super::set::{Segment, SegmentSet};
use super::state::Standing;
use super::{NextTurn, Work};
use crate::engine::Inner;
use crate::error::EngineError;
use crate::schedules::field;

/// Records judged in one go.
const CASES_MAX: usize = 200;

/// Somebody to be judged.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) id: RecordId,
    /// Of which segments, by their places.
    pub(super) places: BTreeSet<usize>,
    /// As of when.
    pub(super) at: Timestamp,
    /// The event because of which: its position and its depth.
    pub(super) cause: Option<(i64, u16)>,
    /// The time of the earliest of the events because of which.
    pub(super) since: Option<Timestamp>,
    /// Nothing is to react to what follows.
    pub(super) is_quiet: bool,
}

impl Case {
    /// A record to be judged as of `at`, because of no event.
    pub(super) fn at(at: Timestamp, id: RecordId, places: impl Into<BTreeSet<usize>>) -> Self {
        Self { id, places: places.into(), at, cause: None, since: None, is_quiet: false }
    }
}

/// Which segments are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judged {
    /// Those that are ready; of others it is noted who has to be judged once they are.
    Ready,
    /// Those that are filled, too.
    All,
}

/// What is known of a record's history and of the segments that it is in.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) counts: Vec<(Arc<Did>, u32)>,
    pub(super) segments: BTreeMap<SegmentName, Timestamp>,
}

impl History for Known {
    fn count(&self, did: &Did) -> u32 {
        self.counts.iter().find(|(known, _)| **known == *did).map_or(0, |(_, count)| *count)
    }

    fn is_member(&self, segment: &SegmentName) -> bool {
        self.segments.contains_key(segment)
    }
}

/// A record with what its segments' rules look at besides.
pub(super) struct Judgeable {
    pub(super) record: Arc<Record>,
    pub(super) referenced: Vec<(Name, Arc<Record>)>,
    pub(super) known: Known,
}

impl Judgeable {
    /// Whether `rule` holds for it.
    pub(super) fn holds(&self, rule: &Rule, now: Timestamp) -> Result<bool, EngineError> {
        let Self { record, referenced, known } = self;
        let lookup = HistoryLookup { record, referenced, history: known };
        rule.eval(&Env { now, lookup: &lookup, params: &Params::none() })
            .map_err(|e| EngineError::Internal(format!("the rule `{}`: {e}", rule.source())))
    }
}

impl Judgeable {
    /// The point in time that a field holds, of the record or of the one that it refers to.
    fn moment(&self, field: &str, via: Option<&Name>) -> Option<Timestamp> {
        let record = match via {
            None => &self.record,
            Some(via) => self.referenced.iter().find(|(name, _)| name == via).map(|(_, record)| record)?,
        };
        match record.system(field).unwrap_or_else(|| record.get(field).clone()) {
            Value::Time(time) => Some(time),
            Value::Date(date) => Some(midnight(date)),
            _ => None,
        }
    }
}

impl Inner {
    /// Judges `cases`, records of `object`, in their order; says how many came or left.
    pub(super) async fn judge_cases(
        &self,
        (work, set): (&mut Work, &SegmentSet),
        object: &Name,
        cases: Vec<Case>,
        judged: Judged,
    ) -> Result<usize, EngineError> {
        let mut done = 0;
        let mut chunk: Vec<Case> = Vec::new();
        let mut seen = HashSet::new();
        for case in cases {
            // One that comes twice is judged with what the first time left.
            if chunk.len() >= CASES_MAX || seen.contains(&case.id) {
                done += self.judge_chunk((work, set), object, std::mem::take(&mut chunk), judged).await?;
                seen.clear();
            }
            seen.insert(case.id);
            chunk.push(case);
        }
        Ok(done + self.judge_chunk((work, set), object, chunk, judged).await?)
    }

    async fn judge_chunk(
        &self,
        (work, set): (&mut Work, &SegmentSet),
        object: &Name,
        cases: Vec<Case>,
        judged: Judged,
    ) -> Result<usize, EngineError> {
        if cases.is_empty() {
            return Ok(0);
        }
        let states = self.segment_states();
        let ids: Vec<RecordId> = cases.iter().map(|case| case.id).collect();
        let records = self.store.records(object, &ids).await?;
        let rules = set.all().iter().filter(|s| s.def.object == *object).filter_map(|s| s.rule.as_ref());
        let referenced = self.referenced(rules, &records).await?;
        let mut stays = self.store.segments_of(&ids).await?;
        let mut units = Vec::new();
        for (case, record) in cases.iter().zip(records) {
            let segments = stays.remove(&case.id).unwrap_or_default();
            let segments: BTreeMap<_, _> = segments.into_iter().map(|stay| (stay.segment, stay.entered_at)).collect();
            let Some(record) = record else {
                units.extend(gone(set, object, case, &segments));
                continue;
            };
            let known = Known { counts: Vec::new(), segments };
            let mut judgeable = Judgeable { referenced: referenced_by(&record, &referenced), record, known };
            let mut steps = Vec::new();
            let mut open = case.places.clone();
            // Those that others ask for have lower places.
            while let Some(place) = open.pop_first() {
                let segment = set.at(place);
                if segment.def.kind != SegmentKind::Live && judged == Judged::Ready {
                    continue;
                }
                match states.get(&segment.def.name).map(|state| state.standing) {
                    Some(Standing::Ready) => {}
                    Some(Standing::Filling) if judged == Judged::All => {}
                    Some(Standing::Filling) => {
                        work.aside.entry(segment.def.name.clone()).or_default().insert(case.id);
                        continue;
                    }
                    _ => continue,
                }
                if let Some(step) = self.judge_one(segment, &mut judgeable, case.at).await? {
                    steps.push(step);
                    open.extend(set.asking_for(&segment.def.name));
                }
                note_turns(work, segment, &judgeable, case);
            }
            units.extend(unit_of(case, &judgeable.record, steps));
        }
        self.commit_stays(work, units).await
    }

    /// Whether the record comes into `segment` at `at`, or leaves it, and since when it was there; what is known of it goes along.
    async fn judge_one(
        &self,
        segment: &Segment,
        judgeable: &mut Judgeable,
        at: Timestamp,
    ) -> Result<Option<(SegmentName, StayStep, Option<Timestamp>)>, EngineError> {
        let Some(rule) = &segment.rule else { return Ok(None) };
        self.count_dids(rule, judgeable, at).await?;
        let name = &segment.def.name;
        let entered_at = judgeable.known.segments.get(name).copied();
        let holds = match judgeable.holds(rule, at) {
            Ok(holds) => holds,
            // One record that its rule cannot read must not keep all others waiting.
            Err(error) => {
                tracing::error!(segment.name = %name, record.id = %judgeable.record.id, "left as it is in {name}: {error}");
                return Ok(None);
            }
        };
        let step = match (holds, entered_at) {
            (true, None) => StayStep::Enter,
            (false, Some(_)) => StayStep::Leave,
            _ => return Ok(None),
        };
        if step == StayStep::Enter {
            judgeable.known.segments.insert(name.clone(), at);
        } else {
            judgeable.known.segments.remove(name);
        }
        Ok(Some((name.clone(), step, entered_at)))
    }

    /// Asks the log what `rule` asks of it.
    pub(super) async fn count_dids(
        &self,
        rule: &Rule,
        judgeable: &mut Judgeable,
        at: Timestamp,
    ) -> Result<(), EngineError> {
        for did in rule.dids() {
            if !judgeable.known.counts.iter().any(|(known, _)| known == did) {
                let count = self.store.count_did(did, judgeable.record.id, at).await?;
                judgeable.known.counts.push((did.clone(), count));
            }
        }
        Ok(())
    }

    /// The records that `rules` look at through references of `records`.
    pub(super) async fn referenced<'r>(
        &self,
        rules: impl Iterator<Item = &'r Rule>,
        records: &[Option<Arc<Record>>],
    ) -> Result<HashMap<Name, HashMap<RecordId, Arc<Record>>>, EngineError> {
        let mut wanted: BTreeMap<Name, Name> = BTreeMap::new();
        for reference in rules.flat_map(Rule::references) {
            if let Base::Through(via) = &reference.base {
                wanted.insert(via.clone(), reference.object.clone());
            }
        }
        let mut found: HashMap<Name, HashMap<RecordId, Arc<Record>>> = HashMap::new();
        for (via, object) in wanted {
            let ids: BTreeSet<RecordId> =
                records.iter().flatten().filter_map(|record| record.get(via.as_str()).as_ref_id()).collect();
            let ids: Vec<RecordId> = ids.into_iter().collect();
            let others = self.store.records(&object, &ids).await?.into_iter().flatten();
            found.insert(via, others.map(|record| (record.id, record)).collect());
        }
        Ok(found)
    }

    async fn commit_stays(&self, work: &mut Work, mut units: Vec<UnitOfWork>) -> Result<usize, EngineError> {
        let Some(last) = units.last_mut() else { return Ok(0) };
        if let Some(swept_at) = work.swept_at {
            last.followed = Some(Followed { position: work.followed, swept_at });
            work.kept = (work.followed, Some(swept_at));
        }
        let done = units.iter().map(|unit| unit.stays.len()).sum();
        crash_point("segments.judged");
        for outcome in self.store.commit_all(units).await {
            outcome?;
        }
        crash_point("segments.committed");
        Ok(done)
    }
}

/// What a record refers to.
pub(super) fn referenced_by(
    record: &Record,
    referenced: &HashMap<Name, HashMap<RecordId, Arc<Record>>>,
) -> Vec<(Name, Arc<Record>)> {
    let find = |(via, others): (&Name, &HashMap<RecordId, Arc<Record>>)| {
        let id = record.get(via.as_str()).as_ref_id()?;
        Some((via.clone(), others.get(&id)?.clone()))
    };
    referenced.iter().filter_map(find).collect()
}

/// A record that is no more leaves all segments; nobody is told, since it has been told that it was deleted.
fn gone(
    set: &SegmentSet,
    object: &Name,
    case: &Case,
    segments: &BTreeMap<SegmentName, Timestamp>,
) -> Option<UnitOfWork> {
    let is_of = |name: &&SegmentName| set.find(name).is_some_and(|(_, segment)| segment.def.object == *object);
    let stay = |name: &SegmentName| Stay { segment: name.clone(), id: case.id, at: case.at, step: StayStep::Leave };
    let mut unit = UnitOfWork::new(case.at, Actor::System);
    unit.stays = segments.keys().filter(is_of).map(stay).collect();
    (!unit.stays.is_empty()).then_some(unit)
}

/// A step of the record `record` as an event.
pub(super) fn event_of(
    record: &Record,
    (segment, step, entered_at): (&SegmentName, StayStep, Option<Timestamp>),
    at: Timestamp,
) -> NewEvent {
    let kind = if step == StayStep::Enter { ENTERED } else { LEFT };
    let mut data = vec![(field("segment"), Value::text(segment.as_str()))];
    if step == StayStep::Leave {
        data.extend(entered_at.map(|at| (field("entered_at"), Value::Time(at))));
    }
    NewEvent {
        origin: None,
        kind: EventType::new(kind).expect("the standard event types are valid: a test reads them all"),
        subject: Some(Subject { object: record.object.name.clone(), id: record.id }),
        lane: Some(record.lane()),
        time: at,
        data,
    }
}

fn unit_of(case: &Case, record: &Record, steps: Vec<(SegmentName, StayStep, Option<Timestamp>)>) -> Option<UnitOfWork> {
    if steps.is_empty() {
        return None;
    }
    let mut unit = UnitOfWork::new(case.at, Actor::System);
    if let Some((position, depth)) = case.cause {
        (unit.cause, unit.depth) = (Some(position), depth.saturating_add(1));
    }
    if case.is_quiet {
        unit.triggers = Triggers::Skip;
    }
    for (segment, step, entered_at) in steps {
        unit.events.push(event_of(record, (&segment, step, entered_at), case.at));
        unit.stays.push(Stay { segment, id: record.id, at: case.at, step });
    }
    Some(unit)
}

/// Notes when time changes the answer for a record that was judged, if that is earlier than what was known.
fn note_turns(work: &mut Work, segment: &Segment, judgeable: &Judgeable, case: &Case) {
    for turn in &segment.turns.known {
        let moment = match &turn.moment {
            // That of its other events was known before.
            Moment::Event(..) => case.since,
            Moment::Field(moment) => judgeable.moment(moment.field.as_str(), turn.via.as_ref()),
        };
        let Some(turns_at) = moment.map(|moment| moment.plus_micros(turn.offset)) else { continue };
        work.next_turn = match turns_at > case.at {
            true => work.next_turn.or_at(turns_at),
            // Of several events a later one may turn later.
            false if matches!(turn.moment, Moment::Event(..)) => NextTurn::Unknown,
            false => work.next_turn,
        };
    }
}
