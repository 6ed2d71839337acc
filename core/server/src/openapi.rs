//! `openapi.json` (OpenAPI 3.1), made from the table of routes: a route that is served is a route that is described.

use rapport_model::limits::INDEXED_WITH_MAX;
use serde_json::{Map, Value as Json, json};

use crate::http::Route;
use crate::problem::{CODES, PROBLEM_TYPE};

/// Describes `routes`.
#[must_use]
pub fn document(routes: &[Route]) -> Json {
    let mut paths = Map::new();
    for route in routes {
        let entry = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Json::Object(methods) = entry {
            methods.insert(route.method.to_owned(), operation(route));
        }
    }
    let problems: Vec<Json> =
        CODES.iter().map(|(code, status, title)| json!({"code": code, "status": status, "title": title})).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Rapport",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A CRM that a business programs.",
            "license": {"name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas(),
        },
        "x-problems": problems,
    })
}

fn operation(route: &Route) -> Json {
    let mut operation = json!({
        "operationId": operation_id(route),
        "tags": [route.tag],
        "summary": route.summary,
        "responses": responses(route),
    });
    let parameters = parameters(route);
    if !parameters.is_empty() {
        operation["parameters"] = Json::Array(parameters);
    }
    if !route.takes.is_empty() {
        let content: Map<String, Json> =
            route.takes.iter().map(|t| (t.media.to_owned(), json!({"schema": schema_ref(t.schema)}))).collect();
        operation["requestBody"] = json!({"required": true, "content": content});
    }
    if let Some(scope) = route.scope {
        operation["security"] = json!([{"key": []}]);
        operation["x-scope"] = scope.into();
    }
    operation
}

fn operation_id(route: &Route) -> String {
    let words = route.path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty() && *w != "v1");
    std::iter::once(route.method).chain(words).collect::<Vec<_>>().join("_")
}

/// The names in braces in a path.
fn path_names(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|part| part.split('}').next())
}

fn parameters(route: &Route) -> Vec<Json> {
    let about = |name: &str| match name {
        "object" => "The name of an object",
        "key" if route.tag == "records" => "An id, or `field:value` of a unique field",
        "key" => "An id or a name",
        "file" => "The name of a file of it",
        _ => "Its id or name",
    };
    let in_path = path_names(route.path).map(|name| {
        json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}, "description": about(name)})
    });
    let others = route.params.iter().map(|p| {
        json!({"name": p.name, "in": p.place, "required": false, "schema": {"type": p.kind}, "description": p.about})
    });
    in_path.chain(others).collect()
}

