//! What a run changed, taken together: each record it touched, from before its first change to after its last.

use std::collections::HashMap;
use std::sync::Arc;

use rapport_model::event::{Fields, RecordChange};
use rapport_model::{Event, Name, RecordId, Value};

/// What a run did to one record.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NetChange {
    pub(super) object: Name,
    pub(super) id: RecordId,
    /// The position of the run's last event about it.
    pub(super) last: i64,
    pub(super) kind: NetKind,
}

/// What happened to a record.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum NetKind {
    /// It came to be, and the run left it with these values.
    Created(Fields),
    /// It went; the run had found it with these values.
    Deleted(Fields),
    /// Fields changed.
    Updated(Vec<(Name, FieldNet)>),
    /// It came and went within the run.
    Nothing,
    /// What happened has been erased from the log.
    Erased,
}

/// What a run did to one field.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FieldNet {
    pub(super) before: Value,
    pub(super) after: Value,
    /// The sum of the increments, if nothing else happened to it.
    pub(super) delta: Option<Value>,
}

impl FieldNet {
    fn follow(&mut self, after: &Value, delta: Option<&Value>) {
        self.after = after.clone();
        self.delta = self.delta.as_ref().zip(delta).and_then(|(sum, delta)| sum.plus(delta));
    }
}

/// One record while its events are taken together.
#[derive(Debug, Default)]
struct Growing {
    last: i64,
    created: Option<Fields>,
    deleted: Option<Fields>,
    erased: bool,
    fields: Vec<(Name, FieldNet)>,
}

/// Takes the events of one run together, in their order: record by record, in the order in which they were first touched.
pub(super) fn of_events(events: &[Arc<Event>]) -> Vec<NetChange> {
    let mut order = Vec::new();
    let mut records: HashMap<(Name, RecordId), Growing> = HashMap::new();
    for event in events.iter().filter(|e| !matches!(e.body, Some(rapport_model::event::Body::Data(_)))) {
        let Some(subject) = &event.subject else { continue };
        let key = (subject.object.clone(), subject.id);
        let growing = records.entry(key.clone()).or_insert_with(|| {
            order.push(key);
            Growing::default()
        });
        growing.last = event.position;
        match event.change() {
            Some(change) => growing.take(event, change),
            None => growing.erased = true,
        }
    }
    let nets = order.into_iter().filter_map(|key| {
        let growing = records.remove(&key)?;
        Some(NetChange { object: key.0, id: key.1, last: growing.last, kind: growing.finish() })
    });
    nets.collect()
}

/// Whether an event is a record's creation.
fn is_creation(event: &Event) -> bool {
    event.kind.as_str().ends_with(".created")
}

/// Whether an event is a record's deletion.
fn is_deletion(event: &Event) -> bool {
    event.kind.as_str().ends_with(".deleted")
}

impl Growing {
    fn take(&mut self, event: &Event, change: &RecordChange) {
        if is_creation(event) {
            self.created = Some(change.after.clone());
            self.deleted = None;
        } else if is_deletion(event) {
            self.deleted = Some(change.before.clone());
        } else {
            for (name, after) in &change.after {
                let delta = find(&change.delta, name);
                if let Some((_, net)) = self.fields.iter_mut().find(|(n, _)| n == name) {
                    net.follow(after, delta);
                    continue;
                }
                let before = find(&change.before, name).cloned().unwrap_or_default();
                let net = FieldNet { before, after: after.clone(), delta: delta.cloned() };
                self.fields.push((name.clone(), net));
            }
        }
    }

    fn finish(self) -> NetKind {
        match (self.erased, self.created, self.deleted) {
            (true, ..) => NetKind::Erased,
            (false, Some(_), Some(_)) => NetKind::Nothing,
            (false, Some(mut values), None) => {
                self.fields.into_iter().for_each(|(name, net)| put(&mut values, name, net.after));
                NetKind::Created(values)
            }
            (false, None, Some(mut values)) => {
                self.fields.into_iter().for_each(|(name, net)| put(&mut values, name, net.before));
                NetKind::Deleted(values)
            }
            (false, None, None) => {
                let mut fields = self.fields;
                fields.retain(|(_, net)| net.before != net.after);
                NetKind::Updated(fields)
            }
        }
    }
}

