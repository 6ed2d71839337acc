//! The progress of an import, on a terminal.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use indicatif::{ProgressBar, ProgressStyle};

use super::source::Source;
use crate::output::Output;

/// A bar on the standard error stream; nothing where no person looks.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    read: Arc<AtomicU64>,
}

impl Progress {
    pub(super) fn start(source: &Source, output: Output) -> Self {
        let (size, read) = source.extent();
        let wanted = std::io::stderr().is_terminal() && !output.is_json();
        Self { bar: wanted.then(|| bar(size)), read }
    }

    /// `rows` rows are done, `refused` of them refused.
    pub(super) fn at(&self, rows: u64, refused: u64) {
        let Some(bar) = &self.bar else { return };
        bar.set_position(self.read.load(Ordering::Relaxed));
        bar.set_message(format!("{rows} rows, {refused} refused"));
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(size: u64) -> ProgressBar {
    let bar = ProgressBar::new(size);
    if let Ok(style) = ProgressStyle::with_template("{elapsed_precise} {wide_bar} {percent:>3}%  {msg}") {
        bar.set_style(style);
    }
    bar
}