fn responses(route: &Route) -> Json {
    let mut all = Map::new();
    for (status, about) in &route.answers {
        let mut response = json!({"description": about});
        if !matches!(status, 204 | 304) {
            response["content"] = json!({route.gives: {}});
        }
        all.insert(status.to_string(), response);
    }
    let problem = json!({
        "description": "A problem; nothing was changed",
        "content": {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    });
    all.insert("default".to_owned(), problem);
    Json::Object(all)
}

fn schema_ref(name: &str) -> Json {
    match name {
        "" => json!({"type": "object"}),
        "CloudEvents" => json!({"type": "array", "items": {"$ref": "#/components/schemas/CloudEvent"}}),
        name => json!({"$ref": format!("#/components/schemas/{name}")}),
    }
}

fn text() -> Json {
    json!({"type": "string"})
}

fn object(about: &str, required: &[&str], properties: &[(&str, Json)]) -> Json {
    let properties: Map<String, Json> = properties.iter().map(|(n, s)| ((*n).to_owned(), s.clone())).collect();
    json!({"type": "object", "description": about, "required": required, "properties": properties})
}

/// An object whose other keys are refused.
fn closed(about: &str, required: &[&str], properties: &[(&str, Json)]) -> Json {
    let mut schema = object(about, required, properties);
    schema["additionalProperties"] = false.into();
    schema
}

fn schemas() -> Json {
    let flag = || json!({"type": "boolean"});
    let list = |of: Json| json!({"type": "array", "items": of});
    let field = || json!({"$ref": "#/components/schemas/Field"});
    let mut all = json!({
        "Problem": problem_schema(),
        "Fields": {"type": "object", "description": "Field values by name; decimals are texts or exact numbers, instants RFC 3339"},
        "CloudEvent": cloud_event_schema(),
        "Field": field_schema(),
        "Object": closed("A kind of record", &["name"], &[("name", text()), ("lane", text()), ("fields", list(field()))]),
        "Which": closed("Which roll-ups: all, those of an object, or one", &[], &[("object", text()), ("field", text())]),
        "EventType": closed("A kind of event", &["name"], &[
            ("name", text()), ("fields", list(field())), ("subject_optional", flag()),
        ]),
        "FilesToCheck": closed("Scripts (`id`, `path`, `source`) and manifests of plugins (`path`, `manifest`)", &["files"], &[
            ("files", list(json!({"type": "object"}))),
        ]),
        "Grant": closed("What is granted: all, or a list of what is asked for", &[], &[
            ("all", flag()), ("items", list(text())), ("asked", text()),
        ]),
        "PublisherKey": closed("The key of a publisher", &["key"], &[("key", text())]),
        "Block": closed("Why a package must not run", &[], &[("reason", text())]),
        "Activation": closed("Which version; the newest draft if none is named. With `announce` who comes into its segments and leaves them is told", &[], &[("version", text()), ("announce", flag())]),
        "Rehearsal": closed("Which page of which runs, on which version", &[], &[
            ("version", text()), ("after", text()), ("limit", json!({"type": "integer", "minimum": 1, "maximum": 1000})),
        ]),
        "Backtest": closed("A script to be tried on the past", &["id", "source", "since", "until"], &[
            ("id", text()), ("path", text()), ("source", text()), ("since", json!({"type": "string", "format": "date-time"})),
            ("until", json!({"type": "string", "format": "date-time"})), ("against", json!({"enum": ["recorded", "active"]})),
        ]),
        "Load": closed("A history load", &["name"], &[("name", text())]),
        "Key": closed("An API key", &["name", "scopes"], &[
            ("name", text()), ("scopes", list(json!({"enum": ["read", "write", "admin"]}))), ("objects", list(text())),
            ("expires_at", json!({"type": "string", "format": "date-time"})), ("user", text()), ("roles", list(text())),
        ]),
        "User": closed("A person", &["name", "roles"], &[("name", text()), ("email", text()), ("roles", list(text()))]),
        "RunSelection": closed("Which runs are meant; a status or an automation must be named", &[], &[
            ("status", text()), ("automation", text()), ("since", json!({"type": "string", "format": "date-time"})),
            ("until", json!({"type": "string", "format": "date-time"})), ("digest", text()), ("error", text()),
        ]),
        "Retry": closed("How a run is started again", &[], &[
            ("from", json!({"type": "integer", "minimum": 1})), ("on", json!({"enum": ["active"]})), ("force", flag()),
        ]),
        "RetryMany": closed("Which runs are started again, and how", &[], &[
            ("status", text()), ("automation", text()), ("since", json!({"type": "string", "format": "date-time"})),
            ("until", json!({"type": "string", "format": "date-time"})), ("digest", text()), ("error", text()),
            ("from", json!({"type": "integer", "minimum": 1})), ("on", json!({"enum": ["active"]})), ("force", flag()),
        ]),
        "EffectSelection": closed("Which dead effects are meant; without any, all", &[], &[
            ("destination", text()), ("channel", text()),
        ]),
        "TemplatePreview": closed("What a template is filled in with", &[], &[
            ("to", text()), ("data", json!({"type": "object"})),
        ]),
        "Undo": closed("How a run is undone", &[], &[
            ("with_caused", flag()), ("dry_run", flag()), ("automations", json!({"enum": ["fire", "skip"]})),
        ]),
        "UndoMany": closed("Which runs are undone, and how", &["automation", "since"], &[
            ("automation", text()), ("since", json!({"type": "string", "format": "date-time"})),
            ("until", json!({"type": "string", "format": "date-time"})), ("digest", text()),
            ("with_caused", flag()), ("dry_run", flag()), ("automations", json!({"enum": ["fire", "skip"]})),
        ]),
        "Anchor": object("A signed statement of where the log stood", &["position", "hash", "signature"], &[]),
    });
    if let (Some(all), Json::Object(more)) = (all.as_object_mut(), more_schemas()) {
        all.extend(more);
    }
    all
}

/// What scripts and segments take, and what is no JSON.
fn more_schemas() -> Json {
    json!({
        "Merge": closed("Which record is merged, and where values come from", &["merged"], &[
            ("merged", text()),
            ("fields", json!({
                "type": "object",
                "description": "Where the value of a field comes from. A field that is not named keeps the survivor's, or takes the other's if that is null",
                "additionalProperties": {"enum": ["survivor", "merged", "sum"]},
            })),
            ("dry_run", json!({"type": "boolean"})),
        ]),
        "Script": closed("A script", &["source"], &[("path", text()), ("source", text())]),
        "Formula": closed("A formula", &["name", "expression"], &[("name", text()), ("expression", text())]),
        "Settings": {"type": "object", "description": "Values by the names of settings, each of the kind of its default"},
        "Archive": {"type": "string", "format": "binary", "description": "A package, as `rapport plugin pack` makes it"},
        "File": {"type": "string", "format": "binary", "description": "The bytes of a file; `Content-Type` says what they are"},
        "SegmentPreview": closed("A rule, as text or as a tree", &["object"], &[
            ("object", json!({"type": "string", "description": "The object"})),
            ("rule", json!({"type": "string", "description": "The rule"})),
            ("tree", json!({"type": "object", "description": "The rule as a tree, in place of `rule`"})),
        ]),
        "SegmentAsOf": closed("A segment or a rule, and an instant of the past", &["at"], &[
            ("segment", json!({"type": "string", "description": "A segment, whose rule of today is asked"})),
            ("object", json!({"type": "string", "description": "The object, with `rule` or `tree`"})),
            ("rule", json!({"type": "string", "description": "The rule"})),
            ("tree", json!({"type": "object", "description": "The rule as a tree, in place of `rule`"})),
            ("at", json!({"type": "string", "format": "date-time", "description": "The instant"})),
            ("limit", json!({"type": "integer", "description": "Records shown, 1 to 1000; 50 if not given"})),
        ]),
        "SegmentMembers": closed("Who is added to a list and who is removed, by ids or `field:value` of a unique field", &[], &[
            ("add", json!({"type": "array", "items": {"type": "string"}, "description": "Keys, 10,000 in one call"})),
            ("remove", json!({"type": "array", "items": {"type": "string"}, "description": "Keys"})),
        ]),
    })
}

fn field_schema() -> Json {
    let flag = || json!({"type": "boolean"});
    let kinds = ["text", "integer", "decimal", "boolean", "date", "timestamp", "choice", "reference", "json", "tags"];
    let functions = ["count", "sum", "min", "max", "average", "first", "last"];
    let rollup = closed(
        "What is made of the records of another object that refer to this one; `type` is then left out, since it follows from them",
        &["function", "object"],
        &[
            ("function", json!({"enum": functions})),
            ("object", text()),
            (
                "via",
                json!({"type": "string", "description": "Their field that names this record; may be left out where there is one alone"}),
            ),
            ("field", json!({"type": "string", "description": "The field that counts; none for `count`"})),
            ("where", json!({"type": "string", "description": "A rule: only those for which it holds count"})),
            (
                "by",
                json!({"type": "string", "description": "What `first` and `last` go by: `created_at` if it is not said"}),
            ),
        ],
    );
    let indexed_with = json!({
        "type": "array", "items": text(), "minItems": 1, "maxItems": INDEXED_WITH_MAX, "uniqueItems": true,
        "description": "Other fields of the object that stand behind this one in an index of its own: groups and sums by them of the records \
                        with one value of this field are read from it",
    });
    closed(
        "A typed field, or a roll-up",
        &["name"],
        &[
            ("name", text()),
            ("type", json!({"enum": kinds})),
            ("required", flag()),
            ("unique", flag()),
            ("indexed", flag()),
            ("indexed_with", indexed_with),
            ("searchable", flag()),
            ("default", json!({})),
            ("scale", json!({"type": "integer", "minimum": 0, "maximum": 6})),
            ("options", json!({"type": "array", "items": text()})),
            ("object", text()),
            ("rollup", rollup),
        ],
    )
}

fn problem_schema() -> Json {
    let entry = object("A bad field", &["pointer", "detail"], &[("pointer", text()), ("detail", text())]);
    object(
        "Why a request was not done (RFC 9457)",
        &["type", "title", "status", "code", "detail", "request_id"],
        &[
            ("type", text()),
            ("title", text()),
            ("status", json!({"type": "integer"})),
            ("code", text()),
            ("detail", text()),
            ("request_id", text()),
            ("errors", json!({"type": "array", "items": entry})),
        ],
    )
}

fn cloud_event_schema() -> Json {
    object(
        "An event (CloudEvents 1.0); (source, id) is its identity",
        &["id", "source", "type"],
        &[
            ("specversion", json!({"const": "1.0"})),
            ("id", text()),
            ("source", text()),
            ("type", text()),
            ("subject", text()),
            ("time", json!({"type": "string", "format": "date-time"})),
            ("datacontenttype", text()),
            ("data", json!({"type": "object"})),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::routes;

    #[test]
    fn every_route_is_described_with_tag_summary_and_answers() {
        let routes = routes();
        let doc = document(&routes);
        for route in &routes {
            let op = &doc["paths"][route.path][route.method];
            assert!(!op["summary"].as_str().unwrap().is_empty(), "{} {}", route.method, route.path);
            assert!(!op["tags"][0].as_str().unwrap().is_empty(), "{}", route.path);
            assert!(op["responses"].as_object().unwrap().len() >= 2, "{}", route.path);
        }
        let described: usize = doc["paths"].as_object().unwrap().values().map(|p| p.as_object().unwrap().len()).sum();
        assert_eq!(described, routes.len(), "no two routes share method and path");
    }

    #[test]
    fn operation_ids_are_unique() {
        let mut ids: Vec<_> = routes().iter().map(operation_id).collect();
        let all = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), all);
    }

    #[test]
    fn every_schema_that_is_referred_to_exists() {
        let doc = document(&routes());
        let text = doc.to_string();
        for name in text.split("#/components/schemas/").skip(1).map(|t| t.split('"').next().unwrap()) {
            assert!(doc["components"]["schemas"][name].is_object(), "{name}");
        }
    }

    #[test]
    fn parameters_of_the_path_are_described() {
        let doc = document(&routes());
        let params = &doc["paths"]["/v1/records/{object}/{key}"]["patch"]["parameters"];
        let names: Vec<_> = params.as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["object", "key", "Idempotency-Key", "If-Match"]);
    }

    #[test]
    fn only_health_and_documentation_need_no_key() {
        let open: Vec<_> = routes().iter().filter(|r| r.scope.is_none()).map(|r| r.path).collect();
        assert_eq!(open, ["/healthz", "/readyz", "/openapi.json", "/docs"]);
    }
}
