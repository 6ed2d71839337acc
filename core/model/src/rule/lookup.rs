//! Where rules find values: in a record, in a change of a record, in an event.

use std::sync::Arc;

use super::Lookup;
use super::tree::Base;
use crate::event::{Fields, RecordChange};
use crate::name::Name;
use crate::record::Record;
use crate::value::Value;

/// Records that own reference fields refer to, by the name of the field. One that is not there reads as all null.
pub type Referenced = [(Name, Arc<Record>)];

/// For a rule in the scope of a record.
#[derive(Debug, Clone, Copy)]
pub struct RecordLookup<'a> {
    /// The record.
    pub record: &'a Record,
    /// What it refers to, as far as the rule reads it.
    pub referenced: &'a Referenced,
}

/// For a rule in the scope of a change.
#[derive(Debug, Clone, Copy)]
pub struct ChangeLookup<'a> {
    /// The record after the change; for a deletion, before it.
    pub record: &'a Record,
    /// What changed.
    pub change: &'a RecordChange,
    /// What happened.
    pub kind: crate::name::RecordEventKind,
    /// What the record refers to, as far as the rule reads it.
    pub referenced: &'a Referenced,
}

/// For a rule in the scope of a declared event.
#[derive(Debug, Clone, Copy)]
pub struct EventLookup<'a> {
    /// The event's data.
    pub data: &'a Fields,
    /// The record that it is about.
    pub subject: Option<&'a Record>,
    /// What the data refer to, as far as the rule reads it.
    pub referenced: &'a Referenced,
}

fn of_record(record: &Record, name: &Name) -> Value {
    record.system(name.as_str()).unwrap_or_else(|| record.get(name.as_str()).clone())
}

fn of_referenced(referenced: &Referenced, via: &Name, name: &Name) -> Value {
    let found = referenced.iter().find(|(field, _)| field == via);
    found.map_or(Value::Null, |(_, record)| of_record(record, name))
}

fn of_fields(fields: &Fields, name: &Name) -> Option<Value> {
    fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.clone())
}

impl Lookup for RecordLookup<'_> {
    fn field(&self, name: &Name) -> Value {
        of_record(self.record, name)
    }

    fn other(&self, base: &Base, name: &Name) -> Value {
        match base {
            Base::Own => self.field(name),
            Base::Through(via) => of_referenced(self.referenced, via, name),
            Base::Before | Base::After | Base::Subject => Value::Null,
        }
    }
}

impl ChangeLookup<'_> {
    fn before(&self, name: &Name) -> Value {
        use crate::name::RecordEventKind::Created;
        if self.kind == Created {
            return Value::Null;
        }
        of_fields(&self.change.before, name).unwrap_or_else(|| {
            let added = self.change.after.iter().any(|(field, _)| field == name);
            if added { Value::Null } else { of_record(self.record, name) }
        })
    }

    fn after(&self, name: &Name) -> Value {
        use crate::name::RecordEventKind::Deleted;
        if self.kind == Deleted {
            return Value::Null;
        }
        of_fields(&self.change.after, name).unwrap_or_else(|| of_record(self.record, name))
    }
}

impl Lookup for ChangeLookup<'_> {
    fn field(&self, name: &Name) -> Value {
        of_record(self.record, name)
    }

    fn other(&self, base: &Base, name: &Name) -> Value {
        match base {
            Base::Own => self.field(name),
            Base::Before => self.before(name),
            Base::After => self.after(name),
            Base::Through(via) => of_referenced(self.referenced, via, name),
            Base::Subject => Value::Null,
        }
    }
}

impl Lookup for EventLookup<'_> {
    fn field(&self, name: &Name) -> Value {
        of_fields(self.data, name).unwrap_or_default()
    }

    fn other(&self, base: &Base, name: &Name) -> Value {
        match base {
            Base::Own => self.field(name),
            Base::Subject => self.subject.map_or(Value::Null, |record| of_record(record, name)),
            Base::Through(via) => of_referenced(self.referenced, via, name),
            Base::Before | Base::After => Value::Null,
        }
    }
}
