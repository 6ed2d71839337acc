//! Words of texts, as the search sees them: the same in memory and on both databases, since they are made here alone.
//!
//! A text is cut where neither letters nor digits stand. A word of an alphabetic script is one term, in lower case and without
//! diacritics (`Résumé` is `resume`). Han, Kana and Hangul are not cut into words: each character is a term, and each pair of
//! neighbours; what is looked for are the pairs, or the character if it stands alone. Forms that Unicode counts as compatible
//! (full-width letters, ligatures) are the same. Offsets count characters (Unicode scalar values) of the text.

use std::collections::BTreeMap;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{compose, is_combining_mark};

/// The most characters of a term; longer words are cut, in texts and in what is looked for.
pub const TERM_CHARS_MAX: usize = 40;
/// The most terms of a field that can be found: what stands behind them is not.
pub const FIELD_TERMS_MAX: usize = 10_000;
/// The longest text that can be looked for, in bytes.
pub const QUERY_BYTES_MAX: usize = 1_000;
/// The most terms that can be looked for at once.
pub const QUERY_TERMS_MAX: usize = 32;
/// Characters of a text that are shown around what was found.
const SNIPPET_CHARS: usize = 120;
/// Of which so many stand before it.
const SNIPPET_BEFORE: usize = 30;

/// A term with its place in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The term.
    pub term: String,
    /// Its first character, from 0.
    pub start: usize,
    /// The character behind its last.
    pub end: usize,
}

/// A term that is looked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueryTerm {
    /// The term.
    pub text: String,
    /// Whether whatever begins with it will do.
    pub prefix: bool,
}

/// A part of a text around what was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snippet {
    /// The part, plain text; `…` where the text goes on.
    pub text: String,
    /// Where the terms stand in it: the first character and the one behind the last.
    pub matches: Vec<(usize, usize)>,
}

/// Which run a character belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Script {
    /// Words.
    Word,
    /// Han, Kana, Hangul.
    Ideographs,
    /// Neither.
    Between,
}

const fn script(c: char) -> Script {
    match c {
        '\u{1100}'..='\u{11ff}'
        | '\u{2e80}'..='\u{2fdf}'
        | '\u{3005}'..='\u{3007}'
        | '\u{3021}'..='\u{3029}'
        | '\u{3038}'..='\u{303b}'
        | '\u{3041}'..='\u{3096}'
        | '\u{309d}'..='\u{309f}'
        | '\u{30a1}'..='\u{30fa}'
        | '\u{30fc}'..='\u{318f}'
        | '\u{31a0}'..='\u{31bf}'
        | '\u{31f0}'..='\u{31ff}'
        | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}'
        | '\u{a960}'..='\u{a97f}'
        | '\u{ac00}'..='\u{d7ff}'
        | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}' => Script::Ideographs,
        _ => Script::Between,
    }
}

fn script_of(c: char) -> Script {
    match script(c) {
        Script::Between if c.is_alphanumeric() || is_combining_mark(c) => Script::Word,
        other => other,
    }
}

/// Marks that are put on letters of alphabetic scripts, and make no other letter of them.
pub(crate) const fn is_diacritic(c: char) -> bool {
    matches!(
        c,
        '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}'
    )
}

/// The characters of `text` as they are compared, each with the place that it comes from.
fn folded(text: &str) -> Vec<(char, usize)> {
    let mut all: Vec<(char, usize)> = Vec::with_capacity(text.len());
    for (place, c) in text.chars().enumerate() {
        for c in std::iter::once(c).nfkc() {
            if script_of(c) == Script::Ideographs {
                all.push((c, place));
                continue;
            }
            for c in c.to_lowercase().nfd().flat_map(char::to_lowercase).filter(|c| !is_diacritic(*c)) {
                // The half-width marks of Kana stand behind their letter.
                match all.last_mut().and_then(|last| compose(last.0, c).map(|whole| (last, whole))) {
                    Some((last, whole)) => last.0 = whole,
                    None => all.push((c, place)),
                }
            }
        }
    }
    all
}

fn token(run: &[(char, usize)]) -> Option<Token> {
    let (first, last) = (run.first()?, run.last()?);
    let term = run.iter().take(TERM_CHARS_MAX).map(|(c, _)| *c).collect();
    Some(Token { term, start: first.1, end: last.1 + 1 })
}

/// The runs of one script in a text, without what is between them.
fn runs(folded: &[(char, usize)]) -> impl Iterator<Item = (Script, &[(char, usize)])> {
    let alike = |a: &(char, usize), b: &(char, usize)| script_of(a.0) == script_of(b.0);
    let all = folded.chunk_by(alike).filter_map(|run| Some((script_of(run.first()?.0), run)));
    all.filter(|(script, _)| *script != Script::Between)
}

