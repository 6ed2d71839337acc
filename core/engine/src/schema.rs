//! What declarations add to the schema, and what it would be with them.

use std::sync::Arc;

use rapport_model::automation::Need;
use rapport_model::formula::FormulaDef;
use rapport_model::limits::OBJECT_FIELDS_MAX;
use rapport_model::nearest::nearest;
use rapport_model::record::SYSTEM_FIELDS;
use rapport_model::rollup;
use rapport_model::schema::{EventTypeDef, Origin, SchemaChange};
use rapport_model::{Capability, Declaration, EventType, FieldDef, FieldKind, Name, Schema, covering, file, tags};
use rapport_store::UnitOfWork;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::gate::{Act, Caller, visible_object};

impl Engine {
    /// The schema; the host's own objects are in it too, but no call reaches them.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`].
    pub fn schema(&self, caller: &Caller) -> Result<Arc<Schema>, EngineError> {
        caller.require(Act::Read)?;
        Ok(self.inner.store.schema())
    }

    /// Adds objects, fields and event types. What is there already in the same form is left as it is.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`]; [`EngineError::Invalid`] if a change contradicts what is there.
    pub async fn define(&self, caller: &Caller, changes: Vec<SchemaChange>) -> Result<Arc<Schema>, EngineError> {
        caller.everywhere(Act::Admin)?;
        self.inner.writable(None)?;
        let schema = self.inner.store.schema();
        for change in &changes {
            if let SchemaChange::AddField { object, .. } | SchemaChange::AddFormula { object, .. } = change {
                visible_object(&schema, object.as_str())?;
            }
        }
        with_changes(&schema, &changes).map_err(|message| EngineError::invalid("", message))?;
        let _one = self.inner.activating.lock().await;
        let mut unit = UnitOfWork::new(self.inner.clock.now(), caller.actor.clone());
        unit.schema = changes;
        self.inner.store.commit(unit).await?;
        self.inner.replace(|_| ());
        Ok(self.inner.store.schema())
    }
}

/// What `declaration` adds to `schema`: nothing for what is there already.
pub(crate) fn changes_of(schema: &Schema, declaration: &Declaration) -> Vec<SchemaChange> {
    let mut changes = Vec::new();
    for object in &declaration.objects {
        match schema.object(object.name.as_str()) {
            None => changes.push(SchemaChange::AddObject(object.clone())),
            Some(known) => {
                let formulas = object.formulas.iter().filter(|f| known.formula(f.name.as_str()).is_none());
                changes.extend(
                    formulas.map(|formula| SchemaChange::AddFormula {
                        object: object.name.clone(),
                        formula: formula.clone(),
                    }),
                );
                let new = object.fields.iter().filter(|f| known.field(f.name.as_str()) != Some(*f));
                let add = |f: &FieldDef| SchemaChange::AddField { object: object.name.clone(), field: f.clone() };
                changes.extend(new.map(add));
            }
        }
    }
    for added in &declaration.fields {
        let known = schema.object(added.object.as_str()).and_then(|o| o.field(added.field.name.as_str()));
        if known != Some(&added.field) {
            changes.push(SchemaChange::AddField { object: added.object.clone(), field: added.field.clone() });
        }
    }
    changes.extend(rollups_of(schema, declaration, &changes));
    for declared in &declaration.formulas {
        let known = schema.object(declared.object.as_str()).and_then(|object| object.formula(declared.name.as_str()));
        if known.is_none_or(|known| known.expression != declared.expression) {
            let (name, expression) = (declared.name.clone(), declared.expression.clone());
            // What it gives follows from the expression.
            let formula = FormulaDef { name, kind: FieldKind::Json, expression, term: None };
            changes.push(SchemaChange::AddFormula { object: declared.object.clone(), formula });
        }
    }
    for kind in &declaration.event_types {
        if schema.event_type(kind.name.as_str()).is_none_or(|known| **known != *kind) {
            changes.push(SchemaChange::AddEventType(kind.clone()));
        }
    }
    changes
}

