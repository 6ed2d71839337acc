//! Calls of actions from outside: by people and keys, through the API and the command line.

use std::time::Duration;

use rapport_model::plugin::CallerKind;
use rapport_model::run::ENDED;
use rapport_model::{Actor, Digest, Record, Run, RunId, RunStatus, Value};
use rapport_sandbox::work::ActionCall;
use rapport_sandbox::{Output, Work};
use rapport_store::{EventQuery, IdempotencyPut, StoreError, UnitOfWork};
use serde_json::{Value as Json, json};
use std::sync::Arc;

use super::{Callee, Reader, ReadingHost, all, read_output, to_json};
use crate::engine::{Engine, Inner};
use crate::entropy;
use crate::error::EngineError;
use crate::execute;
use crate::gate::{Act, Caller};
use crate::invoked;
use crate::plugins::State;
use crate::records::IDEMPOTENCY_MICROS;

/// How an action is called.
#[derive(Debug, Clone)]
pub struct ActionOptions {
    /// Names the call, so that it happens once however often it is sent; with what was sent.
    pub idempotency_key: Option<(String, Digest)>,
    /// How long to wait for the end of its run.
    pub wait: Duration,
}

/// What makes several requests the same one.
#[derive(Debug, Clone)]
pub(crate) struct Once {
    /// Whose key it is.
    pub(crate) actor: Actor,
    pub(crate) key: String,
    /// Tells whether the same was asked.
    pub(crate) fingerprint: Digest,
    /// How long it is remembered.
    pub(crate) micros: i64,
}

impl Once {
    pub(crate) fn of(caller: &Caller, options: &ActionOptions) -> Option<Self> {
        let (key, fingerprint) = options.idempotency_key.clone()?;
        Some(Self { actor: caller.actor.clone(), key, fingerprint, micros: IDEMPOTENCY_MICROS })
    }
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq)]
pub enum ActionAnswer {
    /// Its output.
    Output {
        /// The output.
        output: Json,
        /// Its run; none of an action that only reads.
        run: Option<RunId>,
        /// Whether the run was started by an earlier call with the same idempotency key.
        replayed: bool,
    },
    /// Its run goes on.
    Open {
        /// The run.
        run: RunId,
        /// Where it stands.
        status: RunStatus,
    },
}

impl Engine {
    /// The actions of all live plugins, in the order of their names, with their schemas.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`].
    pub fn actions(&self, caller: &Caller) -> Result<Vec<Json>, EngineError> {
        caller.everywhere(Act::Read)?;
        let live = self.inner.snapshot.load();
        let mut found: Vec<Callee> = all(&live).collect();
        found.sort_by(|a, b| a.name().cmp(b.name()));
        Ok(found.iter().map(to_json).collect())
    }

    /// One action, with its schemas.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`]; [`EngineError::UnknownAction`] with the nearest name.
    pub fn action(&self, caller: &Caller, name: &str) -> Result<Json, EngineError> {
        caller.everywhere(Act::Read)?;
        Ok(to_json(&self.inner.callee(name)?))
    }

    /// Calls the action `name` with `input`, waits for the end of its run as long as `options` say, and gives its output. An action
    /// that only reads makes no run.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`]; [`EngineError::UnknownAction`]; [`EngineError::NotCallable`] if its plugin does not let it be
    /// called from here; [`EngineError::Conflict`] if the plugin is switched off; [`EngineError::Resting`] if it is left alone; [`EngineError::Invalid`] with each place where the
    /// input does not fit; [`EngineError::Idempotency`]; [`EngineError::ActionFailed`] if its run died or was cancelled.
    pub async fn call_action(
        &self,
        caller: &Caller,
        name: &str,
        input: Json,
        options: &ActionOptions,
    ) -> Result<ActionAnswer, EngineError> {
        caller.everywhere(Act::Read)?;
        let callee = self.inner.callee(name)?;
        if callee.action().readonly {
            let input = self.inner.callable(&callee, input)?;
            let output = self.inner.read_with(&callee, &input, caller.actor.to_string()).await?;
            return Ok(ActionAnswer::Output { output, run: None, replayed: false });
        }
        caller.everywhere(Act::Write)?;
        let (run, replayed) = match self.inner.started(Once::of(caller, options).as_ref()).await? {
            Some(run) => (run, true),
            None => self.start_action(caller, &callee, input, options).await?,
        };
        match tokio::time::timeout(options.wait, self.inner.ended(run)).await {
            Ok(ended) => self.inner.answer_of(name, &ended?, replayed).await,
            Err(_) => self.action_answer(name, run, replayed).await,
        }
    }

