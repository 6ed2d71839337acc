//! `invoke`: a run of another automation, and its result.

use std::sync::Arc;

use rapport_model::automation::Need;
use rapport_model::run::{ENDED, invoked_run_id};
use rapport_model::{Event, EventType, RunId, RunStatus, Value};
use rapport_sandbox::HostError;
use rapport_store::{EventQuery, WaitFor};
use serde_json::{Value as Json, json};

use super::action::Invoked;
use super::host::failure;
use super::{Answer, JournaledHost, Step, Suspension, WAITING, Woken, ends};
use crate::actions;
use crate::invoked;
use crate::waits::{self, Wanted};

/// The name of the call.
pub(crate) const CALL: &str = "invoke";

/// The run whose end `request` waits for.
pub(crate) fn child_in(request: &Json) -> Option<RunId> {
    request.get("run")?.as_str()?.parse().ok()
}

impl JournaledHost {
    /// Starts a run of `automation` and waits for its result.
    pub(super) async fn result_of(&mut self, automation: &str, input: &str) -> Answer<String> {
        let arguments = json!([automation, input]).to_string();
        match self.step(CALL, &arguments)? {
            Step::Known(json) => failure(&json).map_or_else(|| Ok(json["result"].to_string()), Err),
            Step::Woken(request) => {
                let Some(result) = self.ended(automation, &request).await? else {
                    // Somebody has started it again while the other one is still at work: it goes on waiting.
                    self.suspension = Some(self.until_ended(&request)?);
                    return Err(ends(WAITING, format!("the run waits in `{CALL}`")));
                };
                self.answered(&match &result {
                    Ok(result) => json!({ "result": result }),
                    Err(error) => json!({ "error": crate::journal::error_json(error) }),
                });
                result.map(|result| result.to_string())
            }
            Step::Live => match self.begin(automation, input).await {
                Ok(Invoked::Started(request)) => {
                    let suspension = self.until_ended(&request)?;
                    self.suspend((CALL, &arguments), &request, suspension)
                }
                Ok(Invoked::Answered(output)) => {
                    let noted = self.noted(CALL, &arguments, Ok(output), |output| json!({ "result": output }));
                    noted.map(|output| output.to_string())
                }
                Err(error) => self.noted(CALL, &arguments, Err(error), |_| Json::Null),
            },
        }
    }

    async fn begin(&mut self, name: &str, input: &str) -> Answer<Invoked> {
        if actions::is_name(name) {
            return self.call_live(name, input).await;
        }
        self.invoke_live(name, input).map(Invoked::Started)
    }

    /// The number of the call that is being made. With that of the slice: one that was sent back to this call starts another run.
    pub(super) fn call_number(&self) -> u64 {
        let call = u64::try_from(self.known + self.fresh.len()).unwrap_or(u64::MAX);
        self.inner.outbound.slice_number() << 32 | call
    }

    fn invoke_live(&mut self, automation: &str, input: &str) -> Answer<Json> {
        self.inner.allow(Need::Invoke(automation))?;
        if let Some((code, message)) = invoked::obstacle(&self.inner.live, automation, self.inner.version.kind) {
            return Err(HostError::permanent(code, message));
        }
        let input = invoked::read_json(&format!("the input of `{automation}`"), input)?;
        self.inner.count_writes()?;
        let live = self.inner.live.active().iter().find(|version| version.id.as_str() == automation);
        let Some(version) = live else { return Err(HostError::permanent("unknown_automation", automation)) };
        let child = invoked_run_id(self.inner.run, self.call_number());
        self.inner.events.push(invoked::invocation(version, child, input, self.inner.time));
        let mut request = Wanted::to_json(&ended_kind()?, "", &[]);
        request["run"] = json!(child.to_string());
        Ok(request)
    }

    fn until_ended(&self, request: &Json) -> Answer<Suspension> {
        let run = request["run"].as_str().unwrap_or_default();
        let (kind, field, value) = (ended_kind()?, invoked::run_field(), waits::text_of(&Value::text(run)));
        Ok(Suspension { wake_at: None, waits: vec![WaitFor { kind, field, value, after: self.head }] })
    }

    /// What the run of `request` came to; none if it has not ended.
    async fn ended(&self, automation: &str, request: &Json) -> Answer<Option<Answer<Json>>> {
        if let Woken::Event(event, _) = &self.woken {
            return Ok(Some(invoked::result_in(event, automation)));
        }
        // Nothing woke it: an operator started it again.
        let away = |e: rapport_store::StoreError| HostError::ending("unavailable", e.to_string());
        let id = child_in(request).ok_or_else(|| HostError::permanent("journal", "the journal names no run"))?;
        let Some(run) = self.inner.store.run(id).await.map_err(away)? else {
            return Ok(Some(Err(invoked::failure(automation, &id.to_string(), (RunStatus::Cancelled, None)))));
        };
        if run.status.is_open() {
            return Ok(None);
        }
        let query = EventQuery { run: Some(id), kind: Some(ENDED.to_owned()), limit: 100, ..EventQuery::default() };
        let events: Vec<Arc<Event>> = self.inner.store.events(&query).await.map_err(away)?;
        Ok(Some(match (run.status, events.last()) {
            (RunStatus::Completed, Some(event)) => invoked::result_in(event, automation),
            (status, _) => Err(invoked::failure(automation, &id.to_string(), (status, run.error.as_deref()))),
        }))
    }
}

pub(super) fn ended_kind() -> Answer<EventType> {
    EventType::new(ENDED).map_err(|e| HostError::permanent("invalid", e.to_string()))
}
