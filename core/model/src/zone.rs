//! Time zones by their IANA names: what a wall clock shows where.
//!
//! The rules come from the machine's time zone database, so that a change of law arrives with the system's updates.

use std::fmt;
use std::str::FromStr;

use jiff::tz::{TimeZone, db};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::nearest::nearest;
use crate::time::Timestamp;

/// A time zone of the IANA database, such as `Europe/Berlin`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    name: String,
    rules: TimeZone,
}

/// A name that no time zone has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ZoneError {
    /// The database is there and does not know the name.
    #[error("there is no time zone `{name}`: {advice}")]
    Unknown {
        /// The name, cut where it is long.
        name: String,
        /// What to write instead.
        advice: String,
    },
    /// The machine has no time zone database at all.
    #[error("this machine has no time zone database: install the system's package `tzdata`")]
    NoDatabase,
}

impl Zone {
    /// Coordinated universal time.
    #[must_use]
    pub fn utc() -> Self {
        Self { name: "UTC".into(), rules: TimeZone::UTC }
    }

    /// The name, in the database's own spelling.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the wall clock shows at `instant`, and how far it is from UTC: `2026-03-29 03:00:00 +02:00`.
    #[must_use]
    pub fn wall_clock(&self, instant: Timestamp) -> String {
        let zoned = jiff::Timestamp::from_microsecond(instant.micros()).map(|t| t.to_zoned(self.rules.clone()));
        zoned.map_or_else(|_| instant.to_string(), |z| z.strftime("%Y-%m-%d %H:%M:%S %:z").to_string())
    }

    /// Where the clock is put forward or back.
    pub(crate) const fn rules(&self) -> &TimeZone {
        &self.rules
    }
}

impl FromStr for Zone {
    type Err = ZoneError;

    fn from_str(name: &str) -> Result<Self, ZoneError> {
        if name.eq_ignore_ascii_case("utc") {
            return Ok(Self::utc());
        }
        match TimeZone::get(name) {
            Ok(rules) => Ok(Self { name: rules.iana_name().unwrap_or(name).to_owned(), rules }),
            Err(_) => Err(unknown(name)),
        }
    }
}

/// The error for `name`, with the name that was probably meant.
fn unknown(name: &str) -> ZoneError {
    let known: Vec<String> = db().available().map(|zone| zone.as_str().to_owned()).collect();
    if known.is_empty() {
        return ZoneError::NoDatabase;
    }
    let advice = match meant(name, &known) {
        Some(zone) => format!("did you mean `{zone}`?"),
        None => "write a name of the IANA database, such as `Europe/Berlin` or `UTC`".to_owned(),
    };
    ZoneError::Unknown { name: name.chars().take(64).flat_map(char::escape_debug).collect(), advice }
}

/// The zone of that city (`berlin`, `new york`), or else the one with the nearest name.
fn meant(name: &str, known: &[String]) -> Option<String> {
    let name = name.trim().replace(' ', "_");
    // The signs of `Etc/GMT+8` are the wrong way round for whoever writes `GMT+8`.
    let places = || known.iter().filter(|zone| !zone.starts_with("Etc/"));
    let city = |zone: &&String| zone.rsplit('/').next().is_some_and(|last| last.eq_ignore_ascii_case(&name));
    let found = places().find(city).cloned();
    found.or_else(|| nearest(&name, places().map(String::as_str)))
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &str) -> String {
        name.parse::<Zone>().unwrap_err().to_string()
    }

    #[test]
    fn a_zone_has_the_databases_spelling() {
        assert_eq!("europe/berlin".parse::<Zone>().unwrap().name(), "Europe/Berlin");
        assert_eq!("utc".parse::<Zone>().unwrap(), Zone::utc());
    }

    #[test]
    fn an_unknown_zone_names_the_nearest() {
        assert_eq!(refused("Europe/Berln"), "there is no time zone `Europe/Berln`: did you mean `Europe/Berlin`?");
        assert!(refused("shanghai").ends_with("did you mean `Asia/Shanghai`?"));
        assert!(refused("America/New York").ends_with("did you mean `America/New_York`?"));
    }

    #[test]
    fn what_is_no_name_is_no_zone() {
        for text in ["", "+02:00", "CET-1CEST,M3.5.0,M10.5.0/3", "../../etc/passwd", "\u{1b}[31m", &"x".repeat(100_000)]
        {
            let said = refused(text);
            assert!(said.len() < 300 && !said.contains('\u{1b}'), "{said}");
        }
    }

    #[test]
    fn the_wall_clock_is_shown_with_its_distance_from_utc() {
        let berlin: Zone = "Europe/Berlin".parse().unwrap();
        assert_eq!(berlin.wall_clock("2026-03-29T01:00:00Z".parse().unwrap()), "2026-03-29 03:00:00 +02:00");
    }
}
