//! Instants and `days_since` in SQL.

use rapport_model::Timestamp;
use rapport_model::rule::days::{DAY_MICROS, date_of, day_of};
use rapport_model::rule::number::Number;
use rapport_model::rule::tree::{Comparison, Datum, FieldTerm, Term};
use rapport_model::schema::FieldKind;

use super::bound::{Bound, bound};
use super::number::NumberSql;
use super::{Compiled, Compiler, RuleSqlError, Sql, SqlBind, compared, is_not_null, truth};

/// More days than lie between any two instants, shifts included: keeps a division's left side positive, so that cutting
/// rounds down.
const PERIODS: i64 = 6_000_000;
/// A number of days is smaller than this.
const DAYS_MAX: i128 = 10_000_000;

/// What a comparison of a column with a point that the column's type may be unable to express becomes.
enum Point {
    /// A placeholder.
    At(String),
    /// Before everything.
    Below,
    /// After everything.
    Above,
}

impl Compiler<'_> {
    /// An instant moved by `micros`.
    pub(super) fn moved(&mut self, inner: &Term, micros: i64) -> Result<Sql, RuleSqlError> {
        let Sql { text, nullable } = self.term(inner)?;
        if self.is_sqlite() {
            return Ok(Sql { text: format!("({text} + {micros})"), nullable });
        }
        // Hours, not days: a day of an interval follows the session's time zone.
        let (hours, rest) = (micros / 3_600_000_000, micros % 3_600_000_000);
        let (seconds, rest) = (rest / 1_000_000, rest % 1_000_000);
        let text = format!("({text} + interval '{hours} hours {seconds} seconds {rest} microseconds')");
        Ok(Sql { text, nullable })
    }

    /// Compares an instant that is read from a field with a known one: the column stays bare.
    pub(super) fn compare_with_time(&mut self, comparison: Comparison, left: &Term, micros: i64) -> Compiled {
        if let Some((field, moved)) = left.moved_field() {
            return self.compare_column(comparison, field, i128::from(micros) - i128::from(moved));
        }
        let left = self.term(left)?;
        let right = Sql { text: self.literal(Datum::Time(micros)), nullable: false };
        Ok(compared(comparison, &left, &right))
    }

    fn compare_column(&mut self, comparison: Comparison, field: &FieldTerm, micros: i128) -> Compiled {
        let point = self.instant(micros);
        self.compare_point(comparison, field, point)
    }

    fn instant(&mut self, micros: i128) -> Point {
        let least = Timestamp::from_micros(i64::MIN).micros();
        let most = Timestamp::from_micros(i64::MAX).micros();
        if micros < i128::from(least) {
            return Point::Below;
        }
        match i64::try_from(micros) {
            Ok(micros) if micros <= most => Point::At(self.literal(Datum::Time(micros))),
            _ => Point::Above,
        }
    }

    fn day(&mut self, number: i128) -> Point {
        match i64::try_from(number).ok().and_then(date_of) {
            Some(date) => Point::At(self.literal(Datum::Date(date))),
            None if number < 0 => Point::Below,
            None => Point::Above,
        }
    }

    fn compare_point(&mut self, comparison: Comparison, field: &FieldTerm, point: Point) -> Compiled {
        let column = self.column(field)?;
        let all = match point {
            Point::At(text) => return Ok(compared(comparison, &column, &Sql { text, nullable: false })),
            Point::Below => matches!(comparison, Comparison::Greater | Comparison::GreaterOrEqual),
            Point::Above => matches!(comparison, Comparison::Less | Comparison::LessOrEqual),
        };
        Ok(match comparison {
            Comparison::NotEqual => truth(true),
            _ if all => is_not_null(&column),
            _ => truth(false),
        })
    }

    /// `days_since(field)` compared with a number, as bounds on the field, so that an index on it serves; nothing if
    /// `left` is something else.
    pub(super) fn compare_days(
        &mut self,
        comparison: Comparison,
        left: &Term,
        right: Number,
    ) -> Result<Option<String>, RuleSqlError> {
        let Term::DaysSince(inner) = left else { return Ok(None) };
        let Some((field, moved)) = inner.moved_field() else { return Ok(None) };
        let (comparison, days) = match bound(comparison, right, 0) {
            Bound::Units(comparison, days) => (comparison, i128::from(days)),
            Bound::Always if comparison == Comparison::NotEqual => return Ok(Some(truth(true))),
            Bound::Always => return Ok(Some(is_not_null(&self.column(field)?))),
            Bound::Never => return Ok(Some(truth(false))),
        };
        // Since the days are rounded down, "n days or more" is "at the point n days ago or earlier".
        let text = match comparison {
            Comparison::GreaterOrEqual => self.ago(Comparison::LessOrEqual, field, moved, days)?,
            Comparison::Greater => self.ago(Comparison::LessOrEqual, field, moved, days + 1)?,
            Comparison::Less => self.ago(Comparison::Greater, field, moved, days)?,
            Comparison::LessOrEqual => self.ago(Comparison::Greater, field, moved, days + 1)?,
            Comparison::Equal => {
                let at_least = self.ago(Comparison::LessOrEqual, field, moved, days)?;
                format!("({at_least} and {})", self.ago(Comparison::Greater, field, moved, days + 1)?)
            }
            Comparison::NotEqual => {
                let fewer = self.ago(Comparison::Greater, field, moved, days)?;
                let more = self.ago(Comparison::LessOrEqual, field, moved, days + 1)?;
                format!("({fewer} or {more} or {} is null)", self.column(field)?.text)
            }
        };
        Ok(Some(text))
    }

    /// Compares a field with the point `days` ago.
    fn ago(&mut self, comparison: Comparison, field: &FieldTerm, moved: i64, days: i128) -> Compiled {
        let now = self.target.now;
        let point = if field.kind == FieldKind::Date {
            self.day(i128::from(day_of(now)) - days)
        } else {
            self.instant(i128::from(now.micros()) - i128::from(moved) - days * i128::from(DAY_MICROS))
        };
        self.compare_point(comparison, field, point)
    }

    /// `days_since` as a number.
    pub(super) fn days_since(&mut self, inner: &Term) -> Result<NumberSql, RuleSqlError> {
        let now = self.target.now;
        let Sql { text, nullable } = self.term(inner)?;
        let is_date = matches!(inner, Term::Field(FieldTerm { kind: FieldKind::Date, .. }));
        let text = match (is_date, self.is_sqlite()) {
            // Bound, not written: the text stays the same from one instant to the next.
            (true, true) => format!("({} - unixepoch({text}) / 86400)", self.bind(SqlBind::Integer(day_of(now)))),
            (true, false) => {
                format!("({} - ({text} - date '1970-01-01'))::numeric", self.bind(SqlBind::Integer(day_of(now))))
            }
            (false, true) => {
                let from = self.bind(SqlBind::Integer(now.micros() + PERIODS * DAY_MICROS));
                format!("(({from} - {text}) / {DAY_MICROS} - {PERIODS})")
            }
            (false, false) => {
                let now = self.literal(Datum::Time(now.micros()));
                let micros = format!("extract(epoch from ({now} - {text})) * 1000000");
                format!("(div({micros} + {}, {DAY_MICROS}) - {PERIODS})", PERIODS * DAY_MICROS)
            }
        };
        Ok(NumberSql { text, scale: 0, bound: DAYS_MAX, nullable, tests: Vec::new() })
    }
}
