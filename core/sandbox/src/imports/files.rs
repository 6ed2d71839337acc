//! `files`: attachments of records and other files.

use wasmtime::component::LinkerInstance;
use wasmtime::{Result, StoreContextMut};

use super::{finish, reply, settle};
use crate::host::NewFile;
use crate::state::State;
use crate::wire::files::{InOwner, OutInfo};

type Put = (String, String, Vec<u8>, Option<InOwner>);

/// Links the interface.
///
/// # Errors
/// What the linker says; it cannot happen for an empty linker.
pub(super) fn link(files: &mut LinkerInstance<'_, State>) -> Result<()> {
    link_reads(files)?;
    files.func_wrap_async(
        "put",
        |mut store: StoreContextMut<'_, State>, (name, media_type, content, owner): Put| {
            Box::new(async move {
                let state = store.data_mut();
                if let Err(stop) = state.take(name.len() + media_type.len() + content.len()) {
                    return finish(stop);
                }
                let attached = owner.map(InOwner::into_pair);
                let kept = match state.call() {
                    Ok(host) => host.file_put(NewFile { name, media_type, content, attached }).await,
                    Err(stop) => return finish(stop),
                };
                match settle(state, kept) {
                    Ok(info) => {
                        let info = OutInfo::from(info);
                        state.give(info.bytes()).map_err(wasmtime::Error::new)?;
                        Ok((Ok(info),))
                    }
                    Err(stop) => finish(stop),
                }
            })
        },
    )?;
    files.func_wrap_async("delete", |mut store: StoreContextMut<'_, State>, (id,): (String,)| {
        Box::new(async move {
            let state = store.data_mut();
            let deleted = match state.call() {
                Ok(host) => host.file_delete(&id).await,
                Err(stop) => return finish(stop),
            };
            reply(state, deleted)
        })
    })
}

fn link_reads(files: &mut LinkerInstance<'_, State>) -> Result<()> {
    files.func_wrap_async("info", |mut store: StoreContextMut<'_, State>, (id,): (String,)| {
        Box::new(async move {
            let state = store.data_mut();
            let found = match state.call() {
                Ok(host) => host.file_info(&id).await,
                Err(stop) => return finish(stop),
            };
            match settle(state, found) {
                Ok(found) => {
                    let info = found.map(OutInfo::from);
                    state.give(info.as_ref().map_or(0, OutInfo::bytes)).map_err(wasmtime::Error::new)?;
                    Ok((Ok(info),))
                }
                Err(stop) => finish(stop),
            }
        })
    })?;
    files.func_wrap_async(
        "read",
        |mut store: StoreContextMut<'_, State>, (id, offset, length): (String, u64, u32)| {
            Box::new(async move {
                let state = store.data_mut();
                let read = match state.call() {
                    Ok(host) => host.file_read(&id, offset, length).await,
                    Err(stop) => return finish(stop),
                };
                match settle(state, read) {
                    Ok(bytes) => {
                        state.give(bytes.len()).map_err(wasmtime::Error::new)?;
                        Ok((Ok(bytes),))
                    }
                    Err(stop) => finish(stop),
                }
            })
        },
    )?;
    files.func_wrap_async(
        "attached",
        |mut store: StoreContextMut<'_, State>, (object, key, after, limit): (String, String, String, u32)| {
            Box::new(async move {
                let state = store.data_mut();
                let found = match state.call() {
                    Ok(host) => host.files_of(&object, &key, &after, limit).await,
                    Err(stop) => return finish(stop),
                };
                match settle(state, found) {
                    Ok(found) => {
                        let infos: Vec<OutInfo> = found.into_iter().map(OutInfo::from).collect();
                        state.give(infos.iter().map(OutInfo::bytes).sum()).map_err(wasmtime::Error::new)?;
                        Ok((Ok(infos),))
                    }
                    Err(stop) => finish(stop),
                }
            })
        },
    )
}
