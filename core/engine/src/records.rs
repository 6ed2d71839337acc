//! Records as callers from outside read and write them.

use std::sync::Arc;

use rapport_model::formula;
use rapport_model::json::{record_to_json, to_json, value_from_json};
use rapport_model::record::{PutKind, SYSTEM_FIELDS};
use rapport_model::rule::Params;
use rapport_model::schema::ObjectDef;
use rapport_model::{Digest, FieldKind, Name, Record, RecordId, Schema, Value};
use rapport_store::{Direction, IdempotencyPut, ReadVersion, RecordQuery, StoreError, UnitOfWork};
use serde_json::Value as Json;

use crate::draft::{self, Draft, known_field};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::gate::{Act, Caller};
use crate::key::{self, Key};
use crate::page::{Page, cursor, open_cursor, page_rows};
use crate::plan::{Planned, Planner, Target};
use crate::slice::read_order;

/// How often a write is decided anew when others are faster.
const WRITE_TRIES: u32 = 5;
/// How long the answer to an idempotency key is kept.
pub(crate) const IDEMPOTENCY_MICROS: i64 = 24 * 3_600 * 1_000_000;

/// What a list asks for.
#[derive(Debug, Clone, Default)]
pub struct ListRequest {
    /// The object.
    pub object: String,
    /// A rule.
    pub filter: Option<String>,
    /// `-amount,order_no`.
    pub order: Option<String>,
    /// Rows of the page.
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub cursor: Option<String>,
    /// The fields to show; none: all.
    pub fields: Option<Vec<String>>,
}

/// What goes with a write.
#[derive(Debug, Clone, Default)]
pub struct WriteOptions {
    /// The version that the record must have.
    pub if_match: Option<i64>,
    /// A key that makes repeats of the same request one, and the digest of the request.
    pub idempotency_key: Option<(String, Digest)>,
}

/// What came of a write.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The record as it is shown.
    pub json: Json,
    /// Its version.
    pub version: i64,
    /// Its id.
    pub id: RecordId,
    /// Whether it is new.
    pub created: bool,
    /// Whether the answer is that of an earlier request with the same idempotency key.
    pub replayed: bool,
}

impl Engine {
    /// One page of the records of an object.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::UnknownObject`], [`EngineError::Rule`], [`EngineError::UnknownField`],
    /// [`EngineError::Invalid`] for limits and cursors.
    pub async fn list(&self, caller: &Caller, request: &ListRequest) -> Result<Page<Json>, EngineError> {
        let schema = self.inner.store.schema();
        let object = caller.object(&schema, &request.object, Act::Read)?;
        let mut query = self.record_query(caller, &schema, &object, request)?;
        let shown = shown_fields(&object, request.fields.as_deref())?;
        let rows_asked = query.limit;
        query.limit += 1;
        let mut rows = self.inner.store.find(&query).await?;
        let more = rows.len() > rows_asked as usize;
        rows.truncate(rows_asked as usize);
        let next = rows.last().filter(|_| more).map(|last| {
            let mut values: Vec<Json> = query.order.iter().map(|(name, _)| to_json(&value_of(last, name))).collect();
            values.push(Json::String(last.id.to_string()));
            cursor(&described(request), values)
        });
        let seen = |row| record_to_json(&formula::shown(row, query.now));
        let items = rows.iter().map(|row| project(seen(row), shown.as_deref())).collect();
        Ok(Page { items, next })
    }

    /// How many records of an object a rule finds.
    ///
    /// # Errors
    /// As for [`Engine::list`].
    pub async fn count(&self, caller: &Caller, object: &str, filter: Option<&str>) -> Result<u64, EngineError> {
        let schema = self.inner.store.schema();
        let object = caller.object(&schema, object, Act::Read)?;
        let request = ListRequest { filter: filter.map(Into::into), ..ListRequest::default() };
        let query = self.record_query(caller, &schema, &object, &request)?;
        Ok(self.inner.store.count(&query).await?)
    }

    fn record_query(
        &self,
        caller: &Caller,
        schema: &Schema,
        object: &Arc<ObjectDef>,
        request: &ListRequest,
    ) -> Result<RecordQuery, EngineError> {
        let mut query = RecordQuery::new(object.name.clone(), self.inner.clock.now(), page_rows(request.limit)?);
        if let Some(text) = request.filter.as_deref().filter(|t| !t.trim().is_empty()) {
            let rule = self.inner.lookup.asking_rule(schema, object, text)?;
            self.inner.may_ask(caller, &rule)?;
            query.rule = Some(rule);
        }
        query.params = Params::none();
        query.order = read_order(object, request.order.as_deref().unwrap_or_default())?;
        if let Some(text) = request.cursor.as_deref() {
            query.after = Some(read_cursor(object, &query.order, &open_cursor(&described(request), text)?)?);
        }
        Ok(query)
    }

