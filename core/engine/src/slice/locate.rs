//! Which record a key means, as the slice sees it.

use std::sync::Arc;

use rapport_model::rule::Rule;
use rapport_model::{Name, ObjectDef, Record, Value};
use rapport_sandbox::HostError;

use super::{Answer, SliceHost, refusal, store_failure};
use crate::key::{self, Key};

impl SliceHost {
    /// Brings the roll-ups of records of `objects` up to what the slice wrote, before they are read.
    pub(super) async fn roll(&mut self, objects: &[&Name]) -> Answer<()> {
        self.buffer.roll(&self.store, objects).await.map_err(refusal)
    }

    /// The same for what a query of `object` reads.
    pub(super) async fn roll_query(&mut self, object: &ObjectDef, rule: Option<&Rule>) -> Answer<()> {
        let others = rule.into_iter().flat_map(Rule::references).map(|reference| &reference.object);
        let objects: Vec<&Name> = std::iter::once(&object.name).chain(others).collect();
        self.roll(&objects).await
    }

    /// The record that `key` names, as the slice sees it.
    pub(super) async fn locate(&self, object: &ObjectDef, key: &str) -> Answer<Option<Arc<Record>>> {
        self.find_record(object, key::parse(object, key).map_err(refusal)?).await
    }

    /// The record of that key, as the slice sees it.
    pub(crate) async fn find_record(&self, object: &ObjectDef, key: Key) -> Answer<Option<Arc<Record>>> {
        match key {
            Key::Id(id) => match self.buffer.get(&object.name, id) {
                Some(known) => Ok(known),
                None => self.store.record(&object.name, id).await.map_err(store_failure),
            },
            Key::Field(field, value) => self.locate_by(object, &field, &value).await,
        }
    }

    pub(super) async fn locate_by(
        &self,
        object: &ObjectDef,
        field: &Name,
        value: &Value,
    ) -> Answer<Option<Arc<Record>>> {
        if let Some(found) = self.buffer.find_unique(&object.name, field, value) {
            return Ok(Some(found));
        }
        let found = self.lookup.by_key(&self.store, &object.name, field, value).await.map_err(refusal)?;
        // The slice may have deleted it or given it another value since.
        Ok(found.filter(|record| !self.buffer.is_touched(record.id)))
    }

    pub(super) async fn must_locate(&self, object: &ObjectDef, key: &str) -> Answer<Arc<Record>> {
        let missing = || HostError::permanent("not_found", format!("there is no {} `{key}`", object.name));
        self.locate(object, key).await?.ok_or_else(missing)
    }

    pub(super) async fn subject(&self, subject: &str, optional: bool) -> Answer<Option<Arc<Record>>> {
        if subject.is_empty() && optional {
            return Ok(None);
        }
        let (object, key) = key::split_subject(subject).ok_or_else(|| {
            HostError::permanent(
                "invalid",
                format!("`{subject}` is no subject: write OBJECT/KEY, such as customer/customer_no:1"),
            )
        })?;
        let object = self.object(object)?;
        Ok(Some(self.must_locate(&object, key).await?))
    }
}
