//! Calls functions of scripts that operators write: the rule is theirs, the books stay the plugin's. Right: `script:ID`.
//!
//! ```
//! use rapport_sdk::{fake, scripts};
//! use serde_json::json;
//!
//! fake::reset();
//! fake::script("loyalty/earn", "points", |arguments| Ok(json!(arguments[0].as_i64().unwrap_or(0) * 2)));
//! assert_eq!(scripts::run("loyalty/earn", "points", &[json!(21)]).unwrap(), json!(42));
//! ```

use crate::door::scripts as door;
use crate::{Error, Json};

/// Calls a function of the live script `script`. The function is pure: it has its script's settings, the log, the instant and random
/// numbers, and nothing else. It works within what the slice has left of fuel, host calls and time.
///
/// # Errors
/// `unknown_script`, `script_disabled`, `not_a_script`; `unknown_function`, `wrong_arguments`; `budget`; `pure` if it calls the host;
/// `script` for a mistake in it, with its line; what the function fails with. Without the right the slice ends.
pub fn run(script: &str, function: &str, arguments: &[Json]) -> Result<Json, Error> {
    let result = door::run(script, function, &Json::from(arguments).to_string())?;
    serde_json::from_str(&result).map_err(|e| Error::new("invalid", format!("the result of `{function}`: {e}")))
}
