//! The host of what only reads, an action or a GET: what it writes, sends or waits for is refused.

use async_trait::async_trait;
use rapport_model::{Timestamp, Value};
use rapport_sandbox::{
    Arrival, FileInfo, FindRequest, Grouping, GuestEvent, GuestFields, Host, HostError, HttpReply, HttpRequest,
    JobRequest, KvEntry, LogLevel, NewFile, Outgoing, Question, RecordData, Reply, RunContext, ScriptCall, SearchAsked,
    SearchFound, Selection, Spent, Table, WaitRequest,
};

use crate::slice::SliceHost;

/// The code of a call that more than reads.
const READONLY: &str = "readonly";

/// What only reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// An action that says so.
    Action,
    /// A request that by its method does not change anything.
    Get,
}

/// The host of a call that only reads.
#[derive(Debug)]
pub(crate) struct ReadingHost {
    pub(crate) inner: SliceHost,
    pub(crate) reader: Reader,
    /// Who calls.
    pub(crate) caller: String,
}

type Answer<T> = Result<T, HostError>;

fn refused<T>(reader: Reader, call: &str) -> Answer<T> {
    let message = match reader {
        Reader::Action => {
            format!("`{call}` is not for an action that only reads: take `readonly` from it in plugin.toml")
        }
        Reader::Get => format!("`{call}` is not for a GET, which only reads: let a route for POST do it"),
    };
    Err(HostError { code: READONLY.into(), message, retryable: false, ends_slice: true })
}

#[async_trait]
impl Host for ReadingHost {
    async fn get(&mut self, object: &str, key: &str) -> Answer<Option<RecordData>> {
        self.inner.get(object, key).await
    }

    async fn find(&mut self, query: FindRequest) -> Answer<Vec<RecordData>> {
        self.inner.find(query).await
    }

    async fn count(&mut self, object: &str, filter: &str, params: GuestFields) -> Answer<u64> {
        self.inner.count(object, filter, params).await
    }

    async fn select(&mut self, selection: Selection) -> Answer<Table> {
        self.inner.select(selection).await
    }

    async fn aggregate(&mut self, grouping: Grouping) -> Answer<Table> {
        self.inner.aggregate(grouping).await
    }

    async fn search(&mut self, asked: SearchAsked) -> Answer<Vec<SearchFound>> {
        self.inner.search(asked).await
    }

    async fn business_due(&mut self, calendar: &str, start: Timestamp, span: &str) -> Answer<Timestamp> {
        self.inner.business_due(calendar, start, span).await
    }

    async fn business_elapsed(&mut self, calendar: &str, start: Timestamp, end: Timestamp) -> Answer<i64> {
        self.inner.business_elapsed(calendar, start, end).await
    }

    async fn kv_get(&mut self, key: &str) -> Answer<Option<Vec<u8>>> {
        self.inner.kv_get(key).await
    }

    async fn kv_list(&mut self, prefix: &str, after: &str, limit: u32) -> Answer<Vec<KvEntry>> {
        self.inner.kv_list(prefix, after, limit).await
    }

    async fn file_info(&mut self, id: &str) -> Answer<Option<FileInfo>> {
        self.inner.file_info(id).await
    }

    async fn file_read(&mut self, id: &str, offset: u64, length: u32) -> Answer<Vec<u8>> {
        self.inner.file_read(id, offset, length).await
    }

    async fn files_of(&mut self, object: &str, key: &str, after: &str, limit: u32) -> Answer<Vec<FileInfo>> {
        self.inner.files_of(object, key, after, limit).await
    }

    async fn secret_exists(&mut self, name: &str) -> Answer<bool> {
        self.inner.secret_exists(name).await
    }

    async fn secret_hmac(&mut self, name: &str, message: &[u8]) -> Answer<Vec<u8>> {
        self.inner.secret_hmac(name, message).await
    }

    async fn run_script(&mut self, call: ScriptCall) -> (Answer<String>, Spent) {
        self.inner.run_script(call).await
    }

    fn log(&mut self, level: LogLevel, message: &str) {
        self.inner.log(level, message);
    }

    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    fn random(&mut self, count: u32) -> Vec<u8> {
        self.inner.random(count)
    }

    fn setting(&mut self, name: &str) -> Answer<Value> {
        self.inner.setting(name)
    }

    fn context(&self) -> RunContext {
        RunContext {
            run: String::new(),
            plugin: self.inner.version.id.to_string(),
            actor: self.caller.clone(),
            slice: 1,
        }
    }

    async fn create(&mut self, _: &str, _: GuestFields) -> Answer<RecordData> {
        refused(self.reader, "create")
    }

    async fn update(&mut self, _: &str, _: &str, _: GuestFields) -> Answer<()> {
        refused(self.reader, "update")
    }

    async fn increment(&mut self, _: &str, _: &str, _: &str, _: Value) -> Answer<()> {
        refused(self.reader, "increment")
    }

    async fn upsert(&mut self, _: &str, _: &str, _: GuestFields) -> Answer<RecordData> {
        refused(self.reader, "upsert")
    }

    async fn delete(&mut self, _: &str, _: &str) -> Answer<bool> {
        refused(self.reader, "delete")
    }

    async fn emit(&mut self, _: &str, _: &str, _: GuestFields) -> Answer<()> {
        refused(self.reader, "emit")
    }

    async fn send(&mut self, _: Outgoing) -> Answer<String> {
        refused(self.reader, "send")
    }

    async fn http(&mut self, _: HttpRequest) -> Answer<HttpReply> {
        refused(self.reader, "http")
    }

    async fn sleep(&mut self, _: &str) -> Answer<()> {
        refused(self.reader, "sleep")
    }

    async fn sleep_until(&mut self, _: Timestamp) -> Answer<()> {
        refused(self.reader, "sleep_until")
    }

    async fn wait_for(&mut self, _: WaitRequest) -> Answer<Option<GuestEvent>> {
        refused(self.reader, "wait_for")
    }

    async fn wait_any(&mut self, _: Vec<WaitRequest>, _: &str) -> Answer<Option<Arrival>> {
        refused(self.reader, "wait_any")
    }

    async fn ask(&mut self, _: Question) -> Answer<Reply> {
        refused(self.reader, "ask")
    }

    async fn lock(&mut self, _: &str) -> Answer<()> {
        refused(self.reader, "lock")
    }

    async fn invoke(&mut self, _: &str, _: &str) -> Answer<String> {
        refused(self.reader, "invoke")
    }

    fn reply(&mut self, _: &str) -> Answer<()> {
        refused(self.reader, "reply")
    }

    async fn kv_set(&mut self, _: &str, _: Vec<u8>) -> Answer<()> {
        refused(self.reader, "kv set")
    }

    async fn kv_delete(&mut self, _: &str) -> Answer<bool> {
        refused(self.reader, "kv delete")
    }

    async fn kv_increment(&mut self, _: &str, _: i64) -> Answer<i64> {
        refused(self.reader, "kv increment")
    }

    async fn file_put(&mut self, _: NewFile) -> Answer<FileInfo> {
        refused(self.reader, "files put")
    }

    async fn file_delete(&mut self, _: &str) -> Answer<bool> {
        refused(self.reader, "files delete")
    }

    async fn start_job(&mut self, _: JobRequest) -> Answer<String> {
        refused(self.reader, "jobs start")
    }
}
