//! The segments that are live, compiled, and which of them a change can touch.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use rapport_model::event::RecordChange;
use rapport_model::rule::history::HistoryOf;
use rapport_model::rule::tree::Base;
use rapport_model::rule::{ParamTypes, Rule, RuleError, Scope};
use rapport_model::schema::Origin;
use rapport_model::{AutomationId, Event, EventType, Name, RecordId, Schema, SegmentDef, SegmentKind, SegmentName};

use super::turns::{Turn, Turns, turns_of};
use crate::registry::Version;

/// A segment that is live.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) def: SegmentDef,
    /// Which automation declares it.
    pub(crate) automation: AutomationId,
    /// For whom it holds; a manual one has none.
    pub(crate) rule: Option<Rule>,
    /// At which instants time alone can change an answer.
    pub(crate) turns: Turns,
    /// Those that it asks for come before it.
    pub(crate) rank: usize,
}

impl Segment {
    /// Whether its rule asks what has happened.
    pub(crate) fn asks_the_log(&self) -> bool {
        self.rule.as_ref().is_some_and(|rule| !rule.dids().is_empty())
    }
}

/// What a change can touch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Touched {
    /// A record.
    Record(RecordId),
    /// All that refer by that field to the record.
    Through(Name, RecordId),
    /// The record to which a child belongs, by that field of it, as the child now is; and if there is a field after it, all that refer by that
    /// to the record.
    Parent(Child, Option<Name>),
}

/// A child, and the field by which it belongs to its parent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Child {
    pub(crate) object: Name,
    pub(crate) id: RecordId,
    pub(crate) via: Name,
}

/// A turn, of whose records, and of which segments by their places.
#[derive(Debug)]
pub(crate) struct Turning {
    pub(crate) turn: Turn,
    pub(crate) object: Name,
    pub(crate) places: BTreeSet<usize>,
}

/// A segment that reads a roll-up over an object's records.
#[derive(Debug)]
struct OverChildren {
    place: usize,
    /// The children's field that names the parent.
    via: Name,
    /// The field by which the segment's records refer to the parent; none: they are the parents.
    through: Option<Name>,
}

/// The segments that are live, and who reads what.
#[derive(Debug, Default)]
pub(crate) struct SegmentSet {
    all: Vec<Arc<Segment>>,
    by_name: BTreeMap<SegmentName, usize>,
    /// All by the object that they are about.
    of_object: HashMap<Name, Vec<usize>>,
    /// When time changes the answers of live ones, each turn once.
    turnings: Vec<Turning>,
    /// Live ones by a field of that object which they read.
    of_field: HashMap<(Name, Name), Vec<usize>>,
    /// Live ones by a field of another object which they read, and through which field.
    of_reference: HashMap<(Name, Name), Vec<(usize, Name)>>,
    /// Live ones by the events that they count.
    of_event: HashMap<EventType, Vec<(usize, HistoryOf)>>,
    /// Live ones by the object over whose records they read a roll-up.
    of_child: HashMap<Name, Vec<OverChildren>>,
    /// Live ones by the segment that they ask for.
    of_segment: HashMap<SegmentName, Vec<usize>>,
}

/// What `def` means, if it reads.
///
/// # Errors
/// What is wrong with its rule.
pub(crate) fn rule_of(def: &SegmentDef, schema: &Schema) -> Result<Option<Rule>, RuleError> {
    let Some(text) = &def.rule else { return Ok(None) };
    let Some(object) = schema.object(def.object.as_str()).filter(|object| object.origin != Origin::System) else {
        let message = format!("there is no object `{}`", def.object);
        return Err(RuleError { line: 1, column: 1, message, help: String::new() });
    };
    Rule::parse_with_history(text, &Scope::Record(object.clone()), schema, &ParamTypes::none()).map(Some)
}

/// A circle of segments that ask for each other, if there is one: each stands before the one that it asks for.
pub(crate) fn circle(asks: &BTreeMap<SegmentName, Vec<SegmentName>>) -> Option<Vec<SegmentName>> {
    fn visit(
        at: &SegmentName,
        asks: &BTreeMap<SegmentName, Vec<SegmentName>>,
        (path, done): (&mut Vec<SegmentName>, &mut BTreeSet<SegmentName>),
    ) -> Option<Vec<SegmentName>> {
        if let Some(begin) = path.iter().position(|name| name == at) {
            return Some(path[begin..].iter().chain([at]).cloned().collect());
        }
        if done.contains(at) {
            return None;
        }
        path.push(at.clone());
        for next in asks.get(at).into_iter().flatten() {
            if let Some(found) = visit(next, asks, (path, done)) {
                return Some(found);
            }
        }
        path.pop();
        done.insert(at.clone());
        None
    }
    let mut done = BTreeSet::new();
    asks.keys().find_map(|name| visit(name, asks, (&mut Vec::new(), &mut done)))
}

