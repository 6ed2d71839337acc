//! The project's own tasks: `cargo xtask test`, `cargo xtask demo`, `cargo xtask bench`.
//!
//! Owns the gate that every change passes, the demo, and the figures of the README. It is a user like any other: it starts the
//! binary and talks HTTP, and links none of the product's crates.

#[cfg(feature = "bench")]
mod bench;
mod demo;
mod gate;
mod http;
mod layers;
mod rules;
mod server;
mod source;
mod table;
mod tools;
mod workspace;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask TASK

  test [--fast]                the gate: format, rules, layers, licences, clippy, documentation, all tests on both databases
                               (--fast: without documentation, licences and slow tests; RAPPORT_SLOW=1: long kill loops and fuzzing)
  demo [--once] [--data DIR]   loads a year of real orders through the API and shows what a script and a plugin made of them
                               (--once: exit after the table; --data: instead of data/demo)
  bench [NAME...]              the figures of the README, each beside its floor (names: see `bench --list`)
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (task, rest) = arguments.split_first().map_or(("help", &[][..]), |(task, rest)| (task.as_str(), rest));
    let done = match task {
        "test" => gate::Options::parse(rest).and_then(gate::run),
        "demo" => demo::Options::parse(rest).and_then(|options| demo::run(&options)),
        "bench" => bench(rest),
        #[cfg(feature = "bench")]
        helper if helper.starts_with("bench-") => bench::helper(helper, rest),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        other => Err(anyhow::anyhow!("there is no task `{other}`\n\n{HELP}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nxtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(feature = "bench")]
fn bench(arguments: &[String]) -> anyhow::Result<()> {
    bench::run(arguments)
}

/// Builds this program again as the bench needs it, in release mode and with the floors, and hands over.
#[cfg(not(feature = "bench"))]
fn bench(arguments: &[String]) -> anyhow::Result<()> {
    let mut built = workspace::cargo();
    built.args(["run", "--quiet", "--release", "--package", "xtask", "--features", "bench", "--", "bench"]);
    workspace::run(built.args(arguments))
}
