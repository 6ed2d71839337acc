//! Which definitions are possible, and which of them agree.

use std::collections::HashSet;
use std::fmt::Display;

use rapport_model::json::value_from_json;
use rapport_model::limits::OBJECT_FIELDS_MAX;
use rapport_model::name::{EventType, RecordEventKind};
use rapport_model::record::SYSTEM_FIELDS;
use rapport_model::schema::{EventTypeDef, FieldDef, ObjectDef};
use rapport_model::{FieldKind, Name, Schema, Value, covering, tags};

use crate::payload::CORE_TYPES;

/// The most options of a choice.
const OPTIONS_MAX: usize = 1_000;
/// The longest option, in bytes.
const OPTION_BYTES_MAX: usize = 256;
/// The most digits after the point.
const SCALE_MAX: u8 = 6;

/// Whether a new object can be as `def` says.
pub(super) fn object(schema: &Schema, def: &ObjectDef) -> Result<(), String> {
    if def.fields.len() > OBJECT_FIELDS_MAX {
        return Err(format!("object `{}` has more than {OBJECT_FIELDS_MAX} fields", def.name));
    }
    if let Some(kind) = schema.event_types.keys().find(|kind| is_record_event(kind, &def.name)) {
        return Err(format!("object `{}` cannot be added: the event type `{kind}` is declared already", def.name));
    }
    let mut seen = HashSet::new();
    for def_field in &def.fields {
        if !seen.insert(&def_field.name) {
            return Err(format!("`{}.{}` is declared twice", def.name, def_field.name));
        }
        field(schema, &def.name, def_field)?;
        default(def_field)?;
    }
    let Some(lane) = &def.lane else { return Ok(()) };
    match def.field(lane.as_str()).map(|f| &f.kind) {
        Some(FieldKind::Reference { .. }) => Ok(()),
        _ => Err(format!("the lane `{lane}` of object `{}` is no reference field of it", def.name)),
    }
}

/// Whether an object has room for another field.
pub(super) fn room(object: &ObjectDef) -> Result<(), String> {
    if object.fields.len() < OBJECT_FIELDS_MAX {
        return Ok(());
    }
    Err(format!("object `{}` has {OBJECT_FIELDS_MAX} fields already, the most there can be", object.name))
}

/// Whether `object` can have a field as `def` says.
pub(super) fn field(schema: &Schema, object: &Name, def: &FieldDef) -> Result<(), String> {
    let name = &def.name;
    if SYSTEM_FIELDS.contains(&name.as_str()) {
        return Err(format!("`{object}.{name}` cannot be declared: every record has `{name}`"));
    }
    kind(object, def)?;
    if let FieldKind::Reference { object: target } = &def.kind
        && target != object
        && schema.object(target.as_str()).is_none()
    {
        return Err(format!("`{object}.{name}` refers to the object `{target}`, which is not there"));
    }
    if let Some(why) = tags::fault(def) {
        return Err(format!("`{object}.{name}`: {why}"));
    }
    if def.unique && matches!(def.kind, FieldKind::Json | FieldKind::Boolean) {
        return Err(format!("`{object}.{name}` cannot be unique: it is a {}", def.kind.as_str()));
    }
    if def.searchable && def.kind != FieldKind::Text {
        return Err(format!("`{object}.{name}` cannot be searchable: it is no text"));
    }
    if def.indexed && matches!(def.kind, FieldKind::Json) {
        return Err(format!("`{object}.{name}` cannot be indexed: it is JSON"));
    }
    if def.unique && def.default.is_some() {
        return Err(format!("`{object}.{name}` is unique, so it cannot have a default"));
    }
    Ok(())
}

