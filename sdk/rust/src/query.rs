//! Reads many rows at once: chosen fields only, page by page, and sums over all rows.
//!
//! It reads what has been committed; an object that this slice has written to is refused with the code `unwritten`, so read first
//! and write then. Rights: to read the object.
//!
//! A rule may ask who is in a segment: `in_segment('vip')` whether the record is, `in_segment('vip', customer)` whether the one is that its
//! reference field `customer` refers to, which takes the right to read that object. `did` and `did_not` cannot stand here.
//!
//! ```
//! use rapport_sdk::{Fields, fake, query};
//!
//! fake::reset();
//! for points in [5, 7] {
//!     let _ = fake::insert("entry", Fields::new().with("member", "ada").with("points", points));
//! }
//! let page = query::select("entry", &["points"]).order("-points").limit(1).run().unwrap();
//! assert_eq!((page.rows[0].int(0).unwrap(), page.next.is_some()), (Some(7), true));
//! let sums = query::aggregate("entry").by("member").count().sum("points").run().unwrap();
//! assert_eq!((sums[0].text(0).unwrap().as_deref(), sums[0].int(1).unwrap(), sums[0].int(2).unwrap()), (Some("ada"), Some(2), Some(12)));
//! ```

use crate::bindings::rapport::plugin::query as wire;
use crate::door::query as door;
use crate::{Decimal, Error, Fields, Value, WrongKind};

/// Rows of a [`Select`] that sets no limit.
const ROWS_DEFAULT: u32 = 500;

/// The values of one row, in the order in which they were asked for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Row(pub Vec<Value>);

impl Row {
    /// The value of a column, from 0; null if there is none.
    #[must_use]
    pub fn value(&self, column: usize) -> &Value {
        self.0.get(column).unwrap_or(&Value::Null)
    }

    /// The value of a column as `T`; `None` if it is null.
    ///
    /// # Errors
    /// Code `wrong_kind` if it holds something else.
    pub fn read<T: TryFrom<Value, Error = WrongKind>>(&self, column: usize) -> Result<Option<T>, Error> {
        let value = self.value(column);
        if value.is_null() {
            return Ok(None);
        }
        let read = T::try_from(value.clone()).map(Some);
        read.map_err(|wrong| Error::new("wrong_kind", format!("column {column}: {wrong}")))
    }

    /// The whole number in a column; `None` if it is null.
    ///
    /// # Errors
    /// As [`Row::read`].
    pub fn int(&self, column: usize) -> Result<Option<i64>, Error> {
        self.read(column)
    }

    /// The number in a column; `None` if it is null.
    ///
    /// # Errors
    /// As [`Row::read`].
    pub fn decimal(&self, column: usize) -> Result<Option<Decimal>, Error> {
        self.read(column)
    }

    /// The text in a column; `None` if it is null.
    ///
    /// # Errors
    /// As [`Row::read`].
    pub fn text(&self, column: usize) -> Result<Option<String>, Error> {
        self.read(column)
    }
}

/// A page of rows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Page {
    /// The rows.
    pub rows: Vec<Row>,
    /// Where the next page begins: give it to [`Select::cursor`]. `None` after the last page.
    pub next: Option<String>,
}

/// Rows that are asked for; see [`select`].
#[derive(Debug, Clone, PartialEq)]
#[must_use = "it is asked by `run`"]
pub struct Select {
    object: String,
    fields: Vec<String>,
    filter: String,
    params: Fields,
    order: String,
    limit: u32,
    cursor: String,
}

/// Asks for these fields of records of `object`: by id, 500 at most, until told otherwise. `id`, `version`, `created_at` and
/// `updated_at` are fields, too.
pub fn select(object: &str, fields: &[&str]) -> Select {
    Select {
        object: object.into(),
        fields: fields.iter().map(|f| (*f).to_owned()).collect(),
        filter: String::new(),
        params: Fields::new(),
        order: String::new(),
        limit: ROWS_DEFAULT,
        cursor: String::new(),
    }
}

