//! Decides how a run is undone: what of its changes is taken back, and what is left, and why.
//!
//! The plan is made on a buffer, as a slice works on one: so it sees what plans before it would have done, and a dry run of
//! many is the same code as the real thing. It writes nothing.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rapport_model::event::{Body, Fields};
use rapport_model::image;
use rapport_model::json::to_json;
use rapport_model::record::Change;
use rapport_model::run::{ENDED, INVOKED};
use rapport_model::schema::SchemaChange;
use rapport_model::{
    Actor, Effect, EffectStatus, Event, Name, ObjectDef, Record, RecordId, Run, RunId, Schema, Timestamp, Value, file,
};
use rapport_store::{EventQuery, Store};
use serde_json::{Value as Json, json};

use super::compensate::{Beside, Undoing};
use super::guard;
use super::net::{self, FieldNet, NetChange, NetKind};
use super::since::{Later, Since, Targets};
use super::tags;
use crate::buffer::Buffer;
use crate::engine::Inner;
use crate::error::EngineError;
use crate::merge;

/// Events read in one go.
const PAGE_ROWS: u32 = 1_000;

/// What undoing a run comes to.
#[derive(Debug, Clone, Default)]
pub(super) struct Report {
    /// What is taken back.
    pub(super) done: Vec<Json>,
    /// What is left as it is, with the reason.
    pub(super) left: Vec<Json>,
    /// What cannot be taken back at all: events that were reported, messages and calls that were sent.
    pub(super) stands: Vec<Json>,
    /// What was to be sent and is called off.
    pub(super) called_off: Vec<Effect>,
}

/// The most items of each kind that a report names; the rest is counted.
const LISTED_MAX: usize = 100;

impl Report {
    /// The report as JSON, with the counts of all.
    pub(super) fn to_json(&self) -> Json {
        let some = |all: &[Json]| Json::Array(all.iter().take(LISTED_MAX).cloned().collect());
        json!({
            "done": some(&self.done),
            "left": some(&self.left),
            "stands": some(&self.stands),
            "counts": { "done": self.done.len(), "left": self.left.len(), "stands": self.stands.len() },
        })
    }
}

/// Whether a change that another record stands against is left, or waits for what is taken back after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Insist {
    NotYet,
    OnAnAnswer,
}

/// What came of a try to take back what happened to one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// The report says what.
    Answered,
    /// Nothing: another record stands against it, which may still be changed.
    Blocked,
}

impl Insist {
    /// Another record stands against a change: it is left, if it need not wait any more.
    fn leave(self, report: &mut Report, left: Json) -> Outcome {
        match self {
            Self::NotYet => Outcome::Blocked,
            Self::OnAnAnswer => {
                report.left.push(left);
                Outcome::Answered
            }
        }
    }
}

/// Records that are left alone, since a commit was refused for their sake, and why.
pub(super) type Refused = HashMap<(Name, RecordId), String>;

/// What a plan is made on.
pub(super) struct Planner<'a> {
    pub(super) store: &'a Store,
    pub(super) inner: &'a Inner,
    targets: &'a Targets,
    pub(super) schema: Arc<Schema>,
    pub(super) now: Timestamp,
    /// The database as the plans so far would leave it.
    pub(super) buffer: Buffer,
    /// The runs that the plans so far would undo.
    pub(super) undone: HashSet<RunId>,
    pub(super) refused: &'a Refused,
    /// The run that carries the plan out.
    pub(super) undo: Undoing,
    /// Who undoes.
    pub(super) actor: String,
    /// What compensators did.
    pub(super) beside: Beside,
    /// What the plan at hand brings back: references to it are as good as kept.
    returning: HashSet<(Name, RecordId)>,
}

/// Everything that `run` appended, in order.
pub(super) async fn events_of(store: &Store, run: RunId) -> Result<Vec<Arc<Event>>, EngineError> {
    let mut query = EventQuery { run: Some(run), limit: PAGE_ROWS, ..EventQuery::default() };
    let mut all = Vec::new();
    loop {
        let events = store.events(&query).await?;
        query.after = events.last().map(|e| e.position);
        let full = events.len() >= PAGE_ROWS as usize;
        all.extend(events);
        if !full {
            return Ok(all);
        }
    }
}

impl<'a> Planner<'a> {
    /// A planner of what `actor` undoes.
    pub(super) fn new(
        inner: &'a Inner,
        (now, undo, actor): (Timestamp, Undoing, &Actor),
        refused: &'a Refused,
    ) -> Self {
        Self {
            store: &inner.store,
            inner,
            targets: &inner.undo_targets,
            schema: inner.store.schema(),
            now,
            buffer: Buffer::default(),
            undone: HashSet::new(),
            refused,
            undo,
            actor: actor.to_string(),
            beside: Beside::default(),
            returning: HashSet::new(),
        }
    }

