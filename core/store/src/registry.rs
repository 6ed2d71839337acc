//! The registry: objects, fields and event types as rows, and what a change of it takes.
//!
//! A change is planned on the schema in memory and applied by the committer: DDL, registry rows and a `schema.changed` event
//! in one transaction. Changes only add; one that is there already is no change.

mod check;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rapport_model::formula::FormulaDef;
use rapport_model::rollup::{self, Kept, Rollups};
use rapport_model::schema::{EventTypeDef, FieldDef, HiddenDef, ObjectDef, SchemaChange};
use rapport_model::{FieldKind, Name, RecordId, Schema, covering, tags};

use crate::db::{Cell, Conn, DbError, Query, Statement};
use crate::error::StoreError;
use crate::migrate;
use crate::record_sql;
use crate::rollup_sql;
use crate::rule_sql::Dialect;
use crate::search;

/// What a change of the registry takes.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The registry after it.
    pub(crate) schema: Schema,
    /// The changes that do change something.
    pub(crate) effective: Vec<SchemaChange>,
    /// DDL and registry rows, in order.
    pub(crate) statements: Vec<Statement>,
    /// What fills new roll-ups, once all is written.
    pub(crate) fills: Vec<Statement>,
    /// Objects that must be empty for it, and the field that is why.
    pub(crate) must_be_empty: Vec<(Name, Name)>,
    /// Objects that may have records already, and the field whose index over several the texts of those must fit into.
    pub(crate) must_fit: Vec<(Name, Name)>,
}

/// Where the epoch stands in the table `meta`.
const EPOCH: &str = "schema_epoch";
const SELECT_OBJECTS: &str = "select name, definition from object_def order by seq";
const SELECT_FIELDS: &str = "select object, definition from field_def order by object, seq";
const SELECT_EVENT_TYPES: &str = "select definition from event_type_def order by name";
const PUT_OBJECT: &str = "insert into object_def (name, seq, definition) values ($1, $2, $3)";
const MOVE_OBJECT: &str = "update object_def set definition = $2 where name = $1";
const PUT_FIELD: &str = "insert into field_def (object, name, seq, definition) values ($1, $2, $3, $4) \
     on conflict (object, name) do update set definition = excluded.definition";
const PUT_EVENT_TYPE: &str = "insert into event_type_def (name, definition) values ($1, $2) \
     on conflict (name) do update set definition = excluded.definition";

fn corrupt(what: &str, why: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt { what: format!("the registry's {what}"), why: why.to_string() }
}

/// Reads the registry.
pub(crate) async fn load(conn: &mut Conn) -> Result<Schema, StoreError> {
    let mut schema = Schema::default();
    let mut fields: HashMap<String, Vec<FieldDef>> = HashMap::new();
    for row in conn.fetch(Query::new(SELECT_FIELDS, Vec::new())).await? {
        let field = serde_json::from_str(&row.text(1)?).map_err(|e| corrupt("fields", e))?;
        fields.entry(row.text(0)?).or_default().push(field);
    }
    for row in conn.fetch(Query::new(SELECT_OBJECTS, Vec::new())).await? {
        let name = row.text(0)?;
        let mut object: ObjectDef = serde_json::from_str(&row.text(1)?).map_err(|e| corrupt("objects", e))?;
        object.fields = fields.remove(&name).unwrap_or_default();
        schema.objects.insert(object.name.clone(), Arc::new(object));
    }
    for row in conn.fetch(Query::new(SELECT_EVENT_TYPES, Vec::new())).await? {
        let def: EventTypeDef = serde_json::from_str(&row.text(0)?).map_err(|e| corrupt("event types", e))?;
        schema.event_types.insert(def.name.clone(), Arc::new(def));
    }
    let epoch = migrate::meta(conn, EPOCH).await?.map(|text| text.parse()).transpose();
    rollup::settle(&mut schema);
    schema.epoch = epoch.map_err(|e| corrupt("epoch", e))?.unwrap_or(0);
    Ok(schema)
}

/// Plans `changes` of `schema`.
///
/// # Errors
/// [`StoreError::Schema`] if one cannot be: it names the object, the field and what stands against it.
pub(crate) fn plan(schema: &Schema, changes: &[SchemaChange], dialect: Dialect) -> Result<Plan, StoreError> {
    let mut planner = Planner {
        dialect,
        plan: Plan {
            schema: schema.clone(),
            effective: Vec::new(),
            statements: Vec::new(),
            fills: Vec::new(),
            must_be_empty: Vec::new(),
            must_fit: Vec::new(),
        },
        rollups: Vec::new(),
        formulas: Vec::new(),
        covering: Vec::new(),
        own_tags: own_tags(changes),
    };
    for change in changes {
        planner.change(change).map_err(StoreError::Schema)?;
    }
    planner.add_rollups()?;
    planner.add_formulas().map_err(StoreError::Schema)?;
    for object in tags::missing(&planner.plan.schema) {
        planner.add_field(&object, &tags::field()).map_err(StoreError::Schema)?;
    }
    planner.add_covering_indexes(schema).map_err(StoreError::Schema)?;
    if !planner.plan.effective.is_empty() {
        let epoch = planner.plan.schema.epoch.to_string();
        planner.plan.statements.push(migrate::put_meta(EPOCH, &epoch).into());
    }
    Ok(planner.plan)
}

