//! What rules ask of the log and of segments, in SQL.
//!
//! What an event says is read from its JSON, in the form in which a column of the field's kind holds it. SQLite reads decimals through
//! floating point numbers: fifteen digits times a power of ten are off by less than a quarter, and rounded.

use std::collections::BTreeMap;

use rapport_model::merge::id_text;
use rapport_model::rule::Params;
use rapport_model::rule::history::{Did, HistoryOf};
use rapport_model::rule::tree::{Base, FieldTerm};
use rapport_model::schema::FieldKind;
use rapport_model::{RecordId, SegmentName, Timestamp};

use super::{Compiled, Compiler, Dialect, Rows, RuleSqlError, Sql, SqlBind, Target};

/// Where in an event's JSON its fields stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// A declared event: at the top.
    Data,
    /// A record was created or changed: own names mean what it is after.
    After,
    /// A record was deleted: own names mean what it was before.
    Before,
}

impl Said {
    fn of(did: &Did) -> Self {
        match did.kind.as_str().rsplit('.').next() {
            _ if !did.is_change => Self::Data,
            Some("deleted") => Self::Before,
            _ => Self::After,
        }
    }
}

/// A select of how many events of the history of the record `id` count at `now`, up to as many as are asked for, with its values.
pub(crate) fn count_did(
    did: &Did,
    (id, now): (RecordId, Timestamp),
    (dialect, joined): (Dialect, bool),
) -> Result<(String, Vec<SqlBind>), RuleSqlError> {
    let target = Target { dialect, joined, now, params: &Params::none(), first_placeholder: 1 };
    let mut compiler = Compiler { target: &target, rows: Rows::Records, binds: Vec::new(), joins: BTreeMap::new() };
    let record = compiler.bind(SqlBind::Id(id));
    let text = compiler.events_of(did, &record)?;
    Ok((format!("select count(*) from ({text} limit {}) as enough", did.at_least), compiler.binds))
}

/// A select of the records in whose history enough events count at `now`, with its values. Of each pair in `merged` the first had been merged
/// into the second.
pub(crate) fn all_that_did(
    did: &Did,
    (now, merged): (Timestamp, &[(RecordId, RecordId)]),
    dialect: Dialect,
) -> Result<(String, Vec<SqlBind>), RuleSqlError> {
    let target = Target { dialect, joined: false, now, params: &Params::none(), first_placeholder: 1 };
    let mut compiler = Compiler { target: &target, rows: Rows::Records, binds: Vec::new(), joins: BTreeMap::new() };
    let (counts, own) = (compiler.counting(did)?, whose(did));
    let (with, whose) = if merged.is_empty() {
        (String::new(), own.to_owned())
    } else {
        let pairs: Vec<String> = merged
            .iter()
            .map(|(id, into)| format!("({}, {})", literal(*id, dialect), literal(*into, dialect)))
            .collect();
        let with = format!("with merged_then (id, survivor) as (values {}) ", pairs.join(", "));
        (with, format!("coalesce((select n.survivor from merged_then as n where n.id = {own}), {own})"))
    };
    let text = format!(
        "{with}select {whose} from event as e where {own} is not null and {counts} group by {whose} having count(*) >= {}",
        did.at_least
    );
    Ok((text, compiler.binds))
}

/// An id as it stands in the text of a statement.
fn literal(id: RecordId, dialect: Dialect) -> String {
    let hex = id_text(id);
    if dialect == Dialect::Sqlite { format!("x'{hex}'") } else { format!("'{hex}'::uuid") }
}

/// The column that says whose history an event is of.
const fn whose(did: &Did) -> &'static str {
    match did.of {
        HistoryOf::Lane => "e.lane",
        HistoryOf::Subject => "e.subject_id",
    }
}

