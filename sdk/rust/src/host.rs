//! The host's calls: across the border in a component, to the fake host anywhere else.

#[cfg(target_arch = "wasm32")]
mod real {
    use crate::bindings::rapport::plugin as host;
    use crate::{Error, Field, Level, Page, Record, Value};

    fn fields(pairs: &[(&str, Value)]) -> Vec<Field> {
        pairs.iter().map(|(name, value)| Field { name: (*name).to_owned(), value: value.clone() }).collect()
    }

    pub(crate) fn get(object: &str, key: &str) -> Result<Option<Record>, Error> {
        host::records::get(object, key)
    }

    pub(crate) fn find(
        object: &str,
        filter: &str,
        params: &[(&str, Value)],
        page: &Page,
    ) -> Result<Vec<Record>, Error> {
        host::records::find(object, filter, &fields(params), page)
    }

    pub(crate) fn count(object: &str, filter: &str, params: &[(&str, Value)]) -> Result<u64, Error> {
        host::records::count(object, filter, &fields(params))
    }

    pub(crate) fn create(object: &str, pairs: &[(&str, Value)]) -> Result<Record, Error> {
        host::records::create(object, &fields(pairs))
    }

    pub(crate) fn update(object: &str, key: &str, pairs: &[(&str, Value)]) -> Result<(), Error> {
        host::records::update(object, key, &fields(pairs))
    }

    pub(crate) fn increment(object: &str, key: &str, field: &str, delta: &Value) -> Result<(), Error> {
        host::records::increment(object, key, field, delta)
    }

    pub(crate) fn upsert(object: &str, by: &str, pairs: &[(&str, Value)]) -> Result<Record, Error> {
        host::records::upsert(object, by, &fields(pairs))
    }

    pub(crate) fn delete(object: &str, key: &str) -> Result<bool, Error> {
        host::records::delete(object, key)
    }

    pub(crate) fn emit(kind: &str, subject: &str, data: &[(&str, Value)]) -> Result<(), Error> {
        host::events::emit(kind, subject, &fields(data))
    }

    pub(crate) fn log(level: Level, message: &str) {
        host::log::write(level, message);
    }

    pub(crate) fn now() -> i64 {
        host::clock::now()
    }

    pub(crate) fn random(count: u32) -> Vec<u8> {
        host::random::bytes(count)
    }

    pub(crate) fn setting(name: &str) -> Result<Value, Error> {
        host::settings::get(name)
    }
}

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::fake::calls::{
    count, create, delete, emit, find, get, increment, log, now, random, setting, update, upsert,
};
#[cfg(target_arch = "wasm32")]
pub(crate) use real::{count, create, delete, emit, find, get, increment, log, now, random, setting, update, upsert};
