//! Days as numbers, counted from 1970-01-01 in UTC, for `days_since`.

use jiff::civil::Date;

use crate::time::Timestamp;

/// Microseconds of a day.
pub const DAY_MICROS: i64 = 86_400_000_000;

/// The number of the day in which `now` lies.
#[must_use]
pub fn day_of(now: Timestamp) -> i64 {
    now.micros().div_euclid(DAY_MICROS)
}

/// The midnight (UTC) that begins a day.
#[must_use]
pub fn midnight(date: Date) -> Timestamp {
    Timestamp::from_micros(i64::from(day_number(date)) * DAY_MICROS)
}

/// The number of a date.
#[must_use]
pub fn day_number(date: Date) -> i32 {
    // Years begin in March here, so that the leap day is the last of its year, and eras of 400 years are all alike.
    let (month, day) = (i32::from(date.month()), i32::from(date.day()));
    let year = i32::from(date.year()) - i32::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468
}

/// The date of a number; nothing outside of the years 0 to 9999.
#[must_use]
pub fn date_of(number: i64) -> Option<Date> {
    let days = jiff::Span::new().try_days(number).ok()?;
    let date = jiff::civil::date(1970, 1, 1).checked_add(days).ok()?;
    (date.year() >= 0).then_some(date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_gives_its_date_back() {
        for number in [-719_528, -1, 0, 59, 60, 789, 11_016, 2_932_896] {
            assert_eq!(i64::from(day_number(date_of(number).unwrap())), number);
        }
        assert_eq!(date_of(0).unwrap().to_string(), "1970-01-01");
        assert_eq!(date_of(-719_528).unwrap().to_string(), "0000-01-01");
    }

    #[test]
    fn a_number_outside_of_four_digit_years_has_no_date() {
        assert_eq!(date_of(-719_529), None);
        assert_eq!(date_of(2_932_897), None);
        assert_eq!(date_of(i64::MAX), None);
    }

    #[test]
    fn the_day_of_an_instant_before_1970_is_rounded_down() {
        assert_eq!(day_of(Timestamp::from_micros(-1)), -1);
        assert_eq!(day_of(Timestamp::from_micros(DAY_MICROS)), 1);
    }
}
