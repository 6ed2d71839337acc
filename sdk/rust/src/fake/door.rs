//! The host's functions over the world of the thread, with the signatures that the contract gives them.

mod around;
pub(crate) mod calendars;
pub(crate) mod files;
pub(crate) mod query;
pub(crate) mod search;

use super::{Asked, Emitted, World, world};
use crate::bindings::rapport::plugin::types::{Error as WireError, Field, RecordData, Value as WireValue};
use crate::value::{Fields, Reference, Value};
use crate::{Error, Record};

pub(crate) use around::{context, jobs, kv, scripts, secrets};

fn wire(record: &Record) -> RecordData {
    RecordData {
        object: record.object.clone(),
        id: record.id.clone(),
        version: record.version,
        created_at: record.created_at.0,
        updated_at: record.updated_at.0,
        fields: record.fields.to_wire(),
    }
}

fn refuse<T>(code: &str, message: String) -> Result<T, WireError> {
    Err(Error::new(code, message).into())
}

fn need(right: &str) -> Result<(), WireError> {
    Ok(super::rights::need(right)?)
}

fn need_to_write(object: &str, fields: &[Field]) -> Result<(), WireError> {
    fields.iter().try_for_each(|field| need(&format!("{object}.{}:write", field.name)))
}

fn same(a: &Value, text: &str) -> bool {
    match a {
        Value::Text(t) => t == text,
        Value::Int(n) => n.to_string() == text,
        Value::Ref(reference) => reference.id == text,
        _ => false,
    }
}

/// Fails if another record of the object has a value of these that is unique, as its plugin declares it.
fn must_be_unique(world: &World, object: &str, id: &str, fields: &Fields) -> Result<(), WireError> {
    let declared = world.objects.get(object).into_iter().flatten().filter(|field| field.unique);
    for field in declared {
        let Some(value) = fields.get(&field.name).filter(|value| !value.is_null()) else { continue };
        let others = world.records.iter().filter(|r| r.object == object && r.id != id);
        if others.into_iter().any(|r| r.fields.get(&field.name) == Some(value)) {
            return refuse("unique", format!("another `{object}` has the same `{}`", field.name));
        }
    }
    Ok(())
}

fn position(world: &World, object: &str, key: &str) -> Option<usize> {
    let by_field = |r: &Record| {
        key.split_once(':').is_some_and(|(field, text)| r.fields.get(field).is_some_and(|v| same(v, text)))
    };
    world.records.iter().position(|r| r.object == object && (r.id == key || by_field(r)))
}

fn existing<'a>(world: &'a mut World, object: &str, key: &str) -> Result<&'a mut Record, WireError> {
    match position(world, object, key) {
        Some(at) => Ok(&mut world.records[at]),
        None => refuse("not_found", format!("there is no record `{object}/{key}`")),
    }
}

fn change(record: &mut Record, fields: &Fields) {
    record.version += 1;
    fields.iter().for_each(|(name, value)| record.fields.set(name, value.clone()));
}

/// See `records` in the contract.
pub(crate) mod records {
    use super::{
        Asked, Error, Field, Fields, Record, RecordData, Value, WireError, WireValue, change, existing, must_be_unique,
        need, need_to_write, position, refuse, wire, world,
    };
    use crate::bindings::rapport::plugin::records::Page;

    pub(crate) fn get(object: &str, key: &str) -> Result<Option<RecordData>, WireError> {
        need(&format!("{object}:read"))?;
        Ok(world(|w| position(w, object, key).map(|at| wire(&w.records[at]))))
    }

    pub(crate) fn find(
        object: &str,
        filter: &str,
        params: &[Field],
        page: &Page,
    ) -> Result<Vec<RecordData>, WireError> {
        let (mut found, limit) = (matching(object, filter, params)?, usize::try_from(page.limit).unwrap_or(usize::MAX));
        super::query::put_in_order(&mut found, &page.order);
        Ok(found.iter().filter(|record| record.id > page.after).take(limit).map(wire).collect())
    }

    pub(crate) fn count(object: &str, filter: &str, params: &[Field]) -> Result<u64, WireError> {
        Ok(u64::try_from(matching(object, filter, params)?.len()).unwrap_or(u64::MAX))
    }

    pub(crate) fn matching(object: &str, filter: &str, params: &[Field]) -> Result<Vec<Record>, WireError> {
        need(&format!("{object}:read"))?;
        if filter.is_empty() {
            return Ok(world(|w| w.records.iter().filter(|r| r.object == object).cloned().collect()));
        }
        // Taken out while it is called, so that it may look into the world itself.
        let Some(answers) = world(|w| w.answers.take()) else {
            return refuse(
                "fake",
                format!("the fake host knows no rules: answer `{filter}` with `fake::answer_queries`"),
            );
        };
        let asked = Asked { object: object.into(), filter: filter.into(), params: Fields::from_wire(params.to_vec()) };
        let found = answers(&asked);
        world(|w| w.answers = Some(answers));
        Ok(found)
    }

