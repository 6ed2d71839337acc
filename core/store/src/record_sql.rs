//! Writes all SQL about records' tables, from validated identifiers only.
//!
//! The table of an object is `o_<object>`: `id`, `version`, `created_at`, `updated_at`, then one column for each field, named
//! as the field. What a field needs is checked by the committer, so that columns may be null; what only the database can
//! know (that no other record holds a value, that a record referred to is there) is a unique index and a foreign key.
//! Foreign keys are checked at the end of the transaction, so that rows may be written in any order.
//!
//! What is kept beside a roll-up stands in columns that begin with `_`, which no field can.
//!
//! JSON is kept as written (`text`, PostgreSQL's `json`): it is never compared, and reads back the same from both.

use std::fmt::Write as _;
use std::sync::Arc;

use rapport_model::record::Record;
use rapport_model::schema::{FieldDef, FieldKind, HiddenDef, ObjectDef};
use rapport_model::{Digest, Name, RecordId, Value, covering};

use crate::db::{Cell, DbError, Kind, Row, RowStatement, Statement};
use crate::rule_sql::Dialect;

/// Columns before those of the fields.
pub(crate) const SYSTEM_COLUMNS: usize = 4;
/// PostgreSQL cuts longer names.
const IDENTIFIER_BYTES_MAX: usize = 63;

fn type_name(kind: &FieldKind, dialect: Dialect) -> String {
    let both = |sqlite: &str, postgres: &str| match dialect {
        Dialect::Sqlite => sqlite.to_owned(),
        Dialect::Postgres => postgres.to_owned(),
    };
    match kind {
        FieldKind::Text | FieldKind::Choice { .. } => both("text", "text collate \"C\""),
        FieldKind::Integer => both("integer", "bigint"),
        FieldKind::Decimal { scale } => both("integer", &format!("numeric(15,{scale})")),
        FieldKind::Boolean => both("integer", "boolean"),
        FieldKind::Date => both("text", "date"),
        FieldKind::Timestamp => both("integer", "timestamptz"),
        FieldKind::Reference { .. } => both("blob", "uuid"),
        FieldKind::Json | FieldKind::Tags => both("text", "json"),
    }
}

/// `<prefix>_<object>_<field>`, with a hash in place of the end if that is too long.
fn identifier(prefix: char, object: &Name, field: &Name) -> String {
    let full = format!("{prefix}_{object}_{field}");
    if full.len() <= IDENTIFIER_BYTES_MAX {
        return full;
    }
    let hash = Digest::of(full.as_bytes()).short();
    format!("{}_{hash}", &full[..IDENTIFIER_BYTES_MAX - 1 - hash.len()])
}

fn hidden_column(hidden: &HiddenDef, dialect: Dialect) -> String {
    // It refers to nothing that must be there: what it names follows from the children.
    format!("\"{}\" {}", hidden.column, type_name(&hidden.kind, dialect))
}

fn column(object: &Name, field: &FieldDef, dialect: Dialect) -> String {
    let mut text = format!("\"{}\" {}", field.name, type_name(&field.kind, dialect));
    if let FieldKind::Reference { object: target } = &field.kind {
        let name = identifier('f', object, &field.name);
        write!(text, " constraint \"{name}\" references \"o_{target}\" (\"id\") deferrable initially deferred")
            .expect("a text takes any text");
    }
    text
}

/// The indexes that serve a field.
fn indexes(object: &Name, field: &FieldDef, dialect: Dialect) -> Option<String> {
    // Nulls come first in ascending order, as SQLite has it: PostgreSQL's index must say so to serve that order.
    let nulls = if dialect == Dialect::Postgres { " nulls first" } else { "" };
    let name = &field.name;
    if field.unique {
        let index = identifier('u', object, name);
        return Some(format!("create unique index \"{index}\" on \"o_{object}\" (\"{name}\"{nulls})"));
    }
    let reference = matches!(field.kind, FieldKind::Reference { .. });
    (field.indexed || reference).then(|| {
        let index = identifier('i', object, name);
        format!("create index \"{index}\" on \"o_{object}\" (\"{name}\"{nulls}, \"id\")")
    })
}

