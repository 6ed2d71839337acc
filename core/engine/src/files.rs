//! Files: records of a system object that name bytes by their digest. Here are the parts that callers from outside and slices share,
//! and what callers from outside do.

mod outside;

use std::sync::Arc;

use rapport_model::record::Change;
use rapport_model::rule::{ParamTypes, Params, Rule, Scope};
use rapport_model::{Digest, FileRules, Name, ObjectDef, Record, RecordId, Schema, Value, file};
use rapport_sandbox::FileInfo;
use rapport_store::{Blob, GroupQuery, Measure, Store};

use crate::engine::Inner;
use crate::error::EngineError;
use crate::lookup::Lookup;

pub use outside::{FileContent, FileListRequest, FileUpload, PutFile};

/// Finds the files of a record.
const ATTACHED: &str = "attached == owner";

/// A file that may come in.
#[derive(Debug)]
pub(crate) struct Admitted {
    name: String,
    media_type: String,
    pub(crate) blob: Blob,
}

fn field(name: &str) -> Name {
    Name::new(name).expect("the standard names are valid: a test reads them all")
}

fn text_of(record: &Record, name: &str) -> String {
    record.get(name).as_text().unwrap_or_default().to_owned()
}

/// The object of files.
pub(crate) fn object(schema: &Schema) -> Result<Arc<ObjectDef>, EngineError> {
    let known = schema.object(file::OBJECT).cloned();
    known.ok_or_else(|| EngineError::Internal("the object of files is not declared".into()))
}

impl Admitted {
    /// Looks at a file that wants to come in.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] for its name or media type, [`EngineError::TooLarge`].
    pub(crate) fn check(
        rules: &FileRules,
        (name, media_type): (&str, &str),
        content: Arc<[u8]>,
    ) -> Result<Self, EngineError> {
        let name = file::name(name).map_err(|why| EngineError::invalid("/name", why))?;
        let media_type = rules.media_type(media_type).map_err(|why| EngineError::invalid("/media_type", why))?;
        if content.len() > rules.bytes_max {
            let limit = format!("{} bytes (`bytes_max` in [files])", rules.bytes_max);
            return Err(EngineError::TooLarge { what: format!("the file `{name}`"), limit });
        }
        Ok(Self { name, media_type, blob: Blob { digest: Digest::of(&content), bytes: content } })
    }

    /// The bytes that it adds.
    pub(crate) fn size(&self) -> i64 {
        i64::try_from(self.blob.bytes.len()).unwrap_or(i64::MAX)
    }

    /// The fields of its record.
    pub(crate) fn changes(&self, owner: Option<&Record>) -> Vec<(Name, Change)> {
        let set = |name: &str, value| (field(name), Change::Set(value));
        let mut changes = vec![
            set("name", Value::text(&self.name)),
            set("media_type", Value::text(&self.media_type)),
            set("size", Value::Int(self.size())),
            set("sha256", Value::text(&self.blob.digest.to_string())),
        ];
        changes.extend(
            owner.map(|owner| set("attached", Value::text(&attached_text(owner.object.name.as_str(), owner.id)))),
        );
        changes
    }
}

/// How `attached` names a record.
pub(crate) fn attached_text(object: &str, id: RecordId) -> String {
    format!("{object}/{id}")
}

/// The record that a file belongs to: its object and its id.
pub(crate) fn owner(record: &Record) -> Option<(String, String)> {
    let text = record.get("attached").as_text()?;
    text.split_once('/').map(|(object, id)| (object.to_owned(), id.to_owned()))
}

/// The digest of a file's bytes.
pub(crate) fn digest(record: &Record) -> Result<Digest, EngineError> {
    let damaged = || EngineError::Internal(format!("the file {} names no bytes", record.id));
    text_of(record, "sha256").parse().map_err(|_| damaged())
}

/// What there is to know of a file.
pub(crate) fn info(record: &Record) -> FileInfo {
    FileInfo {
        id: record.id.to_string(),
        name: text_of(record, "name"),
        media_type: text_of(record, "media_type"),
        size: if let Value::Int(size) = record.get("size") { u64::try_from(*size).unwrap_or(0) } else { 0 },
        sha256: text_of(record, "sha256"),
        attached: owner(record),
        created_at: record.created_at,
    }
}

/// The rule that finds the files of a record, and its parameters.
pub(crate) fn attached_rule(
    lookup: &Lookup,
    schema: &Schema,
    object: &Arc<ObjectDef>,
    owner: String,
) -> Result<(Rule, Params), EngineError> {
    let params = Params::none().with("owner", Value::Text(owner.into()));
    let rule = lookup.rule(schema, &Scope::Record(object.clone()), ATTACHED, &ParamTypes::of(&params))?;
    Ok((rule, params))
}

/// The bytes that all files have together, as committed.
pub(crate) async fn bytes_committed(store: &Store, now: rapport_model::Timestamp) -> Result<i64, EngineError> {
    let query = GroupQuery {
        object: field(file::OBJECT),
        rule: None,
        params: Params::none(),
        now,
        group_by: Vec::new(),
        measures: vec![Measure::Sum(field("size"))],
        limit: 1,
    };
    let rows = store.groups(&query).await?;
    let sum = rows.first().and_then(|row| row.first()).cloned();
    Ok(if let Some(Value::Int(sum)) = sum { sum } else { 0 })
}

/// Passes if all files may have so many bytes together.
pub(crate) fn within_quota(rules: &FileRules, bytes: i64) -> Result<(), EngineError> {
    let max = rules.total_bytes_max;
    if u64::try_from(bytes).is_ok_and(|bytes| bytes <= max) {
        return Ok(());
    }
    Err(EngineError::Quota(format!(
        "all files would have {bytes} bytes, more than {max} (`total_bytes_max` in [files])"
    )))
}

impl Inner {
    /// Clears away the bytes of files that were deleted long enough ago.
    pub(crate) async fn sweep_files(&self) -> Result<u64, EngineError> {
        let now = self.clock.now();
        let kept = i64::from(self.files.keep_days).saturating_mul(24 * 3_600 * 1_000_000);
        Ok(self.store.sweep_blobs(now, now.plus_micros(kept.saturating_neg())).await?)
    }
}
