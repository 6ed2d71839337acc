//! What a plugin does when it is asked: `[[actions]]`, `[[routes]]`, `[[hooks]]`, and the actions of others that it `calls`.

use rapport_model::automation::{Need, is_secret_name};
use rapport_model::plugin::route::{ROUTE_BODY_BYTES, ROUTE_BODY_BYTES_MAX, ROUTE_PER_MINUTE, ROUTE_PER_MINUTE_MAX};
use rapport_model::plugin::{
    Access, ActionDef, ActionName, CallerKind, HookDef, Method, OnFailure, RouteDef, RoutePath,
};
use rapport_model::{Declaration, JsonSchema, Name};
use serde_json::Value as Json;
use toml::{Table, Value as Toml};

use super::TITLE_CHARS_MAX;
use super::start::ADD;
use super::table::{
    Files, flag, items, json, known_keys, name, once, one_of, optional_line, optional_text, required, texts, whole,
};

/// The actions.
pub(super) fn actions(table: &Table, files: &Files<'_>) -> Result<Vec<ActionDef>, String> {
    let all = items(table, "actions", 100, |table| action(table, files))?;
    once("action", all.iter().map(|action| action.name.as_str()))?;
    Ok(all)
}

fn action(table: &Table, files: &Files<'_>) -> Result<ActionDef, String> {
    known_keys(table, &["name", "title", "schema", "input", "output", "readonly", "callers", "lane"], "")?;
    let both = match optional_text(table, "schema")? {
        Some(_) if table.contains_key("input") || table.contains_key("output") => {
            return Err("`schema` says what goes in and out: leave out `input` and `output`, or `schema`".into());
        }
        Some(path) => both_schemas(&path, files).map_err(|e| format!("`schema`: {e}"))?,
        None => (schema(table, "input", files)?, schema(table, "output", files)?),
    };
    let readonly = flag(table, "readonly")?;
    let lane = table.contains_key("lane").then(|| name(table, "lane")).transpose()?;
    if let Some(lane) = &lane {
        if readonly {
            return Err("an action that is `readonly` needs no `lane`: it has no run".into());
        }
        let known = both.0.as_ref().is_some_and(|input| input.properties().contains_key(lane.as_str()));
        if !known {
            return Err(format!("`lane` names `{lane}`, which is no property of the action's `input`"));
        }
    }
    Ok(ActionDef {
        name: name(table, "name")?,
        title: optional_line(table, "title", TITLE_CHARS_MAX)?.unwrap_or_default(),
        input: both.0,
        output: both.1,
        readonly,
        callers: callers(table)?,
        lane,
    })
}

/// A file with `{ "input": …, "output": … }`.
fn both_schemas(path: &str, files: &Files<'_>) -> Result<(Option<JsonSchema>, Option<JsonSchema>), String> {
    let mut json = files.json(path)?;
    let map = json.as_object_mut().ok_or_else(|| format!("`{path}` is no object with `input` and `output`"))?;
    if let Some(unknown) = map.keys().find(|key| !matches!(key.as_str(), "input" | "output")) {
        return Err(format!("`{path}`: unknown key `{unknown}`; known are input, output"));
    }
    let mut read = |key: &str| {
        let schema = map.remove(key).map(JsonSchema::read).transpose();
        schema.map_err(|e| format!("`{path}` /{key}{}{e}", if e.pointer.is_empty() { ": " } else { "" }))
    };
    Ok((read("input")?, read("output")?))
}

/// A schema that stands in the manifest, or in the file that it names.
fn schema(table: &Table, key: &str, files: &Files<'_>) -> Result<Option<JsonSchema>, String> {
    let read = |source: Json| JsonSchema::read(source).map_err(|e| format!("`{key}`: {e}"));
    match table.get(key) {
        None => Ok(None),
        Some(inline @ Toml::Table(_)) => read(json(inline)?).map(Some),
        Some(Toml::String(path)) => read(files.json(path).map_err(|e| format!("`{key}`: {e}"))?).map(Some),
        Some(other) => Err(format!("`{key}` is a JSON Schema or the path of one, not {}", other.type_str())),
    }
}

fn callers(table: &Table) -> Result<Vec<CallerKind>, String> {
    let Some(names) = texts(table, "callers", CallerKind::NAMES.len())? else {
        return Ok(CallerKind::DEFAULT.to_vec());
    };
    if names.is_empty() {
        return Err("`callers` is empty: nobody could call the action".into());
    }
    once("caller", names.iter().map(String::as_str))?;
    let known = |name: &String| {
        let all = CallerKind::NAMES.join(", ");
        CallerKind::parse(name).ok_or_else(|| format!("`callers` cannot hold \"{name}\"; write some of {all}"))
    };
    let mut found = names.iter().map(known).collect::<Result<Vec<_>, _>>()?;
    found.sort();
    Ok(found)
}

/// The routes.
pub(super) fn routes(table: &Table) -> Result<Vec<RouteDef>, String> {
    let all = items(table, "routes", 50, route)?;
    for (i, route) in all.iter().enumerate() {
        if let Some(other) = all[..i].iter().find(|other| other.overlaps(route)) {
            return Err(format!("the routes `{}` and `{}` answer the same requests", other.path, route.path));
        }
    }
    Ok(all)
}

