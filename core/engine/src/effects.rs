//! Effects: what leaves the database. Rows written with the slice that asked for them, carried out after its commit.
//!
//! ```text
//! slice ─▶ commit: effect pending ─▶ due ─▶ attempt ─┬─ answered ─────▶ commit: done (and its run is woken)
//!                                    ▲               ├─ for the moment ▶ commit: next_at, with backoff and full jitter
//!                                    └───────────────┘└─ for good ─────▶ commit: dead (and its run is woken)
//! ```
//! An attempt is made at least once: a crash between it and its commit makes it again, with the same key. A destination that
//! fails again and again is left alone for a while (its circuit is open); what goes elsewhere is not held up by it.

mod attempt;
mod circuit;
mod list;
mod preview;
pub(crate) mod request;
mod steer;
pub(crate) mod transport;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rapport_model::{Actor, Effect, EffectId, EffectStatus, RunStatus, Timestamp};
use rapport_store::{EffectMove, EffectStep, StoreError, UnitOfWork, crash_point};
use tokio::sync::Notify;
use tokio::task::JoinSet;

pub use list::{EffectFilter, EffectSelection};
pub(crate) use list::{called_off, effect_to_json, message_to_json};

use self::attempt::Verdict;
pub use self::circuit::CircuitState;
use self::circuit::Destinations;
pub use self::preview::TemplatePreview;
use crate::engine::Inner;
use crate::error::EngineError;
use crate::waits;

/// How often due effects are looked for when nothing else says so.
const TICK: Duration = Duration::from_millis(50);
/// How long it waits for a database that is away or full.
const COMMIT_RETRY: Duration = Duration::from_millis(500);
/// When due effects that could not be started are looked at again.
const LOOK_AGAIN_MICROS: i64 = 1_000_000;
/// Effects whose time is up, dealt with in one go.
const OVERDUE_MAX: u32 = 200;

/// What is known in memory of effects.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    state: Mutex<State>,
    pub(crate) destinations: Destinations,
    /// There may be something to carry out.
    pub(crate) wake: Notify,
    /// One of them has come to its end.
    landed: Notify,
}

#[derive(Debug, Default)]
struct State {
    on_their_way: HashSet<EffectId>,
    /// When the next one is due at the latest.
    next: Option<Timestamp>,
}

impl Effects {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes that an effect is due at `when`. Called once that is durable.
    pub(crate) fn due_at(&self, when: Timestamp) {
        self.with(|state| state.next = Some(state.next.map_or(when, |next| next.min(when))));
        self.wake.notify_one();
    }

    /// When the next one is due at the latest.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.with(|state| state.next)
    }

    /// How many are on their way.
    pub(crate) fn in_flight(&self) -> usize {
        self.with(|state| state.on_their_way.len())
    }

    /// Waits until none is on its way.
    pub(crate) async fn landed(&self) {
        loop {
            let landed = self.landed.notified();
            tokio::pin!(landed);
            landed.as_mut().enable();
            if self.in_flight() == 0 {
                return;
            }
            landed.await;
        }
    }
}

/// An effect on its way; back when this is dropped, whatever became of it.
struct OnItsWay(Arc<Inner>, EffectId);

impl Drop for OnItsWay {
    fn drop(&mut self) {
        self.0.effects.with(|state| state.on_their_way.remove(&self.1));
        self.0.effects.landed.notify_waiters();
    }
}

impl Inner {
    /// Takes up where effects stand: at start.
    pub(crate) async fn take_up_effects(&self) -> Result<(), EngineError> {
        let next = self.store.next_effect(&[]).await?;
        self.effects.with(|state| state.next = next);
        self.wake_stranded().await
    }

