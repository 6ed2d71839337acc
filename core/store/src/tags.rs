//! Which tags there are, and on how many records: asked of the table that holds the tags of records turned round.

use rapport_model::Name;

use crate::db::{Cell, Query};
use crate::error::StoreError;
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
            text.push_str(&format!(" and (g.object, g.tag) > (${}, ${})", cells.len() - 1, cells.len()));
        }
        text.push_str(&format!(" group by g.object, g.tag order by g.object, g.tag limit {limit}"));
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
