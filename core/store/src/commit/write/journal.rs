//! The journals of runs that wait, and what wakes them.

use rapport_model::RunId;

use crate::db::{Cell, Kind, RowStatement, Statement};
use crate::rule_sql::Dialect;
use crate::unit::JournalStep;

const INSERT_JOURNAL: &str = "insert into journal (run, slice, entries) ";
const JOURNAL_KINDS: [Kind; 3] = [Kind::Id, Kind::Int, Kind::Text];
const INSERT_LAST: &str = "insert into journal (run, slice, entries, kept_until) ";
const LAST_KINDS: [Kind; 4] = [Kind::Id, Kind::Int, Kind::Text, Kind::Int];
/// The places of one slice's waits begin at a multiple of this, so that those of the slice before, which go in the same statement on
/// PostgreSQL, have other ones.
pub(crate) const WAIT_PLACES: i64 = 64;
const INSERT_WAIT: &str = "insert into awaited (run, place, type, field, value, after) ";
const WAIT_KINDS: [Kind; 6] = [Kind::Id, Kind::Int, Kind::Text, Kind::Text, Kind::Text, Kind::Int];
const CUT_JOURNAL: &str = "update journal set entries = v.column3 from (";
const CUT_JOURNAL_END: &str = ") as v where journal.run = v.column1 and journal.slice = v.column2";
const CUT_JOURNAL_SQLITE: &str = "update journal set entries = ?3 where run = ?1 and slice = ?2";
const DELETE_JOURNAL: &str = "delete from journal where run in (";
const DELETE_WAIT: &str = "delete from awaited where run in (";

/// The statements of these steps. A run takes one step in a group: between two it has to run.
pub(super) fn statements(steps: &[(RunId, JournalStep)], dialect: Dialect) -> Vec<Statement> {
    let (mut appended, mut waits, mut ended, mut woken) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut cut, mut last) = (Vec::new(), Vec::new());
    for (run, step) in steps {
        let id = Cell::Id(run.0);
        match step {
            JournalStep::None | JournalStep::WaitsAgain => {}
            JournalStep::Append { slice, entries, waits: all } => {
                // PostgreSQL cannot store the character U+0000; in JSON it is written as an escape.
                appended.extend([id.clone(), Cell::Int(*slice), Cell::text(entries)]);
                // What the slice before waited for, if nobody has taken it away when the run was woken.
                if *slice > 0 {
                    woken.push(id.clone());
                }
                for (place, wait) in (*slice * WAIT_PLACES..).zip(all) {
                    let (kind, field) = (Cell::text(wait.kind.as_str()), Cell::text(wait.field.as_str()));
                    let (value, after) = (Cell::text(&wait.value), Cell::Int(wait.after));
                    waits.extend([id.clone(), Cell::Int(place), kind, field, value, after]);
                }
            }
            JournalStep::Woken => woken.push(id),
            JournalStep::Cut(slices) => {
                for (slice, entries) in slices {
                    cut.extend([id.clone(), Cell::Int(*slice), Cell::text(entries)]);
                }
                woken.push(id);
            }
            JournalStep::End { slice, entries, kept_until } => {
                match kept_until {
                    Some(until) => {
                        last.extend([id.clone(), Cell::Int(*slice), Cell::text(entries), Cell::Int(until.micros())]);
                    }
                    None => ended.push(id.clone()),
                }
                woken.push(id);
            }
        }
    }
    let mut all = RowStatement::new(INSERT_JOURNAL, "", &JOURNAL_KINDS).writes(dialect, appended);
    let cuts = match dialect {
        Dialect::Sqlite => RowStatement::for_each(CUT_JOURNAL_SQLITE, &JOURNAL_KINDS),
        Dialect::Postgres => RowStatement::new(CUT_JOURNAL, CUT_JOURNAL_END, &JOURNAL_KINDS),
    };
    all.extend(cuts.writes(dialect, cut));
    all.extend(RowStatement::new(INSERT_LAST, "", &LAST_KINDS).writes(dialect, last));
    all.extend(RowStatement::new(DELETE_JOURNAL, ")", &[Kind::Id]).writes(dialect, ended));
    all.extend(RowStatement::new(DELETE_WAIT, ")", &[Kind::Id]).writes(dialect, woken));
    all.extend(RowStatement::new(INSERT_WAIT, "", &WAIT_KINDS).writes(dialect, waits));
    all
}
