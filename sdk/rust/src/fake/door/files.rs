//! See `files` in the contract. The fake host takes any media type and any size.

use sha2::{Digest as _, Sha256};

use super::super::{KeptFile, world};
use super::{WireError, need, position, refuse};
use crate::bindings::rapport::plugin::files::{FileInfo, Owner};

fn need_owner(owner: Option<&Owner>, action: &str) -> Result<(), WireError> {
    owner.map_or(Ok(()), |owner| need(&format!("{}:{action}", owner.object)))
}

fn of(id: &str) -> Option<KeptFile> {
    world(|w| w.files.iter().find(|file| file.info.id == id).cloned())
}

pub(crate) fn put(
    name: &str,
    media_type: &str,
    content: &[u8],
    attached: Option<&Owner>,
) -> Result<FileInfo, WireError> {
    need("file:create")?;
    need_owner(attached, "update")?;
    if name.is_empty() || name.contains(['/', '\\']) || name.chars().any(char::is_control) {
        return refuse("invalid", "the name of a file is no path and holds no control characters".into());
    }
    let found =
        attached.map(|owner| world(|w| position(w, &owner.object, &owner.id).map(|at| w.records[at].id.clone())));
    let attached = match (attached, found) {
        (Some(owner), Some(Some(id))) => Some(Owner { object: owner.object.clone(), id }),
        (Some(owner), _) => return refuse("not_found", format!("there is no {} `{}`", owner.object, owner.id)),
        (None, _) => None,
    };
    let digest: Vec<String> = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(world(|w| {
        w.made += 1;
        let info = FileInfo {
            id: format!("00000000-0000-7000-8000-{:012}", w.made),
            name: name.into(),
            media_type: media_type.into(),
            size: u64::try_from(content.len()).unwrap_or(u64::MAX),
            sha256: digest.concat(),
            attached,
            created_at: w.now,
        };
        w.files.push(KeptFile { info: info.clone(), content: content.into() });
        info
    }))
}

pub(crate) fn info(id: &str) -> Result<Option<FileInfo>, WireError> {
    need("file:read")?;
    let found = of(id);
    need_owner(found.as_ref().and_then(|file| file.info.attached.as_ref()), "read")?;
    Ok(found.map(|file| file.info))
}

pub(crate) fn read(id: &str, offset: u64, length: u32) -> Result<Vec<u8>, WireError> {
    need("file:read")?;
    let Some(file) = of(id) else { return refuse("not_found", format!("there is no file `{id}`")) };
    need_owner(file.info.attached.as_ref(), "read")?;
    let place = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(file.content.len());
    Ok(file.content[place(offset)..place(offset.saturating_add(u64::from(length)))].to_vec())
}

pub(crate) fn attached(object: &str, id: &str, after: &str, limit: u32) -> Result<Vec<FileInfo>, WireError> {
    need("file:read")?;
    need(&format!("{object}:read"))?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    Ok(world(|w| {
        let id = position(w, object, id).map_or_else(|| id.to_owned(), |at| w.records[at].id.clone());
        let own = |info: &&FileInfo| info.attached.as_ref().is_some_and(|o| o.object == object && o.id == id);
        let infos = w.files.iter().map(|file| &file.info);
        infos.filter(own).filter(|info| info.id.as_str() > after).take(limit).cloned().collect()
    }))
}

pub(crate) fn delete(id: &str) -> Result<bool, WireError> {
    need("file:delete")?;
    let Some(file) = of(id) else { return Ok(false) };
    need_owner(file.info.attached.as_ref(), "update")?;
    world(|w| w.files.retain(|file| file.info.id != id));
    Ok(true)
}
