//! What a plugin asks to use of the operator's limits: `[budgets]`.

use rapport_model::Budgets;
use toml::{Table, Value as Toml};

use super::table::{known_keys, whole};

pub(super) fn read(table: &Table) -> Result<Budgets, String> {
    let budgets = match table.get("budgets") {
        None => return Ok(Budgets::default()),
        Some(Toml::Table(budgets)) => budgets,
        Some(_) => return Err("`budgets` is a table: write `[budgets]` and lines such as `fuel = 20000000`".into()),
    };
    known_keys(budgets, &["fuel", "memory_bytes", "wall_ms", "host_calls", "kv_bytes"], "[budgets]: ")?;
    let number = |key| {
        let most = i64::MAX.unsigned_abs();
        whole(budgets, key, 1..=most).map_err(|e| format!("[budgets]: {e}"))
    };
    Ok(Budgets {
        fuel: number("fuel")?,
        memory_bytes: number("memory_bytes")?,
        wall_ms: number("wall_ms")?,
        host_calls: number("host_calls")?,
        kv_bytes: number("kv_bytes")?,
    })
}
