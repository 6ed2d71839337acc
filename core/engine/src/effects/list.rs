//! Effects and messages as callers from outside see them, and what an operator does to them.

use rapport_model::{Effect, EffectId, EffectStatus, RunId, Timestamp};
use rapport_store::{EffectMove, EffectQuery, EffectStep, UnitOfWork};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::circuit::CircuitState;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::gate::{Act, Caller};
use crate::page::{Page, cursor, open_cursor, page_rows};

/// Effects that one call moves at most.
const MOVED_MAX: u32 = 1_000;

/// Which effects.
#[derive(Debug, Clone, Default)]
pub struct EffectFilter {
    /// A status.
    pub status: Option<String>,
    /// The run that asked for them.
    pub run: Option<String>,
    /// A channel: `http`, `email`, `webhook`.
    pub channel: Option<String>,
    /// A destination.
    pub destination: Option<String>,
    /// All messages, whatever their channel.
    pub messages: bool,
    /// Effects of the page.
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

/// Which dead effects are to be carried out again.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EffectSelection {
    /// Only those to this destination.
    pub destination: Option<String>,
    /// Only those through this channel.
    pub channel: Option<String>,
}

impl Engine {
    /// Effects, newest first.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::Invalid`] for a status, run or cursor that is none.
    pub async fn effects(&self, caller: &Caller, filter: &EffectFilter) -> Result<Page<Json>, EngineError> {
        caller.everywhere(Act::Read)?;
        let limit = page_rows(filter.limit)?;
        let mut query = EffectQuery {
            channel: filter.channel.clone(),
            destination: filter.destination.clone(),
            messages: filter.messages,
            limit: limit + 1,
            ..EffectQuery::default()
        };
        if let Some(status) = filter.status.as_deref() {
            let all = EffectStatus::ALL.map(EffectStatus::as_str).join(", ");
            let wrong = || EngineError::invalid("/status", format!("`{status}` is no status: use one of {all}"));
            query.status = Some(EffectStatus::parse(status).ok_or_else(wrong)?);
        }
        if let Some(run) = filter.run.as_deref() {
            query.run = Some(run.parse::<RunId>().map_err(|_| EngineError::invalid("/run", "this is no id of a run"))?);
        }
        let described = [&filter.status, &filter.run, &filter.channel, &filter.destination];
        let mut described: Vec<&str> = described.into_iter().map(|o| o.as_deref().unwrap_or_default()).collect();
        described.push(if filter.messages { "messages" } else { "effects" });
        if let Some(text) = filter.cursor.as_deref() {
            let values = open_cursor(&described, text)?;
            let place = match values.as_slice() {
                [time, id] => time.as_i64().zip(id.as_str().and_then(|id| id.parse::<EffectId>().ok())),
                _ => None,
            };
            let wrong = || EngineError::invalid("/cursor", "this is no cursor of effects");
            query.before = Some(place.map(|(time, id)| (Timestamp::from_micros(time), id)).ok_or_else(wrong)?);
        }
        let mut found = self.inner.store.effects(&query).await?;
        let more = found.len() > limit as usize;
        found.truncate(limit as usize);
        let next = found
            .last()
            .filter(|_| more)
            .map(|last| cursor(&described, vec![last.created_at.micros().into(), last.id.to_string().into()]));
        let show = if filter.messages { message_to_json } else { effect_to_json };
        Ok(Page { items: found.iter().map(show).collect(), next })
    }

    /// One effect with what was sent and what came back.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`].
    pub async fn effect(&self, caller: &Caller, id: &str) -> Result<Json, EngineError> {
        caller.everywhere(Act::Read)?;
        Ok(effect_to_json(&self.find_effect(id).await?))
    }

    /// Has a dead or cancelled effect carried out again, with all its tries and the same key.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`]; [`EngineError::Conflict`] if it is neither.
    pub async fn retry_effect(&self, caller: &Caller, id: &str) -> Result<Json, EngineError> {
        caller.everywhere(Act::Write)?;
        self.inner.writable(None)?;
        let effect = self.find_effect(id).await?;
        if !matches!(effect.status, EffectStatus::Dead | EffectStatus::Cancelled) {
            let message = format!("the effect is {}: only dead or cancelled ones are retried", effect.status.as_str());
            return Err(EngineError::Conflict(message));
        }
        self.retry_effects_of(caller, std::slice::from_ref(&effect)).await?;
        Ok(effect_to_json(&self.find_effect(id).await?))
    }

