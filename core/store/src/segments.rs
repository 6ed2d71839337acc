//! Who belongs to segments: single steps are part of units, many at once are set-based statements over a range of records.

mod fill;
mod moments;

use std::collections::HashMap;

use rapport_model::{RecordId, SegmentName, Timestamp};

use crate::db::{Cell, Kind, Query, RowStatement};
use crate::error::StoreError;
use crate::find::Select;
use crate::query::RecordQuery;
use crate::store::Store;
use crate::unit::Followed;

pub(crate) use fill::Fill;
pub use fill::{Filled, Filling};
pub use moments::{FieldMoment, Moment};

/// A record's time in a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StayOf {
    /// The segment.
    pub segment: SegmentName,
    /// The record.
    pub id: RecordId,
    /// When it came.
    pub entered_at: Timestamp,
    /// When it left; none: it is there.
    pub left_at: Option<Timestamp>,
}

/// What of a segment is not as its rule has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SegmentFaults {
    /// Records for which the rule holds and that are not in it: how many, and some of them.
    pub missing: (u64, Vec<RecordId>),
    /// Records that are in it and for which the rule does not hold, likewise.
    pub surplus: (u64, Vec<RecordId>),
}

/// The stays of these records, open ones alone. Served by `segment_stay_record`.
const OPEN_OF: &str = "select segment, id, entered_at, left_at from segment_stay where left_at is null and id in (";
const STAYS_OF: &str = "select segment, id, entered_at, left_at from segment_stay where id = $1 \
     order by entered_at desc, segment limit $2";
const MEMBERS: &str = "select segment, id, entered_at, left_at from segment_stay where segment = $1 and id > $2 \
     and left_at is null order by id limit $3";
const FIRST_MEMBERS: &str = "select segment, id, entered_at, left_at from segment_stay where segment = $1 \
     and left_at is null order by id limit $2";
const MEMBER_COUNT: &str = "select count(*) from segment_stay where segment = $1 and left_at is null";
const SIZE_AT: &str = "select count(*) from segment_stay where segment = $1 and entered_at <= $2 \
     and (left_at is null or left_at > $2)";
const MEMBERS_AT: &str = "select id from segment_stay where segment = $1 and entered_at <= $2 \
     and (left_at is null or left_at > $2) order by id";
const OVERLAP: &str = "select count(*) from segment_stay as a where a.segment = $1 and a.left_at is null and exists \
     (select 1 from segment_stay as b where b.segment = $2 and b.id = a.id and b.left_at is null)";
const PROGRESS: &str = "select position, swept_at from segment_progress where id = 1";

/// The records that a report of faults names.
const FAULTS_SHOWN: u32 = 100;

/// What is asked of those in whom a segment differs from its rule.
#[derive(Debug, Clone, Copy)]
enum Differing {
    Count,
    Ids(u32),
}

fn stay(row: &crate::db::Row) -> Result<StayOf, StoreError> {
    let damaged = |e: rapport_model::segment::InvalidSegmentName| StoreError::Corrupt {
        what: "segment_stay".into(),
        why: e.to_string(),
    };
    Ok(StayOf {
        segment: SegmentName::new(&row.text(0)?).map_err(damaged)?,
        id: row.record_id(1)?,
        entered_at: row.micros(2)?,
        left_at: row.opt_micros(3)?,
    })
}

