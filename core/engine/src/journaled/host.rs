//! The calls of a guest, each answered from the journal or done and noted.

use async_trait::async_trait;
use rapport_model::{Timestamp, Value, duration};
use rapport_sandbox::{
    Arrival, FileInfo, FindRequest, Grouping, GuestEvent, GuestFields, Host, HostError, HttpReply, HttpRequest,
    JobRequest, KvEntry, LogLevel, NewFile, Outgoing, Question, RecordData, Reply, RunContext, ScriptCall, SearchAsked,
    SearchFound, Selection, Spent, Table, WaitRequest,
};
use serde_json::{Value as Json, json};

use super::data::{
    bytes_json, entries_json, file_json, hit_json, read_bytes, read_entries, read_file, read_hit, read_table,
    table_json,
};
use super::{Answer, JournaledHost, Step};
use crate::journal;

/// Whether an answer from the journal is a failure.
pub(super) fn failure(json: &Json) -> Option<HostError> {
    journal::read_error(json.get("error")?)
}

pub(super) fn written_fields(fields: &GuestFields) -> Json {
    journal::params_json(fields)
}

/// Answers a call from the journal, or does it and notes it.
macro_rules! journaled {
    ($self:ident, $name:literal, $arguments:expr, $live:expr, $write:expr, $read:expr) => {{
        let arguments: String = $arguments.to_string();
        match $self.step($name, &arguments)? {
            Step::Known(json) | Step::Woken(json) => match failure(&json) {
                Some(error) => Err(error),
                None => Ok($read(&*$self, &json)),
            },
            Step::Live => {
                let result = $live;
                $self.noted($name, &arguments, result, $write)
            }
        }
    }};
}

fn maybe_record(found: Option<&RecordData>) -> Json {
    found.map(|record| &**record).map_or(Json::Null, journal::record_json)
}

#[async_trait]
impl Host for JournaledHost {
    async fn get(&mut self, object: &str, key: &str) -> Answer<Option<RecordData>> {
        journaled!(
            self,
            "get",
            json!([object, key]),
            self.inner.get(object, key).await,
            |found: &Option<RecordData>| maybe_record(found.as_ref()),
            |own: &Self, json| { journal::read_record(json, &own.inner.schema) }
        )
    }

    async fn find(&mut self, query: FindRequest) -> Answer<Vec<RecordData>> {
        let arguments =
            json!([query.object, query.filter, written_fields(&query.params), query.order, query.limit, query.after]);
        journaled!(
            self,
            "find",
            arguments,
            self.inner.find(query).await,
            |rows: &Vec<RecordData>| rows.iter().map(|r| journal::record_json(r)).collect(),
            |own: &Self, json| own.read_records(json)
        )
    }

    async fn count(&mut self, object: &str, filter: &str, params: GuestFields) -> Answer<u64> {
        let arguments = json!([object, filter, written_fields(&params)]);
        journaled!(
            self,
            "count",
            arguments,
            self.inner.count(object, filter, params).await,
            |n: &u64| json!(n),
            |_: &Self, json: &Json| json.as_u64().unwrap_or(0)
        )
    }

    async fn create(&mut self, object: &str, fields: GuestFields) -> Answer<RecordData> {
        let arguments = json!([object, written_fields(&fields)]).to_string();
        match self.step("create", &arguments)? {
            Step::Known(json) | Step::Woken(json) => self.known_record(&json),
            Step::Live => {
                let result = self.inner.create(object, fields).await;
                self.noted("create", &arguments, result, |record| journal::record_json(record))
            }
        }
    }

    async fn update(&mut self, object: &str, key: &str, fields: GuestFields) -> Answer<()> {
        let arguments = json!([object, key, written_fields(&fields)]);
        journaled!(
            self,
            "update",
            arguments,
            self.inner.update(object, key, fields).await,
            |()| Json::Null,
            |_: &Self, _| ()
        )
    }

    async fn increment(&mut self, object: &str, key: &str, field: &str, delta: Value) -> Answer<()> {
        let arguments = json!([object, key, field, journal::value_json(&delta)]);
        journaled!(
            self,
            "increment",
            arguments,
            self.inner.increment(object, key, field, delta).await,
            |()| Json::Null,
            |_: &Self, _| ()
        )
    }

    async fn upsert(&mut self, object: &str, by: &str, fields: GuestFields) -> Answer<RecordData> {
        let arguments = json!([object, by, written_fields(&fields)]).to_string();
        match self.step("upsert", &arguments)? {
            Step::Known(json) | Step::Woken(json) => self.known_record(&json),
            Step::Live => {
                let result = self.inner.upsert(object, by, fields).await;
                self.noted("upsert", &arguments, result, |record| journal::record_json(record))
            }
        }
    }

