//! Reads Rust source as tokens with their lines: enough to measure functions and to find words that must not stand there.
//!
//! It knows strings, raw strings, characters, lifetimes and nested comments, so that nothing inside them is taken for code. It
//! does not parse: whoever needs more than braces and names uses the compiler.

use std::ops::Range;

#[cfg(test)]
mod tests;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A name or keyword.
    Word,
    /// One character of punctuation.
    Mark,
    /// A string, character or number.
    Literal,
    /// A comment, documentation included.
    Comment,
}

/// A piece of source and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind,
    pub(crate) text: &'a str,
    /// The line of its first character, from 1.
    pub(crate) line: usize,
    /// The line of its last character.
    pub(crate) last_line: usize,
}

impl Token<'_> {
    /// Whether this is the name, keyword or punctuation `text`.
    pub(crate) fn is(&self, text: &str) -> bool {
        matches!(self.kind, Kind::Word | Kind::Mark) && self.text == text
    }
}

/// The tokens of `text`, comments included.
pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(first) = text[at..].chars().next() {
        if first.is_whitespace() {
            line += usize::from(first == '\n');
            at += first.len_utf8();
            continue;
        }
        let (kind, length) = next(&text[at..], first);
        let piece = &text[at..at + length];
        let last_line = line + piece.matches('\n').count();
        found.push(Token { kind, text: piece, line, last_line });
        (at, line) = (at + length, last_line);
    }
    found
}

/// The kind and length of the token that `rest` begins with.
fn next(rest: &str, first: char) -> (Kind, usize) {
    if rest.starts_with("//") {
        return (Kind::Comment, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (Kind::Comment, block_comment(rest));
    }
    if let Some(length) = string(rest) {
        return (Kind::Literal, length);
    }
    if first == '\'' {
        return quote(rest);
    }
    if first.is_alphabetic() || first == '_' {
        let raw = if rest.starts_with("r#") { 2 } else { 0 };
        return (Kind::Word, raw + word(&rest[raw..]));
    }
    if first.is_ascii_digit() {
        return (Kind::Literal, number(rest));
    }
    (Kind::Mark, first.len_utf8())
}

fn word(rest: &str) -> usize {
    rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
}

/// A number; `1..2` is a number and two dots.
fn number(rest: &str) -> usize {
    let whole = word(rest);
    let after = &rest[whole..];
    if after.starts_with('.') && after[1..].starts_with(|c: char| c.is_ascii_digit()) {
        return whole + 1 + word(&after[1..]);
    }
    whole
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    loop {
        let open = rest[at..].find("/*").map(|i| at + i);
        let close = rest[at..].find("*/").map(|i| at + i);
        match (open, close) {
            (_, None) => return rest.len(),
            (Some(o), Some(c)) if o < c => (depth, at) = (depth + 1, o + 2),
            (_, Some(c)) => (depth, at) = (depth.saturating_sub(1), c + 2),
        }
        if depth == 0 {
            return at;
        }
    }
}

/// The length of the string that `rest` begins with, in any of its forms.
fn string(rest: &str) -> Option<usize> {
    let prefix = ["br", "cr", "r", "b", "c", ""].into_iter().find(|p| {
        let after = rest.strip_prefix(p).unwrap_or_default();
        after.starts_with('"')
            || p.ends_with('r') && after.trim_start_matches('#').starts_with('"') && after.starts_with('#')
    })?;
    let body = &rest[prefix.len()..];
    if prefix.ends_with('r') {
        let hashes = body.len() - body.trim_start_matches('#').len();
        let close = format!("\"{}", "#".repeat(hashes));
        let start = prefix.len() + hashes + 1;
        return Some(rest[start..].find(&close).map_or(rest.len(), |i| start + i + close.len()));
    }
    Some(prefix.len() + quoted(body, '"'))
}

/// The length of the text between two `mark`s, both included, with backslashes obeyed.
fn quoted(rest: &str, mark: char) -> usize {
    let mut escaped = false;
    for (i, c) in rest.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == mark {
            return i + 1;
        }
    }
    rest.len()
}

