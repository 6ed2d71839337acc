//! Reads a scenario's JSON. What does not fit is refused with its place, and a key that nobody knows with the nearest one.

mod call;
mod request;
mod stub;

use std::collections::BTreeMap;

use rapport_model::nearest::nearest;
use rapport_model::{RunStatus, Timestamp};
use serde_json::{Map, Value as Json};

use super::{
    Expect, ExpectCount, ExpectEvents, ExpectRecord, ExpectRuns, Given, Migrate, Operation, Person, Scenario, Step,
    What, Write, below,
};
use crate::ingest::Incoming;
use crate::key::split_subject;

/// The most steps, and the most records, of one scenario.
const ENTRIES_MAX: usize = 10_000;
/// Who reports a scenario's events, unless they say so themselves.
const SOURCE: &str = "scenario";
/// What ids and random numbers follow from, unless the scenario says.
const SEED: &str = "rapport";
/// What a person in a scenario may do, unless the scenario says.
const ROLE: &str = "operator";

/// A part of a scenario that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", if pointer.is_empty() { "the scenario" } else { pointer })]
pub struct ScenarioError {
    /// Where it stands, as a JSON pointer.
    pub pointer: String,
    /// What is wrong with it, and what would be right.
    pub message: String,
}

type Read<T> = Result<T, ScenarioError>;

fn wrong<T>(pointer: &str, message: impl Into<String>) -> Read<T> {
    Err(ScenarioError { pointer: pointer.to_owned(), message: message.into() })
}

/// A JSON object whose members are taken by name.
struct Members<'a> {
    map: &'a Map<String, Json>,
    pointer: String,
}

impl<'a> Members<'a> {
    fn of(json: &'a Json, pointer: &str) -> Read<Self> {
        match json.as_object() {
            Some(map) => Ok(Self { map, pointer: pointer.to_owned() }),
            None => wrong(pointer, format!("expected an object, got {}", brief(json))),
        }
    }

    /// Refuses members that are not in `known`.
    fn only(&self, known: &[&str]) -> Read<()> {
        let Some(name) = self.map.keys().find(|name| !known.contains(&name.as_str())) else { return Ok(()) };
        let hint = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are {}", known.join(", ")),
        };
        wrong(&self.place(name), format!("there is no `{}` here; {hint}", name.chars().take(64).collect::<String>()))
    }

    fn place(&self, name: &str) -> String {
        below(&self.pointer, name)
    }

    fn get(&self, name: &str) -> Option<&'a Json> {
        self.map.get(name).filter(|json| !json.is_null())
    }

    fn text(&self, name: &str) -> Read<Option<&'a str>> {
        let Some(json) = self.get(name) else { return Ok(None) };
        match json.as_str() {
            Some(text) => Ok(Some(text)),
            None => wrong(&self.place(name), format!("expected a text, got {}", brief(json))),
        }
    }

    fn needed(&self, name: &str) -> Read<&'a str> {
        match self.text(name)? {
            Some(text) => Ok(text),
            None => wrong(&self.pointer, format!("`{name}` is missing")),
        }
    }

    fn instant(&self, name: &str) -> Read<Option<Timestamp>> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match text.parse() {
            Ok(instant) => Ok(Some(instant)),
            Err(why) => wrong(&self.place(name), format!("{why}")),
        }
    }

    fn count(&self, name: &str) -> Read<u64> {
        match self.get(name).map(Json::as_u64) {
            Some(Some(count)) => Ok(count),
            _ => wrong(&self.place(name), "expected a whole number, 0 or more"),
        }
    }

    fn list(&self, name: &str) -> Read<&'a [Json]> {
        match self.get(name) {
            None => Ok(&[]),
            Some(Json::Array(items)) if items.len() <= ENTRIES_MAX => Ok(items),
            Some(Json::Array(_)) => wrong(&self.place(name), format!("has more than {ENTRIES_MAX} entries")),
            Some(other) => wrong(&self.place(name), format!("expected a list, got {}", brief(other))),
        }
    }

    fn texts(&self, name: &str) -> Read<Vec<String>> {
        let mut texts = Vec::new();
        for (i, item) in self.list(name)?.iter().enumerate() {
            match item.as_str() {
                Some(text) => texts.push(text.to_owned()),
                None => return wrong(&below(&self.place(name), &i.to_string()), "expected a text"),
            }
        }
        Ok(texts)
    }
}

