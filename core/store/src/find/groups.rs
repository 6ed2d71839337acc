//! Groups of records and what is measured of them, in one statement.

use std::fmt::Write as _;

use rapport_model::{FieldKind, Name, Value};
use rust_decimal::Decimal;

use super::Select;
use crate::db::{Query, Row};
use crate::error::StoreError;
use crate::query::{GroupQuery, Measure, RecordQuery};
use crate::rule_sql::Dialect;
use crate::shared::Shared;

/// The lower half of a whole number of 64 bits.
const LOW: i64 = 0xffff_ffff;

/// How a value of a row is read.
enum Column {
    /// As a field of that kind.
    Plain(FieldKind),
    /// From the sums of the upper and the lower halves, so that no sum overflows; with the scale of a decimal.
    Halves(Option<u8>),
}

impl Shared {
    /// The rows that `query` asks for.
    pub(crate) async fn groups(&self, query: &GroupQuery) -> Result<Vec<Vec<Value>>, StoreError> {
        let object = self.object(&query.object)?;
        let mut select = Select::new(&object, self.target());
        let mut filter = RecordQuery::new(query.object.clone(), query.now, query.limit);
        (filter.rule, filter.params) = (query.rule.clone(), query.params.clone());
        select.filter(&filter)?;
        let (text, columns) = select.groups(query)?;
        let rows = self.pool.fetch(Query::new(&text, select.cells)).await?;
        let read = |row: &Row| {
            let mut place = 0;
            columns.iter().map(|column| column.read(row, &mut place)).collect()
        };
        rows.iter().map(read).collect()
    }
}

impl Column {
    fn read(&self, row: &Row, place: &mut usize) -> Result<Value, StoreError> {
        let first = *place;
        *place += 1;
        let scale = match self {
            Self::Plain(kind) => return Ok(row.value(first, kind)?),
            Self::Halves(scale) => scale,
        };
        *place += 1;
        let (Some(high), Some(low)) = (row.opt_int(first)?, row.opt_int(first + 1)?) else { return Ok(Value::Null) };
        let sum = (i128::from(high) << 32) + i128::from(low);
        let large = || StoreError::Invalid("the sum is larger than a number can be".into());
        match scale {
            None => i64::try_from(sum).map(Value::Int).map_err(|_| large()),
            Some(scale) => {
                Decimal::try_from_i128_with_scale(sum, u32::from(*scale)).map(Value::Decimal).map_err(|_| large())
            }
        }
    }
}

impl Select<'_> {
    fn groups(&self, query: &GroupQuery) -> Result<(String, Vec<Column>), StoreError> {
        let (mut shown, mut columns) = (Vec::new(), Vec::new());
        for name in &query.group_by {
            columns.push(Column::Plain(self.kind(name)?));
            shown.push(format!("t.\"{name}\""));
        }
        let groups = shown.join(", ");
        for measure in &query.measures {
            let (text, column) = self.measure(measure)?;
            shown.push(text);
            columns.push(column);
        }
        if shown.is_empty() {
            return Err(StoreError::Invalid("nothing is grouped by and nothing is measured".into()));
        }
        let Select { joins, conditions, .. } = self;
        let mut text = format!("select {} from \"o_{}\" as t{joins}{conditions}", shown.join(", "), self.object.name);
        if !query.group_by.is_empty() {
            let nulls = if self.dialect == Dialect::Postgres { " nulls first" } else { "" };
            let order: Vec<String> = query.group_by.iter().map(|name| format!("t.\"{name}\"{nulls}")).collect();
            write!(text, " group by {groups} order by {}", order.join(", ")).expect("a text takes any text");
        }
        write!(text, " limit {}", query.limit).expect("a text takes any text");
        Ok((text, columns))
    }

    fn measure(&self, measure: &Measure) -> Result<(String, Column), StoreError> {
        let (word, name) = match measure {
            Measure::Count => return Ok(("count(*)".into(), Column::Plain(FieldKind::Integer))),
            Measure::Sum(name) => return self.sum(name),
            Measure::Min(name) => ("min", name),
            Measure::Max(name) => ("max", name),
        };
        let kind = self.kind(name)?;
        if matches!(kind, FieldKind::Boolean | FieldKind::Reference { .. }) {
            return Err(StoreError::Invalid(format!("`{name}` has no least and no greatest value")));
        }
        Ok((format!("{word}(t.\"{name}\")"), Column::Plain(kind)))
    }

    fn sum(&self, name: &Name) -> Result<(String, Column), StoreError> {
        let scale = match (self.kind(name)?, self.dialect) {
            (kind @ FieldKind::Decimal { .. }, Dialect::Postgres) => {
                return Ok((format!("sum(t.\"{name}\")"), Column::Plain(kind)));
            }
            (FieldKind::Decimal { scale }, Dialect::Sqlite) => Some(scale),
            (FieldKind::Integer, _) => None,
            _ => return Err(StoreError::Invalid(format!("`{name}` holds no number"))),
        };
        let half = |half: &str| format!("cast(sum(t.\"{name}\" {half}) as bigint)");
        Ok((format!("{}, {}", half(">> 32"), half(&format!("& {LOW}"))), Column::Halves(scale)))
    }
}
