//! Which tags there are, and on how many records: asked of the table that holds the tags of records turned round.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use rapport_model::{Name, RecordId, Timestamp, Value, tags};

use crate::db::{Cell, Query};
use crate::error::StoreError;
use crate::query::RecordQuery;
use crate::store::Store;

/// How many records of an object have a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagCount {
    /// The object.
    pub object: Name,
    /// The tag.
    pub tag: String,
    /// The records that have it.
    pub records: u64,
}

impl Store {
    /// The tags of the records of `objects`, ordered by object and tag, `limit` at most, after the pair `after`.
    ///
    /// Served by the primary key of the table, which is read from `after` on as far as the page goes.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn tag_counts(
        &self,
        objects: &[Name],
        after: Option<(&str, &str)>,
        limit: u32,
    ) -> Result<Vec<TagCount>, StoreError> {
        if objects.is_empty() {
            return Ok(Vec::new());
        }
        let mut cells: Vec<Cell> = objects.iter().map(|name| Cell::text(name.as_str())).collect();
        let places: Vec<String> = (1..=cells.len()).map(|n| format!("${n}")).collect();
        let mut text =
            format!("select g.object, g.tag, count(*) from record_tag as g where g.object in ({})", places.join(", "));
        if let Some((object, tag)) = after {
            cells.extend([Cell::text(object), Cell::text(tag)]);
            write!(text, " and (g.object, g.tag) > (${}, ${})", cells.len() - 1, cells.len())
                .expect("a text takes any text");
        }
        write!(text, " group by g.object, g.tag order by g.object, g.tag limit {limit}")
            .expect("a text takes any text");
        let mut found = Vec::new();
        for row in self.fetch(Query::new(&text, cells)).await? {
            let corrupt =
                |why: &dyn std::fmt::Display| StoreError::Corrupt { what: "record_tag".into(), why: why.to_string() };
            found.push(TagCount {
                object: Name::new(&row.text(0)?).map_err(|e| corrupt(&e))?,
                tag: row.text(1)?,
                records: u64::try_from(row.int(2)?).unwrap_or(0),
            });
        }
        Ok(found)
    }
}

/// The most records that are looked at in one go: their tags are in memory meanwhile.
const PROOF_ROWS_MAX: u32 = 500;
/// Served by the index `record_tag_record`.
const TAGS_OF: &str = "select g.id, g.tag from record_tag as g where g.object = $1";

impl Store {
    /// Looks at records of `object` behind `after`, `limit` at most: whether the tags by which they are found are those that they have.
    /// Gives how many it looked at, the last of them unless it came to the end, and the records of which it is not so.
    ///
    /// What changes while it looks may be told as wrong: look again.
    ///
    /// # Errors
    /// As for [`Store::find`].
    pub async fn prove_tags(
        &self,
        object: &Name,
        (after, limit, now): (Option<RecordId>, u32, Timestamp),
    ) -> Result<(u64, Option<RecordId>, Vec<RecordId>), StoreError> {
        let limit = limit.clamp(1, PROOF_ROWS_MAX);
        let mut query = RecordQuery::new(object.clone(), now, limit);
        query.after = after.map(|id| (Vec::new(), id));
        let records = self.find(&query).await?;
        let last = records.last().map(|record| record.id).filter(|_| records.len() >= limit as usize);
        let (mut text, mut cells) = (TAGS_OF.to_owned(), vec![Cell::text(object.as_str())]);
        for (bound, id) in [(" and g.id > $", after), (" and g.id <= $", last)] {
            let Some(id) = id else { continue };
            cells.push(Cell::id(id));
            text.push_str(bound);
            text.push_str(&cells.len().to_string());
        }
        let mut kept: BTreeMap<RecordId, BTreeSet<String>> = BTreeMap::new();
        for row in self.fetch(Query::new(&text, cells)).await? {
            kept.entry(row.record_id(0)?).or_default().insert(row.text(1)?);
        }
        let mut wrong = Vec::new();
        for record in &records {
            let own = tags::place(&record.object).map_or(&Value::Null, |place| record.at(place));
            let own: BTreeSet<String> = tags::of(own).map(ToOwned::to_owned).collect();
            if kept.remove(&record.id).unwrap_or_default() != own {
                wrong.push(record.id);
            }
        }
        // What is left are tags of records that are not there.
        wrong.extend(kept.into_keys());
        Ok((u64::try_from(records.len()).unwrap_or(u64::MAX), last, wrong))
    }
}