fn brief(json: &Json) -> String {
    let text = json.to_string();
    if text.chars().count() <= 40 { text } else { format!("{}…", text.chars().take(40).collect::<String>()) }
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// [`ScenarioError`] for the first part that does not fit, with its place.
    pub fn read(json: &Json) -> Result<Self, ScenarioError> {
        let all = Members::of(json, "")?;
        all.only(&["plugins", "scripts", "settings", "records", "steps", "seed", "actor"])?;
        let mut steps = Vec::new();
        let mut last = None;
        for (i, step) in all.list("steps")?.iter().enumerate() {
            let place = below("/steps", &i.to_string());
            let step = read_step(&Members::of(step, &place)?, i)?;
            if let (Some(before), Some(at)) = (last, step.at)
                && at < before
            {
                return wrong(&below(&place, "at"), format!("{at} is before {before}: time only goes forward"));
            }
            last = step.at.or(last);
            steps.push(step);
        }
        if steps.is_empty() {
            return wrong("/steps", "there are no steps, so nothing is tested");
        }
        Ok(Self {
            plugins: all.texts("plugins")?,
            scripts: all.texts("scripts")?,
            settings: read_settings(&all)?,
            records: read_records(&all)?,
            steps,
            seed: read_seed(&all)?,
            actor: read_actor(&all)?,
        })
    }
}

fn read_settings(all: &Members<'_>) -> Read<BTreeMap<String, Map<String, Json>>> {
    let Some(json) = all.get("settings") else { return Ok(BTreeMap::new()) };
    let place = all.place("settings");
    let mut settings = BTreeMap::new();
    for (automation, values) in Members::of(json, &place)?.map {
        let values = Members::of(values, &below(&place, automation))?;
        settings.insert(automation.clone(), values.map.clone());
    }
    Ok(settings)
}

fn read_records(all: &Members<'_>) -> Read<Vec<Given>> {
    let mut records = Vec::new();
    for (i, json) in all.list("records")?.iter().enumerate() {
        let given = Members::of(json, &below("/records", &i.to_string()))?;
        let object = given.needed("object")?.to_owned();
        let fields = given.map.iter().filter(|(name, _)| *name != "object");
        records.push(Given { object, fields: fields.map(|(name, value)| (name.clone(), value.clone())).collect() });
    }
    Ok(records)
}

fn read_seed(all: &Members<'_>) -> Read<String> {
    match all.get("seed") {
        None => Ok(SEED.to_owned()),
        Some(Json::String(text)) => Ok(text.clone()),
        Some(Json::Number(number)) => Ok(number.to_string()),
        Some(other) => wrong("/seed", format!("expected a number or a text, got {}", brief(other))),
    }
}

fn read_actor(all: &Members<'_>) -> Read<Person> {
    let (name, roles) = match all.get("actor") {
        None => return Ok(Person::System),
        Some(Json::String(text)) if text == "system" => return Ok(Person::System),
        Some(Json::String(text)) => (text.strip_prefix("user:"), vec![ROLE.to_owned()]),
        Some(json) => {
            let person = Members::of(json, "/actor")?;
            person.only(&["user", "roles"])?;
            let roles = person.texts("roles")?;
            (person.text("user")?, if roles.is_empty() { vec![ROLE.to_owned()] } else { roles })
        }
    };
    match name.filter(|name| !name.is_empty()) {
        Some(name) => Ok(Person::User { name: name.to_owned(), roles }),
        None => wrong("/actor", "expected `system`, `user:NAME`, or {\"user\": NAME, \"roles\": […]}"),
    }
}

/// The kinds of steps.
const KINDS: [&str; 9] = ["event", "write", "call", "request", "migrate", "expect", "crash", "http", "answer"];

