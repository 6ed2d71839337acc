//! The calls on records and events: rights first, then the buffer.

use rapport_model::automation::Need;
use rapport_model::event::{NewEvent, Subject};
use rapport_model::formula;
use rapport_model::json::fit_value;
use rapport_model::nearest::nearest;
use rapport_model::record::Change;
use rapport_model::{EventType, Value};
use rapport_sandbox::{FindRequest, GuestFields, HostError, RecordData};

use super::{Answer, SliceHost, refusal};
use crate::draft::known_field;
use crate::error::EngineError;
use crate::key;
use crate::query;
use crate::schema::is_record_event;

impl SliceHost {
    pub(super) async fn do_get(&mut self, object: &str, key: &str) -> Answer<Option<RecordData>> {
        self.allow(Need::Read(object))?;
        let object = self.object(object)?;
        self.roll(&[&object.name]).await?;
        let found = self.locate(&object, key).await?;
        self.count_rows(1)?;
        if let Some(record) = found.as_ref().filter(|r| !self.buffer.is_touched(r.id)) {
            self.buffer.saw(record);
        }
        Ok(found.map(|record| formula::shown(&record, self.time)))
    }

    pub(super) async fn do_find(&mut self, request: FindRequest) -> Answer<Vec<RecordData>> {
        let query = self.query(request)?;
        self.roll_query(&query.object, query.rule.as_ref()).await?;
        let rows = query::find(&self.store, &self.buffer, &query).await.map_err(refusal)?;
        self.count_rows(rows.len())?;
        Ok(rows.iter().map(|record| formula::shown(record, self.time)).collect())
    }

    pub(super) async fn do_count(&mut self, object: &str, filter: &str, params: GuestFields) -> Answer<u64> {
        let request = FindRequest { object: object.into(), filter: filter.into(), params, ..FindRequest::default() };
        let query = self.query(request)?;
        self.roll_query(&query.object, query.rule.as_ref()).await?;
        self.count_rows(1)?;
        query::count(&self.store, &self.buffer, &query).await.map_err(refusal)
    }

    pub(super) async fn do_create(&mut self, object: &str, fields: GuestFields) -> Answer<RecordData> {
        self.allow(Need::Create(object))?;
        let object = self.object(object)?;
        let changes = self.changes(&object, fields).await?;
        self.new_record(&object, changes)
    }

    pub(super) async fn do_update(&mut self, object: &str, key: &str, fields: GuestFields) -> Answer<()> {
        let object = self.object(object)?;
        let changes = self.changes(&object, fields).await?;
        self.allow_writes(&object, &changes)?;
        self.count_writes()?;
        let before = self.must_locate(&object, key).await?;
        self.must_be_free(&object, Some(before.id), &changes)?;
        self.guard_question(&before, Some(&changes)).await?;
        self.buffer.update(&before, self.time, changes).map_err(|e| refusal(e.into()))?;
        Ok(())
    }

    pub(super) async fn do_increment(&mut self, object: &str, key: &str, field: &str, delta: Value) -> Answer<()> {
        self.allow(Need::Write(object, field))?;
        let object = self.object(object)?;
        let field = known_field(&object, field).map_err(refusal)?.name.clone();
        self.count_writes()?;
        let before = self.must_locate(&object, key).await?;
        let changes = vec![(field, Change::Increment(delta))];
        self.buffer.update(&before, self.time, changes).map_err(|e| refusal(e.into()))?;
        Ok(())
    }

    pub(super) async fn do_upsert(&mut self, object: &str, by: &str, fields: GuestFields) -> Answer<RecordData> {
        let object = self.object(object)?;
        let by = known_field(&object, by).map_err(refusal)?;
        if !by.unique {
            return Err(HostError::permanent(
                "invalid",
                format!("`{}` is not unique: upsert needs one that is", by.name),
            ));
        }
        let changes = self.changes(&object, fields).await?;
        let value = changes.iter().find_map(|(name, change)| match change {
            Change::Set(value) if *name == by.name && !value.is_null() => Some(value.clone()),
            _ => None,
        });
        let value = value.ok_or_else(|| HostError::permanent("invalid", format!("give a value for `{}`", by.name)))?;
        self.roll(&[&object.name]).await?;
        match self.locate_by(&object, &by.name, &value).await? {
            None => {
                self.allow(Need::Create(object.name.as_str()))?;
                self.new_record(&object, changes)
            }
            Some(before) => {
                let others: Vec<_> = changes.into_iter().filter(|(name, _)| *name != by.name).collect();
                self.allow_writes(&object, &others)?;
                self.count_writes()?;
                self.guard_question(&before, Some(&others)).await?;
                let after = self.buffer.update(&before, self.time, others).map_err(|e| refusal(e.into()))?;
                Ok(formula::shown(&after, self.time))
            }
        }
    }

    pub(super) async fn do_delete(&mut self, object: &str, key: &str) -> Answer<bool> {
        self.allow(Need::Delete(object))?;
        let object = self.object(object)?;
        self.count_writes()?;
        let named = key::parse(&object, key).map_err(refusal)?;
        let Some(record) = self.find_record(&object, named.clone()).await? else { return Ok(false) };
        if !Self::is_its_own(&record, &named) {
            let name = &object.name;
            let why = format!("{name} `{key}` was merged into {name}/{}: to delete that one, name it so", record.id);
            return Err(refusal(EngineError::Conflict(why)));
        }
        self.guard_question(&record, None).await?;
        self.buffer.delete(&record);
        Ok(true)
    }

    pub(super) async fn do_emit(&mut self, kind: &str, subject: &str, data: GuestFields) -> Answer<()> {
        self.allow(Need::Emit(kind))?;
        self.count_writes()?;
        if EventType::new(kind).is_ok_and(|kind| is_record_event(&self.schema, &kind)) {
            return Err(refusal(EngineError::ReservedEventType(kind.to_owned())));
        }
        let def = self.schema.event_type(kind).cloned().ok_or_else(|| {
            let nearest = nearest(kind, self.schema.event_types.keys().map(EventType::as_str));
            refusal(EngineError::UnknownEventType { kind: kind.chars().take(64).collect(), nearest })
        })?;
        let found = self.subject(subject, def.subject_optional).await?;
        let mut typed = Vec::with_capacity(data.len());
        for (name, value) in data {
            let field = def.fields.iter().find(|f| f.name.as_str() == name);
            let field =
                field.ok_or_else(|| HostError::permanent("invalid", format!("`{kind}` has no field `{name}`")))?;
            let wrong = |why| HostError::permanent("invalid", format!("`{name}`: {why}"));
            let mut value = fit_value(&field.kind, value).map_err(wrong)?;
            self.merged.follow_reference(&mut value);
            typed.push((field.name.clone(), value));
        }
        if let Some(field) =
            def.fields.iter().find(|f| f.required && !typed.iter().any(|(n, v)| *n == f.name && !v.is_null()))
        {
            return Err(HostError::permanent("invalid", format!("`{kind}` needs `{}`", field.name)));
        }
        self.events.push(NewEvent {
            origin: None,
            kind: def.name.clone(),
            lane: found.as_ref().map(|record| record.lane()),
            subject: found.map(|record| Subject { object: record.object.name.clone(), id: record.id }),
            time: self.time,
            data: typed,
        });
        Ok(())
    }
}
