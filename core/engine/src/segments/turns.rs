//! At which instants the mere passing of time can change the answer of a rule.
//!
//! `days_since(last_order_at) > 60` turns when a record's `last_order_at` is 61 days old: at a field's value plus an offset. So those that turn
//! between two looks are a range of values, which an index finds, and the next turn is the first value of the rest. What compares the
//! clock otherwise has no such offset; it is looked at as a whole, now and then.

use rapport_model::rule::Params;
use rapport_model::rule::Rule;
use rapport_model::rule::days::DAY_MICROS;
use rapport_model::rule::history::Did;
use rapport_model::rule::tree::{Base, Comparison, Condition, Datum, FieldTerm, List, Term};
use rapport_model::{Name, Timestamp};
use rapport_store::{FieldMoment, Moment};

/// A turn: `offset` microseconds after the moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Turn {
    pub(crate) moment: Moment,
    /// The field by which records refer to the one that has the moment; none: it is their own.
    pub(crate) via: Option<Name>,
    pub(crate) offset: i64,
}

/// When time changes answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Turns {
    pub(crate) known: Vec<Turn>,
    /// The clock is read in a way that gives no offset.
    pub(crate) is_restless: bool,
}

/// The turns of `rule` over `object`.
pub(crate) fn turns_of(rule: &Rule, object: &Name) -> Turns {
    let mut finder = Finder { object, turns: Turns::default() };
    finder.condition(rule.root());
    finder.turns
}

struct Finder<'a> {
    object: &'a Name,
    turns: Turns,
}

/// How far from now a term lies that is now itself, moved or not.
fn from_now(term: &Term) -> Option<i64> {
    match term {
        Term::Now => Some(0),
        Term::Shift(inner, micros) if matches!(**inner, Term::Now) => Some(*micros),
        _ => None,
    }
}

/// A number that no field and no clock has a say in, rounded down, and whether it was whole.
fn constant(term: &Term) -> Option<(i64, bool)> {
    if reads_clock(term) {
        return None;
    }
    match term.constant(Timestamp::EPOCH, &Params::none()) {
        Ok(Some(Datum::Number(number))) => {
            let unit = 10_i64.pow(u32::from(number.scale));
            Some((number.units.div_euclid(unit), number.units.rem_euclid(unit) == 0))
        }
        _ => None,
    }
}

fn reads_clock(term: &Term) -> bool {
    match term {
        Term::Now | Term::DaysSince(_) => true,
        Term::Literal(_) | Term::Field(_) | Term::Param(..) | Term::TagCount(_) => false,
        Term::Condition(condition) => condition_reads_clock(condition),
        Term::Compute(_, left, right) => reads_clock(left) || reads_clock(right),
        Term::Negate(inner) | Term::Shift(inner, _) | Term::Lower(inner) | Term::Size(inner) => reads_clock(inner),
    }
}

fn condition_reads_clock(condition: &Condition) -> bool {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => parts.iter().any(condition_reads_clock),
        Condition::Not(inner) => condition_reads_clock(inner),
        Condition::Holds(term) | Condition::IsNull(term) | Condition::Tagged(term, _) => reads_clock(term),
        Condition::Compare(_, left, right) | Condition::Text(_, left, right) => reads_clock(left) || reads_clock(right),
        Condition::In(item, List::Items(items)) => reads_clock(item) || items.iter().any(reads_clock),
        Condition::In(item, List::Param(..)) => reads_clock(item),
        Condition::Did(did) => did.within.is_some(),
        Condition::InSegment(..) => false,
    }
}

