//! Business time by the calendars that the operator keeps.

use std::sync::Arc;
use std::time::Instant;

use rapport_model::automation::Need;
use rapport_model::calendar::{OBJECT, parse_span};
use rapport_model::nearest::nearest;
use rapport_model::schema::Origin;
use rapport_model::{Calendar, Name, ObjectDef, Timestamp, Value};
use rapport_sandbox::HostError;

use super::{Answer, SliceHost, outcome, store_failure};

/// Calendars among which the nearest name is looked for.
const NAMES_MAX: u32 = 100;

fn invalid(error: impl std::fmt::Display) -> HostError {
    HostError::permanent("invalid", error.to_string())
}

impl SliceHost {
    pub(super) async fn traced_due(&mut self, calendar: &str, start: Timestamp, span: &str) -> Answer<Timestamp> {
        let started = Instant::now();
        let answer = self.due(calendar, start, span).await;
        let about = format!("{calendar} {span} from {start}");
        self.trace.call("calendars.due", &about, &outcome(&answer, Timestamp::to_string), started);
        answer
    }

    pub(super) async fn traced_elapsed(&mut self, calendar: &str, start: Timestamp, end: Timestamp) -> Answer<i64> {
        let started = Instant::now();
        let answer = self.elapsed(calendar, start, end).await;
        let about = format!("{calendar} from {start} to {end}");
        self.trace.call("calendars.elapsed", &about, &outcome(&answer, |n| format!("{n} seconds")), started);
        answer
    }

    async fn due(&mut self, name: &str, start: Timestamp, span: &str) -> Answer<Timestamp> {
        let calendar = self.calendar(name).await?;
        let span = parse_span(span).map_err(invalid)?;
        calendar.due(start, span).map_err(|why| invalid(format!("calendar `{name}`: {why}")))
    }

    async fn elapsed(&mut self, name: &str, start: Timestamp, end: Timestamp) -> Answer<i64> {
        let calendar = self.calendar(name).await?;
        calendar.elapsed(start, end).map_err(|why| invalid(format!("calendar `{name}`: {why}")))
    }

    /// The calendar of that name, as the slice sees it.
    async fn calendar(&mut self, name: &str) -> Answer<Arc<Calendar>> {
        self.allow(Need::Read(OBJECT))?;
        let object = self.object(OBJECT)?;
        if object.origin != Origin::Standard {
            let why =
                "the object `calendar` of this workspace is one of its own, whose records are no business calendars";
            return Err(HostError::permanent("unsupported", why));
        }
        let by = Name::new("name").map_err(invalid)?;
        let found = self.locate_by(&object, &by, &Value::text(name)).await?;
        self.count_rows(1)?;
        let Some(record) = found else { return Err(self.no_calendar(&object, name).await?) };
        if self.buffer.is_touched(record.id) {
            // As the slice has written it, which nobody else sees.
            return rapport_model::calendar::of_record(&record).map(Arc::new).map_err(invalid);
        }
        self.buffer.saw(&record);
        self.lookup.calendar(&record).map_err(invalid)
    }

    /// The error for a name that no calendar has.
    async fn no_calendar(&self, object: &ObjectDef, name: &str) -> Answer<HostError> {
        let query = rapport_store::RecordQuery::new(object.name.clone(), self.time, NAMES_MAX);
        let stored = self.store.find(&query).await.map_err(store_failure)?;
        let all = stored.iter().chain(self.buffer.records(&object.name));
        let near = nearest(name, all.filter_map(|record| record.get("name").as_text()));
        let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        let name: String = name.chars().take(64).collect();
        Ok(HostError::permanent("not_found", format!("there is no calendar `{name}`{hint}")))
    }
}