    /// The record that `key` (an id, `field:value`, or `field:key` of a reference) names.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::UnknownObject`], [`EngineError::NotFound`], [`EngineError::Invalid`].
    pub async fn get(&self, caller: &Caller, object: &str, key: &str) -> Result<Arc<Record>, EngineError> {
        let object = caller.object(&self.inner.store.schema(), object, Act::Read)?;
        let found = self.named(caller, &object, key).await?;
        let found = found.ok_or_else(|| EngineError::not_found(format!("{} `{key}`", object.name)))?;
        Ok(formula::shown(&found, self.inner.clock.now()))
    }

    /// The record that `text` names: an id, `field:value` of a unique field, or `field:key` of a unique reference, whose key may be
    /// of any form again.
    pub(crate) async fn named(
        &self,
        caller: &Caller,
        object: &ObjectDef,
        text: &str,
    ) -> Result<Option<Arc<Record>>, EngineError> {
        let Some((field, target, rest)) = key::through(object, text) else {
            return self.locate(object, &key::parse(object, text)?).await;
        };
        let target = caller.object(&self.inner.store.schema(), target.as_str(), Act::Read)?;
        match self.locate(&target, &key::parse(&target, rest)?).await? {
            Some(referred) => self.locate(object, &Key::Field(field, Value::Ref(referred.id))).await,
            None => Ok(None),
        }
    }

    pub(crate) async fn locate(&self, object: &ObjectDef, key: &Key) -> Result<Option<Arc<Record>>, EngineError> {
        match self.locate_itself(object, key).await? {
            Some(record) => Ok(Some(record)),
            None => self.inner.survivor(object, key).await,
        }
    }

    /// The record that has this key itself: none of one that was merged into another.
    pub(crate) async fn locate_itself(
        &self,
        object: &ObjectDef,
        key: &Key,
    ) -> Result<Option<Arc<Record>>, EngineError> {
        match key {
            Key::Id(id) => Ok(self.inner.store.record(&object.name, *id).await?),
            Key::Field(field, value) => self.inner.lookup.by_key(&self.inner.store, &object.name, field, value).await,
        }
    }

    /// Creates a record.
    ///
    /// # Errors
    /// [`EngineError`] with every field that is wrong; nothing is written then.
    pub async fn create(
        &self,
        caller: &Caller,
        object: &str,
        body: &Json,
        options: &WriteOptions,
    ) -> Result<Written, EngineError> {
        self.write(caller, object, body, options, |_| Ok(Target::Create)).await
    }

    /// Changes fields of a record; `{"points": {"increment": 5}}` adds.
    ///
    /// # Errors
    /// As for [`Engine::create`]; [`EngineError::NotFound`], [`EngineError::VersionMismatch`].
    pub async fn patch(
        &self,
        caller: &Caller,
        object: &str,
        key: &str,
        body: &Json,
        options: &WriteOptions,
    ) -> Result<Written, EngineError> {
        self.write(caller, object, body, options, |def| Ok(Target::Update(key::parse(def, key)?))).await
    }

    /// Changes the record that `key` names; with a unique field as the key, creates it if it is not there.
    ///
    /// # Errors
    /// As for [`Engine::patch`].
    pub async fn put(
        &self,
        caller: &Caller,
        object: &str,
        key: &str,
        body: &Json,
        options: &WriteOptions,
    ) -> Result<Written, EngineError> {
        let target = |def: &ObjectDef| match key::parse(def, key)? {
            Key::Field(field, value) => match body.get(field.as_str()) {
                Some(given) if *given != to_json(&value) => {
                    Err(EngineError::invalid(format!("/{field}"), format!("differs from the `{field}` of the address")))
                }
                _ => Ok(Target::Upsert(field, value)),
            },
            id @ Key::Id(_) => Ok(Target::Update(id)),
        };
        self.write(caller, object, body, options, target).await
    }

    async fn write(
        &self,
        caller: &Caller,
        object: &str,
        body: &Json,
        options: &WriteOptions,
        target: impl Fn(&ObjectDef) -> Result<Target, EngineError>,
    ) -> Result<Written, EngineError> {
        let schema = self.inner.store.schema();
        let object = caller.object(&schema, object, Act::Write)?;
        self.inner.writable(None)?;
        let target = target(&object)?;
        let draft = draft::read(&schema, &object, body)?;
        may_write_nested(caller, &schema, &draft)?;
        let mut last = EngineError::Conflict("others changed the same record again and again".into());
        for _ in 0..WRITE_TRIES {
            match self.try_write(caller, &object, &target, &draft, options).await {
                Err(error) if error.is_conflict() => last = error,
                Err(error @ EngineError::Unique { .. }) if matches!(target, Target::Upsert(..)) => last = error,
                other => return other,
            }
        }
        Err(last)
    }

