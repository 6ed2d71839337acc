//! Roll-ups as authors write them, in a script's `rollup(…)` or a manifest's `[[rollups]]`.

use rapport_model::nearest::nearest;
use rapport_model::rollup::{Function, RollupDeclaration};
use serde_json::{Map, Value as Json};

/// A message, and what to write instead.
type Wrong = (String, String);

const OPTIONS: [&str; 6] = ["via", "field", "where", "by", "indexed", "scale"];

/// `rollup("customer", "big_orders", "count", "order", #{ where: "amount > 100" })`.
pub(crate) fn of_call(args: &[Json]) -> Result<RollupDeclaration, Wrong> {
    let empty = Json::Object(Map::new());
    let options = args.get(4).unwrap_or(&empty);
    let options =
        options.as_object().ok_or_else(|| (format!("expected a map of options, got {options}"), String::new()))?;
    if let Some(unknown) = options.keys().find(|key| !OPTIONS.contains(&key.as_str())) {
        let help = nearest(unknown, OPTIONS.into_iter())
            .map_or_else(|| format!("it takes {}", OPTIONS.join(", ")), |near| format!("did you mean `{near}`?"));
        return Err((format!("a roll-up has no option `{unknown}`"), help));
    }
    let mut all = options.clone();
    for (key, value) in ["on", "name", "function", "object"].into_iter().zip(args) {
        all.insert(key.into(), value.clone());
    }
    read(all)
}

/// The roll-up of these keys.
pub(crate) fn read(map: Map<String, Json>) -> Result<RollupDeclaration, Wrong> {
    let functions = Function::ALL.map(Function::as_str);
    let function = map.get("function").and_then(Json::as_str).unwrap_or_default();
    if Function::parse(function).is_none() {
        let near = nearest(function, functions.into_iter()).map(|near| format!("did you mean `{near}`?"));
        let help = near.unwrap_or_else(|| format!("use one of {}", functions.join(", ")));
        return Err((format!("there is no function `{function}` of a roll-up"), help));
    }
    let map = map.into_iter().filter(|(_, value)| !value.is_null()).collect();
    serde_json::from_value(Json::Object(map)).map_err(|error| (format!("a roll-up: {error}"), String::new()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_call_names_parent_name_function_child_and_options() {
        let args = [
            json!("customer"),
            json!("big"),
            json!("sum"),
            json!("order"),
            json!({ "field": "amount", "where": "amount > 1" }),
        ];
        let read = of_call(&args).unwrap();
        assert_eq!((read.on.as_str(), read.object.as_str(), read.function), ("customer", "order", Function::Sum));
        assert_eq!(read.condition.as_deref(), Some("amount > 1"));
    }

    #[test]
    fn what_is_misspelt_is_named_with_what_was_meant() {
        let call =
            |function: &str, options: Json| of_call(&[json!("a"), json!("b"), json!(function), json!("c"), options]);
        assert_eq!(call("cuont", json!({})).unwrap_err().1, "did you mean `count`?");
        assert_eq!(call("count", json!({ "wehre": "x" })).unwrap_err().1, "did you mean `where`?");
        assert!(call("count", json!({ "where": 3 })).unwrap_err().0.contains("a roll-up: invalid type"));
    }
}