    async fn delete(&mut self, object: &str, key: &str) -> Answer<bool> {
        journaled!(
            self,
            "delete",
            json!([object, key]),
            self.inner.delete(object, key).await,
            |done: &bool| json!(done),
            |_: &Self, json: &Json| json.as_bool().unwrap_or(false)
        )
    }

    async fn emit(&mut self, kind: &str, subject: &str, data: GuestFields) -> Answer<()> {
        let arguments = json!([kind, subject, written_fields(&data)]);
        journaled!(
            self,
            "emit",
            arguments,
            self.inner.emit(kind, subject, data).await,
            |()| Json::Null,
            |_: &Self, _| ()
        )
    }

    async fn send(&mut self, message: Outgoing) -> Answer<String> {
        self.send_journaled(message).await
    }

    async fn http(&mut self, request: HttpRequest) -> Answer<HttpReply> {
        self.http_journaled(request).await
    }

    fn log(&mut self, level: LogLevel, message: &str) {
        // What was logged before the run waited is not logged again.
        if self.journal.is_empty() {
            self.inner.log(level, message);
        }
    }

    fn now(&self) -> Timestamp {
        if self.is_played() { self.inner.time } else { self.time }
    }

    fn random(&mut self, count: u32) -> Vec<u8> {
        let arguments = json!([count]).to_string();
        match self.step("random", &arguments) {
            Ok(Step::Known(json) | Step::Woken(json)) => {
                let bytes = json.as_array().into_iter().flatten().filter_map(|b| u8::try_from(b.as_u64()?).ok());
                bytes.collect()
            }
            Ok(Step::Live) => {
                let bytes = self.inner.random(count);
                self.note("random", &arguments, Ok(json!(bytes)));
                bytes
            }
            // The next call that can say so ends the slice.
            Err(_) => vec![0; usize::try_from(count).unwrap_or(0)],
        }
    }

    fn setting(&mut self, name: &str) -> Answer<Value> {
        let arguments = json!([name]);
        journaled!(
            self,
            "setting",
            arguments,
            self.inner.setting(name),
            journal::value_json,
            |_: &Self, json: &Json| { journal::read_value(json).unwrap_or_default() }
        )
    }

    async fn sleep(&mut self, span: &str) -> Answer<()> {
        let arguments = json!([span]).to_string();
        match self.step("sleep", &arguments)? {
            Step::Known(json) => failure(&json).map_or(Ok(()), Err),
            Step::Woken(_) => {
                self.answered(&json!({}));
                Ok(())
            }
            Step::Live => {
                let micros = match duration::parse(span) {
                    Ok(micros) => micros,
                    Err(e) => {
                        let wrong = Err(HostError::permanent("invalid", e.to_string()));
                        return self.noted("sleep", &arguments, wrong, |()| Json::Null);
                    }
                };
                self.sleep_live(("sleep", &arguments), self.inner.time.plus_micros(micros))
            }
        }
    }

    async fn sleep_until(&mut self, instant: Timestamp) -> Answer<()> {
        let arguments = json!([instant.micros()]).to_string();
        match self.step("sleep_until", &arguments)? {
            Step::Known(json) => failure(&json).map_or(Ok(()), Err),
            Step::Woken(_) => {
                self.answered(&json!({}));
                Ok(())
            }
            Step::Live => self.sleep_live(("sleep_until", &arguments), instant),
        }
    }

    async fn wait_for(&mut self, request: WaitRequest) -> Answer<Option<GuestEvent>> {
        let arguments =
            json!([request.kind, request.filter, written_fields(&request.params), request.timeout]).to_string();
        match self.step("wait_for", &arguments)? {
            Step::Known(json) => failure(&json).map_or_else(|| Ok(self.read_event(&json)), Err),
            Step::Woken(_) => Ok(self.woken_event()),
            Step::Live => match self.wait_live(&request) {
                Ok((wanted, suspension)) => self.suspend(("wait_for", &arguments), &wanted, suspension),
                Err(error) => self.noted("wait_for", &arguments, Err(error), |_| Json::Null),
            },
        }
    }

