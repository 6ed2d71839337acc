//! What the standard library of `wasm32-wasip2` imports whether a guest wants it or not.
//!
//! Standard output goes to the log, the clock is the host's, randomness the run's; there is no environment, no argument,
//! no file, no standard input. Everything else of WASI traps when it is called.

use std::collections::BTreeSet;

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, ComponentType, Lift, Linker, LinkerInstance, Lower, Resource, ResourceType};
use wasmtime::{Result, StoreContextMut};

use crate::error::GuestFailure;
use crate::host::LogLevel;
use crate::state::{State, Stop};

/// Bytes that a guest may write to standard output in one call; the limit on logs cuts them further.
const WRITE_BYTES_MAX: u64 = 4096;
const STDOUT: u32 = 1;
const STDERR: u32 = 2;

/// Prefixes of the interfaces whose functions trap if they are not linked here.
pub(crate) const TOLERATED: [&str; 6] =
    ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];

struct Descriptor;
struct Failure;
struct Pollable;
struct InputStream;
struct OutputStream;
struct TerminalInput;
struct TerminalOutput;

mod shapes {
    use super::{ComponentType, Failure, Lift, Lower, Resource};

    #[derive(ComponentType, Lower, Lift)]
    #[component(variant)]
    pub(super) enum StreamError {
        #[component(name = "last-operation-failed")]
        LastOperationFailed(Resource<Failure>),
        #[component(name = "closed")]
        Closed,
    }

    #[derive(ComponentType, Lower)]
    #[component(record)]
    pub(super) struct Datetime {
        pub(super) seconds: u64,
        pub(super) nanoseconds: u32,
    }
}
use shapes::{Datetime, StreamError};

type Store<'a> = StoreContextMut<'a, State>;
type Streamed<T> = Result<(Result<T, StreamError>,)>;

/// Links what stands in the head of this file, in each of `versions`: those that `component` imports. They differ only in
/// what they add.
///
/// # Errors
/// What the linker says; it cannot happen for a linker without WASI.
pub(crate) fn link(linker: &mut Linker<State>, component: &Component, versions: &BTreeSet<String>) -> Result<()> {
    link_resources(linker, component)?;
    for version in versions {
        let mut link = Versioned { linker, version };
        link_io(&mut link)?;
        link_cli(&mut link)?;
        link_clocks(&mut link)?;
        link_random(&mut link)?;
        link_files(&mut link)?;
    }
    Ok(())
}

/// A linker that adds the version to each name.
struct Versioned<'a> {
    linker: &'a mut Linker<State>,
    version: &'a str,
}

impl Versioned<'_> {
    fn instance(&mut self, interface: &str) -> Result<LinkerInstance<'_, State>> {
        self.linker.instance(&format!("{interface}@{}", self.version))
    }
}

/// No directory is open, so that no call on a file can even be made.
fn link_files(linker: &mut Versioned<'_>) -> Result<()> {
    linker
        .instance("wasi:filesystem/preopens")?
        .func_wrap("get-directories", |_: Store<'_>, (): ()| Ok((Vec::<(Resource<Descriptor>, String)>::new(),)))
}

/// Defines the resources that the interfaces of a component export, each under every interface that mentions it: they must be
/// one type wherever they appear.
fn link_resources(linker: &mut Linker<State>, component: &Component) -> Result<()> {
    let engine = component.engine();
    for (import, item) in component.component_type().imports(engine) {
        let ComponentItem::ComponentInstance(kind) = item.ty else { continue };
        if !TOLERATED.iter().any(|p| import.starts_with(p)) {
            continue;
        }
        let mut instance = linker.instance(import)?;
        for (name, export) in kind.exports(engine) {
            let ComponentItem::Resource(_) = export.ty else { continue };
            match name {
                "descriptor" => resource::<Descriptor>(&mut instance, name)?,
                "error" => resource::<Failure>(&mut instance, name)?,
                "pollable" => resource::<Pollable>(&mut instance, name)?,
                "input-stream" => resource::<InputStream>(&mut instance, name)?,
                "output-stream" => resource::<OutputStream>(&mut instance, name)?,
                "terminal-input" => resource::<TerminalInput>(&mut instance, name)?,
                "terminal-output" => resource::<TerminalOutput>(&mut instance, name)?,
                // Only functions that trap give or take it.
                _ => {}
            }
        }
    }
    Ok(())
}

fn resource<T: 'static>(instance: &mut LinkerInstance<'_, State>, name: &str) -> Result<()> {
    // A resource here is only a number: there is nothing to free.
    instance.resource(name, ResourceType::host::<T>(), |_, _| Ok(()))
}

