//! Rows on their way from the database, read by place.

use std::str::FromStr;
use std::sync::Arc;

use jiff::civil::Date;
use rapport_model::schema::FieldKind;
use rapport_model::{Digest, RecordId, RunId, Timestamp, Value};
use rust_decimal::Decimal;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::error::DbError;
use super::pg_types::{PgDay, PgInstant, PgJson};

/// A row of either database.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

macro_rules! get {
    ($row:expr, $index:expr, $type:ty) => {
        match $row {
            Row::Sqlite(row) => row.try_get_unchecked::<$type, _>($index).map_err(DbError::from),
            Row::Postgres(row) => row.try_get_unchecked::<$type, _>($index).map_err(DbError::from),
        }
    };
}

fn odd(index: usize, what: &str) -> DbError {
    DbError::Other(format!("column {index} holds no {what}"))
}

impl Row {
    pub(crate) fn int(&self, index: usize) -> Result<i64, DbError> {
        get!(self, index, i64)
    }

    pub(crate) fn opt_int(&self, index: usize) -> Result<Option<i64>, DbError> {
        get!(self, index, Option<i64>)
    }

    pub(crate) fn truth(&self, index: usize) -> Result<bool, DbError> {
        match self {
            Self::Sqlite(_) => Ok(self.int(index)? != 0),
            Self::Postgres(row) => Ok(row.try_get_unchecked::<bool, _>(index)?),
        }
    }

    pub(crate) fn text(&self, index: usize) -> Result<String, DbError> {
        get!(self, index, String)
    }

    pub(crate) fn opt_text(&self, index: usize) -> Result<Option<String>, DbError> {
        get!(self, index, Option<String>)
    }

    pub(crate) fn bytes(&self, index: usize) -> Result<Vec<u8>, DbError> {
        get!(self, index, Vec<u8>)
    }

    pub(crate) fn opt_bytes(&self, index: usize) -> Result<Option<Vec<u8>>, DbError> {
        get!(self, index, Option<Vec<u8>>)
    }

    pub(crate) fn opt_uuid(&self, index: usize) -> Result<Option<Uuid>, DbError> {
        get!(self, index, Option<Uuid>)
    }

    pub(crate) fn record_id(&self, index: usize) -> Result<RecordId, DbError> {
        get!(self, index, Uuid).map(RecordId)
    }

    pub(crate) fn run_id(&self, index: usize) -> Result<RunId, DbError> {
        get!(self, index, Uuid).map(RunId)
    }

    pub(crate) fn digest(&self, index: usize) -> Result<Digest, DbError> {
        self.bytes(index)?.try_into().map(Digest).map_err(|_| odd(index, "digest"))
    }

    /// An instant of a system table: microseconds on both.
    pub(crate) fn micros(&self, index: usize) -> Result<Timestamp, DbError> {
        self.int(index).map(Timestamp::from_micros)
    }

    pub(crate) fn opt_micros(&self, index: usize) -> Result<Option<Timestamp>, DbError> {
        Ok(self.opt_int(index)?.map(Timestamp::from_micros))
    }

    /// An instant of a record.
    pub(crate) fn instant(&self, index: usize) -> Result<Timestamp, DbError> {
        match self {
            Self::Sqlite(_) => self.micros(index),
            Self::Postgres(row) => Ok(Timestamp::from_micros(row.try_get_unchecked::<PgInstant, _>(index)?.0)),
        }
    }

    /// The value of a field of `kind`.
    pub(crate) fn value(&self, index: usize, kind: &FieldKind) -> Result<Value, DbError> {
        let value = match self {
            Self::Sqlite(row) => sqlite_value(row, index, kind)?,
            Self::Postgres(row) => postgres_value(row, index, kind)?,
        };
        Ok(value.unwrap_or_default())
    }
}

fn json(index: usize, text: &str) -> Result<Value, DbError> {
    serde_json::from_str(text).map(|json| Value::Json(Arc::new(json))).map_err(|_| odd(index, "JSON"))
}

fn sqlite_value(row: &SqliteRow, index: usize, kind: &FieldKind) -> Result<Option<Value>, DbError> {
    let int = || row.try_get_unchecked::<Option<i64>, _>(index);
    let text = || row.try_get_unchecked::<Option<&str>, _>(index);
    Ok(match kind {
        FieldKind::Text | FieldKind::Choice { .. } => text()?.map(|t| Value::Text(t.into())),
        FieldKind::Integer => int()?.map(Value::Int),
        FieldKind::Decimal { scale } => int()?.map(|n| Value::Decimal(Decimal::new(n, u32::from(*scale)))),
        FieldKind::Boolean => int()?.map(|n| Value::Bool(n != 0)),
        FieldKind::Date => {
            let date = text()?.map(|t| Date::from_str(t).map_err(|_| odd(index, "date"))).transpose()?;
            date.map(Value::Date)
        }
        FieldKind::Timestamp => int()?.map(|n| Value::Time(Timestamp::from_micros(n))),
        FieldKind::Reference { .. } => {
            row.try_get_unchecked::<Option<Uuid>, _>(index)?.map(|id| Value::Ref(RecordId(id)))
        }
        FieldKind::Json | FieldKind::Tags => text()?.map(|t| json(index, t)).transpose()?,
    })
}

fn postgres_value(row: &PgRow, index: usize, kind: &FieldKind) -> Result<Option<Value>, DbError> {
    Ok(match kind {
        FieldKind::Text | FieldKind::Choice { .. } => {
            row.try_get_unchecked::<Option<&str>, _>(index)?.map(|t| Value::Text(t.into()))
        }
        FieldKind::Integer => row.try_get_unchecked::<Option<i64>, _>(index)?.map(Value::Int),
        FieldKind::Decimal { scale } => {
            let number = row.try_get_unchecked::<Option<Decimal>, _>(index)?;
            number.map(|mut d| {
                d.rescale(u32::from(*scale));
                Value::Decimal(d)
            })
        }
        FieldKind::Boolean => row.try_get_unchecked::<Option<bool>, _>(index)?.map(Value::Bool),
        FieldKind::Date => row
            .try_get_unchecked::<Option<PgDay>, _>(index)?
            .and_then(|d| rapport_model::rule::days::date_of(i64::from(d.0)))
            .map(Value::Date),
        FieldKind::Timestamp => {
            row.try_get_unchecked::<Option<PgInstant>, _>(index)?.map(|t| Value::Time(Timestamp::from_micros(t.0)))
        }
        FieldKind::Reference { .. } => {
            row.try_get_unchecked::<Option<Uuid>, _>(index)?.map(|id| Value::Ref(RecordId(id)))
        }
        FieldKind::Json | FieldKind::Tags => {
            let text = row.try_get_unchecked::<Option<PgJson>, _>(index)?;
            text.map(|t| json(index, &t.0)).transpose()?
        }
    })
}
