//! The contract in Rust, generated from `sdk/wit`; plugins use it through the crate's own functions.

#![expect(missing_docs, clippy::pedantic, reason = "generated: the documentation is in rapport.wit")]

wit_bindgen::generate!({
    path: "../wit/0.1",
    world: "plugin",
    pub_export_macro: true,
    export_macro_name: "export_component",
    default_bindings_module: "rapport_sdk::bindings",
});
