//! What authors of Rapport plugins in Rust depend on.
//!
//! A plugin is a type that implements [`Plugin`], exported once:
//! ```
//! use rapport_sdk::{Declaration, Error, Event, Plugin, records};
//!
//! struct Welcome;
//!
//! impl Plugin for Welcome {
//!     fn declare() -> Declaration {
//!         Declaration::new("Notes who is new").on("customer.created").uses("customer.notes:write")
//!     }
//!
//!     fn handle(event: Event) -> Result<(), Error> {
//!         let Some(customer) = event.record else { return Ok(()) };
//!         records::update("customer", &customer.id, &[("notes", "new".into())])
//!     }
//! }
//!
//! rapport_sdk::export!(Welcome);
//! # fn main() {}
//! ```
//! Build it for `wasm32-wasip2` with `rapport plugin build`. On any other target the host calls go to [`fake`], an
//! in-memory host, so that a plugin's logic is tested with plain `cargo test`.
//!
//! Everything that a plugin wrote in one call is kept together, or not at all if [`Plugin::handle`] returns an error, if it
//! panics, or if it passes a limit. A plugin has a fresh instance for each event: statics do not survive.

pub mod bindings;
mod declaration;
#[cfg(not(target_arch = "wasm32"))]
pub mod fake;
mod host;
mod value;

pub use bindings::rapport::plugin::log::Level;
pub use bindings::rapport::plugin::records::Page;
pub use bindings::rapport::plugin::trigger::Event;
pub use bindings::rapport::plugin::types::{Error, Field, RecordData as Record, Value};
pub use declaration::Declaration;

/// What a plugin is.
pub trait Plugin {
    /// What the plugin handles and what it does: never more than its `plugin.toml` asks for.
    fn declare() -> Declaration;

    /// Handles one event that the plugin's triggers matched.
    ///
    /// # Errors
    /// An error fails the run: nothing that it wrote is kept. If the error is retryable, the run is tried again.
    fn handle(event: Event) -> Result<(), Error>;
}

/// Reads and writes records. A key is an id, or `field:value` of a unique field.
///
/// Each call needs the right that it names in the plugin's manifest; one that is not granted ends the run.
pub mod records {
    use crate::{Error, Page, Record, Value, host};

    /// The record of `object` that `key` names. Needs `OBJECT:read`.
    ///
    /// # Errors
    /// `unknown_object`, `unknown_field` or `invalid` for what does not exist.
    pub fn get(object: &str, key: &str) -> Result<Option<Record>, Error> {
        host::get(object, key)
    }

    /// One page of the records for which the rule `filter` holds (empty: all). Needs `OBJECT:read`.
    ///
    /// # Errors
    /// `invalid_rule` naming the place.
    pub fn find(object: &str, filter: &str, params: &[(&str, Value)], page: &Page) -> Result<Vec<Record>, Error> {
        host::find(object, filter, params, page)
    }

    /// How many records the rule `filter` holds for (empty: all). Needs `OBJECT:read`.
    ///
    /// # Errors
    /// `invalid_rule` naming the place.
    pub fn count(object: &str, filter: &str, params: &[(&str, Value)]) -> Result<u64, Error> {
        host::count(object, filter, params)
    }

    /// Creates a record. Needs `OBJECT:create`.
    ///
    /// # Errors
    /// `invalid` or `unknown_field` naming the field.
    pub fn create(object: &str, fields: &[(&str, Value)]) -> Result<Record, Error> {
        host::create(object, fields)
    }

    /// Changes fields of a record. Needs `OBJECT.FIELD:write` for each.
    ///
    /// # Errors
    /// `not_found`; `invalid` or `unknown_field` naming the field.
    pub fn update(object: &str, key: &str, fields: &[(&str, Value)]) -> Result<(), Error> {
        host::update(object, key, fields)
    }

    /// Adds `delta` to a number, whatever others do to it meanwhile; null counts as 0. Needs `OBJECT.FIELD:write`.
    ///
    /// # Errors
    /// `not_found`; `invalid` if the field holds no number or the sum leaves its range.
    pub fn increment(object: &str, key: &str, field: &str, delta: impl Into<Value>) -> Result<(), Error> {
        host::increment(object, key, field, &delta.into())
    }

    /// Updates the record whose unique field `by` has the value given in `fields`, or creates it.
    ///
    /// # Errors
    /// `invalid` or `unknown_field` naming the field.
    pub fn upsert(object: &str, by: &str, fields: &[(&str, Value)]) -> Result<Record, Error> {
        host::upsert(object, by, fields)
    }

    /// Deletes a record; false if there was none. Needs `OBJECT:delete`.
    ///
    /// # Errors
    /// `invalid` for a key that names nothing.
    pub fn delete(object: &str, key: &str) -> Result<bool, Error> {
        host::delete(object, key)
    }
}

/// Reports an event of a declared type about `subject` (`object/key`, or empty). Needs `emit:TYPE`.
///
/// # Errors
/// `unknown_event_type`; `not_found` for the subject; `invalid` naming the field.
pub fn emit(kind: &str, subject: &str, data: &[(&str, Value)]) -> Result<(), Error> {
    host::emit(kind, subject, data)
}

/// Writes a line to the run's trace.
pub fn log(level: Level, message: &str) {
    host::log(level, message);
}

/// The instant of this run, in microseconds since 1970: the same at every call.
#[must_use]
pub fn now_micros() -> i64 {
    host::now()
}

/// Random bytes from the run's seed: the same when the run is tried again. 4,096 at most.
#[must_use]
pub fn random_bytes(count: u32) -> Vec<u8> {
    host::random(count)
}

/// The value of a declared setting.
///
/// # Errors
/// `unknown_setting`, with the nearest name.
pub fn setting(name: &str) -> Result<Value, Error> {
    host::setting(name)
}

/// Exports a [`Plugin`] as the component's. Once per crate.
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Component;

            impl $crate::bindings::Guest for Component {
                fn declare() -> ::std::string::String {
                    <$plugin as $crate::Plugin>::declare().to_json()
                }

                fn handle(event: $crate::Event) -> ::std::result::Result<(), $crate::Error> {
                    <$plugin as $crate::Plugin>::handle(event)
                }
            }

    $crate::bindings::export_component!(Component with_types_in $crate::bindings);
        };
    };
}