impl SegmentSet {
    /// The segments that `active` declare. One whose rule does not read, or that stands in a circle, is reported and left out: activation
    /// has refused such.
    pub(crate) fn of(active: &[Arc<Version>], schema: &Schema) -> Self {
        let mut found: BTreeMap<SegmentName, Segment> = BTreeMap::new();
        for version in active {
            for def in &version.declaration.segments {
                let name = &def.name;
                match rule_of(def, schema) {
                    Ok(rule) => {
                        let turns = rule.as_ref().map(|rule| turns_of(rule, &def.object)).unwrap_or_default();
                        let (def, automation) = (def.clone(), version.id.clone());
                        found.entry(name.clone()).or_insert(Segment { def, automation, rule, turns, rank: 0 });
                    }
                    Err(why) => tracing::error!(segment.name = %name, "the segment {name} is left out: {why}"),
                }
            }
        }
        Self::indexed(ranked(found), schema)
    }

    fn indexed(found: Vec<Segment>, schema: &Schema) -> Self {
        let mut set = Self::default();
        let mut turnings: HashMap<(Turn, Name), BTreeSet<usize>> = HashMap::new();
        for (i, segment) in found.into_iter().enumerate() {
            set.by_name.insert(segment.def.name.clone(), i);
            set.of_object.entry(segment.def.object.clone()).or_default().push(i);
            if segment.def.kind == SegmentKind::Live
                && let Some(rule) = &segment.rule
            {
                set.index(i, &segment.def.object, rule);
                set.index_rollups(i, &segment.def.object, (rule, schema));
            }
            if segment.def.kind == SegmentKind::Live {
                for turn in &segment.turns.known {
                    turnings.entry((turn.clone(), segment.def.object.clone())).or_default().insert(i);
                }
            }
            set.all.push(Arc::new(segment));
        }
        set.turnings = turnings.into_iter().map(|((turn, object), places)| Turning { turn, object, places }).collect();
        set
    }

    fn index(&mut self, i: usize, object: &Name, rule: &Rule) {
        for field in rule.fields() {
            self.of_field.entry((object.clone(), field.clone())).or_default().push(i);
        }
        for reference in rule.references() {
            if let Base::Through(via) = &reference.base {
                let key = (reference.object.clone(), reference.field.clone());
                self.of_reference.entry(key).or_default().push((i, via.clone()));
            }
        }
        for did in rule.dids() {
            self.of_event.entry(did.kind.clone()).or_default().push((i, did.of));
        }
        for segment in rule.segments() {
            self.of_segment.entry(segment.clone()).or_default().push(i);
        }
    }

    /// Of which roll-ups a rule reads the children decide.
    fn index_rollups(&mut self, place: usize, object: &Name, (rule, schema): (&Rule, &Schema)) {
        let own = rule.fields().iter().map(|field| (object, field, None));
        let others = rule.references().iter().filter_map(|reference| match &reference.base {
            Base::Through(via) => Some((&reference.object, &reference.field, Some(via))),
            _ => None,
        });
        for (object, field, through) in own.chain(others) {
            let def = schema.object(object.as_str()).and_then(|object| object.field(field.as_str()));
            if let Some(rollup) = def.and_then(|def| def.rollup.as_ref()) {
                let over = OverChildren { place, via: rollup.via.clone(), through: through.cloned() };
                self.of_child.entry(rollup.object.clone()).or_default().push(over);
            }
        }
    }

    /// All, those that others ask for first.
    pub(crate) fn all(&self) -> &[Arc<Segment>] {
        &self.all
    }

    /// The segment at a place of [`Self::touched`].
    pub(crate) fn at(&self, place: usize) -> &Arc<Segment> {
        &self.all[place]
    }

    /// The segment of that name, and its place.
    pub(crate) fn find(&self, name: &SegmentName) -> Option<(usize, &Arc<Segment>)> {
        let place = *self.by_name.get(name)?;
        Some((place, &self.all[place]))
    }

    /// Whether there is none.
    pub(crate) fn is_still(&self) -> bool {
        self.all.is_empty()
    }

    /// When time changes the answers of live ones.
    pub(crate) fn turnings(&self) -> &[Turning] {
        &self.turnings
    }

    /// Whether `event` can change any. Asked in each commit.
    pub(crate) fn is_touched_by(&self, event: &Event) -> bool {
        if self.of_event.contains_key(&event.kind) || is_merge(event) {
            return true;
        }
        let (Some(change), Some(subject)) = (event.change(), &event.subject) else { return false };
        if self.of_child.contains_key(&subject.object) {
            return true;
        }
        if is_whole(change) {
            return self.of_object.contains_key(&subject.object);
        }
        let read = |field: Name| {
            let key = (subject.object.clone(), field);
            self.of_field.contains_key(&key) || self.of_reference.contains_key(&key)
        };
        changed(change).any(read)
    }

