//! A measured figure beside its floor and its goal.

use crate::table;

/// One line of the table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Figure {
    /// What was measured.
    pub(crate) what: String,
    /// What we need or reach.
    pub(crate) ours: f64,
    /// What the same work by hand needs or reaches, in the same run.
    pub(crate) floor: Option<f64>,
    /// `events/s`, `µs`, `ms`, …
    pub(crate) unit: &'static str,
    /// What the issue asks for.
    pub(crate) goal: Option<Goal>,
}

/// What a figure shall be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Goal {
    AtLeast(f64),
    Under(f64),
}

impl Figure {
    pub(crate) fn new(what: impl Into<String>, ours: f64, unit: &'static str) -> Self {
        Self { what: what.into(), ours, floor: None, unit, goal: None }
    }

    pub(crate) const fn floor(mut self, floor: f64) -> Self {
        self.floor = Some(floor);
        self
    }

    pub(crate) const fn at_least(mut self, goal: f64) -> Self {
        self.goal = Some(Goal::AtLeast(goal));
        self
    }

    pub(crate) const fn under(mut self, goal: f64) -> Self {
        self.goal = Some(Goal::Under(goal));
        self
    }

    fn cells(&self) -> Vec<String> {
        let ratio = self.floor.filter(|f| *f > 0.0 && self.ours > 0.0).map(|floor| self.ours / floor);
        let goal = self.goal.map(|goal| match goal {
            Goal::AtLeast(least) => format!("≥ {} {}", shown(least), mark(self.ours >= least)),
            Goal::Under(most) => format!("< {} {}", shown(most), mark(self.ours < most)),
        });
        vec![
            self.what.clone(),
            format!("{} {}", shown(self.ours), self.unit),
            self.floor.map(|f| format!("{} {}", shown(f), self.unit)).unwrap_or_default(),
            ratio.map(|r| format!("{r:.2}")).unwrap_or_default(),
            goal.unwrap_or_default(),
        ]
    }
}

const fn mark(met: bool) -> &'static str {
    if met { "✓" } else { "✗" }
}

/// A figure with as many digits as it is good for.
fn shown(value: f64) -> String {
    if value >= 1_000.0 {
        let whole = format!("{value:.0}");
        return whole.parse().map_or(whole, table::number);
    }
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

/// The figures as a Markdown table.
pub(crate) fn markdown(figures: &[Figure]) -> String {
    let mut rows = vec![["figure", "ours", "floor", "ours / floor", "goal"].map(ToOwned::to_owned).to_vec()];
    rows.extend(figures.iter().map(Figure::cells));
    table::markdown(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_stands_beside_its_floor_and_goal() {
        let figure = Figure::new("bulk", 12_000.4, "events/s").floor(24_000.0).at_least(10_000.0);
        assert_eq!(figure.cells(), ["bulk", "12,000 events/s", "24,000 events/s", "0.50", "≥ 10,000 ✓"]);
        let figure = Figure::new("p99", 15.5, "ms").under(15.0);
        assert_eq!(figure.cells(), ["p99", "15.50 ms", "", "", "< 15.00 ✗"]);
    }
}
