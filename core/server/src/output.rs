//! How commands write results: tables for people, JSON for programs.

use std::io::{self, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value as Json;

/// The most characters of a cell; the rest is cut with `…`.
const CELL_CHARS_MAX: usize = 80;

/// How results are written.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
}

impl Output {
    /// Tables, or JSON if `json`.
    #[must_use]
    pub const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether programs read the output.
    #[must_use]
    pub const fn is_json(self) -> bool {
        self.json
    }

    /// Writes `value` whole for programs, or what `people` makes of it for people.
    pub fn show(self, value: &Json, people: impl FnOnce(&Json) -> String) {
        let text = if self.json { pretty(value) } else { people(value) };
        line(text.trim_end());
    }

    /// Writes a list: for people a table of the named members of each item.
    pub fn list(self, value: &Json, columns: &[&str]) {
        self.show(value, |value| {
            let items = value.get("items").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
            let mut text = table(columns, items.iter().map(|item| cells(item, columns)));
            if let Some(next) = value.get("next").and_then(Json::as_str) {
                text.push_str("\nmore: --cursor ");
                text.push_str(next);
            }
            text
        });
    }

    /// Writes one thing: for people a line per member.
    pub fn one(self, value: &Json) {
        self.show(value, members);
    }
}

/// One thing as people read it: a line per member.
#[must_use]
pub fn members(value: &Json) -> String {
    match value {
        Json::Object(map) => table(&["", ""], map.iter().map(|(name, v)| vec![name.clone(), long_cell(v)])),
        other => cell(other),
    }
}

/// Writes a line to the standard output. A reader that went away (`| head`) is no error.
pub fn line(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// The named members of an item; `a.b` looks inside.
#[must_use]
pub fn cells(item: &Json, columns: &[&str]) -> Vec<String> {
    let find = |path: &str| path.split('.').try_fold(item, |value, name| value.get(name));
    columns.iter().map(|path| find(path).map(cell).unwrap_or_default()).collect()
}

/// A table with a head; a head of empty titles is left out.
#[must_use]
pub fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    if head.iter().any(|title| !title.is_empty()) {
        table.set_header(head.iter().map(|t| t.to_uppercase()));
    }
    for row in rows {
        table.add_row(row.iter().map(|c| plain(c)));
    }
    let lines: Vec<String> = table.lines().map(|l| l.trim_end().to_owned()).collect();
    lines.join("\n")
}

/// A value as one short line.
#[must_use]
pub fn cell(value: &Json) -> String {
    let text = long_cell(value);
    if text.chars().count() <= CELL_CHARS_MAX {
        return text;
    }
    format!("{}…", text.chars().take(CELL_CHARS_MAX).collect::<String>())
}

fn long_cell(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// `text` without characters that steer a terminal: data from outside must not paint or move.
#[must_use]
pub fn plain(text: &str) -> String {
    let steers = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if c != '\n' && steers(c) { '\u{fffd}' } else { c }).collect()
}

fn pretty(value: &Json) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_table_has_its_columns_aligned_under_their_titles() {
        let items = [json!({"id": "1", "a": {"b": 2}}), json!({"id": "long one", "a": null})];
        let columns = ["id", "a.b"];
        let text = table(&columns, items.iter().map(|i| cells(i, &columns)));
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        assert_eq!(lines, ["ID        A.B", "1         2", "long one"]);
    }

    #[test]
    fn a_cell_is_short() {
        assert_eq!(cell(&json!("x".repeat(100))).chars().count(), CELL_CHARS_MAX + 1);
        assert_eq!((cell(&Json::Null), cell(&json!([1]))), (String::new(), "[1]".into()));
    }

    #[test]
    fn control_characters_from_data_do_not_reach_the_terminal() {
        let text = table(&["name"], [vec!["\u{1b}]0;owned\u{7}\u{202e}x".to_owned()]]);
        assert!(!text.contains('\u{1b}') && !text.contains('\u{7}') && !text.contains('\u{202e}'));
    }
}
