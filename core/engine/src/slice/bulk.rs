//! Bulk reads of a slice: chosen fields page by page, and groups with what is measured of them. One query is one statement.

use std::sync::Arc;

use rapport_model::automation::Need;
use rapport_model::json::to_json;
use rapport_model::limits::PAGE_ROWS_MAX;
use rapport_model::record::SYSTEM_FIELDS;
use rapport_model::rule::{Params, Rule};
use rapport_model::{FieldKind, Name, ObjectDef, Record};
use rapport_sandbox::{Grouping, GuestFields, HostError, Selection, Table};
use rapport_store::{GroupQuery, Measure, RecordQuery};

use super::{Answer, SliceHost, read_order, refusal, store_failure};
use crate::draft::known_field;
use crate::page::{cursor, open_cursor};
use crate::records::{read_cursor, value_of};

/// What is read of an object.
struct Reading {
    object: Arc<ObjectDef>,
    rule: Option<Rule>,
    params: Params,
}

fn invalid(message: impl Into<String>) -> HostError {
    HostError::permanent("invalid", message)
}

/// The field or system field of that name.
fn named_field(object: &ObjectDef, name: &str) -> Answer<Name> {
    if SYSTEM_FIELDS.contains(&name) {
        return Name::new(name).map_err(|e| invalid(e.to_string()));
    }
    Ok(known_field(object, name).map_err(refusal)?.name.clone())
}

/// What a reference in this field refers to.
fn target(object: &ObjectDef, name: &Name) -> Option<Name> {
    if name.as_str() == "id" {
        return Some(object.name.clone());
    }
    match &object.field(name.as_str())?.kind {
        FieldKind::Reference { object } => Some(object.clone()),
        _ => None,
    }
}

fn measure_of(object: &ObjectDef, measure: &rapport_sandbox::Measure) -> Answer<Measure> {
    let field = || named_field(object, &measure.field);
    match measure.kind.as_str() {
        "count" if measure.field.is_empty() => Ok(Measure::Count),
        "count" => Err(invalid("`count` counts records: it has no field")),
        "sum" => field().map(Measure::Sum),
        "min" => field().map(Measure::Min),
        "max" => field().map(Measure::Max),
        other => Err(invalid(format!("`{other}` is no measure: there are count, sum, min and max"))),
    }
}

const fn measured(measure: &Measure) -> Option<&Name> {
    match measure {
        Measure::Count => None,
        Measure::Sum(field) | Measure::Min(field) | Measure::Max(field) => Some(field),
    }
}

impl SliceHost {
    /// Checks what is asked, and the right to read the object.
    fn reading(&self, name: &str, filter: &str, params: GuestFields) -> Answer<Reading> {
        let object = self.object(name)?;
        let params: Params = params.into_iter().collect();
        let rule = self.bulk_rule(&object, filter, &params)?;
        Ok(Reading { object, rule, params })
    }

    /// Passes if the object, or each field that is named anywhere, may be read, and this slice has written nothing that counts.
    fn may_read<'a>(&self, reading: &'a Reading, named: impl Iterator<Item = &'a Name>) -> Answer<()> {
        let object = &reading.object.name;
        let mut all: Vec<&Name> = named.chain(reading.rule.iter().flat_map(Rule::fields)).collect();
        all.sort_unstable();
        all.dedup();
        if all.is_empty() {
            self.allow(Need::Read(object.as_str()))?;
        }
        all.iter().try_for_each(|field| self.allow(Need::ReadField(object.as_str(), field.as_str())))?;
        let others = reading.rule.iter().flat_map(Rule::references).map(|reference| &reference.object);
        let unwritten =
            std::iter::once(object).chain(others).find(|name| self.buffer.touched_ids(name).next().is_some());
        unwritten.map_or(Ok(()), |name| {
            let message = format!("this slice has written to `{name}`: what it wrote is not among the rows yet");
            Err(HostError::permanent("unwritten", message))
        })
    }

    pub(super) async fn do_select(&mut self, asked: Selection) -> Answer<Table> {
        let reading = self.reading(&asked.object, &asked.filter, asked.params)?;
        let object = reading.object.clone();
        if asked.fields.is_empty() {
            return Err(invalid("name the fields of the rows"));
        }
        let fields = asked.fields.iter().map(|name| named_field(&object, name)).collect::<Answer<Vec<Name>>>()?;
        let order = read_order(&object, &asked.order).map_err(refusal)?;
        self.roll_query(&object, reading.rule.as_ref()).await?;
        self.may_read(&reading, fields.iter().chain(order.iter().map(|(name, _)| name)))?;
        let described = [asked.object.as_str(), &asked.filter, &asked.order];
        let after = match asked.cursor.as_str() {
            "" => None,
            text => {
                let values = open_cursor(&described, text).map_err(refusal)?;
                Some(read_cursor(&object, &order, &values).map_err(refusal)?)
            }
        };
        let limit = if asked.limit == 0 { PAGE_ROWS_MAX } else { asked.limit.min(PAGE_ROWS_MAX) };
        let (rule, params, now) = (reading.rule, reading.params, self.time);
        let query = RecordQuery { object: object.name.clone(), rule, params, now, order, after, limit: limit + 1 };
        let mut rows = self.store.find(&query).await.map_err(store_failure)?;
        let page = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > page;
        rows.truncate(page);
        self.count_rows(rows.len())?;
        let next = rows.last().filter(|_| more).map(|last| {
            let values = query.order.iter().map(|(name, _)| to_json(&value_of(last, name)));
            cursor(&described, values.chain([last.id.to_string().into()]).collect())
        });
        let shown = |row: &Arc<Record>| fields.iter().map(|name| value_of(row, name)).collect();
        let objects = fields.iter().map(|name| target(&object, name)).collect();
        Ok(Table { rows: rows.iter().map(shown).collect(), objects, next })
    }

    pub(super) async fn do_aggregate(&mut self, asked: Grouping) -> Answer<Table> {
        let reading = self.reading(&asked.object, &asked.filter, asked.params)?;
        let object = reading.object.clone();
        if asked.measures.is_empty() && asked.group_by.is_empty() {
            return Err(invalid("say what is measured, or what makes the groups"));
        }
        let group_by = asked.group_by.iter().map(|name| named_field(&object, name)).collect::<Answer<Vec<Name>>>()?;
        let measures = asked.measures.iter().map(|m| measure_of(&object, m)).collect::<Answer<Vec<Measure>>>()?;
        self.roll_query(&object, reading.rule.as_ref()).await?;
        self.may_read(&reading, group_by.iter().chain(measures.iter().filter_map(measured)))?;
        let objects = group_by.iter().map(|name| target(&object, name)).chain(measures.iter().map(|_| None)).collect();
        let (rule, params, now) = (reading.rule, reading.params, self.time);
        let limit = PAGE_ROWS_MAX + 1;
        let query = GroupQuery { object: object.name.clone(), rule, params, now, group_by, measures, limit };
        let rows = self.store.groups(&query).await.map_err(store_failure)?;
        if rows.len() >= limit as usize {
            return Err(invalid(format!("there are more than {PAGE_ROWS_MAX} groups: narrow them by a rule")));
        }
        self.count_rows(rows.len())?;
        Ok(Table { rows, objects, next: None })
    }
}
