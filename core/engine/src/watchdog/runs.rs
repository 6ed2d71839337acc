//! Checks of runs: that each is known, readable, and woken by somebody.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use rapport_model::limits::CAUSE_DEPTH_MAX;
use rapport_model::{Run, RunId, RunStatus, Timestamp};
use rapport_store::{Kept, ListedRun, WatchedRun};

use super::{Finding, Look, Page, Place};
use crate::engine::Inner;
use crate::error::EngineError;

/// How long after its instant something is late.
pub(super) const LATE_MICROS: i64 = 60_000_000;
/// How old the event of a pending run is that ought to be in memory: younger ones are on their way.
const YOUNG_MICROS: i64 = 5 * 60_000_000;
/// How long something is given to turn out as being on its way.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(250);

type Looked<'a> = BoxFuture<'a, Result<Page, EngineError>>;

/// Looks at the runs in these states, page by page.
async fn each_run(
    inner: &Inner,
    look: &Look,
    states: &[RunStatus],
    judge: impl Fn(&WatchedRun) -> Option<Finding>,
) -> Result<Page, EngineError> {
    let Some(status) = states.get(look.after.part) else { return Ok(Page::default()) };
    let after = (look.after.position, look.after.text.as_str());
    let runs = inner.store.watched_runs(*status, after, look.rows).await?;
    let next = match runs.last() {
        Some(last) => {
            let (position, automation) = last.run.place();
            Some(Place { part: look.after.part, position, text: automation.to_owned() })
        }
        None => {
            Some(look.after.part + 1).filter(|part| *part < states.len()).map(|part| Place { part, ..Place::default() })
        }
    };
    Ok(Page { looked_at: runs.len() as u64, findings: runs.iter().filter_map(judge).collect(), next })
}

fn sound(watched: &WatchedRun) -> Option<&Run> {
    match &watched.run {
        ListedRun::Sound(run) => Some(run),
        ListedRun::Damaged(_) => None,
    }
}

fn about(run: &Run, what: &str, remedy: String) -> Finding {
    Finding { about: format!("run {}", run.id), what: format!("{what} (of {})", run.automation), remedy }
}

pub(super) fn wake_sources(inner: &Inner, look: Look) -> Looked<'_> {
    async move {
        each_run(inner, &look, &[RunStatus::Waiting], |watched| {
            let run = sound(watched).filter(|_| !watched.has_wake_source)?;
            let what = "it waits, but neither an instant nor an event wakes it".to_owned();
            let remedy =
                format!("`rapport run pause {0}`, then `rapport run retry {0} --from CALL`, or cancel it", run.id);
            Some(about(run, &what, remedy))
        })
        .await
    }
    .boxed()
}

pub(super) fn damaged(inner: &Inner, look: Look) -> Looked<'_> {
    const STATES: [RunStatus; 6] = [
        RunStatus::Pending,
        RunStatus::Retrying,
        RunStatus::Waiting,
        RunStatus::Paused,
        RunStatus::Dead,
        RunStatus::Cancelled,
    ];
    async move {
        each_run(inner, &look, &STATES, |watched| {
            let ListedRun::Damaged(run) = &watched.run else { return None };
            let id = run.id.map_or_else(|| format!("at position {}", run.position), |id| id.to_string());
            Some(Finding {
                about: format!("run {id}"),
                what: format!("its row is damaged, so it is left alone: {} (of {}, {})", run.why, run.automation, run.status),
                remedy: format!(
                    "somebody else wrote to the database: compare it with a backup; `rapport event explain {}` tells what \
                     it was for",
                    run.position
                ),
            })
        })
        .await
    }
    .boxed()
}

pub(super) fn too_deep(inner: &Inner, look: Look) -> Looked<'_> {
    const STATES: [RunStatus; 5] =
        [RunStatus::Pending, RunStatus::Retrying, RunStatus::Waiting, RunStatus::Paused, RunStatus::Dead];
    async move {
        each_run(inner, &look, &STATES, |watched| {
            let run = sound(watched)?;
            let stopped = run.error.as_deref().filter(|error| error.starts_with("cause_depth "));
            let deep = run.status != RunStatus::Dead && run.depth > CAUSE_DEPTH_MAX + 1;
            let what = match stopped {
                Some(error) => error.trim_start_matches("cause_depth ").to_owned(),
                None if deep => format!("its chain of causes is {} long and was not stopped", run.depth),
                None => return None,
            };
            let remedy = format!(
                "`rapport run explain {}` shows the loop: let one of its automations stop reacting, then cancel the run",
                run.id
            );
            Some(about(run, &what, remedy))
        })
        .await
    }
    .boxed()
}

