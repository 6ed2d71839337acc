//! Budgets: what a plugin asks to use, within what the operator allows.

use serde::{Deserialize, Serialize};

use crate::limits::Limits;

/// What one slice of a plugin, and its own storage, may take up. What is not said is the operator's limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budgets {
    /// Fuel of one slice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fuel: Option<u64>,
    /// Bytes of linear memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Wall-clock milliseconds of one slice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall_ms: Option<u64>,
    /// Host calls of one slice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_calls: Option<u64>,
    /// Bytes that it keeps under its own keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_bytes: Option<u64>,
}

impl Budgets {
    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Each budget with its name and the operator's limit for it.
    fn against(&self, limits: &Limits) -> [(&'static str, Option<u64>, &'static str, u64); 5] {
        let bytes = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        [
            ("fuel", self.fuel, "slice_fuel_max", limits.slice_fuel_max),
            ("memory_bytes", self.memory_bytes, "slice_memory_bytes_max", bytes(limits.slice_memory_bytes_max)),
            ("wall_ms", self.wall_ms, "slice_wall_ms_max", limits.slice_wall_ms_max),
            ("host_calls", self.host_calls, "slice_host_calls_max", u64::from(limits.slice_host_calls_max)),
            ("kv_bytes", self.kv_bytes, "plugin_kv_bytes_max", bytes(limits.plugin_kv_bytes_max)),
        ]
    }

    /// What is asked for beyond what the operator allows, in words.
    #[must_use]
    pub fn beyond(&self, limits: &Limits) -> Vec<String> {
        let more = |(name, asked, limit, allowed): (&str, Option<u64>, &str, u64)| {
            let asked = asked.filter(|asked| *asked > allowed)?;
            Some(format!("[budgets] {name}: {asked} is more than the operator's `limits.{limit}` of {allowed}"))
        };
        self.against(limits).into_iter().filter_map(more).collect()
    }

    /// The operator's limits, lowered to what is asked for.
    #[must_use]
    pub fn within(&self, limits: &Limits) -> Limits {
        let size = |asked: Option<u64>, limit: usize| {
            asked.map_or(limit, |asked| limit.min(usize::try_from(asked).unwrap_or(usize::MAX)))
        };
        let calls = self.host_calls.map_or(limits.slice_host_calls_max, |asked| {
            limits.slice_host_calls_max.min(u32::try_from(asked).unwrap_or(u32::MAX))
        });
        Limits {
            slice_fuel_max: self.fuel.map_or(limits.slice_fuel_max, |asked| limits.slice_fuel_max.min(asked)),
            slice_memory_bytes_max: size(self.memory_bytes, limits.slice_memory_bytes_max),
            slice_wall_ms_max: self
                .wall_ms
                .map_or(limits.slice_wall_ms_max, |asked| limits.slice_wall_ms_max.min(asked)),
            slice_host_calls_max: calls,
            plugin_kv_bytes_max: size(self.kv_bytes, limits.plugin_kv_bytes_max),
            ..limits.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_lowers_a_limit_and_never_raises_one() {
        let limits = Limits::default();
        let asked = Budgets { fuel: Some(1_000), wall_ms: Some(10_000), ..Budgets::default() };
        let within = asked.within(&limits);
        assert_eq!((within.slice_fuel_max, within.slice_wall_ms_max), (1_000, limits.slice_wall_ms_max));
        assert_eq!(within.slice_memory_bytes_max, limits.slice_memory_bytes_max);
        assert_eq!(
            asked.beyond(&limits),
            ["[budgets] wall_ms: 10000 is more than the operator's `limits.slice_wall_ms_max` of 2000"]
        );
    }
}