/// The roll-ups that `declaration` adds to `schema` with `changes`. One that is not plain is left out here: see [`unclear_rollups`].
fn rollups_of(schema: &Schema, declaration: &Declaration, changes: &[SchemaChange]) -> Vec<SchemaChange> {
    let mut added = Vec::new();
    for declared in &declaration.rollups {
        let all: Vec<SchemaChange> = changes.iter().chain(&added).cloned().collect();
        let with = with_changes(schema, &all).unwrap_or_else(|_| schema.clone());
        let Ok(field) = declared.field(&with) else { continue };
        let known = schema.object(declared.on.as_str()).and_then(|object| object.field(field.name.as_str()));
        if known != Some(&field) {
            added.push(SchemaChange::AddField { object: declared.on.clone(), field });
        }
    }
    added
}

/// What is wrong with roll-ups of `declaration` that are not plain by the objects of `schema`, which has all else that it declares.
pub(crate) fn unclear_rollups(schema: &Schema, declaration: &Declaration) -> Vec<String> {
    declaration.rollups.iter().filter_map(|declared| declared.field(schema).err()).collect()
}

/// The schema as it would be with `changes`.
///
/// # Errors
/// What stands against them, in words for their author.
pub(crate) fn with_changes(schema: &Schema, changes: &[SchemaChange]) -> Result<Schema, String> {
    let mut with = schema.clone();
    for change in changes {
        match change {
            SchemaChange::AddObject(object) => {
                let reserved = object.origin != Origin::Custom && with.object(object.name.as_str()).is_none();
                if reserved || with.object(object.name.as_str()).is_some_and(|o| o.origin == Origin::System) {
                    return Err(format!("the object `{}` cannot be declared", object.name));
                }
                let known = with.object(object.name.as_str()).cloned();
                let mut merged = known.map_or_else(
                    || rapport_model::ObjectDef { fields: Vec::new(), formulas: Vec::new(), ..object.clone() },
                    |known| (*known).clone(),
                );
                for field in &object.fields {
                    add_field(&object.name, &mut merged.fields, field)?;
                }
                check_lane(&merged)?;
                with.objects.insert(object.name.clone(), Arc::new(merged));
            }
            SchemaChange::AddField { object, field } => {
                let known = with.object(object.as_str()).ok_or_else(|| format!("there is no object `{object}`"))?;
                let mut merged = (**known).clone();
                add_field(object, &mut merged.fields, field)?;
                with.objects.insert(object.clone(), Arc::new(merged));
            }
            SchemaChange::AddFormula { .. } => {}
            SchemaChange::AddEventType(kind) => add_event_type(&mut with, kind)?,
        }
    }
    for name in tags::missing(&with) {
        let Some(known) = with.object(name.as_str()) else { continue };
        let mut tagged = (**known).clone();
        tagged.fields.push(tags::field());
        with.objects.insert(name, Arc::new(tagged));
    }
    check_references(&with)?;
    rollup::settle(&mut with);
    rollup::check_all(&with)?;
    add_formulas(&mut with, changes)?;
    with.objects.values().try_for_each(|object| covering::check(object))?;
    Ok(with)
}

/// Adds the formulas among `changes`, once all fields are there.
fn add_formulas(with: &mut Schema, changes: &[SchemaChange]) -> Result<(), String> {
    let of_objects = changes.iter().flat_map(|change| match change {
        SchemaChange::AddObject(object) => object.formulas.iter().map(|formula| (&object.name, formula)).collect(),
        SchemaChange::AddFormula { object, formula } => vec![(object, formula)],
        _ => Vec::new(),
    });
    for (object, formula) in of_objects {
        let known = with.object(object.as_str()).cloned().ok_or_else(|| format!("there is no object `{object}`"))?;
        match known.formula(formula.name.as_str()) {
            Some(there) if there.expression == formula.expression => {}
            Some(there) => {
                return Err(format!(
                    "the formula `{object}.{}` exists already as `{}`",
                    formula.name, there.expression
                ));
            }
            None => {
                let read = FormulaDef::read(&formula.name, &formula.expression, &known, with)?;
                let mut merged = (*known).clone();
                merged.formulas.push(read);
                with.objects.insert(object.clone(), Arc::new(merged));
            }
        }
    }
    Ok(())
}

fn check_lane(object: &rapport_model::ObjectDef) -> Result<(), String> {
    let Some(lane) = &object.lane else { return Ok(()) };
    match object.field(lane.as_str()).map(|f| &f.kind) {
        Some(FieldKind::Reference { .. }) => Ok(()),
        _ => Err(format!("the lane `{lane}` of `{}` must be one of its reference fields", object.name)),
    }
}