/// A character or a lifetime.
fn quote(rest: &str) -> (Kind, usize) {
    let mut after = rest.chars().skip(1);
    let (first, second) = (after.next(), after.next());
    if first == Some('\\') || second == Some('\'') {
        return (Kind::Literal, quoted(rest, '\''));
    }
    (Kind::Word, 1 + word(&rest[1..]))
}

/// A function and how long it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// The line of `fn`.
    pub(crate) line: usize,
    /// Lines between its braces that hold code.
    pub(crate) lines: usize,
}

/// The functions with a body among `tokens`, in order; one inside another counts for both.
pub(crate) fn functions(tokens: &[Token<'_>]) -> Vec<Function> {
    let code: Vec<Token<'_>> = tokens.iter().copied().filter(|t| t.kind != Kind::Comment).collect();
    let named = code.windows(2).enumerate().filter(|(_, w)| w[0].is("fn") && w[1].kind == Kind::Word);
    named
        .filter_map(|(i, w)| {
            let open = body_start(&code, i + 2)?;
            let close = matching_brace(&code, open);
            Some(Function { name: w[1].text.to_owned(), line: w[0].line, lines: code_lines(&code[open + 1..close]) })
        })
        .collect()
}

/// Where the body of the function whose parameters begin at or after `from` opens; none for a declaration without one.
fn body_start(code: &[Token<'_>], from: usize) -> Option<usize> {
    let mut depth = 0_i32;
    for (i, token) in code.iter().enumerate().skip(from) {
        match token.text {
            "(" | "[" => depth += 1,
            ")" | "]" => depth -= 1,
            "{" if depth == 0 => return Some(i),
            ";" if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// The place of the brace that closes the one at `open`; the end if it is never closed.
fn matching_brace(code: &[Token<'_>], open: usize) -> usize {
    let mut depth = 0_usize;
    for (i, token) in code.iter().enumerate().skip(open) {
        if token.is("{") {
            depth += 1;
        } else if token.is("}") {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return i;
            }
        }
    }
    code.len()
}

/// How many lines hold one of these tokens.
pub(crate) fn code_lines(tokens: &[Token<'_>]) -> usize {
    let mut last = 0;
    let mut count = 0;
    for token in tokens {
        let first = token.line.max(last + 1);
        if token.last_line >= first {
            count += token.last_line + 1 - first;
            last = token.last_line;
        }
    }
    count
}

/// The places of the modules, functions and other items marked `#[cfg(test)]` or `#[test]`, attribute included.
pub(crate) fn test_items(tokens: &[Token<'_>]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let Some(after) = test_attribute(tokens, at) else {
            at += 1;
            continue;
        };
        let end = item_end(tokens, after);
        found.push(at..end);
        at = end;
    }
    found
}

/// The tokens outside items marked as tests.
pub(crate) fn production<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    let mut kept = Vec::with_capacity(tokens.len());
    let mut at = 0;
    for item in test_items(tokens) {
        kept.extend_from_slice(&tokens[at..item.start]);
        at = item.end;
    }
    kept.extend_from_slice(&tokens[at..]);
    kept
}

/// The place after the attribute at `at`, if it marks what follows as a test.
fn test_attribute(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    if !tokens[at].is("#") || !tokens.get(at + 1)?.is("[") {
        return None;
    }
    let length = tokens[at..].iter().position(|t| t.is("]"))?;
    let words: Vec<&str> = tokens[at + 2..at + length].iter().map(|t| t.text).collect();
    let is_test =
        words == ["cfg", "(", "test", ")"] || words == ["test"] || words.starts_with(&["tokio", ":", ":", "test"]);
    is_test.then_some(at + length + 1)
}

/// The place after the item that begins at `from`: after its braces, or after its semicolon.
fn item_end(tokens: &[Token<'_>], from: usize) -> usize {
    let mut depth = 0_i32;
    for (i, token) in tokens.iter().enumerate().skip(from).filter(|(_, t)| t.kind == Kind::Mark) {
        match token.text {
            "(" | "[" => depth += 1,
            ")" | "]" => depth -= 1,
            "{" if depth == 0 => return matching_brace(tokens, i) + 1,
            ";" if depth == 0 => return i + 1,
            _ => {}
        }
    }
    tokens.len()
}