fn find<'a>(fields: &'a Fields, name: &Name) -> Option<&'a Value> {
    fields.iter().find(|(n, _)| n == name).map(|(_, value)| value)
}

fn put(fields: &mut Fields, name: Name, value: Value) {
    fields.retain(|(n, _)| *n != name);
    if !value.is_null() {
        fields.push((name, value));
    }
}

#[cfg(test)]
mod tests {
    use rapport_model::event::{Body, Subject};
    use rapport_model::{Actor, EventType, Timestamp};

    use super::*;

    fn fields(pairs: &[(&str, i64)]) -> Fields {
        pairs.iter().map(|(n, v)| (Name::new(n).unwrap(), Value::Int(*v))).collect()
    }

    fn event(position: i64, kind: &str, before: &[(&str, i64)], after: &[(&str, i64)], delta: &[(&str, i64)]) -> Event {
        let change = RecordChange { before: fields(before), after: fields(after), delta: fields(delta) };
        let subject = Subject { object: Name::new("x").unwrap(), id: RecordId::from_parts(0, [1; 10]) };
        Event {
            position,
            origin: None,
            kind: EventType::new(&format!("x.{kind}")).unwrap(),
            subject: Some(subject),
            lane: None,
            time: Timestamp::EPOCH,
            recorded_at: Timestamp::EPOCH,
            actor: Actor::System,
            run: None,
            cause: None,
            depth: 0,
            body: Some(Body::Change(change)),
        }
    }

    fn net(events: Vec<Event>) -> NetKind {
        of_events(&events.into_iter().map(Arc::new).collect::<Vec<_>>()).remove(0).kind
    }

    #[test]
    fn increments_add_up_until_something_sets_the_field() {
        let one = event(1, "updated", &[("a", 1)], &[("a", 3)], &[("a", 2)]);
        let two = event(2, "updated", &[("a", 3)], &[("a", 8)], &[("a", 5)]);
        let set = event(3, "updated", &[("a", 8)], &[("a", 9)], &[]);
        let of = |delta: Option<i64>, after: i64| {
            let net = FieldNet { before: Value::Int(1), after: Value::Int(after), delta: delta.map(Value::Int) };
            NetKind::Updated(vec![(Name::new("a").unwrap(), net)])
        };
        assert_eq!(net(vec![one.clone(), two.clone()]), of(Some(7), 8));
        assert_eq!(net(vec![one, two, set]), of(None, 9));
    }

    #[test]
    fn a_record_is_seen_as_it_was_before_the_run_and_after_it() {
        let created = event(1, "created", &[], &[("a", 1), ("b", 2)], &[]);
        let updated = event(2, "updated", &[("a", 1)], &[("a", 5)], &[("a", 4)]);
        let deleted = event(3, "deleted", &[("a", 5), ("b", 2)], &[], &[]);
        let sorted = |kind: NetKind| match kind {
            NetKind::Created(mut f) => {
                f.sort_by(|a, b| a.0.cmp(&b.0));
                NetKind::Created(f)
            }
            NetKind::Deleted(mut f) => {
                f.sort_by(|a, b| a.0.cmp(&b.0));
                NetKind::Deleted(f)
            }
            other => other,
        };
        assert_eq!(
            sorted(net(vec![created.clone(), updated.clone()])),
            NetKind::Created(fields(&[("a", 5), ("b", 2)]))
        );
        assert_eq!(
            sorted(net(vec![updated.clone(), deleted.clone()])),
            NetKind::Deleted(fields(&[("a", 1), ("b", 2)]))
        );
        assert_eq!(net(vec![created, updated, deleted]), NetKind::Nothing);
    }

    #[test]
    fn a_field_that_ends_as_it_began_did_not_change() {
        let there = event(1, "updated", &[("a", 1)], &[("a", 2)], &[]);
        let back = event(2, "updated", &[("a", 2)], &[("a", 1)], &[]);
        assert_eq!(net(vec![there, back]), NetKind::Updated(Vec::new()));
    }
}
