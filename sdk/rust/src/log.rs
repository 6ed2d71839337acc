//! Writes to the run's trace.

use crate::door::log::{Level, write};

/// For the author.
pub fn debug(message: &str) {
    write(Level::Debug, message);
}

/// Worth keeping.
pub fn info(message: &str) {
    write(Level::Info, message);
}

/// Something odd.
pub fn warn(message: &str) {
    write(Level::Warn, message);
}

/// Something wrong.
pub fn error(message: &str) {
    write(Level::Error, message);
}