impl Compiler<'_> {
    /// Whether the record's history holds enough events: as many rows are looked at as are asked for. The index `event_did` serves the
    /// history of a lane, `event_subject` that of a record.
    pub(super) fn did(&mut self, did: &Did) -> Compiled {
        let text = self.events_of(did, "t.\"id\"")?;
        Ok(match did.at_least {
            1 => format!("exists ({text})"),
            enough => format!("(select count(*) from ({text} limit {enough}) as enough) >= {enough}"),
        })
    }

    /// A select over the events in the history of `record` that count.
    fn events_of(&mut self, did: &Did, record: &str) -> Compiled {
        let counts = self.counting(did)?;
        let whose = self.whose_is(whose(did), record);
        Ok(format!("select 1 from event as e where {whose} and {counts}"))
    }

    /// The condition that `column` names `record`, or one that was merged into it. Both databases look the few ids up in the index.
    fn whose_is(&self, column: &str, record: &str) -> String {
        match (self.target.joined, self.is_sqlite()) {
            (false, _) => format!("{column} = {record}"),
            (true, true) => format!(
                "{column} in (select {record} union all select unhex(m.\"merged\") from \"o_merged_record\" as m \
                 where m.\"survivor\" = lower(hex({record})))"
            ),
            (true, false) => format!(
                "{column} = any (array[{record}] || array(select m.\"merged\"::uuid from \"o_merged_record\" as m \
                 where m.\"survivor\" = replace({record}::text, '-', '')))"
            ),
        }
    }

    /// The condition that an event counts.
    fn counting(&mut self, did: &Did) -> Compiled {
        let kind = self.bind(SqlBind::Text(did.kind.as_str().into()));
        let until = self.micros(self.target.now);
        let mut text = format!("e.type = {kind} and e.time <= {until}");
        if let Some(within) = did.within {
            let from = self.bind(SqlBind::Integer(self.target.now.micros().saturating_sub(within)));
            text.push_str(" and e.time > ");
            text.push_str(&from);
        }
        if let Some(rule) = &did.filter {
            let outer = std::mem::replace(&mut self.rows, Rows::Events(Said::of(did)));
            let filter = self.holds(rule.root());
            self.rows = outer;
            text.push_str(" and e.payload is not null and ");
            text.push_str(&filter?);
        }
        Ok(text)
    }

    /// Instants of the log are whole numbers on both databases.
    fn micros(&mut self, time: Timestamp) -> String {
        self.bind(SqlBind::Integer(time.micros()))
    }

    /// Whether the record, or the one that a field of it refers to, belongs to the segment at present. Many records refer to few, so
    /// that both databases read those members once; null where the field is.
    pub(super) fn in_segment(&mut self, segment: &SegmentName, of: Option<&FieldTerm>) -> Compiled {
        let name = self.bind(SqlBind::Text(segment.as_str().into()));
        let Some(of) = of else {
            return Ok(format!(
                "exists (select 1 from segment_stay as s where s.segment = {name} and s.id = t.\"id\" and s.left_at is null)"
            ));
        };
        let column = self.column(of)?.text;
        Ok(format!("{column} in (select s.id from segment_stay as s where s.segment = {name} and s.left_at is null)"))
    }

    /// A field of what an event says, as a column of its kind would hold it.
    pub(super) fn said(&self, said: Said, field: &FieldTerm) -> Result<Sql, RuleSqlError> {
        let part = match (&field.base, said) {
            (Base::Own, Said::Data) => None,
            (Base::Own, Said::After) | (Base::After, Said::After | Said::Before) => Some("after"),
            (Base::Own, Said::Before) | (Base::Before, Said::After | Said::Before) => Some("before"),
            _ => return Err(RuleSqlError::Event { field: field.name.to_string() }),
        };
        let text = if self.is_sqlite() { sqlite(part, field) } else { postgres(part, field) };
        Ok(Sql { text, nullable: true })
    }
}

fn sqlite(part: Option<&str>, FieldTerm { name, kind, .. }: &FieldTerm) -> String {
    let path = part.map_or_else(|| format!("$.{name}"), |part| format!("$.{part}.{name}"));
    let read = format!("json_extract(e.payload, '{path}')");
    match kind {
        FieldKind::Text | FieldKind::Choice { .. } | FieldKind::Date | FieldKind::Integer | FieldKind::Boolean => read,
        FieldKind::Decimal { scale } => {
            format!("cast(round(cast({read} as real) * {}) as integer)", 10_i64.pow(u32::from(*scale)))
        }
        FieldKind::Timestamp => {
            // 2026-03-01T02:00:00Z or 2026-03-01T02:00:00.25Z: what stands after the point is filled up to six digits.
            let fraction = format!("substr(substr({read}, 21, length({read}) - 21) || '000000', 1, 6)");
            format!(
                "(unixepoch(substr({read}, 1, 19)) * 1000000 + case when substr({read}, 20, 1) = '.' \
                 then cast({fraction} as integer) else 0 end)"
            )
        }
        FieldKind::Reference { .. } => format!("unhex(replace({read}, '-', ''))"),
        FieldKind::Json | FieldKind::Tags => format!("json_extract(e.payload, '{path}')"),
    }
}

fn postgres(part: Option<&str>, FieldTerm { name, kind, .. }: &FieldTerm) -> String {
    let part = part.map(|part| format!("->'{part}'")).unwrap_or_default();
    let read = format!("(e.payload::json{part}->>'{name}')");
    match kind {
        FieldKind::Text | FieldKind::Choice { .. } => format!("({read} collate \"C\")"),
        FieldKind::Integer => format!("{read}::bigint"),
        FieldKind::Decimal { .. } => format!("{read}::numeric"),
        FieldKind::Boolean => format!("{read}::boolean"),
        FieldKind::Date => format!("{read}::date"),
        FieldKind::Timestamp => format!("{read}::timestamptz"),
        FieldKind::Reference { .. } => format!("{read}::uuid"),
        FieldKind::Json | FieldKind::Tags => read,
    }
}