    async fn ask(&mut self, question: Question) -> Answer<Reply> {
        let Question { who, title, body, choices, about, timeout } = &question;
        let arguments = json!([who, title, body, choices, about, timeout]).to_string();
        match self.step("ask", &arguments)? {
            Step::Known(json) => failure(&json).map_or_else(|| Ok(read_reply(&json)), Err),
            Step::Woken(request) => {
                let reply = self.answer_to(request["task"].as_str().unwrap_or_default());
                self.answered(&json!({
                    "choice": reply.choice, "by": reply.by, "timed_out": reply.timed_out, "task": reply.task,
                }));
                Ok(reply)
            }
            Step::Live => match self.ask_live(&question).await {
                Ok((request, suspension)) => self.suspend(("ask", &arguments), &request, suspension),
                Err(error) => self.noted("ask", &arguments, Err(error), |_| Json::Null),
            },
        }
    }

    async fn lock(&mut self, key: &str) -> Answer<()> {
        // A lock of a slice that is answered from the journal was let go when that slice ended.
        let arguments = json!([key]);
        journaled!(self, "lock", arguments, self.inner.lock(key).await, |()| Json::Null, |_: &Self, _| ())
    }

    async fn select(&mut self, asked: Selection) -> Answer<Table> {
        let params = written_fields(&asked.params);
        let arguments =
            json!([asked.object, asked.fields, asked.filter, params, asked.order, asked.limit, asked.cursor]);
        journaled!(self, "select", arguments, self.inner.select(asked).await, table_json, |_: &Self, json| {
            read_table(json)
        })
    }

    async fn aggregate(&mut self, asked: Grouping) -> Answer<Table> {
        let params = written_fields(&asked.params);
        let measures: Vec<Json> = asked.measures.iter().map(|m| json!([m.kind, m.field])).collect();
        let arguments = json!([asked.object, asked.filter, params, asked.group_by, measures]);
        journaled!(self, "aggregate", arguments, self.inner.aggregate(asked).await, table_json, |_: &Self, json| {
            read_table(json)
        })
    }

    async fn search(&mut self, asked: SearchAsked) -> Answer<Vec<SearchFound>> {
        let SearchAsked { object, text, fields, filter, params, limit } = &asked;
        journaled!(
            self,
            "search",
            json!([object, text, fields, filter, written_fields(params), limit]),
            self.inner.search(asked).await,
            |hits: &Vec<SearchFound>| hits.iter().map(hit_json).collect(),
            |_: &Self, json: &Json| json.as_array().into_iter().flatten().filter_map(read_hit).collect()
        )
    }

    async fn business_due(&mut self, calendar: &str, start: Timestamp, span: &str) -> Answer<Timestamp> {
        journaled!(
            self,
            "calendars.due",
            json!([calendar, start.micros(), span]),
            self.inner.business_due(calendar, start, span).await,
            |due: &Timestamp| json!(due.micros()),
            |_: &Self, json: &Json| Timestamp::from_micros(json.as_i64().unwrap_or(0))
        )
    }

    async fn business_elapsed(&mut self, calendar: &str, start: Timestamp, end: Timestamp) -> Answer<i64> {
        journaled!(
            self,
            "calendars.elapsed",
            json!([calendar, start.micros(), end.micros()]),
            self.inner.business_elapsed(calendar, start, end).await,
            |seconds: &i64| json!(seconds),
            |_: &Self, json: &Json| json.as_i64().unwrap_or(0)
        )
    }

    async fn kv_get(&mut self, key: &str) -> Answer<Option<Vec<u8>>> {
        journaled!(
            self,
            "kv.get",
            json!([key]),
            self.inner.kv_get(key).await,
            |found: &Option<Vec<u8>>| found.as_deref().map_or(Json::Null, bytes_json),
            |_: &Self, json: &Json| (!json.is_null()).then(|| read_bytes(json))
        )
    }

    async fn kv_set(&mut self, key: &str, value: Vec<u8>) -> Answer<()> {
        let arguments = json!([key, bytes_json(&value)]);
        journaled!(self, "kv.set", arguments, self.inner.kv_set(key, value).await, |()| Json::Null, |_: &Self, _| ())
    }

    async fn kv_delete(&mut self, key: &str) -> Answer<bool> {
        journaled!(
            self,
            "kv.delete",
            json!([key]),
            self.inner.kv_delete(key).await,
            |done: &bool| json!(done),
            |_: &Self, json: &Json| json.as_bool().unwrap_or(false)
        )
    }

    async fn kv_list(&mut self, prefix: &str, after: &str, limit: u32) -> Answer<Vec<KvEntry>> {
        journaled!(
            self,
            "kv.list",
            json!([prefix, after, limit]),
            self.inner.kv_list(prefix, after, limit).await,
            |entries: &Vec<KvEntry>| entries_json(entries),
            |_: &Self, json| read_entries(json)
        )
    }