/// The statement that makes an index of a field that holds a point in time, unless there is one.
pub(crate) fn moment_index(object: &Name, field: &Name, dialect: Dialect) -> String {
    let nulls = if dialect == Dialect::Postgres { " nulls first" } else { "" };
    let index = identifier('m', object, field);
    format!("create index if not exists \"{index}\" on \"o_{object}\" (\"{field}\"{nulls}, \"id\")")
}

/// The statement that makes the index over a field and those that it is indexed with, if there are any. All of them have their columns.
pub(crate) fn covering_index(object: &Name, field: &FieldDef, dialect: Dialect) -> Option<String> {
    if field.indexed_with.is_empty() {
        return None;
    }
    let nulls = if dialect == Dialect::Postgres { " nulls first" } else { "" };
    let names = std::iter::once(&field.name).chain(&field.indexed_with);
    let columns: Vec<String> = names.map(|name| format!("\"{name}\"{nulls}")).collect();
    let index = identifier('c', object, &field.name);
    Some(format!("create index \"{index}\" on \"o_{object}\" ({})", columns.join(", ")))
}

/// The query that finds a record of `object` whose texts do not fit into the index of `field`, which is about to be made; none if
/// there can be no such record. `known` is the object with the columns that it has by now.
pub(crate) fn unfit_for_index(known: &ObjectDef, object: &ObjectDef, field: &FieldDef) -> Option<String> {
    let (mut added, mut bytes) = (0, Vec::new());
    for place in covering::texts(object, field) {
        let FieldDef { name, default, .. } = &object.fields[place];
        if known.field(name.as_str()).is_some() {
            bytes.push(format!("coalesce(octet_length(\"{name}\"), 0)"));
        } else {
            // Its column is added with its default.
            added += default.as_ref().and_then(|json| json.as_str()).map_or(0, str::len);
        }
    }
    let can_be = !bytes.is_empty() || added > covering::TEXT_BYTES_MAX;
    bytes.push(added.to_string());
    let (sum, max) = (bytes.join(" + "), covering::TEXT_BYTES_MAX);
    can_be.then(|| format!("select t.\"id\" from \"o_{}\" as t where {sum} > {max} limit 1", object.name))
}

/// The statements that make the table of an object, without the indexes that cover several fields.
pub(crate) fn create_table(object: &ObjectDef, dialect: Dialect) -> Vec<String> {
    let (id, int, time, strict) = match dialect {
        Dialect::Sqlite => ("blob", "integer", "integer", " strict"),
        Dialect::Postgres => ("uuid", "bigint", "timestamptz", ""),
    };
    let name = &object.name;
    let mut text = format!(
        "create table \"o_{name}\" (\"id\" {id} not null constraint \"p_{name}\" primary key, \"version\" {int} not null, \
         \"created_at\" {time} not null, \"updated_at\" {time} not null"
    );
    for field in &object.fields {
        write!(text, ", {}", column(name, field, dialect)).expect("a text takes any text");
    }
    for hidden in &object.hidden {
        write!(text, ", {}", hidden_column(hidden, dialect)).expect("a text takes any text");
    }
    write!(text, "){strict}").expect("a text takes any text");
    let mut all = vec![text];
    all.extend(object.fields.iter().filter_map(|field| indexes(name, field, dialect)));
    all
}

/// The statements that add a column for a field; existing rows get its default.
pub(crate) fn add_column(object: &Name, field: &FieldDef, default: &Value, dialect: Dialect) -> Vec<Statement> {
    let plain = |text: String| Statement::from(crate::db::Query::new(&text, Vec::new()));
    let mut all = vec![plain(format!("alter table \"o_{object}\" add column {}", column(object, field, dialect)))];
    if !default.is_null() {
        let text = format!("update \"o_{object}\" set \"{}\" = $1", field.name);
        all.push(crate::db::Query::new(&text, vec![Cell::of(default, &field.kind, dialect)]).into());
    }
    all.extend(indexes(object, field, dialect).map(plain));
    all
}