fn link_io(linker: &mut Versioned<'_>) -> Result<()> {
    let poll = &mut linker.instance("wasi:io/poll")?;
    poll.func_wrap("[method]pollable.block", |_: Store<'_>, (_,): (Resource<Pollable>,)| Ok(()))?;
    poll.func_wrap("[method]pollable.ready", |_: Store<'_>, (_,): (Resource<Pollable>,)| Ok((true,)))?;
    let streams = &mut linker.instance("wasi:io/streams")?;
    for read in ["[method]input-stream.read", "[method]input-stream.blocking-read"] {
        streams.func_wrap(read, |_: Store<'_>, (_, _): (Resource<InputStream>, u64)| -> Streamed<Vec<u8>> {
            Ok((Err(StreamError::Closed),))
        })?;
    }
    for write in ["[method]output-stream.write", "[method]output-stream.blocking-write-and-flush"] {
        streams.func_wrap(write, |store: Store<'_>, (stream, bytes): (Resource<OutputStream>, Vec<u8>)| {
            print(store, &stream, &bytes)
        })?;
    }
    for flush in ["[method]output-stream.flush", "[method]output-stream.blocking-flush"] {
        streams.func_wrap(flush, |_: Store<'_>, (_,): (Resource<OutputStream>,)| -> Streamed<()> { Ok((Ok(()),)) })?;
    }
    streams.func_wrap("[method]output-stream.check-write", |_: Store<'_>, (_,): (Resource<OutputStream>,)| {
        Ok((Ok::<u64, StreamError>(WRITE_BYTES_MAX),))
    })?;
    streams.func_wrap("[method]output-stream.subscribe", |_: Store<'_>, (_,): (Resource<OutputStream>,)| {
        Ok((Resource::<Pollable>::new_own(0),))
    })
}

fn print(mut store: Store<'_>, stream: &Resource<OutputStream>, bytes: &[u8]) -> Streamed<()> {
    let state = store.data_mut();
    state.quiet_host().map_err(trap)?;
    let text = String::from_utf8_lossy(bytes);
    let mut level = LogLevel::Info;
    if stream.rep() == STDERR {
        level = LogLevel::Warn;
        state.hear(&text);
    }
    let text = text.trim_end_matches('\n');
    if !text.is_empty() {
        state.log(level, text);
    }
    Ok((Ok(()),))
}