    pub(crate) fn create(object: &str, fields: &[Field]) -> Result<RecordData, WireError> {
        need(&format!("{object}:create"))?;
        let given = Fields::from_wire(fields.to_vec());
        let fields = world(|w| {
            must_be_unique(w, object, "", &given)?;
            let declared = w.objects.get(object).into_iter().flatten();
            let mut fields: Fields = declared.map(|field| (field.name.as_str(), field.default.clone())).collect();
            given.iter().for_each(|(name, value)| fields.set(name, value.clone()));
            Ok::<_, WireError>(fields)
        })?;
        Ok(wire(&crate::fake::insert(object, fields)))
    }

    pub(crate) fn update(object: &str, key: &str, fields: &[Field]) -> Result<(), WireError> {
        need_to_write(object, fields)?;
        let fields = Fields::from_wire(fields.to_vec());
        world(|w| {
            let id = existing(w, object, key)?.id.clone();
            must_be_unique(w, object, &id, &fields)?;
            existing(w, object, &id).map(|r| change(r, &fields))
        })
    }

    pub(crate) fn increment(object: &str, key: &str, field: &str, delta: &WireValue) -> Result<(), WireError> {
        need(&format!("{object}.{field}:write"))?;
        let delta = Value::from(delta.clone());
        world(|w| {
            let record = existing(w, object, key)?;
            let old = record.fields.get(field).cloned().unwrap_or_default();
            let sum = sum(old, delta).map_err(|wrong| Error::new("invalid", format!("`{object}.{field}`: {wrong}")))?;
            change(record, &Fields::new().with(field, sum));
            Ok(())
        })
    }

    fn sum(old: Value, delta: Value) -> Result<Value, crate::WrongKind> {
        match (old, delta) {
            (Value::Null, delta) => Ok(delta),
            (Value::Int(a), Value::Int(b)) => Ok(Value::Int(a.saturating_add(b))),
            (a, b) => Ok(Value::Decimal(crate::Decimal::try_from(a)? + crate::Decimal::try_from(b)?)),
        }
    }

    pub(crate) fn upsert(object: &str, by: &str, fields: &[Field]) -> Result<RecordData, WireError> {
        let given = Fields::from_wire(fields.to_vec());
        let Some(value) = given.get(by) else {
            return refuse("invalid", format!("`{by}` is not among the fields of the upsert"));
        };
        let at = world(|w| w.records.iter().position(|r| r.object == object && r.fields.get(by) == Some(value)));
        let Some(at) = at else { return create(object, fields) };
        need_to_write(object, fields)?;
        Ok(world(|w| {
            change(&mut w.records[at], &given);
            wire(&w.records[at])
        }))
    }

    pub(crate) fn delete(object: &str, key: &str) -> Result<bool, WireError> {
        need(&format!("{object}:delete"))?;
        Ok(world(|w| position(w, object, key).map(|at| w.records.remove(at)).is_some()))
    }
}

/// See `events` in the contract.
pub(crate) mod events {
    use super::{Emitted, Field, Fields, Reference, WireError, need, world};

    pub(crate) fn emit(kind: &str, subject: &str, data: &[Field]) -> Result<(), WireError> {
        need(&format!("emit:{kind}"))?;
        let subject = (!subject.is_empty()).then(|| Reference::parse(subject));
        let data = Fields::from_wire(data.to_vec());
        world(|w| w.emitted.push(Emitted { kind: kind.into(), subject, data }));
        Ok(())
    }
}

/// See `flow` in the contract.
#[expect(clippy::unnecessary_wraps, reason = "the signatures are the contract's")]
pub(crate) mod flow {
    use super::{Field, WireError, need, refuse, world};
    use crate::bindings::rapport::plugin::flow::{Alternative, Answer, Arrival, Question};
    use crate::bindings::rapport::plugin::trigger::Event;

    pub(crate) fn sleep(span: &str) -> Result<(), WireError> {
        world(|w| w.slept.push(span.into()));
        Ok(())
    }

    pub(crate) fn sleep_until(instant: i64) -> Result<(), WireError> {
        world(|w| w.slept.push(instant.to_string()));
        Ok(())
    }

    pub(crate) fn wait_for(_: &str, _: &str, _: &[Field], _: &str) -> Result<Option<Event>, WireError> {
        Ok(world(|w| w.arrivals.pop_front()).map(|event| wire_event(&event)))
    }

