//! From what the interpreter tells about a script to a [`Declaration`], or to everything that is wrong with it.

use rapport_model::automation::{Capability, FieldDeclaration, Need, SettingDef, plain_host};
use rapport_model::covering;
use rapport_model::formula::FormulaDeclaration;
use rapport_model::limits::INDEXED_WITH_MAX;
use rapport_model::nearest::nearest;
use rapport_model::schema::{EventTypeDef, FieldKind, Origin};
use rapport_model::{Declaration, EventType, FieldDef, Name, ObjectDef, Trigger};
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use crate::error::Diagnostic;
use crate::literals::{Examined, Literal};
use crate::{each, rollup, schedule, segment};

/// What `check` of the interpreter returns.
#[derive(Debug, Deserialize)]
struct Outline {
    title: String,
    statements: Vec<Statement>,
    calls: Vec<Call>,
    #[serde(default)]
    functions: Vec<String>,
    #[serde(default)]
    literals: Vec<Literal>,
    problems: Vec<Problem>,
}

#[derive(Debug, Deserialize)]
struct Statement {
    call: String,
    args: Vec<Json>,
    line: u32,
    column: u32,
}

#[derive(Debug, Deserialize)]
struct Call {
    #[serde(rename = "call")]
    function: String,
    object: String,
    fields: Vec<String>,
    line: u32,
    column: u32,
}

#[derive(Debug, Deserialize)]
struct Problem {
    message: String,
    help: String,
    line: u32,
    column: u32,
}

/// The calls in which a run may wait.
const WAITING: [&str; 6] = ["sleep", "wait_for", "wait_any", "ask", "invoke", "http"];

/// What there is to say to who calls the host in a function that plugins call.
const PURE: &str = "they have settings, the log, the instant and random numbers: let the plugin give them what they need, or write \
                    `on(…)` and `fn run(event) { … }`";

/// What is wrong, and what to write instead.
pub(crate) type Wrong = (String, String);

/// Reads the outline of the script at `path`.
///
/// # Errors
/// Everything that is wrong with the script.
pub(crate) fn examine(path: &str, outline: &str) -> Result<Examined, Vec<Diagnostic>> {
    let place = |line, column, message, help| Diagnostic { path: path.into(), line, column, message, help };
    let outline: Outline = serde_json::from_str(outline)
        .map_err(|e| vec![place(0, 0, format!("the interpreter's outline cannot be read: {e}"), String::new())])?;
    let mut wrong: Vec<_> = outline.problems.into_iter().map(|p| place(p.line, p.column, p.message, p.help)).collect();
    let broken = !wrong.is_empty();
    let mut declaration = Declaration { title: outline.title, ..Declaration::default() };
    let mut fan_out = None;
    for Statement { call, args, line, column } in outline.statements {
        let done = match call.as_str() {
            "each" => each::take_down(&mut fan_out, &args, (line, column)),
            _ => declare(&mut declaration, &call, &args),
        };
        if let Err((message, help)) = done {
            wrong.push(place(line, column, message, help));
        }
    }
    if let Some(found) = fan_out {
        let (line, column) = (found.line, found.column);
        if let Err((message, help)) = each::settle(&mut declaration, &found) {
            wrong.push(place(line, column, message, help));
        }
    }
    // One that holds functions alone is there for plugins, which call them.
    let silent = !declaration.is_started() && declaration.segments.is_empty();
    let library = silent && !broken && wrong.is_empty();
    if library {
        wrong.extend(not_pure(path, &outline.functions, &outline.calls));
    }
    let mut undeclared = Vec::new();
    for Call { function, object, fields, line, column } in outline.calls.into_iter().filter(|_| !library) {
        // Of a URL the right names the host, if that stands there plainly.
        let object = if function == "http" { plain_host(&object).unwrap_or_default() } else { object };
        declaration.waits |= WAITING.contains(&function.as_str());
        for right in missing(&declaration.uses, &function, &object, &fields) {
            let message = format!("`{function}` needs the right `{right}`, which the script does not declare");
            undeclared.push(place(line, column, message, format!("write `uses(\"{right}\");` at the top level")));
        }
    }
    if wrong.is_empty() {
        return Ok(Examined { declaration, literals: outline.literals, undeclared });
    }
    wrong.extend(undeclared);
    wrong.sort_by_key(|d| (d.line, d.column));
    Err(wrong)
}

