//! Writes the SQL that makes roll-ups of children, set by set: to fill them, to hold them against their children, and to ask what the
//! committer does not know.
//!
//! ```text
//! gathered  p, and what there is of its children: sums in halves, so that none overflows
//! joined    p, and the values as they are kept
//! rows      every parent, with what its columns should hold
//! ```

use std::fmt::Write as _;
use std::sync::Arc;

use rapport_model::rollup::{Function, Kept, Total};
use rapport_model::rule::Params;
use rapport_model::value::{DECIMAL_UNITS_MAX, INTEGER_MAX};
use rapport_model::{FieldKind, RecordId, Timestamp, Value};

use crate::db::{Cell, DbError, Query, Row, Statement};
use crate::error::StoreError;
use crate::rule_sql::{self, Dialect, Target};

/// The lower half of a whole number of 64 bits, and what the upper one counts.
const LOW: i64 = 0xffff_ffff;
const HIGH: i64 = 1 << 32;
/// The upper halves of which the sum surely fits 64 bits.
const HIGH_MAX: i64 = 1 << 30;
/// Has PostgreSQL join by sets until the end of the transaction, whatever it believes of tables that it has not looked through yet.
pub(crate) const SET_BASED: [&str; 2] = ["set local enable_nestloop = off", "set local jit = off"];
/// Parents that one query asks for.
pub(crate) const PARENTS: usize = 500;

/// Which children count.
enum Which<'a> {
    All,
    /// Those of these parents, without these children.
    Of(&'a [RecordId], &'a [RecordId]),
}

/// Whether sums come in halves: of whole numbers, as decimals are too on SQLite.
const fn in_halves(kept: &Kept, dialect: Dialect) -> bool {
    matches!((dialect, &kept.value_kind), (Dialect::Sqlite, _) | (_, FieldKind::Integer))
}

fn list(ids: &[RecordId], cells: &mut Vec<Cell>) -> String {
    let mut places = Vec::with_capacity(ids.len());
    for id in ids {
        cells.push(Cell::id(*id));
        places.push(format!("${}", cells.len()));
    }
    places.join(", ")
}

/// What there is of the children, one row for each parent `p` that has any. Values go to `cells`.
fn gathered(kept: &Kept, dialect: Dialect, which: &Which<'_>, cells: &mut Vec<Cell>) -> Result<String, StoreError> {
    let rollup = &kept.rollup;
    let mut conditions = vec![format!("t.\"{}\" is not null", rollup.via)];
    let value = rollup.field.as_ref().map(|name| format!("t.\"{name}\""));
    conditions.extend(value.iter().map(|value| format!("{value} is not null")));
    if rollup.function.is_ordered() {
        conditions.push(format!("t.\"{}\" is not null", rollup.order()));
    }
    if let Which::Of(parents, without) = which {
        conditions.push(format!("t.\"{}\" in ({})", rollup.via, list(parents, cells)));
        if !without.is_empty() {
            conditions.push(format!("t.\"id\" not in ({})", list(without, cells)));
        }
    }
    if let Some(rule) = &kept.condition {
        let params = Params::none();
        // It does not read the clock.
        let target = Target {
            dialect,
            joined: false,
            now: Timestamp::EPOCH,
            params: &params,
            first_placeholder: cells.len() + 1,
        };
        let compiled = rule_sql::compile(rule, &target).map_err(|e| StoreError::Invalid(e.to_string()))?;
        conditions.push(format!("({})", compiled.text));
        cells.extend(compiled.binds.into_iter().map(Cell::from));
    }
    let from = format!("from \"o_{}\" as t where {}", rollup.object, conditions.join(" and "));
    let (via, value) = (&rollup.via, value.unwrap_or_default());
    let text = match rollup.function {
        Function::First | Function::Last => {
            let (by, way) = (rollup.order(), if rollup.function == Function::First { "" } else { " desc" });
            format!(
                "select r.p, r.v, r.k, r.c from (select t.\"{via}\" as p, {value} as v, t.\"{by}\" as k, t.\"id\" as c, \
                 row_number() over (partition by t.\"{via}\" order by t.\"{by}\"{way}, t.\"id\"{way}) as place {from}) as r \
                 where r.place = 1"
            )
        }
        function => {
            let measured = match function {
                Function::Count => "count(*) as v".to_owned(),
                Function::Sum | Function::Average if in_halves(kept, dialect) => format!(
                    "count(*) as n, cast(sum({value} >> 32) as bigint) as high, cast(sum({value} & {LOW}) as bigint) as low"
                ),
                Function::Sum | Function::Average => format!("count(*) as n, sum({value}) as s"),
                other => format!("{other}({value}) as v"),
            };
            format!("select t.\"{via}\" as p, {measured} {from} group by t.\"{via}\"")
        }
    };
    Ok(text)
}

