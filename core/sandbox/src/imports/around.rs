//! `secrets`, `scripts`, `jobs` and `context`.

use rapport_model::Timestamp;
use wasmtime::component::{Linker, LinkerInstance};
use wasmtime::{Result, StoreContextMut};

use super::{finish, reply, settle, trap};
use crate::host::{JobRequest, RunContext, ScriptCall};
use crate::state::State;

/// Links these interfaces.
///
/// # Errors
/// What the linker says; it cannot happen for an empty linker.
pub(super) fn link(linker: &mut Linker<State>) -> Result<()> {
    link_secrets(&mut linker.instance("rapport:plugin/secrets@0.1.0")?)?;
    link_scripts(&mut linker.instance("rapport:plugin/scripts@0.1.0")?)?;
    link_jobs(&mut linker.instance("rapport:plugin/jobs@0.1.0")?)?;
    link_context(&mut linker.instance("rapport:plugin/context@0.1.0")?)
}

fn link_secrets(secrets: &mut LinkerInstance<'_, State>) -> Result<()> {
    secrets.func_wrap_async("exists", |mut store: StoreContextMut<'_, State>, (name,): (String,)| {
        Box::new(async move {
            let state = store.data_mut();
            let exists = match state.call() {
                Ok(host) => host.secret_exists(&name).await,
                Err(stop) => return finish(stop),
            };
            reply(state, exists)
        })
    })?;
    secrets.func_wrap_async(
        "hmac-sha256",
        |mut store: StoreContextMut<'_, State>, (name, message): (String, Vec<u8>)| {
            Box::new(async move {
                let state = store.data_mut();
                if let Err(stop) = state.take(message.len()) {
                    return finish(stop);
                }
                let mac = match state.call() {
                    Ok(host) => host.secret_hmac(&name, &message).await,
                    Err(stop) => return finish(stop),
                };
                reply(state, mac)
            })
        },
    )
}

fn link_scripts(scripts: &mut LinkerInstance<'_, State>) -> Result<()> {
    type Run = (String, String, String);
    scripts.func_wrap_async("run", |mut store: StoreContextMut<'_, State>, (script, function, arguments): Run| {
        Box::new(async move {
            // The function works on what the caller has left: what it uses is taken off there, however it ends.
            let fuel = store.get_fuel()?;
            let state = store.data_mut();
            if let Err(stop) = state.take(arguments.len()) {
                return finish(stop);
            }
            let left = state.allowance(fuel);
            let (ran, spent) = match state.call() {
                Ok(host) => host.run_script(ScriptCall { script, function, arguments, left }).await,
                Err(stop) => return finish(stop),
            };
            state.spend_calls(spent.host_calls);
            store.set_fuel(fuel.saturating_sub(spent.fuel))?;
            let state = store.data_mut();
            match settle(state, ran) {
                Ok(result) => {
                    state.give(result.len()).map_err(wasmtime::Error::new)?;
                    Ok((Ok(result),))
                }
                Err(stop) => finish(stop),
            }
        })
    })
}

fn link_jobs(jobs: &mut LinkerInstance<'_, State>) -> Result<()> {
    type Start = (String, String, Option<i64>);
    jobs.func_wrap_async("start", |mut store: StoreContextMut<'_, State>, (action, input, at): Start| {
        Box::new(async move {
            let state = store.data_mut();
            if let Err(stop) = state.take(action.len() + input.len()) {
                return finish(stop);
            }
            let job = JobRequest { action, input, at: at.map(Timestamp::from_micros) };
            let started = match state.call() {
                Ok(host) => host.start_job(job).await,
                Err(stop) => return finish(stop),
            };
            reply(state, started)
        })
    })
}

fn link_context(context: &mut LinkerInstance<'_, State>) -> Result<()> {
    let asked = |store: &mut StoreContextMut<'_, State>| -> Result<RunContext> {
        Ok(store.data_mut().call().map_err(trap)?.context())
    };
    context.func_wrap("run", move |mut store: StoreContextMut<'_, State>, (): ()| Ok((asked(&mut store)?.run,)))?;
    context
        .func_wrap("plugin", move |mut store: StoreContextMut<'_, State>, (): ()| Ok((asked(&mut store)?.plugin,)))?;
    context.func_wrap("actor", move |mut store: StoreContextMut<'_, State>, (): ()| Ok((asked(&mut store)?.actor,)))?;
    context.func_wrap("slice", move |mut store: StoreContextMut<'_, State>, (): ()| Ok((asked(&mut store)?.slice,)))
}
