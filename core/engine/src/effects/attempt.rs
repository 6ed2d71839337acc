//! One attempt at an effect, and what follows from it.

use std::time::Duration;

use rapport_model::limits::HTTP_REPLY_BYTES_MAX;
use rapport_model::{Effect, Limits, Timestamp};

use super::circuit::Reached;
use super::request::{self, Parcel};
use super::transport::{Failure, Reply};
use crate::engine::Inner;

/// What follows from an attempt.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    /// This is the answer.
    Answered(Reply),
    /// It is tried again.
    Again {
        /// When, once that is drawn.
        when: Option<Timestamp>,
        /// The longest wait before it, in milliseconds.
        ceiling_ms: u64,
        /// The least, since the other side asked for it.
        least: Duration,
        /// Why.
        error: String,
    },
    /// It goes to the dead letters: a code, a space and a sentence.
    GivenUp(String),
}

impl Verdict {
    /// The same, tried again at `when`.
    pub(super) fn at(self, at: Option<Timestamp>) -> Self {
        match self {
            Self::Again { ceiling_ms, least, error, .. } => Self::Again { when: at, ceiling_ms, least, error },
            other => other,
        }
    }
}

/// Makes the attempt.
pub(super) async fn make(inner: &Inner, effect: &Effect) -> Result<Reply, Failure> {
    match request::parcel(effect) {
        Ok(Parcel::Http(call)) => inner.transport.http(&call).await,
        Ok(Parcel::Message(message)) => inner.transport.send(&message).await,
        Err(why) => Err(Failure { code: "damaged".into(), message: why, retryable: false, retry_after: None }),
    }
}

/// Whether the destination was reached and is well.
pub(super) fn reached(outcome: &Result<Reply, Failure>) -> Reached {
    match outcome {
        Ok(reply) if reply.status >= 500 => Reached::No,
        Ok(_) => Reached::Yes,
        Err(failure) if failure.retryable => Reached::No,
        Err(_) => Reached::Unknown,
    }
}

/// What follows from attempt `number` (from 1).
pub(super) fn judge(effect: &Effect, number: u16, outcome: Result<Reply, Failure>, limits: &Limits) -> Verdict {
    let last = number >= request::attempts_max(effect, limits);
    match outcome {
        Ok(reply) => judge_reply(effect, reply, (number, last), limits),
        Err(failure) if failure.retryable && !last => {
            let error = format!("{} {}", failure.code, failure.message);
            again(number, failure.retry_after.unwrap_or_default(), error, limits)
        }
        Err(failure) if failure.retryable => {
            Verdict::GivenUp(format!("{} {} (attempt {number}, the last)", failure.code, failure.message))
        }
        Err(failure) => Verdict::GivenUp(format!("{} {}", failure.code, failure.message)),
    }
}

fn judge_reply(effect: &Effect, reply: Reply, (number, last): (u16, bool), limits: &Limits) -> Verdict {
    let status = reply.status;
    let is_call = effect.channel == rapport_model::effect::HTTP;
    let for_the_moment = matches!(status, 408 | 425 | 429) || status >= 500;
    let error = format!("status {} answered {status}", effect.destination);
    match (for_the_moment, is_call) {
        (true, _) if !last => again(number, retry_after(&reply), error, limits),
        (_, true) if reply.body.len() > HTTP_REPLY_BYTES_MAX => Verdict::GivenUp(format!(
            "too_large {} answered {} bytes, and a run takes {HTTP_REPLY_BYTES_MAX}",
            effect.destination,
            reply.body.len()
        )),
        // A call's last answer is the run's to deal with, whatever its status.
        (_, true) => Verdict::Answered(reply),
        (_, false) if (200..300).contains(&status) => Verdict::Answered(reply),
        // Gone, in so many words: nobody listens there any more.
        (false, false) if status == 410 || last => Verdict::GivenUp(error),
        (false, false) => again(number, retry_after(&reply), error, limits),
        (true, false) => Verdict::GivenUp(format!("{error} (attempt {number}, the last)")),
    }
}

fn again(number: u16, least: Duration, error: String, limits: &Limits) -> Verdict {
    let doubled = limits.effect_backoff_ms.saturating_mul(1 << (number - 1).min(20));
    Verdict::Again { when: None, ceiling_ms: doubled.min(limits.effect_backoff_ms_max), least, error }
}

/// What the other side asks for, in whole seconds (RFC 9110, 10.2.3); a date is not looked at.
fn retry_after(reply: &Reply) -> Duration {
    let header = reply.headers.iter().find(|(name, _)| name == "retry-after");
    header.and_then(|(_, text)| text.trim().parse().ok()).map_or(Duration::ZERO, Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use rapport_model::{EffectId, EffectStatus, RunId};
    use serde_json::json;

    use super::*;

    fn effect(channel: &str) -> Effect {
        Effect {
            id: EffectId::from_parts(0, [0; 10]),
            run: RunId::from_parts(0, [0; 10]),
            call: 0,
            channel: channel.into(),
            destination: "https://api.example".into(),
            request: json!({ "attempts": 3 }),
            status: EffectStatus::Pending,
            attempt: 0,
            next_at: None,
            deadline_at: Timestamp::EPOCH,
            created_at: Timestamp::EPOCH,
            finished_at: None,
            reply: None,
            error: None,
        }
    }

    fn status(status: u16) -> Reply {
        Reply { status, ..Reply::default() }
    }

    #[test]
    fn a_call_that_fails_for_the_moment_is_tried_again_and_its_last_answer_counts() {
        let limits = Limits::default();
        assert!(matches!(
            judge(&effect("http"), 1, Ok(status(503)), &limits),
            Verdict::Again { ceiling_ms: 1_000, .. }
        ));
        assert!(matches!(
            judge(&effect("http"), 2, Ok(status(429)), &limits),
            Verdict::Again { ceiling_ms: 2_000, .. }
        ));
        assert!(
            matches!(judge(&effect("http"), 3, Ok(status(503)), &limits), Verdict::Answered(reply) if reply.status == 503)
        );
        assert!(matches!(judge(&effect("http"), 1, Ok(status(404)), &limits), Verdict::Answered(_)));
    }

    #[test]
    fn a_webhook_that_is_not_taken_is_tried_again_unless_it_is_gone() {
        let limits = Limits::default();
        assert!(matches!(judge(&effect("webhook"), 1, Ok(status(200)), &limits), Verdict::Answered(_)));
        assert!(matches!(judge(&effect("webhook"), 1, Ok(status(404)), &limits), Verdict::Again { .. }));
        assert!(matches!(judge(&effect("webhook"), 1, Ok(status(410)), &limits), Verdict::GivenUp(_)));
        assert!(matches!(judge(&effect("webhook"), 3, Ok(status(500)), &limits), Verdict::GivenUp(_)));
    }

    #[test]
    fn what_the_other_side_asks_for_is_the_least_wait() {
        let headers = vec![("retry-after".to_owned(), "120".to_owned())];
        let outcome = Ok(Reply { status: 429, headers, body: Vec::new() });
        let verdict = judge(&effect("http"), 1, outcome, &Limits::default());
        assert!(matches!(verdict, Verdict::Again { least, .. } if least == Duration::from_mins(2)), "{verdict:?}");
    }

    #[test]
    fn a_failure_for_good_is_not_tried_again() {
        let failure =
            Failure { code: "refused_address".into(), message: "no".into(), retryable: false, retry_after: None };
        assert_eq!(
            judge(&effect("http"), 1, Err(failure), &Limits::default()),
            Verdict::GivenUp("refused_address no".into())
        );
    }
}
