//! What became of the rows, and the table at the end.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use crate::output::table;

/// The most reasons told apart.
const REASONS_MAX: usize = 50;

/// Rows by what became of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    pub(super) rows: u64,
    pub(super) created: u64,
    pub(super) updated: u64,
    pub(super) unchanged: u64,
    pub(super) refused: u64,
    /// Refused rows by code and field, each with the first message.
    pub(super) reasons: BTreeMap<String, Reason>,
}

/// A reason why rows were refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reason {
    pub(super) rows: u64,
    pub(super) example: String,
}

/// Counts on their way.
pub(super) struct Tally {
    counts: Counts,
    /// Rows that an earlier attempt did: they took no time of this one.
    before: u64,
    /// Where the server's log stood after the last batch.
    head: i64,
    preview: BTreeMap<String, Map<String, Json>>,
}

impl Tally {
    /// Goes on from `counts`, when the server's log stood at `head`.
    pub(super) fn resume(counts: Counts, head: i64) -> Self {
        Self { before: counts.rows, counts, head, preview: BTreeMap::new() }
    }

    /// Where the server's log stood after the last batch.
    pub(super) const fn head(&self) -> i64 {
        self.head
    }

    /// What became of the rows so far.
    pub(super) fn counts(&self) -> Counts {
        self.counts.clone()
    }

    /// Adds the server's answer to a batch; its refused rows are added one by one.
    pub(super) fn add(&mut self, answer: &Json) {
        let number = |name: &str| answer[name].as_u64().unwrap_or(0);
        self.head = answer["head"].as_i64().unwrap_or(self.head);
        self.counts.rows += number("rows") - number("refused").min(number("rows"));
        self.counts.created += number("created");
        self.counts.updated += number("updated");
        self.counts.unchanged += number("unchanged");
        for line in answer["preview"].as_array().map_or(&[][..], Vec::as_slice) {
            let sums = self.preview.entry(line["automation"].as_str().unwrap_or_default().to_owned()).or_default();
            for name in ["runs", "writes", "events", "sent", "failures"] {
                let sum = sums.get(name).and_then(Json::as_u64).unwrap_or(0) + line[name].as_u64().unwrap_or(0);
                sums.insert(name.to_owned(), sum.into());
            }
        }
    }

    /// Counts a refused row.
    pub(super) fn refuse(&mut self, code: &str, pointer: Option<&str>, message: &str) {
        self.counts.rows += 1;
        self.counts.refused += 1;
        let mut key = [code, pointer.unwrap_or_default()].join(" ").trim_end().to_owned();
        if self.counts.reasons.len() >= REASONS_MAX && !self.counts.reasons.contains_key(&key) {
            "others".clone_into(&mut key);
        }
        let reason = self.counts.reasons.entry(key).or_default();
        if reason.rows == 0 {
            reason.example = message.chars().take(200).collect();
        }
        reason.rows += 1;
    }

    /// The whole as JSON.
    pub(super) fn summary(&self, took: Duration) -> Json {
        let counts = &self.counts;
        let reasons: Vec<Json> = counts
            .reasons
            .iter()
            .map(|(reason, r)| json!({"reason": reason, "rows": r.rows, "example": r.example}))
            .collect();
        let preview: Vec<Json> = self
            .preview
            .iter()
            .map(|(automation, sums)| {
                let mut line = sums.clone();
                line.insert("automation".to_owned(), automation.as_str().into());
                Json::Object(line)
            })
            .collect();
        let rows = counts.rows - self.before;
        json!({
            "rows": counts.rows,
            "created": counts.created,
            "updated": counts.updated,
            "unchanged": counts.unchanged,
            "refused": counts.refused,
            "refused_by_reason": reasons,
            "preview": preview,
            "seconds": (took.as_secs_f64() * 1_000.0).round() / 1_000.0,
            "rows_per_second": per_second(rows, took),
        })
    }
}

fn per_second(rows: u64, took: Duration) -> u64 {
    let micros = took.as_micros().max(1);
    u64::try_from(u128::from(rows) * 1_000_000 / micros).unwrap_or(u64::MAX)
}

/// The summary as tables.
pub(super) fn people(summary: &Json) -> String {
    let row = |name: &str, member: &str| vec![name.to_owned(), summary[member].to_string()];
    let mut rows = vec![
        row("rows", "rows"),
        row("created", "created"),
        row("updated", "updated"),
        row("unchanged", "unchanged"),
        row("refused", "refused"),
    ];
    for reason in summary["refused_by_reason"].as_array().map_or(&[][..], Vec::as_slice) {
        rows.push(vec![format!("  {}", reason["example"].as_str().unwrap_or_default()), reason["rows"].to_string()]);
    }
    rows.push(row("seconds", "seconds"));
    rows.push(row("rows/s", "rows_per_second"));
    let mut text = table(&["", ""], rows);
    let preview = summary["preview"].as_array().map_or(&[][..], Vec::as_slice);
    if !preview.is_empty() {
        let columns = ["automation", "runs", "writes", "events", "sent", "failures"];
        text.push_str("\n\nNothing was kept. Automations would have done:\n");
        text.push_str(&table(&columns, preview.iter().map(|line| crate::output::cells(line, &columns))));
    }
    if let Some(file) = summary["refused_file"].as_str() {
        text.push_str("\n\nRefused rows are in ");
        text.push_str(file);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Json {
        json!({"rows": 5, "created": 2, "updated": 1, "unchanged": 1, "refused": 1,
            "preview": [{"automation": "points", "runs": 2, "writes": 2, "events": 0, "failures": 0}]})
    }

    #[test]
    fn answers_and_refused_rows_add_up() {
        let mut tally = Tally::resume(Counts { rows: 10, created: 10, ..Counts::default() }, 1);
        tally.add(&answer());
        tally.refuse("invalid", Some("/customer"), "`customer` is required");
        let summary = tally.summary(Duration::from_secs(2));
        let part = |name: &str| summary[name].as_u64().unwrap();
        assert_eq!((part("rows"), part("created"), part("refused"), part("rows_per_second")), (15, 12, 1, 2));
        let reason = json!({"reason": "invalid /customer", "rows": 1, "example": "`customer` is required"});
        assert_eq!(summary["refused_by_reason"], json!([reason]));
    }

    #[test]
    fn reasons_are_bounded() {
        let mut tally = Tally::resume(Counts::default(), 1);
        for i in 0..200 {
            tally.refuse(&format!("code-{i}"), None, "no");
        }
        let reasons = tally.counts().reasons;
        assert_eq!((reasons.len(), reasons["others"].rows), (REASONS_MAX + 1, 150));
    }

    #[test]
    fn previews_of_batches_are_summed_and_shown() {
        let mut tally = Tally::resume(Counts::default(), 1);
        tally.add(&answer());
        tally.add(&answer());
        let summary = tally.summary(Duration::from_secs(1));
        assert_eq!(summary["preview"][0]["runs"], 4);
        assert!(people(&summary).contains("Nothing was kept"));
    }
}