/// The greatest number of a kind, as SQL on that database has it.
fn most(kind: &FieldKind, dialect: Dialect) -> String {
    match (kind, dialect) {
        (FieldKind::Decimal { scale }, Dialect::Postgres) => {
            let units = DECIMAL_UNITS_MAX;
            rust_decimal::Decimal::from_i128_with_scale(units, u32::from(*scale)).to_string()
        }
        (FieldKind::Decimal { .. }, Dialect::Sqlite) => DECIMAL_UNITS_MAX.to_string(),
        _ => INTEGER_MAX.to_string(),
    }
}

/// The sums of the parents: `p`, `n`, and `s` where it keeps within the range of the field.
fn summed(kept: &Kept, dialect: Dialect, gathered: &str) -> String {
    let most = most(&kept.value_kind, dialect);
    let whole = if in_halves(kept, dialect) {
        let high = "(g.high + (g.low >> 32))";
        format!(
            "select g.p, g.n, case when {high} between -{HIGH_MAX} and {HIGH_MAX} then {high} * {HIGH} + (g.low & {LOW}) end as s \
             from ({gathered}) as g"
        )
    } else {
        gathered.to_owned()
    };
    format!("select w.p, w.n, case when w.s between -{most} and {most} then w.s end as s from ({whole}) as w")
}

/// The average of `n` numbers with the sum `s`, rounded half away from zero: in units on SQLite.
fn quotient(kept: &Kept, dialect: Dialect) -> String {
    let scale_of = |kind: &FieldKind| if let FieldKind::Decimal { scale } = kind { u32::from(*scale) } else { 0 };
    let (from, to) = (scale_of(&kept.value_kind), scale_of(&kept.kind));
    let (up, down) = (10_i64.pow(to.saturating_sub(from)), 10_i64.pow(from.saturating_sub(to)));
    let by = format!("(m.n * {down})");
    let sign = "case when m.s < 0 then -1 else 1 end";
    match dialect {
        Dialect::Sqlite => {
            let units = format!("((m.s / {by}) * {up} + (2 * (m.s % {by}) * {up} + {sign} * {by}) / (2 * {by}))");
            format!("case when {units} between -{DECIMAL_UNITS_MAX} and {DECIMAL_UNITS_MAX} then {units} end")
        }
        Dialect::Postgres => {
            let s = format!("(m.s * {}::numeric)", 10_i64.pow(from));
            let units = format!("(div({s}, {by}) * {up} + div(2 * mod({s}, {by}) * {up} + {sign} * {by}, 2 * {by}))");
            let unit = rust_decimal::Decimal::new(1, to);
            format!(
                "case when {units} between -{DECIMAL_UNITS_MAX} and {DECIMAL_UNITS_MAX} then ({units} * {unit})::numeric(15,{to}) end"
            )
        }
    }
}

/// The columns of a parent that a roll-up keeps.
fn columns(kept: &Kept) -> Vec<String> {
    let name = &kept.name;
    let hidden: &[char] = match kept.rollup.function {
        Function::Average => &['n', 's'],
        Function::First | Function::Last => &['k', 'c'],
        _ => &[],
    };
    std::iter::once(name.to_string()).chain(hidden.iter().map(|what| format!("_{name}_{what}"))).collect()
}

/// The parents of a roll-up as they should be: a join on the parents `p`, and the values of its columns.
fn joined(
    (place, kept): (usize, &Kept),
    dialect: Dialect,
    cells: &mut Vec<Cell>,
) -> Result<(String, Vec<String>), StoreError> {
    let text = gathered(kept, dialect, &Which::All, cells)?;
    let a = format!("a{place}");
    let plain = |column: &str| format!("{a}.{column}");
    let zero = |column: &str| format!("case when {a}.p is null then 0 else {a}.{column} end");
    let (settled, values) = match kept.rollup.function {
        Function::Count => (text, vec![zero("v")]),
        Function::Sum => (summed(kept, dialect, &text), vec![zero("s")]),
        Function::Average => {
            let (summed, quotient) = (summed(kept, dialect, &text), quotient(kept, dialect));
            let settled = format!("select m.p, m.n, m.s, {quotient} as v from ({summed}) as m");
            (settled, vec![plain("v"), zero("n"), zero("s")])
        }
        Function::Min | Function::Max => (text, vec![plain("v")]),
        Function::First | Function::Last => (text, vec![plain("v"), plain("k"), plain("c")]),
    };
    Ok((format!(" left join ({settled}) as {a} on {a}.p = p.\"id\""), values))
}

/// Roll-ups of one object, and how their columns should be.
struct Rows {
    /// Every parent's `id`, and what the columns should hold, as `c0`, `c1` and so on.
    text: String,
    columns: Vec<String>,
    cells: Vec<Cell>,
}

