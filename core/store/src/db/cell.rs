//! Values on their way to the database.

use std::sync::Arc;

use rapport_model::schema::FieldKind;
use rapport_model::{RecordId, Timestamp, Value};
use rust_decimal::Decimal;
use sqlx::Arguments;
use sqlx::postgres::PgArguments;
use sqlx::sqlite::SqliteArguments;
use uuid::Uuid;

use super::error::DbError;
use super::pg_types::{PgDay, PgInstant, PgJson};
use crate::rule_sql::{Dialect, SqlBind};

/// What a column or placeholder holds, as the databases see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// `integer`, `bigint`.
    Int,
    /// `integer`, `boolean`.
    Bool,
    /// `text`.
    Text,
    /// `blob`, `bytea`.
    Bytes,
    /// `blob` of 16 bytes, `uuid`.
    Id,
    /// PostgreSQL's `numeric`.
    Decimal,
    /// PostgreSQL's `date`, in days since 1970.
    Day,
    /// PostgreSQL's `timestamptz`, in microseconds since 1970.
    Time,
    /// `text`, `json`.
    Json,
}

impl Kind {
    /// How a field of `kind` is stored.
    pub(crate) const fn of(kind: &FieldKind, dialect: Dialect) -> Self {
        match (kind, dialect) {
            (FieldKind::Text | FieldKind::Choice { .. }, _) | (FieldKind::Date, Dialect::Sqlite) => Self::Text,
            (FieldKind::Integer, _) | (FieldKind::Decimal { .. } | FieldKind::Timestamp, Dialect::Sqlite) => Self::Int,
            (FieldKind::Decimal { .. }, Dialect::Postgres) => Self::Decimal,
            (FieldKind::Boolean, _) => Self::Bool,
            (FieldKind::Date, Dialect::Postgres) => Self::Day,
            (FieldKind::Timestamp, Dialect::Postgres) => Self::Time,
            (FieldKind::Reference { .. }, _) => Self::Id,
            (FieldKind::Json | FieldKind::Tags, _) => Self::Json,
        }
    }

    /// How an instant of a record is stored.
    pub(crate) const fn instant(dialect: Dialect) -> Self {
        Self::of(&FieldKind::Timestamp, dialect)
    }

    /// PostgreSQL's name of an array of these.
    pub(crate) const fn pg_array(self) -> &'static str {
        match self {
            Self::Int => "bigint[]",
            Self::Bool => "boolean[]",
            Self::Text => "text[]",
            Self::Bytes => "bytea[]",
            Self::Id => "uuid[]",
            Self::Decimal => "numeric[]",
            Self::Day => "date[]",
            Self::Time => "timestamptz[]",
            Self::Json => "json[]",
        }
    }
}

/// A value on its way to the database.
#[derive(Debug, Clone)]
pub(crate) enum Cell {
    Null(Kind),
    Int(i64),
    Bool(bool),
    Text(Arc<str>),
    Owned(String),
    Bytes(Vec<u8>),
    Id(Uuid),
    Decimal(Decimal),
    Day(i32),
    Time(i64),
    Json(String),
}

impl Cell {
    /// A value of a field, as it is stored. The value fits the field: [`rapport_model::json::fit_value`] made it so.
    pub(crate) fn of(value: &Value, kind: &FieldKind, dialect: Dialect) -> Self {
        match (value, dialect) {
            (Value::Null, _) => Self::Null(Kind::of(kind, dialect)),
            (Value::Bool(b), _) => Self::Bool(*b),
            (Value::Int(n), _) => match kind {
                FieldKind::Decimal { .. } => Self::decimal(Decimal::from(*n), kind, dialect),
                _ => Self::Int(*n),
            },
            (Value::Decimal(d), _) => Self::decimal(*d, kind, dialect),
            (Value::Text(t), _) => Self::Text(t.clone()),
            (Value::Date(d), Dialect::Sqlite) => Self::Owned(d.to_string()),
            (Value::Date(d), Dialect::Postgres) => Self::Day(rapport_model::rule::days::day_number(*d)),
            (Value::Time(t), dialect) => Self::instant(*t, dialect),
            (Value::Ref(id), _) => Self::Id(id.0),
            (Value::Json(json), _) => Self::Json(json.to_string()),
        }
    }

    fn decimal(mut number: Decimal, kind: &FieldKind, dialect: Dialect) -> Self {
        if dialect == Dialect::Postgres {
            return Self::Decimal(number);
        }
        if let FieldKind::Decimal { scale } = kind {
            number.rescale(u32::from(*scale));
        }
        // Fields have 15 digits at most; what could not be stored exactly has been refused before.
        Self::Int(i64::try_from(number.mantissa()).unwrap_or(i64::MAX))
    }

