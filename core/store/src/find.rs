//! Reads records: by id, by unique values, by rules.

mod groups;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use rapport_model::json::to_json;
use rapport_model::{FieldKind, Name, ObjectDef, Record, RecordId, Value};

use crate::db::{Cell, Query, Statement};
use crate::error::StoreError;
use crate::query::{Direction, RecordQuery};
use crate::record_sql;
use crate::rule_sql::{self, Dialect};
use crate::shared::Shared;
use crate::stats::add;

impl Shared {
    pub(crate) fn object(&self, name: &Name) -> Result<Arc<ObjectDef>, StoreError> {
        let schema = self.schema.load();
        schema.object(name.as_str()).cloned().ok_or_else(|| StoreError::UnknownObject(name.to_string()))
    }

    async fn read_records(
        &self,
        object: &Arc<ObjectDef>,
        statements: Vec<Statement>,
    ) -> Result<Vec<Arc<Record>>, StoreError> {
        let mut records = Vec::new();
        for statement in statements {
            for row in self.pool.fetch(statement).await? {
                records.push(Arc::new(record_sql::read(&row, object)?));
            }
        }
        Ok(records)
    }

    /// The records with these ids, in their order: from memory, else from the database.
    pub(crate) async fn records(&self, name: &Name, ids: &[RecordId]) -> Result<Vec<Option<Arc<Record>>>, StoreError> {
        let ticket = self.cache.ticket();
        let object = self.object(name)?;
        let mut found: Vec<Option<Arc<Record>>> = ids.iter().map(|id| self.cache.get(name, *id)).collect();
        let missing: Vec<RecordId> =
            ids.iter().zip(&found).filter(|(_, record)| record.is_none()).map(|(id, _)| *id).collect();
        add(&self.counters.cache_hits, ids.len() - missing.len());
        if missing.is_empty() {
            return Ok(found);
        }
        add(&self.counters.cache_misses, missing.len());
        let statements = record_sql::by_ids(&object, &missing, self.pool.dialect());
        let read = self.read_records(&object, statements).await?;
        self.cache.fill(ticket, &read);
        let by_id: HashMap<RecordId, Arc<Record>> = read.into_iter().map(|record| (record.id, record)).collect();
        for (id, record) in ids.iter().zip(&mut found).filter(|(_, record)| record.is_none()) {
            *record = by_id.get(id).cloned();
        }
        Ok(found)
    }

    /// The records whose unique `field` has these values, in their order.
    pub(crate) async fn resolve(
        &self,
        name: &Name,
        field: &Name,
        values: &[Value],
    ) -> Result<Vec<Option<Arc<Record>>>, StoreError> {
        let ticket = self.cache.ticket();
        let object = self.object(name)?;
        let def = object.field(field.as_str()).filter(|f| f.unique);
        let def = def.ok_or_else(|| StoreError::Invalid(format!("`{name}.{field}` is no unique field")))?;
        let place = object.position(field.as_str()).unwrap_or_default();
        let mut fitted = Vec::with_capacity(values.len());
        for value in values {
            // What does not fit the field names no record.
            fitted.push(rapport_model::json::fit_value(&def.kind, value.clone()).unwrap_or_default());
        }
        let wanted: Vec<Value> = fitted.iter().filter(|v| !v.is_null()).cloned().collect();
        let statements = record_sql::by_values(&object, def, &wanted, self.pool.dialect());
        let read = self.read_records(&object, statements).await?;
        self.cache.fill(ticket, &read);
        let by_value: HashMap<String, Arc<Record>> =
            read.into_iter().map(|record| (to_json(record.at(place)).to_string(), record)).collect();
        Ok(fitted.iter().map(|value| by_value.get(&to_json(value).to_string()).cloned()).collect())
    }

    /// The records that `query` asks for, in its order.
    pub(crate) async fn find(&self, query: &RecordQuery) -> Result<Vec<Arc<Record>>, StoreError> {
        let ticket = self.cache.ticket();
        let object = self.object(&query.object)?;
        let mut select = Select::new(&object, self.target());
        select.filter(query)?;
        let text = select.page(query)?;
        let statement = Query::new(&text, select.cells).into();
        let read = self.read_records(&object, vec![statement]).await?;
        self.cache.fill(ticket, &read);
        Ok(read)
    }

    /// The greatest id of an object's records.
    pub(crate) async fn last_id(&self, name: &Name) -> Result<Option<RecordId>, StoreError> {
        let object = self.object(name)?;
        let text = format!("select t.\"id\" from \"o_{}\" as t order by t.\"id\" desc limit 1", object.name);
        let rows = self.pool.fetch(Query::new(&text, Vec::new())).await?;
        Ok(rows.first().map(|row| row.record_id(0)).transpose()?)
    }

    /// How many records `query` means, its page aside.
    pub(crate) async fn count(&self, query: &RecordQuery) -> Result<u64, StoreError> {
        let object = self.object(&query.object)?;
        let mut select = Select::new(&object, self.target());
        select.filter(query)?;
        let text = format!("select count(*) from \"o_{}\" as t{}{}", object.name, select.joins, select.conditions);
        let rows = self.pool.fetch(Query::new(&text, select.cells)).await?;
        let count = rows.first().map(|row| row.int(0)).transpose()?.unwrap_or(0);
        Ok(u64::try_from(count).unwrap_or(0))
    }
}

