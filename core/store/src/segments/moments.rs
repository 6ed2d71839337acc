//! At which instants the mere passing of time can change the answer of a rule: for which records, and when next.
//!
//! A rule that reads the clock compares a field, or the time of an event, with now. So whoever has come to the point at which the comparison
//! turns since the last look is a range of an index, and the next such point is its first entry.

use rapport_model::rule::days::{date_of, day_of, midnight};
use rapport_model::rule::history::HistoryOf;
use rapport_model::{EventType, FieldKind, Name, RecordId, Timestamp, Value};

use crate::db::{Cell, Query, Row};
use crate::error::StoreError;
use crate::store::Store;

/// A field whose value is compared with now.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldMoment {
    /// The object.
    pub object: Name,
    /// The field, a timestamp or a date; a system field too.
    pub field: Name,
}

/// What is compared with now.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Moment {
    /// A field of records.
    Field(FieldMoment),
    /// The time of events in the histories of records.
    Event(EventType, HistoryOf),
}

/// Midnight (UTC) that begins the day of `row`'s column, or its instant.
fn instant(row: &Row, index: usize, kind: &FieldKind) -> Result<Timestamp, StoreError> {
    match row.value(index, kind)? {
        Value::Time(time) => Ok(time),
        Value::Date(date) => Ok(midnight(date)),
        other => Err(StoreError::Corrupt { what: "a moment".into(), why: format!("{other:?} is no point in time") }),
    }
}

/// `time` as a value of a field of `kind`: the day that it is in, if that holds days.
fn value(time: Timestamp, kind: &FieldKind) -> Option<Value> {
    match kind {
        FieldKind::Date => date_of(day_of(time)).map(Value::Date),
        _ => Some(Value::Time(time)),
    }
}

impl Store {
    fn kind_of(&self, moment: &FieldMoment) -> Result<FieldKind, StoreError> {
        let object = self.shared().object(&moment.object)?;
        match object.field(moment.field.as_str()).map(|field| field.kind.clone()) {
            Some(kind @ (FieldKind::Date | FieldKind::Timestamp)) => Ok(kind),
            None if matches!(moment.field.as_str(), "created_at" | "updated_at") => Ok(FieldKind::Timestamp),
            _ => Err(StoreError::Invalid(format!("`{}.{}` is no point in time", moment.object, moment.field))),
        }
    }

    /// The records whose moment lies after `from` and not after `to`, each with it, the earliest first; `limit` at most. For events these are
    /// the records in whose history they are.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] if the field holds no point in time; else as for [`Store::find`].
    pub async fn moments(
        &self,
        moment: &Moment,
        (from, to): (Timestamp, Timestamp),
        limit: u32,
    ) -> Result<Vec<(RecordId, Timestamp)>, StoreError> {
        match moment {
            Moment::Field(field) => self.field_moments(field, (from, to), limit).await,
            Moment::Event(kind, of) => self.event_moments(kind, *of, (from, to), limit).await,
        }
    }

    async fn field_moments(
        &self,
        moment: &FieldMoment,
        (from, to): (Timestamp, Timestamp),
        limit: u32,
    ) -> Result<Vec<(RecordId, Timestamp)>, StoreError> {
        let (kind, dialect) = (self.kind_of(moment)?, self.shared().pool.dialect());
        let (Some(from), Some(to)) = (value(from, &kind), value(to, &kind)) else { return Ok(Vec::new()) };
        let FieldMoment { object, field } = moment;
        let text = format!(
            "select t.\"id\", t.\"{field}\" from \"o_{object}\" as t where t.\"{field}\" > $1 and t.\"{field}\" <= $2 \
             order by t.\"{field}\", t.\"id\" limit {limit}"
        );
        let cells = vec![Cell::of(&from, &kind, dialect), Cell::of(&to, &kind, dialect)];
        let rows = self.fetch(Query::new(&text, cells)).await?;
        rows.iter().map(|row| Ok((row.record_id(0)?, instant(row, 1, &kind)?))).collect()
    }

    async fn event_moments(
        &self,
        kind: &EventType,
        of: HistoryOf,
        (from, to): (Timestamp, Timestamp),
        limit: u32,
    ) -> Result<Vec<(RecordId, Timestamp)>, StoreError> {
        let whose = match of {
            HistoryOf::Lane => "lane",
            HistoryOf::Subject => "subject_id",
        };
        let text = format!(
            "select {whose}, time from event where type = $1 and time > $2 and time <= $3 and {whose} is not null \
             order by time, position limit {limit}"
        );
        let cells = vec![Cell::text(kind.as_str()), Cell::Int(from.micros()), Cell::Int(to.micros())];
        let rows = self.fetch(Query::new(&text, cells)).await?;
        rows.iter().map(|row| Ok((row.record_id(0)?, row.micros(1)?))).collect()
    }

    /// The first moment after `after`; none: there is none.
    ///
    /// # Errors
    /// As for [`Store::moments`].
    pub async fn next_moment(&self, moment: &Moment, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        match moment {
            Moment::Event(kind, _) => {
                let text = "select time from event where type = $1 and time > $2 order by time limit 1";
                let cells = vec![Cell::text(kind.as_str()), Cell::Int(after.micros())];
                let rows = self.fetch(Query::new(text, cells)).await?;
                Ok(rows.first().map(|row| row.micros(0)).transpose()?)
            }
            Moment::Field(moment) => {
                let (kind, dialect) = (self.kind_of(moment)?, self.shared().pool.dialect());
                let Some(after) = value(after, &kind) else { return Ok(None) };
                let FieldMoment { object, field } = moment;
                let text = format!(
                    "select t.\"{field}\" from \"o_{object}\" as t where t.\"{field}\" > $1 order by t.\"{field}\" limit 1"
                );
                let rows = self.fetch(Query::new(&text, vec![Cell::of(&after, &kind, dialect)])).await?;
                rows.first().map(|row| instant(row, 0, &kind)).transpose()
            }
        }
    }

    /// The records in whose history there are as many events as `did` asks for at `now`; of each pair in `merged` the first had been merged
    /// into the second. Set-based: one pass over an index.
    ///
    /// # Errors
    /// As for [`Store::find`].
    pub async fn lanes_that_did(
        &self,
        did: &rapport_model::rule::history::Did,
        now: Timestamp,
        merged: &[(RecordId, RecordId)],
    ) -> Result<Vec<RecordId>, StoreError> {
        let dialect = self.shared().pool.dialect();
        let (text, binds) = crate::rule_sql::all_that_did(did, (now, merged), dialect)
            .map_err(|e| StoreError::Invalid(e.to_string()))?;
        let rows = self.fetch(Query::new(&text, binds.into_iter().map(Cell::from).collect())).await?;
        Ok(rows.iter().map(|row| row.record_id(0)).collect::<Result<_, _>>()?)
    }

    /// How many events there are of those that `did` counts in the history of the record `id` at `now`, up to the number that it asks for.
    ///
    /// # Errors
    /// As for [`Store::find`].
    pub async fn count_did(
        &self,
        did: &rapport_model::rule::history::Did,
        id: RecordId,
        now: Timestamp,
    ) -> Result<u32, StoreError> {
        let target = self.shared().target();
        let (text, binds) =
            crate::rule_sql::count_did(did, (id, now), target).map_err(|e| StoreError::Invalid(e.to_string()))?;
        let rows = self.fetch(Query::new(&text, binds.into_iter().map(Cell::from).collect())).await?;
        let count = rows.first().map(|row| row.int(0)).transpose()?.unwrap_or(0);
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }
}
