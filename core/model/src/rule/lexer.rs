//! Cuts the text of a rule into tokens.

use std::sync::Arc;

use super::RuleError;
use super::number::{Number, SCALE_MAX};
use crate::limits::RULE_BYTES_MAX;
use crate::value::nfc;

/// What is wrong, at a byte of the source.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) message: String,
    pub(super) help: String,
}

impl Fault {
    pub(super) fn new(at: usize, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { at, message: message.into(), help: help.into() }
    }

    /// The fault with its line and column in `source`.
    pub(super) fn locate(self, source: &str) -> RuleError {
        let before = source.get(..self.at).unwrap_or(source);
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        RuleError {
            line: count(before.matches('\n').count() + 1),
            column: count(before[line_start..].chars().count() + 1),
            message: self.message,
            help: self.help,
        }
    }
}

/// A piece of a rule.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token<'a> {
    Word(&'a str),
    Number(Number),
    Text(Arc<str>),
    /// An operator or a bracket.
    Sign(&'static str),
    End,
}

/// A token and the byte where it begins.
pub(super) type Placed<'a> = (Token<'a>, usize);

/// Two-character signs come first, so that `<=` is not read as `<`.
const SIGNS: [&str; 25] = [
    "==", "!=", "<=", ">=", "&&", "||", "#{", "<", ">", "!", "+", "-", "*", "/", "%", "(", ")", "[", "]", "{", "}",
    ",", ".", "?", ":",
];

/// Cuts `source` into tokens, the last of them [`Token::End`].
pub(super) fn tokens(source: &str) -> Result<Vec<Placed<'_>>, Fault> {
    if source.len() > RULE_BYTES_MAX {
        let message = format!("the rule has {} bytes, more than the {RULE_BYTES_MAX} allowed", source.len());
        return Err(Fault::new(0, message, "put long lists into a parameter: `field in list`"));
    }
    let mut lexer = Lexer { source, at: 0 };
    let mut all = Vec::new();
    loop {
        let token = lexer.next()?;
        let end = token.0 == Token::End;
        all.push(token);
        if end {
            return Ok(all);
        }
    }
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn next(&mut self) -> Result<Placed<'a>, Fault> {
        self.skip_space();
        let at = self.at;
        let Some(first) = self.rest().chars().next() else { return Ok((Token::End, at)) };
        let token = match first {
            'a'..='z' | 'A'..='Z' | '_' => Token::Word(self.take_while(|c| c.is_ascii_alphanumeric() || c == '_')),
            '0'..='9' => self.number()?,
            '\'' | '"' => self.text(first)?,
            _ => match SIGNS.into_iter().find(|sign| self.rest().starts_with(sign)) {
                Some(sign) => {
                    self.at += sign.len();
                    Token::Sign(sign)
                }
                None => return Err(unknown_sign(at, first)),
            },
        };
        Ok((token, at))
    }

    fn skip_space(&mut self) {
        loop {
            self.take_while(|c| matches!(c, ' ' | '\t' | '\r' | '\n' | '\u{c}'));
            if !self.rest().starts_with("//") {
                return;
            }
            self.take_while(|c| c != '\n');
        }
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let taken = &rest[..rest.find(|c| !wanted(c)).unwrap_or(rest.len())];
        self.at += taken.len();
        taken
    }

    fn number(&mut self) -> Result<Token<'a>, Fault> {
        let at = self.at;
        let whole = self.take_while(|c| c.is_ascii_digit());
        let mut rest = self.rest().chars();
        let mut decimals = "";
        if rest.next() == Some('.') && rest.next().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
            decimals = self.take_while(|c| c.is_ascii_digit());
        }
        if self.rest().starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
            self.take_while(|c| c.is_ascii_alphanumeric() || c == '_');
            let message = format!("`{}` is not a number", brief(&self.source[at..self.at]));
            return Err(Fault::new(at, message, "write digits alone, with `.` before decimals: 1500 or 0.25"));
        }
        let decimals = decimals.trim_end_matches('0');
        let scale = u8::try_from(decimals.len()).ok().filter(|scale| *scale <= SCALE_MAX);
        let Some(scale) = scale else {
            return Err(Fault::new(at, format!("a number has at most {SCALE_MAX} decimals"), ""));
        };
        let units = format!("{whole}{decimals}").parse();
        let units =
            units.map_err(|_| Fault::new(at, "the number is too large", format!("{} is the most", i64::MAX)))?;
        Ok(Token::Number(Number { units, scale }))
    }

    fn text(&mut self, quote: char) -> Result<Token<'a>, Fault> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            text.push_str(self.take_while(|c| c != quote && !matches!(c, '\\' | '\n' | '\0')));
            match self.rest().chars().next() {
                Some('\\') => text.push(self.escape()?),
                Some('\0') => return Err(nul(self.at)),
                Some(c) if c == quote => {
                    self.at += 1;
                    return Ok(Token::Text(nfc(&text)));
                }
                _ => {
                    let help = format!("close it with {quote}; a line break in it is written \\n");
                    return Err(Fault::new(start, "the text does not end on its line", help));
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, Fault> {
        let at = self.at;
        let mut chars = self.rest().chars().skip(1);
        let plain = match chars.next() {
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some(c @ ('\\' | '\'' | '"' | '`' | '?')) => c,
            Some('u') => return self.code_point(4),
            Some('U') => return self.code_point(8),
            _ => {
                let help = r#"\n, \r, \t, \\, \', \" and \uXXXX are known; write \\ for a backslash"#;
                return Err(Fault::new(at, "unknown escape in a text", help));
            }
        };
        self.at += 2;
        Ok(plain)
    }

    fn code_point(&mut self, digits: usize) -> Result<char, Fault> {
        let at = self.at;
        let hex = self.rest().get(2..2 + digits).filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        let found = hex.and_then(|hex| u32::from_str_radix(hex, 16).ok()).and_then(char::from_u32);
        self.at += 2 + digits;
        match found {
            Some('\0') => Err(nul(at)),
            Some(c) => Ok(c),
            None => Err(Fault::new(at, "the escape names no character", format!("write {digits} hexadecimal digits"))),
        }
    }
}

fn nul(at: usize) -> Fault {
    Fault::new(at, "a text cannot hold the character U+0000", "")
}

fn unknown_sign(at: usize, sign: char) -> Fault {
    let help = match sign {
        '=' => "write `==` to compare",
        '&' => "write `&&` for and",
        '|' => "write `||` for or",
        '\u{2018}' | '\u{2019}' | '\u{201c}' | '\u{201d}' => "write straight quotes: ' or \"",
        '$' | '@' | '#' => "write a parameter as a bare name",
        _ => "",
    };
    Fault::new(at, format!("`{}` means nothing here", sign.escape_debug()), help)
}

/// `text`, cut to a length that fits a message.
pub(super) fn brief(text: &str) -> String {
    if text.chars().count() <= 40 { text.to_owned() } else { text.chars().take(40).chain(['…']).collect() }
}