fn read_step(step: &Members<'_>, index: usize) -> Read<Step> {
    step.only(&["at", "event", "write", "call", "request", "migrate", "expect", "crash", "http", "answer"])?;
    let at = step.instant("at")?;
    let given: Vec<&str> = KINDS.into_iter().filter(|kind| step.get(kind).is_some()).collect();
    let json = given.first().and_then(|kind| step.get(kind)).unwrap_or(&Json::Null);
    let place = given.first().map(|kind| step.place(kind)).unwrap_or_default();
    let what = match given.as_slice() {
        [] if at.is_some() => What::Pass,
        [] => return wrong(&step.pointer, format!("says nothing: give it one of {}, or `at`", KINDS.join(", "))),
        ["call"] | ["call", "expect"] => What::Call(call::read(step)?),
        ["request"] | ["request", "expect"] => What::Request(Box::new(request::read(step)?)),
        ["migrate"] => read_migrate(&Members::of(json, &place)?)?,
        ["event"] => What::Event(read_event(&Members::of(json, &place)?, index)?),
        ["write"] => What::Write(read_write(&Members::of(json, &place)?)?),
        ["expect"] => What::Expect(read_expect(&Members::of(json, &place)?)?),
        ["crash"] if *json == Json::Bool(true) => What::Crash,
        ["crash"] => return wrong(&place, "write {\"crash\": true}"),
        ["http"] => What::Http(stub::read(&Members::of(json, &place)?)?),
        ["answer"] => read_answer(&Members::of(json, &place)?)?,
        several => {
            let kinds = several.join("` and `");
            return wrong(&step.pointer, format!("holds `{kinds}`: make a step of each"));
        }
    };
    Ok(Step { at, what })
}

fn owned((name, value): (&String, &Json)) -> (String, Json) {
    (name.clone(), value.clone())
}

fn read_migrate(migrate: &Members<'_>) -> Read<What> {
    migrate.only(&["plugin", "from"])?;
    let plugin = migrate.text("plugin")?.map(str::to_owned);
    Ok(What::Migrate(Migrate { plugin, from: migrate.needed("from")?.to_owned() }))
}

fn read_answer(answer: &Members<'_>) -> Read<What> {
    answer.only(&["task", "choice"])?;
    let number = answer.get("task").and_then(Json::as_u64).and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
    let Some(number) = number else {
        return wrong(
            &answer.place("task"),
            "expected the number of the task, from 1 in the order in which they were made",
        );
    };
    Ok(What::Answer(number, answer.needed("choice")?.to_owned()))
}

fn read_event(event: &Members<'_>, index: usize) -> Read<Incoming> {
    event.only(&["specversion", "id", "source", "type", "subject", "time", "data"])?;
    Ok(Incoming {
        source: event.text("source")?.unwrap_or(SOURCE).to_owned(),
        id: event.text("id")?.map_or_else(|| format!("step-{}", index + 1), str::to_owned),
        kind: event.needed("type")?.to_owned(),
        subject: event.text("subject")?.map(str::to_owned),
        time: event.instant("time")?,
        data: event.get("data").cloned().unwrap_or_default(),
    })
}

fn read_write(write: &Members<'_>) -> Read<Write> {
    write.only(&["object", "op", "key", "record", "fields"])?;
    let named = write.text("record")?;
    let named = match named.map(|text| (text, split_subject(text))) {
        Some((_, Some(both))) => Some(both),
        Some((text, None)) => return wrong(&write.place("record"), not_a_record(text)),
        None => None,
    };
    let Some(object) = write.text("object")?.or(named.map(|(object, _)| object)) else {
        return wrong(&write.pointer, "`object` is missing");
    };
    let fields = write.get("fields").cloned().unwrap_or_else(|| Json::Object(Map::new()));
    let key = match (write.text("key")?, named) {
        (Some(key), _) => Some(key.to_owned()),
        (None, named) => named.map(|(_, key)| key.to_owned()),
    };
    let needs = |what: &str| match &key {
        Some(key) => Ok(key.clone()),
        None => wrong(&write.pointer, format!("`{what}` needs a `key`: an id, or FIELD:VALUE of a unique field")),
    };
    let operation = match write.needed("op")? {
        "create" => Operation::Create,
        "update" => Operation::Update(needs("update")?),
        "upsert" => Operation::Upsert(needs("upsert")?),
        "delete" => Operation::Delete(needs("delete")?),
        other => {
            let message = format!("`{}` is no operation: use create, update, upsert or delete", brief_text(other));
            return wrong(&write.place("op"), message);
        }
    };
    Ok(Write { object: object.to_owned(), operation, fields })
}

