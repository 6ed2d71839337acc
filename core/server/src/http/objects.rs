//! Objects, fields and event types: the registry.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::MethodFilter;
use rapport_model::formula::FormulaDef;
use rapport_model::limits::INDEXED_WITH_MAX;
use rapport_model::rollup::RollupDeclaration;
use rapport_model::schema::{EventTypeDef, ObjectDef, Origin, Schema, SchemaChange};
use rapport_model::{FieldDef, Name, covering};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json, json};

use super::extract::{Auth, read_json};
use super::page::list_response;
use super::{Answer, Api, Route, json_response};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(MethodFilter::GET, "/v1/objects", "read", list)
            .about("objects", "Lists objects with their fields")
            .answers(200, "All objects that the key may see"),
        Route::new(MethodFilter::POST, "/v1/objects", "admin", add_object)
            .about("objects", "Adds an object")
            .takes("application/json", "Object")
            .answers(201, "The object"),
        Route::new(MethodFilter::GET, "/v1/objects/{object}", "read", get)
            .about("objects", "Gives an object with its fields")
            .answers(200, "The object"),
        Route::new(MethodFilter::POST, "/v1/objects/{object}/fields", "admin", add_field)
            .about("objects", "Adds a field to an object")
            .takes("application/json", "Field")
            .answers(201, "The object with the field"),
        Route::new(MethodFilter::POST, "/v1/objects/{object}/formulas", "admin", add_formula)
            .about("objects", "Adds a formula to an object: an expression that is computed when a record is read")
            .takes("application/json", "Formula")
            .answers(201, "The object with the formula"),
        Route::new(MethodFilter::GET, "/v1/event-types", "read", list_event_types)
            .about("objects", "Lists the event types that may come from outside")
            .answers(200, "All event types"),
        Route::new(MethodFilter::POST, "/v1/event-types", "admin", add_event_type)
            .about("objects", "Adds an event type, or fields to one")
            .takes("application/json", "EventType")
            .answers(201, "The event type"),
    ]
}

async fn list(State(api): State<Api>, Auth(caller): Auth) -> Answer {
    let schema = api.engine.schema(&caller)?;
    Ok(list_response(visible(&schema).filter(|o| caller.sees(&o.name)).map(|o| object_json(&o)).collect()))
}

async fn get(State(api): State<Api>, Auth(caller): Auth, Path(object): Path<String>) -> Answer {
    let schema = api.engine.schema(&caller)?;
    let found = visible(&schema).find(|o| o.name.as_str() == object && caller.sees(&o.name));
    let found =
        found.ok_or_else(|| Problem::new("unknown_object", format!("there is no object `{}`", short(&object))))?;
    Ok(json_response(StatusCode::OK, &object_json(&found)))
}