/// What is wrong with a script that nothing starts.
fn not_pure(path: &str, functions: &[String], calls: &[Call]) -> Vec<Diagnostic> {
    let place = |line, column, message, help| Diagnostic { path: path.into(), line, column, message, help };
    if functions.is_empty() || functions.iter().any(|name| name == "run") {
        let help = "write `on(\"order.created\")`, `on_change(\"customer\", [\"points\"])`, \
                    `every(\"0 10 * * MON\", \"Asia/Shanghai\")` or `invocable()` at the top level; a script that only \
                    holds functions for plugins has no function `run`";
        return vec![place(0, 0, "nothing starts this script".into(), help.into())];
    }
    let told = |call: &Call| {
        let function = &call.function;
        let message = format!("`{function}` cannot be called in a script that only holds functions: they are pure");
        place(call.line, call.column, message, PURE.into())
    };
    calls.iter().map(told).collect()
}

/// The diagnostic for a message of the interpreter, which begins with `path:line:column: ` where it knows them.
pub(crate) fn from_message(path: &str, message: &str) -> Diagnostic {
    let rest = message.strip_prefix(path).unwrap_or(message).trim_start_matches(':');
    let mut parts = rest.splitn(3, ':');
    let mut number = || parts.next().and_then(|p| p.trim().parse().ok());
    let (line, column) = (number().unwrap_or(0), number().unwrap_or(0));
    let told = if line > 0 { parts.next().unwrap_or(rest) } else { rest };
    Diagnostic { path: path.into(), line, column, message: told.trim().into(), help: String::new() }
}

/// The rights that a host call needs beyond those declared.
fn missing(uses: &[Capability], call: &str, object: &str, fields: &[String]) -> Vec<String> {
    let mut needs = match call {
        "get" | "find" | "count" | "within_business" | "business_seconds" => vec![Need::Read(object)],
        "delete" => vec![Need::Delete(object)],
        "emit" => vec![Need::Emit(object)],
        // What `upsert` sets it may have to create; the fields of a new record need no right of their own.
        "create" | "upsert" => vec![Need::Create(object)],
        "ask" => vec![Need::Create("task")],
        // A URL or a name that is made at run time is held against the rights then.
        "send" | "http" if object.is_empty() => Vec::new(),
        "send" => vec![Need::Message(object)],
        "http" => vec![Need::Http(object)],
        "invoke" if !object.is_empty() => vec![Need::Invoke(object)],
        "wait_for" => of_event(object).into_iter().collect(),
        "wait_any" => fields.iter().filter_map(|kind| of_event(kind)).collect(),
        _ => Vec::new(),
    };
    if call == "http" {
        needs.extend(fields.iter().map(|secret| Need::Secret(secret)));
    }
    if matches!(call, "update" | "increment" | "upsert" | "tag" | "untag") {
        needs.extend(fields.iter().map(|f| Need::Write(object, f)));
    }
    needs.retain(|need| !uses.iter().any(|c| c.covers(*need)));
    needs.iter().map(Need::as_capability).collect()
}

/// What happened to records is told to those who may read them.
fn of_event(kind: &str) -> Option<Need<'_>> {
    match kind.rsplit_once('.') {
        Some((object, "created" | "updated" | "deleted")) => Some(Need::Read(object)),
        _ => None,
    }
}

fn declare(declaration: &mut Declaration, call: &str, args: &[Json]) -> Result<(), Wrong> {
    match call {
        "on" => declaration.triggers.push(trigger(args)?),
        "on_change" => declaration.triggers.push(change_trigger(args)?),
        "invocable" => declaration.invocable = true,
        "every" => {
            declaration.schedules.push(schedule::of_call(args)?);
            rapport_model::schedule::check(&declaration.schedules).map_err(|e| (e.to_string(), String::new()))?;
        }
        "segment" => segment::take_down(declaration, args)?,
        "uses" => {
            for right in args.iter().flat_map(|a| a.as_array().map_or(std::slice::from_ref(a), Vec::as_slice)) {
                declaration.uses.push(capability(right)?);
            }
        }
        "setting" => {
            let name = name(&args[0], "setting")?.to_string();
            if declaration.settings.iter().any(|s| s.name == name) {
                return Err((format!("the setting `{name}` is declared twice"), String::new()));
            }
            declaration.settings.push(SettingDef { name, default: args[1].clone(), schema: None });
        }
        "field" => {
            let (object, field) = (name(&args[0], "object")?, field_def(&args[1], &args[2], args.get(3))?);
            declaration.fields.push(FieldDeclaration { object, field });
        }
        "rollup" => declaration.rollups.push(rollup::of_call(args)?),
        "formula" => {
            let (object, name) = (name(&args[0], "object")?, name(&args[1], "formula")?);
            let expression = text(&args[2], "an expression such as \"order_count * 2\"")?.to_owned();
            declaration.formulas.push(FormulaDeclaration { object, name, expression });
        }
        "event_type" => {
            let name = event_type(&args[0])?;
            let (fields, subject_optional) = event_fields(args.get(1))?;
            declaration.event_types.push(EventTypeDef { name, fields, subject_optional });
        }
        _ => {
            let (name, fields) = (name(&args[0], "object")?, field_defs(args.get(1))?);
            declaration.objects.push(ObjectDef::new(name, Origin::Custom, None, fields));
        }
    }
    Ok(())
}

