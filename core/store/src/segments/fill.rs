//! Brings a segment to what its rule says, page by page of its object's records: two statements for a page, or one on PostgreSQL, whatever it
//! holds.

use std::fmt::Write as _;

use rapport_model::rule::{Params, Rule};
use rapport_model::{Name, RecordId, SegmentName, Timestamp};

use super::FieldMoment;
use crate::commit::{Committer, Work};
use crate::db::{Cell, DbError, Query, Statement};
use crate::error::StoreError;
use crate::rule_sql::{self, Dialect};
use crate::store::Store;

/// A segment that is to be what its rule says.
#[derive(Debug, Clone)]
pub struct Filling {
    /// The segment.
    pub segment: SegmentName,
    /// Whose records.
    pub object: Name,
    /// For whom it holds; none: for nobody, the segment is emptied.
    pub rule: Option<Rule>,
    /// The instant for which the rule is asked, at which they come and go.
    pub now: Timestamp,
    /// The record up to which it has come.
    pub after: Option<RecordId>,
    /// How many records a page has.
    pub rows: u32,
}

/// What came of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filled {
    /// How many came.
    pub entered: u64,
    /// How many left.
    pub left: u64,
    /// The record up to which it has come; none: that was the last page.
    pub after: Option<RecordId>,
}

/// What the committer is asked for.
pub(crate) type Fill = Box<Filling>;

/// For rules that ask of the log: how many events of a type a lane has, and which lanes have one of a moment. Made when the first segment needs
/// them, so that nobody else pays for them.
const INDEXES: [&str; 2] = [
    "create index if not exists event_did on event (type, lane, time) where lane is not null",
    "create index if not exists event_did_time on event (type, time)",
];

/// Which of the tables were never looked at, or have changed by a fifth of their rows since.
const STALE: &str = "select c.relname::text from pg_class as c left join pg_stat_all_tables as s on s.relid = c.oid \
     where c.oid in (to_regclass($1), to_regclass($2)) \
     and (c.reltuples < 0 or coalesce(s.n_mod_since_analyze, 0) > 1000 + c.reltuples / 5)";

impl Store {
    /// Brings the next page of a segment to what its rule says, in a commit of its own, without events.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] if the rule does not fit; else as for [`Store::commit`].
    pub async fn fill_segment(&self, filling: Filling) -> Result<Filled, StoreError> {
        let fill: Fill = Box::new(filling);
        self.ask(|reply| Work::FillSegment { fill, reply }).await
    }

    /// Makes the indexes for rules that ask of the log, if they are not there.
    ///
    /// # Errors
    /// As for [`Store::commit`].
    pub async fn index_history(&self) -> Result<(), StoreError> {
        let texts = INDEXES.iter().map(|text| (*text).to_owned()).collect();
        self.ask(|reply| Work::Index { texts, reply }).await
    }

    /// Makes the index by which records are found by a point in time that they hold, if there is none.
    ///
    /// # Errors
    /// As for [`Store::moments`]; else as for [`Store::commit`].
    pub async fn index_moment(&self, moment: &FieldMoment) -> Result<(), StoreError> {
        let object = self.shared().object(&moment.object)?;
        if object.field(moment.field.as_str()).is_some_and(|field| field.unique || field.indexed) {
            return Ok(());
        }
        let texts = vec![crate::record_sql::moment_index(&moment.object, &moment.field, self.shared().pool.dialect())];
        self.ask(|reply| Work::Index { texts, reply }).await
    }
}

impl Committer {
    pub(crate) async fn index(&mut self, texts: Vec<String>) -> Result<(), StoreError> {
        let statements = texts.iter().map(|text| Statement::from(Query::new(text, Vec::new()))).collect();
        Ok(self.apart(statements).await?)
    }

    /// One page of a segment, in a transaction of its own.
    pub(crate) async fn fill_segment(&mut self, fill: Fill) -> Result<Filled, StoreError> {
        if fill.after.is_none() && self.conn.dialect() == Dialect::Postgres {
            self.know_tables([&format!("o_{}", fill.object), "segment_stay"]).await?;
        }
        let upto = self.page_end(&fill).await?;
        let page = Page::of(&fill, upto, self.shared.target())?;
        let begin = match self.conn.dialect() {
            Dialect::Sqlite => "begin immediate",
            // A plan for whatever values there may be is one for few rows.
            Dialect::Postgres => "begin; set local plan_cache_mode = force_custom_plan",
        };
        self.conn.raw(begin).await?;
        match self.turn(page).await {
            Ok((left, entered)) => Ok(Filled { entered, left, after: upto }),
            Err(error) => {
                // The first error says more than a failed rollback would.
                self.conn.raw("rollback").await.ok();
                Err(error.into())
            }
        }
    }

    /// How many left, and how many came.
    async fn turn(&mut self, page: Page) -> Result<(u64, u64), DbError> {
        let done = match self.conn.dialect() {
            Dialect::Sqlite => {
                let [leave, enter] = page.leave_then_enter();
                (self.conn.execute(leave).await?, self.conn.execute(enter).await?)
            }
            Dialect::Postgres => {
                let rows = self.conn.fetch(page.at_once()).await?;
                let count = |place| rows.first().map_or(Ok(0), |row| row.int(place)).map(i64::unsigned_abs);
                (count(0)?, count(1)?)
            }
        };
        self.conn.raw("commit").await?;
        Ok(done)
    }

