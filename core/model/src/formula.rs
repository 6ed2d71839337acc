//! Formulas: values of a record that a rule expression computes when the record is read.
//!
//! A formula has no column. In rules its expression stands in the place of its name, so that filters, triggers and SQL simply work; where a
//! record is shown, [`shown`] computes it. It reads the record's own fields, roll-ups, other formulas, and the clock.

use std::sync::Arc;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::limits::{FORMULA_NODES_MAX, RULE_DEPTH_MAX};
use crate::name::Name;
use crate::record::{Record, SYSTEM_FIELDS};
use crate::rule::lookup::RecordLookup;
use crate::rule::tree::{Datum, Term};
use crate::rule::{self, Env, Params};
use crate::schema::{FieldKind, ObjectDef, Schema};
use crate::time::Timestamp;
use crate::value::{INTEGER_MAX, Value};

/// A formula of an object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FormulaDef {
    /// Its name, which no field has.
    pub name: Name,
    /// What it gives.
    #[serde(flatten)]
    pub kind: FieldKind,
    /// A rule expression over the record.
    pub expression: String,
    /// The expression, ready to be computed: see [`settle`].
    #[serde(skip)]
    pub term: Option<Arc<Term>>,
}

impl Eq for FormulaDef {}

/// A formula as an author declares it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FormulaDeclaration {
    /// The object that gets it.
    pub object: Name,
    /// Its name.
    pub name: Name,
    /// A rule expression over its records.
    pub expression: String,
}

impl FormulaDef {
    /// Reads `expression` as a formula of `object`.
    ///
    /// # Errors
    /// What stands against it, and what to write instead.
    pub fn read(name: &Name, expression: &str, object: &Arc<ObjectDef>, schema: &Schema) -> Result<Self, String> {
        let what = format!("the formula `{}.{name}`", object.name);
        let taken = object.position(name.as_str()).is_some() || SYSTEM_FIELDS.contains(&name.as_str());
        if taken {
            return Err(format!("{what} cannot be: `{name}` is a field: choose another name"));
        }
        let (term, kind) = rule::expression(expression, object, schema).map_err(|error| format!("{what}: {error}"))?;
        if let Some(reference) = term.first_reference() {
            return Err(format!(
                "{what} reads `{reference}` of another record: it may read fields, roll-ups and formulas of `{}` alone; a filter may \
                 look one reference away itself",
                object.name
            ));
        }
        let (nodes, depth) = term.extent();
        if nodes > FORMULA_NODES_MAX || depth > RULE_DEPTH_MAX {
            return Err(format!(
                "{what} is too large with all formulas that it reads: {FORMULA_NODES_MAX} names, values and \
                                operators, {RULE_DEPTH_MAX} deep, at most"
            ));
        }
        Ok(Self { name: name.clone(), kind, expression: expression.to_owned(), term: Some(Arc::new(term)) })
    }

    /// What it gives for `record` at `now`. Null too for what a field could not hold.
    #[must_use]
    pub fn value(&self, record: &Record, now: Timestamp) -> Value {
        let Some(term) = &self.term else { return Value::Null };
        let lookup = RecordLookup { record, referenced: &[] };
        let datum = rule::compute(term, &Env { now, lookup: &lookup, params: &Params::none() });
        match datum {
            Ok(Datum::Boolean(truth)) => Value::Bool(truth),
            Ok(Datum::Number(number)) if number.scale == 0 => {
                if number.units.unsigned_abs() <= INTEGER_MAX.unsigned_abs() {
                    Value::Int(number.units)
                } else {
                    Value::Null
                }
            }
            Ok(Datum::Number(number)) => Value::Decimal(Decimal::new(number.units, u32::from(number.scale))),
            Ok(Datum::Text(text)) => Value::Text(text),
            Ok(Datum::Date(date)) => Value::Date(date),
            Ok(Datum::Time(micros)) => Value::Time(Timestamp::from_micros(micros)),
            Ok(Datum::Reference(id)) => Value::Ref(id),
            Ok(Datum::Null | Datum::Json) | Err(_) => Value::Null,
        }
    }
}

/// Makes the formulas of `schema` ready to be computed, each after those that it reads.
pub fn settle(schema: &mut Schema) {
    let open: Vec<Arc<ObjectDef>> =
        schema.objects.values().filter(|object| object.formulas.iter().any(|f| f.term.is_none())).cloned().collect();
    for object in open {
        let mut settled = ObjectDef { formulas: Vec::new(), ..(*object).clone() };
        for formula in &object.formulas {
            let read = FormulaDef::read(&formula.name, &formula.expression, &Arc::new(settled.clone()), schema);
            settled.formulas.push(read.unwrap_or_else(|_| formula.clone()));
        }
        schema.objects.insert(object.name.clone(), Arc::new(settled));
    }
}