impl Finder<'_> {
    fn condition(&mut self, condition: &Condition) {
        match condition {
            Condition::All(parts) | Condition::Any(parts) => parts.iter().for_each(|part| self.condition(part)),
            Condition::Not(inner) => self.condition(inner),
            Condition::Did(did) => self.did(did),
            Condition::Compare(comparison, left, right) => {
                if !self.compare(*comparison, left, right) && !self.compare(comparison.mirrored(), right, left) {
                    self.turns.is_restless |= reads_clock(left) || reads_clock(right);
                }
            }
            Condition::In(Term::DaysSince(inner), List::Items(items)) => {
                let days: Option<Vec<(i64, bool)>> = items.iter().map(constant).collect();
                match (inner.moved_field(), days) {
                    (Some(field), Some(days)) => {
                        let whole = days.iter().filter(|(_, whole)| *whole);
                        whole.for_each(|(day, _)| self.days(Comparison::Equal, field, *day));
                    }
                    _ => self.turns.is_restless = true,
                }
            }
            other => self.turns.is_restless |= condition_reads_clock(other),
        }
    }

    /// Whether the turns of a comparison are known, the field standing left.
    fn compare(&mut self, comparison: Comparison, left: &Term, right: &Term) -> bool {
        match left {
            Term::DaysSince(inner) => match (inner.moved_field(), constant(right)) {
                (Some(field), Some((days, whole))) => {
                    // Days are whole: half a day more or less makes a difference at the next one.
                    self.days(if whole { comparison } else { Comparison::Greater }, field, days);
                    true
                }
                _ => false,
            },
            _ => match (left.moved_field(), from_now(right)) {
                // At the point and a microsecond later, so that it turns whether the comparison takes the point in or not.
                (Some((field, micros)), Some(ahead)) => {
                    self.turn(field, micros - ahead);
                    self.turn(field, micros - ahead + 1);
                    true
                }
                _ => false,
            },
        }
    }

    /// The days since a field are `days` from the `days`th on, until the next.
    fn days(&mut self, comparison: Comparison, (field, micros): (&FieldTerm, i64), days: i64) {
        let at = |days: i64| days.saturating_mul(DAY_MICROS).saturating_add(micros);
        if !matches!(comparison, Comparison::Greater | Comparison::LessOrEqual) {
            self.turn(field, at(days));
        }
        if !matches!(comparison, Comparison::Less | Comparison::GreaterOrEqual) {
            self.turn(field, at(days.saturating_add(1)));
        }
    }

    fn turn(&mut self, field: &FieldTerm, offset: i64) {
        let (via, object) = match (&field.base, &field.object) {
            (Base::Through(via), Some(object)) => (Some(via.clone()), object.clone()),
            _ => (None, self.object.clone()),
        };
        self.push(Turn { moment: Moment::Field(FieldMoment { object, field: field.name.clone() }), via, offset });
    }

    /// An event counts from its time on, and no longer once it is too long ago.
    fn did(&mut self, did: &Did) {
        for offset in [Some(0), did.within].into_iter().flatten() {
            self.push(Turn { moment: Moment::Event(did.kind.clone(), did.of), via: None, offset });
        }
    }

    fn push(&mut self, turn: Turn) {
        if !self.turns.known.contains(&turn) {
            self.turns.known.push(turn);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rapport_model::rule::{ParamTypes, Scope};
    use rapport_model::{Schema, standard};

    use super::*;

    fn turns(text: &str) -> (Vec<i64>, bool) {
        let mut schema = Schema::default();
        for object in standard::objects() {
            schema.objects.insert(object.name.clone(), Arc::new(object));
        }
        let customer = schema.object("customer").unwrap().clone();
        let rule =
            Rule::parse_with_history(text, &Scope::Record(customer.clone()), &schema, &ParamTypes::none()).unwrap();
        let Turns { known, is_restless } = turns_of(&rule, &customer.name);
        (known.iter().map(|turn| turn.offset / DAY_MICROS).collect(), is_restless)
    }

    #[test]
    fn more_than_so_many_days_turns_at_the_next() {
        assert_eq!(turns("days_since(updated_at) > 60"), (vec![61], false));
        assert_eq!(turns("60 < days_since(updated_at)"), (vec![61], false));
        assert_eq!(turns("days_since(updated_at) >= 60"), (vec![60], false));
        assert_eq!(turns("!(days_since(updated_at) == 3)"), (vec![3, 4], false));
        assert_eq!(turns("days_since(updated_at) < 2.5"), (vec![3], false));
        assert_eq!(turns("days_since(birthday) in [1, 5]"), (vec![1, 2, 5, 6], false));
    }

    #[test]
    fn what_compares_the_clock_otherwise_is_restless() {
        assert_eq!(turns("days_since(updated_at) > days_since(created_at)"), (vec![], true));
        assert_eq!(turns("days_since(updated_at) * 2 > 7"), (vec![], true));
        assert_eq!(turns("country == 'France'"), (vec![], false));
    }

    #[test]
    fn an_instant_compared_with_now_turns_where_it_comes() {
        let (offsets, restless) = turns("created_at + duration(\"48h\") < now()");
        assert_eq!((offsets, restless), (vec![2, 2], false));
    }

    #[test]
    fn an_event_counts_until_it_is_too_long_ago() {
        let page = "did('interaction.created', {within: '30 days'})";
        assert_eq!(turns(page), (vec![0, 30], false));
    }
}
