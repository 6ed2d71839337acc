//! Undoing a merge: what `record.merging` had started is undone after it, and a record that was merged on goes first.

use std::sync::Arc;

use rapport_model::Run;
use rapport_store::RunQuery;

use super::MERGE;
use crate::engine::Inner;
use crate::error::EngineError;
use crate::undo::Standing;

/// Runs that `record.merging` may have started.
const RUNS_BEFORE_MAX: u32 = 1_000;

/// `runs`, and behind each merge among them the runs in which plugins and scripts moved what they keep, as far as they count at present.
pub(crate) async fn with_what_was_moved(inner: &Inner, runs: Vec<Arc<Run>>) -> Result<Vec<Arc<Run>>, EngineError> {
    let mut all: Vec<Arc<Run>> = Vec::with_capacity(runs.len());
    for run in runs {
        let merging = (run.automation.as_str() == MERGE).then_some(run.position - 1);
        all.push(run);
        let Some(position) = merging else { continue };
        let query = RunQuery { position: Some(position), limit: RUNS_BEFORE_MAX, ..RunQuery::default() };
        for moved in inner.store.runs(&query).await? {
            if let Standing::Stands(moved) = inner.standing(Arc::new(moved)).await?
                && all.iter().all(|known| known.id != moved.id)
            {
                all.push(moved);
            }
        }
    }
    Ok(all)
}

/// A merge can be undone as long as the record that stayed has not been merged into another itself.
pub(crate) async fn must_stand(inner: &Inner, run: &Run) -> Result<(), EngineError> {
    if run.automation.as_str() != MERGE {
        return Ok(());
    }
    let merge = inner.merge_of(run).await?;
    match inner.merged.survivor(merge.survivor) {
        Some(id) if inner.merged.survivor(merge.merged) == Some(id) => {
            let name = &merge.object.name;
            let why = format!("{name}/{} was merged into {name}/{id} since: undo that merge first", merge.survivor);
            Err(EngineError::Conflict(why))
        }
        _ => Ok(()),
    }
}