/// The statements that add the columns which are kept beside a roll-up field.
pub(crate) fn add_hidden(object: &Name, hidden: &[HiddenDef], dialect: Dialect) -> Vec<Statement> {
    let add = |hidden| format!("alter table \"o_{object}\" add column {}", hidden_column(hidden, dialect));
    hidden.iter().map(|hidden| crate::db::Query::new(&add(hidden), Vec::new()).into()).collect()
}

/// `select` with all columns in their order, up to the alias `t` of the table.
pub(crate) fn select(object: &ObjectDef) -> String {
    let mut text = String::from("select t.\"id\", t.\"version\", t.\"created_at\", t.\"updated_at\"");
    for column in object.columns() {
        write!(text, ", t.\"{column}\"").expect("a text takes any text");
    }
    write!(text, " from \"o_{}\" as t", object.name).expect("a text takes any text");
    text
}

/// Reads a row of [`select`].
pub(crate) fn read(row: &Row, object: &Arc<ObjectDef>) -> Result<Record, DbError> {
    let mut values = Vec::with_capacity(object.fields.len() + object.hidden.len());
    for (i, kind) in object.kinds().enumerate() {
        values.push(row.value(SYSTEM_COLUMNS + i, kind)?);
    }
    Ok(Record {
        object: object.clone(),
        id: row.record_id(0)?,
        version: row.int(1)?,
        created_at: row.instant(2)?,
        updated_at: row.instant(3)?,
        values,
    })
}

/// The queries that read the records with these ids.
pub(crate) fn by_ids(object: &ObjectDef, ids: &[RecordId], dialect: Dialect) -> Vec<Statement> {
    let head = format!("{} where t.\"id\" in (", select(object));
    let cells = ids.iter().map(|id| Cell::id(*id)).collect();
    RowStatement::new(&head, ")", &[Kind::Id]).statements(dialect, cells)
}

/// The queries that read the records whose `field` has one of these values.
pub(crate) fn by_values(object: &ObjectDef, field: &FieldDef, values: &[Value], dialect: Dialect) -> Vec<Statement> {
    let head = format!("{} where t.\"{}\" in (", select(object), field.name);
    let cells = values.iter().map(|value| Cell::of(value, &field.kind, dialect)).collect();
    RowStatement::new(&head, ")", &[Kind::of(&field.kind, dialect)]).statements(dialect, cells)
}

/// The queries that read, for `field`, the id and the value of the records that hold one of these values.
pub(crate) fn holders(object: &Name, field: &FieldDef, values: &[Value], dialect: Dialect) -> Vec<Statement> {
    let name = &field.name;
    let head = format!("select t.\"id\", t.\"{name}\" from \"o_{object}\" as t where t.\"{name}\" in (");
    let cells = values.iter().map(|value| Cell::of(value, &field.kind, dialect)).collect();
    RowStatement::new(&head, ")", &[Kind::of(&field.kind, dialect)]).statements(dialect, cells)
}

/// The queries that tell which of these ids are there.
pub(crate) fn present(object: &Name, ids: &[RecordId], dialect: Dialect) -> Vec<Statement> {
    let head = format!("select t.\"id\" from \"o_{object}\" as t where t.\"id\" in (");
    let cells = ids.iter().map(|id| Cell::id(*id)).collect();
    RowStatement::new(&head, ")", &[Kind::Id]).statements(dialect, cells)
}

fn kinds(object: &ObjectDef, dialect: Dialect) -> Vec<Kind> {
    let instant = Kind::instant(dialect);
    let mut kinds = vec![Kind::Id, Kind::Int, instant, instant];
    kinds.extend(object.kinds().map(|kind| Kind::of(kind, dialect)));
    kinds
}

