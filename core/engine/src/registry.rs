//! The automations that are live, and which events start which of them.
//!
//! A snapshot is immutable: activating, deactivating or changing the schema makes a new one. For every event type that
//! exists, its index holds the triggers that mean it, with their conditions already compiled for that type.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rapport_model::automation::Trigger;
use rapport_model::event::Body;
use rapport_model::fan_out::EACH;
use rapport_model::name::RecordEventKind;
use rapport_model::rule::lookup::{ChangeLookup, EventLookup, Referenced};
use rapport_model::rule::{Env, ParamTypes, Params, Rule, RuleError, Scope};
use rapport_model::schedule::DUE;
use rapport_model::schema::Origin;
use rapport_model::{AutomationId, Declaration, Digest, Event, EventType, Name, Record, Schema, Timestamp, Value};
use rapport_sandbox::Program;
use rapport_store::Match;
use serde::{Deserialize, Serialize};

use crate::judges::{Absent, Judges};
use crate::segments::SegmentSet;
use crate::settings::Overrides;

/// What an automation is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AutomationKind {
    /// A Rhai script.
    Script,
    /// A WebAssembly component.
    Plugin,
}

/// One version of one automation, ready to run.
#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) id: AutomationId,
    pub(crate) kind: AutomationKind,
    /// Names the content together with the settings that were chosen for it.
    pub(crate) digest: Digest,
    /// Names the content alone.
    pub(crate) content: Digest,
    pub(crate) declaration: Declaration,
    pub(crate) settings: HashMap<String, Value>,
    /// The settings that differ from their defaults, as they were given.
    pub(crate) overrides: Overrides,
    pub(crate) program: Program,
    pub(crate) compiled: Compiled,
}

/// A trigger of a live version as it applies to one event type.
#[derive(Debug)]
struct Entry {
    version: Arc<Version>,
    changed: Vec<Name>,
    condition: Option<Rule>,
}

/// The live automations at one moment.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    active: Vec<Arc<Version>>,
    /// What should be live and could not be loaded.
    absent: Vec<Absent>,
    index: HashMap<EventType, Vec<Entry>>,
    judges: Judges,
    segments: Arc<SegmentSet>,
}

impl Snapshot {
    /// The snapshot of these versions over `schema`. A condition that does not read for a type (a wildcard reaches types
    /// with other fields) never holds for it; [`check_triggers`] has refused those that read for none.
    pub(crate) fn new(active: Vec<Arc<Version>>, absent: Vec<Absent>, schema: &Schema) -> Self {
        let mut index: HashMap<EventType, Vec<Entry>> = HashMap::new();
        for version in &active {
            for trigger in &version.declaration.triggers {
                for (kind, scope) in scopes(schema, trigger) {
                    let condition = trigger.condition.as_deref().map(|text| parse(text, &scope, schema));
                    let Ok(condition) = condition.transpose() else { continue };
                    let entry = Entry { version: version.clone(), changed: trigger.changed.clone(), condition };
                    index.entry(kind).or_default().push(entry);
                }
            }
        }
        let judges = Judges::of(&active, &absent);
        let segments = Arc::new(SegmentSet::of(&active, schema));
        Self { active, absent, index, judges, segments }
    }

    /// The segments that are live.
    pub(crate) const fn segments(&self) -> &Arc<SegmentSet> {
        &self.segments
    }

    /// What should be live and could not be loaded.
    pub(crate) fn absent(&self) -> &[Absent] {
        &self.absent
    }

    /// The hooks of what is live.
    pub(crate) const fn judges(&self) -> &Judges {
        &self.judges
    }

    /// The live versions.
    pub(crate) fn active(&self) -> &[Arc<Version>] {
        &self.active
    }

    /// The live version of the automation `id`.
    pub(crate) fn version(&self, id: &AutomationId) -> Option<&Arc<Version>> {
        self.active.iter().find(|v| v.id == *id)
    }

    /// The live version of the plugin `id`.
    pub(crate) fn plugin(&self, id: &str) -> Option<&Arc<Version>> {
        self.active.iter().find(|v| v.id.as_str() == id && v.kind == AutomationKind::Plugin)
    }

