//! When a group of runs' units waits for company.
//!
//! A sync to disk costs a fraction of a millisecond whatever it carries. Behind a caller's commit there come, a moment later, the commits of the
//! runs that it started and of the segments that follow it, for which nobody waits, and then the caller's next one. Committed apart, each caller's commit waits for
//! a sync that carries the runs of the one before; together they share one. So while callers come and go, a group that nobody
//! waits for stays open for [`WAIT`]; the next caller's unit closes it at once.

use std::time::Duration;

use rapport_model::Actor;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Pending, Work};
use crate::unit::JournalStep;

/// How often a group lets others go first who are ready to hand over, as long as that brings more.
const ROUNDS: u32 = 4;
/// How long a group stays open for which nobody waits.
const WAIT: Duration = Duration::from_millis(1);
/// How long after its last answer a caller is expected to come again.
const EXPECTED: Duration = Duration::from_millis(2);

/// The most puts of one group.
const GROUP_PUTS_MAX: usize = 4_096;
/// The most bytes of files of one group, unless one unit alone has more.
const GROUP_BYTES_MAX: usize = 32 << 20;

/// What is known of those who wait for their commits.
#[derive(Debug, Default)]
pub(super) struct Company {
    /// The group at work has somebody who waits for it.
    awaited: bool,
    /// When somebody was answered last.
    answered: Option<Instant>,
}

impl Company {
    /// Lets everybody who is ready to hand over a unit do so: that costs nobody time, since they would work before the next
    /// group anyway.
    pub(super) async fn gather(waiting: &mut Vec<Work>, queue: &mut mpsc::Receiver<Work>, cap: usize) {
        for _ in 0..ROUNDS {
            let known = waiting.len();
            tokio::task::yield_now().await;
            while waiting.len() < cap {
                let Ok(work) = queue.try_recv() else { break };
                waiting.push(work);
            }
            if waiting.len() == known || waiting.len() >= cap {
                return;
            }
        }
    }

    /// Waits for a caller's unit to join `waiting`, if one is to be expected and none is there.
    pub(super) async fn wait(&mut self, waiting: &mut Vec<Work>, queue: &mut mpsc::Receiver<Work>, cap: usize) {
        self.awaited = waiting.iter().any(is_awaited);
        let expected = self.answered.is_some_and(|at| at.elapsed() < EXPECTED);
        if self.awaited || !expected {
            return;
        }
        let until = Instant::now() + WAIT;
        while !self.awaited && waiting.len() < cap {
            let known = waiting.len();
            match tokio::time::timeout_at(until, queue.recv_many(waiting, cap - known)).await {
                Ok(more) if more > 0 => self.awaited = waiting[known..].iter().any(is_awaited),
                // The time is up, or the queue is closed.
                _ => return,
            }
        }
    }

    /// Notes that the group has been answered.
    pub(super) fn answered(&mut self) {
        if self.awaited {
            self.answered = Some(Instant::now());
        }
    }
}

/// How many of the units at the front make the next group: those that change the registry or what is live stand alone.
pub(super) fn group_size(waiting: &[Pending]) -> usize {
    let alone = |p: &Pending| !p.unit.schema.is_empty() || !p.unit.automations.is_empty();
    if waiting.first().is_some_and(alone) {
        return 1;
    }
    let (mut puts, mut bytes) = (0, 0);
    for (i, pending) in waiting.iter().enumerate() {
        puts += pending.unit.puts.len();
        bytes += pending.unit.blobs.iter().map(|blob| blob.bytes.len()).sum::<usize>();
        if i > 0 && (alone(pending) || puts > GROUP_PUTS_MAX || bytes > GROUP_BYTES_MAX) {
            return i;
        }
    }
    waiting.len()
}

/// Whether somebody outside waits for it: not for what a run commits, nor for that it is woken, nor for who comes into segments and leaves them
/// by their rules.
fn is_awaited(work: &Work) -> bool {
    match work {
        Work::Unit(pending) => {
            let unit = &pending.unit;
            let follows = unit.actor == Actor::System && !unit.stays.is_empty();
            unit.run.is_none() && unit.journal != JournalStep::Woken && !follows
        }
        Work::Together(_)
        | Work::Furnish { .. }
        | Work::Purge { .. }
        | Work::SweepBlobs { .. }
        | Work::Mend { .. }
        | Work::FillSearch { .. }
        | Work::FillSegment { .. }
        | Work::FillMatchKeys { .. }
        | Work::Index { .. } => true,
    }
}

#[cfg(test)]
mod tests {
    use rapport_model::{RecordId, RunId, SegmentName, Timestamp};
    use tokio::sync::oneshot;

    use super::*;
    use crate::unit::{Stay, StayStep, UnitOfWork};

    fn of_caller() -> Work {
        Work::Unit(Box::new(Pending {
            unit: UnitOfWork::new(Timestamp::EPOCH, Actor::System),
            reply: oneshot::channel().0,
        }))
    }

    fn of_run() -> Work {
        let mut unit = UnitOfWork::new(Timestamp::EPOCH, Actor::System);
        unit.run = Some(RunId::from_parts(0, [1; 10]));
        Work::Unit(Box::new(Pending { unit, reply: oneshot::channel().0 }))
    }

    #[test]
    fn only_who_is_put_into_a_list_by_hand_is_awaited() {
        let by = |actor: Actor| {
            let mut unit = UnitOfWork::new(Timestamp::EPOCH, actor);
            let (segment, id) = (SegmentName::new("vip").unwrap(), RecordId::from_parts(0, [1; 10]));
            unit.stays.push(Stay { segment, id, at: Timestamp::EPOCH, step: StayStep::Enter });
            is_awaited(&Work::Unit(Box::new(Pending { unit, reply: oneshot::channel().0 })))
        };
        assert!(!by(Actor::System));
        assert!(by(Actor::User(RecordId::from_parts(0, [2; 10]))));
    }

    /// How long a group of one run's unit stays open, and how many units it has then.
    async fn group(company: &mut Company, next: Option<Work>) -> (Duration, usize) {
        let (sender, mut queue) = mpsc::channel(8);
        if let Some(next) = next {
            sender.send(next).await.unwrap();
        }
        let (began, mut waiting) = (Instant::now(), vec![of_run()]);
        company.wait(&mut waiting, &mut queue, 8).await;
        drop(sender);
        (began.elapsed(), waiting.len())
    }

    async fn after_a_caller() -> Company {
        let mut company = Company::default();
        let (_sender, mut queue) = mpsc::channel(1);
        company.wait(&mut vec![of_caller()], &mut queue, 8).await;
        company.answered();
        company
    }

    #[tokio::test(start_paused = true)]
    async fn what_runs_commit_does_not_wait_when_no_caller_is_about() {
        assert_eq!(group(&mut Company::default(), None).await, (Duration::ZERO, 1));
        let mut company = after_a_caller().await;
        tokio::time::advance(EXPECTED).await;
        assert_eq!(group(&mut company, None).await, (Duration::ZERO, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_caller_closes_the_group_at_once() {
        let mut company = after_a_caller().await;
        assert_eq!(group(&mut company, Some(of_caller())).await, (Duration::ZERO, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn it_waits_no_longer_than_a_moment() {
        let mut company = after_a_caller().await;
        assert_eq!(group(&mut company, None).await, (WAIT, 1));
        let mut company = after_a_caller().await;
        assert_eq!(group(&mut company, Some(of_run())).await, (WAIT, 2));
    }
}
