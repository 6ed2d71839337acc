//! Segments as authors write them, in a script's `segment(…)` or a manifest's `[[segments]]`.

use rapport_model::limits::SEGMENTS_PER_AUTOMATION_MAX;
use rapport_model::nearest::nearest;
use rapport_model::{Declaration, Name, SegmentDef, SegmentKind, SegmentName};
use serde_json::{Map, Value as Json};

use crate::outline::{Wrong, text};

const OPTIONS: [&str; 5] = ["object", "kind", "title", "every", "zone"];
const HELP: &str = "write `segment(\"big-spenders\", \"lifetime_value > 5000\")`, or with `#{ kind: \"scheduled\", every: \"0 3 * * *\" }` after the rule";

/// Takes down the call `segment(NAME, RULE, #{ … })`, of which rule or options may be left out.
///
/// # Errors
/// What is wrong, and what to write instead.
pub(crate) fn take_down(declaration: &mut Declaration, args: &[Json]) -> Result<(), Wrong> {
    let name = text(&args[0], "the name of a segment")?;
    let (rule, options) = match (args.get(1), args.get(2)) {
        (Some(Json::Object(options)), None) => (None, options.clone()),
        (rule, options) => {
            let rule = rule.map(|rule| text(rule, "a rule such as \"lifetime_value > 5000\"")).transpose()?;
            let options = match options {
                None => Map::new(),
                Some(Json::Object(options)) => options.clone(),
                Some(other) => return Err((format!("expected a map of options, got {other}"), HELP.into())),
            };
            (rule, options)
        }
    };
    let def = read(name, rule, &options)?;
    add(declaration, def)
}

/// Adds a segment to those of an automation.
///
/// # Errors
/// It is there already, or there are too many.
pub(crate) fn add(declaration: &mut Declaration, def: SegmentDef) -> Result<(), Wrong> {
    if declaration.segments.iter().any(|known| known.name == def.name) {
        return Err((format!("the segment `{}` is declared twice", def.name), String::new()));
    }
    if declaration.segments.len() >= SEGMENTS_PER_AUTOMATION_MAX {
        return Err((
            format!("more than {SEGMENTS_PER_AUTOMATION_MAX} segments"),
            "put some into another script".into(),
        ));
    }
    declaration.segments.push(def);
    Ok(())
}

/// The segment of that name with the options of a call or a table.
///
/// # Errors
/// What is wrong, and what to write instead.
pub(crate) fn read(name: &str, rule: Option<&str>, options: &Map<String, Json>) -> Result<SegmentDef, Wrong> {
    let plain = |error: String| (error, String::new());
    if let Some(unknown) = options.keys().find(|key| !OPTIONS.contains(&key.as_str())) {
        let help = nearest(unknown, OPTIONS.into_iter())
            .map_or_else(|| format!("it takes {}", OPTIONS.join(", ")), |near| format!("did you mean `{near}`?"));
        return Err((format!("a segment has no option `{unknown}`"), help));
    }
    let option = |key: &str| options.get(key).map(|json| text(json, &format!("a text as `{key}`"))).transpose();
    let kind = match option("kind")? {
        None => SegmentKind::Live,
        Some(kind) => serde_json::from_value(Json::String(kind.to_owned())).map_err(|_| {
            (format!("`kind` cannot be `{kind}`"), format!("write one of {}", SegmentKind::NAMES.join(", ")))
        })?,
    };
    let object = Name::new(option("object")?.unwrap_or("customer")).map_err(|e| plain(e.to_string()))?;
    let every = option("every")?.map(str::parse).transpose();
    let zone = option("zone")?.map(str::parse).transpose();
    let def = SegmentDef {
        name: SegmentName::new(name).map_err(|e| plain(e.to_string()))?,
        title: option("title")?.unwrap_or_default().to_owned(),
        object,
        kind,
        rule: rule.map(str::trim).filter(|rule| !rule.is_empty()).map(str::to_owned),
        every: every.map_err(|e: rapport_model::cron::CronError| plain(e.to_string()))?,
        zone: zone.map_err(|e: rapport_model::zone::ZoneError| plain(e.to_string()))?,
    };
    match def.problem() {
        Some(problem) => Err((problem, String::new())),
        None => Ok(def),
    }
}