/// A select in the making.
#[derive(Clone)]
pub(crate) struct Select<'a> {
    object: &'a ObjectDef,
    dialect: Dialect,
    joined: bool,
    pub(crate) joins: String,
    /// Empty, or ` where …`.
    pub(crate) conditions: String,
    pub(crate) cells: Vec<Cell>,
}

impl<'a> Select<'a> {
    /// Whose SQL is written, and whether histories are joined: as [`Shared::target`] has it.
    pub(crate) const fn new(object: &'a ObjectDef, (dialect, joined): (Dialect, bool)) -> Self {
        Self { object, dialect, joined, joins: String::new(), conditions: String::new(), cells: Vec::new() }
    }

    pub(crate) fn and(&mut self, condition: &str) {
        self.conditions.push_str(if self.conditions.is_empty() { " where (" } else { " and (" });
        self.conditions.push_str(condition);
        self.conditions.push(')');
    }

    pub(crate) fn filter(&mut self, query: &RecordQuery) -> Result<(), StoreError> {
        let Some(rule) = &query.rule else { return Ok(()) };
        let target = rule_sql::Target {
            dialect: self.dialect,
            joined: self.joined,
            now: query.now,
            params: &query.params,
            first_placeholder: self.cells.len() + 1,
        };
        let compiled = rule_sql::compile(rule, &target).map_err(|e| StoreError::Invalid(e.to_string()))?;
        self.joins = compiled.joins;
        self.and(&compiled.text);
        self.cells.extend(compiled.binds.into_iter().map(Cell::from));
        Ok(())
    }

    /// The kind of a field or system field.
    fn kind(&self, name: &Name) -> Result<FieldKind, StoreError> {
        match name.as_str() {
            "id" => Ok(FieldKind::Reference { object: self.object.name.clone() }),
            "version" => Ok(FieldKind::Integer),
            "created_at" | "updated_at" => Ok(FieldKind::Timestamp),
            other => match self.object.field(other).map(|f| &f.kind) {
                Some(kind @ (FieldKind::Json | FieldKind::Tags)) => {
                    let what = if *kind == FieldKind::Tags { "a set of tags" } else { "JSON" };
                    Err(StoreError::Invalid(format!("`{name}` is {what}, which has no order")))
                }
                Some(kind) => Ok(kind.clone()),
                None => Err(rapport_model::image::Unfit::UnknownField {
                    object: self.object.name.clone(),
                    field: name.to_string(),
                }
                .into()),
            },
        }
    }

    fn page(&mut self, query: &RecordQuery) -> Result<String, StoreError> {
        if let Some((values, id)) = &query.after {
            let condition = self.after(&query.order, values, *id)?;
            self.and(&condition);
        }
        let mut order = String::new();
        for (name, direction) in &query.order {
            self.kind(name)?;
            // Nulls come first on the way up and last on the way down, as SQLite has it.
            let way = match (direction, self.dialect) {
                (Direction::Ascending, Dialect::Sqlite) => "",
                (Direction::Descending, Dialect::Sqlite) => " desc",
                (Direction::Ascending, Dialect::Postgres) => " nulls first",
                (Direction::Descending, Dialect::Postgres) => " desc nulls last",
            };
            write!(order, "t.\"{name}\"{way}, ").expect("a text takes any text");
        }
        let select = record_sql::select(self.object);
        let Select { joins, conditions, .. } = self;
        Ok(format!("{select}{joins}{conditions} order by {order}t.\"id\" limit {}", query.limit))
    }

    /// The condition that a record comes after the one with these values in the order.
    fn after(&mut self, order: &[(Name, Direction)], values: &[Value], id: RecordId) -> Result<String, StoreError> {
        if order.len() != values.len() {
            return Err(StoreError::Invalid("the cursor does not belong to this order".into()));
        }
        let mut condition = format!("t.\"id\" > {}", self.placeholder(Cell::id(id)));
        for ((name, direction), value) in order.iter().zip(values).rev() {
            let kind = self.kind(name)?;
            let column = format!("t.\"{name}\"");
            let null = value.is_null();
            condition = match (direction, null) {
                (Direction::Ascending, true) => format!("{column} is not null or ({column} is null and ({condition}))"),
                (Direction::Descending, true) => format!("{column} is null and ({condition})"),
                (direction, false) => {
                    let value = rapport_model::json::fit_value(&kind, value.clone())
                        .map_err(|why| StoreError::Invalid(format!("the cursor does not fit `{name}`: {why}")))?;
                    let bound = self.placeholder(Cell::of(&value, &kind, self.dialect));
                    match direction {
                        Direction::Ascending => format!("{column} > {bound} or ({column} = {bound} and ({condition}))"),
                        Direction::Descending => {
                            format!("{column} < {bound} or {column} is null or ({column} = {bound} and ({condition}))")
                        }
                    }
                }
            };
        }
        Ok(condition)
    }

    fn placeholder(&mut self, cell: Cell) -> String {
        self.cells.push(cell);
        format!("${}", self.cells.len())
    }
}