fn check_references(schema: &Schema) -> Result<(), String> {
    for object in schema.objects.values() {
        for field in &object.fields {
            if let FieldKind::Reference { object: target } = &field.kind
                && schema.object(target.as_str()).is_none()
            {
                return Err(format!("`{}.{}` refers to `{target}`, which is no object", object.name, field.name));
            }
        }
    }
    Ok(())
}

fn add_field(owner: &Name, fields: &mut Vec<FieldDef>, field: &FieldDef) -> Result<(), String> {
    let name = &field.name;
    if SYSTEM_FIELDS.contains(&name.as_str()) {
        return Err(format!("`{owner}.{name}` is a field that every record has"));
    }
    match &field.kind {
        FieldKind::Decimal { scale } if *scale > 6 => {
            return Err(format!("`{owner}.{name}`: a decimal has 6 digits after the point at most"));
        }
        FieldKind::Choice { options } if options.is_empty() => {
            return Err(format!("`{owner}.{name}`: a choice needs options"));
        }
        FieldKind::Tags => {
            if let Some(why) = tags::fault(field) {
                return Err(format!("`{owner}.{name}`: {why}"));
            }
        }
        kind if field.searchable && *kind != FieldKind::Text => {
            return Err(format!("`{owner}.{name}`: only a text can be searchable"));
        }
        FieldKind::Json if field.unique || field.indexed => {
            return Err(format!("`{owner}.{name}`: JSON can be neither unique nor indexed"));
        }
        _ => {}
    }
    if let Some(default) = &field.default {
        let read = rapport_model::json::value_from_json(&field.kind, default);
        read.map_err(|e| format!("the default of `{owner}.{name}`: {e}"))?;
    }
    let room = fields.len() < OBJECT_FIELDS_MAX;
    match fields.iter_mut().find(|f| f.name == *name) {
        Some(known) if known.or_gained(field) == field.or_gained(known) => {
            *known = known.or_gained(field);
            Ok(())
        }
        Some(known) if known.kind == field.kind => Err(covering::difference(known, field).map_or_else(
            || {
                format!(
                    "`{owner}.{name}` exists already with other properties: declare it as it is, or choose another name"
                )
            },
            |lists| format!("`{owner}.{name}` exists already, {lists}"),
        )),
        Some(known) => Err(format!(
            "`{owner}.{name}` exists already as {}, not as {}: choose another name",
            known.kind.as_str(),
            field.kind.as_str()
        )),
        None if !room => Err(format!("`{owner}` has {OBJECT_FIELDS_MAX} fields: no more fit")),
        None => {
            fields.push(field.clone());
            Ok(())
        }
    }
}

fn add_event_type(schema: &mut Schema, kind: &EventTypeDef) -> Result<(), String> {
    if is_record_event(schema, &kind.name) {
        return Err(format!("`{}` is a change of a record: it comes from the core alone", kind.name));
    }
    let known = schema.event_type(kind.name.as_str()).cloned();
    let mut merged =
        known.map_or_else(|| EventTypeDef { fields: Vec::new(), ..kind.clone() }, |known| (*known).clone());
    let owner = Name::new(kind.name.as_str().split('.').next().unwrap_or_default()).map_err(|e| e.to_string())?;
    for field in &kind.fields {
        if field.kind == FieldKind::Tags {
            return Err(format!("`{}.{}`: {}", kind.name, field.name, tags::NOT_IN_EVENTS));
        }
        if !field.indexed_with.is_empty() {
            return Err(format!("`{}.{}`: {}", kind.name, field.name, covering::NOT_IN_EVENTS));
        }
        add_field(&owner, &mut merged.fields, field)?;
    }
    schema.event_types.insert(kind.name.clone(), Arc::new(merged));
    Ok(())
}

/// Whether events of this type come from the core alone.
pub(crate) fn is_record_event(schema: &Schema, kind: &EventType) -> bool {
    match kind.as_str().rsplit_once('.') {
        Some((object, "created" | "updated" | "deleted")) => schema.object(object).is_some(),
        Some(("schema", "changed") | ("segment", "entered" | "left") | ("record", "merging" | "merged")) => true,
        _ => false,
    }
}