async fn list_event_types(State(api): State<Api>, Auth(caller): Auth) -> Answer {
    let schema = api.engine.schema(&caller)?;
    Ok(list_response(schema.event_types.values().map(|t| json!(**t)).collect()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewObject {
    name: Name,
    #[serde(default)]
    lane: Option<Name>,
    #[serde(default)]
    fields: Vec<Json>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewEventType {
    name: rapport_model::EventType,
    #[serde(default)]
    fields: Vec<Json>,
    #[serde(default)]
    subject_optional: bool,
}

async fn add_object(State(api): State<Api>, Auth(caller): Auth, headers: HeaderMap, body: Body) -> Answer {
    let (_, json) = read_json(&api, &headers, body).await?;
    let new: NewObject = read(json, "")?;
    let fields = fields(&new.fields)?;
    let name = new.name.clone();
    let def = ObjectDef::new(new.name, Origin::Custom, new.lane, fields);
    let schema = api.engine.schema(&caller)?;
    indexes(visible(&schema).find(|known| known.name == name).as_deref(), &def, &|i| format!("/fields/{i}"))?;
    let schema = api.engine.define(&caller, vec![SchemaChange::AddObject(def)]).await?;
    created_object(&schema, &name)
}

async fn add_field(
    State(api): State<Api>,
    Auth(caller): Auth,
    Path(object): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let (_, json) = read_json(&api, &headers, body).await?;
    let unknown = || Problem::new("unknown_object", format!("there is no object `{}`", short(&object)));
    let object = Name::new(&object).map_err(|_| unknown())?;
    let field = match rollup(&object, &json)? {
        Some(declared) => declared.field(&*api.engine.schema(&caller)?).map_err(|e| Problem::new("invalid", e))?,
        None => field(&json, "")?,
    };
    if let Some(known) = visible(&*api.engine.schema(&caller)?).find(|known| known.name == object) {
        let with = ObjectDef { fields: vec![field.clone()], ..(*known).clone() };
        indexes(Some(&known), &with, &|_| String::new())?;
    }
    let change = SchemaChange::AddField { object: object.clone(), field };
    let schema = api.engine.define(&caller, vec![change]).await?;
    created_object(&schema, &object)
}

/// A formula as a caller gives it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewFormula {
    name: Name,
    expression: String,
}

async fn add_formula(
    State(api): State<Api>,
    Auth(caller): Auth,
    Path(object): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let (_, json) = read_json(&api, &headers, body).await?;
    let unknown = || Problem::new("unknown_object", format!("there is no object `{}`", short(&object)));
    let schema = api.engine.schema(&caller)?;
    let known = schema.object(&object).ok_or_else(unknown)?;
    let NewFormula { name, expression } = read(json, "")?;
    let read = FormulaDef::read(&name, &expression, known, &schema);
    let formula = read.map_err(|e| Problem::new("invalid", e.clone()).with_field("/expression", e))?;
    let change = SchemaChange::AddFormula { object: known.name.clone(), formula };
    let schema = api.engine.define(&caller, vec![change]).await?;
    created_object(&schema, &known.name)
}

async fn add_event_type(State(api): State<Api>, Auth(caller): Auth, headers: HeaderMap, body: Body) -> Answer {
    let (_, json) = read_json(&api, &headers, body).await?;
    let new: NewEventType = read(json, "")?;
    let def = EventTypeDef { name: new.name, fields: fields(&new.fields)?, subject_optional: new.subject_optional };
    let name = def.name.clone();
    let schema = api.engine.define(&caller, vec![SchemaChange::AddEventType(def)]).await?;
    let added = schema.event_type(name.as_str());
    let added = added.ok_or_else(|| Problem::internal("an event type that was added is not in the schema"))?;
    Ok(json_response(StatusCode::CREATED, &json!(**added)))
}

fn fields(list: &[Json]) -> Result<Vec<FieldDef>, Problem> {
    list.iter().enumerate().map(|(i, json)| field(json, &format!("/fields/{i}"))).collect()
}

/// Reads a field definition. The type's own keys (`scale`, `options`, `object`) stand beside the others, so keys that
/// mean nothing have to be looked for here.
fn field(json: &Json, at: &str) -> Result<FieldDef, Problem> {
    const COMMON: [&str; 9] =
        ["name", "type", "required", "unique", "indexed", "indexed_with", "searchable", "default", "rollup"];
    if let Json::Object(map) = json {
        let own: &[&str] = match map.get("type").and_then(Json::as_str) {
            Some("decimal") => &["scale"],
            Some("choice") => &["options"],
            Some("reference") => &["object"],
            _ => &[],
        };
        if let Some(stray) = map.keys().find(|k| !COMMON.contains(&k.as_str()) && !own.contains(&k.as_str())) {
            let detail = format!("`{}` means nothing for this type of field", short(stray));
            return Err(Problem::new("invalid", detail.clone()).with_field(format!("{at}/{stray}"), detail));
        }
    }
    if json.get("indexed_with").and_then(Json::as_array).is_some_and(Vec::is_empty) {
        let detail = format!("must name 1 to {INDEXED_WITH_MAX} fields: leave it out for none");
        return Err(Problem::new("invalid", format!("`indexed_with` {detail}"))
            .with_field(format!("{at}/indexed_with"), detail));
    }
    let kind = only_kind(json);
    let field: FieldDef = read(kind, at)?;
    if let rapport_model::FieldKind::Decimal { scale } = &field.kind
        && *scale > 6
    {
        let detail = "must be 0 to 6";
        return Err(Problem::new("invalid", format!("`scale` {detail}")).with_field(format!("{at}/scale"), detail));
    }
    Ok(field)
}

/// Refuses an index over fields that the object has neither already, as `known`, nor by `def`: at its place below that of its field.
fn indexes(known: Option<&ObjectDef>, def: &ObjectDef, at: &dyn Fn(usize) -> String) -> Result<(), Problem> {
    let mut whole = known.unwrap_or(def).clone();
    let added = def.fields.iter().filter(|field| whole.field(field.name.as_str()).is_none()).cloned();
    let added: Vec<FieldDef> = added.collect();
    whole.fields.extend(added);
    for (i, field) in def.fields.iter().enumerate() {
        if let Some(fault) = covering::fault(&whole, field) {
            let place = fault.place.map(|place| format!("/{place}")).unwrap_or_default();
            let detail = format!("`{}.{}`: {fault}", def.name, field.name);
            return Err(
                Problem::new("invalid", detail).with_field(format!("{}/indexed_with{place}", at(i)), fault.to_string())
            );
        }
    }
    Ok(())
}

/// A roll-up of which nobody says what it holds: that follows from its children.
fn rollup(on: &Name, json: &Json) -> Result<Option<RollupDeclaration>, Problem> {
    let Json::Object(map) = json else { return Ok(None) };
    let (Some(Json::Object(rollup)), None) = (map.get("rollup"), map.get("type")) else { return Ok(None) };
    let mut all = rollup.clone();
    all.insert("on".into(), on.as_str().into());
    for (key, value) in map.iter().filter(|(key, _)| *key != "rollup") {
        if !["name", "indexed", "scale"].contains(&key.as_str()) {
            let detail = format!("`{}` means nothing for a roll-up", short(key));
            return Err(Problem::new("invalid", detail.clone()).with_field(format!("/{key}"), detail));
        }
        all.insert(key.clone(), value.clone());
    }
    read(Json::Object(all), "/rollup").map(Some)
}

/// The definition without keys that are null, which mean the same as none.
fn only_kind(json: &Json) -> Json {
    match json {
        Json::Object(map) => {
            Json::Object(map.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), v.clone())).collect())
        }
        other => other.clone(),
    }
}