    /// The automations that `event` starts. A condition that looks at other records counts as holding here: the slice
    /// looks at it again with those records at hand (see [`Version::open_conditions`]).
    pub(crate) fn matches(&self, event: &Event, record: Option<&Record>) -> Vec<Match> {
        if matches!(event.kind.as_str(), DUE | EACH) {
            return self.scheduled(event).into_iter().collect();
        }
        let Some(entries) = self.index.get(&event.kind) else { return Vec::new() };
        let mut found: Vec<Match> = Vec::new();
        for entry in entries {
            let known = found.iter().any(|m| m.automation == entry.version.id);
            if !known && changed_enough(&entry.changed, event) && holds_so_far(entry, event, record) {
                found.push(Match { automation: entry.version.id.clone(), digest: entry.version.digest, run: None });
            }
        }
        found
    }

    /// The automation whose schedule an event of the core says is due.
    fn scheduled(&self, event: &Event) -> Option<Match> {
        let Some(Body::Data(data)) = &event.body else { return None };
        let (_, name) = data.iter().find(|(name, _)| name.as_str() == "automation")?;
        let version = self.active.iter().find(|v| Some(v.id.as_str()) == name.as_text())?;
        Some(Match { automation: version.id.clone(), digest: version.digest, run: None })
    }
}

/// The triggers of a version by epoch of the schema and event type, compiled: they are asked for in every slice.
pub(crate) type Compiled = Mutex<HashMap<(i64, EventType), Arc<[Condition]>>>;

/// A trigger as it applies to one event type.
#[derive(Debug)]
pub(crate) struct Condition {
    changed: Vec<Name>,
    /// None: no condition. An error: it does not read for this type, and never holds.
    rule: Option<Result<Rule, ()>>,
}

impl Version {
    /// Whether its runs may wait.
    pub(crate) fn waits(&self) -> bool {
        self.declaration.waits || self.program.imports_waits()
    }

    /// The conditions of this version's triggers on `event` that look at other records; none if a trigger without such a
    /// look has fired.
    pub(crate) fn open_conditions(&self, event: &Event, record: Option<&Record>, schema: &Schema) -> Vec<Rule> {
        let mut open = Vec::new();
        for condition in self.compiled(&event.kind, schema).iter().filter(|c| changed_enough(&c.changed, event)) {
            match &condition.rule {
                None => return Vec::new(),
                Some(Ok(rule)) if looks_elsewhere(rule) => open.push(rule.clone()),
                Some(Ok(rule)) if holds(rule, event, record, &[]) => return Vec::new(),
                Some(_) => {}
            }
        }
        open
    }

    fn compiled(&self, kind: &EventType, schema: &Schema) -> Arc<[Condition]> {
        let mut known = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry((schema.epoch, kind.clone())).or_insert_with(|| self.compile(kind, schema)).clone()
    }

    fn compile(&self, kind: &EventType, schema: &Schema) -> Arc<[Condition]> {
        let own = self.declaration.triggers.iter().filter(|t| t.matches_type(kind));
        let compiled = own.filter_map(|trigger| {
            let (_, scope) = scopes(schema, trigger).into_iter().find(|(known, _)| known == kind)?;
            let rule = trigger.condition.as_deref().map(|text| parse(text, &scope, schema).map_err(|_| ()));
            Some(Condition { changed: trigger.changed.clone(), rule })
        });
        compiled.collect()
    }
}

/// Whether `rule` holds for `event`, with the records it looks at.
pub(crate) fn holds(rule: &Rule, event: &Event, record: Option<&Record>, referenced: &Referenced) -> bool {
    holds_with(rule, event, record, (referenced, &Params::none()))
}

/// The same with parameters.
pub(crate) fn holds_with(
    rule: &Rule,
    event: &Event,
    record: Option<&Record>,
    (referenced, params): (&Referenced, &Params),
) -> bool {
    match (&event.body, record) {
        (Some(Body::Change(change)), Some(record)) => {
            let lookup = ChangeLookup { record, change, kind: change_kind(&event.kind), referenced };
            rule.eval(&Env { now: event.time, lookup: &lookup, params }).unwrap_or(false)
        }
        (Some(Body::Data(data)), subject) => {
            let lookup = EventLookup { data, subject, referenced };
            rule.eval(&Env { now: event.time, lookup: &lookup, params }).unwrap_or(false)
        }
        _ => false,
    }
}