fn trigger(args: &[Json]) -> Result<Trigger, Wrong> {
    let event = text(&args[0], "an event type such as \"order.created\"")?;
    if let Some(problem) = event_trigger_problem(event) {
        return Err((problem, "write `on(\"order.created\")` or `on(\"order.*\")`".into()));
    }
    Ok(Trigger { event: event.into(), changed: Vec::new(), condition: condition(args.get(1))? })
}

/// What is wrong with the event type or prefix of a trigger.
pub(crate) fn event_trigger_problem(event: &str) -> Option<String> {
    let checked = match event.strip_suffix('*') {
        Some("") => return None,
        Some(prefix) => EventType::new(&format!("{prefix}x")),
        None => EventType::new(event),
    };
    checked.err().map(|e| e.to_string())
}

/// The field `name` of the type `kind` with its options, for manifests.
///
/// # Errors
/// A text that says what is wrong, and what to write instead.
pub(crate) fn field_def_of(name: &str, kind: &str, options: Map<String, Json>) -> Result<FieldDef, String> {
    let (name, kind) = (Json::String(name.into()), Json::String(kind.into()));
    field_def(&name, &kind, Some(&Json::Object(options)))
        .map_err(|(message, help)| if help.is_empty() { message } else { format!("{message}; {help}") })
}

fn change_trigger(args: &[Json]) -> Result<Trigger, Wrong> {
    let object = name(&args[0], "object")?;
    let fields = args[1].as_array().map_or(std::slice::from_ref(&args[1]), Vec::as_slice);
    let changed = fields.iter().map(|f| name(f, "field")).collect::<Result<_, _>>()?;
    let event = EventType::of_record(&object, rapport_model::name::RecordEventKind::Updated).to_string();
    Ok(Trigger { event, changed, condition: condition(args.get(2))? })
}

fn condition(json: Option<&Json>) -> Result<Option<String>, Wrong> {
    json.map(|j| text(j, "a rule such as \"amount > 100\"").map(Into::into)).transpose()
}

fn capability(json: &Json) -> Result<Capability, Wrong> {
    let right = text(json, "a right such as \"customer:read\"")?;
    right.parse().map_err(|e: rapport_model::automation::InvalidCapability| (e.to_string(), String::new()))
}

pub(crate) fn text<'a>(json: &'a Json, what: &str) -> Result<&'a str, Wrong> {
    json.as_str().ok_or_else(|| (format!("expected {what}, got {json}"), String::new()))
}

fn name(json: &Json, what: &str) -> Result<Name, Wrong> {
    Name::new(text(json, &format!("the name of a {what}"))?).map_err(|e| (e.to_string(), String::new()))
}

fn event_type(json: &Json) -> Result<EventType, Wrong> {
    EventType::new(text(json, "an event type such as \"tier.changed\"")?).map_err(|e| (e.to_string(), String::new()))
}

/// The fields of an event type; the entry `subject_optional` is no field.
fn event_fields(json: Option<&Json>) -> Result<(Vec<FieldDef>, bool), Wrong> {
    let mut json = json.cloned().unwrap_or_else(|| Json::Object(Map::new()));
    let optional = json.as_object_mut().and_then(|m| m.remove("subject_optional")).unwrap_or(Json::Bool(false));
    let optional = optional.as_bool().ok_or_else(|| ("`subject_optional` is true or false".into(), String::new()))?;
    Ok((field_defs(Some(&json))?, optional))
}

/// `#{ code: "text", amount: #{ type: "decimal(2)", required: true } }`.
fn field_defs(json: Option<&Json>) -> Result<Vec<FieldDef>, Wrong> {
    let Some(json) = json else { return Ok(Vec::new()) };
    let help = || "write `#{ code: \"text\", amount: \"decimal(2)\" }`".to_owned();
    let map = json.as_object().ok_or_else(|| (format!("expected a map of fields, got {json}"), help()))?;
    let convert = |(key, value): (&String, &Json)| {
        let key = Json::String(key.clone());
        let Some(options) = value.as_object() else { return field_def(&key, value, None) };
        let mut options = options.clone();
        let kind = options.remove("type").ok_or_else(|| ("a field needs a `type`".into(), help()))?;
        field_def(&key, &kind, Some(&Json::Object(options)))
    };
    map.iter().map(convert).collect()
}

const FIELD_OPTIONS: [&str; 8] =
    ["required", "unique", "indexed", "indexed_with", "searchable", "default", "options", "object"];

