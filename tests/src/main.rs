//! The binary `rapport` under another name, so that stories start the code as it is now.

use std::process::ExitCode;

fn main() -> ExitCode {
    rapport_server::cli::main()
}