/// The channels that messages go through.
const CHANNELS: [&str; 2] = ["email", "webhook"];

/// Rights in `uses` that name what does not exist.
pub(crate) fn unknown_rights(schema: &Schema, declaration: &Declaration) -> Vec<String> {
    declaration.uses.iter().filter_map(|right| unknown_right(schema, right)).collect()
}

/// What is wrong with a right that names what does not exist.
pub(crate) fn unknown_right(schema: &Schema, right: &Capability) -> Option<String> {
    let text = right.to_string();
    let (resource, action) = text.split_once(':')?;
    if resource == "emit" {
        let known = schema.event_types.keys().any(|kind| right.covers(Need::Emit(kind.as_str())));
        let hint = hint(nearest(action, schema.event_types.keys().map(EventType::as_str)));
        return (!known)
            .then(|| format!("`{text}`: there is no event type `{action}`{hint}; declare it with `event_type`"));
    }
    match resource {
        // Hosts and secrets are outside: whether they are there shows when they are used. Which automations are live is no matter of
        // the schema.
        "http" | "secret" | "invoke" | "script" => return None,
        "message" => {
            let hint = hint(nearest(action, CHANNELS.into_iter()));
            return (!CHANNELS.contains(&action))
                .then(|| format!("`{text}`: there is no channel `{action}`{hint}; there are {}", CHANNELS.join(", ")));
        }
        file::OBJECT => {
            let known = ["read", "create", "delete", "write"].contains(&action);
            return (!known).then(|| format!("`{text}`: of files there are the rights read, create, delete and write"));
        }
        _ => {}
    }
    let (object, field) = resource.split_once('.').map_or((resource, None), |(o, f)| (o, Some(f)));
    match (visible_object(schema, object), field) {
        (Err(error), _) => Some(format!("`{text}`: {error}")),
        (Ok(def), Some(field)) if def.field(field).is_none() => {
            let hint = hint(nearest(field, def.fields.iter().map(|f| f.name.as_str())));
            Some(format!("`{text}`: `{object}` has no field `{field}`{hint}"))
        }
        _ => None,
    }
}

fn hint(nearest: Option<String>) -> String {
    nearest.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rapport_model::automation::FieldDeclaration;

    fn schema() -> Schema {
        let mut schema = Schema::default();
        for object in rapport_model::standard::objects() {
            schema.objects.insert(object.name.clone(), Arc::new(object));
        }
        schema
    }

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn declares(field: &str, kind: FieldKind) -> Declaration {
        let field = FieldDeclaration { object: name("customer"), field: FieldDef::new(name(field), kind) };
        Declaration { fields: vec![field], ..Declaration::default() }
    }

    #[test]
    fn what_is_there_already_adds_nothing() {
        assert!(changes_of(&schema(), &declares("country", FieldKind::Text)).is_empty());
        assert_eq!(changes_of(&schema(), &declares("points", FieldKind::Integer)).len(), 1);
    }

    #[test]
    fn a_field_cannot_change_its_kind() {
        let changes = changes_of(&schema(), &declares("country", FieldKind::Integer));
        let error = with_changes(&schema(), &changes).unwrap_err();
        assert_eq!(
            error,
            "`country` exists already as text, not as integer: choose another name"
                .replace("`country`", "`customer.country`")
        );
    }

    #[test]
    fn a_right_to_what_does_not_exist_is_found() {
        let uses = ["custmer:read", "customer.contry:write", "emit:tier.changed"];
        let declaration =
            Declaration { uses: uses.iter().map(|u| u.parse().unwrap()).collect(), ..Declaration::default() };
        let problems = unknown_rights(&schema(), &declaration);
        assert_eq!(problems.len(), 3);
        assert!(problems[0].contains("did you mean `customer`"), "{problems:?}");
        assert!(problems[1].contains("did you mean `country`"), "{problems:?}");
    }

    #[test]
    fn the_hosts_own_objects_take_no_fields() {
        let object = rapport_model::ObjectDef::new(name("api_key"), Origin::Custom, None, vec![]);
        assert!(with_changes(&schema(), &[SchemaChange::AddObject(object)]).is_err());
    }
}
