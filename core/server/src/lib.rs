//! HTTP, the command line and configuration: the edges of Rapport.
//!
//! The server authenticates, reads requests and writes answers; every decision about rights and data is the engine's.
//! [`app::App`] is the one place that puts store, sandbox and engine together.

pub mod app;
pub mod cli;
pub mod client;
pub mod cloud_events;
pub mod config;
pub mod digest_file;
pub mod http;
pub mod listener;
pub mod loader;
pub mod ndjson;
pub mod openapi;
pub mod outbound;
pub mod output;
pub mod problem;
pub mod secret_file;
pub mod strict_json;
