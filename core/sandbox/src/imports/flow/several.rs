//! `flow` between runs: the first of several events, locks, and runs that start others.

use wasmtime::component::LinkerInstance;
use wasmtime::{Result, StoreContextMut};

use crate::host::WaitRequest;
use crate::imports::{finish, reply, settle, take};
use crate::state::{State, Stop};
use crate::wire::{InAlternative, OutArrival};

type WaitAny = (Vec<InAlternative>, String);

/// Links these calls.
///
/// # Errors
/// What the linker says; it cannot happen for an empty linker.
pub(super) fn link(flow: &mut LinkerInstance<'_, State>) -> Result<()> {
    flow.func_wrap_async("wait-any", |mut store: StoreContextMut<'_, State>, (alternatives, timeout): WaitAny| {
        Box::new(async move {
            let state = store.data_mut();
            let alternatives = match taken(state, alternatives) {
                Ok(alternatives) => alternatives,
                Err(stop) => return finish(stop),
            };
            let came = match state.call() {
                Ok(host) => host.wait_any(alternatives, &timeout).await,
                Err(stop) => return finish(stop),
            };
            match settle(state, came) {
                Ok(None) => Ok((Ok(None),)),
                Ok(Some(arrival)) => {
                    let arrival = OutArrival::from(arrival);
                    state.give(arrival.bytes()).map_err(wasmtime::Error::new)?;
                    Ok((Ok(Some(arrival)),))
                }
                Err(stop) => finish(stop),
            }
        })
    })?;
    flow.func_wrap_async("lock", |mut store: StoreContextMut<'_, State>, (key,): (String,)| {
        Box::new(async move {
            let state = store.data_mut();
            let locked = match state.call() {
                Ok(host) => host.lock(&key).await,
                Err(stop) => return finish(stop),
            };
            reply(state, locked)
        })
    })?;
    link_runs(flow)
}

fn link_runs(flow: &mut LinkerInstance<'_, State>) -> Result<()> {
    flow.func_wrap_async("invoke", |mut store: StoreContextMut<'_, State>, (automation, input): (String, String)| {
        Box::new(async move {
            let state = store.data_mut();
            if let Err(stop) = state.take(input.len()) {
                return finish(stop);
            }
            let result = match state.call() {
                Ok(host) => host.invoke(&automation, &input).await,
                Err(stop) => return finish(stop),
            };
            match settle(state, result) {
                Ok(result) => {
                    state.give(result.len()).map_err(wasmtime::Error::new)?;
                    Ok((Ok(result),))
                }
                Err(stop) => finish(stop),
            }
        })
    })?;
    flow.func_wrap("reply", |mut store: StoreContextMut<'_, State>, (value,): (String,)| {
        let state = store.data_mut();
        if let Err(stop) = state.take(value.len()) {
            return finish(stop);
        }
        let taken = match state.call() {
            Ok(host) => host.reply(&value),
            Err(stop) => return finish(stop),
        };
        reply(state, taken)
    })
}

fn taken(state: &mut State, alternatives: Vec<InAlternative>) -> std::result::Result<Vec<WaitRequest>, Stop> {
    let one = |InAlternative { kind, filter, params }| {
        let params = take(state, params)?;
        Ok(WaitRequest { kind, filter, params, timeout: String::new() })
    };
    alternatives.into_iter().map(one).collect()
}
