//! What a chain of properties leads to, from the event of a script or from a record.

use std::collections::BTreeSet;

use rapport_model::nearest::nearest;
use rapport_model::schema::Origin;
use rapport_model::{Declaration, EventType, FieldKind, Name, ObjectDef, Schema};
use rapport_sandbox::{Named, Target};

use crate::registry::scope_of;

/// Properties that a record has beside its fields.
const OF_RECORDS: [&str; 5] = ["id", "object", "version", "created_at", "updated_at"];
/// Properties that a reference has.
const OF_REFERENCES: [&str; 2] = ["id", "object"];

/// What the event of a script can be.
pub(super) struct Started<'a> {
    /// The object of its record, if all that starts the script are changes of records of one object.
    record: Option<&'a ObjectDef>,
    /// The fields of its data, if all that starts the script are events of declared types.
    data: Option<BTreeSet<&'a Name>>,
}

/// What a chain leads to.
#[derive(Clone, Copy)]
pub(super) enum Found<'a> {
    /// A record.
    Record(&'a ObjectDef),
    /// A reference to a record.
    Reference(&'a ObjectDef),
    /// A plain value, or something that is not known.
    Other,
}

/// Where a chain goes wrong, how, and what to write instead.
pub(super) type Astray = (Named, String, String);

impl<'a> Started<'a> {
    pub(super) fn of(declaration: &Declaration, schema: &'a Schema) -> Self {
        let mut objects: BTreeSet<&Name> = BTreeSet::new();
        let mut data: BTreeSet<&Name> = BTreeSet::new();
        let (mut changes, mut declared) = (0, 0);
        let own = |kind: &EventType| declaration.triggers.iter().any(|trigger| trigger.matches_type(kind));
        for object in schema.objects.values().filter(|object| object.origin != Origin::System) {
            use rapport_model::name::RecordEventKind::{Created, Deleted, Updated};
            if [Created, Updated, Deleted].iter().any(|what| own(&EventType::of_record(&object.name, *what))) {
                changes += 1;
                objects.insert(&object.name);
            }
        }
        for def in schema.event_types.values().filter(|def| own(&def.name) && scope_of(schema, &def.name).is_some()) {
            declared += 1;
            data.extend(def.fields.iter().map(|field| &field.name));
        }
        // A schedule brings an event of its own, without a record.
        let scheduled = !declaration.schedules.is_empty();
        let only = objects.first().filter(|_| changes == 1 && declared == 0 && !scheduled);
        Self {
            record: only.and_then(|name| schema.object(name.as_str())).map(|object| &**object),
            data: (declared > 0 && changes == 0 && !scheduled).then_some(data),
        }
    }
}

/// What `target` leads to.
pub(super) fn follow<'a>(started: &Started<'a>, schema: &'a Schema, target: &Target) -> Result<Found<'a>, Box<Astray>> {
    let mut path = target.path.iter();
    let mut here = match &target.object {
        Some(object) => schema.object(object).map_or(Found::Other, |object| Found::Record(object)),
        None => match path.next() {
            Some(first) => of_event(started, first, &mut path)?,
            None => Found::Other,
        },
    };
    for step in path {
        here = match here {
            Found::Other => return Ok(Found::Other),
            Found::Record(object) | Found::Reference(object) if step.name.is_empty() => Found::Record(object),
            Found::Record(object) => of_record(object, schema, step)?,
            Found::Reference(object) => of_reference(object, step)?,
        };
    }
    Ok(here)
}

fn of_event<'a>(
    started: &Started<'a>,
    first: &Named,
    rest: &mut std::slice::Iter<'_, Named>,
) -> Result<Found<'a>, Box<Astray>> {
    match first.name.as_str() {
        "record" => Ok(started.record.map_or(Found::Other, Found::Record)),
        "before" | "after" | "delta" => {
            if let (Some(object), Some(field)) = (started.record, rest.next())
                && !field.name.is_empty()
                && object.field(&field.name).is_none()
            {
                return Err(Box::new(unknown_field(object, field, &[])));
            }
            Ok(Found::Other)
        }
        "data" => {
            if let (Some(fields), Some(field)) = (&started.data, rest.next())
                && !field.name.is_empty()
                && !fields.iter().any(|known| known.as_str() == field.name)
            {
                let message = format!("the event has no field `{}`", field.name);
                return Err(Box::new((field.clone(), message, hint(field, fields.iter().map(|f| f.as_str())))));
            }
            Ok(Found::Other)
        }
        _ => Ok(Found::Other),
    }
}

fn of_record<'a>(object: &'a ObjectDef, schema: &'a Schema, step: &Named) -> Result<Found<'a>, Box<Astray>> {
    match object.field(&step.name).map(|field| &field.kind) {
        Some(FieldKind::Reference { object: target }) => {
            Ok(schema.object(target.as_str()).map_or(Found::Other, |target| Found::Reference(target)))
        }
        Some(_) => Ok(Found::Other),
        None if step.name == "id" => Ok(Found::Reference(object)),
        None if object.formula(&step.name).is_some() => Ok(Found::Other),
        None if OF_RECORDS.contains(&step.name.as_str()) => Ok(Found::Other),
        None => Err(Box::new(unknown_field(object, step, &OF_RECORDS))),
    }
}

fn of_reference<'a>(object: &'a ObjectDef, step: &Named) -> Result<Found<'a>, Box<Astray>> {
    if OF_REFERENCES.contains(&step.name.as_str()) {
        return Ok(Found::Other);
    }
    let message = format!("a reference to a `{}` has no `{}`: it only knows its `id`", object.name, step.name);
    Err(Box::new((step.clone(), message, "read the record first: `get(reference)`".to_owned())))
}

fn unknown_field(object: &ObjectDef, step: &Named, more: &[&str]) -> Astray {
    let formulas = object.formulas.iter().map(|formula| formula.name.as_str());
    let known = object.fields.iter().map(|field| field.name.as_str()).chain(formulas).chain(more.iter().copied());
    (step.clone(), format!("`{}` has no field `{}`", object.name, step.name), hint(step, known))
}

fn hint<'n>(step: &Named, known: impl Iterator<Item = &'n str>) -> String {
    nearest(&step.name, known).map_or_else(String::new, |near| format!("did you mean `{near}`?"))
}