/// Refuses triggers that could never fire: an event type that nothing declares, a field that no object has, a condition
/// that does not read.
///
/// # Errors
/// What is wrong, in words for the author, one line each.
pub(crate) fn check_triggers(declaration: &Declaration, schema: &Schema) -> Result<(), Vec<String>> {
    let mut problems = Vec::new();
    for trigger in &declaration.triggers {
        let scopes = scopes(schema, trigger);
        if scopes.is_empty() {
            problems.push(unknown_type(schema, trigger));
            continue;
        }
        for field in &trigger.changed {
            let known =
                scopes.iter().any(|(_, scope)| matches!(scope, Scope::Change(o) if o.field(field.as_str()).is_some()));
            let rollup = scopes.iter().find_map(|(_, scope)| match scope {
                Scope::Change(object) => object.field(field.as_str())?.rollup.as_ref(),
                _ => None,
            });
            if let Some(rollup) = rollup {
                problems.push(format!(
                    "trigger on `{}`: `{field}` is a roll-up, whose change is no event: write a trigger on what it follows from, such as \
                     `on(\"{}.created\")`, or a segment over it",
                    trigger.event, rollup.object
                ));
            }
            if !known {
                problems.push(format!("trigger on `{}`: there is no field `{field}` to change", trigger.event));
            }
        }
        let Some(text) = trigger.condition.as_deref() else { continue };
        let results: Vec<_> = scopes.iter().map(|(_, scope)| parse(text, scope, schema)).collect();
        if let (true, Some(Err(error))) = (results.iter().all(Result::is_err), results.first()) {
            problems.push(format!("condition of the trigger on `{}`: {error}", trigger.event));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

fn unknown_type(schema: &Schema, trigger: &Trigger) -> String {
    let names = known_types(schema);
    let nearest = rapport_model::nearest::nearest(&trigger.event, names.iter().map(|(kind, _)| kind.as_str()));
    let hint = nearest.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
    format!("there is no event type `{}`{hint}", trigger.event)
}

fn parse(text: &str, scope: &Scope, schema: &Schema) -> Result<Rule, RuleError> {
    Rule::parse(text, scope, schema, &ParamTypes::none())
}

/// Every event type that exists, with what names mean in conditions on it.
fn known_types(schema: &Schema) -> Vec<(EventType, Scope)> {
    use RecordEventKind::{Created, Deleted, Updated};
    let mut all = Vec::new();
    for object in schema.objects.values().filter(|o| o.origin != Origin::System) {
        for what in [Created, Updated, Deleted] {
            all.push((EventType::of_record(&object.name, what), Scope::Change(object.clone())));
        }
    }
    for (kind, def) in &schema.event_types {
        // What an event of a declared type is about is known by convention: `order.paid` is mostly about a customer, so
        // `subject.` is left to those types whose subject can only be one object.
        all.push((kind.clone(), Scope::Event { kind: def.clone(), subject: None }));
    }
    all
}

/// What names mean in rules over events of `kind`; none if there is no such type.
pub(crate) fn scope_of(schema: &Schema, kind: &EventType) -> Option<Scope> {
    if let Some(def) = schema.event_type(kind.as_str()) {
        return Some(Scope::Event { kind: def.clone(), subject: None });
    }
    let (object, "created" | "updated" | "deleted") = kind.as_str().rsplit_once('.')? else { return None };
    schema.object(object).filter(|o| o.origin != Origin::System).map(|object| Scope::Change(object.clone()))
}

fn scopes(schema: &Schema, trigger: &Trigger) -> Vec<(EventType, Scope)> {
    known_types(schema).into_iter().filter(|(kind, _)| trigger.matches_type(kind)).collect()
}

fn changed_enough(changed: &[Name], event: &Event) -> bool {
    if changed.is_empty() {
        return true;
    }
    let Some(change) = event.change() else { return false };
    let touched = |name: &Name| change.after.iter().chain(&change.before).any(|(field, _)| field == name);
    changed.iter().any(touched)
}

fn holds_so_far(entry: &Entry, event: &Event, record: Option<&Record>) -> bool {
    match &entry.condition {
        None => true,
        Some(rule) if looks_elsewhere(rule) => true,
        Some(rule) => holds(rule, event, record, &[]),
    }
}

fn looks_elsewhere(rule: &Rule) -> bool {
    rule.references().iter().any(|r| matches!(r.base, rapport_model::rule::tree::Base::Through(_)))
}

fn change_kind(kind: &EventType) -> RecordEventKind {
    match kind.as_str().rsplit('.').next() {
        Some("created") => RecordEventKind::Created,
        Some("deleted") => RecordEventKind::Deleted,
        _ => RecordEventKind::Updated,
    }
}

/// The instant that counts as now for a reaction to `event`: its own time while history is loaded, else the clock's.
pub(crate) const fn slice_time(event: &Event, clock: Timestamp, loading: bool) -> Timestamp {
    if loading { event.time } else { clock }
}
