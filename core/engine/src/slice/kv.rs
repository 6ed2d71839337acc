//! What a plugin keeps for itself under keys of its own: records of a system object, written with the slice like all others.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rapport_model::record::Change;
use rapport_model::rule::{ParamTypes, Params, Scope};
use rapport_model::standard::KV_OBJECT;
use rapport_model::value::nfc;
use rapport_model::{Name, ObjectDef, Record, Value};
use rapport_sandbox::{HostError, KvEntry};
use rapport_store::{Direction, GroupQuery, Measure};

use super::{Answer, SliceHost, refusal, store_failure};
use crate::query::{self, SliceQuery};
use crate::registry::AutomationKind;
use std::sync::Arc;

use rapport_model::automation::Need;
use rapport_model::limits::PAGE_ROWS_MAX;

/// Bytes of a key.
const KEY_BYTES_MAX: usize = 200;
/// Bytes of a value.
const VALUE_BYTES_MAX: usize = 64 << 10;
/// Stands behind every key: no key may hold it.
const LAST: char = '\u{10ffff}';
/// Finds the keys of a plugin that begin with a prefix.
const RULE: &str = "slot > after && slot >= first && slot < last";

fn field(name: &str) -> Name {
    Name::new(name).expect("the standard names are valid: a test reads them all")
}

fn invalid(message: impl Into<String>) -> HostError {
    HostError::permanent("invalid", message)
}

/// The value as its record keeps it: a text that comes back the same as such, all else in base64.
fn written(value: &[u8]) -> (Value, Value) {
    match std::str::from_utf8(value) {
        Ok(text) if !text.is_empty() && !text.contains('\0') && &*nfc(text) == text => {
            (Value::Text(text.into()), Value::Null)
        }
        _ => (Value::Null, Value::Text(STANDARD.encode(value).into())),
    }
}

fn value_of(record: &Record) -> Vec<u8> {
    match (record.get("text"), record.get("base64")) {
        (Value::Text(text), _) => text.as_bytes().to_vec(),
        (_, Value::Text(text)) => STANDARD.decode(&**text).unwrap_or_default(),
        _ => Vec::new(),
    }
}

fn size_of(record: &Record) -> i64 {
    if let Value::Int(size) = record.get("size") { *size } else { 0 }
}

impl SliceHost {
    /// The object, if the guest is a plugin that may go on.
    fn kept(&self) -> Answer<Arc<ObjectDef>> {
        if self.version.kind != AutomationKind::Plugin {
            return Err(HostError::permanent("unsupported", "only plugins keep something for themselves"));
        }
        // It needs no right, since nobody else sees it; but one that was switched off does nothing.
        if let Some(plugin) = self.plugin.as_ref().filter(|plugin| plugin.is_stopped()) {
            plugin.refusal(Need::Read(KV_OBJECT)).map_or(Ok(()), Err)?;
        }
        let object = self.schema.object(KV_OBJECT).cloned();
        object.ok_or_else(|| HostError::permanent("unsupported", "nothing is kept here"))
    }

