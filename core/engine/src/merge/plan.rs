//! Decides what a merge changes, on the data of the moment. It writes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use rapport_model::json::to_json;
use rapport_model::limits::PAGE_ROWS_MAX;
use rapport_model::merge::{self as names, MergedRecord};
use rapport_model::record::Change;
use rapport_model::rule::{ParamTypes, Params, Rule, Scope};
use rapport_model::tags::{self, TagEdit};
use rapport_model::{FieldDef, FieldKind, Name, ObjectDef, Record, RecordId, Schema, Timestamp, Value, file, relation};
use rapport_store::{EventQuery, RecordQuery, Stay};

use super::report::Report;
use super::{FieldChoice, Merge, core};
use crate::buffer::Buffer;
use crate::engine::Inner;
use crate::entropy;
use crate::error::EngineError;

/// What a merge comes to.
pub(crate) struct Plan {
    pub(crate) buffer: Buffer,
    pub(crate) report: Report,
    pub(crate) stays: Vec<Stay>,
    pub(crate) events: Vec<rapport_model::event::NewEvent>,
}

struct Planner<'a> {
    inner: &'a Inner,
    merge: &'a Merge,
    schema: Arc<Schema>,
    now: Timestamp,
    buffer: Buffer,
    report: Report,
}

/// Plans `merge`.
///
/// # Errors
/// [`EngineError::Conflict`] if one of both is gone, or if a record that would go was changed since the merge was asked for;
/// [`EngineError::Invalid`] if what both have does not go together.
pub(crate) async fn plan(inner: &Inner, merge: &Merge, now: Timestamp) -> Result<Plan, EngineError> {
    let schema = inner.store.schema();
    let mut planner = Planner { inner, merge, schema, now, buffer: Buffer::default(), report: Report::default() };
    let (survivor, merged) = (planner.load(merge.survivor).await?, planner.load(merge.merged).await?);
    let about = |record: &Record| format!("{}/{}", record.object.name, record.id);
    (planner.report.survivor, planner.report.merged) = (about(&survivor), about(&merged));
    planner.move_references().await?;
    planner.move_files().await?;
    let changes = planner.changes(&survivor, &merged)?;
    let after = rapport_model::image::changed(&survivor, now, &changes)?.map_or_else(|| survivor.clone(), Arc::new);
    planner.report.names = names_left((&survivor, &merged), &after);
    planner.lead_names().await?;
    // A unique value that goes over is free once the record that had it is gone.
    planner.buffer.delete(&merged);
    planner.buffer.update(&survivor, now, changes)?;
    let Planner { buffer, mut report, .. } = planner;
    let (stays, events) = inner.hand_lists_over(merge, survivor.lane(), now, &mut report).await?;
    Ok(Plan { buffer, report, stays, events })
}

/// The values of unique fields that no record has any more.
fn names_left((survivor, merged): (&Record, &Record), after: &Record) -> BTreeMap<Name, Vec<String>> {
    let mut left: BTreeMap<Name, Vec<String>> = BTreeMap::new();
    let named = |field: &&FieldDef| field.unique && !matches!(field.kind, FieldKind::Reference { .. });
    for field in survivor.object.fields.iter().filter(named) {
        let name = field.name.as_str();
        for value in [merged.get(name), survivor.get(name)] {
            if !value.is_null() && value != after.get(name) {
                left.entry(field.name.clone()).or_default().push(to_json(value).to_string());
            }
        }
    }
    left
}