impl Select {
    /// Only records that a rule accepts, such as `amount > 5 && in_segment('vip', customer)`.
    pub fn filter(mut self, rule: &str) -> Self {
        self.filter = rule.into();
        self
    }

    /// A parameter of the rule.
    pub fn param(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.params.set(name, value);
        self
    }

    /// Ordered by a field; `-field` for descending.
    pub fn order(mut self, field: &str) -> Self {
        self.order = field.into();
        self
    }

    /// At most so many rows.
    pub const fn limit(mut self, rows: u32) -> Self {
        self.limit = rows;
        self
    }

    /// Goes on where a page ended.
    pub fn cursor(mut self, next: &str) -> Self {
        self.cursor = next.into();
        self
    }

    /// A page of rows.
    ///
    /// # Errors
    /// The host's: `denied`, `unwritten`, `unknown_field`, `invalid_rule` (a segment that is not there, too); `members_unknown` where
    /// nobody keeps segments, as in a backtest.
    pub fn run(self) -> Result<Page, Error> {
        let found = door::select(&wire::Selection {
            object: self.object,
            fields: self.fields,
            where_: self.filter,
            params: self.params.to_wire(),
            order: self.order,
            limit: self.limit,
            cursor: self.cursor,
        })?;
        Ok(Page { rows: found.rows.into_iter().map(row).collect(), next: found.next })
    }
}

/// Sums over records that are asked for; see [`aggregate`].
#[derive(Debug, Clone, PartialEq)]
#[must_use = "it is asked by `run`"]
pub struct Aggregate {
    object: String,
    filter: String,
    params: Fields,
    group_by: Vec<String>,
    measures: Vec<(&'static str, String)>,
}

/// Asks for sums over the records of `object`: of all, until told otherwise. A row holds the values that make its group, then the
/// measures, each in the order in which they were asked for.
pub fn aggregate(object: &str) -> Aggregate {
    let (filter, params) = (String::new(), Fields::new());
    Aggregate { object: object.into(), filter, params, group_by: Vec::new(), measures: Vec::new() }
}

impl Aggregate {
    /// Only records that a rule accepts, such as `amount > 5 && in_segment('vip', customer)`.
    pub fn filter(mut self, rule: &str) -> Self {
        self.filter = rule.into();
        self
    }

    /// A parameter of the rule.
    pub fn param(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.params.set(name, value);
        self
    }

    /// One row for each value of `field`.
    pub fn by(mut self, field: &str) -> Self {
        self.group_by.push(field.into());
        self
    }

    /// How many records there are.
    pub fn count(self) -> Self {
        self.measure("count", "")
    }

    /// The sum of a number field; null of nothing.
    pub fn sum(self, field: &str) -> Self {
        self.measure("sum", field)
    }

    /// The least value of a field; null of nothing.
    pub fn min(self, field: &str) -> Self {
        self.measure("min", field)
    }

    /// The greatest value of a field; null of nothing.
    pub fn max(self, field: &str) -> Self {
        self.measure("max", field)
    }

    fn measure(mut self, kind: &'static str, field: &str) -> Self {
        self.measures.push((kind, field.into()));
        self
    }

    /// The rows, ordered by the values that make their groups.
    ///
    /// # Errors
    /// As for [`Select::run`].
    pub fn run(self) -> Result<Vec<Row>, Error> {
        let measures = self.measures.into_iter().map(|(kind, field)| wire::Measure { kind: kind.into(), field });
        let found = door::aggregate(&wire::Grouping {
            object: self.object,
            where_: self.filter,
            params: self.params.to_wire(),
            group_by: self.group_by,
            measures: measures.collect(),
        })?;
        Ok(found.into_iter().map(row).collect())
    }
}

fn row(values: Vec<crate::bindings::rapport::plugin::types::Value>) -> Row {
    Row(values.into_iter().map(Into::into).collect())
}
