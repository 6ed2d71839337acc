//! Makes tokens an untyped tree, by precedence climbing, with bounds on depth and size.

use std::sync::Arc;

use super::lexer::{Fault, Placed, Token, brief, tokens};
use super::number::{Arithmetic, Number};
use super::tree::Comparison;
use crate::limits::{RULE_DEPTH_MAX, RULE_NODES_MAX};

/// A node as written: nothing is known about names and kinds yet.
#[derive(Debug)]
pub(super) struct Ast {
    /// The byte where it begins.
    pub(super) at: usize,
    depth: usize,
    pub(super) kind: AstKind,
}

#[derive(Debug)]
pub(super) enum AstKind {
    Null,
    Boolean(bool),
    Number(Number),
    Text(Arc<str>),
    Name(String),
    /// `of.name`
    Member(Box<Ast>, String),
    /// `name(arguments)`, or `target.name(arguments)`
    Call {
        target: Option<Box<Ast>>,
        name: String,
        arguments: Vec<Ast>,
    },
    List(Vec<Ast>),
    /// `{name: value, …}`
    Options(Vec<(String, Ast)>),
    Not(Box<Ast>),
    Negate(Box<Ast>),
    All(Vec<Ast>),
    Any(Vec<Ast>),
    Compare(Comparison, Box<Ast>, Box<Ast>),
    In(Box<Ast>, Box<Ast>),
    Compute(Arithmetic, Box<Ast>, Box<Ast>),
}

/// Parses a whole rule.
pub(super) fn parse(source: &str) -> Result<Ast, Fault> {
    let mut parser = Parser { tokens: tokens(source)?, next: 0, nodes: 0, depth: 0 };
    if parser.peek() == &Token::End {
        return Err(Fault::new(0, "the rule is empty", "write a condition such as `amount > 100`"));
    }
    let root = parser.any()?;
    match parser.peek() {
        Token::End => Ok(root),
        other => Err(unexpected(other, parser.at())),
    }
}

struct Parser<'a> {
    tokens: Vec<Placed<'a>>,
    next: usize,
    nodes: usize,
    /// How many brackets and signs before an operand are open.
    depth: usize,
}

fn too_deep(at: usize) -> Fault {
    let help = "split the rule, or put a list of values into `in [...]`";
    Fault::new(at, format!("the rule is nested deeper than {RULE_DEPTH_MAX}"), help)
}