impl Planner<'_> {
    async fn load(&mut self, id: RecordId) -> Result<Arc<Record>, EngineError> {
        let object = &self.merge.object.name;
        let found = self.inner.store.record(object, id).await?;
        let record = found.ok_or_else(|| EngineError::Conflict(format!("{object}/{id} is not there any more")))?;
        self.buffer.saw(&record);
        Ok(record)
    }

    /// Has all that refers to the record that goes refer to the one that stays.
    async fn move_references(&mut self) -> Result<(), EngineError> {
        let schema = self.schema.clone();
        for object in schema.objects.values() {
            let refers = |field: &&FieldDef| matches!(&field.kind, FieldKind::Reference { object } if *object == self.merge.object.name);
            let fields: Vec<&FieldDef> = object.fields.iter().filter(refers).collect();
            if fields.is_empty() {
                continue;
            }
            let either: Vec<String> = fields.iter().map(|field| format!("{} == it", field.name)).collect();
            for record in self.find(object, &either.join(" || "), Value::Ref(self.merge.merged)).await? {
                // Both records are written once, with all that changes of them.
                if ![self.merge.survivor, self.merge.merged].contains(&record.id) {
                    self.move_reference(&record, &fields).await?;
                }
            }
        }
        Ok(())
    }

    async fn move_reference(&mut self, record: &Arc<Record>, fields: &[&FieldDef]) -> Result<(), EngineError> {
        let (from, to) = (Value::Ref(self.merge.merged), Value::Ref(self.merge.survivor));
        let leading = |field: &&&FieldDef| *record.get(field.name.as_str()) == from;
        let leading: Vec<&FieldDef> = fields.iter().filter(leading).copied().collect();
        self.buffer.saw(record);
        let changes: Vec<(Name, Change)> =
            leading.iter().map(|field| (field.name.clone(), Change::Set(to.clone()))).collect();
        if self.is_one_too_many(record, &leading, &changes).await? {
            self.must_be_untouched(record).await?;
            self.report.removed(record);
            self.buffer.delete(record);
            return Ok(());
        }
        for field in leading {
            self.report.moved(&record.object.name, field.name.as_str());
        }
        self.buffer.update(record, self.now, changes)?;
        Ok(())
    }

    /// Whether the survivor has a record like this one already, of which there can be one alone.
    async fn is_one_too_many(
        &self,
        record: &Arc<Record>,
        leading: &[&FieldDef],
        changes: &[(Name, Change)],
    ) -> Result<bool, EngineError> {
        let to = Value::Ref(self.merge.survivor);
        for field in leading.iter().filter(|field| field.unique) {
            let object = &record.object.name;
            let found = self.inner.store.resolve(object, &field.name, std::slice::from_ref(&to)).await?;
            if found.into_iter().flatten().any(|holder| holder.id != record.id) {
                return Ok(true);
            }
        }
        if record.object.name.as_str() != relation::OBJECT {
            return Ok(false);
        }
        let Some(after) = rapport_model::image::changed(record, self.now, changes)? else { return Ok(false) };
        let ends = |record: &Record| -> Vec<Value> {
            relation::FROM.iter().chain(&relation::TO).map(|field| record.get(field).clone()).collect()
        };
        let (kind, own) = (after.get("kind").clone(), ends(&after));
        if own[..2] == own[2..] {
            return Ok(true);
        }
        let [from, to] = [relation::FROM[0], relation::TO[0]];
        let rule = format!("{from} == it || {to} == it");
        let known = self.find(&record.object, &rule, Value::Ref(self.merge.survivor)).await?;
        let planned = self.buffer.records(&record.object.name);
        let mut others = known.iter().chain(planned).filter(|other| other.id != record.id);
        Ok(others.any(|other| *other.get("kind") == kind && ends(other) == own))
    }

    /// A record that goes must be as it was when the merge was asked for, since whoever moves what hangs on it has looked then.
    async fn must_be_untouched(&self, record: &Record) -> Result<(), EngineError> {
        let Some(since) = self.merge.merging else { return Ok(()) };
        let query = EventQuery { subject: Some(record.id), after: Some(since), limit: 1, ..EventQuery::default() };
        if self.inner.store.events(&query).await?.is_empty() {
            return Ok(());
        }
        let about = format!("{}/{}", record.object.name, record.id);
        Err(EngineError::Conflict(format!("{about} was changed while the merge was asked for: ask again")))
    }

    async fn move_files(&mut self) -> Result<(), EngineError> {
        let name = &self.merge.object.name;
        let Some(object) = self.schema.object(file::OBJECT).cloned() else { return Ok(()) };
        let from = Value::text(&format!("{name}/{}", self.merge.merged));
        let to = Value::text(&format!("{name}/{}", self.merge.survivor));
        for record in self.find(&object, "attached == it", from).await? {
            self.buffer.saw(&record);
            self.report.moved(&object.name, "attached");
            self.buffer.update(&record, self.now, vec![(core("attached"), Change::Set(to.clone()))])?;
        }
        Ok(())
    }

    /// All records of `object` for which `rule` holds of `it`.
    async fn find(&self, object: &Arc<ObjectDef>, rule: &str, it: Value) -> Result<Vec<Arc<Record>>, EngineError> {
        let params = Params::none().with("it", it);
        let scope = Scope::Record(object.clone());
        let rule = Rule::parse(rule, &scope, &self.schema, &ParamTypes::of(&params))?;
        let mut query = RecordQuery::new(object.name.clone(), self.now, PAGE_ROWS_MAX);
        (query.rule, query.params) = (Some(rule), params);
        let mut all = Vec::new();
        loop {
            let page = self.inner.store.find(&query).await?;
            query.after = page.last().map(|last| (Vec::new(), last.id));
            let full = page.len() >= PAGE_ROWS_MAX as usize;
            all.extend(page);
            if !full {
                return Ok(all);
            }
        }
    }

    /// What changes of the record that stays.
    fn changes(&mut self, survivor: &Record, merged: &Record) -> Result<Vec<(Name, Change)>, EngineError> {
        let mut changes = Vec::new();
        let (itself, gone) = (Value::Ref(survivor.id), Value::Ref(merged.id));
        for (place, field) in survivor.object.fields.iter().enumerate() {
            let (own, other) = (survivor.at(place), merged.at(place));
            if field.rollup.is_some() {
                continue;
            }
            if tags::place(&survivor.object) == Some(place) {
                let add: Vec<_> = tags::of(other).map(Arc::from).filter(|tag| !has(own, tag)).collect();
                if !add.is_empty() {
                    let change = (field.name.clone(), Change::Tag(TagEdit { add, remove: Vec::new() }));
                    let after = rapport_model::image::changed(survivor, self.now, std::slice::from_ref(&change))?;
                    let after = after.map_or_else(|| own.clone(), |after| after.at(place).clone());
                    self.report.took(&field.name, (own, &after), FieldChoice::Sum);
                    changes.push(change);
                }
                continue;
            }
            let choice = self.merge.choices.get(&field.name).copied();
            let choice = choice.unwrap_or(if own.is_null() { FieldChoice::Merged } else { FieldChoice::Survivor });
            let change = match choice {
                FieldChoice::Survivor if *own == gone => Change::Set(Value::Null),
                FieldChoice::Survivor => continue,
                FieldChoice::Merged if other == own || *other == itself => continue,
                FieldChoice::Merged => Change::Set(other.clone()),
                FieldChoice::Sum if other.is_null() => continue,
                FieldChoice::Sum => Change::Increment(other.clone()),
            };
            let change = (field.name.clone(), change);
            let after = rapport_model::image::changed(survivor, self.now, std::slice::from_ref(&change))?;
            let after = after.map_or_else(|| own.clone(), |after| after.at(place).clone());
            self.report.took(&field.name, (own, &after), choice);
            changes.push(change);
        }
        Ok(changes)
    }

    /// The names of the record that goes, and those that led to it, lead to the one that stays.
    async fn lead_names(&mut self) -> Result<(), EngineError> {
        let object = self.schema.object(names::OBJECT).cloned();
        let object = object.ok_or_else(|| EngineError::Internal("the object of merged records is missing".into()))?;
        let survivor = self.merge.survivor;
        for (id, entry) in self.inner.merged.entries_of(self.merge.merged) {
            let Some(known) = self.inner.store.record(&object.name, id).await? else { continue };
            let fields = MergedRecord { survivor, ..entry }.fields();
            let changes = fields.into_iter().filter(|(name, _)| *name == "survivor");
            self.buffer.saw(&known);
            self.buffer.update(&known, self.now, changes.map(set).collect())?;
        }
        let entry = MergedRecord {
            object: self.merge.object.name.clone(),
            merged: self.merge.merged,
            survivor,
            keys: self.report.names.clone(),
        };
        let id = entropy::record_id(&*self.inner.entropy, self.now);
        self.buffer.create(&object, id, self.now, entry.fields().into_iter().map(set).collect())?;
        Ok(())
    }
}

fn set((name, value): (&'static str, Value)) -> (Name, Change) {
    (core(name), Change::Set(value))
}

fn has(tags_of: &Value, tag: &str) -> bool {
    tags::of(tags_of).any(|own| own == tag)
}
