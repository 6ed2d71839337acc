//! Start: from the process to its first answer with a warm cache, and the memory that it holds when nothing happens.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::figure::Figure;
use super::lab::{Lab, Place, resident_bytes};
use super::ratio;

/// Starts that are measured, after the first, which fills the cache.
const STARTS: usize = 5;

/// Measures it; the worst of several starts counts.
///
/// # Errors
/// If a server does not start.
pub(crate) fn run(binary: &Path) -> Result<Vec<Figure>> {
    let lab = Lab::new(binary, "start")?;
    let cold = lab.shop("data", Place::default())?;
    let first = cold.ready_after;
    cold.stop()?;
    let mut worst = Duration::ZERO;
    let mut memory = 0;
    for _ in 0..STARTS {
        let server = lab.serve("data", Place::default())?;
        worst = worst.max(server.ready_after);
        std::thread::sleep(Duration::from_secs(1));
        memory = memory.max(resident_bytes(server.id())?);
        server.stop()?;
    }
    Ok(vec![
        Figure::new("start: to the first answer, warm cache", worst.as_secs_f64(), "s").under(0.5),
        Figure::new("start: the very first, which compiles the interpreter", first.as_secs_f64(), "s"),
        Figure::new("start: memory when idle", ratio(memory, 1 << 20), "MB").under(80.0),
    ])
}
