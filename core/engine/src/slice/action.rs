//! What a slice does with actions: it calls those that only read, and starts runs of its own for later.

use rapport_model::Record;
use rapport_model::run::invoked_run_id;
use rapport_sandbox::work::ActionCall;
use rapport_sandbox::{GuestFailure, HostError, JobRequest, Output, SliceReport, Work};
use serde_json::Value as Json;
use std::sync::Arc;

use super::{Answer, Kept, Outbound, SliceHost, SliceLocks, Trace};
use crate::actions::{self, Callee, Reader, ReadingHost};
use crate::error::FieldProblem;
use crate::invoked;
use crate::plugins::{DISABLED, MIGRATING};
use crate::usage::{Admission, RESTING};

/// What sets the numbers of jobs apart from those of calls.
const JOBS: u64 = 1 << 63;

impl SliceHost {
    /// The action `name`, if this automation may call it at present, and the input with its defaults.
    pub(crate) fn callee(&self, name: &str, input: &str) -> Answer<(Callee, Json)> {
        self.allow(actions::need(name))?;
        let callee = Callee::find(&self.live, name).map_err(|why| HostError::permanent(actions::UNKNOWN, why))?;
        if let Some(why) = callee.bars(actions::caller_kind(self.version.kind)) {
            return Err(HostError::permanent(actions::NOT_CALLABLE, why));
        }
        if actions::needs_call(&self.version, callee.name()) {
            let message = format!("`{}` may not call `{name}`: add it to `calls` in plugin.toml", self.version.id);
            return Err(HostError { code: "denied".into(), message, retryable: false, ends_slice: true });
        }
        if let Some(plugin) = self.packed.get(&callee.name().plugin).filter(|plugin| plugin.is_stopped()) {
            let message = format!("the plugin `{}` is {}", plugin.name, plugin.state.as_str());
            return Err(HostError::permanent(DISABLED, message));
        }
        if let Some(why) = self.packed.get(&callee.name().plugin).and_then(|plugin| plugin.migrating()) {
            return Err(HostError { code: MIGRATING.into(), message: why, retryable: true, ends_slice: false });
        }
        let input = fitting(&callee, name, input)?;
        Ok((callee, input))
    }

    /// The record on whose lane a run of `callee` works, if there is one.
    pub(crate) async fn lane_record(&self, callee: &Callee, input: &Json) -> Answer<Option<Arc<Record>>> {
        let Some((object, key)) = callee.lane(&self.schema, input) else { return Ok(None) };
        self.find_record(&object, key).await
    }

    /// Calls an action that only reads. It sees what the slice has written, and its reads count as the slice's own.
    pub(crate) async fn read_with(&mut self, callee: &Callee, input: &Json, call: u64) -> Answer<Json> {
        let admission = self.admit(callee)?;
        let twin = self.twin(callee, call);
        let caller = format!("automation:{}", self.version.id);
        let work = ActionCall {
            action: callee.action().name.to_string(),
            input: input.to_string(),
            caller: caller.clone(),
            event_position: 0,
        };
        let sandbox = self.outbound.sandbox().clone();
        let host = ReadingHost { inner: twin, reader: Reader::Action, caller };
        let (report, host) = sandbox.call_beside(&callee.version.program, Work::Action(work), host).await;
        self.usages.note(&callee.version, &report, (&host.inner.trace, &admission));
        (self.buffer, self.rows_read) = (host.inner.buffer, host.inner.rows_read);
        let SliceReport { outcome, output, .. } = report;
        let output = outcome.and_then(|()| match output {
            Output::Json(text) => actions::read_output(Some(callee.action()), callee.action().name.as_str(), &text),
            _ => Ok(Json::Null),
        });
        output.map_err(|failure| of_action(callee, &failure))
    }

    /// Admits one call of the plugin of `callee`. While it is left alone, the call fails; a slice that does not mind it is tried again later.
    fn admit(&self, callee: &Callee) -> Answer<Admission> {
        if self.outbound.replay.is_some() {
            return Ok(Admission::default());
        }
        let plugin = &callee.name().plugin;
        self.usages.enter(plugin).map_err(|until| {
            let message = format!("the plugin `{plugin}` broke down again and again, and is left alone until {until}");
            HostError { code: RESTING.into(), message, retryable: true, ends_slice: false }
        })
    }

    /// The host of what `callee` reads for this slice.
    fn twin(&self, callee: &Callee, call: u64) -> Self {
        Self {
            store: self.store.clone(),
            lookup: self.lookup.clone(),
            merged: self.merged.clone(),
            schema: self.schema.clone(),
            version: callee.version.clone(),
            time: self.time,
            random: self.secret.stream(&[self.run.0.as_bytes(), b"read", &call.to_be_bytes()]),
            secret: self.secret,
            limits: self.limits,
            buffer: self.buffer.clone(),
            events: Vec::new(),
            kv: Kept::default(),
            files: self.files.clone(),
            actor: self.actor.clone(),
            trace: Trace::new(0, 0),
            rows_read: self.rows_read,
            outbound: Outbound::beside(&self.outbound),
            locks: SliceLocks::default(),
            run: self.run,
            live: self.live.clone(),
            knows_members: self.knows_members,
            usages: self.usages.clone(),
            plugin: self.packed.get(&callee.version.id).cloned(),
            packed: self.packed.clone(),
            reply: Json::Null,
        }
    }

    pub(super) async fn do_start_job(&mut self, job: JobRequest) -> Answer<String> {
        let JobRequest { action, input, at } = job;
        let live = self.live.version(&self.version.id).and_then(|live| Callee::of(live, &action));
        let Some(callee) = live.or_else(|| Callee::of(&self.version, &action)) else {
            let message = format!("`{}` has no action `{action}` in its plugin.toml", self.version.id);
            return Err(HostError::permanent(actions::UNKNOWN, message));
        };
        if callee.action().readonly {
            let message = format!("`{action}` only reads, so that nothing would come of its run");
            return Err(HostError::permanent("invalid", message));
        }
        let input = fitting(&callee, &action, &input)?;
        self.count_writes()?;
        let lane = self.lane_record(&callee, &input).await?;
        let number = JOBS | self.outbound.slice_number() << 32 | u64::try_from(self.events.len()).unwrap_or(0);
        let run = invoked_run_id(self.run, number);
        let event = callee.event(run, input, lane.as_deref(), self.time);
        self.events.push(actions::not_before(event, at));
        Ok(run.to_string())
    }
}

/// The input, if it fits the action, with its defaults.
fn fitting(callee: &Callee, name: &str, input: &str) -> Answer<Json> {
    let input = invoked::read_json(&format!("the input of `{name}`"), input)?;
    callee.input(input).map_err(|problems| {
        let all: Vec<String> = problems.iter().map(FieldProblem::to_string).collect();
        HostError::permanent("invalid", format!("the input of `{name}`: {}", all.join("; ")))
    })
}

/// What the caller is told of an action that failed.
fn of_action(callee: &Callee, failure: &GuestFailure) -> HostError {
    let message = format!("`{}` failed: {}: {failure}", callee.name(), failure.code());
    match failure.code() {
        "unavailable" | "disk_full" | "internal" => HostError::ending("unavailable", message),
        _ => HostError::permanent(invoked::FAILED, message),
    }
}
