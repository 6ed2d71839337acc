//! `calendars`: business time.

use rapport_model::Timestamp;
use wasmtime::component::LinkerInstance;
use wasmtime::{Result, StoreContextMut};

use super::{finish, reply};
use crate::state::State;

/// Links the interface.
///
/// # Errors
/// What the linker says; it cannot happen for an empty linker.
pub(super) fn link(calendars: &mut LinkerInstance<'_, State>) -> Result<()> {
    calendars.func_wrap_async(
        "due",
        |mut store: StoreContextMut<'_, State>, (calendar, start, span): (String, i64, String)| {
            Box::new(async move {
                let state = store.data_mut();
                let due = match state.take(calendar.len() + span.len()).and_then(|()| state.call()) {
                    Ok(host) => host.business_due(&calendar, Timestamp::from_micros(start), &span).await,
                    Err(stop) => return finish(stop),
                };
                reply(state, due.map(Timestamp::micros))
            })
        },
    )?;
    calendars.func_wrap_async(
        "elapsed",
        |mut store: StoreContextMut<'_, State>, (calendar, start, end): (String, i64, i64)| {
            Box::new(async move {
                let state = store.data_mut();
                let (start, end) = (Timestamp::from_micros(start), Timestamp::from_micros(end));
                let elapsed = match state.take(calendar.len()).and_then(|()| state.call()) {
                    Ok(host) => host.business_elapsed(&calendar, start, end).await,
                    Err(stop) => return finish(stop),
                };
                reply(state, elapsed)
            })
        },
    )
}
