//! The calls about business time.

use rhai::Engine;

use crate::bindings::rapport::plugin::{calendars, clock};
use crate::failure::raise;
use crate::time::Instant;
use crate::view::Answer;

/// Makes the calls known to `engine`.
pub(super) fn register(engine: &mut Engine) {
    engine.register_fn("within_business", |span: &str, calendar: &str| within(span, calendar, Instant(clock::now())));
    engine.register_fn("within_business", within);
    engine.register_fn("business_seconds", |start: Instant, end: Instant, calendar: &str| -> Answer<i64> {
        calendars::elapsed(calendar, start.0, end.0).map_err(raise)
    });
}

/// The instant at which that span of open time has gone by since `start`.
fn within(span: &str, calendar: &str, start: Instant) -> Answer<Instant> {
    calendars::due(calendar, start.0, span).map(Instant).map_err(raise)
}
