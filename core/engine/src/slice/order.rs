//! The order of a query, as authors and callers write it.

use rapport_model::{Name, ObjectDef};
use rapport_store::Direction;

use crate::draft::known_field;
use crate::error::EngineError;

/// Reads `-amount,order_no` as an order; `id` alone is the default order.
pub(crate) fn read_order(object: &ObjectDef, text: &str) -> Result<Vec<(Name, Direction)>, EngineError> {
    let mut order = Vec::new();
    for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let (name, direction) = match part.strip_prefix('-') {
            Some(rest) => (rest, Direction::Descending),
            None => (part, Direction::Ascending),
        };
        let system = rapport_model::record::SYSTEM_FIELDS.contains(&name);
        let known = object.field(name);
        if !system && known.is_none() {
            known_field(object, name)?;
        }
        if known.is_some_and(|f| matches!(f.kind, rapport_model::FieldKind::Json | rapport_model::FieldKind::Tags)) {
            return Err(EngineError::invalid("/order", format!("`{name}` holds JSON, which has no order")));
        }
        order.push((Name::new(name).map_err(|e| EngineError::invalid("/order", e.to_string()))?, direction));
    }
    if matches!(order.as_slice(), [(name, Direction::Ascending)] if name.as_str() == "id") {
        order.clear();
    }
    Ok(order)
}
