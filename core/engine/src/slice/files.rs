//! Files of a slice: their records are written with it like all others, and their bytes with them.

use std::sync::Arc;

use rapport_model::automation::Need;
use rapport_model::limits::PAGE_ROWS_MAX;
use rapport_model::{FileRules, Record, RecordId, file};
use rapport_sandbox::{FileInfo, HostError, NewFile};

use super::{Answer, SliceHost, refusal, store_failure};
use crate::files::{self, Admitted};
use crate::query::{self, SliceQuery};

/// What a slice knows of files.
#[derive(Debug, Clone)]
pub(crate) struct FileUse {
    /// Which files may come in.
    rules: Arc<FileRules>,
    /// The bytes of all files after this slice; none: not asked yet.
    used: Option<i64>,
}

impl FileUse {
    pub(crate) const fn new(rules: Arc<FileRules>) -> Self {
        Self { rules, used: None }
    }
}

fn invalid(message: impl Into<String>) -> HostError {
    HostError::permanent("invalid", message)
}

/// What is done with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Touch {
    Read,
    Delete,
}

impl SliceHost {
    /// The file `id` as the slice sees it, if it may do that with it, and with the record that it is attached to.
    async fn file_record(&self, id: &str, touch: Touch) -> Answer<Option<Arc<Record>>> {
        self.allow(match touch {
            Touch::Read => Need::Read(file::OBJECT),
            Touch::Delete => Need::Delete(file::OBJECT),
        })?;
        let object = files::object(&self.schema).map_err(refusal)?;
        let id: RecordId = id.parse().map_err(|_| invalid("this is no id of a file"))?;
        let found = match self.buffer.get(&object.name, id) {
            Some(known) => known,
            None => self.store.record(&object.name, id).await.map_err(store_failure)?,
        };
        if let Some((object, _)) = found.as_deref().and_then(files::owner) {
            self.allow(match touch {
                Touch::Read => Need::Read(&object),
                Touch::Delete => Need::Update(&object),
            })?;
        }
        Ok(found)
    }

    pub(super) async fn do_file_put(&mut self, file: NewFile) -> Answer<FileInfo> {
        self.allow(Need::Create(file::OBJECT))?;
        let owner = match &file.attached {
            Some((object, key)) => {
                self.allow(Need::Update(object))?;
                let object = self.object(object)?;
                Some(self.must_locate(&object, key).await?)
            }
            None => None,
        };
        let admitted = Admitted::check(&self.files.rules, (&file.name, &file.media_type), file.content.into());
        let admitted = admitted.map_err(refusal)?;
        self.claim_bytes(admitted.size()).await?;
        let object = files::object(&self.schema).map_err(refusal)?;
        let record = self.new_record(&object, admitted.changes(owner.as_deref()))?;
        self.buffer.keep_bytes(admitted.blob);
        Ok(files::info(&record))
    }

    /// Counts `more` bytes, if all files may have so many. What other slices put at the same moment is not counted.
    async fn claim_bytes(&mut self, more: i64) -> Answer<()> {
        let used = match self.files.used {
            Some(used) => used,
            None => files::bytes_committed(&self.store, self.time).await.map_err(refusal)?,
        };
        let after = used.saturating_add(more);
        files::within_quota(&self.files.rules, after).map_err(refusal)?;
        self.files.used = Some(after);
        Ok(())
    }

    pub(super) async fn do_file_info(&mut self, id: &str) -> Answer<Option<FileInfo>> {
        let found = self.file_record(id, Touch::Read).await?;
        self.count_rows(1)?;
        if let Some(record) = found.as_ref().filter(|r| !self.buffer.is_touched(r.id)) {
            self.buffer.saw(record);
        }
        Ok(found.as_deref().map(files::info))
    }

    pub(super) async fn do_file_read(&mut self, id: &str, offset: u64, length: u32) -> Answer<Vec<u8>> {
        let found = self.file_record(id, Touch::Read).await?;
        self.count_rows(1)?;
        let record = found.ok_or_else(|| HostError::permanent("not_found", format!("there is no file `{id}`")))?;
        let digest = files::digest(&record).map_err(refusal)?;
        // A file has fewer bytes than 32 bits can count.
        let Ok(start) = u32::try_from(offset) else { return Ok(Vec::new()) };
        let end = start.saturating_add(length);
        if let Some(bytes) = self.buffer.bytes(&digest) {
            let place = |n: u32| usize::try_from(n).unwrap_or(usize::MAX).min(bytes.len());
            return Ok(bytes[place(start)..place(end)].to_vec());
        }
        let part = self.store.blob_part(&digest, start..end).await.map_err(store_failure)?;
        let part =
            part.ok_or_else(|| HostError::permanent("gone", format!("the bytes of the file `{id}` are gone")))?;
        Ok(part.to_vec())
    }

    pub(super) async fn do_files_of(
        &mut self,
        object: &str,
        key: &str,
        after: &str,
        limit: u32,
    ) -> Answer<Vec<FileInfo>> {
        self.allow(Need::Read(file::OBJECT))?;
        self.allow(Need::Read(object))?;
        let owner = self.object(object)?;
        let id = match key.parse() {
            Ok(id) => id,
            Err(_) => self.must_locate(&owner, key).await?.id,
        };
        let text = files::attached_text(owner.name.as_str(), id);
        let object = files::object(&self.schema).map_err(refusal)?;
        let (rule, params) = files::attached_rule(&self.lookup, &self.schema, &object, text).map_err(refusal)?;
        let after = match after {
            "" => None,
            text => Some(text.parse().map_err(|_| invalid("`after` is no id of a file"))?),
        };
        let limit = if limit == 0 { PAGE_ROWS_MAX } else { limit.min(PAGE_ROWS_MAX) };
        let query = SliceQuery { object, rule: Some(rule), params, now: self.time, order: Vec::new(), after, limit };
        let rows = query::find(&self.store, &self.buffer, &query).await.map_err(refusal)?;
        self.count_rows(rows.len())?;
        Ok(rows.iter().map(|row| files::info(row)).collect())
    }

    pub(super) async fn do_file_delete(&mut self, id: &str) -> Answer<bool> {
        let found = self.file_record(id, Touch::Delete).await?;
        self.count_writes()?;
        let Some(record) = found else { return Ok(false) };
        let size = i64::try_from(files::info(&record).size).unwrap_or(0);
        self.files.used = self.files.used.map(|used| used.saturating_sub(size));
        self.buffer.delete(&record);
        Ok(true)
    }
}