    fn wire_event(event: &crate::Event) -> Event {
        Event {
            position: event.position,
            kind: event.kind.clone(),
            subject: event.subject.as_ref().map(ToString::to_string).unwrap_or_default(),
            time: event.time.0,
            recorded_at: event.recorded_at.0,
            actor: event.actor.clone(),
            depth: event.depth,
            data: event.data.to_wire(),
            before: event.before.to_wire(),
            after: event.after.to_wire(),
            delta: event.delta.to_wire(),
            record: event.record.as_ref().map(super::wire),
        }
    }

    pub(crate) fn wait_any(alternatives: &[Alternative], _: &str) -> Result<Option<Arrival>, WireError> {
        let Some(event) = world(|w| w.arrivals.pop_front()) else { return Ok(None) };
        let index = alternatives.iter().position(|a| a.kind == event.kind);
        match index.and_then(|i| u32::try_from(i).ok()) {
            Some(index) => Ok(Some(Arrival { index, event: wire_event(&event) })),
            None => refuse("fake", format!("nobody waits for `{}`, which `fake::arrive` brought", event.kind)),
        }
    }

    pub(crate) fn lock(key: &str) -> Result<(), WireError> {
        world(|w| w.locked.push(key.into()));
        Ok(())
    }

    pub(crate) fn invoke(automation: &str, input: &str) -> Result<String, WireError> {
        need(&format!("invoke:{automation}"))?;
        let input = serde_json::from_str(input).unwrap_or_default();
        let result = world(|w| {
            w.invoked.push((automation.into(), input));
            w.results.pop_front()
        });
        let Some(result) = result else {
            let why = "say what it comes to with `fake::result_of_next`";
            return refuse("unknown_automation", format!("there is no automation `{automation}`; {why}"));
        };
        Ok(result?.to_string())
    }

    pub(crate) fn reply(value: &str) -> Result<(), WireError> {
        world(|w| w.replied = serde_json::from_str(value).ok());
        Ok(())
    }

    pub(crate) fn ask(_: &Question) -> Result<Answer, WireError> {
        need("task:create")?;
        let choice = world(|w| w.replies.pop_front());
        let timed_out = choice.is_none();
        Ok(Answer { choice: choice.unwrap_or_default(), by: "user:fake".into(), timed_out, task: String::new() })
    }
}

/// See `http` in the contract.
pub(crate) mod http {
    use super::{WireError, need, refuse, world};
    use crate::bindings::rapport::plugin::http::{Header, Request, Response};

    pub(crate) fn call(request: &Request) -> Result<Response, WireError> {
        let rest = request.url.split_once("://").map_or(request.url.as_str(), |(_, rest)| rest);
        need(&format!("http:{}", rest.split(['/', '?', '#']).next().unwrap_or_default()))?;
        if !request.secret.is_empty() {
            need(&format!("secret:{}", request.secret))?;
        }
        let answer = world(|w| {
            w.called.push((request.method.clone(), request.url.clone()));
            w.answered.pop_front()
        });
        let Some(answer) = answer else {
            return refuse("unreachable", format!("no answer for {}: give one with `fake::answer_call`", request.url));
        };
        let headers = answer.headers.into_iter().map(|(name, value)| Header { name, value }).collect();
        Ok(Response { status: answer.status, headers, body: answer.body })
    }
}

/// See `messages` in the contract.
pub(crate) mod messages {
    use super::{Field, Fields, WireError, need, world};
    use crate::fake::Sent;

    pub(crate) fn send(channel: &str, to: &str, template: &str, data: &[Field]) -> Result<String, WireError> {
        need(&format!("message:{channel}"))?;
        let data = Fields::from_wire(data.to_vec());
        Ok(world(|w| {
            w.sent.push(Sent { channel: channel.into(), to: to.into(), template: template.into(), data });
            format!("message-{}", w.sent.len())
        }))
    }
}

/// See `log` in the contract.
pub(crate) mod log {
    pub(crate) use crate::bindings::rapport::plugin::log::Level;

    pub(crate) fn write(level: Level, message: &str) {
        super::world(|w| w.logged.push((level, message.into())));
    }
}

/// See `clock` in the contract.
pub(crate) mod clock {
    pub(crate) fn now() -> i64 {
        super::world(|w| w.now)
    }
}

/// See `random` in the contract. The bytes are a fixed sequence: tests want that.
pub(crate) mod random {
    pub(crate) fn bytes(count: u32) -> Vec<u8> {
        super::world(|w| {
            let mut next = || {
                w.drawn = w.drawn.wrapping_mul(141).wrapping_add(3);
                w.drawn
            };
            (0..count).map(|_| next()).collect()
        })
    }
}

/// See `settings` in the contract.
pub(crate) mod settings {
    use super::{WireError, WireValue, refuse, world};

    pub(crate) fn get(name: &str) -> Result<WireValue, WireError> {
        match world(|w| w.settings.get(name).map(WireValue::from)) {
            Some(value) => Ok(value),
            None => refuse("invalid", format!("there is no setting `{name}`; set it with `fake::set`")),
        }
    }
}