/// The statements that insert `records`.
pub(crate) fn insert(object: &ObjectDef, records: &[Arc<Record>], dialect: Dialect) -> Vec<Statement> {
    let mut head = format!("insert into \"o_{}\" (\"id\", \"version\", \"created_at\", \"updated_at\"", object.name);
    for column in object.columns() {
        write!(head, ", \"{column}\"").expect("a text takes any text");
    }
    head.push_str(") ");
    let width = SYSTEM_COLUMNS + object.fields.len() + object.hidden.len();
    let mut cells = Vec::with_capacity(records.len() * width);
    for record in records {
        cells.push(Cell::id(record.id));
        cells.push(Cell::Int(record.version));
        cells.push(Cell::instant(record.created_at, dialect));
        cells.push(Cell::instant(record.updated_at, dialect));
        cells.extend(object.kinds().enumerate().map(|(i, kind)| Cell::of(record.at(i), kind, dialect)));
    }
    RowStatement::new(&head, "", &kinds(object, dialect)).writes(dialect, cells)
}

/// The statements that write the values at the places `changed` of `records`. Only what changed is written, so that the
/// indexes of other columns are left alone.
pub(crate) fn update(
    object: &ObjectDef,
    changed: &[usize],
    records: &[Arc<Record>],
    dialect: Dialect,
) -> Vec<Statement> {
    let columns: Vec<(&str, &FieldKind)> = object.columns().zip(object.kinds()).collect();
    let columns: Vec<(&str, &FieldKind)> = changed.iter().map(|index| columns[*index]).collect();
    let instant = Kind::instant(dialect);
    let mut kinds = vec![Kind::Id, Kind::Int, instant, instant];
    kinds.extend(columns.iter().map(|(_, kind)| Kind::of(kind, dialect)));
    let mut cells = Vec::with_capacity(records.len() * kinds.len());
    for record in records {
        cells.push(Cell::id(record.id));
        cells.push(Cell::Int(record.version));
        cells.push(Cell::instant(record.created_at, dialect));
        cells.push(Cell::instant(record.updated_at, dialect));
        cells.extend(changed.iter().zip(&columns).map(|(i, (_, kind))| Cell::of(record.at(*i), kind, dialect)));
    }
    // What the columns are set to: on SQLite the placeholders of one row, on PostgreSQL the columns of all of them.
    let source = if dialect == Dialect::Sqlite { "?" } else { "v.column" };
    let mut text =
        format!("update \"o_{}\" as t set \"version\" = {source}2, \"created_at\" = {source}3, ", object.name);
    write!(text, "\"updated_at\" = {source}4").expect("a text takes any text");
    for (n, (column, _)) in columns.iter().enumerate() {
        let place = SYSTEM_COLUMNS + n + 1;
        write!(text, ", \"{column}\" = {source}{place}").expect("a text takes any text");
    }
    let statement = match dialect {
        Dialect::Sqlite => RowStatement::for_each(&format!("{text} where t.\"id\" = ?1"), &kinds),
        Dialect::Postgres => RowStatement::new(&format!("{text} from ("), ") as v where t.\"id\" = v.column1", &kinds),
    };
    statement.writes(dialect, cells)
}

/// The statements that empty a unique field of these records, so that values can move between records.
pub(crate) fn clear(object: &Name, field: &Name, ids: &[RecordId], dialect: Dialect) -> Vec<Statement> {
    let head = format!("update \"o_{object}\" set \"{field}\" = null where \"id\" in (");
    let cells = ids.iter().map(|id| Cell::id(*id)).collect();
    RowStatement::new(&head, ")", &[Kind::Id]).writes(dialect, cells)
}

