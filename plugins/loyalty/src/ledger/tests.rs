//! The ledger against its rules: by hand, and against a model that keeps each point as an object.

mod folding;
mod memory;
mod naive;
mod property;
mod stories;
