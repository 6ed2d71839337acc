//! Reads the bytes of files, and clears away those that no file has any more.

use std::ops::Range;
use std::sync::Arc;

use rapport_model::{Digest, Name, Timestamp, file};

use crate::commit::{Committer, Work};
use crate::db::{Cell, Query};
use crate::error::StoreError;
use crate::store::Store;

const SELECT: &str = "select bytes from blob where digest = $1";
/// A part of the bytes: the place of its first byte, from 1, and how many.
const SELECT_PART: &str = "select substr(bytes, cast($2 as integer), cast($3 as integer)) from blob where digest = $1";
const HAS: &str = "select size from blob where digest = $1";
/// Served by the index on `o_file.sha256`.
const MARK: &str = "update blob set left_at = $1 where left_at is null \
     and not exists (select 1 from o_file as f where f.sha256 = blob.digest)";
const CLAIMED_AGAIN: &str = "update blob set left_at = null where left_at is not null \
     and exists (select 1 from o_file as f where f.sha256 = blob.digest)";
/// Served by `blob_left`.
const SWEEP: &str = "delete from blob where left_at <= $1";

impl Store {
    /// The bytes that `digest` names.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if they are not what it names; else as for [`Store::events`].
    pub async fn blob(&self, digest: &Digest) -> Result<Option<Arc<[u8]>>, StoreError> {
        let own = self.fetch_bytes(Query::new(SELECT, vec![Cell::Owned(digest.to_string())])).await?;
        match (own, self.lender()) {
            (Some(bytes), _) if Digest::of(&bytes) == *digest => Ok(Some(bytes)),
            (Some(_), _) => Err(StoreError::Corrupt {
                what: format!("the file {}", digest.short()),
                why: "its bytes are not what its digest names".into(),
            }),
            (None, Some(lender)) => Box::pin(lender.blob(digest)).await,
            (None, None) => Ok(None),
        }
    }

    /// The bytes in `range` of those that `digest` names: fewer where they end.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn blob_part(&self, digest: &Digest, range: Range<u32>) -> Result<Option<Arc<[u8]>>, StoreError> {
        let (first, count) = (i64::from(range.start) + 1, i64::from(range.end.saturating_sub(range.start)));
        let cells = vec![Cell::Owned(digest.to_string()), Cell::Int(first), Cell::Int(count)];
        match (self.fetch_bytes(Query::new(SELECT_PART, cells)).await?, self.lender()) {
            (None, Some(lender)) => Box::pin(lender.blob_part(digest, range)).await,
            (own, _) => Ok(own),
        }
    }

    /// Whether the bytes are there that `digest` names.
    ///
    /// # Errors
    /// As for [`Store::events`].
    pub async fn has_blob(&self, digest: &Digest) -> Result<bool, StoreError> {
        let rows = self.fetch(Query::new(HAS, vec![Cell::Owned(digest.to_string())])).await?;
        match (rows.is_empty(), self.lender()) {
            (true, Some(lender)) => Box::pin(lender.has_blob(digest)).await,
            (missing, _) => Ok(!missing),
        }
    }

    async fn fetch_bytes(&self, query: Query) -> Result<Option<Arc<[u8]>>, StoreError> {
        let rows = self.fetch(query).await?;
        Ok(rows.first().map(|row| row.bytes(0)).transpose()?.map(Arc::from))
    }

    /// Clears away the bytes that no file has had since `before`, and notes at `now` which have none at present; says how many went.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Full`].
    pub async fn sweep_blobs(&self, now: Timestamp, before: Timestamp) -> Result<u64, StoreError> {
        self.ask(|reply| Work::SweepBlobs { now, before, reply }).await
    }
}

impl Committer {
    /// Clears bytes away. A commit that claims them comes before or after.
    pub(crate) async fn sweep_blobs(&mut self, now: Timestamp, before: Timestamp) -> Result<u64, StoreError> {
        let declared =
            Name::new(file::OBJECT).ok().and_then(|name| self.shared.schema.load().objects.get(&name).cloned());
        if declared.is_none() {
            return Ok(0);
        }
        self.conn.execute(Query::new(CLAIMED_AGAIN, Vec::new())).await?;
        self.conn.execute(Query::new(MARK, vec![Cell::Int(now.micros())])).await?;
        Ok(self.conn.execute(Query::new(SWEEP, vec![Cell::Int(before.micros())])).await?)
    }
}
