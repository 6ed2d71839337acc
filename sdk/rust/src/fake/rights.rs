//! The rights of a plugin and the fields of its objects, as its `plugin.toml` has them.

use toml::Value as Toml;

use super::{Context, Declared, world};
use crate::{Error, Json, Value};

/// Takes rights, settings, objects and the plugin's id from the text of a `plugin.toml`. From then on a call without its right fails with
/// the code `denied`, settings have their defaults, and so have the fields of records of its objects that it creates; of two that are to
/// have the same value in a unique field the second fails with the code `unique`.
///
/// ```
/// use rapport_sdk::{Fields, fake, records, settings};
///
/// fake::reset();
/// fake::load(r#"
///     id = "greeter"
///     [[capabilities]]
///     right = "customer.notes:write"
///     reason = "writes the greeting"
///     [settings]
///     greeting = "Welcome"
/// "#);
/// let ada = fake::insert("customer", Fields::new().with("notes", ""));
/// records::update(&ada.reference(), &Fields::new().with("notes", settings::get::<String>("greeting").unwrap())).unwrap();
/// assert_eq!(records::get("customer", &ada.id).unwrap_err().code(), "denied");
/// ```
///
/// # Panics
/// If the text is no TOML.
pub fn load(manifest: &str) {
    let table: toml::Table = manifest.parse().expect("a `plugin.toml`");
    let text = |value: Option<&Toml>| value.and_then(Toml::as_str).unwrap_or_default().to_owned();
    let rights = table.get("capabilities").and_then(Toml::as_array).into_iter().flatten();
    let mut rights: Vec<String> = rights.map(|c| text(c.get("right"))).collect();
    let calls = table.get("calls").and_then(Toml::as_array).into_iter().flatten();
    rights.extend(calls.map(|action| format!("invoke:{}", action.as_str().unwrap_or_default())));
    let objects = table.get("objects").and_then(Toml::as_array).into_iter().flatten();
    let objects = objects.map(|object| (text(object.get("name")), declared(object.get("fields")))).collect();
    let settings = table.get("settings").and_then(Toml::as_table).cloned().unwrap_or_default();
    world(|w| {
        w.rights = Some(rights);
        w.objects = objects;
        w.context.plugin = text(table.get("id"));
        for (name, declared) in &settings {
            // A setting is its default, or a table with `default` and what else there is to say about it.
            let default = declared.as_table().and_then(|t| t.get("default")).unwrap_or(declared);
            w.settings.set(name, value(default));
        }
    });
}

/// The fields of an object: each is its type, or a table with what else there is to say about it.
fn declared(fields: Option<&Toml>) -> Vec<Declared> {
    let fields = fields.and_then(Toml::as_table).into_iter().flatten();
    let field = |(name, said): (&String, &Toml)| Declared {
        name: name.clone(),
        default: said.get("default").map_or(Value::Null, value),
        unique: said.get("unique").and_then(Toml::as_bool).unwrap_or(false),
    };
    fields.map(field).collect()
}

/// Gives the plugin this right; from the first on, it has no other than those that it was given.
pub fn allow(right: &str) {
    world(|w| w.rights.get_or_insert_default().push(right.into()));
}

/// Sets what [`crate::context`] tells.
pub fn set_context(context: Context) {
    world(|w| w.context = context);
}

fn value(toml: &Toml) -> Value {
    match toml {
        Toml::String(text) => Value::from(text.as_str()),
        Toml::Integer(n) => Value::Int(*n),
        Toml::Boolean(b) => Value::Bool(*b),
        Toml::Float(f) => f.to_string().parse().map_or(Value::Null, Value::Decimal),
        other => Value::Json(serde_json::to_value(other).unwrap_or(Json::Null)),
    }
}

/// Fails unless the plugin has one of the rights that allow this; `right` is the narrowest, as an author would write it.
pub(super) fn need(right: &str) -> Result<(), Error> {
    let allowed = world(|w| w.rights.as_ref().is_none_or(|held| held.iter().any(|held| covers(held, right))));
    if allowed {
        return Ok(());
    }
    Err(Error::new("denied", format!("this needs the right `{right}`; add it to `[[capabilities]]` in plugin.toml")))
}

/// Whether the right `held` allows what `needed` is the narrowest right for.
fn covers(held: &str, needed: &str) -> bool {
    let (Some((resource, action)), Some((wanted, act))) = (held.split_once(':'), needed.split_once(':')) else {
        return false;
    };
    match (resource, wanted.split_once('.')) {
        ("emit" | "script", _) if wanted == resource => {
            action.strip_suffix('*').map_or(action == act, |p| act.starts_with(p))
        }
        ("http", _) if wanted == "http" => action.strip_prefix('*').map_or(action == act, |p| act.ends_with(p)),
        (_, Some((object, _))) if resource == object => matches!(action, "write" | "update"),
        _ if resource == wanted && matches!(act, "create" | "update" | "delete") => action == act || action == "write",
        _ => held == needed,
    }
}
