//! What tests need from outside: a PostgreSQL of their own.

pub mod pg;
