//! Business calendars against one that looks at every minute.

#[cfg(test)]
#[path = "calendars/walker.rs"]
mod walker;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rapport_model::{Calendar, Timestamp};

use walker::{BEGIN, Clock, END, MINUTE, PLACES, plan};

#[test]
fn a_calendar_agrees_with_a_walk_over_every_minute() {
    let clocks = PLACES.map(Clock::of);
    let mut runner = TestRunner::new(Config { cases: 600, failure_persistence: None, ..Config::default() });
    let questions = (plan(), BEGIN..END, 0..END, 0..=100_usize);
    let agrees = runner.run(&questions, |(plan, start, length, share)| {
        let calendar = Calendar::from_json(&plan.definition()).unwrap();
        let clock = &clocks[plan.place];
        let open = plan.walk(clock);
        let (begin, end) = (clock.instant(start), (start + length).min(END));
        let walked = open[start..end].iter().filter(|open| **open).count();
        prop_assert_eq!(calendar.elapsed(begin, clock.instant(end)).unwrap(), i64::try_from(walked).unwrap() * 60);

        let wanted = walked * share / 100;
        let span = i64::try_from(wanted).unwrap() * MINUTE;
        let mut reached = open.iter().enumerate().skip(start).filter(|(_, open)| **open);
        let due = match wanted {
            0 => begin,
            _ => clock.instant(reached.nth(wanted - 1).unwrap().0 + 1),
        };
        prop_assert_eq!(calendar.due(begin, span).unwrap(), due);
        prop_assert_eq!(calendar.open_micros(begin, due).unwrap(), span);
        Ok(())
    });
    agrees.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn open_time_adds_up(plan in plan(), mut at in prop::array::uniform3(0..20_000_000_000_000_i64)) {
        at.sort_unstable();
        let calendar = Calendar::from_json(&plan.definition()).unwrap();
        let zero = plan.first_day().to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_microsecond();
        let [a, b, c] = at.map(|micros| Timestamp::from_micros(zero + micros));
        let open = |from, until| calendar.open_micros(from, until).unwrap();
        prop_assert_eq!(open(a, b) + open(b, c), open(a, c));
        prop_assert!(open(a, c) <= c.micros() - a.micros());
    }
}
