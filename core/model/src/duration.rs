//! Spans of time as people write them: `3 days`, `90 minutes`, `1 week 12 hours`.

/// The longest span: a hundred years.
const MICROS_MAX: i64 = 100 * 366 * 86_400_000_000;

/// The units, by their singular, in microseconds. A day is 24 hours, a week seven of them.
const UNITS: [(&str, i64); 6] = [
    ("millisecond", 1_000),
    ("second", 1_000_000),
    ("minute", 60_000_000),
    ("hour", 3_600_000_000),
    ("day", 86_400_000_000),
    ("week", 604_800_000_000),
];

/// A text that is no span of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no span of time: write `90 seconds`, `3 days` or `1 week 12 hours`{hint}")]
pub struct InvalidDuration {
    text: String,
    hint: String,
}

/// The microseconds of `text`: whole numbers, each with a unit from milliseconds to weeks; together a hundred years at most.
///
/// # Errors
/// [`InvalidDuration`], with the nearest unit if one is misspelt.
pub fn parse(text: &str) -> Result<i64, InvalidDuration> {
    let wrong = |hint: String| InvalidDuration { text: text.chars().take(60).collect(), hint };
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.is_empty() || !words.len().is_multiple_of(2) || words.len() > 2 * UNITS.len() {
        return Err(wrong(String::new()));
    }
    let mut sum = 0_i64;
    for pair in words.chunks_exact(2) {
        let plain = !pair[0].is_empty() && pair[0].bytes().all(|b| b.is_ascii_digit());
        let number: i64 = pair[0].parse().ok().filter(|_| plain).ok_or_else(|| wrong(String::new()))?;
        let unit = UNITS.iter().find(|(name, _)| pair[1] == *name || pair[1].strip_suffix('s') == Some(*name));
        let (_, micros) = unit.ok_or_else(|| {
            let near = crate::nearest::nearest(pair[1].trim_end_matches('s'), UNITS.iter().map(|u| u.0));
            wrong(near.map(|near| format!("; did you mean `{near}s`?")).unwrap_or_default())
        })?;
        sum = number.checked_mul(*micros).and_then(|part| sum.checked_add(part)).unwrap_or(i64::MAX);
    }
    if sum > MICROS_MAX { Err(wrong("; a hundred years at most".into())) } else { Ok(sum) }
}

/// The short names of the units.
const SHORT: [(&str, &str); 6] =
    [("ms", "milliseconds"), ("s", "seconds"), ("m", "minutes"), ("h", "hours"), ("d", "days"), ("w", "weeks")];

/// The microseconds of `text` as [`parse`] reads it, or in short, as commands take it: `4h`, `1h30m`, `90s`.
///
/// # Errors
/// As for [`parse`].
pub fn parse_short(text: &str) -> Result<i64, InvalidDuration> {
    parse(&in_words(text).unwrap_or_else(|| text.to_owned()))
        .map_err(|wrong| InvalidDuration { text: text.chars().take(60).collect(), ..wrong })
}

/// A short span with its units in words; none if it is not a short one.
fn in_words(text: &str) -> Option<String> {
    let (mut rest, mut words) = (text.trim(), Vec::new());
    while !rest.is_empty() && words.len() < 2 * SHORT.len() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, behind) = rest.split_at(digits);
        let letters = behind.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(letters);
        words.extend([number, SHORT.iter().find(|(short, _)| *short == unit)?.1]);
        rest = behind.trim_start();
    }
    rest.is_empty().then(|| words.join(" "))
}

/// The words for a span, which [`parse`] reads back: days, hours, minutes, seconds and milliseconds, those that are not none.
#[must_use]
pub fn words(micros: i64) -> String {
    let mut rest = micros.max(0);
    let mut words = Vec::new();
    // Weeks are left out: people count days.
    for (name, unit) in UNITS[..UNITS.len() - 1].iter().rev() {
        let number = rest / unit;
        rest %= unit;
        if number > 0 {
            words.push(format!("{number} {name}{}", if number == 1 { "" } else { "s" }));
        }
    }
    if words.is_empty() { "0 seconds".to_owned() } else { words.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_in_words() {
        let all = [
            ("0 seconds", 0),
            ("1 second", 1_000_000),
            ("250 milliseconds", 250_000),
            ("90 minutes", 5_400_000_000),
            ("  3   days ", 259_200_000_000),
            ("1 week 12 hours", 648_000_000_000),
        ];
        for (text, micros) in all {
            assert_eq!(parse(text), Ok(micros), "{text}");
        }
    }

    #[test]
    fn what_is_none_says_what_to_write() {
        for text in [
            "",
            "3",
            "days",
            "3 days and",
            "-3 days",
            "+3 days",
            "1.5 hours",
            "3days",
            "9e9 days",
            "999999999999999999999 days",
        ] {
            assert!(parse(text).unwrap_err().to_string().contains("write `90 seconds`"), "{text}");
        }
        assert!(parse("3 dais").unwrap_err().to_string().ends_with("did you mean `days`?"));
        assert!(parse("200000 weeks").unwrap_err().to_string().ends_with("a hundred years at most"));
    }

    #[test]
    fn a_short_span_is_read_where_it_is_taken() {
        for (text, micros) in
            [("4h", 14_400_000_000), ("1h30m", 5_400_000_000), (" 1h 30m ", 5_400_000_000), ("250ms", 250_000)]
        {
            assert_eq!(parse_short(text), Ok(micros), "{text}");
        }
        assert_eq!(parse_short("4 hours"), Ok(14_400_000_000));
        for text in ["h", "4", "4x", "4h30", "-4h", "4H", "", "1h1h1h1h1h1h1h"] {
            assert!(parse_short(text).unwrap_err().to_string().starts_with(&format!("`{text}` is no span")), "{text}");
        }
    }

    #[test]
    fn the_words_for_a_span_read_back() {
        for micros in [0, 1_000, 86_400_000_000, 30 * 86_400_000_000, 694_861_001_000] {
            assert_eq!(parse(&words(micros)).unwrap(), micros);
        }
        assert_eq!(words(30 * 86_400_000_000), "30 days");
        assert_eq!(words(90_061_000_000), "1 day 1 hour 1 minute 1 second");
    }
}