    async fn try_write(
        &self,
        caller: &Caller,
        object: &Arc<ObjectDef>,
        target: &Target,
        draft: &Draft,
        options: &WriteOptions,
    ) -> Result<Written, EngineError> {
        if let Some((key, fingerprint)) = &options.idempotency_key
            && let Some(kept) = self.inner.store.idempotent(&caller.actor, key, self.inner.clock.now()).await?
        {
            return replay(&kept.fingerprint, &kept.response, fingerprint);
        }
        let now = self.inner.clock.now();
        let mut planner = Planner::new(&*self.inner.entropy, &self.inner.merged);
        planner.want(object, target, draft);
        planner.load(&self.inner.store).await?;
        let planned = planner.plan(object, target, draft, now)?;
        if let Some(expected) = options.if_match {
            let current = planned.before.as_ref().map_or(0, |b| b.version);
            if current != expected {
                return Err(EngineError::VersionMismatch { current });
            }
        }
        let mut unit = UnitOfWork::new(now, caller.actor.clone());
        unit.reads = pinned(&planned, options);
        unit.reads.extend(self.inner.may_answer(caller, &planned.puts).await?);
        unit.puts.clone_from(&planned.puts);
        unit.idempotency = idempotency(caller, options, &planned, now.plus_micros(IDEMPOTENCY_MICROS));
        if unit.puts.is_empty() && unit.idempotency.is_none() {
            return Ok(written(&formula::shown(&planned.record, now), planned.created));
        }
        self.inner.judge(&mut unit, None).await?;
        match self.inner.store.commit(unit).await {
            Ok(committed) => {
                let after = committed.records.iter().rev().find(|(id, _)| *id == planned.record.id);
                let record = after.and_then(|(_, record)| record.clone()).unwrap_or(planned.record);
                Ok(written(&formula::shown(&record, now), planned.created))
            }
            Err(StoreError::Idempotent { fingerprint, response }) => match &options.idempotency_key {
                Some((_, asked)) => replay(&fingerprint, &response, asked),
                None => Err(EngineError::Internal("an idempotency key that nobody gave".into())),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes a record. Its last state stays in the log.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Referenced`], [`EngineError::VersionMismatch`].
    pub async fn delete(
        &self,
        caller: &Caller,
        object: &str,
        key: &str,
        options: &WriteOptions,
    ) -> Result<(), EngineError> {
        let object = caller.object(&self.inner.store.schema(), object, Act::Write)?;
        self.inner.writable(None)?;
        let mut last = EngineError::Conflict("others changed the same record again and again".into());
        for _ in 0..WRITE_TRIES {
            match self.try_delete(caller, &object, key, options).await {
                Err(error) if error.is_conflict() => last = error,
                other => return other,
            }
        }
        Err(last)
    }

    async fn try_delete(
        &self,
        caller: &Caller,
        object: &ObjectDef,
        key: &str,
        options: &WriteOptions,
    ) -> Result<(), EngineError> {
        let parsed = key::parse(object, key)?;
        let Some(record) = self.locate_itself(object, &parsed).await? else {
            if let Some(survivor) = self.inner.survivor(object, &parsed).await? {
                let name = &object.name;
                let why =
                    format!("{name} `{key}` was merged into {name}/{0}: to delete that one, name it so", survivor.id);
                return Err(EngineError::Conflict(why));
            }
            return Err(EngineError::not_found(format!("{} `{key}`", object.name)));
        };
        let mut unit = UnitOfWork::new(self.inner.clock.now(), caller.actor.clone());
        if let Some(expected) = options.if_match {
            if record.version != expected {
                return Err(EngineError::VersionMismatch { current: record.version });
            }
            unit.reads.push(ReadVersion { object: object.name.clone(), id: record.id, version: expected });
        }
        unit.puts.push(rapport_model::record::Put {
            object: object.name.clone(),
            id: record.id,
            kind: PutKind::Delete,
            changes: Vec::new(),
        });
        unit.reads.extend(self.inner.may_answer(caller, &unit.puts).await?);
        self.inner.judge(&mut unit, None).await?;
        self.inner.store.commit(unit).await?;
        Ok(())
    }
}

/// Nested records are writes of their own objects: the gate is asked for each.
pub(crate) fn may_write_nested(caller: &Caller, schema: &Schema, draft: &Draft) -> Result<(), EngineError> {
    for (_, change) in draft {
        match change {
            draft::DraftChange::Plain(_) => {}
            draft::DraftChange::Lookup(object, ..) => _ = caller.object(schema, object.name.as_str(), Act::Read)?,
            draft::DraftChange::Upsert(object, _, _, inner) => {
                caller.object(schema, object.name.as_str(), Act::Write)?;
                may_write_nested(caller, schema, inner)?;
            }
        }
    }
    Ok(())
}

/// The version that the answer was computed on, where the answer depends on it.
fn pinned(planned: &Planned, options: &WriteOptions) -> Vec<ReadVersion> {
    let needed = options.if_match.is_some() || options.idempotency_key.is_some();
    let before = planned.before.as_ref().filter(|_| needed);
    let pin = |r: &Arc<Record>| ReadVersion { object: r.object.name.clone(), id: r.id, version: r.version };
    before.map(pin).into_iter().collect()
}

fn idempotency(
    caller: &Caller,
    options: &WriteOptions,
    planned: &Planned,
    expires_at: rapport_model::Timestamp,
) -> Option<IdempotencyPut> {
    let (key, fingerprint) = options.idempotency_key.clone()?;
    let answer = serde_json::json!({
        "record": record_to_json(&formula::shown(&planned.record, planned.record.updated_at)),
        "id": planned.record.id,
        "version": planned.record.version,
        "created": planned.created,
    });
    let response = serde_json::to_vec(&answer).unwrap_or_default();
    Some(IdempotencyPut { actor: caller.actor.clone(), key, fingerprint, response, expires_at })
}

fn replay(kept: &Digest, response: &[u8], asked: &Digest) -> Result<Written, EngineError> {
    if kept != asked {
        let message = "this idempotency key was used for another request: use a new key for a new request";
        return Err(EngineError::Idempotency(message.into()));
    }
    let damaged = || EngineError::Internal("the answer kept for an idempotency key is damaged".into());
    let mut answer: Json = serde_json::from_slice(response).map_err(|_| damaged())?;
    Ok(Written {
        version: answer["version"].as_i64().ok_or_else(damaged)?,
        id: answer["id"].as_str().and_then(|id| id.parse().ok()).ok_or_else(damaged)?,
        created: answer["created"].as_bool().unwrap_or(false),
        json: answer["record"].take(),
        replayed: true,
    })
}

fn written(record: &Record, created: bool) -> Written {
    Written { json: record_to_json(record), version: record.version, id: record.id, created, replayed: false }
}

pub(crate) fn value_of(record: &Record, name: &Name) -> Value {
    record.system(name.as_str()).unwrap_or_else(|| record.get(name.as_str()).clone())
}

/// What a cursor of this request is bound to.
fn described(request: &ListRequest) -> [&str; 3] {
    [&request.object, request.filter.as_deref().unwrap_or_default(), request.order.as_deref().unwrap_or_default()]
}

pub(crate) fn read_cursor(
    object: &ObjectDef,
    order: &[(Name, Direction)],
    values: &[Json],
) -> Result<(Vec<Value>, RecordId), EngineError> {
    let wrong = || EngineError::invalid("/cursor", "this is no cursor of this query: take `next` of the page before");
    let (id, values) = values.split_last().ok_or_else(wrong)?;
    let id = id.as_str().and_then(|id| id.parse().ok()).ok_or_else(wrong)?;
    if values.len() != order.len() {
        return Err(wrong());
    }
    let read = |((name, _), json): (&(Name, Direction), &Json)| {
        let kind = match name.as_str() {
            "created_at" | "updated_at" => &FieldKind::Timestamp,
            "version" => &FieldKind::Integer,
            "id" => return json.as_str().and_then(|t| t.parse().ok()).map(Value::Ref),
            other => &object.field(other)?.kind,
        };
        value_from_json(kind, json).ok()
    };
    let values: Option<Vec<Value>> = order.iter().zip(values).map(read).collect();
    Ok((values.ok_or_else(wrong)?, id))
}

fn shown_fields(object: &ObjectDef, fields: Option<&[String]>) -> Result<Option<Vec<String>>, EngineError> {
    let Some(fields) = fields else { return Ok(None) };
    let is_plain = |field: &str| SYSTEM_FIELDS.contains(&field) || object.formula(field).is_some();
    for field in fields.iter().filter(|field| !is_plain(field)) {
        known_field(object, field)?;
    }
    Ok(Some(fields.to_vec()))
}

fn project(mut json: Json, fields: Option<&[String]>) -> Json {
    if let (Some(map), Some(fields)) = (json.as_object_mut(), fields) {
        map.retain(|name, _| name == "id" || fields.iter().any(|f| f == name));
    }
    json
}
