//! `kv`: what a plugin keeps for itself.

use wasmtime::component::LinkerInstance;
use wasmtime::{Result, StoreContextMut};

use super::{finish, reply, settle};
use crate::state::State;
use crate::wire::query::OutEntry;

/// Links the interface.
///
/// # Errors
/// What the linker says; it cannot happen for an empty linker.
pub(super) fn link(kv: &mut LinkerInstance<'_, State>) -> Result<()> {
    link_reads(kv)?;
    kv.func_wrap_async("set", |mut store: StoreContextMut<'_, State>, (key, value): (String, Vec<u8>)| {
        Box::new(async move {
            let state = store.data_mut();
            if let Err(stop) = state.take(key.len() + value.len()) {
                return finish(stop);
            }
            let kept = match state.call() {
                Ok(host) => host.kv_set(&key, value).await,
                Err(stop) => return finish(stop),
            };
            reply(state, kept)
        })
    })?;
    kv.func_wrap_async("delete", |mut store: StoreContextMut<'_, State>, (key,): (String,)| {
        Box::new(async move {
            let state = store.data_mut();
            let deleted = match state.call() {
                Ok(host) => host.kv_delete(&key).await,
                Err(stop) => return finish(stop),
            };
            reply(state, deleted)
        })
    })?;
    kv.func_wrap_async("increment", |mut store: StoreContextMut<'_, State>, (key, delta): (String, i64)| {
        Box::new(async move {
            let state = store.data_mut();
            let sum = match state.take(key.len()).and_then(|()| state.call()) {
                Ok(host) => host.kv_increment(&key, delta).await,
                Err(stop) => return finish(stop),
            };
            reply(state, sum)
        })
    })
}

fn link_reads(kv: &mut LinkerInstance<'_, State>) -> Result<()> {
    kv.func_wrap_async("get", |mut store: StoreContextMut<'_, State>, (key,): (String,)| {
        Box::new(async move {
            let state = store.data_mut();
            let found = match state.call() {
                Ok(host) => host.kv_get(&key).await,
                Err(stop) => return finish(stop),
            };
            match settle(state, found) {
                Ok(value) => {
                    state.give(value.as_ref().map_or(0, Vec::len)).map_err(wasmtime::Error::new)?;
                    Ok((Ok(value),))
                }
                Err(stop) => finish(stop),
            }
        })
    })?;
    kv.func_wrap_async(
        "list",
        |mut store: StoreContextMut<'_, State>, (prefix, after, limit): (String, String, u32)| {
            Box::new(async move {
                let state = store.data_mut();
                let found = match state.call() {
                    Ok(host) => host.kv_list(&prefix, &after, limit).await,
                    Err(stop) => return finish(stop),
                };
                match settle(state, found) {
                    Ok(entries) => {
                        let entries: Vec<OutEntry> = entries.into_iter().map(OutEntry::from).collect();
                        let bytes = entries.iter().map(OutEntry::bytes).sum();
                        state.give(bytes).map_err(wasmtime::Error::new)?;
                        Ok((Ok(entries),))
                    }
                    Err(stop) => finish(stop),
                }
            })
        },
    )
}
