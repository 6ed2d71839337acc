//! A host in memory, for tests of a plugin's own logic with plain `cargo test`.
//!
//! It keeps records and notes events; it checks no rights and reads no rules: a filter is a function that the test sets.
//! What depends on those is tested with `rapport plugin check` and against a real host.
//! ```
//! use rapport_sdk::{Value, fake, records};
//!
//! fake::reset();
//! let ada = fake::record("customer", &[("customer_no", "ada".into()), ("points", 5_i64.into())]);
//! records::increment("customer", &ada.id, "points", 7_i64)?;
//! assert_eq!(fake::stored("customer", &ada.id).unwrap().integer("points"), Some(12));
//! # Ok::<(), rapport_sdk::Error>(())
//! ```

use std::cell::RefCell;

use crate::{Event, Field, Record, Value};

/// An event that the plugin emitted.
#[derive(Debug, Clone)]
pub struct Emitted {
    /// Its type.
    pub kind: String,
    /// `object/key`.
    pub subject: String,
    /// Its fields.
    pub data: Vec<(String, Value)>,
}

type Filter = Box<dyn Fn(&Record, &str, &[(&str, Value)]) -> bool>;

struct Host {
    records: Vec<Record>,
    emitted: Vec<Emitted>,
    log: Vec<String>,
    settings: Vec<(String, Value)>,
    filter: Filter,
    now: i64,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            records: Vec::new(),
            emitted: Vec::new(),
            log: Vec::new(),
            settings: Vec::new(),
            filter: Box::new(|_, filter, _| filter.trim().is_empty()),
            now: 0,
        }
    }
}

thread_local! {
    static HOST: RefCell<Host> = RefCell::default();
}

/// Empties the fake host of this thread.
pub fn reset() {
    HOST.with_borrow_mut(|host| *host = Host::default());
}

/// Puts a record into the fake host.
#[must_use = "its id names it"]
pub fn record(object: &str, fields: &[(&str, Value)]) -> Record {
    HOST.with_borrow_mut(|host| calls::add(host, object, fields))
}

/// The record as it is now.
#[must_use]
pub fn stored(object: &str, id: &str) -> Option<Record> {
    HOST.with_borrow(|host| host.records.iter().find(|r| r.object == object && r.id == id).cloned())
}

/// The events emitted so far.
#[must_use]
pub fn emitted() -> Vec<Emitted> {
    HOST.with_borrow(|host| host.emitted.clone())
}

/// The lines logged so far.
#[must_use]
pub fn logged() -> Vec<String> {
    HOST.with_borrow(|host| host.log.clone())
}

/// Sets what `setting` answers.
pub fn set_setting(name: &str, value: impl Into<Value>) {
    let value = value.into();
    HOST.with_borrow_mut(|host| {
        host.settings.retain(|(known, _)| known != name);
        host.settings.push((name.to_owned(), value));
    });
}

/// Sets what `find` and `count` go by: the record, the rule's text, its parameters.
pub fn set_filter(filter: impl Fn(&Record, &str, &[(&str, Value)]) -> bool + 'static) {
    HOST.with_borrow_mut(|host| host.filter = Box::new(filter));
}

/// Sets the clock, in microseconds since 1970.
pub fn set_now(micros: i64) {
    HOST.with_borrow_mut(|host| host.now = micros);
}