fn read<T: DeserializeOwned>(json: Json, at: &str) -> Result<T, Problem> {
    serde_json::from_value(json).map_err(|e| Problem::new("invalid", e.to_string()).with_field(at, e.to_string()))
}

fn created_object(schema: &Schema, name: &Name) -> Answer {
    let object = schema.object(name.as_str());
    let object = object.ok_or_else(|| Problem::internal("an object that was added is not in the schema"))?;
    Ok(json_response(StatusCode::CREATED, &object_json(object)))
}

fn visible(schema: &Schema) -> impl Iterator<Item = std::sync::Arc<ObjectDef>> {
    schema.sorted_objects().into_iter().filter(|o| o.origin != Origin::System)
}

fn object_json(object: &ObjectDef) -> Json {
    serde_json::to_value(object).unwrap_or_else(|_| Json::Object(Map::new()))
}

fn short(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_read_with_the_keys_of_its_type() {
        let def = field(&json!({"name": "tier", "type": "choice", "options": ["a"], "required": true}), "").unwrap();
        assert!(def.required && def.name.as_str() == "tier");
        assert!(field(&json!({"name": "price", "type": "decimal", "scale": 2, "default": null}), "").is_ok());
    }

    #[test]
    fn a_key_that_means_nothing_is_refused_by_name() {
        let problem = field(&json!({"name": "a", "type": "text", "scale": 2}), "/fields/1").unwrap_err();
        let json = problem.to_json("r");
        assert_eq!(json["errors"][0]["pointer"], "/fields/1/scale");
        assert!(json["detail"].as_str().unwrap().contains("`scale`"));
    }

    #[test]
    fn bad_names_types_and_scales_are_refused() {
        for bad in [
            json!({"name": "A b", "type": "text"}),
            json!({"name": "a", "type": "float"}),
            json!({"name": "a", "type": "decimal", "scale": 7}),
            json!({"name": "a", "type": "decimal"}),
            json!({"name": "a"}),
            json!("a"),
        ] {
            assert_eq!(field(&bad, "").unwrap_err().code(), "invalid", "{bad}");
        }
    }
}
