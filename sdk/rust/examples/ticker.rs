//! A plugin that its schedules alone start: it says that it was called.

use rapport_sdk::{Error, Event, OnSchedule, log};

/// Ticks.
struct Ticker;

impl OnSchedule for Ticker {
    fn on_schedule(event: Event) -> Result<(), Error> {
        log::info(&event.kind);
        Ok(())
    }
}

rapport_sdk::export!(Ticker: on_schedule);
