//! Answers requests: those that only read at once, the others by a run.

use std::sync::Arc;

use rapport_model::{Actor, Record, RunId, RunStatus};
use rapport_sandbox::Work;
use rapport_sandbox::work::Request;
use rapport_store::UnitOfWork;

use super::{FoundRoute, RouteOptions, RouteReply, RouteRequest, Sender, kept, read_response};
use crate::actions::{self, ActionAnswer, Once, Reader, ReadingHost};
use crate::engine::{Engine, Inner};
use crate::entropy;
use crate::error::EngineError;
use crate::execute;
use crate::gate::Act;
use crate::invoked;
use crate::records::IDEMPOTENCY_MICROS;

/// How long the id of a signed request is remembered: senders try again for days.
const SIGNED_MICROS: i64 = 7 * IDEMPOTENCY_MICROS;

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteAnswer {
    /// The plugin's answer.
    Reply {
        /// The answer.
        reply: RouteReply,
        /// Its run; none of a request that only reads.
        run: Option<RunId>,
        /// Whether the run was started by an earlier request of the same name.
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
    /// Answers a request that `route` was found for. One that only reads makes no run; for the end of another one's run it is waited
    /// as long as `options` say.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`] if the sender may not; [`EngineError::Idempotency`]; [`EngineError::RouteFailed`] if the plugin failed,
    /// or answered what it may not.
    pub async fn answer_route(
        &self,
        route: &FoundRoute,
        request: RouteRequest,
        sender: Sender<'_>,
        options: &RouteOptions,
    ) -> Result<RouteAnswer, EngineError> {
        if !sender.suits(route.def().access) {
            return Err(EngineError::Unauthenticated(format!("`{}` is not for everybody", route.name())));
        }
        if let Sender::Caller(caller) = sender {
            caller.everywhere(if route.only_reads() { Act::Read } else { Act::Write })?;
        }
        let request = route.request(request, sender);
        if route.only_reads() {
            let reply = self.inner.read_route(route, request).await?;
            return Ok(RouteAnswer::Reply { reply, run: None, replayed: false });
        }
        let actor = match sender {
            Sender::Caller(caller) => caller.actor.clone(),
            // Nobody is known whom the log could name: it was let in by the plugin.
            Sender::Signed | Sender::Nobody => Actor::Automation(route.plugin().clone()),
        };
        let once = once(route, sender, (&actor, options));
        let (run, replayed) = match self.inner.started(once.as_ref()).await? {
            Some(run) => (run, true),
            None => self.start_request(route, &request, actor, once).await?,
        };
        match tokio::time::timeout(options.wait, self.inner.ended(run)).await {
            Ok(ended) => self.inner.reply_of(route, ended?.id, replayed).await,
            Err(_) => self.inner.reply_of(route, run, replayed).await,
        }
    }

    /// The same on a clock that stands still: all that is due is done, and then it is seen what has come of the request.
    pub(crate) async fn answer_and_settle(
        &self,
        route: &FoundRoute,
        request: RouteRequest,
        sender: Sender<'_>,
        options: &RouteOptions,
    ) -> Result<RouteAnswer, EngineError> {
        match self.answer_route(route, request, sender, options).await? {
            RouteAnswer::Open { run, .. } => {
                self.settle().await;
                self.inner.reply_of(route, run, false).await
            }
            answered @ RouteAnswer::Reply { .. } => Ok(answered),
        }
    }

    /// Commits the event and the run of a request; says whether it was an earlier one that did so.
    async fn start_request(
        &self,
        route: &FoundRoute,
        request: &Request,
        actor: Actor,
        once: Option<Once>,
    ) -> Result<(RunId, bool), EngineError> {
        let inner = &self.inner;
        inner.writable(None)?;
        inner.refuse_asking(route.plugin())?;
        if let Some(until) = inner.usages.rests(route.plugin()) {
            return Err(inner.resting(route.plugin(), until));
        }
        let lane = self.lane_of_request(route).await?;
        let now = inner.clock.now();
        let run = RunId(entropy::record_id(&*inner.entropy, now).0);
        let event = invoked::requested(&route.version, run, kept(request), now);
        let mut unit = UnitOfWork::new(now, actor);
        unit.events.push(actions::on_lane_of(event, lane.as_deref()));
        inner.start_once(unit, run, once).await
    }

    async fn lane_of_request(&self, route: &FoundRoute) -> Result<Option<Arc<Record>>, EngineError> {
        let Some(lane) = &route.def().lane else { return Ok(None) };
        let given = route.params.iter().find(|(name, _)| name == lane.as_str());
        let schema = self.inner.store.schema();
        match given.and_then(|(name, text)| actions::named_lane(&schema, name, text)) {
            Some((object, key)) => self.locate(&object, &key).await,
            None => Ok(None),
        }
    }
}

/// What makes the request the same as another one: a name that a sender gave counts for that sender alone.
fn once(route: &FoundRoute, sender: Sender<'_>, (actor, options): (&Actor, &RouteOptions)) -> Option<Once> {
    let (key, fingerprint) = options.once.clone()?;
    let (key, micros) = match (sender, &route.def().secret) {
        (Sender::Signed, Some(secret)) => (format!("signed:{secret}:{key}"), SIGNED_MICROS),
        _ => (key, IDEMPOTENCY_MICROS),
    };
    Some(Once { actor: actor.clone(), key, fingerprint, micros })
}

impl Inner {
    /// Answers a request that only reads.
    async fn read_route(&self, route: &FoundRoute, request: Request) -> Result<RouteReply, EngineError> {
        let (now, plugin) = (self.clock.now(), route.plugin());
        self.refuse_asking(plugin)?;
        let admission = self.admit(plugin).map_err(|until| self.resting(plugin, until))?;
        let id = RunId(entropy::record_id(&*self.entropy, now).0);
        let inner = execute::host_at(self, (id, now), route.version.clone());
        let host = ReadingHost { inner, reader: Reader::Get, caller: request.actor.clone() };
        let (report, host) = self.sandbox.call(&route.version.program, Work::Request(request), host).await;
        self.count(&route.version, &report, (&host.inner.trace, &admission));
        let reply = report.outcome.and_then(|()| read_response(report.output));
        reply.map_err(|failure| match failure.code() {
            "unavailable" | "disk_full" => EngineError::Unavailable(failure.to_string()),
            code => EngineError::RouteFailed {
                route: route.name(),
                run: None,
                code: code.to_owned(),
                message: failure.to_string(),
            },
        })
    }

    /// What has come of a request by now whose run is `run`.
    async fn reply_of(&self, route: &FoundRoute, run: RunId, replayed: bool) -> Result<RouteAnswer, EngineError> {
        let missing = || EngineError::Internal(format!("run {run} is missing"));
        let found = self.store.run(run).await?.ok_or_else(missing)?;
        match self.answer_of(&route.name(), &found, replayed).await {
            Ok(ActionAnswer::Open { run, status }) => Ok(RouteAnswer::Open { run, status }),
            Ok(ActionAnswer::Output { output, run, replayed }) => {
                let damaged = || EngineError::Internal(format!("the answer of the run {} does not read", found.id));
                let reply = RouteReply::from_json(&output).ok_or_else(damaged)?;
                Ok(RouteAnswer::Reply { reply, run, replayed })
            }
            Err(EngineError::ActionFailed { action, run, code, message }) => {
                Err(EngineError::RouteFailed { route: action, run, code, message })
            }
            Err(error) => Err(error),
        }
    }
}
