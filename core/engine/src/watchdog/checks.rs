//! The list of checks.

use super::{Check, automations, match_keys, rollups, runs, tags, words};

/// All checks, in the order in which they are reported.
pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "wake_sources",
        about: "a run that waits is woken by an instant or an event",
        every: 1,
        look: runs::wake_sources,
    },
    Check {
        name: "overdue_timers",
        about: "a run that waits for an instant is woken within a minute of it",
        every: 1,
        look: runs::overdue,
    },
    Check {
        name: "lost_runs",
        about: "a run that is pending or retrying is in memory, or among those that memory has no room for yet",
        every: 1,
        look: runs::lost,
    },
    Check {
        name: "damaged_runs",
        about: "the row of a run that is not done can be read",
        every: 1,
        look: runs::damaged,
    },
    Check { name: "cause_depth", about: "no chain of causes is longer than its limit", every: 1, look: runs::too_deep },
    Check {
        name: "journals",
        about: "a journal, and what wakes a run, belong to a run that is not done",
        every: 1,
        look: runs::orphans,
    },
    Check {
        name: "automations",
        about: "open runs belong to automations that are there, and what is active is loaded",
        every: 1,
        look: automations::known,
    },
    Check {
        name: "schedules",
        about: "a schedule can be read and is dealt with within a minute of its instant",
        every: 1,
        look: automations::schedules,
    },
    Check {
        name: "schema_epoch",
        about: "memory and database agree on what is declared",
        every: 1,
        look: automations::schema_epoch,
    },
    Check { name: "search_terms", about: "records are found by the words that they have", every: 12, look: words::own },
    Check { name: "record_tags", about: "records are found by the tags that they have", every: 12, look: tags::own },
    Check {
        name: "match_keys",
        about: "customers are found by the e-mail addresses, phone numbers and postcodes that they have",
        every: 12,
        look: match_keys::own,
    },
    Check { name: "rollups", about: "roll-ups are what their children say", every: 12, look: rollups::right },
    Check {
        name: "run_counts",
        about: "the numbers of runs in the head of the log are those of the table",
        every: 12,
        look: runs::counts,
    },
];
