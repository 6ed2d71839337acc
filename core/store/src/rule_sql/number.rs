//! Numbers in SQL: whole units (10^-scale), as in memory.
//!
//! Memory computes with 64 bits and makes null of what does not fit. Here each term carries the greatest magnitude it can
//! have; only where that passes 64 bits something is added. SQLite turns an integer that overflows into a real, and what is
//! computed from a real stays one, so the type of the result tells. PostgreSQL computes in `numeric`, which does not
//! overflow, so each step that could pass 64 bits is tested beside the comparison.

use rapport_model::rule::number::{Arithmetic, Number};
use rapport_model::rule::tree::{Comparison, Datum, FieldTerm, Term};
use rapport_model::schema::FieldKind;
use rapport_model::value::{DECIMAL_UNITS_MAX, INTEGER_MAX};
use rust_decimal::Decimal;

use super::bound::{Bound, bound};
use super::{Compiled, Compiler, RuleSqlError, Sql, SqlBind, compared, is_not_null, is_null, sign, truth};

/// What a term is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Boolean,
    Number,
    Time,
    /// Text, choice, date, reference, JSON, and parameters, which are constants: compared as they are.
    Plain,
}

impl Class {
    pub(super) fn of(term: &Term) -> Self {
        match term {
            Term::Field(field) => match field.kind {
                FieldKind::Integer | FieldKind::Decimal { .. } => Self::Number,
                FieldKind::Boolean => Self::Boolean,
                FieldKind::Timestamp => Self::Time,
                _ => Self::Plain,
            },
            Term::Literal(Datum::Number(_))
            | Term::Compute(..)
            | Term::Negate(_)
            | Term::Size(_)
            | Term::TagCount(_)
            | Term::DaysSince(_) => Self::Number,
            Term::Literal(Datum::Boolean(_)) | Term::Condition(_) => Self::Boolean,
            Term::Literal(Datum::Time(_)) | Term::Now | Term::Shift(..) => Self::Time,
            Term::Literal(_) | Term::Param(..) | Term::Lower(_) => Self::Plain,
        }
    }
}

/// The greatest magnitude that 64 bits hold on both sides of zero.
const FITS: i128 = i64::MAX as i128;
/// What a number is known to be after it was tested: 64 bits, of which one has no opposite.
const TESTED: i128 = FITS + 1;
/// A text is much shorter than this.
const SIZE_MAX: i128 = 1 << 31;

/// A number as SQL.
#[derive(Debug, Clone)]
pub(super) struct NumberSql {
    /// Its units: an integer on SQLite, a numeric on PostgreSQL.
    pub(super) text: String,
    pub(super) scale: u8,
    /// The greatest magnitude of its units.
    pub(super) bound: i128,
    pub(super) nullable: bool,
    /// Tests that are all true if no step passed 64 bits; otherwise the number is null, whatever its text says.
    pub(super) tests: Vec<String>,
}

impl NumberSql {
    /// The number as one piece of SQL that is null where it should be.
    pub(super) fn guarded(self) -> Sql {
        if self.tests.is_empty() {
            return Sql { text: self.text, nullable: self.nullable };
        }
        Sql { text: format!("case when {} then {} end", self.tests.join(" and "), self.text), nullable: true }.wrapped()
    }

    fn factor(&self, scale: u8) -> i128 {
        10_i128.pow(u32::from(scale.saturating_sub(self.scale)))
    }
}

impl Sql {
    fn wrapped(self) -> Self {
        Self { text: format!("({})", self.text), nullable: self.nullable }
    }
}

