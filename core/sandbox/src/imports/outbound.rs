//! `http` and `messages`: what leaves the host.

use wasmtime::component::LinkerInstance;
use wasmtime::{Result, StoreContextMut};

use super::{finish, reply, settle, take};
use crate::host::Outgoing;
use crate::state::State;
use crate::wire::InField;
use crate::wire::outbound::{InRequest, OutResponse};

type Send = (String, String, String, Vec<InField>);

/// Links the interface `http`.
///
/// # Errors
/// What the linker says; it cannot happen for an empty linker.
pub(super) fn link_http(http: &mut LinkerInstance<'_, State>) -> Result<()> {
    http.func_wrap_async("call", |mut store: StoreContextMut<'_, State>, (request,): (InRequest,)| {
        Box::new(async move {
            let state = store.data_mut();
            if let Err(stop) = state.take(request.bytes()) {
                return finish(stop);
            }
            let answered = match state.call() {
                Ok(host) => host.http(request.into()).await,
                Err(stop) => return finish(stop),
            };
            match settle(state, answered) {
                Ok(answer) => {
                    let answer = OutResponse::from(answer);
                    state.give(answer.bytes()).map_err(wasmtime::Error::new)?;
                    Ok((Ok(answer),))
                }
                Err(stop) => finish(stop),
            }
        })
    })
}

/// Links the interface `messages`.
///
/// # Errors
/// As for [`link_http`].
pub(super) fn link_messages(messages: &mut LinkerInstance<'_, State>) -> Result<()> {
    messages.func_wrap_async("send", |mut store: StoreContextMut<'_, State>, (channel, to, template, data): Send| {
        Box::new(async move {
            let state = store.data_mut();
            let data = match take(state, data) {
                Ok(data) => data,
                Err(stop) => return finish(stop),
            };
            let sent = match state.call() {
                Ok(host) => host.send(Outgoing { channel, to, template, data }).await,
                Err(stop) => return finish(stop),
            };
            reply(state, sent)
        })
    })
}
