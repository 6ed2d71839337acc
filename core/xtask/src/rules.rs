//! The rules of house style that no compiler checks: sizes, and words that must not stand in production code.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::source::{self, Kind, Token};
use crate::workspace;

#[cfg(test)]
mod tests;

/// The most lines with code between the braces of a function.
const FUNCTION_LINES_MAX: usize = 70;
/// The most lines of a file, the tests in it not counted.
const FILE_LINES_MAX: usize = 500;

/// A place that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) path: PathBuf,
    pub(crate) line: usize,
    pub(crate) message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line, self.message)
    }
}

/// Everything in the Rust files below `root` that breaks a rule.
///
/// # Errors
/// If a file cannot be read.
pub(crate) fn violations(root: &Path) -> Result<Vec<Violation>> {
    let mut found = Vec::new();
    for path in workspace::files(root, "rs")? {
        let text =
            std::fs::read_to_string(root.join(&path)).with_context(|| format!("cannot read {}", path.display()))?;
        found.extend(check(&path, &text));
    }
    Ok(found)
}

/// Whether the whole file is test code: integration tests, benches, and the test modules that have files of their own.
pub(crate) fn is_test_file(path: &Path) -> bool {
    let folders = ["tests", "benches", "proptests"];
    let named = |name: &str| folders.contains(&name) || name == "tests.rs" || name.ends_with("_tests.rs");
    path.components().any(|c| c.as_os_str().to_str().is_some_and(named))
}

/// What in one file breaks a rule.
fn check(path: &Path, text: &str) -> Vec<Violation> {
    let all = source::tokens(text);
    let production = if is_test_file(path) { Vec::new() } else { source::production(&all) };
    let mut found = Vec::new();
    let mut report = |line, message| found.push(Violation { path: path.to_path_buf(), line, message });
    if path.file_name().is_some_and(|name| name == "mod.rs") {
        report(1, "a module is `name.rs`, not `name/mod.rs`".to_owned());
    }
    for function in source::functions(&all).into_iter().filter(|f| f.lines > FUNCTION_LINES_MAX) {
        let message =
            format!("`{}` has {} lines, at most {FUNCTION_LINES_MAX} are allowed", function.name, function.lines);
        report(function.line, message);
    }
    let lines = production_lines(text, &all);
    if lines > FILE_LINES_MAX && !is_test_file(path) {
        report(1, format!("{lines} lines of production code, at most {FILE_LINES_MAX} are allowed: split it"));
    }
    for (line, message) in words(&all).into_iter().chain(unwraps(&production)) {
        report(line, message);
    }
    found
}

/// The lines of a file outside its tests, comments and blank lines included.
fn production_lines(text: &str, tokens: &[Token<'_>]) -> usize {
    let tests = source::test_items(tokens).into_iter().map(|item| &tokens[item]);
    let lines: usize = tests.map(|item| item[item.len() - 1].last_line + 1 - item[0].line).sum();
    text.lines().count() - lines
}

/// Words that must stand nowhere, tests included.
fn words(tokens: &[Token<'_>]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (i, token) in tokens.iter().enumerate() {
        if token.kind == Kind::Comment {
            let marks = ["TODO", "FIXME", "XXX", "HACK"];
            let said = token.text.split(|c: char| !c.is_alphanumeric()).find(|w| marks.contains(w));
            found.extend(said.map(|word| (token.line, format!("`{word}`: file an issue instead"))));
            continue;
        }
        let following = |n: usize| tokens.get(i + n).copied();
        if (token.is("todo") || token.is("unimplemented")) && following(1).is_some_and(|t| t.is("!")) {
            found.push((token.line, format!("`{}!` is a stub", token.text)));
        }
        let attribute = token.is("#") && following(1).is_some_and(|t| t.is("[") || t.is("!"));
        if attribute && let Some(allow) = attribute_word(&tokens[i..], "allow") {
            found.push((allow, "waive a lint with `#[expect(lint, reason = \"…\")]`, not `allow`".to_owned()));
        }
        if attribute && let Some(line) = attribute_word(&tokens[i..], "ignore") {
            found.push((line, "a test is never ignored".to_owned()));
        }
    }
    found
}

/// The line where `word` stands as a name of its own (not a value) in the attribute that `tokens` begin with.
fn attribute_word(tokens: &[Token<'_>], word: &str) -> Option<usize> {
    let end = tokens.iter().position(|t| t.is("]"))?;
    tokens[..end].iter().find(|t| t.is(word)).map(|t| t.line)
}

/// Calls of `unwrap` in production code.
fn unwraps(production: &[Token<'_>]) -> Vec<(usize, String)> {
    let code: Vec<Token<'_>> = production.iter().copied().filter(|t| t.kind != Kind::Comment).collect();
    let called = code.windows(3).filter(|w| w[0].is(".") && w[1].is("unwrap") && w[2].is("("));
    called
        .map(|w| (w[1].line, "`unwrap` outside tests: return an error, or `expect` with the proof".to_owned()))
        .collect()
}