    /// An instant of a record.
    pub(crate) const fn instant(time: Timestamp, dialect: Dialect) -> Self {
        match dialect {
            Dialect::Sqlite => Self::Int(time.micros()),
            Dialect::Postgres => Self::Time(time.micros()),
        }
    }

    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.into())
    }

    pub(crate) const fn id(id: RecordId) -> Self {
        Self::Id(id.0)
    }

    /// `Some` as `make` has it, `None` as a null of `kind`.
    pub(crate) fn maybe<T>(value: Option<T>, kind: Kind, make: impl FnOnce(T) -> Self) -> Self {
        value.map_or(Self::Null(kind), make)
    }

    /// Adds this value to the arguments of a statement for SQLite.
    pub(super) fn add_sqlite(self, arguments: &mut SqliteArguments) -> Result<(), DbError> {
        let added = match self {
            Self::Null(_) => arguments.add(None::<i64>),
            Self::Int(n) | Self::Time(n) => arguments.add(n),
            Self::Bool(b) => arguments.add(i64::from(b)),
            Self::Text(t) => arguments.add(t),
            Self::Owned(t) | Self::Json(t) => arguments.add(t),
            Self::Bytes(b) => arguments.add(b),
            Self::Id(id) => arguments.add(id),
            Self::Decimal(d) => arguments.add(d.to_string()),
            Self::Day(d) => arguments.add(i64::from(d)),
        };
        added.map_err(|e| DbError::Other(format!("a value cannot be bound: {e}")))
    }

    /// Adds this value to the arguments of a statement for PostgreSQL.
    pub(super) fn add_postgres(self, arguments: &mut PgArguments) -> Result<(), DbError> {
        let added = match self {
            Self::Null(kind) => match kind {
                Kind::Int => arguments.add(None::<i64>),
                Kind::Bool => arguments.add(None::<bool>),
                Kind::Text => arguments.add(None::<String>),
                Kind::Bytes => arguments.add(None::<Vec<u8>>),
                Kind::Id => arguments.add(None::<Uuid>),
                Kind::Decimal => arguments.add(None::<Decimal>),
                Kind::Day => arguments.add(None::<PgDay>),
                Kind::Time => arguments.add(None::<PgInstant>),
                Kind::Json => arguments.add(None::<PgJson>),
            },
            Self::Int(n) => arguments.add(n),
            Self::Bool(b) => arguments.add(b),
            Self::Text(t) => arguments.add(&*t),
            Self::Owned(t) => arguments.add(t),
            Self::Bytes(b) => arguments.add(b),
            Self::Id(id) => arguments.add(id),
            Self::Decimal(d) => arguments.add(d),
            Self::Day(d) => arguments.add(PgDay(d)),
            Self::Time(t) => arguments.add(PgInstant(t)),
            Self::Json(t) => arguments.add(PgJson(t)),
        };
        added.map_err(|e| DbError::Other(format!("a value cannot be bound: {e}")))
    }
}

impl From<SqlBind> for Cell {
    fn from(bind: SqlBind) -> Self {
        match bind {
            SqlBind::Integer(n) => Self::Int(n),
            SqlBind::Decimal(d) => Self::Decimal(d),
            SqlBind::Text(t) => Self::Text(t),
            SqlBind::Day(d) => Self::Day(d),
            SqlBind::Time(t) => Self::Time(t),
            SqlBind::Id(id) => Self::Id(id.0),
        }
    }
}

macro_rules! column {
    ($cells:expr, $arguments:expr, $pattern:pat => $value:expr, $type:ty) => {{
        let column: Vec<Option<$type>> = $cells
            .map(|cell| match cell {
                $pattern => Some($value),
                _ => None,
            })
            .collect();
        $arguments.add(column)
    }};
}

/// Adds the column `index` of `cells` (rows of `width`) as one array of `kind`. A cell of another kind counts as null.
pub(super) fn add_array(
    arguments: &mut PgArguments,
    cells: &mut [Cell],
    (index, width): (usize, usize),
    kind: Kind,
) -> Result<(), DbError> {
    let column = cells.iter_mut().skip(index).step_by(width).map(|cell| std::mem::replace(cell, Cell::Null(kind)));
    let added = match kind {
        Kind::Int => column!(column, arguments, Cell::Int(n) => n, i64),
        Kind::Bool => column!(column, arguments, Cell::Bool(b) => b, bool),
        Kind::Text => {
            let texts: Vec<Option<String>> = column
                .map(|cell| match cell {
                    Cell::Text(t) => Some(String::from(&*t)),
                    Cell::Owned(t) => Some(t),
                    _ => None,
                })
                .collect();
            arguments.add(texts)
        }
        Kind::Bytes => column!(column, arguments, Cell::Bytes(b) => b, Vec<u8>),
        Kind::Id => column!(column, arguments, Cell::Id(id) => id, Uuid),
        Kind::Decimal => column!(column, arguments, Cell::Decimal(d) => d, Decimal),
        Kind::Day => column!(column, arguments, Cell::Day(d) => PgDay(d), PgDay),
        Kind::Time => column!(column, arguments, Cell::Time(t) => PgInstant(t), PgInstant),
        Kind::Json => column!(column, arguments, Cell::Json(t) => PgJson(t), PgJson),
    };
    added.map_err(|e| DbError::Other(format!("a column cannot be bound: {e}")))
}