struct Planner {
    dialect: Dialect,
    plan: Plan,
    /// Roll-ups wait until all objects are there, whose children may come later.
    rollups: Vec<(Name, FieldDef)>,
    /// So do formulas.
    formulas: Vec<(Name, FormulaDef)>,
    /// So do the fields with indexes over several, which wait until all fields are there.
    covering: Vec<(Name, Name)>,
    /// The objects that get a field of their own called `tags` after they are added.
    own_tags: HashSet<Name>,
}

/// The objects of which `changes` declare the field `tags` themselves.
fn own_tags(changes: &[SchemaChange]) -> HashSet<Name> {
    let own = changes.iter().filter_map(|change| match change {
        SchemaChange::AddField { object, field } if field.name.as_str() == tags::FIELD => Some(object.clone()),
        SchemaChange::AddFormula { object, formula } if formula.name.as_str() == tags::FIELD => Some(object.clone()),
        // A roll-up is added after its object, so it has to be known before.
        SchemaChange::AddObject(def) if def.field(tags::FIELD).is_some() => Some(def.name.clone()),
        _ => None,
    });
    own.collect()
}

fn json<T: serde::Serialize>(value: &T) -> Cell {
    Cell::Owned(serde_json::to_string(value).expect("definitions have text keys and finite numbers only"))
}

fn seq(place: usize) -> Cell {
    Cell::Int(i64::try_from(place).unwrap_or(i64::MAX))
}

impl Planner {
    fn change(&mut self, change: &SchemaChange) -> Result<(), String> {
        match change {
            SchemaChange::AddObject(def) => self.add_object(def),
            SchemaChange::AddField { object, field } => self.add_field(object, field),
            SchemaChange::AddFormula { object, formula } => {
                self.formulas.push((object.clone(), formula.clone()));
                Ok(())
            }
            SchemaChange::AddEventType(def) => self.add_event_type(def),
        }
    }

    /// Adds the formulas, once all fields are there.
    fn add_formulas(&mut self) -> Result<(), String> {
        for (object, formula) in std::mem::take(&mut self.formulas) {
            let known = self.plan.schema.objects.get(&object).cloned();
            let known = known.ok_or_else(|| format!("there is no object `{object}` to add `{}` to", formula.name))?;
            if let Some(there) = known.formula(formula.name.as_str()) {
                if there.expression == formula.expression {
                    continue;
                }
                return Err(format!(
                    "the formula `{object}.{}` is declared already, as `{}`",
                    formula.name, there.expression
                ));
            }
            check::room(&known)?;
            let read = FormulaDef::read(&formula.name, &formula.expression, &known, &self.plan.schema)?;
            let mut next = (*known).clone();
            next.formulas.push(read.clone());
            let bare = ObjectDef { fields: Vec::new(), ..next.clone() };
            self.push(MOVE_OBJECT, vec![Cell::text(object.as_str()), json(&bare)]);
            self.plan.schema.objects.insert(object.clone(), Arc::new(next));
            self.note(SchemaChange::AddFormula { object, formula: read });
        }
        Ok(())
    }

    /// Makes the indexes over several fields, once all fields are there.
    fn add_covering_indexes(&mut self, before: &Schema) -> Result<(), String> {
        for (object, name) in std::mem::take(&mut self.covering) {
            let Some(def) = self.plan.schema.objects.get(&object).cloned() else { continue };
            let Some(field) = def.field(name.as_str()) else { continue };
            if let Some(fault) = covering::fault(&def, field) {
                return Err(format!("`{object}.{name}`: {fault}"));
            }
            if let Some(statement) = record_sql::covering_index(&object, field, self.dialect) {
                self.push(&statement, Vec::new());
            }
            // An object that is new has no records.
            if before.object(object.as_str()).is_some() {
                self.plan.must_fit.push((object, name));
            }
        }
        Ok(())
    }

    fn push(&mut self, text: &str, cells: Vec<Cell>) {
        self.plan.statements.push(Query::new(text, cells).into());
    }