fn field_def(name_json: &Json, kind_json: &Json, options: Option<&Json>) -> Result<FieldDef, Wrong> {
    let name = name(name_json, "field")?;
    let empty = Map::new();
    let options = match options {
        Some(json) => {
            json.as_object().ok_or_else(|| (format!("expected a map of options, got {json}"), String::new()))?
        }
        None => &empty,
    };
    if let Some(unknown) = options.keys().find(|k| !FIELD_OPTIONS.contains(&k.as_str())) {
        let help = nearest(unknown, FIELD_OPTIONS.into_iter())
            .map_or_else(|| format!("it takes {}", FIELD_OPTIONS.join(", ")), |n| format!("did you mean `{n}`?"));
        return Err((format!("a field has no option `{unknown}`"), help));
    }
    let flag = |option: &str| match options.get(option) {
        None => Ok(false),
        Some(json) => json.as_bool().ok_or_else(|| (format!("`{option}` is true or false, not {json}"), String::new())),
    };
    let kind = field_kind(text(kind_json, "a type such as \"integer\"")?, options)?;
    if let Some(default) = options.get("default") {
        rapport_model::json::value_from_json(&kind, default)
            .map_err(|e| (format!("the default of `{name}` does not fit: {e}"), String::new()))?;
    }
    let field = FieldDef {
        required: flag("required")?,
        unique: flag("unique")?,
        indexed: flag("indexed")?,
        indexed_with: options.get("indexed_with").map_or_else(|| Ok(Vec::new()), indexed_with)?,
        searchable: flag("searchable")?,
        default: options.get("default").cloned(),
        ..FieldDef::new(name, kind)
    };
    // Whether the object has the fields is known where its others are.
    covering::fault_of_list(&field).map_or(Ok(field), |fault| Err((fault.to_string(), String::new())))
}

fn indexed_with(json: &Json) -> Result<Vec<Name>, Wrong> {
    let list = json.as_array().filter(|list| !list.is_empty());
    let wrong = || format!("`indexed_with` is a list of 1 to {INDEXED_WITH_MAX} names of fields, not {json}");
    let list = list.ok_or_else(|| (wrong(), "write `indexed_with` as `[\"customer\", \"number\"]`".into()))?;
    list.iter().map(|field| name(field, "field")).collect()
}

const KINDS: [&str; 10] =
    ["text", "integer", "decimal(2)", "boolean", "date", "timestamp", "choice", "reference", "json", "tags"];

/// The kind that `text` and its options name: `integer`, `decimal(2)`, `choice` with `options`, `reference` with `object`,
/// or `choice(a|b)` and `reference(customer)` in short.
pub(crate) fn field_kind(text: &str, options: &Map<String, Json>) -> Result<FieldKind, Wrong> {
    let (word, inner) = match text.split_once('(') {
        Some((word, rest)) => (word.trim(), rest.strip_suffix(')').map(str::trim)),
        None => (text.trim(), None),
    };
    let none = |what: &str| (format!("`{text}` says no {what}"), String::new());
    match word {
        "text" => Ok(FieldKind::Text),
        "integer" => Ok(FieldKind::Integer),
        "boolean" => Ok(FieldKind::Boolean),
        "date" => Ok(FieldKind::Date),
        "timestamp" => Ok(FieldKind::Timestamp),
        "json" => Ok(FieldKind::Json),
        "tags" => Ok(FieldKind::Tags),
        "decimal" => match inner.unwrap_or("2").parse() {
            Ok(scale @ 0..=6) => Ok(FieldKind::Decimal { scale }),
            _ => Err((format!("`{text}` has no number of decimals from 0 to 6"), "write `decimal(2)`".into())),
        },
        "choice" => {
            let listed = options.get("options").and_then(Json::as_array);
            let listed = listed.map(|l| l.iter().filter_map(Json::as_str).map(Into::into).collect::<Vec<String>>());
            let short = || inner.map(|i| i.split('|').map(|o| o.trim().to_owned()).collect());
            let options = listed.or_else(short).filter(|o| !o.is_empty() && o.iter().all(|o| !o.is_empty()));
            options.map(|options| FieldKind::Choice { options }).ok_or_else(|| none("options"))
        }
        "reference" => {
            let object = options.get("object").and_then(Json::as_str).or(inner).ok_or_else(|| none("object"))?;
            let object = Name::new(object).map_err(|e| (e.to_string(), String::new()))?;
            Ok(FieldKind::Reference { object })
        }
        _ => {
            let near = nearest(word, KINDS.into_iter()).map(|n| format!("did you mean `{n}`?"));
            Err((
                format!("there is no field type `{word}`"),
                near.unwrap_or_else(|| format!("use one of {}", KINDS.join(", "))),
            ))
        }
    }
}

#[cfg(test)]
mod tests;
