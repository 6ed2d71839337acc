//! Which tags there are.

use rapport_model::Name;
use rapport_model::schema::Origin;
use serde_json::{Value as Json, json};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::gate::{Act, Caller};
use crate::page::{Page, cursor, open_cursor, page_rows};

impl Engine {
    /// One page of the tags of the records that the caller may see, with how many records have each; of one object, if it is named.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::UnknownObject`], [`EngineError::Invalid`] for limits and cursors.
    pub async fn tags(
        &self,
        caller: &Caller,
        object: Option<&str>,
        (limit, after): (Option<u32>, Option<&str>),
    ) -> Result<Page<Json>, EngineError> {
        caller.require(Act::Read)?;
        let schema = self.inner.store.schema();
        let objects: Vec<Name> = if let Some(name) = object {
            vec![caller.object(&schema, name, Act::Read)?.name.clone()]
        } else {
            let seen = schema.sorted_objects().into_iter().filter(|o| o.origin != Origin::System);
            seen.map(|object| object.name.clone()).filter(|name| caller.sees(name)).collect()
        };
        let described = ["tags", object.unwrap_or_default()];
        let values = after.map(|text| open_cursor(&described, text)).transpose()?;
        let texts: Vec<&str> = values.iter().flatten().filter_map(Json::as_str).collect();
        let after = match texts.as_slice() {
            [object, tag] => Some((*object, *tag)),
            _ => None,
        };
        let rows = page_rows(limit)?;
        let mut counts = self.inner.store.tag_counts(&objects, after, rows + 1).await?;
        let more = counts.len() > rows as usize;
        counts.truncate(rows as usize);
        let next = counts.last().filter(|_| more);
        let next = next.map(|last| cursor(&described, vec![json!(last.object), json!(last.tag)]));
        let items = counts.iter().map(|c| json!({ "object": c.object, "tag": c.tag, "records": c.records })).collect();
        Ok(Page { items, next })
    }
}