    /// Has all dead effects that are meant carried out again; says how many.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::LoadOpen`].
    pub async fn retry_effects(&self, caller: &Caller, selection: &EffectSelection) -> Result<Json, EngineError> {
        caller.everywhere(Act::Write)?;
        self.inner.writable(None)?;
        let mut query = EffectQuery {
            status: Some(EffectStatus::Dead),
            destination: selection.destination.clone(),
            channel: selection.channel.clone(),
            limit: MOVED_MAX,
            ..EffectQuery::default()
        };
        let mut count = 0;
        loop {
            let page = self.inner.store.effects(&query).await?;
            let Some(last) = page.last() else { return Ok(json!({ "retried": count })) };
            query.before = Some((last.created_at, last.id));
            self.retry_effects_of(caller, &page).await?;
            count += page.len();
        }
    }

    /// Makes effects pending again. They may have as long as they had at first.
    pub(crate) async fn retry_effects_of(&self, caller: &Caller, effects: &[Effect]) -> Result<(), EngineError> {
        let now = self.inner.clock.now();
        let mut unit = UnitOfWork::new(now, caller.actor.clone());
        unit.effects = effects.iter().map(|effect| again(effect, now)).collect();
        self.inner.store.commit(unit).await?;
        self.inner.effects.due_at(now);
        Ok(())
    }

    /// How many effects are pending, and how many dead.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`].
    pub async fn effect_counts(&self) -> Result<(u64, u64), EngineError> {
        let (pending, dead) = self.inner.store.effect_counts().await?;
        let whole = |n: i64| u64::try_from(n).unwrap_or(0);
        Ok((whole(pending), whole(dead)))
    }

    /// How the destinations of effects do that have failures or something on its way.
    #[must_use]
    pub fn circuits(&self) -> Vec<CircuitState> {
        self.inner.effects.destinations.states()
    }

    async fn find_effect(&self, id: &str) -> Result<Effect, EngineError> {
        let missing = || EngineError::not_found(format!("effect `{}`", id.chars().take(64).collect::<String>()));
        let id: EffectId = id.parse().map_err(|_| missing())?;
        self.inner.store.effect(id).await?.ok_or_else(missing)
    }
}

/// What makes an effect pending again.
pub(crate) fn again(effect: &Effect, now: Timestamp) -> EffectStep {
    let span = effect.deadline_at.micros().saturating_sub(effect.created_at.micros());
    EffectStep::Move(EffectMove {
        id: effect.id,
        status: EffectStatus::Pending,
        attempt: 0,
        next_at: Some(now),
        deadline_at: now.plus_micros(span),
        finished_at: None,
        reply: None,
        error: None,
    })
}

/// What calls an effect off.
pub(crate) fn called_off(effect: &Effect, now: Timestamp, why: &str) -> EffectStep {
    EffectStep::Move(EffectMove {
        id: effect.id,
        status: EffectStatus::Cancelled,
        attempt: effect.attempt,
        next_at: None,
        deadline_at: effect.deadline_at,
        finished_at: Some(now),
        reply: None,
        error: Some(format!("cancelled {why}")),
    })
}

/// An effect as it is shown.
pub(crate) fn effect_to_json(effect: &Effect) -> Json {
    json!({
        "id": effect.id.to_string(),
        "run": effect.run,
        "channel": effect.channel,
        "destination": effect.destination,
        "status": effect.status,
        "attempts": effect.attempt,
        "request": effect.request,
        "reply": effect.reply,
        "error": effect.error,
        "created_at": effect.created_at,
        "next_at": effect.next_at,
        "deadline_at": effect.deadline_at,
        "finished_at": effect.finished_at,
    })
}

/// A message as it is shown: what was said, to whom, and whether it arrived.
pub(crate) fn message_to_json(effect: &Effect) -> Json {
    let request = &effect.request;
    json!({
        "id": effect.id.to_string(),
        "run": effect.run,
        "channel": effect.channel,
        "to": request["to"],
        "about": request["about"],
        "template": request["template"],
        "subject": request["subject"],
        "text": request["text"],
        "html": request["html"],
        "data": request["data"],
        "captured": effect.destination == "capture",
        "status": effect.status,
        "attempts": effect.attempt,
        "error": effect.error,
        "created_at": effect.created_at,
        "finished_at": effect.finished_at,
    })
}