/// The record with the values of its formulas at `now`, to be shown: they stand after all its other values.
#[must_use]
pub fn shown(record: &Arc<Record>, now: Timestamp) -> Arc<Record> {
    let object = &record.object;
    if object.formulas.is_empty() {
        return record.clone();
    }
    let mut with = (**record).clone();
    for (place, formula) in (object.first_formula()..).zip(&object.formulas) {
        with.set_at(place, formula.value(record, now));
    }
    Arc::new(with)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::RecordId;
    use crate::schema::{FieldDef, Origin};

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn object() -> Arc<ObjectDef> {
        let field = |text: &str, kind| FieldDef::new(name(text), kind);
        let fields = vec![
            field("count", FieldKind::Integer),
            field("days", FieldKind::Integer),
            field("amount", FieldKind::Decimal { scale: 2 }),
            field("title", FieldKind::Text),
            field("at", FieldKind::Timestamp),
            field("owner", FieldKind::Reference { object: name("thing") }),
        ];
        Arc::new(ObjectDef::new(name("thing"), Origin::Custom, None, fields))
    }

    fn read(expression: &str) -> Result<FormulaDef, String> {
        let mut schema = Schema::default();
        schema.objects.insert(name("thing"), object());
        FormulaDef::read(&name("f"), expression, &object(), &schema)
    }

    fn value(expression: &str, values: Vec<Value>) -> Value {
        let (created_at, now) = (Timestamp::EPOCH, Timestamp::from_micros(10 * 86_400_000_000));
        let (id, object) = (RecordId::from_parts(0, [1; 10]), object());
        let record = Record { object, id, version: 1, created_at, updated_at: created_at, values };
        read(expression).unwrap().value(&record, now)
    }

    #[test]
    fn a_formula_computes_numbers_texts_truths_and_instants() {
        let values = || vec![Value::Int(7), Value::Int(2), Value::Decimal(Decimal::new(150, 2)), Value::text("Ab")];
        assert_eq!(value("count * 365 / days", values()), Value::Int(1277));
        assert_eq!(value("amount * 2", values()), Value::Decimal(Decimal::new(300, 2)));
        assert_eq!(value("lower(title)", values()), Value::text("ab"));
        assert_eq!(value("count > 3 && title == 'Ab'", values()), Value::Bool(true));
        assert_eq!(value("days_since(created_at)", values()), Value::Int(10));
        assert_eq!(
            value("created_at + duration(\"1d\")", values()),
            Value::Time(Timestamp::from_micros(86_400_000_000))
        );
    }

    #[test]
    fn null_division_by_zero_and_overflow_are_null() {
        assert_eq!(value("count * 365 / days", vec![Value::Int(7), Value::Int(0)]), Value::Null);
        assert_eq!(value("count * 365 / days", vec![Value::Int(7), Value::Null]), Value::Null);
        assert_eq!(value("count * count", vec![Value::Int(INTEGER_MAX)]), Value::Null);
    }

    #[test]
    fn what_cannot_be_a_formula_is_refused_with_what_to_write() {
        assert!(read("owner.count + 1").unwrap_err().contains("reads `owner.count` of another record"));
        assert!(read("cuont + 1").unwrap_err().contains("did you mean `count`"));
        assert!(read("owner").unwrap_err().contains("gives a reference"));
        let mut schema = Schema::default();
        schema.objects.insert(name("thing"), object());
        let taken = FormulaDef::read(&name("count"), "1", &object(), &schema).unwrap_err();
        assert!(taken.contains("`count` is a field"), "{taken}");
    }

    #[test]
    fn a_formula_reads_others_up_to_a_size() {
        let mut object = (*object()).clone();
        let mut schema = Schema::default();
        let mut last = "count".to_owned();
        let refused = (0..20).find_map(|n| {
            schema.objects.insert(name("thing"), Arc::new(object.clone()));
            let this = name(&format!("f{n}"));
            let read = FormulaDef::read(&this, &format!("{last} + {last}"), &Arc::new(object.clone()), &schema);
            last = this.to_string();
            read.map(|formula| object.formulas.push(formula)).err()
        });
        assert!(refused.unwrap().contains("is too large"));
        assert!(object.formulas.len() > 5);
    }
}
