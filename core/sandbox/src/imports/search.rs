//! `search`: words in texts.

use wasmtime::component::LinkerInstance;
use wasmtime::{Result, StoreContextMut};

use super::{finish, invalid, settle};
use crate::state::State;
use crate::wire::search::{InOptions, OutHit};

/// Links the interface.
///
/// # Errors
/// What the linker says; it cannot happen for an empty linker.
pub(super) fn link(search: &mut LinkerInstance<'_, State>) -> Result<()> {
    search.func_wrap_async(
        "find",
        |mut store: StoreContextMut<'_, State>, (object, text, options): (String, String, InOptions)| {
            Box::new(async move {
                let state = store.data_mut();
                let counted = state.take(object.len() + text.len() + options.bytes());
                let asked = match counted.and_then(|()| options.checked((object, text)).map_err(invalid)) {
                    Ok(asked) => asked,
                    Err(stop) => return finish(stop),
                };
                let found = match state.call() {
                    Ok(host) => host.search(asked).await,
                    Err(stop) => return finish(stop),
                };
                match settle(state, found) {
                    Ok(hits) => {
                        let hits: Vec<OutHit> = hits.into_iter().map(OutHit::from).collect();
                        state.give(hits.iter().map(OutHit::bytes).sum()).map_err(wasmtime::Error::new)?;
                        Ok((Ok(hits),))
                    }
                    Err(stop) => finish(stop),
                }
            })
        },
    )
}
