//! Files as callers from outside put, read, list and delete them.

use std::sync::Arc;

use rapport_model::record::{Put, PutKind};
use rapport_model::rule::Params;
use rapport_model::{Record, RecordId, file, image};
use rapport_sandbox::FileInfo;
use rapport_store::{IdempotencyPut, ReadVersion, RecordQuery, StoreError, UnitOfWork};
use serde_json::{Value as Json, json};

use super::{Admitted, attached_rule, attached_text, bytes_committed, digest, info, object, owner, within_quota};
use crate::engine::Engine;
use crate::entropy::record_id;
use crate::error::EngineError;
use crate::gate::{Act, Caller, visible_object};
use crate::page::{Page, cursor, open_cursor, page_rows};
use crate::records::{IDEMPOTENCY_MICROS, WriteOptions};

/// A file as a caller sends it.
#[derive(Debug, Clone)]
pub struct FileUpload {
    /// Its name.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// Its bytes.
    pub content: Arc<[u8]>,
    /// The object and the key of the record that it is attached to.
    pub attached: Option<(String, String)>,
}

/// What came of a file that was sent.
#[derive(Debug, Clone, PartialEq)]
pub struct PutFile {
    /// What there is to know of it.
    pub json: Json,
    /// Whether the answer is that of an earlier request with the same idempotency key.
    pub replayed: bool,
}

/// Which files a caller lists.
#[derive(Debug, Clone, Default)]
pub struct FileListRequest {
    /// Those of the record with this object and key; none: all files.
    pub attached: Option<(String, String)>,
    /// Files of the page.
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

/// A file with its bytes.
#[derive(Debug, Clone)]
pub struct FileContent {
    /// Its name.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// The digest of its bytes, in hexadecimal digits.
    pub sha256: String,
    /// The bytes.
    pub bytes: Arc<[u8]>,
}

fn info_json(info: &FileInfo) -> Json {
    json!({
        "id": info.id,
        "name": info.name,
        "media_type": info.media_type,
        "size": info.size,
        "sha256": info.sha256,
        "object": info.attached.as_ref().map(|(object, _)| object),
        "record": info.attached.as_ref().map(|(_, id)| id),
        "created_at": info.created_at,
    })
}

fn no_file(id: &str) -> EngineError {
    let id: String = id.chars().take(64).collect();
    EngineError::not_found(format!("file `{id}`"))
}

impl Caller {
    /// Passes if this caller may `act` on a file: as on the record that it is attached to; one without a record is for those who are
    /// not bound to some objects, or to files among them.
    fn file(&self, schema: &rapport_model::Schema, owner: Option<&str>, act: Act) -> Result<(), EngineError> {
        match owner {
            Some(object) if visible_object(schema, object).is_ok() => self.object(schema, object, act).map(drop),
            _ if self.objects.as_ref().is_some_and(|own| own.iter().any(|name| name.as_str() == file::OBJECT)) => {
                self.require(act)
            }
            _ => self.everywhere(act),
        }
    }
}

impl Engine {
    /// Keeps a file.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::Invalid`], [`EngineError::TooLarge`], [`EngineError::Quota`]; [`EngineError::NotFound`]
    /// if there is no such record to attach it to.
    pub async fn put_file(
        &self,
        caller: &Caller,
        upload: FileUpload,
        options: &WriteOptions,
    ) -> Result<PutFile, EngineError> {
        let inner = &self.inner;
        let schema = inner.store.schema();
        caller.file(&schema, upload.attached.as_ref().map(|(object, _)| object.as_str()), Act::Write)?;
        inner.writable(None)?;
        let now = inner.clock.now();
        if let Some((key, asked)) = &options.idempotency_key
            && let Some(kept) = inner.store.idempotent(&caller.actor, key, now).await?
        {
            return replay(kept.fingerprint == *asked, &kept.response);
        }
        let record = match &upload.attached {
            Some((object, key)) => Some(self.owner_of_new(caller, object, key).await?),
            None => None,
        };
        let FileUpload { name, media_type, content, .. } = upload;
        let admitted = Admitted::check(&inner.files, (&name, &media_type), content)?;
        let before = bytes_committed(&inner.store, now).await?;
        within_quota(&inner.files, before.saturating_add(admitted.size()))?;
        let object = object(&schema)?;
        let id = record_id(&*inner.entropy, now);
        let changes = admitted.changes(record.as_deref());
        let json = info_json(&info(&image::created(&object, id, now, &changes)?));
        let mut unit = UnitOfWork::new(now, caller.actor.clone());
        unit.puts.push(Put { object: object.name.clone(), id, kind: PutKind::Create, changes });
        unit.blobs.push(admitted.blob);
        unit.idempotency = options.idempotency_key.clone().map(|(key, fingerprint)| IdempotencyPut {
            actor: caller.actor.clone(),
            key,
            fingerprint,
            response: json.to_string().into_bytes(),
            expires_at: now.plus_micros(IDEMPOTENCY_MICROS),
        });
        inner.judge(&mut unit, None).await?;
        match (inner.store.commit(unit).await, &options.idempotency_key) {
            (Ok(_), _) => Ok(PutFile { json, replayed: false }),
            (Err(StoreError::Idempotent { fingerprint, response }), Some((_, asked))) => {
                replay(fingerprint == *asked, &response)
            }
            (Err(error), _) => Err(error.into()),
        }
    }

