//! The host as one slice sees it: every call passes the gate, writes go to the buffer, and the trace notes all of it.

mod action;
mod around;
mod bulk;
mod calendars;
mod calls;
mod files;
mod kv;
mod limits;
mod locate;
mod members;
mod order;
mod outbound;
mod pure;
mod question;
mod refusal;
mod script;
mod search;
mod shown;
mod tags;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use rapport_model::automation::Need;
use rapport_model::event::NewEvent;
use rapport_model::json::{fit_value, to_json};
use rapport_model::limits::PAGE_ROWS_MAX;
use rapport_model::record::Change;
use rapport_model::rule::{ParamTypes, Params, Rule, Scope};
use rapport_model::{AutomationId, Name, ObjectDef, RunId, Schema, Timestamp, Value};
use rapport_sandbox::{
    Arrival, FileInfo, FindRequest, Grouping, GuestEvent, GuestFields, Host, HostError, HttpReply, HttpRequest,
    JobRequest, KvEntry, LogLevel, NewFile, Outgoing, Question, RecordData, Reply, RunContext, ScriptCall, SearchAsked,
    SearchFound, Selection, Spent, Table, WaitRequest,
};
use rapport_store::Store;
use serde_json::Value as Json;

use crate::buffer::Buffer;
use crate::draft::known_field;
use crate::entropy::{RunSecret, Stream};
use crate::gate::{allows, visible_object};
use crate::journaled::WAITING;
use crate::locks::SliceLocks;
use crate::lookup::Lookup;
use crate::merged::Merged;
use crate::plugins::Installed;
use crate::query::SliceQuery;
use crate::registry::{AutomationKind, Snapshot, Version};
use crate::trace::Trace;
use crate::usage::Usages;

use self::around::setting_of;
pub(crate) use self::files::FileUse;
pub(crate) use self::kv::Kept;
pub(crate) use self::limits::SliceLimits;
pub(crate) use self::order::read_order;
pub(crate) use self::outbound::{Outbound, fill_in, record_variables};
use self::refusal::{limit, refusal, store_failure};
use self::shown::{about, listed, named, outcome};

/// The host of one slice.
#[derive(Debug)]
pub(crate) struct SliceHost {
    pub(crate) store: Store,
    pub(crate) lookup: Arc<Lookup>,
    pub(crate) merged: Arc<Merged>,
    pub(crate) schema: Arc<Schema>,
    pub(crate) version: Arc<Version>,
    pub(crate) time: Timestamp,
    pub(crate) random: Stream,
    pub(crate) secret: RunSecret,
    pub(crate) limits: SliceLimits,
    pub(crate) buffer: Buffer,
    pub(crate) events: Vec<NewEvent>,
    /// What is known of what the plugin keeps for itself.
    pub(crate) kv: Kept,
    /// What is known of files.
    pub(crate) files: FileUse,
    /// Who caused what is going on.
    pub(crate) actor: String,
    pub(crate) trace: Trace,
    pub(crate) rows_read: u32,
    pub(crate) outbound: Outbound,
    pub(crate) locks: SliceLocks,
    pub(crate) run: RunId,
    /// What was live when the slice began.
    pub(crate) live: Arc<Snapshot>,
    /// Whether it is known here who is in which segment.
    pub(crate) knows_members: bool,
    /// What plugins use is counted there.
    pub(crate) usages: Arc<Usages>,
    /// The package that the automation came in, if it did.
    pub(crate) plugin: Option<Arc<Installed>>,
    /// All plugins that came in packages.
    pub(crate) packed: Arc<HashMap<AutomationId, Arc<Installed>>>,
    /// What the run results in, for the one that invoked it.
    pub(crate) reply: Json,
}

type Answer<T> = Result<T, HostError>;

