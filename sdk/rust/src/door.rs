//! The one place where calls leave the plugin: to the host in a component, to [`crate::fake`] in a native test.

#[cfg(target_family = "wasm")]
pub(crate) use crate::bindings::rapport::plugin::{
    clock, events, flow, http, log, messages, random, records, settings,
};

#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::fake::door::{clock, events, flow, http, log, messages, random, records, settings};
