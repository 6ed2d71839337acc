//! Which runs were woken in memory alone, so that nothing wakes them twice; and how many that a commit has made pending wait for
//! their lane.
//!
//! ```text
//! asleep ─rouse─▶ awake ─its slice is committed, or came to nothing─▶ just stepped on ─the next look begins─▶ asleep
//! ```
//! Whoever looks for runs to wake reads the database first, and slices are committed meanwhile. What was read of a run that was
//! awake at any moment since may be what it waited for before. So such a run is left alone by that look; it has said, or says
//! now, what it waits for next, and is looked at again for that.

use std::collections::HashSet;

use rapport_model::RunId;

/// Runs that are woken without a commit, at one time. Fewer than a page of those that are due, so that a full page has others.
pub(super) const AWOKEN_MAX: usize = 256;

/// Runs that a commit has made pending and that have not left their lane yet, at one time, before more timers are looked at. What
/// is due beyond that stays in the database: it costs no memory, and fresh events find a short line.
pub(super) const CROWD_MAX: usize = 256;

/// The runs that are awake, or were until a moment ago.
#[derive(Debug, Default)]
pub(super) struct Awake {
    /// Woken, and their slice has not been committed yet: nothing else wakes them.
    awoken: HashSet<RunId>,
    /// Those that have stepped on since the present look began.
    stepped: HashSet<RunId>,
    /// Woken by a commit, and still on their lane.
    crowd: HashSet<RunId>,
}

/// Whether a run could be marked as woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rouse {
    /// It is.
    Done,
    /// It was before, or has just stepped on.
    Astir,
    /// There are too many at one time: it is woken by a commit.
    Full,
}

impl Awake {
    /// Begins to read from the database who is to be woken.
    pub(super) fn begin_look(&mut self) {
        self.stepped.clear();
    }

    /// Marks a run as woken.
    pub(super) fn rouse(&mut self, run: RunId) -> Rouse {
        match self.awoken.len() {
            _ if self.is_astir(run) => Rouse::Astir,
            AWOKEN_MAX.. => Rouse::Full,
            _ => {
                self.awoken.insert(run);
                Rouse::Done
            }
        }
    }

    /// Notes that a run has stepped on, or that nothing came of it.
    pub(super) fn sleeps(&mut self, run: RunId) {
        if self.awoken.remove(&run) {
            self.stepped.insert(run);
        }
    }

    /// Notes that a run was woken by a commit.
    pub(super) fn joins(&mut self, run: RunId) {
        self.crowd.insert(run);
    }

    /// Notes that a run has left its lane.
    pub(super) fn leaves(&mut self, run: RunId) {
        self.crowd.remove(&run);
    }

    /// For how many more runs there is room on the lanes, if it is worth while to wake them.
    pub(super) fn room(&self) -> Option<usize> {
        Some(CROWD_MAX.saturating_sub(self.crowd.len())).filter(|room| *room >= CROWD_MAX / 2)
    }

    /// How many runs are to be left alone.
    pub(super) fn astir(&self) -> usize {
        self.awoken.len() + self.stepped.len()
    }

    /// Whether what was read of a run since the look began may not be how it waits now.
    pub(super) fn is_astir(&self, run: RunId) -> bool {
        self.awoken.contains(&run) || self.stepped.contains(&run)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_run_is_woken_once_and_not_by_what_was_read_before_it_stepped_on() {
        let (mut awake, run) = (Awake::default(), RunId(Uuid::from_u128(7)));
        awake.begin_look();
        assert_eq!(awake.rouse(run), Rouse::Done);
        assert_eq!(awake.rouse(run), Rouse::Astir);
        awake.sleeps(run);
        assert_eq!(awake.rouse(run), Rouse::Astir, "the look began before");
        awake.begin_look();
        assert_eq!(awake.rouse(run), Rouse::Done);
    }

    #[test]
    fn so_many_are_awake_and_no_more() {
        let (mut awake, run) = (Awake::default(), |n: usize| RunId(Uuid::from_u128(n as u128)));
        assert!((0..AWOKEN_MAX).all(|n| awake.rouse(run(n)) == Rouse::Done));
        assert_eq!(awake.rouse(run(AWOKEN_MAX)), Rouse::Full);
        assert_eq!(awake.rouse(run(0)), Rouse::Astir);
        awake.sleeps(run(0));
        assert_eq!(awake.rouse(run(AWOKEN_MAX)), Rouse::Done);
    }

    #[test]
    fn there_is_room_again_once_half_of_the_crowd_has_left() {
        let (mut awake, run) = (Awake::default(), |n: usize| RunId(Uuid::from_u128(n as u128)));
        assert_eq!(awake.room(), Some(CROWD_MAX));
        (0..CROWD_MAX).for_each(|n| awake.joins(run(n)));
        (1..CROWD_MAX / 2).for_each(|n| awake.leaves(run(n)));
        assert_eq!(awake.room(), None);
        awake.leaves(run(0));
        assert_eq!(awake.room(), Some(CROWD_MAX / 2));
    }
}