fn kind(owner: &impl Display, def: &FieldDef) -> Result<(), String> {
    let name = &def.name;
    match &def.kind {
        FieldKind::Decimal { scale } if *scale > SCALE_MAX => {
            Err(format!("`{owner}.{name}` has {scale} decimals: {SCALE_MAX} at most"))
        }
        FieldKind::Choice { options } => {
            let distinct: HashSet<_> = options.iter().collect();
            let bad = |o: &String| {
                o.is_empty() || o.len() > OPTION_BYTES_MAX || *rapport_model::value::nfc(o) != **o || o.contains('\0')
            };
            if options.is_empty() || options.len() > OPTIONS_MAX || distinct.len() < options.len() {
                Err(format!("`{owner}.{name}` needs 1 to {OPTIONS_MAX} options, each once"))
            } else if let Some(option) = options.iter().find(|o| bad(o)) {
                Err(format!("`{owner}.{name}`: the option `{option}` is empty, too long or not in Unicode form NFC"))
            } else {
                Ok(())
            }
        }
        _ => Ok(()),
    }
}

/// The default of a field as a value.
pub(super) fn default(def: &FieldDef) -> Result<Value, String> {
    let Some(json) = &def.default else { return Ok(Value::Null) };
    value_from_json(&def.kind, json).map_err(|why| format!("the default of `{}` does not fit: {why}", def.name))
}

/// What becomes of a definition when it is declared again: nothing if both agree; a choice may gain options, a text become
/// searchable, and a field that is indexed with no others be so.
pub(super) fn merged(known: &FieldDef, again: &FieldDef, owner: &impl Display) -> Result<Option<FieldDef>, String> {
    let again = &again.or_gained(known);
    if known == again {
        return Ok(None);
    }
    let gained = known.or_gained(again);
    let can_gain = !again.searchable || again.kind == FieldKind::Text;
    if can_gain && gained == *again {
        return Ok(Some(gained));
    }
    let same_but_kind = can_gain && FieldDef { kind: known.kind.clone(), ..again.clone() } == gained;
    if let (true, FieldKind::Choice { options: old }, FieldKind::Choice { options: new }) =
        (same_but_kind, &known.kind, &again.kind)
    {
        kind(owner, again)?;
        let mut options = old.clone();
        options.extend(new.iter().filter(|o| !old.contains(o)).cloned());
        let grown = FieldDef { kind: FieldKind::Choice { options }, ..gained };
        return Ok((grown != *known).then_some(grown));
    }
    let what = if known.rollup != again.rollup {
        "but not as a roll-up that follows from the same".to_owned()
    } else if let Some(lists) = covering::difference(known, again) {
        lists
    } else if known.kind == again.kind {
        format!("as {}, but not required, unique, indexed or defaulted as here", known.kind.as_str())
    } else {
        format!("as {}, not as {}", known.kind.as_str(), again.kind.as_str())
    };
    Err(format!("`{owner}.{}` is declared already, {what}", known.name))
}

fn is_record_event(kind: &EventType, object: &Name) -> bool {
    use RecordEventKind::{Created, Deleted, Updated};
    [Created, Updated, Deleted].into_iter().any(|what| EventType::of_record(object, what) == *kind)
}

/// Whether an event type can be as `def` says.
pub(super) fn event_type(schema: &Schema, def: &EventTypeDef) -> Result<(), String> {
    let taken = CORE_TYPES.contains(&def.name.as_str()) || schema.objects.keys().any(|o| is_record_event(&def.name, o));
    if taken {
        return Err(format!("the event type `{}` belongs to the core", def.name));
    }
    if def.fields.len() > OBJECT_FIELDS_MAX {
        return Err(format!("the event type `{}` has more than {OBJECT_FIELDS_MAX} fields", def.name));
    }
    let mut seen = HashSet::new();
    for field in &def.fields {
        if !seen.insert(&field.name) {
            return Err(format!("`{}.{}` is declared twice", def.name, field.name));
        }
        kind(&def.name, field)?;
        if field.kind == FieldKind::Tags {
            return Err(format!("`{}.{}`: {}", def.name, field.name, tags::NOT_IN_EVENTS));
        }
        if !field.indexed_with.is_empty() {
            return Err(format!("`{}.{}`: {}", def.name, field.name, covering::NOT_IN_EVENTS));
        }
        default(field)?;
    }
    Ok(())
}