impl SliceHost {
    /// The gate: what is declared and, of a plugin that came in a package, granted passes.
    pub(crate) fn allow(&self, need: Need<'_>) -> Answer<()> {
        if allows(&self.version.declaration.uses, need) {
            return self.plugin.as_ref().and_then(|plugin| plugin.refusal(need)).map_or(Ok(()), Err);
        }
        let right = need.as_capability();
        let line = match self.version.kind {
            AutomationKind::Script => format!("add `uses(\"{right}\");` at the top of the script"),
            AutomationKind::Plugin => format!("add `{right}` with a reason to [[capabilities]] in plugin.toml"),
        };
        let message = format!("`{}` may not use `{right}`: {line}", self.version.id);
        Err(HostError { code: "denied".into(), message, retryable: false, ends_slice: true })
    }

    fn object(&self, name: &str) -> Answer<Arc<ObjectDef>> {
        visible_object(&self.schema, name).map_err(refusal)
    }

    fn count_rows(&mut self, rows: usize) -> Answer<()> {
        self.rows_read = self.rows_read.saturating_add(u32::try_from(rows).unwrap_or(u32::MAX));
        if self.rows_read <= self.limits.rows_read_max {
            return Ok(());
        }
        Err(limit("rows_read", "read", self.limits.rows_read_max, "rows"))
    }

    pub(crate) fn count_writes(&self) -> Answer<()> {
        let writes = self.buffer.writes() + self.events.len();
        if u32::try_from(writes).is_ok_and(|n| n < self.limits.writes_max) {
            return Ok(());
        }
        Err(limit("writes", "wrote or emitted", self.limits.writes_max, "records and events"))
    }

    /// Types the fields of a guest by the object's definition.
    async fn changes(&self, object: &ObjectDef, fields: GuestFields) -> Answer<Vec<(Name, Change)>> {
        let mut changes: Vec<(Name, Change)> = Vec::with_capacity(fields.len());
        for (name, value) in fields {
            let field = known_field(object, &name).map_err(refusal)?;
            if changes.iter().any(|(known, _)| *known == field.name) {
                return Err(HostError::permanent("invalid", format!("`{name}` is given twice")));
            }
            if let Some(change) = tags::edit(field, &value)? {
                changes.push((field.name.clone(), change));
                continue;
            }
            let value = match (&field.kind, value) {
                (rapport_model::FieldKind::Reference { object: target }, Value::Text(text)) => {
                    let target = self.object(target.as_str())?;
                    Value::Ref(self.must_locate(&target, &text).await?.id)
                }
                (kind, value) => {
                    let wrong = |why| HostError::permanent("invalid", format!("`{name}`: {why}"));
                    let mut value = fit_value(kind, value).map_err(wrong)?;
                    self.merged.follow_reference(&mut value);
                    value
                }
            };
            changes.push((field.name.clone(), Change::Set(value)));
        }
        Ok(changes)
    }

    fn allow_writes(&self, object: &ObjectDef, changes: &[(Name, Change)]) -> Answer<()> {
        changes.iter().try_for_each(|(field, _)| self.allow(Need::Write(object.name.as_str(), field.as_str())))
    }

    fn new_record(&mut self, object: &Arc<ObjectDef>, changes: Vec<(Name, Change)>) -> Answer<RecordData> {
        self.count_writes()?;
        self.must_be_free(object, None, &changes)?;
        let id = self.random.record_id(self.time);
        let made = self.buffer.create(object, id, self.time, changes).map_err(|e| refusal(e.into()))?;
        Ok(rapport_model::formula::shown(&made, self.time))
    }

    fn rule(&self, object: &Arc<ObjectDef>, filter: &str, params: &Params) -> Answer<Option<Rule>> {
        if filter.trim().is_empty() {
            return Ok(None);
        }
        let rule = self.lookup.rule(&self.schema, &Scope::Record(object.clone()), filter, &ParamTypes::of(params));
        let rule = rule.map_err(|e| HostError::permanent("invalid_rule", format!("in `{filter}`: {e}")))?;
        rule.references().iter().try_for_each(|r| self.allow(Need::Read(r.object.as_str())))?;
        Ok(Some(rule))
    }