impl Compiler<'_> {
    pub(super) fn number(&mut self, term: &Term) -> Result<NumberSql, RuleSqlError> {
        let mut number = self.steps(term)?;
        if self.is_sqlite() && !number.tests.is_empty() {
            // One test says it for all steps.
            number.tests = vec![format!("typeof({}) = 'integer'", number.text)];
        }
        Ok(number)
    }

    fn steps(&mut self, term: &Term) -> Result<NumberSql, RuleSqlError> {
        if let Some(datum) = self.constant(term)? {
            return Ok(self.constant_number(&datum));
        }
        match term {
            Term::Compute(operator, left, right) => {
                let (left, right) = (self.steps(left)?, self.steps(right)?);
                Ok(self.compute(*operator, left, right))
            }
            Term::Negate(inner) => {
                let inner = self.steps(inner)?;
                let text = format!("(-{})", inner.text);
                Ok(self.stepped(NumberSql { text, ..inner }))
            }
            Term::Size(inner) => {
                let Sql { text, nullable } = self.term(inner)?;
                let text =
                    if self.is_sqlite() { format!("length({text})") } else { format!("char_length({text})::numeric") };
                Ok(NumberSql { text, scale: 0, bound: SIZE_MAX, nullable, tests: Vec::new() })
            }
            Term::TagCount(tags) => self.tag_count(tags),
            Term::DaysSince(inner) => self.days_since(inner),
            Term::Field(field) => self.number_column(field),
            other => {
                // Not reached from a checked rule: no other term is a number.
                let Sql { text, nullable } = self.term(other)?;
                Ok(NumberSql { text, scale: 0, bound: TESTED, nullable, tests: Vec::new() })
            }
        }
    }

    fn constant_number(&mut self, datum: &Datum) -> NumberSql {
        // Without the cast PostgreSQL would compute with `bigint`, where overflow is an error.
        let cast = if self.is_sqlite() { "" } else { "::numeric" };
        match datum {
            Datum::Number(number) => NumberSql {
                text: format!("{}{cast}", self.bind(SqlBind::Integer(number.units))),
                scale: number.scale,
                bound: i128::from(number.units).abs(),
                nullable: false,
                tests: Vec::new(),
            },
            _ => NumberSql {
                text: "cast(null as numeric)".to_owned(),
                scale: 0,
                bound: 0,
                nullable: true,
                tests: Vec::new(),
            },
        }
    }

    fn number_column(&mut self, field: &FieldTerm) -> Result<NumberSql, RuleSqlError> {
        let Sql { text, nullable } = self.column(field)?;
        let sqlite = self.is_sqlite();
        let (scale, bound, text) = match field.kind {
            FieldKind::Decimal { scale } if sqlite || scale == 0 => (scale, DECIMAL_UNITS_MAX, text),
            FieldKind::Decimal { scale } => {
                (scale, DECIMAL_UNITS_MAX, format!("({text} * {})", 10_i64.pow(u32::from(scale))))
            }
            _ if sqlite => (0, i128::from(INTEGER_MAX), text),
            _ => (0, i128::from(INTEGER_MAX), format!("{text}::numeric")),
        };
        Ok(NumberSql { text, scale, bound, nullable, tests: Vec::new() })
    }

    /// Adds the test of a step that can pass 64 bits.
    fn stepped(&self, mut number: NumberSql) -> NumberSql {
        if number.bound > FITS {
            let test = if self.is_sqlite() {
                String::new()
            } else {
                format!("{} between {} and {}", number.text, i64::MIN, i64::MAX)
            };
            number.tests.push(test);
            number.bound = TESTED;
            number.nullable = true;
        }
        number
    }

    fn at_scale(&self, number: NumberSql, scale: u8) -> NumberSql {
        let factor = number.factor(scale);
        if factor == 1 {
            return number;
        }
        let text = format!("({} * {factor})", number.text);
        let bound = number.bound.saturating_mul(factor);
        self.stepped(NumberSql { text, scale, bound, ..number })
    }

    fn compute(&self, operator: Arithmetic, left: NumberSql, right: NumberSql) -> NumberSql {
        let scale = operator.scale(left.scale, right.scale);
        let (left, right) = match operator {
            Arithmetic::Plus | Arithmetic::Minus => (self.at_scale(left, scale), self.at_scale(right, scale)),
            _ => (left, right),
        };
        let (l, r) = (&left.text, &right.text);
        let text = match (operator, self.is_sqlite()) {
            (Arithmetic::Over, false) => format!("div({l}, nullif({r}, 0))"),
            (Arithmetic::Remainder, false) => format!("mod({l}, nullif({r}, 0))"),
            _ => format!("({l} {} {r})", operator.sign()),
        };
        let bound = match operator {
            Arithmetic::Plus | Arithmetic::Minus => left.bound.saturating_add(right.bound),
            Arithmetic::Times => left.bound.saturating_mul(right.bound),
            Arithmetic::Over => left.bound,
            Arithmetic::Remainder => left.bound.min(right.bound).min(FITS),
        };
        let divides = matches!(operator, Arithmetic::Over | Arithmetic::Remainder);
        let nullable = left.nullable || right.nullable || divides;
        let tests = left.tests.into_iter().chain(right.tests).collect();
        self.stepped(NumberSql { text, scale, bound, nullable, tests })
    }

    /// Compares a term with a known number, without leaving the units of the term.
    pub(super) fn compare_with_number(&mut self, comparison: Comparison, left: &Term, right: Number) -> Compiled {
        if let Some(text) = self.compare_days(comparison, left, right)? {
            return Ok(text);
        }
        let column = matches!(left, Term::Field(_));
        let number = if let Term::Field(field) = left { self.bare_column(field)? } else { self.number(left)? };
        let NumberSql { scale, tests, .. } = number.clone();
        let present = Sql { text: number.text, nullable: number.nullable };
        let (comparison, units) = match bound(comparison, right, scale) {
            Bound::Units(comparison, units) => (comparison, units),
            Bound::Always if comparison == Comparison::NotEqual => return Ok(truth(true)),
            Bound::Always => return Ok(tested(&tests, &is_not_null(&present))),
            Bound::Never => return Ok(truth(false)),
        };
        let place = self.units(units, if column { scale } else { 0 });
        let place = Sql { text: place, nullable: false };
        if tests.is_empty() {
            return Ok(compared(comparison, &present, &place));
        }
        if comparison == Comparison::NotEqual {
            let equal = tested(&tests, &compared(Comparison::Equal, &present, &place));
            return Ok(format!("({equal}) is not true"));
        }
        Ok(tested(&tests, &compared(comparison, &present, &place)))
    }

    /// A column as it is stored, so that an index on it serves.
    fn bare_column(&mut self, field: &FieldTerm) -> Result<NumberSql, RuleSqlError> {
        let Sql { text, .. } = self.column(field)?;
        Ok(NumberSql { text, ..self.number_column(field)? })
    }

    /// A placeholder for units: of a stored decimal where `scale` is not 0.
    fn units(&mut self, units: i64, scale: u8) -> String {
        let stored = if scale == 0 || self.is_sqlite() {
            SqlBind::Integer(units)
        } else {
            SqlBind::Decimal(Decimal::new(units, u32::from(scale)))
        };
        self.bind(stored)
    }

    /// Compares two terms of which neither is known.
    pub(super) fn compare_numbers(&mut self, comparison: Comparison, left: &Term, right: &Term) -> Compiled {
        let (left, right) = (self.number(left)?, self.number(right)?);
        let order = match comparison {
            Comparison::NotEqual => Comparison::Equal,
            other => other,
        };
        let tests: Vec<String> = left.tests.iter().chain(&right.tests).cloned().collect();
        let holds = tested(&tests, &self.wide_comparison(order, &left, &right));
        if order.is_order() {
            return Ok(holds);
        }
        let (left, right) = (left.guarded(), right.guarded());
        let equal = if left.nullable && right.nullable {
            format!("({holds} or ({} and {}))", is_null(&left), is_null(&right))
        } else {
            holds
        };
        Ok(if comparison == Comparison::Equal { equal } else { format!("({equal}) is not true") })
    }

    /// Compares units of different scales; exactly, even where bringing them to one scale would pass 64 bits.
    fn wide_comparison(&self, comparison: Comparison, left: &NumberSql, right: &NumberSql) -> String {
        if left.scale > right.scale {
            return self.wide_comparison(comparison.mirrored(), right, left);
        }
        let (l, r, sign) = (&left.text, &right.text, sign(comparison));
        match left.factor(right.scale) {
            1 => format!("{l} {sign} {r}"),
            factor if !self.is_sqlite() || left.bound.saturating_mul(factor) <= FITS => {
                format!("({l} * {factor}) {sign} {r}")
            }
            // The whole part decides, and where that is equal, the sign of the rest.
            factor => format!("({l}, 0) {sign} ({r} / {factor}, {r} % {factor})"),
        }
    }

    pub(super) fn one_of_numbers(&mut self, item: &Term, values: &[Datum]) -> Result<Option<String>, RuleSqlError> {
        let before = self.binds.len();
        let column = matches!(item, Term::Field(_));
        let number = if let Term::Field(field) = item { self.bare_column(field)? } else { self.number(item)? };
        let scale = if column { number.scale } else { 0 };
        let mut places = Vec::new();
        for value in values {
            if let Datum::Number(value) = value
                && let Bound::Units(_, units) = bound(Comparison::Equal, *value, number.scale)
            {
                places.push(self.units(units, scale));
            }
        }
        if places.is_empty() {
            self.binds.truncate(before);
            return Ok(None);
        }
        let test = format!("{} in ({})", number.text, places.join(", "));
        Ok(Some(tested(&number.tests, &test)))
    }
}

/// `condition`, and the tests before it.
fn tested(tests: &[String], condition: &str) -> String {
    if tests.is_empty() {
        return condition.to_owned();
    }
    format!("({} and {condition})", tests.join(" and "))
}
