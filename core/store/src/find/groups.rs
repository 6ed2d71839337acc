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
            write!(text, " group by {groups}").expect("a text takes any text");
            if self.dialect == Dialect::Postgres && looks_beyond(query) {
                text = format!("with g as materialized ({text}) select * from g");
            }
            let nulls = if self.dialect == Dialect::Postgres { " nulls first" } else { "" };
            let order: Vec<String> = (1..=query.group_by.len()).map(|place| format!("{place}{nulls}")).collect();
            write!(text, " order by {}", order.join(", ")).expect("a text takes any text");
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

/// Whether the rule looks at more than the record. PostgreSQL knows little of how many records are left then, and hopes that the first groups
/// are there soon: it looked into the segment for each of a million answers. All groups are made at once in place of that.
fn looks_beyond(query: &GroupQuery) -> bool {
    query.rule.as_ref().is_some_and(|rule| !rule.memberships().is_empty() || !rule.references().is_empty())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use rapport_model::rule::{ParamTypes, Params, Rule, Scope};
    use rapport_model::schema::{FieldDef, Origin};
    use rapport_model::{ObjectDef, Schema, Timestamp};
    use sqlx::sqlite::SqliteConnection;
    use sqlx::{AssertSqlSafe, Connection as _, Row as _};

    use super::*;
    use crate::record_sql;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    /// Customers and their answers, as surveys have them.
    fn schema() -> Schema {
        let field = |text: &str, kind| FieldDef::new(name(text), kind);
        let customer = vec![field("country", FieldKind::Text)];
        let list = ["customer", "number", "value", "first", "amount", "answered_at"].map(name).to_vec();
        let answer = vec![
            FieldDef { indexed: true, indexed_with: list, ..field("item", FieldKind::Text) },
            field("customer", FieldKind::Reference { object: name("customer") }),
            field("number", FieldKind::Integer),
            field("value", FieldKind::Text),
            field("first", FieldKind::Boolean),
            field("amount", FieldKind::Decimal { scale: 6 }),
            field("answered_at", FieldKind::Timestamp),
            field("body", FieldKind::Text),
        ];
        let object = |text: &str, fields| Arc::new(ObjectDef::new(name(text), Origin::Custom, None, fields));
        let objects = [object("customer", customer), object("answer", answer)];
        Schema { objects: HashMap::from(objects.map(|object| (object.name.clone(), object))), ..Schema::default() }
    }

    /// What SQLite says of how it reads the answers in `rule`, grouped as a report has them.
    async fn plan(rule: &str) -> Vec<String> {
        let schema = schema();
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        for object in schema.sorted_objects().into_iter().rev() {
            let mut statements = record_sql::create_table(&object, Dialect::Sqlite);
            let covering = |field| record_sql::covering_index(&object.name, field, Dialect::Sqlite);
            statements.extend(object.fields.iter().filter_map(covering));
            for statement in statements {
                sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
            }
        }
        let answer = schema.object("answer").unwrap();
        let rule = Rule::parse(rule, &Scope::Record(answer.clone()), &schema, &ParamTypes::none()).unwrap();
        let now = Timestamp::from_micros(0);
        let query = GroupQuery {
            object: answer.name.clone(),
            rule: Some(rule.clone()),
            params: Params::none(),
            now,
            group_by: ["number", "value", "first"].map(name).to_vec(),
            measures: vec![Measure::Count, Measure::Sum(name("amount"))],
            limit: 1_000,
        };
        let mut select = Select::new(answer, (Dialect::Sqlite, false));
        select.filter(&RecordQuery { rule: Some(rule), ..RecordQuery::new(answer.name.clone(), now, 1_000) }).unwrap();
        let (text, _) = select.groups(&query).unwrap();
        let rows = sqlx::query(AssertSqlSafe(format!("explain query plan {text}"))).fetch_all(&mut connection).await;
        rows.unwrap().iter().map(|row| row.get("detail")).collect()
    }

    #[tokio::test]
    async fn groups_of_one_value_are_read_from_its_index_over_several_fields() {
        for rule in [
            "item == 'nps/likely'",
            "item == 'nps/likely' && customer.country == 'DE'",
            "item == 'nps/likely' && customer.country == 'DE' && answered_at >= timestamp('2026-01-01T00:00:00Z')",
        ] {
            let plan = plan(rule).await;
            let covered = "SEARCH t USING COVERING INDEX c_answer_item (item=?";
            assert!(plan.iter().any(|step| step.starts_with(covered)), "{rule}: {plan:#?}");
        }
        // What it does not hold is read from the records.
        let plan = plan("item == 'nps/likely' && body != null").await;
        assert!(plan.iter().all(|step| !step.contains("COVERING INDEX c_answer_item")), "{plan:#?}");
    }
}
