//! The keys by which customers are found that may be one: what a commit changes of them.

use rapport_model::match_key::{self, MatchKey};
use rapport_model::{Record, RecordId};

use super::super::group::Image;
use crate::db::{Cell, Kind, RowStatement, Statement};
use crate::match_keys::{KEY_KINDS, cells, put};
use crate::rule_sql::Dialect;

const REMOVE_SQLITE: &str = "delete from match_key where kind = ?1 and key = ?2 and id = ?3";
const REMOVE: &str = "delete from match_key as s using (";
const REMOVE_END: &str = ") as v where s.kind = v.column1 and s.key = v.column2 and s.id = v.column3";

/// The statements that bring the keys of these records from what they were to what they are. No two touch the same row.
pub(in crate::commit) fn statements<'a>(images: impl Iterator<Item = &'a Image>, dialect: Dialect) -> Vec<Statement> {
    let (mut added, mut removed): (Vec<Cell>, Vec<Cell>) = (Vec::new(), Vec::new());
    for Image { before, now } in images {
        let Some(record) = now.as_ref().or(before.as_ref()) else { continue };
        let same = before.as_ref().zip(now.as_ref()).is_some_and(|(old, new)| !match_key::may_differ(old, new));
        if same || !match_key::is_compared(record) {
            continue;
        }
        let (old, new) = (keys_of(before.as_deref()), keys_of(now.as_deref()));
        added.extend(rows(new.iter().filter(|key| !old.contains(key)), record.id));
        removed.extend(rows(old.iter().filter(|key| !new.contains(key)), record.id));
    }
    let remove = match dialect {
        Dialect::Sqlite => RowStatement::for_each(REMOVE_SQLITE, &KEY_KINDS),
        Dialect::Postgres => RowStatement::new(REMOVE, REMOVE_END, &KEY_KINDS),
    };
    let mut all = remove.writes(dialect, removed);
    all.extend(put(added, dialect));
    all
}

fn keys_of(record: Option<&Record>) -> Vec<MatchKey> {
    record.map(match_key::keys).unwrap_or_default()
}

fn rows<'a>(keys: impl Iterator<Item = &'a MatchKey>, id: RecordId) -> impl Iterator<Item = Cell> {
    keys.flat_map(move |key| cells(key, id))
}

/// A row of [`cells`] is what the statements take.
const _: () = assert!(KEY_KINDS.len() == 3 && matches!(KEY_KINDS[2], Kind::Id));
