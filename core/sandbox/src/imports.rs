//! The interfaces of `rapport:plugin`, linked to the [`Host`](crate::Host) of the slice.

mod around;
mod calendars;
mod files;
mod flow;
mod kv;
mod outbound;
mod query;
mod search;

use wasmtime::component::{Linker, LinkerInstance};
use wasmtime::{Result, StoreContextMut};

use crate::error::GuestFailure;
use crate::host::{FindRequest, GuestFields, HostError};
use crate::state::{State, Stop};
use crate::wire::{InField, InLevel, InPage, InValue, OutError, OutRecord, OutValue, in_bytes, into_fields};

/// The random bytes that one call may ask for at most.
const RANDOM_BYTES_MAX: u32 = 4096;

// The parameters of the calls that have many.
type Find = (String, String, Vec<InField>, InPage);
type Count = (String, String, Vec<InField>);
type Update = (String, String, Vec<InField>);
type Increment = (String, String, String, InValue);
type Create = (String, Vec<InField>);
type Upsert = (String, String, Vec<InField>);
type Emit = (String, String, Vec<InField>);
/// What a host call returns to a guest.
type Answer<T> = Result<(Result<T, OutError>,)>;

/// Links every interface of `rapport:plugin@0.1.0`.
///
/// # Errors
/// What the linker says; it cannot happen for an empty linker.
pub(crate) fn link(linker: &mut Linker<State>) -> Result<()> {
    let records = &mut linker.instance("rapport:plugin/records@0.1.0")?;
    link_reads(records)?;
    link_changes(records)?;
    link_creations(records)?;
    link_events(&mut linker.instance("rapport:plugin/events@0.1.0")?)?;
    flow::link(&mut linker.instance("rapport:plugin/flow@0.1.0")?)?;
    outbound::link_http(&mut linker.instance("rapport:plugin/http@0.1.0")?)?;
    outbound::link_messages(&mut linker.instance("rapport:plugin/messages@0.1.0")?)?;
    query::link(&mut linker.instance("rapport:plugin/query@0.1.0")?)?;
    kv::link(&mut linker.instance("rapport:plugin/kv@0.1.0")?)?;
    search::link(&mut linker.instance("rapport:plugin/search@0.1.0")?)?;
    files::link(&mut linker.instance("rapport:plugin/files@0.1.0")?)?;
    calendars::link(&mut linker.instance("rapport:plugin/calendars@0.1.0")?)?;
    around::link(linker)?;
    link_surroundings(linker)
}

fn link_reads(records: &mut LinkerInstance<'_, State>) -> Result<()> {
    records.func_wrap_async("get", |mut store: StoreContextMut<'_, State>, (object, key): (String, String)| {
        Box::new(async move {
            let state = store.data_mut();
            let found = match state.call() {
                Ok(host) => host.get(&object, &key).await,
                Err(stop) => return finish(stop),
            };
            match settle(state, found) {
                Ok(None) => Ok((Ok(None),)),
                Ok(Some(record)) => give(state, OutRecord::from(&*record)).map(|r| (r.map(Some),)),
                Err(stop) => finish(stop),
            }
        })
    })?;
    records.func_wrap_async(
        "find",
        |mut store: StoreContextMut<'_, State>, (object, filter, params, page): Find| {
            Box::new(async move {
                let state = store.data_mut();
                let params = match take(state, params) {
                    Ok(params) => params,
                    Err(stop) => return finish(stop),
                };
                let InPage { order, limit, after } = page;
                let query = FindRequest { object, filter, params, order, limit, after };
                let found = match state.call() {
                    Ok(host) => host.find(query).await,
                    Err(stop) => return finish(stop),
                };
                let found = match settle(state, found) {
                    Ok(found) => found,
                    Err(stop) => return finish(stop),
                };
                let mut records = Vec::with_capacity(found.len());
                for record in found {
                    let record = OutRecord::from(&*record);
                    state.give(record.bytes()).map_err(wasmtime::Error::new)?;
                    records.push(record);
                }
                Ok((Ok(records),))
            })
        },
    )?;
    records.func_wrap_async("count", |mut store: StoreContextMut<'_, State>, (object, filter, params): Count| {
        Box::new(async move {
            let state = store.data_mut();
            let params = match take(state, params) {
                Ok(params) => params,
                Err(stop) => return finish(stop),
            };
            let counted = match state.call() {
                Ok(host) => host.count(&object, &filter, params).await,
                Err(stop) => return finish(stop),
            };
            reply(state, counted)
        })
    })
}

fn link_changes(records: &mut LinkerInstance<'_, State>) -> Result<()> {
    records.func_wrap_async("update", |mut store: StoreContextMut<'_, State>, (object, key, fields): Update| {
        Box::new(async move {
            let state = store.data_mut();
            let fields = match take(state, fields) {
                Ok(fields) => fields,
                Err(stop) => return finish(stop),
            };
            let updated = match state.call() {
                Ok(host) => host.update(&object, &key, fields).await,
                Err(stop) => return finish(stop),
            };
            reply(state, updated)
        })
    })?;
    records.func_wrap_async(
        "increment",
        |mut store: StoreContextMut<'_, State>, (object, key, field, by): Increment| {
            Box::new(async move {
                let state = store.data_mut();
                let by = match state.take(by.bytes()).and_then(|()| by.into_value().map_err(invalid)) {
                    Ok(by) => by,
                    Err(stop) => return finish(stop),
                };
                let done = match state.call() {
                    Ok(host) => host.increment(&object, &key, &field, by).await,
                    Err(stop) => return finish(stop),
                };
                reply(state, done)
            })
        },
    )?;
    records.func_wrap_async("delete", |mut store: StoreContextMut<'_, State>, (object, key): (String, String)| {
        Box::new(async move {
            let state = store.data_mut();
            let deleted = match state.call() {
                Ok(host) => host.delete(&object, &key).await,
                Err(stop) => return finish(stop),
            };
            reply(state, deleted)
        })
    })
}

