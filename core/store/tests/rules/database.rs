//! Tables of random records on both databases, and the selects of rules on them.

use std::collections::BTreeSet;
use std::sync::Arc;

use rapport_model::rule::days::day_number;
use rapport_model::rule::{Params, Rule};
use rapport_model::schema::FieldKind;
use rapport_model::{ObjectDef, Record, RecordId, Timestamp, Value};
use rapport_store::rule_sql::{Dialect, SqlBind, SqlRule, Target, compile};
use rust_decimal::Decimal;
use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgConnection, PgTypeInfo};
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Arguments, AssertSqlSafe, Connection, Postgres, Row, Type};
use uuid::Uuid;

use crate::generate::NOW;

/// Microseconds since 2000, as PostgreSQL sends a `timestamptz`.
struct Instant(i64);
/// Days since 2000, as PostgreSQL sends a `date`.
struct Day(i32);

macro_rules! wire {
    ($type:ty, $oid:literal, $epoch:literal) => {
        impl Type<Postgres> for $type {
            fn type_info() -> PgTypeInfo {
                PgTypeInfo::with_oid(Oid($oid))
            }
        }
        impl Encode<'_, Postgres> for $type {
            fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
                buffer.extend_from_slice(&(self.0 - $epoch).to_be_bytes());
                Ok(IsNull::No)
            }
        }
    };
}
wire!(Instant, 1184, 946_684_800_000_000);
wire!(Day, 1082, 10_957);

/// A time that a record spends, or spent, in a segment.
pub(crate) struct Stay {
    pub(crate) segment: &'static str,
    pub(crate) id: RecordId,
    pub(crate) is_over: bool,
}

/// A database with the tables of things and owners.
pub(crate) enum Database {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Database {
    /// SQLite in memory.
    pub(crate) async fn sqlite() -> Self {
        Self::Sqlite(SqliteConnection::connect("sqlite::memory:").await.unwrap())
    }