    /// Starts attempts at the effects that are due at `now`, as many as limits and circuits allow. Returns how many.
    ///
    /// # Errors
    /// [`EngineError`] if the database is away: then they stay due.
    pub(crate) async fn start_effects(
        self: &Arc<Self>,
        now: Timestamp,
        attempts: &mut JoinSet<()>,
    ) -> Result<usize, EngineError> {
        // A log that is played again sends nothing: what its runs were answered is in the log.
        if self.replay.get().is_some() || self.effects.next().is_none_or(|next| next > now) {
            return Ok(0);
        }
        self.give_up_overdue(now).await?;
        let mut started = 0;
        loop {
            let room = self.limits.effects_in_flight_max.saturating_sub(self.effects.in_flight());
            if room == 0 || self.is_stopping() {
                return Ok(started);
            }
            let left_alone = self.effects.destinations.left_alone(now, self.limits.destination_in_flight_max);
            let page = u32::try_from(room + self.effects.in_flight()).unwrap_or(u32::MAX);
            let due = self.store.due_effects(now, &left_alone, page).await?;
            let before = started;
            for effect in due {
                started += usize::from(self.start_effect(effect, now, attempts));
            }
            if started == before {
                return self.note_next(now).await.map(|()| started);
            }
        }
    }

    /// Carries out what is due at `now`, and returns once nothing is on its way: how many attempts were made. For clocks that
    /// stand still between steps; the loop may be faster.
    pub(crate) async fn carry_due(self: &Arc<Self>, now: Timestamp) -> Result<usize, EngineError> {
        let mut attempts = JoinSet::new();
        let was = self.effects.in_flight();
        let started = self.start_effects(now, &mut attempts).await?;
        while attempts.join_next().await.is_some() {}
        self.effects.landed().await;
        Ok(started + was)
    }

    /// The effect as it is now, if it is still to be carried out.
    async fn still_due(&self, effect: &Effect) -> Option<Effect> {
        let now = self.clock.now();
        let found = self.store.effect(effect.id).await.ok().flatten();
        found.filter(|e| e.status == EffectStatus::Pending && e.next_at.is_some_and(|next| next <= now))
    }

    /// Starts an attempt, unless one is on its way or its destination is left alone.
    fn start_effect(self: &Arc<Self>, effect: Effect, now: Timestamp, attempts: &mut JoinSet<()>) -> bool {
        let limits = &self.limits;
        let room = |state: &mut State| {
            state.on_their_way.len() < limits.effects_in_flight_max && !state.on_their_way.contains(&effect.id)
        };
        if !self.effects.with(room) {
            return false;
        }
        let Some(turn) = self.effects.destinations.enter(&effect.destination, now, limits.destination_in_flight_max)
        else {
            return false;
        };
        self.effects.with(|state| state.on_their_way.insert(effect.id));
        let way = OnItsWay(self.clone(), effect.id);
        let inner = self.clone();
        attempts.spawn(async move {
            carry(&inner, &effect, turn).await;
            // There is room for another now.
            inner.effects.due_at(inner.clock.now());
            drop(way);
        });
        true
    }

    /// When to look again: when the next effect is due, or a destination is to be tried again.
    async fn note_next(&self, now: Timestamp) -> Result<(), EngineError> {
        let destinations = &self.effects.destinations;
        let left_alone = destinations.left_alone(now, self.limits.destination_in_flight_max);
        let stored = self.store.next_effect(&left_alone).await?;
        // What is due still is on its way, or does not read: it is looked at again when something lands, or in a while.
        let stored = stored.map(|next| if next <= now { now.plus_micros(LOOK_AGAIN_MICROS) } else { next });
        let next = [stored, destinations.next_trial(now)].into_iter().flatten().min();
        self.effects.with(|state| state.next = next);
        Ok(())
    }

    /// Gives up what was to be carried out by now.
    async fn give_up_overdue(&self, now: Timestamp) -> Result<(), EngineError> {
        for effect in self.store.overdue_effects(now, OVERDUE_MAX).await? {
            if self.effects.with(|state| state.on_their_way.contains(&effect.id)) {
                continue;
            }
            let last = effect.error.as_deref().map(|e| format!("; the last attempt: {e}")).unwrap_or_default();
            let why = format!("deadline it was not answered by {}{last}", effect.deadline_at);
            self.land(&effect, effect.attempt, &Verdict::GivenUp(why), now).await?;
        }
        Ok(())
    }

