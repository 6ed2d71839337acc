//! The binary `rapport`.

use std::process::ExitCode;

/// A third of an event's cost was the system's allocator; this one costs half as much.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    rapport_server::cli::main()
}
