//! Tests of texts in SQL. No `like`: its wildcards would have to be escaped, and SQLite's ignores case.

use rapport_model::rule::tree::{Datum, Term, TextTest};

use super::{Compiled, Compiler, RuleSqlError, Sql, is_not_null, truth};

impl Compiler<'_> {
    pub(super) fn text_test(&mut self, test: TextTest, whole: &Term, part: &Term) -> Compiled {
        let literal = match self.constant(part)? {
            Some(Datum::Text(literal)) => Some(literal),
            Some(_) => return Ok(truth(false)),
            None => None,
        };
        if self.constant(whole)? == Some(Datum::Null) {
            return Ok(truth(false));
        }
        if literal.as_deref() == Some("") {
            let whole = self.term(whole)?;
            return Ok(is_not_null(&whole));
        }
        match (test, literal) {
            (TextTest::Contains, _) => self.contains(whole, part),
            (TextTest::StartsWith, Some(prefix)) => self.starts_with(whole, &prefix),
            (TextTest::EndsWith, Some(suffix)) => self.ends_with(whole, &suffix),
            (TextTest::StartsWith, None) => self.starts_with_field(whole, part),
            (TextTest::EndsWith, None) => self.ends_with_field(whole, part),
        }
    }

    fn both(&mut self, whole: &Term, part: &Term) -> Result<(String, String), RuleSqlError> {
        Ok((self.term(whole)?.text, self.term(part)?.text))
    }

    fn contains(&mut self, whole: &Term, part: &Term) -> Compiled {
        let (whole, part) = self.both(whole, part)?;
        let function = if self.is_sqlite() { "instr" } else { "strpos" };
        Ok(format!("{function}({whole}, {part}) > 0"))
    }

    /// As a range, which an index on the column serves: texts compare bytewise.
    fn starts_with(&mut self, whole: &Term, prefix: &str) -> Compiled {
        let Sql { text: whole, .. } = self.term(whole)?;
        let from = self.literal(Datum::Text(prefix.into()));
        let Some(end) = after(prefix) else { return Ok(format!("{whole} >= {from}")) };
        let end = self.literal(Datum::Text(end.into()));
        Ok(format!("({whole} >= {from} and {whole} < {end})"))
    }

    fn ends_with(&mut self, whole: &Term, suffix: &str) -> Compiled {
        let Sql { text: whole, .. } = self.term(whole)?;
        let length = suffix.chars().count();
        let suffix = self.literal(Datum::Text(suffix.into()));
        Ok(if self.is_sqlite() {
            format!("substr({whole}, -{length}) = {suffix}")
        } else {
            format!("right({whole}, {length}) = {suffix}")
        })
    }

    fn starts_with_field(&mut self, whole: &Term, part: &Term) -> Compiled {
        let (whole, part) = self.both(whole, part)?;
        Ok(if self.is_sqlite() {
            format!("substr({whole}, 1, length({part})) = {part}")
        } else {
            format!("starts_with({whole}, {part})")
        })
    }

    fn ends_with_field(&mut self, whole: &Term, part: &Term) -> Compiled {
        let (whole, part) = self.both(whole, part)?;
        Ok(if self.is_sqlite() {
            // Counted from the front: a length of 0 counted from the end would mean the whole text. A part longer than
            // the whole gives a text that is shorter than the part, and so never equal.
            format!("substr({whole}, length({whole}) - length({part}) + 1) = {part}")
        } else {
            format!("right({whole}, length({part})) = {part}")
        })
    }
}

/// The least text that is greater than every text that begins with `prefix`; nothing if there is none.
fn after(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        // Bytes of UTF-8 lie in the order of the characters. Surrogates are no characters: step over them.
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(last) + 1) };
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_after_a_prefix_is_greater_than_all_that_begin_so() {
        assert_eq!(after("ab").as_deref(), Some("ac"));
        assert_eq!(after("a\u{7f}").as_deref(), Some("a\u{80}"));
        assert_eq!(after("a\u{d7ff}").as_deref(), Some("a\u{e000}"));
        assert_eq!(after("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(after("\u{10ffff}"), None);
        for (prefix, text) in [("ab", "ab\u{10ffff}z"), ("\u{d7ff}", "\u{d7ff}\u{10ffff}")] {
            assert!(after(prefix).unwrap().as_bytes() > text.as_bytes());
        }
    }
}
