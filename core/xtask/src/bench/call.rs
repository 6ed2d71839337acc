//! Call: what a script call and a plugin call cost beyond the database, measured by criterion in the crates themselves.

use anyhow::{Result, bail};

use super::figure::Figure;
use crate::workspace::{cargo, output};

/// The rows of one pass of the engine's bench.
const ENGINE_ROWS: f64 = 500.0;
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
            let found = times(&text);
            let bare = found.iter().find(|(bench, _)| bench.starts_with("bare")).map(|(_, micros)| *micros);
            figures.extend(found.iter().filter_map(|(bench, micros)| sandbox_figure(bench, (*micros, bare))));
            figures.extend(engine_figures(&found));
        }
    }
    if figures.is_empty() {
        bail!("no bench told a time");
    }
    Ok(figures)
}

/// A call of the sandbox alone, with a host that does nothing. Checks are no calls.
fn sandbox_figure(bench: &str, (micros, bare): (f64, Option<f64>)) -> Option<Figure> {
    let figure = Figure::new(format!("call, sandbox alone: {bench}"), micros, "µs");
    match bench.split(':').next() {
        Some("script") if !bench.contains("check") => Some(figure.under(15.0)),
        // The floor is the same component in bare wasmtime.
        Some("plugin") => Some(match bare {
            Some(bare) => figure.floor(bare).under(60.0),
            None => figure.under(60.0),
        }),
        _ => None,
    }
}

/// What a run costs in the engine beyond the database: rows with an automation less the same rows without.
fn engine_figures(found: &[(String, f64)]) -> Vec<Figure> {
    let time =
        |what: &str| found.iter().find(|(bench, _)| bench == &format!("engine/{what}")).map(|(_, micros)| *micros);
    let run = |rows: &str, with: &str| {
        let each = (time(&format!("{rows} with {with}"))? - time(&format!("{rows} without automation"))?) / ENGINE_ROWS;
        Some(Figure::new(format!("call, through the engine: a run of {with}"), each, "µs"))
    };
    let overhead = run("orders", "an empty script").map(|figure| figure.under(15.0));
    let plugin = run("customers", "the plugin tiers").map(|figure| figure.under(60.0));
    [overhead, run("orders", "the points rule"), plugin].into_iter().flatten().collect()
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
    fn a_run_costs_what_rows_cost_more_with_it() {
        let found = [
            ("engine/orders without automation".to_owned(), 1_000.0),
            ("engine/orders with an empty script".to_owned(), 8_500.0),
        ];
        let figures = engine_figures(&found);
        assert_eq!((figures.len(), figures[0].ours), (1, 15.0));
        assert!(engine_figures(&found[1..]).is_empty());
    }

    #[test]
    fn times_are_read_from_what_criterion_prints() {
        let text = "points script           time:   [8.5012 µs 8.6001 µs 8.7 µs]\n  change: [-1% +0% +1%]\n\
            a name that is too long for the line\n                        time:   [1.0 ms 2.0 ms 3.0 ms]\n";
        let want = [("points script".to_owned(), 8.6001), ("a name that is too long for the line".to_owned(), 2_000.0)];
        assert_eq!(times(text), want);
    }
}