fn link_creations(records: &mut LinkerInstance<'_, State>) -> Result<()> {
    records.func_wrap_async("create", |mut store: StoreContextMut<'_, State>, (object, fields): Create| {
        Box::new(async move {
            let state = store.data_mut();
            let fields = match take(state, fields) {
                Ok(fields) => fields,
                Err(stop) => return finish(stop),
            };
            let created = match state.call() {
                Ok(host) => host.create(&object, fields).await,
                Err(stop) => return finish(stop),
            };
            match settle(state, created) {
                Ok(record) => give(state, OutRecord::from(&*record)).map(|r| (r,)),
                Err(stop) => finish(stop),
            }
        })
    })?;
    records.func_wrap_async("upsert", |mut store: StoreContextMut<'_, State>, (object, by, fields): Upsert| {
        Box::new(async move {
            let state = store.data_mut();
            let fields = match take(state, fields) {
                Ok(fields) => fields,
                Err(stop) => return finish(stop),
            };
            let written = match state.call() {
                Ok(host) => host.upsert(&object, &by, fields).await,
                Err(stop) => return finish(stop),
            };
            match settle(state, written) {
                Ok(record) => give(state, OutRecord::from(&*record)).map(|r| (r,)),
                Err(stop) => finish(stop),
            }
        })
    })
}

fn link_events(events: &mut LinkerInstance<'_, State>) -> Result<()> {
    events.func_wrap_async("emit", |mut store: StoreContextMut<'_, State>, (kind, subject, data): Emit| {
        Box::new(async move {
            let state = store.data_mut();
            let data = match take(state, data) {
                Ok(data) => data,
                Err(stop) => return finish(stop),
            };
            let emitted = match state.call() {
                Ok(host) => host.emit(&kind, &subject, data).await,
                Err(stop) => return finish(stop),
            };
            reply(state, emitted)
        })
    })
}

fn link_surroundings(linker: &mut Linker<State>) -> Result<()> {
    linker.instance("rapport:plugin/log@0.1.0")?.func_wrap(
        "write",
        |mut store: StoreContextMut<'_, State>, (level, message): (InLevel, String)| {
            let state = store.data_mut();
            state.quiet_host().map_err(trap)?;
            state.log(level.into(), &message);
            Ok(())
        },
    )?;
    linker.instance("rapport:plugin/clock@0.1.0")?.func_wrap(
        "now",
        |mut store: StoreContextMut<'_, State>, (): ()| {
            let host = store.data_mut().call().map_err(trap)?;
            Ok((host.now().micros(),))
        },
    )?;
    linker.instance("rapport:plugin/random@0.1.0")?.func_wrap(
        "bytes",
        |mut store: StoreContextMut<'_, State>, (count,): (u32,)| {
            if count > RANDOM_BYTES_MAX {
                let message = format!("asked for {count} random bytes at once; {RANDOM_BYTES_MAX} at most");
                return Err(wasmtime::Error::new(GuestFailure::Trap(message)));
            }
            Ok((store.data_mut().random(count).map_err(trap)?,))
        },
    )?;
    linker.instance("rapport:plugin/settings@0.1.0")?.func_wrap(
        "get",
        |mut store: StoreContextMut<'_, State>, (name,): (String,)| {
            let state = store.data_mut();
            let value = match state.call() {
                Ok(host) => host.setting(&name),
                Err(stop) => return finish(stop),
            };
            reply(state, value.map(|v| OutValue::new(&v, None)))
        },
    )
}

/// Counts and checks the fields that a guest gives.
fn take(state: &mut State, fields: Vec<InField>) -> Result<GuestFields, Stop> {
    state.take(in_bytes(&fields))?;
    into_fields(fields).map_err(invalid)
}

/// Counts and gives a record.
fn give(state: &mut State, record: OutRecord) -> Result<Result<OutRecord, OutError>> {
    state.give(record.bytes()).map_err(wasmtime::Error::new)?;
    Ok(Ok(record))
}

fn settle<T>(state: &mut State, result: Result<T, HostError>) -> Result<T, Stop> {
    result.map_err(|error| state.refuse(error))
}

fn reply<T>(state: &mut State, result: Result<T, HostError>) -> Answer<T> {
    match settle(state, result) {
        Ok(value) => Ok((Ok(value),)),
        Err(stop) => finish(stop),
    }
}

fn finish<T>(stop: Stop) -> Answer<T> {
    match stop {
        Stop::Answer(error) => Ok((Err(error),)),
        Stop::Trap(failure) => Err(wasmtime::Error::new(failure)),
    }
}

fn invalid(message: String) -> Stop {
    Stop::Answer(OutError { code: "invalid".into(), message, retryable: false })
}

/// For calls that have no error to answer with: what would be told becomes a stop.
fn trap(stop: Stop) -> wasmtime::Error {
    wasmtime::Error::new(match stop {
        Stop::Answer(OutError { code, message, retryable }) => GuestFailure::Ended { code, message, retryable },
        Stop::Trap(failure) => failure,
    })
}