    async fn kv_increment(&mut self, key: &str, delta: i64) -> Answer<i64> {
        journaled!(
            self,
            "kv.increment",
            json!([key, delta]),
            self.inner.kv_increment(key, delta).await,
            |sum: &i64| json!(sum),
            |_: &Self, json: &Json| json.as_i64().unwrap_or(0)
        )
    }

    async fn secret_exists(&mut self, name: &str) -> Answer<bool> {
        journaled!(
            self,
            "secrets.exists",
            json!([name]),
            self.inner.secret_exists(name).await,
            |known: &bool| json!(known),
            |_: &Self, json: &Json| json.as_bool().unwrap_or(false)
        )
    }

    async fn secret_hmac(&mut self, name: &str, message: &[u8]) -> Answer<Vec<u8>> {
        journaled!(
            self,
            "secrets.hmac",
            json!([name, bytes_json(message)]),
            self.inner.secret_hmac(name, message).await,
            |mac: &Vec<u8>| bytes_json(mac),
            |_: &Self, json| read_bytes(json)
        )
    }

    async fn file_put(&mut self, file: NewFile) -> Answer<FileInfo> {
        let content = rapport_model::Digest::of(&file.content).to_string();
        let arguments = json!([file.name, file.media_type, content, file.attached]).to_string();
        match self.step("files.put", &arguments)? {
            Step::Known(json) | Step::Woken(json) => match failure(&json) {
                Some(error) => Err(error),
                None => read_file(&json).ok_or_else(|| self.differs("the journal holds no file".to_owned())),
            },
            Step::Live => {
                let result = self.inner.file_put(file).await;
                self.noted("files.put", &arguments, result, file_json)
            }
        }
    }

    async fn file_info(&mut self, id: &str) -> Answer<Option<FileInfo>> {
        journaled!(
            self,
            "files.info",
            json!([id]),
            self.inner.file_info(id).await,
            |found: &Option<FileInfo>| found.as_ref().map_or(Json::Null, file_json),
            |_: &Self, json| read_file(json)
        )
    }

    async fn file_read(&mut self, id: &str, offset: u64, length: u32) -> Answer<Vec<u8>> {
        journaled!(
            self,
            "files.read",
            json!([id, offset, length]),
            self.inner.file_read(id, offset, length).await,
            |bytes: &Vec<u8>| bytes_json(bytes),
            |_: &Self, json| read_bytes(json)
        )
    }

    async fn files_of(&mut self, object: &str, key: &str, after: &str, limit: u32) -> Answer<Vec<FileInfo>> {
        journaled!(
            self,
            "files.attached",
            json!([object, key, after, limit]),
            self.inner.files_of(object, key, after, limit).await,
            |infos: &Vec<FileInfo>| infos.iter().map(file_json).collect(),
            |_: &Self, json: &Json| json.as_array().into_iter().flatten().filter_map(read_file).collect()
        )
    }

    async fn file_delete(&mut self, id: &str) -> Answer<bool> {
        journaled!(
            self,
            "files.delete",
            json!([id]),
            self.inner.file_delete(id).await,
            |gone: &bool| json!(gone),
            |_: &Self, json: &Json| json.as_bool().unwrap_or(false)
        )
    }

    async fn run_script(&mut self, call: ScriptCall) -> (Answer<String>, Spent) {
        self.function_of_script(call).await
    }

    fn context(&self) -> RunContext {
        let live = self.inner.running_as();
        if self.is_played() { live } else { RunContext { slice: self.played, ..live } }
    }

    async fn invoke(&mut self, automation: &str, input: &str) -> Answer<String> {
        self.result_of(automation, input).await
    }

    // No part of the journal: a handler that begins anew says it again.
    fn reply(&mut self, value: &str) -> Answer<()> {
        self.inner.reply(value)
    }

    async fn start_job(&mut self, job: JobRequest) -> Answer<String> {
        let arguments = json!([job.action, job.input, job.at.map(Timestamp::micros)]);
        journaled!(
            self,
            "start_job",
            arguments,
            self.inner.start_job(job).await,
            |run: &String| json!(run),
            |_: &Self, json: &Json| json.as_str().unwrap_or_default().to_owned()
        )
    }

    async fn wait_any(&mut self, alternatives: Vec<WaitRequest>, timeout: &str) -> Answer<Option<Arrival>> {
        self.first_of(&alternatives, timeout)
    }
}

fn read_reply(json: &Json) -> Reply {
    let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
    let timed_out = json["timed_out"].as_bool().unwrap_or(false);
    Reply { choice: text("choice"), by: text("by"), timed_out, task: text("task") }
}
