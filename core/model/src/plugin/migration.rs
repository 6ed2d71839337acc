//! The steps that carry a plugin's data from version to version, and which of them an upgrade takes.

use serde::{Deserialize, Serialize};

use crate::plugin::PluginVersion;

/// A step that carries a plugin's data from one version to a later one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MigrationDef {
    /// The version whose data it takes, which is also that of the later ones before `to`.
    pub from: PluginVersion,
    /// The version whose data it makes.
    pub to: PluginVersion,
    /// What it does, for the admin.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
}

/// Nothing says how the data of a version becomes that of a later one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no migration begins at {at} or before it and goes beyond it, and the next one takes data of {next}: upgrade to {next} first"
)]
pub struct MigrationGap {
    /// The version whose data there is.
    pub at: PluginVersion,
    /// Where the next step begins.
    pub next: PluginVersion,
}

/// The steps that data of the version `live` go through, in their order; none if they can stay as they are.
///
/// Data look as the last step at or before their version has left them: a step takes those of `from` and of every version between
/// `from` and `to`. Of several that take them the one that begins last goes.
///
/// # Errors
/// [`MigrationGap`] if later steps begin where no step has led.
pub fn chain(steps: &[MigrationDef], live: PluginVersion) -> Result<Vec<MigrationDef>, MigrationGap> {
    let (mut taken, mut at) = (Vec::new(), live);
    loop {
        let ahead = || steps.iter().filter(|step| step.to > at);
        let Some(next) = ahead().map(|step| step.from).min() else { return Ok(taken) };
        let fits = ahead().filter(|step| step.from <= at).max_by_key(|step| step.from);
        let step = fits.ok_or(MigrationGap { at, next })?;
        at = step.to;
        taken.push(step.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(all: &[(&str, &str)]) -> Vec<MigrationDef> {
        let version = |text: &str| text.parse().unwrap();
        all.iter()
            .map(|(from, to)| MigrationDef { from: version(from), to: version(to), title: String::new() })
            .collect()
    }

    fn taken(all: &[(&str, &str)], live: &str) -> String {
        match chain(&steps(all), live.parse().unwrap()) {
            Ok(taken) => taken.iter().map(|step| format!("{}-{}", step.from, step.to)).collect::<Vec<_>>().join(" "),
            Err(gap) => format!("gap at {} before {}", gap.at, gap.next),
        }
    }

    #[test]
    fn steps_follow_each_other_from_the_live_version() {
        let all = [("0.1.0", "0.2.0"), ("0.2.0", "0.3.0")];
        assert_eq!(taken(&all, "0.1.0"), "0.1.0-0.2.0 0.2.0-0.3.0");
        assert_eq!(taken(&all, "0.2.0"), "0.2.0-0.3.0");
        assert_eq!(taken(&all, "0.3.0"), "");
        assert_eq!(taken(&[], "0.1.0"), "");
    }

    #[test]
    fn a_version_between_two_has_the_data_of_the_one_before() {
        let all = [("0.1.0", "0.2.0"), ("0.2.0", "0.3.0")];
        assert_eq!(taken(&all, "0.1.7"), "0.1.0-0.2.0 0.2.0-0.3.0");
        assert_eq!(taken(&all, "0.2.1"), "0.2.0-0.3.0");
    }

    #[test]
    fn what_no_step_leads_to_is_a_gap() {
        assert_eq!(taken(&[("0.2.0", "0.3.0")], "0.1.0"), "gap at 0.1.0 before 0.2.0");
        assert_eq!(taken(&[("0.1.0", "0.2.0"), ("0.2.1", "0.3.0")], "0.1.0"), "gap at 0.2.0 before 0.2.1");
    }

    #[test]
    fn the_step_that_begins_last_goes() {
        let all = [("0.1.0", "0.3.0"), ("0.2.0", "0.3.0")];
        assert_eq!(taken(&all, "0.1.0"), "0.1.0-0.3.0");
        assert_eq!(taken(&all, "0.2.0"), "0.2.0-0.3.0");
    }
}
