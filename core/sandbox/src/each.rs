//! Fan-outs as authors write them, in a script's `each(…)` or as `each` of a manifest's `[[schedules]]`.

use rapport_model::automation::Need;
use rapport_model::fan_out::Each;
use rapport_model::limits::FAN_OUT_PER_MINUTE_MAX;
use rapport_model::nearest::nearest;
use rapport_model::{Declaration, Name};
use serde_json::{Map, Value as Json};

use crate::outline::{Wrong, text};

const CALL_OPTIONS: [&str; 1] = ["per_minute"];
const TABLE_KEYS: [&str; 3] = ["object", "rule", "per_minute"];

/// An `each(…)` and where it stands.
#[derive(Debug)]
pub(crate) struct Placed {
    each: Each,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// Takes down the call `each(OBJECT, RULE, #{ … })`.
///
/// # Errors
/// What is wrong, and what to write instead.
pub(crate) fn take_down(found: &mut Option<Placed>, args: &[Json], (line, column): (u32, u32)) -> Result<(), Wrong> {
    if let Some(first) = found {
        let help = format!("join the rules with `||`: the first stands in line {}", first.line);
        return Err(("`each` is declared twice".into(), help));
    }
    *found = Some(Placed { each: of_call(args)?, line, column });
    Ok(())
}

fn of_call(args: &[Json]) -> Result<Each, Wrong> {
    let rule = args.get(1).map(|rule| text(rule, "a rule such as \"points > 1000\"")).transpose()?;
    let options = match args.get(2) {
        None => Map::new(),
        Some(Json::Object(options)) => options.clone(),
        Some(other) => {
            return Err((format!("expected a map of options, got {other}"), "write `#{ per_minute: 600 }`".into()));
        }
    };
    known_keys(&options, &CALL_OPTIONS)?;
    read(text(&args[0], "the name of an object")?, rule, &options)
}

/// What `each = { object = "customer", rule = "points > 1000", per_minute = 600 }` says.
///
/// # Errors
/// What is wrong, and what to write instead.
pub(crate) fn of_table(json: &Json) -> Result<Each, Wrong> {
    let help = || "write `each = { object = \"customer\", rule = \"points > 1000\" }`".to_owned();
    let table = json.as_object().ok_or_else(|| (format!("`each` is a table, not {json}"), help()))?;
    known_keys(table, &TABLE_KEYS)?;
    let object = table.get("object").ok_or_else(|| ("`each` names no `object`".to_owned(), help()))?;
    let rule = table.get("rule").map(|rule| text(rule, "a rule such as \"points > 1000\"")).transpose()?;
    read(text(object, "the name of an object")?, rule, table)
}

fn known_keys(options: &Map<String, Json>, known: &[&str]) -> Result<(), Wrong> {
    let Some(unknown) = options.keys().find(|key| !known.contains(&key.as_str())) else { return Ok(()) };
    let help = nearest(unknown, known.iter().copied())
        .map_or_else(|| format!("it takes {}", known.join(", ")), |near| format!("did you mean `{near}`?"));
    Err((format!("`each` has no option `{unknown}`"), help))
}

fn read(object: &str, rule: Option<&str>, options: &Map<String, Json>) -> Result<Each, Wrong> {
    let object = Name::new(object).map_err(|e| (e.to_string(), String::new()))?;
    let per_minute = match options.get("per_minute") {
        None => None,
        Some(given) => {
            let whole = given.as_u64().and_then(|n| u32::try_from(n).ok());
            let fits = whole.filter(|n| (1..=FAN_OUT_PER_MINUTE_MAX).contains(n));
            let help = || format!("write a whole number from 1 to {FAN_OUT_PER_MINUTE_MAX}, or leave it out");
            Some(fits.ok_or_else(|| (format!("`per_minute` cannot be {given}"), help()))?)
        }
    };
    let rule = rule.map(str::trim).filter(|rule| !rule.is_empty()).map(str::to_owned);
    Ok(Each { object, rule, per_minute })
}

/// Gives what was taken down to all schedules of the script.
///
/// # Errors
/// There is none, or the right to read the object is missing.
pub(crate) fn settle(declaration: &mut Declaration, found: &Placed) -> Result<(), Wrong> {
    if declaration.schedules.is_empty() {
        let help = "write `every(\"0 10 * * MON\", \"Asia/Shanghai\");` at the top level";
        return Err(("`each` says for which records, but nothing says when".into(), help.into()));
    }
    if let Some(right) = missing_right(declaration, &found.each) {
        let message = format!("`each` needs the right `{right}`, which the script does not declare");
        return Err((message, format!("write `uses(\"{right}\");` at the top level")));
    }
    for schedule in &mut declaration.schedules {
        schedule.each = Some(found.each.clone());
    }
    Ok(())
}

/// The right to read the records, if it is not declared.
pub(crate) fn missing_right(declaration: &Declaration, each: &Each) -> Option<String> {
    let need = Need::Read(each.object.as_str());
    (!declaration.uses.iter().any(|right| right.covers(need))).then(|| need.as_capability())
}