    /// What has come of the call of `name` whose run is `run`.
    pub(crate) async fn action_answer(
        &self,
        name: &str,
        run: RunId,
        replayed: bool,
    ) -> Result<ActionAnswer, EngineError> {
        let missing = || EngineError::Internal(format!("run {run} is missing"));
        let run = self.inner.store.run(run).await?.ok_or_else(missing)?;
        self.inner.answer_of(name, &run, replayed).await
    }

    /// Commits the event and the run of a call; says whether it was an earlier call that did so.
    async fn start_action(
        &self,
        caller: &Caller,
        callee: &Callee,
        input: Json,
        options: &ActionOptions,
    ) -> Result<(RunId, bool), EngineError> {
        let inner = &self.inner;
        inner.writable(None)?;
        let input = inner.callable(callee, input)?;
        let lane = self.lane_record(callee, &input).await?;
        let now = inner.clock.now();
        let run = RunId(entropy::record_id(&*inner.entropy, now).0);
        let mut unit = UnitOfWork::new(now, caller.actor.clone());
        unit.events.push(callee.event(run, input, lane.as_deref(), now));
        inner.start_once(unit, run, Once::of(caller, options)).await
    }

    async fn lane_record(&self, callee: &Callee, input: &Json) -> Result<Option<Arc<Record>>, EngineError> {
        match callee.lane(&self.inner.store.schema(), input) {
            Some((object, key)) => self.locate(&object, &key).await,
            None => Ok(None),
        }
    }
}

/// The run of a call that is known, if it was the same call.
fn same_call(kept: &Digest, response: &[u8], asked: &Digest) -> Result<RunId, EngineError> {
    if kept != asked {
        let message = "this idempotency key was used for another request: use a new key for a new request";
        return Err(EngineError::Idempotency(message.into()));
    }
    let answer: Option<Json> = serde_json::from_slice(response).ok();
    let run = answer.as_ref().and_then(|answer| answer["run"].as_str()?.parse().ok());
    run.ok_or_else(|| EngineError::Internal("the answer kept for an idempotency key is damaged".into()))
}

impl Inner {
    /// The run that an earlier request with the same key has started.
    pub(crate) async fn started(&self, once: Option<&Once>) -> Result<Option<RunId>, EngineError> {
        let Some(Once { actor, key, fingerprint, .. }) = once else { return Ok(None) };
        let kept = self.store.idempotent(actor, key, self.clock.now()).await?;
        kept.map(|kept| same_call(&kept.fingerprint, &kept.response, fingerprint)).transpose()
    }

    /// Commits the event that starts `run`, unless an earlier request with the same key has started another; says which run it is,
    /// and whether it was that one.
    pub(crate) async fn start_once(
        &self,
        mut unit: UnitOfWork,
        run: RunId,
        once: Option<Once>,
    ) -> Result<(RunId, bool), EngineError> {
        let asked = once.as_ref().map(|once| once.fingerprint);
        unit.idempotency = once.map(|Once { actor, key, fingerprint, micros }| IdempotencyPut {
            actor,
            key,
            fingerprint,
            response: json!({ "run": run }).to_string().into_bytes(),
            expires_at: unit.time.plus_micros(micros),
        });
        match self.store.commit(unit).await {
            Ok(_) => Ok((run, false)),
            Err(StoreError::Idempotent { fingerprint, response }) => match &asked {
                Some(asked) => same_call(&fingerprint, &response, asked).map(|run| (run, true)),
                None => Err(EngineError::Internal("an idempotency key that nobody gave".into())),
            },
            Err(error) => Err(error.into()),
        }
    }