    /// Plans the undoing of `run` into the buffer. Its changes are taken back in the opposite order.
    pub(super) async fn plan(&mut self, run: &Run) -> Result<Report, EngineError> {
        merge::must_stand(self.inner, run).await?;
        let events = events_of(self.store, run.id).await?;
        let mut report = Report::default();
        for event in &events {
            let between_runs = matches!(event.kind.as_str(), INVOKED | ENDED);
            if let (Some(Body::Data(_)), false) = (&event.body, between_runs) {
                report.stands.push(json!({ "position": event.position, "event": event.kind.as_str() }));
            }
        }
        self.plan_effects(run, &mut report).await?;
        if let Some(version) = self.compensator(run).await {
            self.compensate(run, &version, &mut report).await?;
            self.undone.insert(run.id);
            return Ok(report);
        }
        let nets = net::of_events(&events);
        let gone = nets.iter().filter(|net| matches!(net.kind, NetKind::Deleted(_)));
        self.returning = gone.map(|net| (net.object.clone(), net.id)).collect();
        self.take_back_all(nets.iter().rev().collect(), &mut report).await?;
        self.undone.insert(run.id);
        Ok(report)
    }

    /// What has not been sent is called off; what has cannot be taken back.
    async fn plan_effects(&self, run: &Run, report: &mut Report) -> Result<(), EngineError> {
        for effect in self.inner.effects_of(run).await? {
            let to = if effect.request["to"].is_null() { &effect.request["url"] } else { &effect.request["to"] };
            let shown = json!({ "effect": effect.id, "channel": effect.channel, "to": to, "status": effect.status });
            match effect.status {
                EffectStatus::Pending => {
                    let mut done = shown;
                    done["did"] = "called off".into();
                    report.done.push(done);
                    report.called_off.push(effect);
                }
                EffectStatus::Cancelled => {}
                EffectStatus::Done | EffectStatus::Dead => report.stands.push(shown),
            }
        }
        Ok(())
    }

    /// Takes back changes in this order. What stands in the way of one may be taken back after it (a value that changed hands, a
    /// reference), so it is tried again as long as others come through; only then is it left.
    async fn take_back_all(&mut self, mut nets: Vec<&NetChange>, report: &mut Report) -> Result<(), EngineError> {
        let mut insist = Insist::NotYet;
        while !nets.is_empty() {
            let mut blocked = Vec::new();
            for net in &nets {
                if self.take_back(net, insist, report).await? == Outcome::Blocked {
                    blocked.push(*net);
                }
            }
            insist = if blocked.len() == nets.len() { Insist::OnAnAnswer } else { Insist::NotYet };
            nets = blocked;
        }
        Ok(())
    }

    async fn take_back(
        &mut self,
        net: &NetChange,
        insist: Insist,
        report: &mut Report,
    ) -> Result<Outcome, EngineError> {
        let about = format!("{}/{}", net.object, net.id);
        if let Some(why) = self.refused.get(&(net.object.clone(), net.id)) {
            report.left.push(left(&about, None, why.clone(), None));
            return Ok(Outcome::Answered);
        }
        // The record first, what happened to it second: if a change comes between, the versions differ at the commit.
        let current = self.record(&net.object, net.id).await?;
        if let Some(record) = current.as_ref().filter(|r| !self.buffer.is_touched(r.id)) {
            self.buffer.saw(record);
        }
        let key = (&net.object, net.id);
        let since = Since::read((self.store, self.targets), key, net.last, &self.undone).await?;
        match (&net.kind, current) {
            (NetKind::Nothing, _) => {}
            (NetKind::Erased, _) => {
                report.left.push(left(&about, None, "what happened to it has been erased from the log", None));
            }
            (NetKind::Created(values), Some(record)) => {
                return self.remove(&record, values, (&since, insist), report).await;
            }
            (NetKind::Deleted(values), None) => return self.bring_back(net, values, insist, report).await,
            (NetKind::Updated(fields), Some(record)) => {
                return self.restore(&record, fields, (&since, insist), report).await;
            }
            (NetKind::Created(_) | NetKind::Updated(_), None) => {
                report.left.push(left(&about, None, "it has been deleted since", since.last()));
            }
            (NetKind::Deleted(_), Some(_)) => {
                report.left.push(left(&about, None, "it is there again already", since.last()));
            }
        }
        Ok(Outcome::Answered)
    }