    /// What stands in `slot` for `key`.
    fn slot(&self, key: &str) -> Answer<Value> {
        let key = nfc(key);
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(invalid(format!("a key has 1 to {KEY_BYTES_MAX} bytes")));
        }
        if key.chars().any(|c| c.is_control() || c == LAST) {
            return Err(invalid("a key has no control characters"));
        }
        Ok(Value::Text(format!("{}:{key}", self.version.id).into()))
    }

    async fn entry(&self, object: &ObjectDef, key: &str) -> Answer<(Value, Option<Arc<Record>>)> {
        let slot = self.slot(key)?;
        let found = self.locate_by(object, &field("slot"), &slot).await?;
        Ok((slot, found))
    }

    /// Which entries have keys that begin with `prefix` and come behind `after`.
    fn range(&self, prefix: &str, after: &str) -> Params {
        let slot = |rest: &str| Value::Text(format!("{}:{}", self.version.id, nfc(rest)).into());
        let last = Value::Text(format!("{}:{}{LAST}", self.version.id, nfc(prefix)).into());
        Params::none().with("after", slot(after)).with("first", slot(prefix)).with("last", last)
    }

    /// Counts `more` bytes, if the quota allows them. What other slices write at the same moment is not counted.
    async fn claim(&mut self, object: &Arc<ObjectDef>, more: i64) -> Answer<()> {
        let used = match self.kv_used {
            Some(used) => used,
            None => self.kv_committed(object).await?,
        };
        let limit = i64::try_from(self.limits.kv_bytes_max).unwrap_or(i64::MAX);
        let quota = self.version.declaration.budgets.kv_bytes.and_then(|own| i64::try_from(own).ok());
        let quota = quota.map_or(limit, |own| own.min(limit));
        let after = used.saturating_add(more);
        if more > 0 && after > quota {
            let message = format!("`{}` would keep {after} bytes, more than its {quota}", self.version.id);
            return Err(HostError::permanent("quota", message));
        }
        self.kv_used = Some(after);
        Ok(())
    }

    /// The bytes that the plugin's entries take up, as committed.
    async fn kv_committed(&self, object: &Arc<ObjectDef>) -> Answer<i64> {
        let params = self.range("", "");
        let rule = self.lookup.rule(&self.schema, &Scope::Record(object.clone()), RULE, &ParamTypes::of(&params));
        let query = GroupQuery {
            object: object.name.clone(),
            rule: Some(rule.map_err(|e| refusal(e.into()))?),
            params,
            now: self.time,
            group_by: Vec::new(),
            measures: vec![Measure::Sum(field("size"))],
            limit: 1,
        };
        let rows = self.store.groups(&query).await.map_err(store_failure)?;
        Ok(rows
            .first()
            .and_then(|row| if let Some(Value::Int(sum)) = row.first() { Some(*sum) } else { None })
            .unwrap_or(0))
    }

    pub(super) async fn do_kv_get(&mut self, key: &str) -> Answer<Option<Vec<u8>>> {
        let object = self.kept()?;
        let (_, found) = self.entry(&object, key).await?;
        self.count_rows(1)?;
        if let Some(record) = found.as_ref().filter(|r| !self.buffer.is_touched(r.id)) {
            self.buffer.saw(record);
        }
        Ok(found.as_deref().map(value_of))
    }

    pub(super) async fn do_kv_set(&mut self, key: &str, value: &[u8]) -> Answer<()> {
        let object = self.kept()?;
        if value.len() > VALUE_BYTES_MAX {
            return Err(invalid(format!("a value has {VALUE_BYTES_MAX} bytes at most, this one {}", value.len())));
        }
        let (slot, before) = self.entry(&object, key).await?;
        self.count_writes()?;
        let size = i64::try_from(key.len() + value.len()).unwrap_or(i64::MAX);
        self.claim(&object, size - before.as_deref().map_or(0, size_of)).await?;
        let (text, base64) = written(value);
        let set = |name: &str, value| (field(name), Change::Set(value));
        let mut changes = vec![set("text", text), set("base64", base64), set("size", Value::Int(size))];
        if let Some(before) = before {
            self.buffer.update(&before, self.time, changes).map_err(|e| refusal(e.into()))?;
        } else {
            changes.push(set("slot", slot));
            self.new_record(&object, changes)?;
        }
        Ok(())
    }

    pub(super) async fn do_kv_delete(&mut self, key: &str) -> Answer<bool> {
        let object = self.kept()?;
        let (_, found) = self.entry(&object, key).await?;
        self.count_writes()?;
        let Some(record) = found else { return Ok(false) };
        self.claim(&object, -size_of(&record)).await?;
        self.buffer.delete(&record);
        Ok(true)
    }

    pub(super) async fn do_kv_list(&mut self, prefix: &str, after: &str, limit: u32) -> Answer<Vec<KvEntry>> {
        let object = self.kept()?;
        let params = self.range(prefix, after);
        let rule = self.lookup.rule(&self.schema, &Scope::Record(object.clone()), RULE, &ParamTypes::of(&params));
        let query = SliceQuery {
            object,
            rule: Some(rule.map_err(|e| refusal(e.into()))?),
            params,
            now: self.time,
            order: vec![(field("slot"), Direction::Ascending)],
            after: None,
            limit: if limit == 0 { PAGE_ROWS_MAX } else { limit.min(PAGE_ROWS_MAX) },
        };
        let rows = query::find(&self.store, &self.buffer, &query).await.map_err(refusal)?;
        self.count_rows(rows.len())?;
        let own = self.version.id.as_str().len() + 1;
        let key =
            |row: &Record| row.get("slot").as_text().and_then(|slot| slot.get(own..)).unwrap_or_default().to_owned();
        Ok(rows.iter().map(|row| KvEntry { key: key(row), value: value_of(row) }).collect())
    }

    /// The sum is read and written, so that a slice whose sum another one has moved is tried again.
    pub(super) async fn do_kv_increment(&mut self, key: &str, delta: i64) -> Answer<i64> {
        let found = self.do_kv_get(key).await?;
        let number = found.map_or(Ok(0), |value| {
            let text = std::str::from_utf8(&value).ok().and_then(|text| text.parse::<i64>().ok());
            text.ok_or_else(|| invalid(format!("under `{key}` is no whole number")))
        });
        let sum = number?.checked_add(delta).ok_or_else(|| invalid(format!("the sum under `{key}` is too large")))?;
        self.do_kv_set(key, sum.to_string().as_bytes()).await?;
        Ok(sum)
    }
}
