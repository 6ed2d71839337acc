//! What the handles of a store and its committer share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rapport_model::rollup::Rollups;
use rapport_model::{Clock, Event, Run, Schema};
use tokio::sync::{RwLock, watch};

use crate::cache::RecordCache;
use crate::config::StoreConfig;
use crate::db::Pool;
use crate::head::{Head, RunCounts};
use crate::hooks::Hooks;
use crate::rule_sql::Dialect;
use crate::stats::Counters;

/// What the handles of a store and its committer share.
pub(crate) struct Shared {
    pub(crate) config: StoreConfig,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) workspace: String,
    pub(crate) secret: [u8; 32],
    pub(crate) schema: ArcSwap<Schema>,
    /// The roll-ups of a schema, and its epoch.
    pub(crate) rollups: ArcSwap<(i64, Arc<Rollups>)>,
    pub(crate) hooks: ArcSwap<Arc<dyn Hooks>>,
    pub(crate) cache: RecordCache,
    /// Held by the committer from before a group is durable until memory shows it.
    pub(crate) turn: RwLock<()>,
    pub(crate) pool: Pool,
    pub(crate) counters: Arc<Counters>,
    pub(crate) head: watch::Sender<i64>,
    pub(crate) fatal: watch::Sender<Option<String>>,
    pub(crate) run_counts: Mutex<RunCounts>,
    /// Whether some record's history is also that of others, which were merged into it.
    pub(crate) joined: AtomicBool,
}

impl Shared {
    /// The roll-ups of `schema`, which is or was that of the workspace.
    pub(crate) fn rollups(&self, schema: &Schema) -> Arc<Rollups> {
        let known = self.rollups.load();
        if known.0 == schema.epoch {
            return known.1.clone();
        }
        let made = Arc::new(Rollups::new(schema));
        self.rollups.store(Arc::new((schema.epoch, made.clone())));
        made
    }

    /// Whose SQL is written, and whether histories are joined.
    pub(crate) fn target(&self) -> (Dialect, bool) {
        (self.pool.dialect(), self.joined.load(Ordering::Acquire))
    }

    /// Waits until memory shows what the database showed before this call: who has read there that a run is done finds the
    /// records as it left them.
    pub(crate) async fn settled(&self) {
        drop(self.turn.read().await);
    }

    /// Tells the engine and everybody who waits what is durable now.
    pub(crate) fn publish(&self, head: &Head, (events, quiet): (&[Arc<Event>], &[i64]), runs: &[Arc<Run>]) {
        self.run_counts.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&head.run_counts);
        if !events.is_empty() || !runs.is_empty() {
            self.hooks.load().committed((events, quiet), runs);
        }
        self.head.send_if_modified(|position| {
            let moved = *position != head.position;
            *position = head.position;
            moved
        });
    }

    /// Refuses everything from now on: the process must stop.
    pub(crate) fn stop(&self, why: &str) {
        tracing::error!("the store stops: {why}");
        self.fatal.send_replace(Some(why.to_owned()));
    }
}