    fn query(&self, request: FindRequest) -> Answer<SliceQuery> {
        self.allow(Need::Read(&request.object))?;
        let object = self.object(&request.object)?;
        let params = self.merged.followed(request.params);
        let rule = self.rule(&object, &request.filter, &params)?;
        let order = read_order(&object, &request.order).map_err(refusal)?;
        let after = match request.after.as_str() {
            "" => None,
            _ if !order.is_empty() => {
                return Err(HostError::permanent("invalid", "`after` goes with the order by id alone"));
            }
            text => Some(text.parse().map_err(|_| HostError::permanent("invalid", "`after` is no id"))?),
        };
        let limit = if request.limit == 0 { PAGE_ROWS_MAX } else { request.limit.min(PAGE_ROWS_MAX) };
        Ok(SliceQuery { object, rule, params, now: self.time, order, after, limit })
    }
}

#[async_trait]
impl Host for SliceHost {
    async fn get(&mut self, object: &str, key: &str) -> Answer<Option<RecordData>> {
        let started = Instant::now();
        let answer = self.do_get(object, key).await;
        let shown = outcome(&answer, |found| found.as_ref().map_or_else(|| "none".to_owned(), named));
        self.trace.call("get", &about(object, key), &shown, started);
        answer
    }

    async fn find(&mut self, query: FindRequest) -> Answer<Vec<RecordData>> {
        let started = Instant::now();
        let about = format!("{} where {} ({})", query.object, query.filter, listed(&query.params));
        let answer = self.do_find(query).await;
        self.trace.call("find", &about, &outcome(&answer, |rows| format!("{} rows", rows.len())), started);
        answer
    }

    async fn count(&mut self, object: &str, filter: &str, params: GuestFields) -> Answer<u64> {
        let started = Instant::now();
        let about = format!("{object} where {filter} ({})", listed(&params));
        let answer = self.do_count(object, filter, params).await;
        self.trace.call("count", &about, &outcome(&answer, u64::to_string), started);
        answer
    }

    async fn create(&mut self, object: &str, fields: GuestFields) -> Answer<RecordData> {
        let started = Instant::now();
        let about = format!("{object} {{{}}}", listed(&fields));
        let answer = self.do_create(object, fields).await;
        self.trace.call("create", &about, &outcome(&answer, named), started);
        answer
    }

    async fn update(&mut self, object: &str, key: &str, fields: GuestFields) -> Answer<()> {
        let started = Instant::now();
        let about = format!("{} {{{}}}", about(object, key), listed(&fields));
        let answer = self.do_update(object, key, fields).await;
        self.trace.call("update", &about, &outcome(&answer, |()| "done".to_owned()), started);
        answer
    }

    async fn increment(&mut self, object: &str, key: &str, field: &str, delta: Value) -> Answer<()> {
        let started = Instant::now();
        let about = format!("{} {field} by {}", about(object, key), to_json(&delta));
        let answer = self.do_increment(object, key, field, delta).await;
        self.trace.call("increment", &about, &outcome(&answer, |()| "done".to_owned()), started);
        answer
    }

    async fn upsert(&mut self, object: &str, by: &str, fields: GuestFields) -> Answer<RecordData> {
        let started = Instant::now();
        let about = format!("{object} by {by} {{{}}}", listed(&fields));
        let answer = self.do_upsert(object, by, fields).await;
        self.trace.call("upsert", &about, &outcome(&answer, named), started);
        answer
    }

    async fn delete(&mut self, object: &str, key: &str) -> Answer<bool> {
        let started = Instant::now();
        let answer = self.do_delete(object, key).await;
        self.trace.call("delete", &about(object, key), &outcome(&answer, bool::to_string), started);
        answer
    }

    async fn emit(&mut self, kind: &str, subject: &str, data: GuestFields) -> Answer<()> {
        let started = Instant::now();
        let about = format!("{kind} about {subject} {{{}}}", listed(&data));
        let answer = self.do_emit(kind, subject, data).await;
        self.trace.call("emit", &about, &outcome(&answer, |()| "done".to_owned()), started);
        answer
    }

    fn log(&mut self, level: LogLevel, message: &str) {
        self.trace.log(level, message);
    }

    fn now(&self) -> Timestamp {
        self.time
    }