    /// The live segments that ask for this one.
    pub(crate) fn asking_for(&self, name: &SegmentName) -> &[usize] {
        self.of_segment.get(name).map_or(&[], Vec::as_slice)
    }

    /// Which segments `event` can change, for whom.
    pub(crate) fn touched(&self, event: &Event) -> BTreeSet<(usize, Touched)> {
        let mut found = BTreeSet::new();
        for (place, of) in self.of_event.get(&event.kind).into_iter().flatten() {
            let id = match of {
                HistoryOf::Lane => event.lane,
                HistoryOf::Subject => event.subject.as_ref().map(|subject| subject.id),
            };
            found.extend(id.map(|id| (*place, Touched::Record(id))));
        }
        let (Some(change), Some(subject)) = (event.change(), &event.subject) else { return found };
        if is_merge(event) {
            let named = change.after.iter().chain(&change.before).filter(|(field, _)| field.as_str() == "survivor");
            // Its history is another one from now on. Who was merged on is named by what was before.
            for id in named.filter_map(|(_, value)| value.as_text()?.parse().ok()) {
                let all = self.all.iter().enumerate().filter(|(_, s)| s.asks_the_log());
                found.extend(all.map(|(place, _)| (place, Touched::Record(id))));
            }
            return found;
        }
        for over in self.of_child.get(&subject.object).into_iter().flatten() {
            let named = change.after.iter().chain(&change.before).filter(|(name, _)| *name == over.via);
            let mut parents: Vec<Touched> = named
                .filter_map(|(_, value)| value.as_ref_id())
                .map(|id| over.through.as_ref().map_or(Touched::Record(id), |via| Touched::Through(via.clone(), id)))
                .collect();
            if parents.is_empty() {
                let child = Child { object: subject.object.clone(), id: subject.id, via: over.via.clone() };
                parents.push(Touched::Parent(child, over.through.clone()));
            }
            found.extend(parents.into_iter().map(|parent| (over.place, parent)));
        }
        let own = Touched::Record(subject.id);
        if is_whole(change) {
            let all = self.of_object.get(&subject.object).into_iter().flatten();
            found.extend(all.map(|place| (*place, own.clone())));
            return found;
        }
        for field in changed(change) {
            let key = (subject.object.clone(), field);
            found.extend(self.of_field.get(&key).into_iter().flatten().map(|place| (*place, own.clone())));
            let through = self.of_reference.get(&key).into_iter().flatten();
            found.extend(through.map(|(place, via)| (*place, Touched::Through(via.clone(), subject.id))));
        }
        found
    }
}

/// Whether it says that a record was merged into another, or is no longer.
fn is_merge(event: &Event) -> bool {
    event.subject.as_ref().is_some_and(|subject| subject.object.as_str() == rapport_model::merge::OBJECT)
}

/// Whether a record came or went: that is a matter of all segments of its object, since one that is no more is in none.
fn is_whole(change: &RecordChange) -> bool {
    change.before.is_empty() || change.after.is_empty()
}

/// The fields that a change touches, those of the host among them.
fn changed(change: &RecordChange) -> impl Iterator<Item = Name> + '_ {
    let named = change.after.iter().chain(&change.before).map(|(name, _)| name.clone());
    named.chain(["updated_at", "version"].into_iter().filter_map(|name| Name::new(name).ok()))
}

/// In an order in which each comes after those that it asks for.
fn ranked(found: BTreeMap<SegmentName, Segment>) -> Vec<Segment> {
    let asks: BTreeMap<SegmentName, Vec<SegmentName>> = found
        .iter()
        .map(|(name, segment)| (name.clone(), segment.rule.as_ref().map_or(&[][..], Rule::segments).to_vec()))
        .collect();
    let mut ranks: BTreeMap<&SegmentName, usize> = BTreeMap::new();
    // Each round places those whose questions are placed; what is left over stands in a circle.
    for rank in 0..=asks.len() {
        let placed = |name: &SegmentName| ranks.contains_key(name) || !asks.contains_key(name);
        let ready = asks.iter().filter(|(name, asked)| !ranks.contains_key(name) && asked.iter().all(placed));
        let ready: Vec<&SegmentName> = ready.map(|(name, _)| name).collect();
        if ready.is_empty() {
            break;
        }
        ranks.extend(ready.into_iter().map(|name| (name, rank)));
    }
    let mut placed: Vec<Segment> = Vec::with_capacity(found.len());
    for (name, mut segment) in found {
        if let Some(rank) = ranks.get(&name) {
            segment.rank = *rank;
            placed.push(segment);
        } else {
            tracing::error!(segment.name = %name, "the segment {name} is left out: it stands in a circle");
        }
    }
    placed.sort_by(|a, b| (a.rank, &a.def.name).cmp(&(b.rank, &b.def.name)));
    placed
}