impl Store {
    /// The segments that these records are in.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn segments_of(&self, ids: &[RecordId]) -> Result<HashMap<RecordId, Vec<StayOf>>, StoreError> {
        let pool = &self.shared().pool;
        let cells = ids.iter().map(|id| Cell::id(*id)).collect();
        let mut found: HashMap<RecordId, Vec<StayOf>> = HashMap::new();
        for statement in
            RowStatement::new(OPEN_OF, ") order by id, segment", &[Kind::Id]).statements(pool.dialect(), cells)
        {
            for row in pool.fetch(statement).await? {
                let stay = stay(&row)?;
                found.entry(stay.id).or_default().push(stay);
            }
        }
        Ok(found)
    }

    /// The times that a record spent in segments, the latest first, `limit` at most.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn stays_of(&self, id: RecordId, limit: u32) -> Result<Vec<StayOf>, StoreError> {
        let cells = vec![Cell::id(id), Cell::Int(i64::from(limit))];
        self.fetch(Query::new(STAYS_OF, cells)).await?.iter().map(stay).collect()
    }

    /// The records of a segment after `after`, in the order of their ids, `limit` at most.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn segment_members(
        &self,
        segment: &SegmentName,
        after: Option<RecordId>,
        limit: u32,
    ) -> Result<Vec<StayOf>, StoreError> {
        let (name, limit) = (Cell::text(segment.as_str()), Cell::Int(i64::from(limit)));
        let query = match after {
            Some(after) => Query::new(MEMBERS, vec![name, Cell::id(after), limit]),
            None => Query::new(FIRST_MEMBERS, vec![name, limit]),
        };
        self.fetch(query).await?.iter().map(stay).collect()
    }

    /// How many records are in a segment.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn segment_size(&self, segment: &SegmentName) -> Result<u64, StoreError> {
        self.counted(Query::new(MEMBER_COUNT, vec![Cell::text(segment.as_str())])).await
    }

    /// How many records were in a segment at `time`.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn segment_size_at(&self, segment: &SegmentName, time: Timestamp) -> Result<u64, StoreError> {
        self.counted(Query::new(SIZE_AT, vec![Cell::text(segment.as_str()), Cell::Int(time.micros())])).await
    }

    /// The records that were in a segment at `time`, in the order of their ids.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn segment_members_at(
        &self,
        segment: &SegmentName,
        time: Timestamp,
    ) -> Result<Vec<RecordId>, StoreError> {
        let cells = vec![Cell::text(segment.as_str()), Cell::Int(time.micros())];
        let rows = self.fetch(Query::new(MEMBERS_AT, cells)).await?;
        Ok(rows.iter().map(|row| row.record_id(0)).collect::<Result<_, _>>()?)
    }

    /// How many records are in both segments.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn segment_overlap(&self, one: &SegmentName, other: &SegmentName) -> Result<u64, StoreError> {
        self.counted(Query::new(OVERLAP, vec![Cell::text(one.as_str()), Cell::text(other.as_str())])).await
    }

    /// How far live segments have followed the log, and time; none: they never did.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn segments_followed(&self) -> Result<Option<Followed>, StoreError> {
        let rows = self.fetch(Query::new(PROGRESS, Vec::new())).await?;
        let read = |row: &crate::db::Row| Ok(Followed { position: row.int(0)?, swept_at: row.micros(1)? });
        rows.first().map(read).transpose()
    }

    /// The ids of the records that `query` means, its order and its page aside: all of them.
    ///
    /// # Errors
    /// As for [`Store::find`].
    pub async fn ids_where(&self, query: &RecordQuery) -> Result<Vec<RecordId>, StoreError> {
        let (object, shared) = (self.shared().object(&query.object)?, self.shared());
        let mut select = Select::new(&object, shared.target());
        select.filter(query)?;
        let Select { joins, conditions, cells, .. } = select;
        let text = format!("select t.\"id\" from \"o_{}\" as t{joins}{conditions} order by t.\"id\"", object.name);
        self.ids(Query::new(&text, cells)).await
    }

    /// What of `segment` is not as `query`, its rule, has it.
    ///
    /// # Errors
    /// As for [`Store::find`].
    pub async fn segment_faults(
        &self,
        segment: &SegmentName,
        query: &RecordQuery,
    ) -> Result<SegmentFaults, StoreError> {
        let [missing, surplus] = self.differing(segment, query, Differing::Count)?;
        let [missing_some, surplus_some] = self.differing(segment, query, Differing::Ids(FAULTS_SHOWN))?;
        Ok(SegmentFaults {
            missing: (self.counted(missing).await?, self.ids(missing_some).await?),
            surplus: (self.counted(surplus).await?, self.ids(surplus_some).await?),
        })
    }

    /// Records for which `query`, the rule of `segment`, holds and that are not in it, and such as are in it though it does not hold; of
    /// each the limit of the query at most.
    ///
    /// # Errors
    /// As for [`Store::find`].
    pub async fn segment_differences(
        &self,
        segment: &SegmentName,
        query: &RecordQuery,
    ) -> Result<(Vec<RecordId>, Vec<RecordId>), StoreError> {
        let [missing, surplus] = self.differing(segment, query, Differing::Ids(query.limit))?;
        Ok((self.ids(missing).await?, self.ids(surplus).await?))
    }

    /// The queries for those who are missing and those who are surplus.
    fn differing(&self, segment: &SegmentName, query: &RecordQuery, what: Differing) -> Result<[Query; 2], StoreError> {
        let (object, shared) = (self.shared().object(&query.object)?, self.shared());
        let mut select = Select::new(&object, shared.target());
        select.filter(query)?;
        select.cells.push(Cell::text(segment.as_str()));
        let Select { joins, conditions, cells, .. } = select;
        let (name, table) = (cells.len(), &object.name);
        let conditions = if conditions.is_empty() { " where true".to_owned() } else { conditions };
        let (of_missing, of_surplus, end) = match what {
            Differing::Count => ("count(*)".to_owned(), "count(*)".to_owned(), [String::new(), String::new()]),
            Differing::Ids(limit) => {
                let end = |column: &str| format!(" order by {column} limit {limit}");
                ("t.\"id\"".to_owned(), "m.id".to_owned(), [end("t.\"id\""), end("m.id")])
            }
        };
        let missing = format!(
            "select {of_missing} from \"o_{table}\" as t{joins}{conditions} and not exists (select 1 from segment_stay as s \
             where s.segment = ${name} and s.id = t.\"id\" and s.left_at is null){}",
            end[0]
        );
        let surplus = format!(
            "select {of_surplus} from segment_stay as m where m.segment = ${name} and m.left_at is null and not exists \
             (select 1 from \"o_{table}\" as t{joins}{conditions} and t.\"id\" = m.id){}",
            end[1]
        );
        Ok([Query::new(&missing, cells.clone()), Query::new(&surplus, cells)])
    }

    async fn ids(&self, query: Query) -> Result<Vec<RecordId>, StoreError> {
        let rows = self.fetch(query).await?;
        Ok(rows.iter().map(|row| row.record_id(0)).collect::<Result<_, _>>()?)
    }

    async fn counted(&self, query: Query) -> Result<u64, StoreError> {
        let rows = self.fetch(query).await?;
        let count = rows.first().map(|row| row.int(0)).transpose()?.unwrap_or(0);
        Ok(u64::try_from(count).unwrap_or(0))
    }
}