    async fn record(&self, object: &Name, id: RecordId) -> Result<Option<Arc<Record>>, EngineError> {
        match self.buffer.get(object, id) {
            Some(known) => Ok(known),
            None => Ok(self.store.record(object, id).await?),
        }
    }

    /// Removes a record that the run created, if it is as the run left it and nothing refers to it.
    async fn remove(
        &mut self,
        record: &Arc<Record>,
        values: &Fields,
        (since, insist): (&Since, Insist),
        report: &mut Report,
    ) -> Result<Outcome, EngineError> {
        let about = about(record);
        if since.last().is_some() || !is_as_left(record, values) {
            report.left.push(left(&about, None, "it has been changed since it was created", since.last()));
            return Ok(Outcome::Answered);
        }
        if let Some(why) = guard::referrer(self, record).await? {
            return Ok(insist.leave(report, left(&about, None, why, None)));
        }
        self.buffer.delete(record);
        report.done.push(json!({ "did": "removed", "record": about }));
        Ok(Outcome::Answered)
    }

    /// Creates a record again that the run deleted, with its id and values.
    async fn bring_back(
        &mut self,
        net: &NetChange,
        values: &Fields,
        insist: Insist,
        report: &mut Report,
    ) -> Result<Outcome, EngineError> {
        let about = format!("{}/{}", net.object, net.id);
        let Some(object) = self.schema.object(net.object.as_str()).cloned() else { return Ok(Outcome::Answered) };
        let added = self.fields_added_since(&object, net.last).await?;
        let mut changes: Vec<(Name, Change)> = Vec::with_capacity(object.fields.len());
        for field in object.fields.iter().filter(|f| !added.contains(&f.name)) {
            let value = values.iter().find(|(name, _)| *name == field.name).map(|(_, value)| value.clone());
            if value.is_some() || field.default.is_some() {
                changes.push((field.name.clone(), Change::Set(value.unwrap_or_default())));
            }
        }
        if !self.has_bytes(&object, values).await? {
            report.left.push(left(&about, None, "its bytes have been cleared away", None));
            return Ok(Outcome::Answered);
        }
        let against = match image::created(&object, net.id, self.now, &changes) {
            Ok(record) => guard::against(self, None, &record).await?.map(|(_, why)| why),
            Err(unfit) => Some(unfit.to_string()),
        };
        if let Some(why) = against {
            return Ok(insist.leave(report, left(&about, None, why, None)));
        }
        self.buffer.create(&object, net.id, self.now, changes)?;
        report.done.push(json!({ "did": "brought back", "record": about }));
        Ok(Outcome::Answered)
    }

    /// Whether the bytes of a file that had these values are still there; of any other record there are none to miss.
    async fn has_bytes(&self, object: &ObjectDef, values: &Fields) -> Result<bool, EngineError> {
        let digest = values.iter().find(|(name, _)| name.as_str() == "sha256").and_then(|(_, value)| value.as_text());
        match digest.and_then(|text| text.parse().ok()).filter(|_| object.name.as_str() == file::OBJECT) {
            Some(digest) => Ok(self.store.has_blob(&digest).await?),
            None => Ok(true),
        }
    }

    /// The fields of `object` that were declared after the position `after`: a record from before has their defaults.
    async fn fields_added_since(&self, object: &ObjectDef, after: i64) -> Result<HashSet<Name>, EngineError> {
        let kind = Some("schema.changed".to_owned());
        let query = EventQuery { kind, after: Some(after), limit: PAGE_ROWS, ..EventQuery::default() };
        let mut added = HashSet::new();
        for event in self.store.events(&query).await? {
            let Some(Body::Data(data)) = &event.body else { continue };
            let Some((_, Value::Json(change))) = data.first() else { continue };
            if let Ok(SchemaChange::AddField { object: of, field }) = serde_json::from_value((**change).clone())
                && of == object.name
            {
                added.insert(field.name);
            }
        }
        Ok(added)
    }

