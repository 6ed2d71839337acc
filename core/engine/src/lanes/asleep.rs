//! Runs that sleep until they are tried again, and are wanted before that.

use std::cmp::Reverse;

use rapport_model::AutomationId;

use super::{Lanes, State};

impl Lanes {
    /// Queues the runs of `automation` that sleep, in the order in which they would wake; returns how many.
    pub(crate) fn wake_all(&self, automation: &AutomationId) -> usize {
        let mut state = self.lock();
        let mut timers: Vec<_> = state.timers.iter().map(|Reverse(timer)| *timer).collect();
        timers.sort_unstable();
        let mut woken = 0;
        for (_, sequence) in timers {
            if state.sleeping.get(&sequence).is_some_and(|item| item.run.automation == *automation)
                && let Some(item) = state.sleeping.remove(&sequence)
            {
                state.known.remove(&item.run.id);
                state.enqueue(item);
                woken += 1;
            }
        }
        // Those that are left are all that is waited for.
        let State { timers, sleeping, .. } = &mut *state;
        timers.retain(|Reverse((_, sequence))| sleeping.contains_key(sequence));
        drop(state);
        self.wake.notify_one();
        woken
    }
}
