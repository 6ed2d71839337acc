//! Which record a key means, as the slice sees it.

use std::sync::Arc;

use rapport_model::json::to_json;
use rapport_model::record::Change;
use rapport_model::rule::Rule;
use rapport_model::{Name, ObjectDef, Record, RecordId, Value};
use rapport_sandbox::HostError;

use super::{Answer, SliceHost, refusal, store_failure};
use crate::error::EngineError;
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
            Key::Id(id) => match self.with_id(object, id).await? {
                Some(record) => Ok(Some(record)),
                None => self.survivor(object, self.merged.survivor(id)).await,
            },
            Key::Field(field, value) => self.locate_by(object, &field, &value).await,
        }
    }

    async fn with_id(&self, object: &ObjectDef, id: RecordId) -> Answer<Option<Arc<Record>>> {
        match self.buffer.get(&object.name, id) {
            Some(known) => Ok(known),
            None => self.store.record(&object.name, id).await.map_err(store_failure),
        }
    }

    /// The record into which another was merged.
    async fn survivor(&self, object: &ObjectDef, id: Option<RecordId>) -> Answer<Option<Arc<Record>>> {
        match id {
            Some(id) => self.with_id(object, id).await,
            None => Ok(None),
        }
    }

    /// Whether `record` has the name `key` itself, and not since another was merged into it.
    pub(super) fn is_its_own(record: &Record, key: &Key) -> bool {
        match key {
            Key::Id(id) => record.id == *id,
            Key::Field(field, value) => record.get(field.as_str()) == value,
        }
    }

    /// A value that leads to a record into which another was merged is no other's.
    pub(super) fn must_be_free(
        &self,
        object: &ObjectDef,
        id: Option<RecordId>,
        changes: &[(Name, Change)],
    ) -> Answer<()> {
        for (name, change) in changes {
            let Change::Set(value) = change else { continue };
            let is_unique = !self.merged.is_empty() && object.field(name.as_str()).is_some_and(|field| field.unique);
            let leads = is_unique.then(|| self.merged.by_key(&object.name, name, value)).flatten();
            if leads.is_some_and(|leads| Some(leads) != id) {
                let (object, field, value) = (object.name.to_string(), name.to_string(), to_json(value).to_string());
                return Err(refusal(EngineError::Unique { object, field, value }));
            }
        }
        Ok(())
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
        match found.filter(|record| !self.buffer.is_touched(record.id)) {
            Some(record) => Ok(Some(record)),
            None => self.survivor(object, self.merged.by_key(&object.name, field, value)).await,
        }
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
