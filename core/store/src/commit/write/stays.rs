//! Who comes into segments and who leaves them.

use crate::db::{Cell, Kind, Query, RowStatement, Statement};
use crate::rule_sql::Dialect;
use crate::unit::{Followed, Stay, StayStep};

/// A record that comes back at the very instant at which it left has never been away.
const ENTER: &str = "insert into segment_stay (segment, id, entered_at) ";
const ENTER_END: &str = " on conflict (segment, id, entered_at) do update set left_at = null";
const KINDS: [Kind; 3] = [Kind::Text, Kind::Id, Kind::Int];
const LEAVE_SQLITE: &str = "update segment_stay set left_at = ?3 where segment = ?1 and id = ?2 and left_at is null";
const LEAVE: &str = "update segment_stay as s set left_at = v.column3 from (";
const LEAVE_END: &str = ") as v where s.segment = v.column1 and s.id = v.column2 and s.left_at is null";
const FOLLOW: &str = "insert into segment_progress (id, position, swept_at) values (1, $1, $2) \
     on conflict (id) do update set position = excluded.position, swept_at = excluded.swept_at";

/// The statements of a group's stays. A record takes one step in a segment at most.
pub(super) fn statements(stays: &[Stay], followed: Option<&Followed>, dialect: Dialect) -> Vec<Statement> {
    let cells = |step: StayStep| -> Vec<Cell> {
        let those = stays.iter().filter(|stay| stay.step == step);
        those.flat_map(|s| [Cell::text(s.segment.as_str()), Cell::id(s.id), Cell::Int(s.at.micros())]).collect()
    };
    let leave = match dialect {
        Dialect::Sqlite => RowStatement::for_each(LEAVE_SQLITE, &KINDS),
        Dialect::Postgres => RowStatement::new(LEAVE, LEAVE_END, &KINDS),
    };
    let mut all = leave.writes(dialect, cells(StayStep::Leave));
    all.extend(RowStatement::new(ENTER, ENTER_END, &KINDS).writes(dialect, cells(StayStep::Enter)));
    all.extend(followed.map(|followed| {
        let cells = vec![Cell::Int(followed.position), Cell::Int(followed.swept_at.micros())];
        Statement::from(Query::new(FOLLOW, cells))
    }));
    all
}