    /// A PostgreSQL database beside the one at `url`, with a language's order of letters and a zone with daylight saving,
    /// which a careless query would follow.
    pub(crate) async fn postgres(url: &str) -> Self {
        let mut entrance = PgConnection::connect(url).await.unwrap();
        let name = format!("{}_en", url.rsplit('/').next().unwrap());
        let make =
            format!("create database {name} template template0 locale_provider icu icu_locale 'en-US' locale 'C'");
        sqlx::raw_sql(AssertSqlSafe(make)).execute(&mut entrance).await.unwrap();
        let mut connection = PgConnection::connect(&format!("{url}_en")).await.unwrap();
        sqlx::raw_sql("set timezone to 'Europe/Paris'").execute(&mut connection).await.unwrap();
        Self::Postgres(connection)
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    async fn run(&mut self, text: String, binds: Vec<SqlBind>) -> Vec<RecordId> {
        let shown = text.clone();
        let text = AssertSqlSafe(text);
        let ids: Vec<Uuid> = match self {
            Self::Sqlite(connection) => {
                let query = sqlx::query_with(text, sqlite_arguments(binds));
                let rows = query.fetch_all(connection).await.unwrap_or_else(|error| panic!("{error}\n{shown}"));
                rows.iter().map(|row| row.get(0)).collect()
            }
            Self::Postgres(connection) => {
                let query = sqlx::query_with(text, postgres_arguments(binds));
                let rows = query.fetch_all(connection).await.unwrap_or_else(|error| panic!("{error}\n{shown}"));
                rows.iter().map(|row| row.get(0)).collect()
            }
        };
        ids.into_iter().map(RecordId).collect()
    }

    /// Makes the table of `object` anew, with `records` in it.
    pub(crate) async fn fill(&mut self, object: &ObjectDef, records: &[Arc<Record>]) {
        let dialect = self.dialect();
        let name = &object.name;
        let column = |(field, kind): (&str, &FieldKind)| format!("\"{field}\" {}", column_type(kind, dialect));
        let columns: Vec<String> = columns(object).iter().map(|(f, k)| column((f, k))).collect();
        let strict = if dialect == Dialect::Sqlite { " strict" } else { "" };
        self.fill_tags(object, records).await;
        self.run(format!("drop table if exists \"o_{name}\""), Vec::new()).await;
        self.run(format!("create table \"o_{name}\" ({}){strict}", columns.join(", ")), Vec::new()).await;
        for record in records {
            let (places, binds) = row(record, object, dialect);
            self.run(format!("insert into \"o_{name}\" values ({places})"), binds).await;
        }
    }

    /// Turns the tags of records round, as the committer does.
    async fn fill_tags(&mut self, object: &ObjectDef, records: &[Arc<Record>]) {
        let (id, text) = match self.dialect() {
            Dialect::Sqlite => ("blob", "text"),
            Dialect::Postgres => ("uuid", "text collate \"C\""),
        };
        let table = format!("create table if not exists record_tag (object {text}, tag {text}, id {id})");
        self.run(table, Vec::new()).await;
        let name = SqlBind::Text(object.name.as_str().into());
        self.run("delete from record_tag where object = $1".to_owned(), vec![name.clone()]).await;
        for record in records {
            for tag in rapport_model::tags::of(record.get("tags")) {
                let binds = vec![name.clone(), SqlBind::Text(tag.into()), SqlBind::Id(record.id)];
                self.run("insert into record_tag values ($1, $2, $3)".to_owned(), binds).await;
            }
        }
    }

    /// Makes the table of who is in which segment anew.
    pub(crate) async fn fill_stays(&mut self, stays: &[Stay]) {
        let (id, text) = match self.dialect() {
            Dialect::Sqlite => ("blob", "text"),
            Dialect::Postgres => ("uuid", "text collate \"C\""),
        };
        self.run("drop table if exists segment_stay".to_owned(), Vec::new()).await;
        let table = format!("create table segment_stay (segment {text} not null, id {id} not null, left_at bigint)");
        self.run(table, Vec::new()).await;
        for stay in stays {
            let left = if stay.is_over { "1" } else { "null" };
            let binds = vec![SqlBind::Text(stay.segment.into()), SqlBind::Id(stay.id)];
            self.run(format!("insert into segment_stay values ($1, $2, {left})"), binds).await;
        }
    }

    /// The things for which `rule` holds.
    pub(crate) async fn select(&mut self, rule: &Rule, params: &Params) -> BTreeSet<RecordId> {
        let now = Timestamp::from_micros(NOW);
        let target = Target { dialect: self.dialect(), joined: false, now, params, first_placeholder: 1 };
        let SqlRule { joins, text, binds } = compile(rule, &target).unwrap();
        self.run(format!("select t.\"id\" from \"o_thing\" as t{joins} where {text}"), binds)
            .await
            .into_iter()
            .collect()
    }
}

fn columns(object: &ObjectDef) -> Vec<(String, FieldKind)> {
    let own = object.fields.iter().map(|field| (field.name.to_string(), field.kind.clone()));
    let id = FieldKind::Reference { object: object.name.clone() };
    let system = [
        ("id", id),
        ("version", FieldKind::Integer),
        ("created_at", FieldKind::Timestamp),
        ("updated_at", FieldKind::Timestamp),
    ];
    system.into_iter().map(|(name, kind)| (name.to_owned(), kind)).chain(own).collect()
}

fn column_type(kind: &FieldKind, dialect: Dialect) -> String {
    match (kind, dialect) {
        (FieldKind::Text | FieldKind::Choice { .. }, Dialect::Postgres) => "text collate \"C\"".to_owned(),
        (FieldKind::Date | FieldKind::Text | FieldKind::Choice { .. }, Dialect::Sqlite) => "text".to_owned(),
        (FieldKind::Integer, Dialect::Postgres) => "bigint".to_owned(),
        (FieldKind::Decimal { scale }, Dialect::Postgres) => format!("numeric(15, {scale})"),
        (FieldKind::Boolean, Dialect::Postgres) => "boolean".to_owned(),
        (FieldKind::Date, Dialect::Postgres) => "date".to_owned(),
        (FieldKind::Timestamp, Dialect::Postgres) => "timestamptz".to_owned(),
        (FieldKind::Reference { .. }, Dialect::Postgres) => "uuid".to_owned(),
        (FieldKind::Reference { .. }, Dialect::Sqlite) => "blob".to_owned(),
        (FieldKind::Json | FieldKind::Tags, _) => if dialect == Dialect::Sqlite { "text" } else { "json" }.to_owned(),
        (_, Dialect::Sqlite) => "integer".to_owned(),
    }
}

fn row(record: &Record, object: &ObjectDef, dialect: Dialect) -> (String, Vec<SqlBind>) {
    let mut places = Vec::new();
    let mut binds = Vec::new();
    for (field, kind) in columns(object) {
        let value = record.system(&field).unwrap_or_else(|| record.get(&field).clone());
        let cast = if matches!(kind, FieldKind::Json | FieldKind::Tags) && dialect == Dialect::Postgres {
            "::json"
        } else {
            ""
        };
        match stored(&value, &kind, dialect) {
            None => places.push("null".to_owned()),
            Some(Stored::Truth(value)) => places.push(value.to_owned()),
            Some(Stored::Bound(bind)) => {
                binds.push(bind);
                places.push(format!("${}{cast}", binds.len()));
            }
        }
    }
    (places.join(", "), binds)
}

enum Stored {
    Truth(&'static str),
    Bound(SqlBind),
}

fn stored(value: &Value, kind: &FieldKind, dialect: Dialect) -> Option<Stored> {
    let sqlite = dialect == Dialect::Sqlite;
    let bind = match value {
        Value::Null => return None,
        Value::Bool(value) => return Some(Stored::Truth(if *value { "true" } else { "false" })),
        Value::Int(n) => SqlBind::Integer(*n),
        Value::Decimal(number) if sqlite => SqlBind::Integer(scaled(*number, kind)),
        Value::Decimal(number) => SqlBind::Decimal(*number),
        Value::Text(text) => SqlBind::Text(text.clone()),
        Value::Date(date) if sqlite => SqlBind::Text(date.to_string().into()),
        Value::Date(date) => SqlBind::Day(day_number(*date)),
        Value::Time(time) if sqlite => SqlBind::Integer(time.micros()),
        Value::Time(time) => SqlBind::Time(time.micros()),
        Value::Ref(id) => SqlBind::Id(*id),
        Value::Json(json) => SqlBind::Text(json.to_string().into()),
    };
    Some(Stored::Bound(bind))
}

fn scaled(mut number: Decimal, kind: &FieldKind) -> i64 {
    let FieldKind::Decimal { scale } = kind else { panic!("{kind:?} is no decimal") };
    number.rescale(u32::from(*scale));
    i64::try_from(number.mantissa()).unwrap()
}

fn sqlite_arguments(binds: Vec<SqlBind>) -> SqliteArguments {
    let mut arguments = SqliteArguments::default();
    for bind in binds {
        let added = match bind {
            SqlBind::Integer(n) => arguments.add(n),
            SqlBind::Text(text) => arguments.add(text.to_string()),
            SqlBind::Id(id) => arguments.add(id.0),
            other => panic!("{other:?} is not for SQLite"),
        };
        added.unwrap();
    }
    arguments
}

fn postgres_arguments(binds: Vec<SqlBind>) -> PgArguments {
    let mut arguments = PgArguments::default();
    for bind in binds {
        let added = match bind {
            SqlBind::Integer(n) => arguments.add(n),
            SqlBind::Decimal(number) => arguments.add(number),
            SqlBind::Text(text) => arguments.add(text.to_string()),
            SqlBind::Day(day) => arguments.add(Day(day)),
            SqlBind::Time(micros) => arguments.add(Instant(micros)),
            SqlBind::Id(id) => arguments.add(id.0),
        };
        added.unwrap();
    }
    arguments
}