/// The event of a change of `record`: fields with their values before and after.
#[must_use]
pub fn changed(record: &Record, fields: &[(&str, Value, Value)]) -> Event {
    let side = |pick: fn(&(&str, Value, Value)) -> Value| {
        fields.iter().map(|f| Field { name: f.0.to_owned(), value: pick(f) }).collect()
    };
    Event {
        position: 1,
        kind: format!("{}.updated", record.object),
        subject: record.subject(),
        time: 0,
        recorded_at: 0,
        actor: "system".to_owned(),
        depth: 0,
        data: Vec::new(),
        before: side(|f| f.1.clone()),
        after: side(|f| f.2.clone()),
        delta: Vec::new(),
        record: Some(record.clone()),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the signatures are those of the real host, whose calls can fail")]
pub(crate) mod calls {
    use super::{Emitted, HOST, Host};
    use crate::{Error, Field, Level, Page, Record, Value};

    fn missing(object: &str, key: &str) -> Error {
        Error::permanent("not_found", &format!("there is no {object} `{key}`"))
    }

    fn place(host: &Host, object: &str, key: &str) -> Option<usize> {
        let key = key.rsplit('/').next().unwrap_or(key);
        let by_field = key.split_once(':');
        host.records.iter().position(|record| {
            let named = by_field.is_some_and(|(field, value)| record.text(field) == Some(value));
            record.object == object && (record.id == key || named)
        })
    }

    fn set(record: &mut Record, name: &str, value: Value) {
        match record.fields.iter_mut().find(|f| f.name == name) {
            Some(field) => field.value = value,
            None => record.fields.push(Field { name: name.to_owned(), value }),
        }
    }

    pub(super) fn add(host: &mut Host, object: &str, pairs: &[(&str, Value)]) -> Record {
        let id = format!("00000000-0000-7000-8000-{:012}", host.records.len() + 1);
        let (object, now) = (object.to_owned(), host.now);
        let mut record = Record { object, id, version: 1, created_at: now, updated_at: now, fields: Vec::new() };
        for (name, value) in pairs {
            set(&mut record, name, value.clone());
        }
        host.records.push(record.clone());
        record
    }

    pub(crate) fn get(object: &str, key: &str) -> Result<Option<Record>, Error> {
        Ok(HOST.with_borrow(|host| place(host, object, key).map(|i| host.records[i].clone())))
    }

    pub(crate) fn find(
        object: &str,
        filter: &str,
        params: &[(&str, Value)],
        page: &Page,
    ) -> Result<Vec<Record>, Error> {
        Ok(HOST.with_borrow(|host| {
            let later = |r: &&Record| page.after.is_empty() || r.id > page.after;
            let found = host.records.iter().filter(|r| r.object == object && (host.filter)(r, filter, params));
            found.filter(later).take(page.limit as usize).cloned().collect()
        }))
    }

    pub(crate) fn count(object: &str, filter: &str, params: &[(&str, Value)]) -> Result<u64, Error> {
        let page = Page { order: String::new(), limit: u32::MAX, after: String::new() };
        Ok(find(object, filter, params, &page)?.len() as u64)
    }

    pub(crate) fn create(object: &str, pairs: &[(&str, Value)]) -> Result<Record, Error> {
        Ok(HOST.with_borrow_mut(|host| add(host, object, pairs)))
    }

    pub(crate) fn update(object: &str, key: &str, pairs: &[(&str, Value)]) -> Result<(), Error> {
        HOST.with_borrow_mut(|host| {
            let index = place(host, object, key).ok_or_else(|| missing(object, key))?;
            let now = host.now;
            let record = &mut host.records[index];
            for (name, value) in pairs {
                set(record, name, value.clone());
            }
            record.version += 1;
            record.updated_at = now;
            Ok(())
        })
    }

    pub(crate) fn increment(object: &str, key: &str, field: &str, delta: &Value) -> Result<(), Error> {
        let number = |value: Option<&Value>| match value {
            None | Some(Value::Null) => Ok(0),
            Some(other) => {
                let wrong = || Error::permanent("invalid", "the fake host increments whole numbers alone");
                other.as_integer().ok_or_else(wrong)
            }
        };
        let record = get(object, key)?.ok_or_else(|| missing(object, key))?;
        let sum = number(record.get(field))? + number(Some(delta))?;
        update(object, key, &[(field, sum.into())])
    }

    pub(crate) fn upsert(object: &str, by: &str, pairs: &[(&str, Value)]) -> Result<Record, Error> {
        let value = pairs.iter().find(|(name, _)| *name == by).and_then(|(_, value)| value.as_text());
        let value = value.ok_or_else(|| Error::permanent("invalid", &format!("give a text for `{by}`")))?;
        let key = format!("{by}:{value}");
        if get(object, &key)?.is_none() {
            return create(object, pairs);
        }
        update(object, &key, pairs)?;
        get(object, &key)?.ok_or_else(|| missing(object, &key))
    }

    pub(crate) fn delete(object: &str, key: &str) -> Result<bool, Error> {
        Ok(HOST.with_borrow_mut(|host| place(host, object, key).map(|index| host.records.remove(index)).is_some()))
    }

    pub(crate) fn emit(kind: &str, subject: &str, data: &[(&str, Value)]) -> Result<(), Error> {
        let data = data.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let emitted = Emitted { kind: kind.to_owned(), subject: subject.to_owned(), data };
        HOST.with_borrow_mut(|host| host.emitted.push(emitted));
        Ok(())
    }

    pub(crate) fn log(level: Level, message: &str) {
        HOST.with_borrow_mut(|host| host.log.push(format!("{level:?}: {message}")));
    }

    pub(crate) fn now() -> i64 {
        HOST.with_borrow(|host| host.now)
    }

    pub(crate) fn random(count: u32) -> Vec<u8> {
        (0..count).map(|i| u8::try_from(i % 251).unwrap_or(0)).collect()
    }

    pub(crate) fn setting(name: &str) -> Result<Value, Error> {
        let found =
            HOST.with_borrow(|host| host.settings.iter().find(|(known, _)| known == name).map(|(_, v)| v.clone()));
        found.ok_or_else(|| Error::permanent("unknown_setting", &format!("there is no setting `{name}`")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records;

    #[test]
    fn a_record_is_found_by_id_and_by_a_field() {
        reset();
        let ada = record("customer", &[("customer_no", "ada".into())]);
        assert!(records::get("customer", &ada.id).unwrap().is_some());
        assert!(records::get("customer", "customer_no:ada").unwrap().is_some());
        assert!(records::get("order", &ada.id).unwrap().is_none());
    }

    #[test]
    fn an_upsert_creates_once() {
        reset();
        for points in [1_i64, 2] {
            records::upsert("customer", "customer_no", &[("customer_no", "a".into()), ("points", points.into())])
                .unwrap();
        }
        assert_eq!(records::count("customer", "", &[]).unwrap(), 1);
        assert_eq!(records::get("customer", "customer_no:a").unwrap().unwrap().integer("points"), Some(2));
    }

    #[test]
    fn a_filter_is_the_tests_own() {
        reset();
        let _ada = record("customer", &[("country", "France".into())]);
        set_filter(|r, _, _| r.text("country") == Some("France"));
        assert_eq!(records::count("customer", "country == 'France'", &[]).unwrap(), 1);
    }
}
