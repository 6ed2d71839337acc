//! `query`: bulk reads.

use wasmtime::component::LinkerInstance;
use wasmtime::{Result, StoreContextMut};

use super::{finish, invalid, settle};
use crate::state::State;
use crate::wire::query::{InGrouping, InSelection, OutRows, out_rows, rows_bytes};

/// Links the interface.
///
/// # Errors
/// What the linker says; it cannot happen for an empty linker.
pub(super) fn link(query: &mut LinkerInstance<'_, State>) -> Result<()> {
    query.func_wrap_async("select", |mut store: StoreContextMut<'_, State>, (selection,): (InSelection,)| {
        Box::new(async move {
            let state = store.data_mut();
            let selection = state.take(selection.bytes()).and_then(|()| selection.checked().map_err(invalid));
            let selection = match selection {
                Ok(selection) => selection,
                Err(stop) => return finish(stop),
            };
            let found = match state.call() {
                Ok(host) => host.select(selection).await,
                Err(stop) => return finish(stop),
            };
            match settle(state, found) {
                Ok(table) => {
                    let rows = OutRows::from(table);
                    state.give(rows.bytes()).map_err(wasmtime::Error::new)?;
                    Ok((Ok(rows),))
                }
                Err(stop) => finish(stop),
            }
        })
    })?;
    query.func_wrap_async("aggregate", |mut store: StoreContextMut<'_, State>, (grouping,): (InGrouping,)| {
        Box::new(async move {
            let state = store.data_mut();
            let grouping = state.take(grouping.bytes()).and_then(|()| grouping.checked().map_err(invalid));
            let grouping = match grouping {
                Ok(grouping) => grouping,
                Err(stop) => return finish(stop),
            };
            let found = match state.call() {
                Ok(host) => host.aggregate(grouping).await,
                Err(stop) => return finish(stop),
            };
            match settle(state, found) {
                Ok(table) => {
                    let rows = out_rows(&table.rows, &table.objects);
                    state.give(rows_bytes(&rows)).map_err(wasmtime::Error::new)?;
                    Ok((Ok(rows),))
                }
                Err(stop) => finish(stop),
            }
        })
    })
}
