//! Relations: who has to do with whom. A record of the standard object `relation` leads from a customer or a company to one.

use crate::record::Record;
use crate::schema::Origin;

/// The object.
pub const OBJECT: &str = "relation";
/// The objects that relations lead from and to.
pub const ENDS: [&str; 2] = ["customer", "company"];
/// The fields that say where a relation comes from, in the order of [`ENDS`].
pub const FROM: [&str; 2] = ["from_customer", "from_company"];
/// The fields that say where it leads, in the order of [`ENDS`].
pub const TO: [&str; 2] = ["to_customer", "to_company"];

/// The kind that says that two customers are not one, however much alike they are.
pub const DISTINCT: &str = "distinct";

/// A relation that does not have one beginning and one end: the field that is missing or too many, and what to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The field.
    pub field: &'static str,
    /// What to write.
    pub why: &'static str,
}

/// What is wrong with the ends of `record`, if it is a relation.
#[must_use]
pub fn fault(record: &Record) -> Option<Fault> {
    if record.object.name.as_str() != OBJECT || record.object.origin != Origin::Standard {
        return None;
    }
    let filled = |fields: [&str; 2]| fields.into_iter().filter(|field| !record.get(field).is_null()).count();
    if filled(FROM) != 1 {
        let why = "a relation comes from one customer or one company: write either `from_customer` or `from_company`";
        return Some(Fault { field: FROM[0], why });
    }
    if filled(TO) != 1 {
        let why = "a relation leads to one customer or one company: write either `to_customer` or `to_company`";
        return Some(Fault { field: TO[0], why });
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::id::RecordId;
    use crate::image;
    use crate::name::Name;
    use crate::record::Change;
    use crate::standard;
    use crate::time::Timestamp;
    use crate::value::Value;

    fn made(ends: &[&str]) -> Result<Record, image::Unfit> {
        let object = standard::objects().into_iter().find(|o| o.name.as_str() == OBJECT).unwrap();
        let name = |text: &str| Name::new(text).unwrap();
        let id = RecordId::from_parts(0, [1; 10]);
        let mut changes = vec![(name("kind"), Change::Set(Value::text("owner")))];
        changes.extend(ends.iter().map(|field| (name(field), Change::Set(Value::Ref(id)))));
        image::created(&Arc::new(object), id, Timestamp::EPOCH, &changes)
    }

    #[test]
    fn a_relation_has_one_beginning_and_one_end() {
        assert!(made(&["from_customer", "to_company"]).is_ok() && made(&["from_company", "to_company"]).is_ok());
        for (ends, field) in [
            (&[][..], "from_customer"),
            (&["from_customer"][..], "to_customer"),
            (&["to_customer"][..], "from_customer"),
            (&["from_customer", "from_company", "to_customer"][..], "from_customer"),
            (&["from_customer", "to_customer", "to_company"][..], "to_customer"),
        ] {
            let error = made(ends).unwrap_err();
            assert!(error.to_string().starts_with(&format!("`{field}`: a relation")), "{error}");
        }
    }

    #[test]
    fn a_change_cannot_take_an_end_away() {
        let record = made(&["from_customer", "to_company"]).unwrap();
        let gone = [(Name::new("to_company").unwrap(), Change::Set(Value::Null))];
        assert!(image::changed(&record, Timestamp::EPOCH, &gone).is_err());
    }
}