impl<'a> Parser<'a> {
    fn peek(&self) -> &Token<'a> {
        &self.tokens[self.next].0
    }

    fn at(&self) -> usize {
        self.tokens[self.next].1
    }

    fn advance(&mut self) -> Placed<'a> {
        let token = self.tokens[self.next].clone();
        // The last token is the end, which is never passed.
        self.next = (self.next + 1).min(self.tokens.len() - 1);
        token
    }

    fn accept(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Token::Sign(s) if *s == sign);
        if found {
            self.advance();
        }
        found
    }

    fn expect(&mut self, sign: &'static str, opened: usize) -> Result<(), Fault> {
        if self.accept(sign) {
            return Ok(());
        }
        if self.peek() == &Token::End {
            return Err(Fault::new(opened, format!("this bracket is not closed by `{sign}`"), ""));
        }
        Err(unexpected(self.peek(), self.at()))
    }

    /// A node over children of which the deepest is `below` deep.
    fn node(&mut self, at: usize, below: usize, kind: AstKind) -> Result<Ast, Fault> {
        self.nodes += 1;
        if self.nodes > RULE_NODES_MAX {
            let message = format!("the rule has more than {RULE_NODES_MAX} names, values and operators");
            return Err(Fault::new(at, message, "put long lists into a parameter: `field in list`"));
        }
        if below >= RULE_DEPTH_MAX { Err(too_deep(at)) } else { Ok(Ast { at, depth: below + 1, kind }) }
    }

    /// Runs `inner` one bracket deeper.
    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        if self.depth >= RULE_DEPTH_MAX {
            return Err(too_deep(self.at()));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn any(&mut self) -> Result<Ast, Fault> {
        let at = self.at();
        self.joined(at, "||", Self::all, AstKind::Any)
    }

    fn all(&mut self) -> Result<Ast, Fault> {
        let at = self.at();
        self.joined(at, "&&", Self::relation, AstKind::All)
    }

    /// Operands joined by `sign`: one flat node, however many they are.
    fn joined(
        &mut self,
        at: usize,
        sign: &str,
        operand: fn(&mut Self) -> Result<Ast, Fault>,
        kind: fn(Vec<Ast>) -> AstKind,
    ) -> Result<Ast, Fault> {
        let first = operand(self)?;
        let mut below = first.depth;
        let mut operands = vec![first];
        while self.accept(sign) {
            let next = operand(self)?;
            below = below.max(next.depth);
            operands.push(next);
        }
        match operands.len() {
            1 => Ok(operands.swap_remove(0)),
            _ => self.node(at, below, kind(operands)),
        }
    }

    fn relation(&mut self) -> Result<Ast, Fault> {
        let left = self.sum()?;
        let comparison = match self.peek() {
            Token::Sign("==") => Some(Comparison::Equal),
            Token::Sign("!=") => Some(Comparison::NotEqual),
            Token::Sign("<") => Some(Comparison::Less),
            Token::Sign("<=") => Some(Comparison::LessOrEqual),
            Token::Sign(">") => Some(Comparison::Greater),
            Token::Sign(">=") => Some(Comparison::GreaterOrEqual),
            Token::Word("in") => None,
            _ => return Ok(left),
        };
        self.advance();
        let right = self.sum()?;
        if matches!(self.peek(), Token::Sign("==" | "!=" | "<" | "<=" | ">" | ">=") | Token::Word("in")) {
            let help = "join two comparisons with `&&`: `0 < x && x < 10`, or put one into brackets";
            return Err(Fault::new(self.at(), "comparisons cannot be chained", help));
        }
        let (at, below) = (left.at, left.depth.max(right.depth));
        let (left, right) = (Box::new(left), Box::new(right));
        match comparison {
            Some(comparison) => self.node(at, below, AstKind::Compare(comparison, left, right)),
            None => self.node(at, below, AstKind::In(left, right)),
        }
    }

    fn sum(&mut self) -> Result<Ast, Fault> {
        let mut left = self.product()?;
        loop {
            let operator = match self.peek() {
                Token::Sign("+") => Arithmetic::Plus,
                Token::Sign("-") => Arithmetic::Minus,
                _ => return Ok(left),
            };
            self.advance();
            let right = self.product()?;
            left = self.computed(operator, left, right)?;
        }
    }

    fn product(&mut self) -> Result<Ast, Fault> {
        let mut left = self.signed()?;
        loop {
            let operator = match self.peek() {
                Token::Sign("*") => Arithmetic::Times,
                Token::Sign("/") => Arithmetic::Over,
                Token::Sign("%") => Arithmetic::Remainder,
                _ => return Ok(left),
            };
            self.advance();
            let right = self.signed()?;
            left = self.computed(operator, left, right)?;
        }
    }

    fn computed(&mut self, operator: Arithmetic, left: Ast, right: Ast) -> Result<Ast, Fault> {
        let (at, below) = (left.at, left.depth.max(right.depth));
        self.node(at, below, AstKind::Compute(operator, Box::new(left), Box::new(right)))
    }

    fn signed(&mut self) -> Result<Ast, Fault> {
        let at = self.at();
        if self.accept("!") {
            let inner = self.deeper(Self::signed)?;
            return self.node(at, inner.depth, AstKind::Not(Box::new(inner)));
        }
        if self.accept("-") {
            let inner = self.deeper(Self::signed)?;
            return self.node(at, inner.depth, AstKind::Negate(Box::new(inner)));
        }
        self.member()
    }

    fn member(&mut self) -> Result<Ast, Fault> {
        let mut left = self.primary()?;
        while self.accept(".") {
            let (name, name_at) = self.advance();
            let Token::Word(name) = name else { return Err(unexpected(&name, name_at)) };
            let (at, below) = (left.at, left.depth);
            left = if self.peek() == &Token::Sign("(") {
                self.call(Some(Box::new(left)), name, at)?
            } else {
                self.node(at, below, AstKind::Member(Box::new(left), name.to_owned()))?
            };
        }
        Ok(left)
    }

    fn call(&mut self, target: Option<Box<Ast>>, name: &str, at: usize) -> Result<Ast, Fault> {
        let opened = self.at();
        self.expect("(", opened)?;
        let arguments = self.deeper(|parser| parser.sequence(")", opened))?;
        let below = arguments.iter().chain(target.as_deref()).map(|part| part.depth).max().unwrap_or(0);
        self.node(at, below, AstKind::Call { target, name: name.to_owned(), arguments })
    }

    /// Operands between commas up to the bracket `close`. A comma may stand before it.
    fn sequence(&mut self, close: &'static str, opened: usize) -> Result<Vec<Ast>, Fault> {
        let mut items = Vec::new();
        while !self.accept(close) {
            items.push(self.any()?);
            if !self.accept(",") {
                self.expect(close, opened)?;
                break;
            }
        }
        Ok(items)
    }

    /// Names with values between commas up to the closing bracket. A comma may stand before it.
    fn options(&mut self, opened: usize) -> Result<Vec<(String, Ast)>, Fault> {
        let mut options = Vec::new();
        while !self.accept("}") {
            let (name, at) = self.advance();
            let name = match name {
                Token::Word(name) => name.to_owned(),
                Token::Text(name) => name.to_string(),
                other => return Err(unexpected(&other, at)),
            };
            self.expect(":", at)?;
            options.push((name, self.any()?));
            if !self.accept(",") {
                self.expect("}", opened)?;
                break;
            }
        }
        Ok(options)
    }

    fn primary(&mut self) -> Result<Ast, Fault> {
        let (token, at) = self.advance();
        match token {
            Token::Number(number) => self.leaf(at, AstKind::Number(number)),
            Token::Text(text) => self.leaf(at, AstKind::Text(text)),
            Token::Word("true") => self.leaf(at, AstKind::Boolean(true)),
            Token::Word("false") => self.leaf(at, AstKind::Boolean(false)),
            Token::Word("null") => self.leaf(at, AstKind::Null),
            Token::Word(word) if word != "in" => {
                if self.peek() == &Token::Sign("(") {
                    return self.call(None, word, at);
                }
                self.leaf(at, AstKind::Name(word.to_owned()))
            }
            Token::Sign("(") => {
                let inner = self.deeper(Self::any)?;
                self.expect(")", at)?;
                Ok(inner)
            }
            Token::Sign("[") => {
                let items = self.deeper(|parser| parser.sequence("]", at))?;
                let below = items.iter().map(|item| item.depth).max().unwrap_or(0);
                self.node(at, below, AstKind::List(items))
            }
            Token::Sign("{" | "#{") => {
                let options = self.deeper(|parser| parser.options(at))?;
                let below = options.iter().map(|(_, value)| value.depth).max().unwrap_or(0);
                self.node(at, below, AstKind::Options(options))
            }
            other => Err(unexpected(&other, at)),
        }
    }

    fn leaf(&mut self, at: usize, kind: AstKind) -> Result<Ast, Fault> {
        self.node(at, 0, kind)
    }
}

fn unexpected(token: &Token<'_>, at: usize) -> Fault {
    let (message, help) = match token {
        Token::End => ("the rule ends too early".to_owned(), "a value or a name is missing"),
        Token::Sign(sign @ ("?" | ":")) => {
            (format!("`{sign}` is not part of rules"), "write `a && b || !a && c` instead of `a ? b : c`")
        }
        Token::Sign(sign) => (format!("`{sign}` cannot stand here"), ""),
        Token::Word("and" | "AND") => ("`and` is not an operator".to_owned(), "write `&&`"),
        Token::Word("or" | "OR") => ("`or` is not an operator".to_owned(), "write `||`"),
        Token::Word("not" | "NOT") => ("`not` is not an operator".to_owned(), "write `!`"),
        Token::Word(word) => (format!("`{}` cannot stand here", brief(word)), "an operator is missing before it"),
        Token::Number(_) | Token::Text(_) => {
            ("a value cannot stand here".to_owned(), "an operator is missing before it")
        }
    };
    Fault::new(at, message, help)
}
