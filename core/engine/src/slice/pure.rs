//! The host of a function of a script that a plugin calls: the script's settings, the log, the instant, random numbers. All else is
//! refused, so that what it comes to follows from its arguments and the script alone.

use std::sync::Arc;

use async_trait::async_trait;
use rapport_model::{Timestamp, Value};
use rapport_sandbox::{
    Arrival, FindRequest, GuestEvent, GuestFields, Host, HostError, HttpReply, HttpRequest, LogLevel, Outgoing,
    Question, RecordData, Reply, WaitRequest,
};

use super::{Answer, setting_of};
use crate::entropy::Stream;
use crate::registry::Version;

/// The code of a call that is more than pure.
const PURE: &str = "pure";

/// The host of one call.
#[derive(Debug)]
pub(super) struct PureHost {
    pub(super) version: Arc<Version>,
    pub(super) time: Timestamp,
    pub(super) random: Stream,
    /// What it has logged.
    pub(super) logged: Vec<(LogLevel, String)>,
}

fn refused<T>(call: &str) -> Answer<T> {
    let message = format!(
        "`{call}` is not for a function that a plugin calls: it has settings, the log, the instant and random numbers; let the \
         plugin give it what it needs"
    );
    Err(HostError::permanent(PURE, message))
}

#[async_trait]
impl Host for PureHost {
    fn log(&mut self, level: LogLevel, message: &str) {
        self.logged.push((level, message.to_owned()));
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

    async fn get(&mut self, _: &str, _: &str) -> Answer<Option<RecordData>> {
        refused("get")
    }

    async fn find(&mut self, _: FindRequest) -> Answer<Vec<RecordData>> {
        refused("find")
    }

    async fn count(&mut self, _: &str, _: &str, _: GuestFields) -> Answer<u64> {
        refused("count")
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

    async fn business_due(&mut self, _: &str, _: Timestamp, _: &str) -> Answer<Timestamp> {
        refused("within_business")
    }

    async fn business_elapsed(&mut self, _: &str, _: Timestamp, _: Timestamp) -> Answer<i64> {
        refused("business_seconds")
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
}