    /// Notes a change that changes something.
    fn note(&mut self, change: SchemaChange) {
        self.plan.schema.epoch += 1;
        self.plan.effective.push(change);
    }

    fn add_object(&mut self, def: &ObjectDef) -> Result<(), String> {
        self.formulas.extend(def.formulas.iter().map(|formula| (def.name.clone(), formula.clone())));
        if let Some(known) = self.plan.schema.objects.get(&def.name).cloned() {
            if def.lane.is_some() && def.lane != known.lane {
                return Err(format!("object `{}` is declared already, with another lane", def.name));
            }
            return def.fields.iter().try_for_each(|field| self.add_field(&def.name, field));
        }
        let (rollups, fields): (Vec<_>, Vec<_>) = def.fields.iter().cloned().partition(|field| field.rollup.is_some());
        self.rollups.extend(rollups.into_iter().map(|field| (def.name.clone(), field)));
        let def = &ObjectDef { fields, formulas: Vec::new(), hidden: Vec::new(), ..def.clone() };
        check::object(&self.plan.schema, def)?;
        let def = &self.with_tags(def);
        for statement in record_sql::create_table(def, self.dialect) {
            self.push(&statement, Vec::new());
        }
        let bare = ObjectDef { fields: Vec::new(), ..def.clone() };
        let place = self.plan.schema.objects.len();
        self.push(PUT_OBJECT, vec![Cell::text(def.name.as_str()), seq(place), json(&bare)]);
        for (i, field) in def.fields.iter().enumerate() {
            self.put_field(&def.name, field, i);
            self.note_covering(&def.name, field);
        }
        self.plan.schema.objects.insert(def.name.clone(), Arc::new(def.clone()));
        self.note(SchemaChange::AddObject(def.clone()));
        Ok(())
    }

    /// A new object with tags, unless it brings a field of that name itself.
    fn with_tags(&self, def: &ObjectDef) -> ObjectDef {
        let mut def = def.clone();
        if tags::lacks(&def) && !self.own_tags.contains(&def.name) {
            def.fields.push(tags::field());
        }
        def
    }

    fn note_covering(&mut self, object: &Name, field: &FieldDef) {
        if !field.indexed_with.is_empty() {
            self.covering.push((object.clone(), field.name.clone()));
        }
    }

    fn put_field(&mut self, object: &Name, field: &FieldDef, place: usize) {
        let cells = vec![Cell::text(object.as_str()), Cell::text(field.name.as_str()), seq(place), json(field)];
        self.push(PUT_FIELD, cells);
    }

    fn add_field(&mut self, object: &Name, field: &FieldDef) -> Result<(), String> {
        if field.rollup.is_some() {
            self.rollups.push((object.clone(), field.clone()));
            return Ok(());
        }
        self.add_plain_field(object, field)
    }

    /// Adds the roll-ups, each after those that it follows from.
    fn add_rollups(&mut self) -> Result<(), StoreError> {
        let before = self.plan.effective.len();
        let mut open = std::mem::take(&mut self.rollups);
        while !open.is_empty() {
            let (mut later, mut first) = (Vec::new(), None);
            let count = open.len();
            for (object, field) in open {
                if let Err(why) = self.add_rollup(&object, &field) {
                    first.get_or_insert(why);
                    later.push((object, field));
                }
            }
            match first {
                Some(why) if later.len() == count => return Err(StoreError::Schema(why)),
                _ => open = later,
            }
        }
        let new = |change: &SchemaChange| match change {
            SchemaChange::AddField { object, field } => {
                field.rollup.is_some().then(|| (object.clone(), field.name.clone()))
            }
            _ => None,
        };
        let added: Vec<_> = self.plan.effective[before..].iter().filter_map(new).collect();
        if !added.is_empty() {
            if self.dialect == Dialect::Postgres {
                let settings = rollup_sql::SET_BASED.iter().map(|text| Query::new(text, Vec::new()).into());
                self.plan.fills.extend(settings);
            }
            let rollups = Rollups::new(&self.plan.schema);
            let is_new = |kept: &&Arc<Kept>| added.contains(&(kept.parent.clone(), kept.name.clone()));
            let new: Vec<Arc<Kept>> = rollups.all().iter().filter(is_new).cloned().collect();
            self.plan.fills.extend(rollup_sql::mend_all(&new, self.dialect)?);
        }
        Ok(())
    }