fn link_cli(linker: &mut Versioned<'_>) -> Result<()> {
    let environment = &mut linker.instance("wasi:cli/environment")?;
    environment.func_wrap("get-environment", |_: Store<'_>, (): ()| Ok((Vec::<(String, String)>::new(),)))?;
    environment.func_wrap("get-arguments", |_: Store<'_>, (): ()| Ok((Vec::<String>::new(),)))?;
    environment.func_wrap("initial-cwd", |_: Store<'_>, (): ()| Ok((None::<String>,)))?;
    linker.instance("wasi:cli/exit")?.func_wrap("exit", |_: Store<'_>, (_,): (Result<(), ()>,)| -> Result<()> {
        Err(wasmtime::Error::new(GuestFailure::Trap("it called `exit`; return an error instead".into())))
    })?;
    linker
        .instance("wasi:cli/stdin")?
        .func_wrap("get-stdin", |_: Store<'_>, (): ()| Ok((Resource::<InputStream>::new_own(0),)))?;
    linker
        .instance("wasi:cli/stdout")?
        .func_wrap("get-stdout", |_: Store<'_>, (): ()| Ok((Resource::<OutputStream>::new_own(STDOUT),)))?;
    linker
        .instance("wasi:cli/stderr")?
        .func_wrap("get-stderr", |_: Store<'_>, (): ()| Ok((Resource::<OutputStream>::new_own(STDERR),)))?;
    linker
        .instance("wasi:cli/terminal-stdin")?
        .func_wrap("get-terminal-stdin", |_: Store<'_>, (): ()| Ok((None::<Resource<TerminalInput>>,)))?;
    linker
        .instance("wasi:cli/terminal-stdout")?
        .func_wrap("get-terminal-stdout", |_: Store<'_>, (): ()| Ok((None::<Resource<TerminalOutput>>,)))?;
    linker
        .instance("wasi:cli/terminal-stderr")?
        .func_wrap("get-terminal-stderr", |_: Store<'_>, (): ()| Ok((None::<Resource<TerminalOutput>>,)))
}

/// The slice's instant in microseconds; 1970 while the guest is only being made ready.
fn micros(mut store: Store<'_>) -> Result<u64> {
    let host = store.data_mut().quiet_host().map_err(trap)?;
    Ok(host.map_or(0, |h| u64::try_from(h.now().micros()).unwrap_or(0)))
}

fn link_clocks(linker: &mut Versioned<'_>) -> Result<()> {
    let wall = &mut linker.instance("wasi:clocks/wall-clock")?;
    wall.func_wrap("now", |store: Store<'_>, (): ()| {
        let micros = micros(store)?;
        // Less than a second of nanoseconds fits.
        let nanoseconds = u32::try_from(micros % 1_000_000 * 1000).unwrap_or(0);
        Ok((Datetime { seconds: micros / 1_000_000, nanoseconds },))
    })?;
    wall.func_wrap("resolution", |_: Store<'_>, (): ()| Ok((Datetime { seconds: 0, nanoseconds: 1000 },)))?;
    let monotonic = &mut linker.instance("wasi:clocks/monotonic-clock")?;
    monotonic.func_wrap("now", |store: Store<'_>, (): ()| Ok((micros(store)?.saturating_mul(1000),)))?;
    monotonic.func_wrap("resolution", |_: Store<'_>, (): ()| Ok((1000_u64,)))
}

fn link_random(linker: &mut Versioned<'_>) -> Result<()> {
    for (interface, bytes, number) in [
        ("wasi:random/random", "get-random-bytes", "get-random-u64"),
        ("wasi:random/insecure", "get-insecure-random-bytes", "get-insecure-random-u64"),
    ] {
        let random = &mut linker.instance(interface)?;
        random.func_wrap(bytes, |mut store: Store<'_>, (count,): (u64,)| {
            let count = u32::try_from(count).ok().filter(|c| u64::from(*c) <= WRITE_BYTES_MAX).ok_or_else(|| {
                wasmtime::Error::new(GuestFailure::Trap(format!("asked for {count} random bytes at once")))
            })?;
            Ok((store.data_mut().random(count).map_err(trap)?,))
        })?;
        random.func_wrap(number, |store: Store<'_>, (): ()| Ok((draw(store)?,)))?;
    }
    linker.instance("wasi:random/insecure-seed")?.func_wrap("insecure-seed", |mut store: Store<'_>, (): ()| {
        let bytes = store.data_mut().random(16).map_err(trap)?;
        Ok(((number(bytes.get(..8)), number(bytes.get(8..16))),))
    })
}

fn draw(mut store: Store<'_>) -> Result<u64> {
    Ok(number(store.data_mut().random(8).map_err(trap)?.get(..8)))
}

fn number(bytes: Option<&[u8]>) -> u64 {
    bytes.unwrap_or_default().iter().fold(0, |sum, b| (sum << 8) | u64::from(*b))
}

fn trap(stop: Stop) -> wasmtime::Error {
    wasmtime::Error::new(match stop {
        Stop::Trap(failure) => failure,
        Stop::Answer(error) => GuestFailure::Trap(error.message),
    })
}