/// The terms by which `text` is found, in their order; [`FIELD_TERMS_MAX`] at most.
#[must_use]
pub fn tokens(text: &str) -> Vec<Token> {
    let folded = folded(text);
    let mut all = Vec::new();
    for (script, run) in runs(&folded) {
        if all.len() >= FIELD_TERMS_MAX {
            break;
        }
        match script {
            Script::Ideographs => {
                for place in 0..run.len() {
                    all.extend(token(&run[place..=place]));
                    all.extend(run.get(place..place + 2).and_then(token));
                }
            }
            _ => all.extend(token(run)),
        }
    }
    all.truncate(FIELD_TERMS_MAX);
    all
}

/// The terms of a text that is looked for, each once. All must be found; the last one may go on, if it is a word that the text ends with.
#[must_use]
pub fn query_terms(text: &str) -> Vec<QueryTerm> {
    let folded = folded(text);
    let mut all: Vec<QueryTerm> = Vec::new();
    let mut add = |token: Option<Token>, prefix: bool| {
        let term = token.map(|token| QueryTerm { text: token.term, prefix });
        all.extend(term);
    };
    let ends_in_word = folded.last().is_some_and(|(c, _)| script_of(*c) == Script::Word);
    let count = runs(&folded).count();
    for (n, (script, run)) in runs(&folded).enumerate() {
        match (script, run.len()) {
            (Script::Ideographs, 1) => add(token(run), false),
            (Script::Ideographs, _) => run.windows(2).for_each(|pair| add(token(pair), false)),
            _ => add(token(run), ends_in_word && n + 1 == count),
        }
    }
    all.sort();
    all.dedup();
    all
}

/// How often each term stands in a text.
#[must_use]
pub fn counts(text: &str) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for token in tokens(text) {
        *counts.entry(token.term).or_insert(0) += 1;
    }
    counts
}

impl QueryTerm {
    /// Whether `term` is what is looked for.
    #[must_use]
    pub fn matches(&self, term: &str) -> bool {
        if self.prefix { term.starts_with(&self.text) } else { term == self.text }
    }
}

/// How many terms a field has, as it is kept beside each of them: its four highest binary digits, so that a text that grows by some words
/// seldom changes what is kept of the others.
#[must_use]
pub const fn kept_length(terms: i64) -> i64 {
    let terms = if terms > 0 { terms } else { 0 };
    let dropped = (i64::BITS - terms.leading_zeros()).saturating_sub(4);
    terms >> dropped << dropped
}

/// What one field adds to the score of a record for one term: `count` times among `length` terms ([`kept_length`]). Long texts count less.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a field has some thousand terms at most")]
pub fn weight(count: i64, length: i64) -> f64 {
    let (count, length) = (count.max(0) as f64, length.max(1) as f64);
    count / (count + 1.0) / length.sqrt()
}

/// The part of `text` around the first of these terms; none if none of them stands in it.
#[must_use]
pub fn snippet(text: &str, terms: &[QueryTerm]) -> Option<Snippet> {
    let found = tokens(text).into_iter().filter(|token| terms.iter().any(|term| term.matches(&token.term)));
    let mut spans: Vec<(usize, usize)> = Vec::new();
    for token in found {
        match spans.last_mut() {
            // Pairs of neighbours overlap.
            Some(last) if token.start < last.1 => last.1 = last.1.max(token.end),
            _ => spans.push((token.start, token.end)),
        }
    }
    let first = spans.first()?.0;
    let chars: Vec<char> = text.chars().collect();
    let begin = if chars.len() <= SNIPPET_CHARS { 0 } else { first.saturating_sub(SNIPPET_BEFORE) };
    let end = (begin + SNIPPET_CHARS).min(chars.len());
    let mut shown = String::new();
    let shift = usize::from(begin > 0);
    shown.extend((begin > 0).then_some('…'));
    // A line break, a tab or another control character would tear the line that it is shown in.
    shown.extend(chars[begin..end].iter().map(|c| if c.is_control() { ' ' } else { *c }));
    shown.extend((end < chars.len()).then_some('…'));
    let inside = spans.iter().filter(|span| span.0 < end);
    let matches = inside.map(|span| (span.0 - begin + shift, span.1.min(end) - begin + shift)).collect();
    Some(Snippet { text: shown, matches })
}

#[cfg(test)]
mod tests;
