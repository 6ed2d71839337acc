//! The one place where calls leave the plugin: to the host in a component, to [`crate::fake`] in a native test.

#[cfg(target_family = "wasm")]
pub(crate) use crate::bindings::rapport::plugin::{
    calendars, clock, context, events, files, flow, http, jobs, kv, log, messages, query, random, records, scripts,
    search, secrets, settings,
};

#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::fake::door::{
    calendars, clock, context, events, files, flow, http, jobs, kv, log, messages, query, random, records, scripts,
    search, secrets, settings,
};