    fn callee(&self, name: &str) -> Result<Callee, EngineError> {
        let found = Callee::find(&self.snapshot.load(), name);
        found.map_err(|why| match super::plugin_of(name).and_then(|id| self.plugins.find(&id)) {
            // It may be there and not live yet, or switched off.
            Some(plugin) if matches!(plugin.state, State::Waiting | State::Disabled) => {
                let verb = if plugin.state == State::Waiting { "grant" } else { "enable" };
                let (id, state) = (&plugin.name, plugin.state.as_str());
                EngineError::Conflict(format!("the plugin `{id}` is {state}: `rapport plugin {verb} {id}`"))
            }
            _ => EngineError::UnknownAction(why),
        })
    }

    /// The input with its defaults, if `callee` can be called with it from outside at present.
    fn callable(&self, callee: &Callee, input: Json) -> Result<Json, EngineError> {
        if let Some(why) = callee.bars(CallerKind::Api) {
            return Err(EngineError::NotCallable(why));
        }
        let plugin = &callee.name().plugin;
        if let Some(why) = self.plugins.held(plugin) {
            return Err(EngineError::Conflict(format!("{why}: `rapport plugin enable {plugin}`")));
        }
        self.refuse_asking(plugin)?;
        if let Some(until) = self.usages.rests(plugin) {
            return Err(self.resting(plugin, until));
        }
        invoked::fits_between_runs(&format!("the input of `{}`", callee.name()), &input)
            .map_err(|why| EngineError::invalid("", why))?;
        callee.input(input).map_err(EngineError::Invalid)
    }

    /// Calls an action that only reads, for `caller`.
    async fn read_with(&self, callee: &Callee, input: &Json, caller: String) -> Result<Json, EngineError> {
        let now = self.clock.now();
        let plugin = &callee.name().plugin;
        let admission = self.admit(plugin).map_err(|until| self.resting(plugin, until))?;
        let id = RunId(entropy::record_id(&*self.entropy, now).0);
        let host = execute::host_at(self, (id, now), callee.version.clone());
        let call = ActionCall {
            action: callee.action().name.to_string(),
            input: input.to_string(),
            caller: caller.clone(),
            event_position: 0,
        };
        let host = ReadingHost { inner: host, reader: Reader::Action, caller };
        let (report, host) = self.sandbox.call(&callee.version.program, Work::Action(call), host).await;
        self.count(&callee.version, &report, (&host.inner.trace, &admission));
        let output = report.outcome.and_then(|()| match report.output {
            Output::Json(text) => read_output(Some(callee.action()), callee.action().name.as_str(), &text),
            _ => Ok(Json::Null),
        });
        output.map_err(|failure| match failure.code() {
            "unavailable" | "disk_full" => EngineError::Unavailable(failure.to_string()),
            code => EngineError::ActionFailed {
                action: callee.name().to_string(),
                run: None,
                code: code.to_owned(),
                message: failure.to_string(),
            },
        })
    }

    /// What has come of the call of `name` by now.
    pub(crate) async fn answer_of(&self, name: &str, run: &Run, replayed: bool) -> Result<ActionAnswer, EngineError> {
        if run.status.is_open() {
            return Ok(ActionAnswer::Open { run: run.id, status: run.status });
        }
        if run.status == RunStatus::Completed {
            let output = self.result_of(run.id).await?;
            return Ok(ActionAnswer::Output { output, run: Some(run.id), replayed });
        }
        let error = run.error.as_deref().unwrap_or(run.status.as_str());
        let (code, message) = error.split_once(' ').unwrap_or((run.status.as_str(), error));
        let code = if run.status == RunStatus::Cancelled { "cancelled" } else { code };
        let message = if run.status == RunStatus::Cancelled { error } else { message };
        Err(EngineError::ActionFailed {
            action: name.to_owned(),
            run: Some(run.id),
            code: code.to_owned(),
            message: message.to_owned(),
        })
    }

    /// What the run `id`, which was started by name and is done, resulted in.
    pub(crate) async fn result_of(&self, id: RunId) -> Result<Json, EngineError> {
        let query = EventQuery { run: Some(id), kind: Some(ENDED.to_owned()), limit: 100, ..EventQuery::default() };
        let events = self.store.events(&query).await?;
        Ok(match events.last().and_then(|event| invoked::field(event, "result")) {
            Some(Value::Json(result)) => (**result).clone(),
            _ => Json::Null,
        })
    }
}
