//! What stands against taking a change back: another record that holds a unique value by now, a reference to a record that
//! is gone, records that refer to the one to be removed.

use rapport_model::json::to_json;
use rapport_model::rule::{ParamTypes, Params, Rule, Scope};
use rapport_model::schema::Origin;
use rapport_model::{FieldKind, Name, Record, Value};

use super::plan::Planner;
use crate::error::EngineError;
use crate::query::{self, SliceQuery};

/// The field of `after` that cannot be so, and why. Only fields that differ from `before` are looked at.
pub(super) async fn against(
    planner: &Planner<'_>,
    before: Option<&Record>,
    after: &Record,
) -> Result<Option<(Name, String)>, EngineError> {
    let object = &after.object;
    for (index, field) in object.fields.iter().enumerate() {
        let value = after.at(index);
        if value.is_null() || before.is_some_and(|b| b.at(index) == value) {
            continue;
        }
        if field.unique && is_held(planner, after, &field.name, value).await? {
            let why = format!("another {} has `{}` = {} by now", object.name, field.name, to_json(value));
            return Ok(Some((field.name.clone(), why)));
        }
        if let (FieldKind::Reference { object: target }, Value::Ref(id)) = (&field.kind, value)
            && !planner.will_be_there(target, *id).await?
        {
            let why = format!("`{}` would refer to {target}/{id}, which is not there any more", field.name);
            return Ok(Some((field.name.clone(), why)));
        }
    }
    Ok(None)
}

/// Whether another record holds the value of the unique `field`.
async fn is_held(planner: &Planner<'_>, record: &Record, field: &Name, value: &Value) -> Result<bool, EngineError> {
    let object = &record.object.name;
    if planner.buffer.find_unique(object, field, value).is_some_and(|holder| holder.id != record.id) {
        return Ok(true);
    }
    let found = planner.store.resolve(object, field, std::slice::from_ref(value)).await?.pop().flatten();
    // What the plan has touched stands in the buffer, and was looked at there.
    Ok(found.is_some_and(|holder| holder.id != record.id && !planner.buffer.is_touched(holder.id)))
}

/// Why a record cannot be removed: another still refers to it.
pub(super) async fn referrer(planner: &Planner<'_>, record: &Record) -> Result<Option<String>, EngineError> {
    for object in planner.schema.objects.values() {
        for field in &object.fields {
            let to_it = matches!(&field.kind, FieldKind::Reference { object } if *object == record.object.name);
            if !to_it {
                continue;
            }
            let scope = Scope::Record(object.clone());
            let types = ParamTypes::none().with("it", Some(field.kind.clone()));
            let rule = Rule::parse(&format!("{} == it", field.name), &scope, &planner.schema, &types)?;
            let query = SliceQuery {
                object: object.clone(),
                rule: Some(rule),
                params: Params::none().with("it", Value::Ref(record.id)),
                now: planner.now,
                order: Vec::new(),
                after: None,
                limit: 2,
            };
            let rows = query::find(planner.store, &planner.buffer, &query).await?;
            if let Some(row) = rows.iter().find(|row| row.id != record.id) {
                // The host's own objects have no names outside.
                let by = if object.origin == Origin::System {
                    "something".to_owned()
                } else {
                    format!("{}/{}", object.name, row.id)
                };
                return Ok(Some(format!("{by} still refers to it")));
            }
        }
    }
    Ok(None)
}