    /// Takes back changes of fields: increments are subtracted, values put back where nobody has set the field since.
    async fn restore(
        &mut self,
        record: &Arc<Record>,
        fields: &[(Name, FieldNet)],
        (since, insist): (&Since, Insist),
        report: &mut Report,
    ) -> Result<Outcome, EngineError> {
        let (about, known) = (about(record), report.left.len());
        let mut changes: Vec<(Name, Change)> = Vec::new();
        for (name, net) in fields {
            if tags::is_tags(record, name) {
                let back = tags::back(name, net, since);
                let why = |tag: &str| format!("the tag `{tag}` has been added or taken away since");
                report.left.extend(back.left.iter().map(|(tag, who)| left(&about, Some(name), why(tag), Some(who))));
                changes.push((name.clone(), Change::Tag(back.edit)));
                continue;
            }
            match inverse(record, name, net, since) {
                Ok(change) => match image::changed(record, self.now, &[(name.clone(), change.clone())]) {
                    Ok(_) => changes.push((name.clone(), change)),
                    Err(unfit) => report.left.push(left(&about, Some(name), unfit.to_string(), None)),
                },
                Err((why, who)) => report.left.push(left(&about, Some(name), why, who)),
            }
        }
        while let Some(after) = image::changed(record, self.now, &changes)? {
            let Some((field, why)) = guard::against(self, Some(record), &after).await? else { break };
            if insist.leave(report, left(&about, Some(&field), why, None)) == Outcome::Blocked {
                report.left.truncate(known);
                return Ok(Outcome::Blocked);
            }
            changes.retain(|(name, _)| *name != field);
        }
        let after = self.buffer.update(record, self.now, changes.clone())?;
        let nothing = |change: &Change| matches!(change, Change::Tag(edit) if edit.is_empty());
        for (name, change) in changes.iter().filter(|(_, change)| !nothing(change)) {
            report.done.push(done(&about, name, change, (record.get(name.as_str()), after.get(name.as_str()))));
        }
        Ok(Outcome::Answered)
    }
}

/// The change that takes back what the run did to one field; or why there is none, and who stands against it.
fn inverse<'s>(
    record: &Record,
    name: &Name,
    net: &FieldNet,
    since: &'s Since,
) -> Result<Change, (String, Option<&'s Later>)> {
    if let Some(who) = since.setter(name) {
        return Err(("it has been set since".to_owned(), Some(who)));
    }
    let current = record.get(name.as_str());
    let added = since.added(name);
    let unexplained = || (format!("it holds {}, which the log does not explain", to_json(current)), None);
    if let Some(delta) = &net.delta {
        if net.before.is_null() && added.is_none() && *current == net.after {
            return Ok(Change::Set(Value::Null));
        }
        return delta.negated().map(Change::Increment).ok_or_else(unexplained);
    }
    match added {
        None if *current == net.after => Ok(Change::Set(net.before.clone())),
        Some(sum) if number(&net.after).plus(&sum).as_ref() == Some(number(current)) => {
            let back = number(&net.after).negated().and_then(|minus| number(&net.before).plus(&minus));
            back.map(Change::Increment).ok_or_else(unexplained)
        }
        _ => Err(unexplained()),
    }
}

/// Null counts as 0 where numbers are added.
const fn number(value: &Value) -> &Value {
    const ZERO: &Value = &Value::Int(0);
    if value.is_null() { ZERO } else { value }
}

/// Whether the record holds what the run left it with. A field declared since holds its default; what follows from other records does
/// not count.
fn is_as_left(record: &Record, values: &Fields) -> bool {
    record.object.fields.iter().filter(|field| field.rollup.is_none()).all(|field| {
        let current = record.get(field.name.as_str());
        match values.iter().find(|(name, _)| *name == field.name) {
            Some((_, value)) => value == current,
            None => current.is_null() || field.default.as_ref().is_some_and(|default| *default == to_json(current)),
        }
    })
}

fn about(record: &Record) -> String {
    format!("{}/{}", record.object.name, record.id)
}

fn done(about: &str, field: &Name, change: &Change, (from, to): (&Value, &Value)) -> Json {
    let mut json = json!({ "record": about, "field": field, "from": to_json(from), "to": to_json(to) });
    match change {
        Change::Set(_) | Change::Tag(_) => json["did"] = "put back".into(),
        Change::Increment(delta) => {
            let less = delta.compare(&Value::Int(0)) == Some(Ordering::Less);
            json["did"] = if less { "subtracted" } else { "added" }.into();
            json["by"] = if less { delta.negated().map(|d| to_json(&d)).into() } else { to_json(delta) };
        }
    }
    json
}

fn left(about: &str, field: Option<&Name>, why: impl Into<String>, who: Option<&Later>) -> Json {
    let mut json = json!({ "record": about, "why": why.into() });
    if let Some(field) = field {
        json["field"] = field.as_str().into();
    }
    if let Some(who) = who {
        json["since"] = json!({ "position": who.position, "actor": who.actor, "run": who.run });
    }
    json
}

impl Planner<'_> {
    /// Whether a record is there, or is being brought back.
    pub(super) async fn will_be_there(&self, object: &Name, id: RecordId) -> Result<bool, EngineError> {
        Ok(self.returning.contains(&(object.clone(), id)) || self.record(object, id).await?.is_some())
    }
}