    async fn owner_of_new(&self, caller: &Caller, object: &str, key: &str) -> Result<Arc<Record>, EngineError> {
        let object = caller.object(&self.inner.store.schema(), object, Act::Write)?;
        let found = self.named(caller, &object, key).await?;
        found.ok_or_else(|| EngineError::not_found(format!("{} `{key}`", object.name)))
    }

    /// The record of the file `id`, if this caller may `act` on it.
    async fn file_record(&self, caller: &Caller, id: &str, act: Act) -> Result<Arc<Record>, EngineError> {
        caller.require(act)?;
        let schema = self.inner.store.schema();
        let object = object(&schema)?;
        let named: RecordId = id.parse().map_err(|_| no_file(id))?;
        let record = self.inner.store.record(&object.name, named).await?.ok_or_else(|| no_file(id))?;
        caller.file(&schema, owner(&record).as_ref().map(|(object, _)| object.as_str()), act)?;
        Ok(record)
    }

    /// What there is to know of a file.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`].
    pub async fn file(&self, caller: &Caller, id: &str) -> Result<Json, EngineError> {
        Ok(info_json(&info(&*self.file_record(caller, id, Act::Read).await?)))
    }

    /// A file with its bytes.
    ///
    /// # Errors
    /// As for [`Engine::file`].
    pub async fn file_content(&self, caller: &Caller, id: &str) -> Result<FileContent, EngineError> {
        let record = self.file_record(caller, id, Act::Read).await?;
        let digest = digest(&record)?;
        let gone = || EngineError::Internal(format!("the bytes of the file {} are gone", record.id));
        let bytes = self.inner.store.blob(&digest).await?.ok_or_else(gone)?;
        let FileInfo { name, media_type, sha256, .. } = info(&record);
        Ok(FileContent { name, media_type, sha256, bytes })
    }

    /// A page of files, in the order in which they came.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::UnknownObject`], [`EngineError::NotFound`], [`EngineError::Invalid`].
    pub async fn files(&self, caller: &Caller, request: &FileListRequest) -> Result<Page<Json>, EngineError> {
        let schema = self.inner.store.schema();
        let files = object(&schema)?;
        let rows = page_rows(request.limit)?;
        let mut query = RecordQuery::new(files.name.clone(), self.inner.clock.now(), rows + 1);
        query.params = Params::none();
        let owner = if let Some((object, key)) = &request.attached {
            let object = caller.object(&schema, object, Act::Read)?;
            // A record that was deleted is still named by its id.
            let id = match key.parse::<RecordId>() {
                Ok(id) => id,
                Err(_) => self.get(caller, object.name.as_str(), key).await?.id,
            };
            let text = attached_text(object.name.as_str(), id);
            let (rule, params) = attached_rule(&self.inner.lookup, &schema, &files, text.clone())?;
            (query.rule, query.params) = (Some(rule), params);
            text
        } else {
            caller.file(&schema, None, Act::Read)?;
            String::new()
        };
        let described = ["files", owner.as_str()];
        if let Some(text) = &request.cursor {
            let wrong = || EngineError::invalid("/cursor", "this is no cursor of this list");
            let values = open_cursor(&described, text)?;
            let after = values.first().and_then(Json::as_str).and_then(|id| id.parse().ok()).ok_or_else(wrong)?;
            query.after = Some((Vec::new(), after));
        }
        let mut found = self.inner.store.find(&query).await?;
        let more = found.len() > rows as usize;
        found.truncate(rows as usize);
        let next = found.last().filter(|_| more).map(|last| cursor(&described, vec![last.id.to_string().into()]));
        Ok(Page { items: found.iter().map(|record| info_json(&info(record))).collect(), next })
    }

    /// Clears away the bytes of files that were deleted long enough ago, as happens by itself every hour; says how many.
    ///
    /// # Errors
    /// That the database cannot be reached.
    pub async fn sweep_files(&self) -> Result<u64, EngineError> {
        self.inner.sweep_files().await
    }

    /// Deletes a file. Its bytes stay for a while.
    ///
    /// # Errors
    /// As for [`Engine::file`].
    pub async fn delete_file(&self, caller: &Caller, id: &str) -> Result<(), EngineError> {
        let record = self.file_record(caller, id, Act::Write).await?;
        self.inner.writable(None)?;
        let (object, id) = (record.object.name.clone(), record.id);
        let mut unit = UnitOfWork::new(self.inner.clock.now(), caller.actor.clone());
        unit.reads.push(ReadVersion { object: object.clone(), id, version: record.version });
        unit.puts.push(Put { object, id, kind: PutKind::Delete, changes: Vec::new() });
        self.inner.judge(&mut unit, None).await?;
        self.inner.store.commit(unit).await?;
        Ok(())
    }
}

/// The answer to a request that came before.
fn replay(same: bool, response: &[u8]) -> Result<PutFile, EngineError> {
    if !same {
        let message = "this idempotency key was used for another request: use a new key for a new request";
        return Err(EngineError::Idempotency(message.into()));
    }
    let json = serde_json::from_slice(response);
    let json = json.map_err(|_| EngineError::Internal("the answer kept for an idempotency key is damaged".into()))?;
    Ok(PutFile { json, replayed: true })
}
