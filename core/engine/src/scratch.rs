//! Workspaces that are thrown away: an SQLite file in a folder of its own, the production engine over it, on a clock that
//! is set.
//!
//! Beside the server's composition root this is the only place that puts store, sandbox and engine together. A test and a
//! backtest are the same engine as the live one (one engine, three uses); what differs is the clock, where ids come from,
//! and that slices work one after another, so that the same steps give the same log for good.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rapport_model::time::SetClock;
use rapport_model::{Clock, FileRules, Limits};
use rapport_sandbox::Sandbox;
use rapport_store::{Database, Durability, Store, StoreConfig};

use crate::config::EngineConfig;
use crate::effects::transport::{Capture, Transport};
use crate::engine::{Engine, Inner};
use crate::entropy::{Entropy, RunSecret, SeededEntropy};
use crate::error::EngineError;

/// The file of a scratch workspace in its folder.
const FILE: &str = "scratch.sqlite";

/// A folder that is removed, with all that is in it, when this is dropped.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes a new empty folder below `place`, with a name that nothing else has.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`] with the path, if it cannot be made.
    pub fn below(place: &Path) -> Result<Self, EngineError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut random = [0; 4];
        getrandom::fill(&mut random).map_err(|e| EngineError::Unavailable(format!("no random bytes: {e}")))?;
        let name = format!("rapport-{}-{number}-{:08x}", std::process::id(), u32::from_be_bytes(random));
        let folder = place.join(name);
        let failed = |e| EngineError::Unavailable(format!("the folder {} cannot be made: {e}", folder.display()));
        std::fs::create_dir_all(&folder).map_err(failed)?;
        Ok(Self(folder))
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The database of the workspace in this folder.
    #[must_use]
    pub fn database(&self) -> Database {
        Database::Sqlite { path: self.0.join(FILE) }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What an engine over a scratch workspace goes by.
#[derive(Debug, Clone)]
pub(crate) struct Ground {
    pub(crate) sandbox: Sandbox,
    pub(crate) limits: Limits,
    pub(crate) clock: Arc<SetClock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) secret: RunSecret,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) files: FileRules,
}

impl Ground {
    /// Opens the workspace in `scratch`, new or as it was left, with slices that work one after another.
    ///
    /// # Errors
    /// [`EngineError`] if the database cannot be opened.
    pub(crate) async fn open(&self, scratch: &Scratch) -> Result<Engine, EngineError> {
        let config =
            StoreConfig { durability: Durability::Process, readers: 1, ..StoreConfig::new(scratch.database()) };
        let clock: Arc<dyn Clock> = self.clock.clone();
        let store = Store::open(config, clock.clone()).await?;
        let limits = Limits { slices_in_flight_max: 1, ..self.limits.clone() };
        let config = EngineConfig {
            limits,
            entropy: self.entropy.clone(),
            secret: Some(self.secret),
            transport: self.transport.clone(),
            files: self.files.clone(),
        };
        Engine::start(config, store, self.sandbox.clone(), clock).await
    }

    /// Opens the workspace in `scratch` for records of `live`: under its limits, on `clock`, with ids from `seed`. Nothing leaves it; the
    /// bytes of files are those of `live`. Who is in which segment does not come along: slices that ask are refused.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub(crate) async fn over(
        live: &Inner,
        (clock, seed): (Arc<SetClock>, &[u8]),
        scratch: &Scratch,
    ) -> Result<Engine, EngineError> {
        let ground = Self {
            sandbox: live.sandbox.clone(),
            limits: live.limits.clone(),
            clock,
            entropy: Arc::new(SeededEntropy::new(seed)),
            // A run that is played again draws what it drew.
            secret: live.secret,
            transport: Arc::new(Capture),
            files: (*live.files).clone(),
        };
        let engine = ground.open(scratch).await?;
        engine.inner.store.borrow_blobs(live.store.clone());
        engine.inner.segments.leave_unkept();
        Ok(engine)
    }
}
