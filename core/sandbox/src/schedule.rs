//! Schedules as authors write them, in a script's `every(…)` or a manifest's `[[schedules]]`.

use rapport_model::nearest::nearest;
use rapport_model::schedule::{Misfire, Overlap, ScheduleDef};
use serde_json::{Map, Value as Json};

use crate::each;
use crate::outline::{Wrong, text};

const OPTIONS: [&str; 2] = ["misfire", "overlap"];

/// The schedule that `every(CRON, ZONE, #{ … })` declares.
///
/// # Errors
/// What is wrong, and what to write instead.
pub(crate) fn of_call(args: &[Json]) -> Result<ScheduleDef, Wrong> {
    let cron = text(&args[0], "a cron expression such as \"0 10 * * MON\"")?;
    let zone = text(&args[1], "a time zone such as \"Asia/Shanghai\"")?;
    let options = match args.get(2) {
        None => Map::new(),
        Some(Json::Object(options)) => options.clone(),
        Some(other) => {
            let help = "write `#{ misfire: \"once\", overlap: \"skip\" }`";
            return Err((format!("expected a map of options, got {other}"), help.into()));
        }
    };
    if let Some(unknown) = options.keys().find(|key| !OPTIONS.contains(&key.as_str())) {
        let help = nearest(unknown, OPTIONS.into_iter());
        let help =
            help.map_or_else(|| format!("it takes {}", OPTIONS.join(" and ")), |n| format!("did you mean `{n}`?"));
        return Err((format!("a schedule has no option `{unknown}`"), help));
    }
    read(cron, zone, &options)
}

/// The schedule of these texts, with the policies among `options`, and what a manifest says of records.
///
/// # Errors
/// What is wrong, and what to write instead.
pub(crate) fn read(cron: &str, zone: &str, options: &Map<String, Json>) -> Result<ScheduleDef, Wrong> {
    let plain = |error: String| (error, String::new());
    let misfire = policy(options, "misfire", Misfire::NAMES)?.and_then(|name| Misfire::parse(&name));
    let overlap = policy(options, "overlap", Overlap::NAMES)?.and_then(|name| Overlap::parse(&name));
    Ok(ScheduleDef {
        cron: cron.parse().map_err(|e: rapport_model::cron::CronError| plain(e.to_string()))?,
        zone: zone.parse().map_err(|e: rapport_model::zone::ZoneError| plain(e.to_string()))?,
        misfire: misfire.unwrap_or_default(),
        overlap: overlap.unwrap_or_default(),
        each: options.get("each").map(each::of_table).transpose()?,
    })
}

/// The name of a policy, if the option is given.
fn policy(options: &Map<String, Json>, option: &str, names: &[&str]) -> Result<Option<String>, Wrong> {
    let Some(given) = options.get(option) else { return Ok(None) };
    let known = given.as_str().filter(|name| names.contains(name));
    let wrong = || (format!("`{option}` cannot be {given}"), format!("write one of {}", names.join(", ")));
    known.map(|name| Some(name.to_owned())).ok_or_else(wrong)
}
