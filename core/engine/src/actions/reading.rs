//! The host of an action that only reads: what it writes, sends or waits for is refused.

use async_trait::async_trait;
use rapport_model::{Timestamp, Value};
use rapport_sandbox::{
    Arrival, FindRequest, Grouping, GuestEvent, GuestFields, Host, HostError, HttpReply, HttpRequest, JobRequest,
    KvEntry, LogLevel, Outgoing, Question, RecordData, Reply, RunContext, ScriptCall, Selection, Spent, Table,
    WaitRequest,
};

use crate::slice::SliceHost;

/// The code of a call that more than reads.
const READONLY: &str = "readonly";

/// The host of a call that only reads.
#[derive(Debug)]
pub(crate) struct ReadingHost {
    pub(crate) inner: SliceHost,
    /// Who calls.
    pub(crate) caller: String,
}

type Answer<T> = Result<T, HostError>;

fn refused<T>(call: &str) -> Answer<T> {
    let message = format!("`{call}` is not for an action that only reads: take `readonly` from it in plugin.toml");
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

    async fn kv_get(&mut self, key: &str) -> Answer<Option<Vec<u8>>> {
        self.inner.kv_get(key).await
    }

    async fn kv_list(&mut self, prefix: &str, after: &str, limit: u32) -> Answer<Vec<KvEntry>> {
        self.inner.kv_list(prefix, after, limit).await
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
        refused("create")
    }

    async fn update(&mut self, _: &str, _: &str, _: GuestFields) -> Answer<()> {
        refused("update")
    }

    async fn increment(&mut self, _: &str, _: &str, _: &str, _: Value) -> Answer<()> {
        refused("increment")
    }

    async fn upsert(&mut self, _: &str, _: &str, _: GuestFields) -> Answer<RecordData> {
        refused("upsert")
    }

    async fn delete(&mut self, _: &str, _: &str) -> Answer<bool> {
        refused("delete")
    }

    async fn emit(&mut self, _: &str, _: &str, _: GuestFields) -> Answer<()> {
        refused("emit")
    }

    async fn send(&mut self, _: Outgoing) -> Answer<String> {
        refused("send")
    }

    async fn http(&mut self, _: HttpRequest) -> Answer<HttpReply> {
        refused("http")
    }

    async fn sleep(&mut self, _: &str) -> Answer<()> {
        refused("sleep")
    }

    async fn sleep_until(&mut self, _: Timestamp) -> Answer<()> {
        refused("sleep_until")
    }

    async fn wait_for(&mut self, _: WaitRequest) -> Answer<Option<GuestEvent>> {
        refused("wait_for")
    }

    async fn wait_any(&mut self, _: Vec<WaitRequest>, _: &str) -> Answer<Option<Arrival>> {
        refused("wait_any")
    }

    async fn ask(&mut self, _: Question) -> Answer<Reply> {
        refused("ask")
    }

    async fn lock(&mut self, _: &str) -> Answer<()> {
        refused("lock")
    }

    async fn invoke(&mut self, _: &str, _: &str) -> Answer<String> {
        refused("invoke")
    }

    fn reply(&mut self, _: &str) -> Answer<()> {
        refused("reply")
    }

    async fn kv_set(&mut self, _: &str, _: Vec<u8>) -> Answer<()> {
        refused("kv set")
    }

    async fn kv_delete(&mut self, _: &str) -> Answer<bool> {
        refused("kv delete")
    }

    async fn kv_increment(&mut self, _: &str, _: i64) -> Answer<i64> {
        refused("kv increment")
    }

    async fn start_job(&mut self, _: JobRequest) -> Answer<String> {
        refused("jobs start")
    }
}
