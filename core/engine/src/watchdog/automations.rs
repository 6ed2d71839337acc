//! Checks of automations, schedules and what is declared.

use std::collections::BTreeSet;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use rapport_model::schedule::OBJECT;
use rapport_model::{AutomationId, Name, RecordId};
use rapport_store::RecordQuery;

use super::runs::{LATE_MICROS, LOOK_AGAIN};
use super::{Finding, Look, Page, Place};
use crate::engine::Inner;
use crate::error::EngineError;
use crate::undo::RESERVED;

type Looked<'a> = BoxFuture<'a, Result<Page, EngineError>>;

pub(super) fn known(inner: &Inner, _: Look) -> Looked<'_> {
    async move {
        // Nothing is being activated while it looks.
        let _one = inner.activating.lock().await;
        let rows = inner.store.automations().await?;
        let snapshot = inner.snapshot.load();
        let mut findings = Vec::new();
        for row in rows.iter().filter(|row| row.active && snapshot.version(&row.id).is_none()) {
            findings.push(Finding {
                about: format!("automation {}", row.id),
                what: "it is active, but could not be loaded: nothing starts it".to_owned(),
                remedy: "see the log of the start for why; activate a version that loads, or deactivate it".to_owned(),
            });
        }
        let known: BTreeSet<&AutomationId> = rows.iter().map(|row| &row.id).collect();
        let open = inner.store.run_counts().into_iter().filter(|count| count.status.is_open() && count.count > 0);
        let strange = open.filter(|c| !known.contains(&c.automation) && !c.automation.as_str().starts_with(RESERVED));
        for count in strange {
            findings.push(Finding {
                about: format!("{} {}", count.automation, count.status.as_str()),
                what: format!("{} runs belong to an automation that is not there", count.count),
                remedy: format!("`rapport run cancel --automation {}`", count.automation),
            });
        }
        Ok(Page { looked_at: rows.len() as u64, findings, next: None })
    }
    .boxed()
}

pub(super) fn schedules(inner: &Inner, look: Look) -> Looked<'_> {
    async move {
        let after: Option<RecordId> = look.after.text.parse().ok();
        let object = Name::new(OBJECT).map_err(|e| EngineError::Internal(e.to_string()))?;
        let query =
            RecordQuery { after: after.map(|id| (Vec::new(), id)), ..RecordQuery::new(object, look.now, look.rows) };
        let records = inner.store.find(&query).await?;
        let next = records.last().map(|last| Place { text: last.id.to_string(), ..Place::default() });
        let late = look.now.plus_micros(-LATE_MICROS);
        let mut findings = Vec::new();
        for record in &records {
            let about = format!("schedule {}", record.id);
            match crate::schedules::coming(record) {
                Err(why) => findings.push(Finding {
                    about,
                    what: format!("it cannot be read, so nothing comes of it: {why}"),
                    remedy: "activate its automation anew, which writes it anew".to_owned(),
                }),
                Ok((automation, Some(at))) if at < late && !inner.is_loading() => {
                    // An automation that could not be loaded keeps its schedules as they stand: that is a finding of its own.
                    if inner.snapshot.load().version(&automation).is_some() {
                        findings.push(Finding {
                            about,
                            what: format!("its instant {at} has come, and was not dealt with (of {automation})"),
                            remedy: "see the log for why; `rapport schedule run` starts a run by hand".to_owned(),
                        });
                    }
                }
                Ok(_) => {}
            }
        }
        Ok(Page { looked_at: records.len() as u64, findings, next })
    }
    .boxed()
}

pub(super) fn schema_epoch(inner: &Inner, _: Look) -> Looked<'_> {
    async move {
        let mut epochs = (0, 0);
        for attempt in 0..2 {
            if attempt > 0 {
                // A change that is just becoming visible.
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            let snapshot = inner.store.snapshot().await?;
            epochs = (inner.store.schema().epoch, snapshot.schema().epoch);
            snapshot.close().await.ok();
            if epochs.0 == epochs.1 {
                return Ok(Page { looked_at: 1, ..Page::default() });
            }
        }
        let finding = Finding {
            about: "schema".to_owned(),
            what: format!("memory is at epoch {}, the database at {}", epochs.0, epochs.1),
            remedy: "another program changed what is declared: restart the server".to_owned(),
        };
        Ok(Page { looked_at: 1, findings: vec![finding], next: None })
    }
    .boxed()
}