pub(super) fn lost(inner: &Inner, look: Look) -> Looked<'_> {
    async move {
        let suspicious = |run: &Run| {
            let since = run.wake_at.filter(|_| run.status == RunStatus::Retrying);
            let late = if since.is_some() { LATE_MICROS } else { YOUNG_MICROS };
            let old = since.unwrap_or(run.created_at).plus_micros(late) < look.now;
            old && !inner.lanes.holds(run)
        };
        let judge = |watched: &WatchedRun| {
            let run = sound(watched).filter(|run| suspicious(run))?;
            let what = format!("it is {}, and nobody works on it", run.status.as_str());
            let remedy = format!("`rapport run pause {0}` and `rapport run resume {0}` take it up again", run.id);
            Some(about(run, &what, remedy))
        };
        let mut page = each_run(inner, &look, &[RunStatus::Pending, RunStatus::Retrying], judge).await?;
        if !page.findings.is_empty() {
            // Between the commit that ends a run and the moment at which its lane lets go of it, it looks lost.
            tokio::time::sleep(LOOK_AGAIN).await;
            let mut still = Vec::new();
            for finding in page.findings {
                let id = finding.about.trim_start_matches("run ").parse::<RunId>().ok();
                let run = match id {
                    Some(id) => inner.store.listed_run(id).await?,
                    None => None,
                };
                if let Some(ListedRun::Sound(run)) = run
                    && matches!(run.status, RunStatus::Pending | RunStatus::Retrying)
                    && suspicious(&run)
                {
                    still.push(finding);
                }
            }
            page.findings = still;
        }
        Ok(page)
    }
    .boxed()
}

pub(super) fn overdue(inner: &Inner, Look { now, .. }: Look) -> Looked<'_> {
    async move {
        // While history is loaded nobody is woken, and that is as it should be.
        if inner.is_loading() {
            return Ok(Page::default());
        }
        let late = now.plus_micros(-LATE_MICROS);
        let count = inner.store.overdue_count(late).await?;
        let mut page = Page { looked_at: 1, ..Page::default() };
        if count > 0 {
            let first = inner.store.due_runs(late, 1).await?.pop();
            let shown = |at: Timestamp| format!(", the first since {at}");
            let since = first.and_then(|run| run.wake_at).map(shown).unwrap_or_default();
            page.findings.push(Finding {
                about: "timers".to_owned(),
                what: format!("{count} waiting runs are overdue by more than a minute{since}"),
                remedy:
                    "if `rapport_timers_overdue` falls they are being worked off; if not, see the log for why they are \
                         not woken, and `damaged_runs`"
                        .to_owned(),
            });
        }
        Ok(page)
    }
    .boxed()
}

pub(super) fn orphans(inner: &Inner, look: Look) -> Looked<'_> {
    async move {
        const PARTS: [Kept; 2] = [Kept::Journals, Kept::Waits];
        let Some(what) = PARTS.get(look.after.part) else { return Ok(Page::default()) };
        let after = look.after.text.parse().unwrap_or(RunId(uuid::Uuid::nil()));
        let rows = inner.store.kept_for(*what, after, look.rows).await?;
        let next = match rows.last() {
            Some((run, _)) => Some(Place { text: run.to_string(), ..look.after.clone() }),
            None => Some(look.after.part + 1)
                .filter(|part| *part < PARTS.len())
                .map(|part| Place { part, ..Place::default() }),
        };
        let findings = rows.iter().filter_map(|(run, status)| orphan(*what, *run, status.as_deref()));
        Ok(Page { looked_at: rows.len() as u64, findings: findings.collect(), next })
    }
    .boxed()
}

fn orphan(kept: Kept, run: RunId, status: Option<&str>) -> Option<Finding> {
    let (thing, stray) = match kept {
        Kept::Journals => ("a journal", matches!(status, None | Some("completed" | "skipped"))),
        Kept::Waits => ("something to wait for", !matches!(status, Some("waiting" | "paused"))),
    };
    let run_is = status.map_or_else(|| "there is no such run".to_owned(), |status| format!("the run is {status}"));
    stray.then(|| Finding {
        about: format!("run {run}"),
        what: format!("there is {thing} kept for it, but {run_is}"),
        remedy: "it takes room and does nothing; if nobody else wrote to the database, report it as a fault of Rapport"
            .to_owned(),
    })
}

pub(super) fn counts(inner: &Inner, _: Look) -> Looked<'_> {
    async move {
        let mut snapshot = inner.store.snapshot().await?;
        let off = snapshot.recount().await;
        snapshot.close().await.ok();
        let findings = off?.into_iter().map(|off| Finding {
            about: format!("{} {}", off.automation, off.status),
            what: format!("the head of the log counts {}, the table holds {}", off.noted, off.counted),
            remedy: "lists and runs are right, counts and gauges are not: somebody else wrote to the table of runs"
                .to_owned(),
        });
        Ok(Page { looked_at: 1, findings: findings.collect(), next: None })
    }
    .boxed()
}