fn route(table: &Table) -> Result<RouteDef, String> {
    known_keys(table, &["methods", "path", "access", "secret", "per_minute", "body_bytes_max", "lane"], "")?;
    let names = texts(table, "methods", Method::NAMES.len())?.unwrap_or_else(|| vec!["GET".into()]);
    let known = |name: &String| {
        let all = Method::NAMES.join(", ");
        Method::parse(name).ok_or_else(|| format!("`methods` cannot hold \"{name}\"; write some of {all}"))
    };
    let mut methods = names.iter().map(known).collect::<Result<Vec<_>, _>>()?;
    methods.sort();
    methods.dedup();
    if methods.is_empty() {
        return Err("`methods` is empty: nothing would be answered".into());
    }
    let access = one_of(table, "access", Access::NAMES)?;
    let access = access.as_deref().and_then(Access::parse);
    let access = access.ok_or_else(|| format!("`access` is missing: write one of {}", Access::NAMES.join(", ")))?;
    let secret = optional_text(table, "secret")?;
    match (access, &secret) {
        (Access::Signed, None) => return Err("a signed route names the `secret` that requests are signed with".into()),
        (Access::Signed, Some(name)) if !is_secret_name(name) => {
            return Err(format!("`secret`: `{name}` names no secret"));
        }
        (Access::Public | Access::Users, Some(_)) => return Err("only a signed route has a `secret`".into()),
        _ => {}
    }
    let number = |key, default: u32, most: u32| {
        let given = whole(table, key, 1..=u64::from(most))?;
        Ok::<_, String>(given.and_then(|n| u32::try_from(n).ok()).unwrap_or(default))
    };
    let path = required(table, "path")?.parse::<RoutePath>().map_err(|e| format!("`path`: {e}"))?;
    Ok(RouteDef {
        lane: route_lane(table, &path)?,
        methods,
        path,
        access,
        secret,
        per_minute: number("per_minute", ROUTE_PER_MINUTE, ROUTE_PER_MINUTE_MAX)?,
        body_bytes_max: number("body_bytes_max", ROUTE_BODY_BYTES, ROUTE_BODY_BYTES_MAX)?,
    })
}

fn route_lane(table: &Table, path: &RoutePath) -> Result<Option<Name>, String> {
    if !table.contains_key("lane") {
        return Ok(None);
    }
    let lane = name(table, "lane")?;
    let unknown =
        || format!("`lane` names `{lane}`, which is no parameter of `{path}`: write `{{{lane}}}` into the path");
    if path.has_param(&lane) { Ok(Some(lane)) } else { Err(unknown()) }
}

/// The hooks.
pub(super) fn hooks(table: &Table) -> Result<Vec<HookDef>, String> {
    let all = items(table, "hooks", 50, hook)?;
    once("hook on", all.iter().map(|hook| hook.object.as_str()))?;
    Ok(all)
}

fn hook(table: &Table) -> Result<HookDef, String> {
    known_keys(table, &["object", "fields", "on_failure"], "")?;
    let fields = texts(table, "fields", 100)?.unwrap_or_default();
    let fields = fields.iter().map(|f| Name::new(f).map_err(|e| format!("`fields`: {e}"))).collect::<Result<_, _>>()?;
    let on_failure = one_of(table, "on_failure", OnFailure::NAMES)?.as_deref().and_then(OnFailure::parse);
    let missing = || {
        "`on_failure` is missing: write \"closed\" to refuse a change that could not be judged, \"open\" to let it through"
            .to_owned()
    };
    Ok(HookDef { object: name(table, "object")?, fields, on_failure: on_failure.ok_or_else(missing)? })
}

/// The actions of other plugins that are called.
pub(super) fn calls(table: &Table) -> Result<Vec<ActionName>, String> {
    let names = texts(table, "calls", 100)?.unwrap_or_default();
    once("call of", names.iter().map(String::as_str))?;
    names.iter().map(|name| name.parse().map_err(|e| format!("`calls`: {e}"))).collect()
}

/// Refuses what lacks a right.
pub(super) fn check(declaration: &Declaration) -> Result<(), String> {
    let covered = |need: Need<'_>| declaration.uses.iter().any(|right| right.covers(need));
    for call in declaration.calls.iter().map(ToString::to_string) {
        if !covered(Need::Invoke(&call)) {
            return Err(format!("`calls` of `{call}` needs the right `invoke:{call}`: {ADD}"));
        }
    }
    for hook in &declaration.hooks {
        if !covered(Need::Read(hook.object.as_str())) {
            return Err(format!("a hook on `{}` needs the right `{}:read`: {ADD}", hook.object, hook.object));
        }
    }
    for secret in declaration.routes.iter().filter_map(|route| route.secret.as_deref()) {
        if !covered(Need::Secret(secret)) {
            return Err(format!("a signed route needs the right `secret:{secret}`: {ADD}"));
        }
    }
    Ok(())
}
