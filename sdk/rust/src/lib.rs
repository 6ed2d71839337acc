//! Write plugins for Rapport in Rust.
//!
//! A plugin is a type that implements one trait for each role that it has ([`OnEvent`], [`OnSchedule`], [`OnAction`], [`OnRequest`],
//! [`Validator`], [`Compensator`], [`Migrator`]), a library compiled for `wasm32-wasip2`, and a `plugin.toml` that says what starts
//! it and what it may do. It asks the host for everything else: [`records`], [`query`], [`events`], [`flow`], [`http`], [`messages`],
//! [`kv`], [`files`], [`search`], [`calendars`], [`settings`], [`secrets`], [`scripts`], [`jobs`], [`context`], [`log`], [`clock`], [`random`]; [`route`] and [`html`] answer requests. What it writes is kept if it
//! returns `Ok`, all of it or nothing.
//!
//! ```
//! use rapport_sdk::{Error, Event, Fields, OnEvent, records};
//!
//! /// Greets new customers. Its manifest has the trigger `customer.created` and the right `customer.notes:write`.
//! struct Greeter;
//!
//! impl OnEvent for Greeter {
//!     fn on_event(event: Event) -> Result<(), Error> {
//!         let customer = event.subject_record()?;
//!         let name = customer.text("name")?.unwrap_or_else(|| "stranger".into());
//!         records::update(&customer.reference(), &Fields::new().with("notes", format!("Welcome, {name}")))
//!     }
//! }
//!
//! rapport_sdk::export!(Greeter: on_event);
//! # fn main() {}
//! ```
//!
//! Logic is tested natively, with plain `cargo test`, against [`fake`].

pub mod bindings;
pub mod calendars;
pub mod clock;
pub mod context;
mod door;
mod error;
pub mod events;
mod export;
#[cfg(not(target_family = "wasm"))]
pub mod fake;
pub mod files;
pub mod flow;
pub mod html;
pub mod http;
pub mod jobs;
pub mod kv;
pub mod log;
pub mod messages;
pub mod query;
pub mod random;
mod record;
pub mod records;
mod roles;
pub mod route;
pub mod scripts;
pub mod search;
pub mod secrets;
pub mod settings;
mod value;

pub use error::Error;
pub use record::{Event, Record};
pub use roles::{
    Call, Change, Compensator, Migrator, OnAction, OnEvent, OnRequest, OnSchedule, Refusal, Step, Undone, Validator,
};
pub use rust_decimal::Decimal;
pub use serde_json::Value as Json;
pub use value::{Fields, Reference, Timestamp, Value, WrongKind};
