//! The plugin on the fake host: what takes more than the ledger.

mod folding;
mod shop;
mod unfolding;
