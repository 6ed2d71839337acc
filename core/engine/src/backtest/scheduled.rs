//! Plays schedules that a candidate has otherwise than the version that was live: at each instant of its own, among the
//! recorded events.
//!
//! ```text
//! same schedules as then ─▶ the instants that were recorded are given again, late, left out or missed as they were
//! others                 ─▶ those are left out; the production engine starts the runs of each instant on the played clock
//! ```
//! What people started by hand is given again in either case. An instant counts up to the last fact that the log has: beyond
//! it nothing is known.

use std::collections::HashSet;

use rapport_model::event::Body;
use rapport_model::fan_out::EACH;
use rapport_model::limits::FAN_OUT_BATCH_RUNS_MAX;
use rapport_model::schedule::DUE;
use rapport_model::{Actor, AutomationId, Event, Name, ScheduleDef, Timestamp, Value};
use rapport_store::UnitOfWork;

use super::furnish::version_for;
use super::play::Player;
use crate::error::EngineError;
use crate::replay::Released;

/// Instants that are played at most.
const INSTANTS_MAX: u64 = 100_000;
/// When a fan-out that waits for the runs of the one before is looked at again, on the played clock.
const QUEUED_AGAIN_MICROS: i64 = 60_000_000;

/// The schedules that are played anew.
#[derive(Debug, Default)]
pub(super) struct Scheduled {
    automations: HashSet<AutomationId>,
    instants: u64,
    /// When a fan-out can go on.
    fan_out_next: Option<Timestamp>,
}

impl Player<'_> {
    /// Plays from `now` on the schedules that are not those of the version that was live then, and no others.
    pub(super) async fn see_what_is_scheduled(&mut self, now: Timestamp) -> Result<(), EngineError> {
        let mut fixed: Vec<AutomationId> = self.parts.fixed.iter().cloned().collect();
        fixed.sort_unstable();
        for id in fixed {
            let own = self.parts.versions.get(&id).map_or_else(Vec::new, |v| v.declaration.schedules.clone());
            let anew = own != self.schedules_then(&id, &own).await;
            if anew == self.scheduled.automations.contains(&id) {
                continue;
            }
            let inner = &self.parts.scratch.inner;
            let mut unit = UnitOfWork::new(now, Actor::System);
            let declared = if anew { own.as_slice() } else { &[] };
            unit.puts = inner.schedule_puts(&id, declared, now.plus_micros(-1));
            inner.store.commit(unit).await?;
            inner.load_schedules().await?;
            if anew {
                self.scheduled.automations.insert(id);
                self.parts.replay.play_one_by_one();
            } else {
                self.scheduled.automations.remove(&id);
            }
        }
        Ok(())
    }

    /// The schedules of the version that was live then. One that cannot be loaded had none that can be told.
    async fn schedules_then(&self, id: &AutomationId, own: &[ScheduleDef]) -> Vec<ScheduleDef> {
        let Some(digest) = self.then.get(id) else { return Vec::new() };
        if self.parts.versions.get(id).is_some_and(|version| version.digest == *digest) {
            return own.to_vec();
        }
        let version = version_for(self.parts.live, id, digest).await;
        version.map_or_else(|_| Vec::new(), |version| version.declaration.schedules.clone())
    }

    /// Whether `event` is an instant that was recorded of a schedule that is played anew.
    pub(super) fn is_of_replaced_schedule(&self, event: &Event) -> bool {
        let Some(Body::Data(data)) = &event.body else { return false };
        let value = |name: &str| data.iter().find(|(n, _): &&(Name, Value)| n.as_str() == name).map(|(_, value)| value);
        let by_hand = matches!(value("by_hand"), Some(Value::Bool(true)));
        let automation = || value("automation").and_then(Value::as_text);
        matches!(event.kind.as_str(), DUE | EACH)
            && !by_hand
            && automation().is_some_and(|name| self.scheduled.automations.iter().any(|id| id.as_str() == name))
    }

    /// When a schedule that is played anew is due next, or a fan-out of one.
    pub(super) fn next_scheduled(&self) -> Option<Timestamp> {
        if self.scheduled.automations.is_empty() {
            return None;
        }
        let all = [self.parts.scratch.inner.schedules.next(), self.scheduled.fan_out_next];
        all.into_iter().flatten().min().filter(|next| *next <= self.parts.recording.last_instant())
    }

    /// Starts the runs of what is due at `now`, and lets them work.
    pub(super) async fn play_scheduled(&mut self, now: Timestamp) -> Result<(), EngineError> {
        let inner = self.parts.scratch.inner.clone();
        if inner.schedules.next().is_some_and(|next| next <= now) {
            if self.scheduled.instants == INSTANTS_MAX {
                self.remark(format!(
                    "schedules have more than {INSTANTS_MAX} instants in the period: the rest is left out"
                ));
                inner.schedules.forget_all();
                return Ok(());
            }
            self.scheduled.instants += 1;
            inner.tick_schedules(now).await?;
            self.work_started().await?;
        }
        loop {
            let tick = inner.tick_fan_outs(now, FAN_OUT_BATCH_RUNS_MAX as usize).await?;
            self.work_started().await?;
            if !tick.more {
                let again = tick.is_queued().then(|| now.plus_micros(QUEUED_AGAIN_MICROS));
                self.scheduled.fan_out_next = tick.next_at.or(again);
                return Ok(());
            }
        }
    }

    /// Lets runs work that were just started: side by side, unless some may wait.
    async fn work_started(&self) -> Result<(), EngineError> {
        if !self.may_wait() {
            self.work_all(&Released::These(&HashSet::new())).await;
        }
        self.quiet().await
    }
}