    /// Has PostgreSQL look at tables of which it knows little, after an import say, so that it reads no more of them, and of those that the rule
    /// refers to, than it must: what looks at tables by itself comes only once a minute.
    async fn know_tables(&mut self, tables: [&str; 2]) -> Result<(), StoreError> {
        for row in self.conn.fetch(Query::new(STALE, tables.map(Cell::text).to_vec())).await? {
            self.conn.raw(&format!("analyze \"{}\"", row.text(0)?)).await?;
        }
        Ok(())
    }

    /// The last record of the page; none: it goes to the end.
    async fn page_end(&mut self, fill: &Filling) -> Result<Option<RecordId>, StoreError> {
        let place = fill.rows.max(1) - 1;
        let (condition, cells) = match fill.after {
            Some(after) => (" where t.\"id\" > $1", vec![Cell::id(after)]),
            None => ("", Vec::new()),
        };
        let text = format!(
            "select t.\"id\" from \"o_{}\" as t{condition} order by t.\"id\" limit 1 offset {place}",
            fill.object
        );
        let rows = self.conn.fetch(Query::new(&text, cells)).await?;
        Ok(rows.first().map(|row| row.record_id(0)).transpose()?)
    }
}

/// The parts of the statements for a page. Records and stays are ranges of the primary keys.
struct Page {
    /// The stays of the page.
    stays: String,
    /// Its records, behind what the rule joins: for whom it holds.
    held: String,
    cells: Vec<Cell>,
}

impl Page {
    fn of(fill: &Filling, upto: Option<RecordId>, (dialect, joined): (Dialect, bool)) -> Result<Self, StoreError> {
        let mut cells = vec![Cell::text(fill.segment.as_str()), Cell::Int(fill.now.micros())];
        // Each statement has all values: PostgreSQL refuses one without a placeholder.
        let mut bounds = Vec::new();
        for (sign, bound) in [(">", fill.after), ("<=", upto)] {
            if let Some(id) = bound {
                cells.push(Cell::id(id));
                bounds.push((sign, cells.len()));
            }
        }
        let range = |column: &str| -> String {
            bounds.iter().fold(String::new(), |mut text, (sign, place)| {
                write!(text, " and {column} {sign} ${place}").expect("a text takes any text");
                text
            })
        };
        let target = rule_sql::Target {
            dialect,
            joined,
            now: fill.now,
            params: &Params::none(),
            first_placeholder: cells.len() + 1,
        };
        let compiled = fill.rule.as_ref().map(|rule| rule_sql::compile(rule, &target)).transpose();
        let compiled = compiled.map_err(|e| StoreError::Invalid(e.to_string()))?;
        let (joins, holds, binds) =
            compiled.map_or_else(|| (String::new(), "false".to_owned(), Vec::new()), |c| (c.joins, c.text, c.binds));
        cells.extend(binds.into_iter().map(Cell::from));
        let held = format!("\"o_{}\" as t{joins} where ({holds}){}", fill.object, range("t.\"id\""));
        Ok(Self { stays: range("s.id"), held, cells })
    }

    /// For SQLite: what closes the stays of those for whom the rule does not hold, and what opens one for each other who has none. The inner
    /// selections are by id alone: with a range beside it, SQLite would go through the range.
    fn leave_then_enter(self) -> [Query; 2] {
        let Self { stays, held, cells } = self;
        let leave = format!(
            "update segment_stay as s set left_at = $2 where s.segment = $1 and s.left_at is null{stays} and not exists \
             (select 1 from {held} and t.\"id\" = s.id)"
        );
        let enter = format!(
            "insert into segment_stay (segment, id, entered_at) select $1, t.\"id\", $2 from {held} \
             and not exists (select 1 from segment_stay as s where s.segment = $1 and s.id = t.\"id\" and s.left_at is null) \
             on conflict (segment, id, entered_at) do update set left_at = null"
        );
        [Query::new(&leave, cells.clone()), Query::new(&enter, cells)]
    }

    /// For PostgreSQL: both in one statement that asks the rule once, and answers how many left and how many came. Those for whom the rule holds
    /// and those who are in are counted together, not joined: however wrong its guesses of how many they are, no plan compares each with each.
    fn at_once(self) -> Query {
        let Self { stays, held, cells } = self;
        let text = format!(
            "with differing as materialized (select u.id, bool_or(u.held) as held from (select t.\"id\", true as held from {held} \
             union all select s.id, false from segment_stay as s where s.segment = $1 and s.left_at is null{stays}) as u \
             group by u.id having count(*) = 1), \
             gone as (update segment_stay as s set left_at = $2 where s.segment = $1 and s.left_at is null \
             and s.id = any(array(select d.id from differing as d where not d.held)) returning 1), \
             come as (insert into segment_stay (segment, id, entered_at) select $1, d.id, $2 from differing as d where d.held order by d.id \
             on conflict (segment, id, entered_at) do update set left_at = null returning 1) \
             select (select count(*) from gone), (select count(*) from come)"
        );
        Query::new(&text, cells)
    }
}
