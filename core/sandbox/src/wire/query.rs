//! Bulk reads, and what a plugin keeps for itself, as they pass the border.

use wasmtime::component::{ComponentType, Lift, Lower};

use super::{FIELD_BYTES, InField, OutValue, in_bytes, into_fields};
use crate::host::{Grouping, KvEntry, Measure, Selection, Table};

/// What a guest selects.
#[derive(Debug, Clone, ComponentType, Lift)]
#[component(record)]
pub(crate) struct InSelection {
    object: String,
    fields: Vec<String>,
    #[component(name = "where")]
    filter: String,
    params: Vec<InField>,
    order: String,
    limit: u32,
    cursor: String,
}

impl InSelection {
    /// The bytes that it costs the host.
    pub(crate) fn bytes(&self) -> usize {
        let texts = self.object.len() + self.filter.len() + self.order.len() + self.cursor.len();
        texts + names_bytes(&self.fields) + in_bytes(&self.params)
    }

    /// The selection, its parameters checked.
    ///
    /// # Errors
    /// A text that names the parameter and what is wrong with it.
    pub(crate) fn checked(self) -> Result<Selection, String> {
        let Self { object, fields, filter, params, order, limit, cursor } = self;
        Ok(Selection { object, fields, filter, params: into_fields(params)?, order, limit, cursor })
    }
}

/// What is measured of a group.
#[derive(Debug, Clone, ComponentType, Lift)]
#[component(record)]
pub(crate) struct InMeasure {
    kind: String,
    field: String,
}

/// What a guest groups.
#[derive(Debug, Clone, ComponentType, Lift)]
#[component(record)]
pub(crate) struct InGrouping {
    object: String,
    #[component(name = "where")]
    filter: String,
    params: Vec<InField>,
    #[component(name = "group-by")]
    group_by: Vec<String>,
    measures: Vec<InMeasure>,
}

impl InGrouping {
    /// The bytes that it costs the host.
    pub(crate) fn bytes(&self) -> usize {
        let measures: usize = self.measures.iter().map(|m| FIELD_BYTES + m.kind.len() + m.field.len()).sum();
        self.object.len() + self.filter.len() + names_bytes(&self.group_by) + in_bytes(&self.params) + measures
    }

    /// The grouping, its parameters checked.
    ///
    /// # Errors
    /// A text that names the parameter and what is wrong with it.
    pub(crate) fn checked(self) -> Result<Grouping, String> {
        let Self { object, filter, params, group_by, measures } = self;
        let measures = measures.into_iter().map(|InMeasure { kind, field }| Measure { kind, field }).collect();
        Ok(Grouping { object, filter, params: into_fields(params)?, group_by, measures })
    }
}

fn names_bytes(names: &[String]) -> usize {
    names.iter().map(|name| FIELD_BYTES + name.len()).sum()
}

/// Rows on their way to a guest.
#[derive(Debug, Clone, ComponentType, Lower)]
#[component(record)]
pub(crate) struct OutRows {
    rows: Vec<Vec<OutValue>>,
    next: Option<String>,
}

impl From<Table> for OutRows {
    fn from(Table { rows, objects, next }: Table) -> Self {
        Self { rows: out_rows(&rows, &objects), next }
    }
}

impl OutRows {
    /// The bytes that they cost a guest.
    pub(crate) fn bytes(&self) -> usize {
        rows_bytes(&self.rows) + self.next.as_ref().map_or(0, String::len)
    }
}

/// The values of rows; references know their column's object.
pub(crate) fn out_rows(
    rows: &[Vec<rapport_model::Value>],
    objects: &[Option<rapport_model::Name>],
) -> Vec<Vec<OutValue>> {
    let object = |column: usize| objects.get(column).and_then(Option::as_ref).map(rapport_model::Name::as_str);
    rows.iter().map(|row| row.iter().enumerate().map(|(i, value)| OutValue::new(value, object(i))).collect()).collect()
}

/// The bytes that rows cost a guest.
pub(crate) fn rows_bytes(rows: &[Vec<OutValue>]) -> usize {
    rows.iter().flatten().map(|value| FIELD_BYTES + value.bytes()).sum()
}

/// What a plugin keeps under a key, on its way to it.
#[derive(Debug, Clone, ComponentType, Lower)]
#[component(record)]
pub(crate) struct OutEntry {
    key: String,
    value: Vec<u8>,
}

impl From<KvEntry> for OutEntry {
    fn from(KvEntry { key, value }: KvEntry) -> Self {
        Self { key, value }
    }
}

impl OutEntry {
    /// The bytes that it costs a guest.
    pub(crate) const fn bytes(&self) -> usize {
        FIELD_BYTES + self.key.len() + self.value.len()
    }
}
