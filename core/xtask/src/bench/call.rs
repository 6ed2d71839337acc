//! Call: what a script call and a plugin call cost beyond the database, measured by criterion in the crates themselves.

use anyhow::{Result, bail};

use super::figure::Figure;
use crate::workspace::{cargo, output};

/// The crates that have such benches.
const CRATES: [&str; 2] = ["rapport-sandbox", "rapport-engine"];

/// Runs the benches whose name says that they are calls.
///
/// # Errors
/// If a bench fails, or none tells a time.
pub(crate) fn run() -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for name in CRATES {
        let manifest =
            crate::workspace::root().join("core").join(name.trim_start_matches("rapport-")).join("benches/call.rs");
        if manifest.exists() {
            let text = output(cargo().args(["bench", "--package", name, "--bench", "call"]))?;
            figures.extend(times(&text).into_iter().map(|(bench, micros)| figure(&bench, micros)));
        }
    }
    if figures.is_empty() {
        bail!("no bench told a time");
    }
    Ok(figures)
}

fn figure(bench: &str, micros: f64) -> Figure {
    let figure = Figure::new(format!("call: {bench}"), micros, "µs");
    if bench.contains("script") {
        figure.under(15.0)
    } else if bench.contains("plugin") {
        figure.under(60.0)
    } else {
        figure
    }
}

/// The middle estimates in what criterion prints, in microseconds.
fn times(text: &str) -> Vec<(String, f64)> {
    let mut found = Vec::new();
    let mut last = "";
    for line in text.lines() {
        let Some((name, rest)) = line.split_once("time:") else {
            if !line.starts_with(' ') && !line.is_empty() {
                last = line;
            }
            continue;
        };
        let name = if name.trim().is_empty() { last } else { name.trim() };
        let words: Vec<&str> = rest.trim().trim_matches(['[', ']']).split_whitespace().collect();
        let unit = match words.get(3) {
            Some(&"ns") => 1e-3,
            Some(&"µs" | &"us") => 1.0,
            Some(&"ms") => 1e3,
            _ => continue,
        };
        found.extend(words[2].parse::<f64>().map(|value| (name.trim().to_owned(), value * unit)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_from_what_criterion_prints() {
        let text = "points script           time:   [8.5012 µs 8.6001 µs 8.7 µs]\n  change: [-1% +0% +1%]\n\
            a name that is too long for the line\n                        time:   [1.0 ms 2.0 ms 3.0 ms]\n";
        let want = [("points script".to_owned(), 8.6001), ("a name that is too long for the line".to_owned(), 2_000.0)];
        assert_eq!(times(text), want);
    }
}