impl Rows {
    fn of(all: &[Arc<Kept>], dialect: Dialect) -> Result<Self, StoreError> {
        let (mut joins, mut shown, mut names, mut cells) = (String::new(), String::new(), Vec::new(), Vec::new());
        for (place, kept) in all.iter().enumerate() {
            let (join, values) = joined((place, kept), dialect, &mut cells)?;
            joins.push_str(&join);
            for (column, value) in columns(kept).into_iter().zip(values) {
                write!(shown, ", {value} as c{}", names.len()).expect("a text takes any text");
                names.push(column);
            }
        }
        let parent = all.first().map_or("", |kept| kept.parent.as_str());
        let text = format!("select p.\"id\" as id{shown} from \"o_{parent}\" as p{joins}");
        Ok(Self { text, columns: names, cells })
    }

    /// The condition that a column of `x` is not what it should be.
    fn differs(&self) -> String {
        let each = self.columns.iter().enumerate().map(|(i, column)| format!("x.\"{column}\" is distinct from s.c{i}"));
        each.collect::<Vec<_>>().join(" or ")
    }
}

/// The statement that makes all values of roll-ups, which are of one object, what their children say; records that are right are left
/// alone.
pub(crate) fn mend(all: &[Arc<Kept>], dialect: Dialect) -> Result<Query, StoreError> {
    let rows = Rows::of(all, dialect)?;
    let parent = all.first().map_or("", |kept| kept.parent.as_str());
    let set = rows.columns.iter().enumerate().map(|(i, column)| format!("\"{column}\" = s.c{i}"));
    let text = format!(
        "update \"o_{parent}\" as x set {} from ({}) as s where x.\"id\" = s.id and ({})",
        set.collect::<Vec<_>>().join(", "),
        rows.text,
        rows.differs()
    );
    Ok(Query::new(&text, rows.cells))
}

/// The same for roll-ups of any objects, one statement for each object; those over others come after them.
pub(crate) fn mend_all(all: &[Arc<Kept>], dialect: Dialect) -> Result<Vec<Statement>, StoreError> {
    let mut statements = Vec::new();
    let mut rest = all;
    while let Some(first) = rest.first() {
        let follows = |kept: &Arc<Kept>, before: &[Arc<Kept>]| {
            before.iter().any(|other| other.parent == kept.rollup.object && kept.reads(&other.name))
        };
        let mut together = 1;
        while let Some(next) = rest.get(together) {
            if next.parent != first.parent || follows(next, &rest[..together]) {
                break;
            }
            together += 1;
        }
        statements.push(mend(&rest[..together], dialect)?.into());
        rest = &rest[together..];
    }
    Ok(statements)
}

/// The query for parents whose values are not what their children say: id, what it has, what it should have.
pub(crate) fn faults(kept: &Arc<Kept>, limit: u32, dialect: Dialect) -> Result<Query, StoreError> {
    let rows = Rows::of(std::slice::from_ref(kept), dialect)?;
    let (parent, name) = (&kept.parent, &kept.name);
    let text = format!(
        "select x.\"id\", x.\"{name}\", s.c0 from \"o_{parent}\" as x join ({}) as s on x.\"id\" = s.id where {} \
         order by x.\"id\" limit {limit}",
        rows.text,
        rows.differs()
    );
    Ok(Query::new(&text, rows.cells))
}

/// The query for what there is of the children of `parents`, those in `without` left out.
pub(crate) fn ask(
    kept: &Kept,
    parents: &[RecordId],
    without: &[RecordId],
    dialect: Dialect,
) -> Result<Query, StoreError> {
    let mut cells = Vec::new();
    let text = gathered(kept, dialect, &Which::Of(parents, without), &mut cells)?;
    Ok(Query::new(&text, cells))
}

/// Reads a row of [`ask`].
pub(crate) fn read_total(row: &Row, kept: &Kept, dialect: Dialect) -> Result<(RecordId, Total), DbError> {
    let parent = row.record_id(0)?;
    let mut total = Total::default();
    match kept.rollup.function {
        Function::Count => total.count = row.int(1)?,
        Function::Sum | Function::Average => {
            total.count = row.int(1)?;
            total.sum = if in_halves(kept, dialect) {
                (i128::from(row.int(2)?) << 32) + i128::from(row.int(3)?)
            } else {
                row.value(2, &kept.value_kind)?.as_decimal().map_or(0, |sum| sum.mantissa())
            };
        }
        Function::Min | Function::Max => {
            let value = row.value(1, &kept.value_kind)?;
            kept.offer(&mut total, (&value, parent, &value));
        }
        Function::First | Function::Last => {
            let (value, key): (Value, Value) = (row.value(1, &kept.value_kind)?, row.value(2, &kept.key_kind)?);
            kept.offer(&mut total, (&key, row.record_id(3)?, &value));
        }
    }
    Ok((parent, total))
}
