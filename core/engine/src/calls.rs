//! The calls of a journal, numbered from 1: as they are shown to people, and cut off from one on.
//!
//! ```text
//! slice 0:  start(record, time)  1 get  2 update  3 sleep*
//! slice 1:  woken(sleep) time    4 find  5 create  6 wait_for*
//! cut at 5: slice 0 as it was;   slice 1: woken(sleep) time 4 find;   slices after it: empty, so that no number comes twice
//! ```

use serde_json::{Value as Json, json};

/// Calls that change nothing and reach nobody: done again, they only answer anew. All others count as something that was done.
const READS: [&str; 13] = [
    "count",
    "find",
    "get",
    "lock",
    "now",
    "random",
    "refresh",
    "scripts.run",
    "setting",
    "sleep",
    "sleep_until",
    "wait_any",
    "wait_for",
];
/// How much of an answer is shown.
const ANSWER_CHARS_MAX: usize = 200;

/// A call of a journal.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    /// Its number, from 1.
    pub(crate) number: usize,
    /// The slice that made it, from 0.
    pub(crate) slice: usize,
    /// Its name.
    pub(crate) name: String,
    /// The beginning of its arguments.
    pub(crate) about: String,
    /// What it returned; none: the run waits in it.
    pub(crate) answer: Option<Json>,
}

impl Call {
    /// Whether something was done by it that is done twice if it is called again.
    pub(crate) fn has_effect(&self) -> bool {
        let failed = self.answer.as_ref().is_some_and(|answer| answer.get("error").is_some());
        !failed && !READS.contains(&self.name.as_str())
    }

    pub(crate) fn to_json(&self) -> Json {
        let answer = self.answer.as_ref().map_or_else(|| "waits".into(), |answer| self.shown(answer));
        json!({ "n": self.number, "call": self.name, "about": self.about, "answer": answer, "slice": self.slice })
    }

    /// `4 update (["customer/…`.
    pub(crate) fn brief(&self) -> String {
        format!("{} {} ({})", self.number, self.name, self.about)
    }

    /// An answer in short.
    fn shown(&self, answer: &Json) -> Json {
        let text = match answer {
            Json::Null if self.name == "get" => "none".to_owned(),
            Json::Null => "done".to_owned(),
            Json::Array(rows) if self.name == "find" => format!("{} rows", rows.len()),
            Json::Array(pair) if self.name == "setting" => return pair.get(1).cloned().unwrap_or_default(),
            Json::Object(map) if map.is_empty() => "its time had come".to_owned(),
            _ => match (answer.get("error"), named(answer), answer.get("event")) {
                (Some(error), _, _) => format!("{}: {}", plain(&error["code"]), plain(&error["message"])),
                (_, Some(record), _) => record,
                (_, _, Some(event)) => format!("event {event}"),
                _ => answer.to_string(),
            },
        };
        if text.chars().count() <= ANSWER_CHARS_MAX {
            return text.into();
        }
        format!("{}…", text.chars().take(ANSWER_CHARS_MAX).collect::<String>()).into()
    }
}

fn plain(json: &Json) -> &str {
    json.as_str().unwrap_or_default()
}

/// A record as the journal has it, by its name.
fn named(answer: &Json) -> Option<String> {
    let (object, id) = (answer.get("o")?.as_str()?, answer.get("id")?.as_str()?);
    Some(format!("{object}/{id} at version {}", answer["v"]))
}

fn entries(slice: usize, text: &str) -> Result<Vec<Json>, String> {
    serde_json::from_str(text).map_err(|e| format!("the journal of slice {slice} does not read: {e}"))
}

/// The calls of a journal, slice by slice as the store has them.
///
/// # Errors
/// A text that says which slice is damaged.
pub(crate) fn calls(slices: &[String]) -> Result<Vec<Call>, String> {
    let mut all: Vec<Call> = Vec::new();
    for (slice, text) in slices.iter().enumerate() {
        for entry in entries(slice, text)? {
            if let (Some(answer), Some(last)) = (entry.get("w"), all.last_mut()) {
                last.answer = Some(answer.clone());
            }
            let Some(name) = entry.get("c").and_then(Json::as_str) else { continue };
            let waits = entry.get("p").is_some();
            all.push(Call {
                number: all.len() + 1,
                slice,
                name: name.to_owned(),
                about: entry["s"].as_str().unwrap_or_default().to_owned(),
                answer: (!waits).then(|| entry.get("r").cloned().unwrap_or_default()),
            });
        }
    }
    Ok(all)
}

/// The slices of a journal that ends before call `from`: those that change, by number. From 1 on, nothing stays: the run
/// begins anew, with the record of its event as it is now.
///
/// # Errors
/// A text that says which slice is damaged.
pub(crate) fn cut(slices: &[String], from: usize) -> Result<Vec<(i64, String)>, String> {
    let mut changed = Vec::new();
    let mut number = 0;
    for (slice, text) in slices.iter().enumerate() {
        let all = entries(slice, text)?;
        let count = all.len();
        let kept: Vec<Json> = all
            .into_iter()
            .take_while(|entry| {
                number += usize::from(entry.get("c").is_some());
                from > 1 && number < from
            })
            .collect();
        if kept.len() < count {
            number = number.max(from);
            changed.push((i64::try_from(slice).unwrap_or(i64::MAX), Json::Array(kept).to_string()));
        }
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal() -> Vec<String> {
        let slices = [
            json!([{"t": 1}, {"record": null}, {"c": "get", "s": "a", "r": 1}, {"c": "update", "s": "b", "r": null}, {"c": "sleep", "p": {}}]),
            json!([{"w": {}}, {"t": 2}, {"c": "emit", "s": "c", "r": {"error": {}}}, {"c": "ask", "p": {}}]),
            json!([{"w": {"choice": "x"}}, {"t": 3}, {"c": "sleep", "p": {}}]),
        ];
        slices.map(|slice| slice.to_string()).to_vec()
    }

    #[test]
    fn calls_are_numbered_over_all_slices_and_know_their_answers() {
        let all = calls(&journal()).unwrap();
        let brief: Vec<_> = all.iter().map(|c| (c.number, c.slice, c.name.as_str(), c.has_effect())).collect();
        let want = [
            (1, 0, "get", false),
            (2, 0, "update", true),
            (3, 0, "sleep", false),
            (4, 1, "emit", false),
            (5, 1, "ask", true),
            (6, 2, "sleep", false),
        ];
        assert_eq!(brief, want);
        assert_eq!((&all[4].answer, &all[5].answer), (&Some(json!({"choice": "x"})), &None));
        assert!(calls(&["{".to_owned()]).is_err());
    }

    #[test]
    fn a_cut_keeps_what_came_before_and_empties_the_rest() {
        let before = journal();
        let after = |from| {
            let mut slices = before.clone();
            for (slice, text) in cut(&before, from).unwrap() {
                slices[usize::try_from(slice).unwrap()] = text;
            }
            slices
        };
        for from in 2..=6 {
            assert_eq!(calls(&after(from)).unwrap().len(), from - 1, "{from}");
        }
        assert_eq!(after(1), ["[]", "[]", "[]"]);
        let first = json!([{"t": 1}, {"record": null}, {"c": "get", "s": "a", "r": 1}]);
        assert_eq!(after(2)[0], first.to_string());
        // The answer that woke the run belongs to the call before.
        assert_eq!(after(4)[1..], [json!([{"w": {}}, {"t": 2}]).to_string(), "[]".to_owned()]);
        assert!(cut(&before, 7).unwrap().is_empty());
    }
}