    /// Commits what became of an attempt, and wakes the run that waits for it.
    async fn land(&self, effect: &Effect, attempt: u16, verdict: &Verdict, now: Timestamp) -> Result<(), StoreError> {
        let step = step_of(effect, attempt, verdict, now);
        let landed = step.status != EffectStatus::Pending;
        if landed && effect.channel == rapport_model::effect::HTTP {
            let run = self.store.run(effect.run).await?;
            if let Some(run) = run.filter(|run| run.status == RunStatus::Waiting) {
                let mut unit = waits::wake_unit(&run, None, now);
                unit.effects.push(EffectStep::Move(step.clone()));
                match self.store.commit(unit).await {
                    Ok(_) => {
                        self.woken(run, None, now);
                        return Ok(());
                    }
                    // Somebody has cancelled it meanwhile: what was answered is noted all the same.
                    Err(StoreError::RunMoved { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        let mut unit = UnitOfWork::new(now, Actor::System);
        unit.effects.push(EffectStep::Move(step));
        self.store.commit(unit).await.map(|_| ())
    }
}

/// Makes one attempt, and commits what became of it: again and again, until it is durable or the host stops.
async fn carry(inner: &Arc<Inner>, effect: &Effect, turn: circuit::Turn) {
    crash_point("effect.taken");
    // It was read before this attempt began: the one before may have come to its end since, or somebody called it off.
    let Some(effect) = inner.still_due(effect).await else {
        return inner.effects.destinations.leave(turn, circuit::Reached::Unknown, inner.clock.now(), &inner.limits);
    };
    let effect = &effect;
    let outcome = attempt::make(inner, effect).await;
    crash_point("effect.sent");
    let now = inner.clock.now();
    let reached = attempt::reached(&outcome);
    inner.effects.destinations.leave(turn, reached, now, &inner.limits);
    let number = effect.attempt.saturating_add(1);
    let verdict = attempt::judge(effect, number, outcome, &inner.limits);
    loop {
        let backoff = match &verdict {
            Verdict::Again { ceiling_ms, least, .. } => Some(inner.jitter(*ceiling_ms, *least)),
            _ => None,
        };
        let when = backoff.map(|wait| now.plus_micros(wait));
        let settled = verdict.clone().at(when);
        match inner.land(effect, number, &settled, now).await {
            Ok(()) => {
                crash_point("effect.committed");
                if let Some(when) = when {
                    inner.effects.due_at(when.min(effect.deadline_at));
                }
                if let Verdict::GivenUp(why) = &verdict {
                    tracing::warn!(effect.id = %effect.id, run.id = %effect.run, "the effect {} went to the dead letters: {why}", effect.id);
                }
                return;
            }
            Err(error) => {
                tracing::warn!(effect.id = %effect.id, "what became of the effect {} waits for the database: {error}", effect.id);
                inner.pause(COMMIT_RETRY).await;
            }
        }
        if inner.is_stopping() {
            return;
        }
    }
}

/// How an effect moves.
fn step_of(effect: &Effect, attempt: u16, verdict: &Verdict, now: Timestamp) -> EffectMove {
    let mut step = EffectMove {
        id: effect.id,
        status: EffectStatus::Done,
        attempt,
        next_at: None,
        deadline_at: effect.deadline_at,
        finished_at: Some(now),
        reply: None,
        error: None,
    };
    match verdict {
        Verdict::Answered(reply) => step.reply = Some(request::reply_json(reply)),
        Verdict::Again { when, error, .. } => {
            // Not later than its time is up, so that it is given up then.
            (step.status, step.next_at) = (EffectStatus::Pending, when.map(|at| at.min(effect.deadline_at)));
            (step.finished_at, step.error) = (None, Some(error.clone()));
        }
        Verdict::GivenUp(error) => (step.status, step.error) = (EffectStatus::Dead, Some(error.clone())),
    }
    step
}

/// Carries effects out, again and again.
pub(crate) async fn keep(inner: Arc<Inner>) {
    let mut attempts = JoinSet::new();
    while !inner.is_stopping() {
        while attempts.try_join_next().is_some() {}
        if let Err(error) = inner.start_effects(inner.clock.now(), &mut attempts).await {
            tracing::warn!("effects that are due wait for the database: {error}");
            inner.pause(COMMIT_RETRY).await;
        }
        tokio::select! {
            () = inner.effects.wake.notified() => {}
            () = inner.pause(TICK) => {}
        }
    }
    // What is on its way comes to its end; what it came to is committed before the store closes.
    while attempts.join_next().await.is_some() {}
}