    fn random(&mut self, count: u32) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(count).unwrap_or(0)];
        self.random.fill(&mut bytes);
        bytes
    }

    fn setting(&mut self, name: &str) -> Answer<Value> {
        setting_of(&self.version, name)
    }

    async fn send(&mut self, message: Outgoing) -> Answer<String> {
        let started = Instant::now();
        let about =
            format!("{} to {} with {} ({})", message.channel, message.to, message.template, listed(&message.data));
        let answer = self.do_send(message).await;
        self.trace.call("send", &about, &outcome(&answer, Clone::clone), started);
        answer
    }

    async fn http(&mut self, _: HttpRequest) -> Answer<HttpReply> {
        waits_here()
    }

    async fn select(&mut self, selection: Selection) -> Answer<Table> {
        let started = Instant::now();
        let about = format!("{} of {} where {}", selection.fields.join(", "), selection.object, selection.filter);
        let answer = self.do_select(selection).await;
        self.trace.call("select", &about, &outcome(&answer, |table| format!("{} rows", table.rows.len())), started);
        answer
    }

    async fn aggregate(&mut self, grouping: Grouping) -> Answer<Table> {
        let started = Instant::now();
        let about = format!("{} by {} where {}", grouping.object, grouping.group_by.join(", "), grouping.filter);
        let answer = self.do_aggregate(grouping).await;
        self.trace.call("aggregate", &about, &outcome(&answer, |table| format!("{} rows", table.rows.len())), started);
        answer
    }

    async fn search(&mut self, asked: SearchAsked) -> Answer<Vec<SearchFound>> {
        let started = Instant::now();
        let about = format!("{} for {}", asked.object, asked.text);
        let answer = self.do_search(asked).await;
        self.trace.call("search", &about, &outcome(&answer, |hits| format!("{} hits", hits.len())), started);
        answer
    }

    async fn business_due(&mut self, calendar: &str, start: Timestamp, span: &str) -> Answer<Timestamp> {
        self.traced_due(calendar, start, span).await
    }

    async fn business_elapsed(&mut self, calendar: &str, start: Timestamp, end: Timestamp) -> Answer<i64> {
        self.traced_elapsed(calendar, start, end).await
    }

    async fn kv_get(&mut self, key: &str) -> Answer<Option<Vec<u8>>> {
        let started = Instant::now();
        let answer = self.do_kv_get(key).await;
        let shown =
            |found: &Option<Vec<u8>>| found.as_ref().map_or("none".to_owned(), |v| format!("{} bytes", v.len()));
        self.trace.call("kv.get", key, &outcome(&answer, shown), started);
        answer
    }

    async fn kv_set(&mut self, key: &str, value: Vec<u8>) -> Answer<()> {
        let started = Instant::now();
        let answer = self.do_kv_set(key, &value).await;
        self.trace.call("kv.set", key, &outcome(&answer, |()| format!("{} bytes", value.len())), started);
        answer
    }

    async fn kv_delete(&mut self, key: &str) -> Answer<bool> {
        let started = Instant::now();
        let answer = self.do_kv_delete(key).await;
        self.trace.call("kv.delete", key, &outcome(&answer, bool::to_string), started);
        answer
    }

    async fn kv_list(&mut self, prefix: &str, after: &str, limit: u32) -> Answer<Vec<KvEntry>> {
        let started = Instant::now();
        let answer = self.do_kv_list(prefix, after, limit).await;
        self.trace.call("kv.list", prefix, &outcome(&answer, |entries| format!("{} entries", entries.len())), started);
        answer
    }

    async fn kv_increment(&mut self, key: &str, delta: i64) -> Answer<i64> {
        let started = Instant::now();
        let answer = self.do_kv_increment(key, delta).await;
        self.trace.call("kv.increment", &format!("{key} by {delta}"), &outcome(&answer, i64::to_string), started);
        answer
    }

    async fn file_put(&mut self, file: NewFile) -> Answer<FileInfo> {
        let started = Instant::now();
        let about = format!("{} ({}, {} bytes)", file.name, file.media_type, file.content.len());
        let answer = self.do_file_put(file).await;
        self.trace.call("files.put", &about, &outcome(&answer, |info| info.id.clone()), started);
        answer
    }

    async fn file_info(&mut self, id: &str) -> Answer<Option<FileInfo>> {
        let started = Instant::now();
        let answer = self.do_file_info(id).await;
        let shown = |found: &Option<FileInfo>| found.as_ref().map_or("none".to_owned(), |info| info.name.clone());
        self.trace.call("files.info", id, &outcome(&answer, shown), started);
        answer
    }

    async fn file_read(&mut self, id: &str, offset: u64, length: u32) -> Answer<Vec<u8>> {
        let started = Instant::now();
        let answer = self.do_file_read(id, offset, length).await;
        let about = format!("{id} from {offset}, {length} bytes");
        self.trace.call("files.read", &about, &outcome(&answer, |bytes| format!("{} bytes", bytes.len())), started);
        answer
    }

    async fn files_of(&mut self, object: &str, key: &str, after: &str, limit: u32) -> Answer<Vec<FileInfo>> {
        let started = Instant::now();
        let answer = self.do_files_of(object, key, after, limit).await;
        let shown = outcome(&answer, |infos| format!("{} files", infos.len()));
        self.trace.call("files.attached", &about(object, key), &shown, started);
        answer
    }

    async fn file_delete(&mut self, id: &str) -> Answer<bool> {
        let started = Instant::now();
        let answer = self.do_file_delete(id).await;
        self.trace.call("files.delete", id, &outcome(&answer, bool::to_string), started);
        answer
    }

    async fn secret_exists(&mut self, name: &str) -> Answer<bool> {
        let started = Instant::now();
        let answer = self.do_secret_exists(name).await;
        self.trace.call("secrets.exists", name, &outcome(&answer, bool::to_string), started);
        answer
    }

    async fn secret_hmac(&mut self, name: &str, message: &[u8]) -> Answer<Vec<u8>> {
        let started = Instant::now();
        let answer = self.do_secret_hmac(name, message).await;
        self.trace.call("secrets.hmac", name, &outcome(&answer, |_| "done".to_owned()), started);
        answer
    }

    async fn run_script(&mut self, call: ScriptCall) -> (Answer<String>, Spent) {
        let (answer, spent) = self.traced_script(call).await;
        (answer.map(|ran| ran.result), spent)
    }

    fn context(&self) -> RunContext {
        self.running_as()
    }

    async fn lock(&mut self, key: &str) -> Answer<()> {
        let started = Instant::now();
        let answer = self.locks.lock(&self.store, key).await;
        self.trace.call("lock", key, &outcome(&answer, |()| "held until the commit".to_owned()), started);
        answer
    }

    fn reply(&mut self, value: &str) -> Answer<()> {
        self.reply = crate::invoked::read_json("the result", value)?;
        Ok(())
    }

    // Alone, as in a preview, this host shows what a run does up to where it waits.
    async fn sleep(&mut self, _: &str) -> Answer<()> {
        waits_here()
    }

    async fn sleep_until(&mut self, _: Timestamp) -> Answer<()> {
        waits_here()
    }

    async fn wait_for(&mut self, _: WaitRequest) -> Answer<Option<GuestEvent>> {
        waits_here()
    }

    async fn ask(&mut self, _: Question) -> Answer<Reply> {
        waits_here()
    }

    async fn wait_any(&mut self, _: Vec<WaitRequest>, _: &str) -> Answer<Option<Arrival>> {
        waits_here()
    }

    async fn invoke(&mut self, _: &str, _: &str) -> Answer<String> {
        waits_here()
    }

    async fn start_job(&mut self, job: JobRequest) -> Answer<String> {
        let started = Instant::now();
        let about = format!("{} {}", job.action, job.input.chars().take(200).collect::<String>());
        let answer = self.do_start_job(job).await;
        self.trace.call("start_job", &about, &outcome(&answer, Clone::clone), started);
        answer
    }
}

fn waits_here<T>() -> Answer<T> {
    Err(HostError::ending(WAITING, "the run waits here"))
}
