//! Write plugins for Rapport in Rust.
//!
//! A plugin is a type that implements [`Plugin`], a library compiled for `wasm32-wasip2`, and a `plugin.toml` that says what it
//! may do. It is called with an [`Event`], and asks the host for everything else: [`records`], [`events`], [`flow`],
//! [`http`], [`messages`], [`settings`], [`log`], [`clock`], [`random`]. What it writes is kept if the handler returns `Ok`, all of it or nothing.
//!
//! ```
//! use rapport_sdk::{Declaration, Error, Event, Fields, Plugin, records};
//!
//! /// Greets new customers.
//! struct Greeter;
//!
//! impl Plugin for Greeter {
//!     fn declare() -> Declaration {
//!         Declaration::new("Greets new customers").on("customer.created").uses("customer.notes:write")
//!     }
//!
//!     fn handle(event: Event) -> Result<(), Error> {
//!         let customer = event.subject_record()?;
//!         let name = customer.text("name")?.unwrap_or_else(|| "stranger".into());
//!         records::update(&customer.reference(), &Fields::new().with("notes", format!("Welcome, {name}")))
//!     }
//! }
//!
//! rapport_sdk::export!(Greeter);
//! # fn main() {}
//! ```
//!
//! Logic is tested natively, with plain `cargo test`, against [`fake`].

pub mod bindings;
pub mod clock;
mod declaration;
mod door;
mod error;
pub mod events;
#[cfg(not(target_family = "wasm"))]
pub mod fake;
pub mod flow;
pub mod http;
pub mod log;
pub mod messages;
pub mod random;
mod record;
pub mod records;
pub mod settings;
mod value;

pub use declaration::Declaration;
pub use error::Error;
pub use record::{Event, Record};
pub use rust_decimal::Decimal;
pub use serde_json::Value as Json;
pub use value::{Fields, Reference, Timestamp, Value, WrongKind};

/// What a plugin does.
pub trait Plugin {
    /// What it wants. It may want less than its `plugin.toml` says, never more.
    fn declare() -> Declaration;

    /// Handles one event that its triggers matched.
    ///
    /// # Errors
    /// An error fails the slice: nothing that it wrote is kept. A retryable one is tried again later.
    fn handle(event: Event) -> Result<(), Error>;
}

/// Makes a type that implements [`Plugin`] the plugin of this library.
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        const _: () = {
            struct Component;

            impl $crate::bindings::Guest for Component {
                fn declare() -> ::std::string::String {
                    <$plugin as $crate::Plugin>::declare().to_json()
                }

                fn handle(
                    event: $crate::bindings::rapport::plugin::trigger::Event,
                ) -> ::std::result::Result<(), $crate::bindings::rapport::plugin::types::Error> {
                    <$plugin as $crate::Plugin>::handle(event.into()).map_err(::std::convert::Into::into)
                }
            }

    $crate::bindings::export_bindings!(Component with_types_in $crate::bindings);
        };
    };
}
