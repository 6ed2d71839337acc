//! The tags of records turned round: what a commit changes of them.

use rapport_model::tags::{self, TagEdit};
use rapport_model::{Name, Record, RecordId, Value};

use super::super::group::Image;
use crate::db::{Cell, Kind, RowStatement, Statement};
use crate::rule_sql::Dialect;

const KINDS: [Kind; 3] = [Kind::Text, Kind::Text, Kind::Id];
const PUT: &str = "insert into record_tag (object, tag, id) ";
const PUT_END: &str = " on conflict (object, tag, id) do nothing";
const REMOVE_SQLITE: &str = "delete from record_tag where object = ?1 and tag = ?2 and id = ?3";
const REMOVE: &str = "delete from record_tag as s using (";
const REMOVE_END: &str = ") as v where s.object = v.column1 and s.tag = v.column2 and s.id = v.column3";

/// The statements that bring the rows of these records from what they were to what they are. No two touch the same row.
pub(in crate::commit) fn statements<'a>(images: impl Iterator<Item = &'a Image>, dialect: Dialect) -> Vec<Statement> {
    let (mut put, mut removed): (Vec<Cell>, Vec<Cell>) = (Vec::new(), Vec::new());
    for Image { before, now } in images {
        let Some(record) = now.as_ref().or(before.as_ref()) else { continue };
        let (old, new) = (tags_of(before.as_deref()), tags_of(now.as_deref()));
        if old == new {
            continue;
        }
        let (edit, object) = (TagEdit::between(old, new), &record.object.name);
        put.extend(edit.add.iter().flat_map(|tag| cells(object, tag, record.id)));
        removed.extend(edit.remove.iter().flat_map(|tag| cells(object, tag, record.id)));
    }
    let remove = match dialect {
        Dialect::Sqlite => RowStatement::for_each(REMOVE_SQLITE, &KINDS),
        Dialect::Postgres => RowStatement::new(REMOVE, REMOVE_END, &KINDS),
    };
    let mut all = remove.writes(dialect, removed);
    all.extend(RowStatement::new(PUT, PUT_END, &KINDS).writes(dialect, put));
    all
}

fn tags_of(record: Option<&Record>) -> &Value {
    const NONE: &Value = &Value::Null;
    record.and_then(|record| Some(record.at(tags::place(&record.object)?))).unwrap_or(NONE)
}

fn cells(object: &Name, tag: &str, id: RecordId) -> [Cell; 3] {
    [Cell::text(object.as_str()), Cell::text(tag), Cell::id(id)]
}
