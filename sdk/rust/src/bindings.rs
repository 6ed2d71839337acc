//! The contract in Rust, generated from `sdk/wit`. Plugins use the typed interface of this crate instead; the macro
//! [`export!`](crate::export) reaches in here.

#![expect(
    missing_docs,
    clippy::pedantic,
    reason = "generated: the documentation is in rapport.wit, and the calls across the border are raw by nature"
)]

wit_bindgen::generate!({
    path: "../wit/0.1",
    world: "plugin",
    pub_export_macro: true,
    export_macro_name: "export_bindings",
    default_bindings_module: "rapport_sdk::bindings",
});