fn brief_text(text: &str) -> String {
    text.chars().take(64).collect()
}

fn not_a_record(text: &str) -> String {
    format!("`{}` names no record: write OBJECT/KEY, such as customer/customer_no:1", brief_text(text))
}

fn read_expect(expect: &Members<'_>) -> Read<Expect> {
    let known = ["record", "fields", "exists", "count", "runs", "events", "tasks", "messages", "effects"];
    expect.only(&known)?;
    if expect.map.is_empty() {
        return wrong(&expect.pointer, format!("expects nothing: there are {}", known.join(", ")));
    }
    let list = |name: &str| match expect.get(name) {
        None => Ok(None),
        Some(_) => Ok(Some(expect.list(name)?.to_vec())),
    };
    Ok(Expect {
        record: read_expected_record(expect)?,
        counts: read_counts(expect)?,
        runs: read_runs(expect)?,
        events: read_events(expect)?,
        tasks: list("tasks")?,
        messages: list("messages")?,
        effects: list("effects")?,
    })
}

fn read_expected_record(expect: &Members<'_>) -> Read<Option<ExpectRecord>> {
    let Some(text) = expect.text("record")? else {
        return match ["fields", "exists"].into_iter().find(|name| expect.get(name).is_some()) {
            Some(name) => wrong(&expect.place(name), "goes with `record`"),
            None => Ok(None),
        };
    };
    let Some((object, key)) = split_subject(text) else { return wrong(&expect.place("record"), not_a_record(text)) };
    let fields = match expect.get("fields") {
        Some(json) => Members::of(json, &expect.place("fields"))?.map.clone(),
        None => Map::new(),
    };
    let fields = match expect.get("exists") {
        None | Some(Json::Bool(true)) => Some(fields),
        Some(Json::Bool(false)) if fields.is_empty() => None,
        Some(Json::Bool(false)) => return wrong(&expect.place("fields"), "a record that is not there has no fields"),
        Some(other) => return wrong(&expect.place("exists"), format!("expected true or false, got {}", brief(other))),
    };
    Ok(Some(ExpectRecord { object: object.to_owned(), key: key.to_owned(), fields }))
}

fn read_counts(expect: &Members<'_>) -> Read<Vec<ExpectCount>> {
    let place = expect.place("count");
    let (items, several) = match expect.get("count") {
        None => return Ok(Vec::new()),
        Some(Json::Array(items)) => (items.as_slice(), Some(())),
        Some(one) => (std::slice::from_ref(one), None),
    };
    let mut counts = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let pointer = several.map_or_else(|| place.clone(), |()| below(&place, &i.to_string()));
        let count = Members::of(item, &pointer)?;
        count.only(&["object", "where", "n"])?;
        let object = count.needed("object")?.to_owned();
        let filter = count.text("where")?.map(str::to_owned);
        counts.push(ExpectCount { count: count.count("n")?, pointer, object, filter });
    }
    Ok(counts)
}

/// `{"dead": 0}` for all runs, `{"points": {"completed": 1}}` for those of one automation.
fn read_runs(expect: &Members<'_>) -> Read<Vec<ExpectRuns>> {
    let Some(json) = expect.get("runs") else { return Ok(Vec::new()) };
    let all = Members::of(json, &expect.place("runs"))?;
    let mut found = Vec::new();
    for (name, value) in all.map {
        if value.is_object() {
            let own = Members::of(value, &all.place(name))?;
            for status in own.map.keys() {
                found.push(read_run_count(&own, status, Some(name.clone()))?);
            }
        } else {
            found.push(read_run_count(&all, name, None)?);
        }
    }
    Ok(found)
}

