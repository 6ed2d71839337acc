//! The lines of a script that can have made a change.
//!
//! A trace does not know lines. But a write names its field, or its object, in the text: the lines that name it are few,
//! mostly one. A field whose name is computed is not found so, and then no line is named.

use rapport_model::Event;

/// What declares, and never writes.
const DECLARATIONS: [&str; 11] = [
    "invocable(",
    "on(",
    "on_change(",
    "uses(",
    "field(",
    "rollup(",
    "formula(",
    "setting(",
    "event_type(",
    "every(",
    "each(",
];
/// The most lines that are named.
const LINES_MAX: usize = 8;

/// The lines of `script`, from 1, that can have appended `event`: those that name a changed field, create or delete a record
/// of its object, or report its type.
pub(super) fn writing(script: &str, event: &Event) -> Vec<u32> {
    let words = words(event);
    let code = script.lines().zip(1_u32..).filter(|(line, _)| {
        let line = line.trim_start();
        !line.starts_with("//") && !DECLARATIONS.iter().any(|d| line.starts_with(d))
    });
    let naming = code.filter(|(line, _)| words.iter().any(|word| word.stands_in(line)));
    naming.map(|(_, number)| number).take(LINES_MAX).collect()
}

/// What a line that did it has in it.
enum Word {
    /// `"points"`, or `points:` as a key of a map.
    Field(String),
    /// One of these calls, and this text in quotes.
    Call(&'static [&'static str], String),
}

impl Word {
    fn stands_in(&self, line: &str) -> bool {
        match self {
            Self::Field(name) => {
                let key = |at: usize| {
                    let before = line[..at].chars().next_back();
                    !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '"'))
                        && line[at + name.len()..].trim_start().starts_with(':')
                };
                is_quoted(line, name) || line.match_indices(name.as_str()).any(|(at, _)| key(at))
            }
            Self::Call(calls, name) => calls.iter().any(|call| line.contains(call)) && is_quoted(line, name),
        }
    }
}

fn is_quoted(line: &str, name: &str) -> bool {
    ["\"", "`"].iter().any(|quote| line.contains(&format!("{quote}{name}{quote}")))
}

fn words(event: &Event) -> Vec<Word> {
    let Some(change) = event.change() else {
        let invoked = crate::invoked::started_by(event).map(|found| match crate::actions::call_in(event) {
            Some(call) => format!("{}.{}", found.automation, call.action),
            None => found.automation.to_string(),
        });
        return match invoked {
            Some(name) => vec![Word::Call(&["invoke("], name)],
            None => vec![Word::Call(&["emit("], event.kind.as_str().to_owned())],
        };
    };
    let object = event.subject.as_ref().map(|s| s.object.to_string()).unwrap_or_default();
    if change.before.is_empty() && !change.after.is_empty() {
        return vec![Word::Call(&["create(", "upsert("], object)];
    }
    if change.after.is_empty() {
        return vec![Word::Call(&["delete("], object)];
    }
    change.after.iter().map(|(name, _)| Word::Field(name.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use rapport_model::event::{Body, RecordChange, Subject};
    use rapport_model::{Actor, EventType, Name, RecordId, Timestamp, Value};

    use super::*;

    const SCRIPT: &str = "//! Sets \"points\".\non(\"order.created\");\nfield(\"customer\", \"points\", \"integer\", #{});\n\
         fn run(event) {\n    let had = event.record.points;\n    increment(event.record, \"points\", 1);\n    \
         update(event.record, #{ extra_points: 2, city : \"x\" });\n    create(\"order\", #{ order_no: \"1\" });\n}\n";

    fn event(kind: &str, before: &[&str], after: &[&str]) -> Event {
        let fields = |names: &[&str]| names.iter().map(|n| (Name::new(n).unwrap(), Value::Int(1))).collect();
        let change = RecordChange { before: fields(before), after: fields(after), delta: Vec::new() };
        let object = Name::new(kind.split('.').next().unwrap()).unwrap();
        Event {
            position: 1,
            origin: None,
            kind: EventType::new(kind).unwrap(),
            subject: Some(Subject { object, id: RecordId::from_parts(0, [1; 10]) }),
            lane: None,
            time: Timestamp::EPOCH,
            recorded_at: Timestamp::EPOCH,
            actor: Actor::System,
            run: None,
            cause: None,
            depth: 0,
            body: Some(Body::Change(change)),
        }
    }

    #[test]
    fn a_write_is_found_where_it_names_its_field() {
        assert_eq!(writing(SCRIPT, &event("customer.updated", &["points"], &["points"])), [6]);
        assert_eq!(writing(SCRIPT, &event("customer.updated", &["city"], &["city"])), [7]);
        assert_eq!(writing(SCRIPT, &event("order.created", &[], &["order_no"])), [8]);
    }

    #[test]
    fn what_the_text_does_not_name_has_no_line() {
        assert!(writing(SCRIPT, &event("customer.updated", &["name"], &["name"])).is_empty());
        assert!(writing(SCRIPT, &event("order.deleted", &["order_no"], &[])).is_empty());
    }
}
