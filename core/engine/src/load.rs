//! History loads: the past brought in row by row, in the order of its own time, with automations reacting as of then.
//!
//! A load is exclusive: while it is open nothing else may write, so every run that waits belongs to it, and the time of its
//! event is its clock. That it is open is a record, so that a crash in the middle goes on where it was.

use std::sync::PoisonError;

use rapport_model::record::Change;
use rapport_model::{Name, RecordId, Timestamp, Value};
use serde::Serialize;

use crate::engine::{Engine, Inner};
use crate::error::EngineError;
use crate::gate::{Act, Caller};

/// An open history load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Load {
    /// Its name.
    pub name: String,
    /// The time of the latest row since it was opened or taken up; no row may be older.
    pub last_time: Option<Timestamp>,
}

/// The load that is open, as the engine keeps it.
#[derive(Debug, Clone)]
pub(crate) struct OpenLoad {
    pub(crate) record: RecordId,
    pub(crate) load: Load,
}

fn field(text: &str) -> Name {
    Name::new(text).expect("the names of the host's own objects are valid")
}

impl Inner {
    /// Takes up a load that was open when the process ended.
    pub(crate) async fn reopen_load(&self) -> Result<(), EngineError> {
        let query = rapport_store::RecordQuery::new(field("history_load"), self.clock.now(), 1_000);
        let rows = self.store.find(&query).await?;
        if let Some(row) = rows.iter().find(|r| r.get("state").as_text() == Some("open")) {
            let name = row.get("name").as_text().unwrap_or_default().to_owned();
            let open = OpenLoad { record: row.id, load: Load { name, last_time: None } };
            *self.load.write().unwrap_or_else(PoisonError::into_inner) = Some(open);
        }
        Ok(())
    }

    /// Passes if no load is open, or the one named.
    pub(crate) fn writable(&self, load: Option<&str>) -> Result<(), EngineError> {
        let open = self.load.read().unwrap_or_else(PoisonError::into_inner);
        match (open.as_ref(), load) {
            (None, None) => Ok(()),
            (Some(open), Some(name)) if open.load.name == name => Ok(()),
            (Some(open), _) => Err(EngineError::LoadOpen { name: open.load.name.clone() }),
            (None, Some(name)) => Err(EngineError::not_found(format!("open history load `{name}`"))),
        }
    }
}

impl Engine {
    /// Opens the exclusive history load `name`, or takes it up again.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`]; [`EngineError::LoadOpen`] if another is open.
    pub async fn open_load(&self, caller: &Caller, name: &str) -> Result<Load, EngineError> {
        caller.everywhere(Act::Admin)?;
        if name.is_empty()
            || name.len() > 100
            || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        {
            return Err(EngineError::invalid("/name", "use 1 to 100 letters, digits, `-`, `_` and `.`"));
        }
        let _one = self.inner.activating.lock().await;
        if let Some(open) = self.open_load_now() {
            if open.name != name {
                return Err(EngineError::LoadOpen { name: open.name });
            }
            // Whoever takes a load up again after a kill sends the last rows once more.
            self.forget_load_time();
            return Ok(Load { name: open.name, last_time: None });
        }
        // What was triggered before the load must not run on the load's clock.
        self.idle().await;
        let found = self.find_one("history_load", "name", Value::text(name)).await?;
        let changes =
            vec![(field("name"), Change::Set(Value::text(name))), (field("state"), Change::Set(Value::text("open")))];
        let record = self.put_system(caller, "history_load", found.map(|f| f.id), changes).await?;
        let load = Load { name: name.to_owned(), last_time: None };
        let open = OpenLoad { record, load: load.clone() };
        *self.inner.load.write().unwrap_or_else(PoisonError::into_inner) = Some(open);
        Ok(load)
    }

    /// Closes the load once all that its rows set off is done.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`]; [`EngineError::NotFound`] if it is not open.
    pub async fn close_load(&self, caller: &Caller, name: &str) -> Result<(), EngineError> {
        caller.everywhere(Act::Admin)?;
        self.inner.writable(Some(name))?;
        self.idle_with_segments().await?;
        self.inner.segments_leave_load().await;
        let _one = self.inner.activating.lock().await;
        let open = self.inner.load.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(open) = open.filter(|o| o.load.name == name) else { return Ok(()) };
        let mut changes = vec![(field("state"), Change::Set(Value::text("closed")))];
        changes.extend(open.load.last_time.map(|t| (field("last_time"), Change::Set(Value::Time(t)))));
        self.put_system(caller, "history_load", Some(open.record), changes).await?;
        *self.inner.load.write().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    /// The load that is open.
    #[must_use]
    pub fn open_load_now(&self) -> Option<Load> {
        let open = self.inner.load.read().unwrap_or_else(PoisonError::into_inner);
        open.as_ref().map(|o| o.load.clone())
    }

    /// Forgets the time of the latest row of the open load: rows may begin earlier again.
    fn forget_load_time(&self) {
        if let Some(open) = self.inner.load.write().unwrap_or_else(PoisonError::into_inner).as_mut() {
            open.load.last_time = None;
        }
    }

    /// Notes the time of the latest row of the open load.
    pub(crate) fn advance_load(&self, time: Timestamp) {
        let mut open = self.inner.load.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = open.as_mut() {
            open.load.last_time = open.load.last_time.max(Some(time));
        }
    }
}
