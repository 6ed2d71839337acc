//! What a package is: the same bytes everywhere, whole or refused, and whose it is.

#[cfg(test)]
#[path = "package/archive.rs"]
mod archive;
#[cfg(test)]
#[path = "package/fuzz.rs"]
mod fuzz;
