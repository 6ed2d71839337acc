//! Counts of answers: one record for each answer, day, channel and language, and one for each month of them. How often it was given is a
//! roll-up over the answers, so that it follows whatever becomes of them, and a report adds up some thousand records where a million
//! answers were given.

use rapport_sdk::{Error, Fields, Reference, Timestamp, clock, flow as host, query, records, settings};

use crate::books::{MONTH, TALLY};

/// By what an answer is counted.
#[derive(Debug, Clone)]
pub(crate) struct Counted {
    pub(crate) survey: Reference,
    pub(crate) item: String,
    pub(crate) question: String,
    pub(crate) number: Option<i64>,
    pub(crate) value: Option<String>,
    pub(crate) channel: String,
    pub(crate) language: String,
}

/// The record that counts an answer of today; it is opened with the first one.
///
/// # Errors
/// The host's.
pub(crate) fn of(counted: &Counted) -> Result<Reference, Error> {
    let day = day_of(clock::now())?;
    let by_key = format!("key:{}", counted.key(&day.to_string()));
    if let Some(found) = records::get(TALLY, &by_key)? {
        return Ok(found.reference());
    }
    // Two who answer at the same moment open it once.
    host::lock(&format!("survey/tally/{}", counted.survey.id))?;
    if let Some(found) = records::get(TALLY, &by_key)? {
        return Ok(found.reference());
    }
    let month = month_of(day);
    let monthly = match records::get(MONTH, &format!("key:{}", counted.key(&month)))? {
        Some(found) => found,
        None => records::create(MONTH, &counted.fields(&month).with("month", month.as_str()))?,
    };
    let week = day.iso_week_date();
    let fields = counted
        .fields(&day.to_string())
        .with("day", day.to_string())
        .with("week", format!("{:04}-W{:02}", week.year(), week.week()))
        .with("month", month)
        .with("month_tally", monthly.reference());
    Ok(records::create(TALLY, &fields)?.reference())
}

impl Counted {
    fn key(&self, period: &str) -> String {
        let value = self.value.as_deref().unwrap_or_default();
        format!("{}/{period}/{}/{}={value}", self.item, self.channel, self.language)
    }

    fn fields(&self, period: &str) -> Fields {
        Fields::new()
            .with("key", self.key(period))
            .with("survey", self.survey.clone())
            .with("item", self.item.as_str())
            .with("question", self.question.as_str())
            .with("number", self.number)
            .with("value", self.value.clone())
            .with("channel", self.channel.as_str())
            .with("language", self.language.as_str())
    }
}

/// The month of a day, such as `2026-03`.
pub(crate) fn month_of(day: jiff::civil::Date) -> String {
    format!("{:04}-{:02}", day.year(), day.month())
}

/// How many have given an answer so far.
///
/// # Errors
/// The host's.
pub(crate) fn given(item: &str, value: &str) -> Result<i64, Error> {
    let rows = query::aggregate(MONTH).filter("item == i && value == v").param("i", item).param("v", value);
    let rows = rows.sum("people").run()?;
    Ok(rows.first().map_or(Ok(None), |row| row.int(0))?.unwrap_or(0))
}

/// The zone of the settings.
fn zone() -> Result<jiff::tz::TimeZone, Error> {
    let zone: String = settings::get("tz")?;
    let wrong = |e: jiff::Error| Error::new("setting", format!("setting `tz`: `{zone}` is no IANA time zone: {e}"));
    jiff::tz::TimeZone::get(&zone).map_err(wrong)
}

fn zoned(at: Timestamp) -> Result<jiff::Zoned, Error> {
    let wrong = |e| Error::new("invalid", format!("the instant {} is beyond the calendar: {e}", at.0));
    Ok(jiff::Timestamp::from_microsecond(at.0).map_err(wrong)?.to_zoned(zone()?))
}

/// The day of an instant, in the zone of the settings.
///
/// # Errors
/// `setting` if there is no such zone.
pub(crate) fn day_of(at: Timestamp) -> Result<jiff::civil::Date, Error> {
    Ok(zoned(at)?.date())
}

/// The first day that lies behind an instant: its own if it begins with it.
///
/// # Errors
/// As for [`day_of`].
pub(crate) fn day_behind(at: Timestamp) -> Result<jiff::civil::Date, Error> {
    let zoned = zoned(at)?;
    let begins = zoned.start_of_day().is_ok_and(|start| start == zoned);
    Ok(if begins { zoned.date() } else { zoned.date().saturating_add(jiff::Span::new().days(1)) })
}
