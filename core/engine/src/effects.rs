//! Effects: what leaves the database. Rows written with the slice that asked for them, carried out after its commit.

pub(crate) mod transport;
