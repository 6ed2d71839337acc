//! `flow`: what a run waits for.

mod several;

use rapport_model::Timestamp;
use wasmtime::component::LinkerInstance;
use wasmtime::{Result, StoreContextMut};

use super::{finish, reply, settle, take};
use crate::host::WaitRequest;
use crate::state::State;
use crate::wire::{InField, InQuestion, OutEvent, OutReply};

type WaitFor = (String, String, Vec<InField>, String);

/// Links the interface.
///
/// # Errors
/// What the linker says; it cannot happen for an empty linker.
pub(super) fn link(flow: &mut LinkerInstance<'_, State>) -> Result<()> {
    flow.func_wrap_async("sleep", |mut store: StoreContextMut<'_, State>, (span,): (String,)| {
        Box::new(async move {
            let state = store.data_mut();
            let slept = match state.call() {
                Ok(host) => host.sleep(&span).await,
                Err(stop) => return finish(stop),
            };
            reply(state, slept)
        })
    })?;
    flow.func_wrap_async("sleep-until", |mut store: StoreContextMut<'_, State>, (instant,): (i64,)| {
        Box::new(async move {
            let state = store.data_mut();
            let slept = match state.call() {
                Ok(host) => host.sleep_until(Timestamp::from_micros(instant)).await,
                Err(stop) => return finish(stop),
            };
            reply(state, slept)
        })
    })?;
    flow.func_wrap_async(
        "wait-for",
        |mut store: StoreContextMut<'_, State>, (kind, filter, params, timeout): WaitFor| {
            Box::new(async move {
                let state = store.data_mut();
                let params = match take(state, params) {
                    Ok(params) => params,
                    Err(stop) => return finish(stop),
                };
                let came = match state.call() {
                    Ok(host) => host.wait_for(WaitRequest { kind, filter, params, timeout }).await,
                    Err(stop) => return finish(stop),
                };
                match settle(state, came) {
                    Ok(None) => Ok((Ok(None),)),
                    Ok(Some(event)) => {
                        let event = OutEvent::from(event);
                        state.give(event.bytes()).map_err(wasmtime::Error::new)?;
                        Ok((Ok(Some(event)),))
                    }
                    Err(stop) => finish(stop),
                }
            })
        },
    )?;
    flow.func_wrap_async("ask", |mut store: StoreContextMut<'_, State>, (question,): (InQuestion,)| {
        Box::new(async move {
            let state = store.data_mut();
            if let Err(stop) = state.take(question.bytes()) {
                return finish(stop);
            }
            let answered = match state.call() {
                Ok(host) => host.ask(question.into()).await,
                Err(stop) => return finish(stop),
            };
            match settle(state, answered) {
                Ok(answer) => {
                    let answer = OutReply::from(answer);
                    state.give(answer.bytes()).map_err(wasmtime::Error::new)?;
                    Ok((Ok(answer),))
                }
                Err(stop) => finish(stop),
            }
        })
    })?;
    several::link(flow)
}
