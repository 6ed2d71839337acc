//! Files as they pass the border.

use wasmtime::component::{ComponentType, Lift, Lower};

use super::FIELD_BYTES;
use crate::host::FileInfo;

/// The record that a guest attaches a file to.
#[derive(Debug, Clone, ComponentType, Lift)]
#[component(record)]
pub(crate) struct InOwner {
    object: String,
    id: String,
}

impl InOwner {
    /// The object and the key.
    pub(crate) fn into_pair(self) -> (String, String) {
        (self.object, self.id)
    }
}

/// The record that a file is attached to, on its way to a guest.
#[derive(Debug, Clone, ComponentType, Lower)]
#[component(record)]
pub(crate) struct OutOwner {
    object: String,
    id: String,
}

/// What there is to know of a file, on its way to a guest.
#[derive(Debug, Clone, ComponentType, Lower)]
#[component(record)]
pub(crate) struct OutInfo {
    id: String,
    name: String,
    #[component(name = "media-type")]
    media_type: String,
    size: u64,
    sha256: String,
    attached: Option<OutOwner>,
    #[component(name = "created-at")]
    created_at: i64,
}

impl From<FileInfo> for OutInfo {
    fn from(info: FileInfo) -> Self {
        let FileInfo { id, name, media_type, size, sha256, attached, created_at } = info;
        let attached = attached.map(|(object, id)| OutOwner { object, id });
        Self { id, name, media_type, size, sha256, attached, created_at: created_at.micros() }
    }
}

impl OutInfo {
    /// The bytes that it costs a guest.
    pub(crate) fn bytes(&self) -> usize {
        let owner = self.attached.as_ref().map_or(0, |owner| owner.object.len() + owner.id.len());
        FIELD_BYTES * 4 + self.id.len() + self.name.len() + self.media_type.len() + self.sha256.len() + owner
    }
}
