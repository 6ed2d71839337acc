//! The contract in Rust, generated from `sdk/wit`.

#![expect(
    unsafe_code,
    clippy::pedantic,
    reason = "generated: the documentation is in rapport.wit, and the calls across the border are raw by nature"
)]

wit_bindgen::generate!({
    path: "../../sdk/wit/0.1",
    world: "interpreter",
});

use crate::Interpreter;

export!(Interpreter with_types_in self);
