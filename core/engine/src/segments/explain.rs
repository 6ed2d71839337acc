//! Why a record is in a segment, or why not: each part of the rule with its answer and the values that it looked at.

use rapport_model::json::field_to_json;
use rapport_model::rule::history::HistoryLookup;
use rapport_model::rule::outline::Shown;
use rapport_model::rule::tree::{Base, Condition, FieldTerm, List, TagsTerm, Term};
use rapport_model::rule::{Lookup as _, Rule};
use rapport_model::{RecordId, Timestamp};
use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use super::judge::{Judgeable, Known, referenced_by};
use crate::engine::{Engine, Inner};
use crate::error::EngineError;
use crate::gate::{Act, Caller};

/// Why a record is in a segment, or why not.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The segment.
    pub segment: String,
    /// The record's id.
    pub record: RecordId,
    /// Whether it is in it.
    pub member: bool,
    /// Since when.
    pub since: Option<Timestamp>,
    /// Whether the rule holds for it at this moment; none: it has no rule.
    pub holds: Option<bool>,
    /// The rule, part by part.
    pub rule: Option<Part>,
}

/// A part of a rule.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// `all`, `any`, `not`, or the part itself as text.
    pub part: String,
    /// Whether it holds.
    pub holds: bool,
    /// The values that it looked at, by name; of `did` how many events were found, up to the number asked for.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub values: Map<String, Json>,
    /// Its parts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
}

impl Engine {
    /// Says why the record that `key` names is in the segment, or why not.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`].
    pub async fn explain_segment(&self, caller: &Caller, name: &str, key: &str) -> Result<Explanation, EngineError> {
        let state = self.inner.known_segment(name)?;
        let record = self.get(caller, state.def.object.as_str(), key).await?;
        caller.require(Act::Read)?;
        let now = self.inner.clock.now();
        let stays = self.inner.store.segments_of(&[record.id]).await?.remove(&record.id).unwrap_or_default();
        let segments = stays.into_iter().map(|stay| (stay.segment, stay.entered_at)).collect();
        let known = Known { counts: Vec::new(), segments };
        let since = known.segments.get(&state.def.name).copied();
        let rule = self.inner.compiled_segment(&state.def.name).ok().and_then(|segment| segment.rule.clone());
        let part = match &rule {
            None => None,
            Some(rule) => {
                self.inner.may_ask(caller, rule)?;
                let records = [Some(record.clone())];
                let referenced = self.inner.referenced(std::iter::once(rule), &records).await?;
                let referenced = referenced_by(&record, &referenced);
                let mut judgeable = Judgeable { record: record.clone(), referenced, known };
                Some(self.inner.part_of(rule, &mut judgeable, now).await?)
            }
        };
        Ok(Explanation {
            segment: state.def.name.to_string(),
            record: record.id,
            member: since.is_some(),
            since,
            holds: part.as_ref().map(|part| part.holds),
            rule: part,
        })
    }
}

impl Inner {
    async fn part_of(&self, rule: &Rule, judgeable: &mut Judgeable, now: Timestamp) -> Result<Part, EngineError> {
        self.count_dids(rule, judgeable, now).await?;
        part(rule.root(), judgeable, now)
    }
}

fn part(condition: &Condition, judgeable: &Judgeable, now: Timestamp) -> Result<Part, EngineError> {
    let holds = judgeable.holds(&Rule::of_condition(condition.clone()), now)?;
    let (name, inner): (&str, &[Condition]) = match condition {
        Condition::All(parts) => ("all", parts),
        Condition::Any(parts) => ("any", parts),
        Condition::Not(inner) if !matches!(**inner, Condition::IsNull(_)) => ("not", std::slice::from_ref(&**inner)),
        leaf => {
            let mut values = Map::new();
            of_condition(leaf, judgeable, &mut values);
            return Ok(Part { part: Shown(leaf).to_string(), holds, values, parts: Vec::new() });
        }
    };
    let parts: Result<Vec<Part>, EngineError> = inner.iter().map(|inner| part(inner, judgeable, now)).collect();
    Ok(Part { part: name.to_owned(), holds, values: Map::new(), parts: parts? })
}

/// The values that a part looks at.
fn of_condition(condition: &Condition, judgeable: &Judgeable, values: &mut Map<String, Json>) {
    let mut terms: Vec<&Term> = Vec::new();
    match condition {
        Condition::All(parts) | Condition::Any(parts) => {
            for part in parts {
                of_condition(part, judgeable, values);
            }
        }
        Condition::Not(inner) => of_condition(inner, judgeable, values),
        Condition::Holds(term) | Condition::IsNull(term) => terms.push(term),
        Condition::Compare(_, left, right) | Condition::Text(_, left, right) => terms.extend([left, right]),
        Condition::Tagged(tag, tags) => {
            of_field(&tags.field, judgeable, values);
            terms.push(tag);
        }
        Condition::In(item, list) => {
            terms.push(item);
            if let List::Items(items) = list {
                terms.extend(items);
            }
        }
        Condition::Did(did) => {
            use rapport_model::rule::history::History as _;
            let count = judgeable.known.count(did);
            let shown = if count >= did.at_least { json!(format!("{count} or more")) } else { json!(count) };
            values.insert(did.kind.to_string(), shown);
        }
        Condition::InSegment(segment, _) => {
            use rapport_model::rule::history::History as _;
            values.insert(segment.to_string(), judgeable.known.is_member(segment).into());
        }
    }
    for term in terms {
        of_term(term, judgeable, values);
    }
}

fn of_term(term: &Term, judgeable: &Judgeable, values: &mut Map<String, Json>) {
    match term {
        Term::Field(field) | Term::TagCount(TagsTerm { field, .. }) => of_field(field, judgeable, values),
        Term::Literal(_) | Term::Param(..) | Term::Now => {}
        Term::Condition(condition) => of_condition(condition, judgeable, values),
        Term::Compute(_, left, right) => {
            of_term(left, judgeable, values);
            of_term(right, judgeable, values);
        }
        Term::Negate(inner)
        | Term::Shift(inner, _)
        | Term::Lower(inner)
        | Term::Size(inner)
        | Term::DaysSince(inner) => {
            of_term(inner, judgeable, values);
        }
    }
}

fn of_field(field: &FieldTerm, judgeable: &Judgeable, values: &mut Map<String, Json>) {
    let Judgeable { record, referenced, known } = judgeable;
    let lookup = HistoryLookup { record, referenced, history: known };
    let (name, value) = match &field.base {
        Base::Own => (field.name.to_string(), lookup.field(&field.name)),
        Base::Through(via) => (format!("{via}.{}", field.name), lookup.other(&field.base, &field.name)),
        _ => return,
    };
    values.insert(name, field_to_json(&field.kind, &value));
}
