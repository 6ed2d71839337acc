//! Lanes of records that were merged into others: what would work there works on the lane of the record that stayed.

use std::sync::Arc;

use rapport_model::{RecordId, Run};
use uuid::Uuid;

use super::{Item, Lanes, Share, State};

impl Lanes {
    /// Runs on the lane of `merged` queue on that of `survivor` from now on, those that wait among them; with none, on their own again.
    /// Whoever merges holds both lanes, so that none of them works meanwhile.
    pub(crate) fn lead(&self, merged: RecordId, survivor: Option<RecordId>) {
        self.lock().lead(merged.0, survivor.map(|id| id.0));
        self.wake.notify_one();
    }
}

impl State {
    fn lead(&mut self, merged: Uuid, survivor: Option<Uuid>) {
        let Some(survivor) = survivor else {
            self.led.remove(&merged);
            return;
        };
        self.led.insert(merged, survivor);
        let queue = self.lanes.get_mut(&merged).map(|lane| std::mem::take(&mut lane.queue)).unwrap_or_default();
        for (share, item) in queue {
            self.queued -= 1;
            self.fan_out -= usize::from(share == Share::FanOut);
            self.known.remove(&item.run.id);
            self.enqueue(item);
        }
    }

    /// Has the run work on the lane of the record that stayed, if its own was merged.
    pub(super) fn follow(&self, item: &mut Item) {
        if let Some(survivor) = item.run.lane.and_then(|lane| self.led.get(&lane.0)) {
            item.run = Arc::new(Run { lane: Some(RecordId(*survivor)), ..(*item.run).clone() });
        }
    }
}