fn read_run_count(counts: &Members<'_>, name: &str, automation: Option<String>) -> Read<ExpectRuns> {
    let pointer = counts.place(name);
    let Some(status) = RunStatus::parse(name) else {
        let all = RunStatus::ALL.map(RunStatus::as_str);
        let hint = match nearest(name, all.into_iter()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("use one of {}", all.join(", ")),
        };
        return wrong(&pointer, format!("`{}` is no state of a run; {hint}", brief_text(name)));
    };
    Ok(ExpectRuns { count: counts.count(name)?, pointer, automation, status })
}

/// A list of events, or `{"type": "tier.*", "list": […]}` for those of one type.
fn read_events(expect: &Members<'_>) -> Read<Option<ExpectEvents>> {
    match expect.get("events") {
        None => Ok(None),
        Some(json @ Json::Object(_)) => {
            let some = Members::of(json, &expect.place("events"))?;
            some.only(&["type", "list"])?;
            let kind = Some(some.needed("type")?.to_owned());
            Ok(Some(ExpectEvents { kind, events: some.list("list")?.to_vec() }))
        }
        Some(_) => Ok(Some(ExpectEvents { kind: None, events: expect.list("events")?.to_vec() })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(step: &Json) -> String {
        Scenario::read(&json!({ "steps": [step] })).unwrap_err().to_string()
    }

    #[test]
    fn a_wrong_key_is_named_with_its_place_and_the_nearest() {
        let error = Scenario::read(&json!({"scirpts": [], "steps": []})).unwrap_err();
        assert_eq!(error.to_string(), "/scirpts: there is no `scirpts` here; did you mean `scripts`?");
        let text = refused(&json!({"event": {"type": "order.paid", "subjcet": "x"}}));
        assert_eq!(text, "/steps/0/event/subjcet: there is no `subjcet` here; did you mean `subject`?");
        let text = refused(&json!({"expect": {"runs": {"ded": 0}}}));
        assert_eq!(text, "/steps/0/expect/runs/ded: `ded` is no state of a run; did you mean `dead`?");
    }

    #[test]
    fn a_step_does_one_thing() {
        assert!(refused(&json!({"crash": true, "expect": {"tasks": []}})).contains("`expect` and `crash`"));
        assert!(refused(&json!({})).contains("says nothing"));
        assert!(refused(&json!({"write": {"object": "order", "op": "update"}})).contains("needs a `key`"));
        assert!(refused(&json!({"write": {"object": "order", "op": "upadte"}})).contains("no operation"));
    }

    #[test]
    fn a_step_that_does_not_read_is_refused_with_its_place() {
        assert!(refused(&json!({"http": {"match": "POST https://a"}})).starts_with("/steps/0/http: "));
        assert!(
            refused(&json!({"http": {"match": "https://a", "fail": "timeout"}})).starts_with("/steps/0/http/match: ")
        );
        assert!(refused(&json!({"http": {"match": "GET https://a", "fail": "x"}})).starts_with("/steps/0/http/fail: "));
        assert!(refused(&json!({"answer": {"task": 0, "choice": "x"}})).starts_with("/steps/0/answer/task: "));
        assert!(refused(&json!({"expect": {"messages": {}}})).starts_with("/steps/0/expect/messages: "));
        assert!(Scenario::read(&json!({"steps": [{"expect": {"messages": [], "effects": []}}]})).is_ok());
    }

    #[test]
    fn time_only_goes_forward() {
        let steps = json!([{"at": "2026-03-02T00:00:00Z"}, {"crash": true}, {"at": "2026-03-01T00:00:00Z"}]);
        let error = Scenario::read(&json!({ "steps": steps })).unwrap_err();
        assert_eq!(error.pointer, "/steps/2/at");
        assert!(refused(&json!({"at": "tomorrow"})).contains("write it as"));
    }
}
