//! The line in which lanes stand that have work: fresh work goes first, and fan-outs still get on.
//!
//! A fan-out starts thousands of runs at an instant, and nobody waits for a single one of them; no more does anybody for what a
//! schedule's run sets off. Somebody may wait for what an event from outside starts. So lanes whose work is all of fan-outs stand in
//! a line of their own, which is served when the other is empty, and once after some turns of the other, so that neither can keep
//! the other out.

use std::collections::VecDeque;

use uuid::Uuid;

/// Turns of fresh lanes after which one of a fan-out comes, if there is one.
const FRESH_IN_A_ROW: u32 = 8;
/// Runs of fan-outs that work at one time: the others find room, and commits stay small.
const FAN_OUT_RUNNING_MAX: usize = 8;

/// What a run belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Share {
    /// What somebody may wait for.
    #[default]
    Fresh,
    /// A fan-out, or what a run of one or of a schedule set off.
    FanOut,
}

/// The lanes that have work.
#[derive(Debug, Default)]
pub(super) struct Line {
    fresh: VecDeque<Uuid>,
    fan_out: VecDeque<Uuid>,
    fresh_in_a_row: u32,
}

impl Line {
    /// Puts a lane at the end of the line of `share`.
    pub(super) fn push(&mut self, share: Share, lane: Uuid) {
        match share {
            Share::Fresh => self.fresh.push_back(lane),
            Share::FanOut => self.fan_out.push_back(lane),
        }
    }

    /// Takes the next lane, where `running` runs of fan-outs work already. A lane that has moved to the other line since is still
    /// in this one: who takes it has to look.
    pub(super) fn pop(&mut self, running: usize) -> Option<(Share, Uuid)> {
        let room = running < FAN_OUT_RUNNING_MAX;
        let turn = self.fresh.is_empty() || self.fresh_in_a_row >= FRESH_IN_A_ROW;
        if let Some(lane) = self.fan_out.pop_front_if(|_| room && turn) {
            self.fresh_in_a_row = 0;
            return Some((Share::FanOut, lane));
        }
        let lane = self.fresh.pop_front()?;
        self.fresh_in_a_row = self.fresh_in_a_row.saturating_add(1);
        Some((Share::Fresh, lane))
    }
}