/// The statements that delete these records.
pub(crate) fn delete(object: &Name, ids: &[RecordId], dialect: Dialect) -> Vec<Statement> {
    let head = format!("delete from \"o_{object}\" where \"id\" in (");
    let cells = ids.iter().map(|id| Cell::id(*id)).collect();
    RowStatement::new(&head, ")", &[Kind::Id]).writes(dialect, cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    #[test]
    fn a_table_has_typed_columns_named_constraints_and_indexes() {
        let mut email = FieldDef::new(name("email"), FieldKind::Text);
        email.unique = true;
        let company = FieldDef::new(name("company"), FieldKind::Reference { object: name("company") });
        let object = ObjectDef::new(
            name("customer"),
            rapport_model::schema::Origin::Standard,
            None,
            vec![email, company, FieldDef::new(name("amount"), FieldKind::Decimal { scale: 2 })],
        );
        let sqlite = create_table(&object, Dialect::Sqlite).join(";\n");
        assert!(sqlite.contains("\"amount\" integer) strict"), "{sqlite}");
        assert!(sqlite.contains("create unique index \"u_customer_email\" on \"o_customer\" (\"email\")"), "{sqlite}");
        let postgres = create_table(&object, Dialect::Postgres).join(";\n");
        assert!(
            postgres.contains("\"email\" text collate \"C\", \"company\" uuid constraint \"f_customer_company\""),
            "{postgres}"
        );
        assert!(postgres.contains("\"amount\" numeric(15,2))"), "{postgres}");
        assert!(postgres.contains("(\"company\" nulls first, \"id\")"), "{postgres}");
    }

    #[test]
    fn an_index_over_several_fields_holds_them_in_the_order_they_are_named_in() {
        let mut item = FieldDef::new(name("item"), FieldKind::Text);
        assert_eq!(covering_index(&name("answer"), &item, Dialect::Sqlite), None);
        item.indexed_with = vec![name("number"), name("first")];
        let sqlite = covering_index(&name("answer"), &item, Dialect::Sqlite).unwrap();
        assert_eq!(sqlite, "create index \"c_answer_item\" on \"o_answer\" (\"item\", \"number\", \"first\")");
        let postgres = covering_index(&name("answer"), &item, Dialect::Postgres).unwrap();
        assert!(
            postgres.ends_with("(\"item\" nulls first, \"number\" nulls first, \"first\" nulls first)"),
            "{postgres}"
        );
    }

    #[test]
    fn texts_that_are_there_and_defaults_of_those_that_come_must_fit_into_an_index_together() {
        let mut item = FieldDef::new(name("item"), FieldKind::Text);
        item.indexed_with = vec![name("number"), name("value")];
        let number = FieldDef::new(name("number"), FieldKind::Integer);
        let value = FieldDef { default: Some("none".into()), ..FieldDef::new(name("value"), FieldKind::Text) };
        let of = |fields| ObjectDef::new(name("answer"), rapport_model::schema::Origin::Custom, None, fields);
        let (bare, old) = (of(vec![number.clone()]), of(vec![item.clone(), number.clone()]));
        let new = of(vec![item.clone(), number, value]);
        let query = unfit_for_index(&old, &new, &item).unwrap();
        let sum = "coalesce(octet_length(\"item\"), 0) + 4 > 2048";
        assert_eq!(query, format!("select t.\"id\" from \"o_answer\" as t where {sum} limit 1"));
        assert_eq!(unfit_for_index(&bare, &new, &item), None, "no text is there");
    }

    #[test]
    fn names_of_indexes_fit_63_bytes_and_stay_apart() {
        let object = name(&"o".repeat(48));
        let (a, b) = (name(&format!("{}a", "f".repeat(47))), name(&format!("{}b", "f".repeat(47))));
        let (a, b) = (identifier('u', &object, &a), identifier('u', &object, &b));
        assert!(a.len() <= IDENTIFIER_BYTES_MAX && b.len() <= IDENTIFIER_BYTES_MAX);
        assert_ne!(a, b);
        assert_eq!(identifier('i', &name("customer"), &name("phone")), "i_customer_phone");
    }
}