    fn add_rollup(&mut self, object: &Name, field: &FieldDef) -> Result<(), String> {
        let known = self.plan.schema.object(object.as_str()).is_some_and(|o| o.position(field.name.as_str()).is_some());
        if known {
            return self.add_plain_field(object, field);
        }
        rollup::check(&self.plan.schema, object, field)?;
        self.add_plain_field(object, field)?;
        rollup::settle(&mut self.plan.schema);
        let hidden = self.plan.schema.object(object.as_str()).map(|object| object.hidden.clone()).unwrap_or_default();
        let own: Vec<HiddenDef> = hidden.into_iter().filter(|hidden| hidden.of == field.name).collect();
        self.plan.statements.extend(record_sql::add_hidden(object, &own, self.dialect));
        Ok(())
    }

    fn add_plain_field(&mut self, object: &Name, field: &FieldDef) -> Result<(), String> {
        let known = self.plan.schema.objects.get(object).cloned();
        let known = known.ok_or_else(|| format!("there is no object `{object}` to add `{}` to", field.name))?;
        let mut next = (*known).clone();
        if let Some(place) = known.position(field.name.as_str()) {
            let Some(merged) = check::merged(&known.fields[place], field, object)? else { return Ok(()) };
            self.put_field(object, &merged, place);
            if merged.searchable && !known.fields[place].searchable {
                self.push(search::FILL, vec![Cell::text(object.as_str()), Cell::text(field.name.as_str())]);
            }
            if known.fields[place].indexed_with.is_empty() {
                self.note_covering(object, &merged);
            }
            next.fields[place] = merged;
        } else {
            check::field(&self.plan.schema, object, field)?;
            check::room(&known)?;
            if known.formula(field.name.as_str()).is_some() {
                return Err(format!("`{object}.{}` is a formula already", field.name));
            }
            let default = check::default(field)?;
            let statements = record_sql::add_column(object, field, &default, self.dialect);
            self.plan.statements.extend(statements);
            self.put_field(object, field, known.fields.len());
            if field.searchable {
                self.push(search::FILL, vec![Cell::text(object.as_str()), Cell::text(field.name.as_str())]);
            }
            self.note_covering(object, field);
            next.fields.push(field.clone());
            if field.required && default.is_null() {
                self.plan.must_be_empty.push((object.clone(), field.name.clone()));
            }
        }
        self.plan.schema.objects.insert(object.clone(), Arc::new(next));
        self.note(SchemaChange::AddField { object: object.clone(), field: field.clone() });
        Ok(())
    }

    fn add_event_type(&mut self, def: &EventTypeDef) -> Result<(), String> {
        check::event_type(&self.plan.schema, def)?;
        let known = self.plan.schema.event_types.get(&def.name).cloned();
        let mut next = known.as_deref().cloned().unwrap_or_else(|| EventTypeDef { fields: Vec::new(), ..def.clone() });
        for field in &def.fields {
            let place = next.fields.iter().position(|f| f.name == field.name);
            match place {
                None => next.fields.push(field.clone()),
                Some(place) => {
                    if let Some(merged) = check::merged(&next.fields[place], field, &def.name)? {
                        next.fields[place] = merged;
                    }
                }
            }
        }
        next.subject_optional |= def.subject_optional;
        if known.as_deref() == Some(&next) {
            return Ok(());
        }
        self.push(PUT_EVENT_TYPE, vec![Cell::text(next.name.as_str()), json(&next)]);
        self.plan.schema.event_types.insert(next.name.clone(), Arc::new(next));
        self.note(SchemaChange::AddEventType(def.clone()));
        Ok(())
    }
}

/// Whether the table of `object` has a row.
pub(crate) async fn has_rows(conn: &mut Conn, object: &Name) -> Result<bool, DbError> {
    let text = format!("select 1 from \"o_{object}\" limit 1");
    Ok(!conn.fetch(Query::new(&text, Vec::new())).await?.is_empty())
}

/// A record of `object`, which is still as `known`, whose texts do not fit into the index that `field` is about to get.
pub(crate) async fn unfit_for_index(
    conn: &mut Conn,
    known: &ObjectDef,
    object: &ObjectDef,
    field: &Name,
) -> Result<Option<RecordId>, DbError> {
    let field = object.field(field.as_str());
    let Some(text) = field.and_then(|field| record_sql::unfit_for_index(known, object, field)) else { return Ok(None) };
    let rows = conn.fetch(Query::new(&text, Vec::new())).await?;
    rows.first().map(|row| row.record_id(0)).transpose()
}

/// The reference fields that can refer to a record of `target`, with their objects.
pub(crate) fn referrers(schema: &Schema, target: &Name) -> Vec<(Arc<ObjectDef>, usize)> {
    let mut all = Vec::new();
    for object in schema.objects.values() {
        for (i, field) in object.fields.iter().enumerate() {
            if matches!(&field.kind, FieldKind::Reference { object } if object == target) {
                all.push((object.clone(), i));
            }
        }
    }
    all
}

#[cfg(test)]
mod tests;
