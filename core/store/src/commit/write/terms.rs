//! The words of searchable fields: what a commit changes of them.

use std::collections::BTreeMap;

use rapport_model::{Name, Record, RecordId, Schema};

use super::super::group::Image;
use crate::db::{Cell, RowStatement, Statement};
use crate::rule_sql::Dialect;
use crate::search::{KEY_KINDS, put_terms, terms};

const REMOVE_SQLITE: &str = "delete from search_term where object = ?1 and term = ?2 and field = ?3 and id = ?4";
const REMOVE: &str = "delete from search_term as s using (";
const REMOVE_END: &str =
    ") as v where s.object = v.column1 and s.term = v.column2 and s.field = v.column3 and s.id = v.column4";

/// A term of a field of a record: the object, the term, the field, the record.
type Place = (Name, String, Name, RecordId);

/// The statements that bring the terms of these records from what they were to what they are. No two touch the same row.
pub(in crate::commit) fn statements<'a>(
    images: impl Iterator<Item = &'a Image>,
    schema: &Schema,
    dialect: Dialect,
) -> Vec<Statement> {
    let (mut put, mut removed): (BTreeMap<Place, (i64, i64)>, Vec<Cell>) = (BTreeMap::new(), Vec::new());
    for Image { before, now } in images {
        let Some(record) = now.as_ref().or(before.as_ref()) else { continue };
        let Some(object) = schema.object(record.object.name.as_str()) else { continue };
        for (place, field) in object.searchable_fields() {
            let text = |record: &Record| record.at(place).as_text().map(str::to_owned);
            let (old, new) = (before.as_deref().and_then(text), now.as_deref().and_then(text));
            if old == new {
                continue;
            }
            let (old, old_length) = terms(old.as_deref());
            let (new, length) = terms(new.as_deref());
            let at = |term: &str| (object.name.clone(), term.to_owned(), field.name.clone(), record.id);
            let gone = old.keys().filter(|term| !new.contains_key(*term));
            removed.extend(gone.flat_map(|term| key_cells(&at(term))));
            let changed = new.iter().filter(|(term, count)| old_length != length || old.get(*term) != Some(count));
            put.extend(changed.map(|(term, count)| (at(term), (*count, length))));
        }
    }
    let remove = match dialect {
        Dialect::Sqlite => RowStatement::for_each(REMOVE_SQLITE, &KEY_KINDS),
        Dialect::Postgres => RowStatement::new(REMOVE, REMOVE_END, &KEY_KINDS),
    };
    let mut all = remove.writes(dialect, removed);
    let cells = put.iter().flat_map(|(place, (count, length))| {
        key_cells(place).into_iter().chain([Cell::Int(*count), Cell::Int(*length)])
    });
    all.extend(put_terms(cells.collect(), dialect));
    all
}

fn key_cells((object, term, field, id): &Place) -> [Cell; 4] {
    [Cell::text(object.as_str()), Cell::text(term), Cell::text(field.as_str()), Cell::id(*id)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Kind;

    #[test]
    fn a_row_has_a_cell_for_each_kind() {
        let name = Name::new("a").unwrap();
        let cells =
            key_cells(&(name.clone(), "t".into(), name, "01a2038f-8a0a-7ccb-a29a-3a82ad345aec".parse().unwrap()));
        assert_eq!((cells.len(), KEY_KINDS.len()), (4, 4));
        assert_eq!(KEY_KINDS[3], Kind::Id);
        assert_eq!(terms(Some("a b a")).1, 3);
        assert!(terms(Some(" ")).0.is_empty() && terms(None).0.is_empty());
    }
}
