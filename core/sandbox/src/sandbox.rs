//! The sandbox: makes scripts and components ready, and runs their slices.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use rapport_model::{Budgets, Declaration, Digest, Limits};
use tokio::sync::Semaphore;
use wasmtime::component::ComponentExportIndex;

use crate::cache::{self, Cache};
use crate::error::{Diagnostic, GuestFailure, SandboxError};
use crate::guest::{self, Budget, Guest};
use crate::literals::Examined;
use crate::runtime::Runtime;
use crate::state::Ending;
use crate::warm::{Pool, Warm};
use crate::wire::InError;
use crate::{outline, roles};

/// The interpreter, built by `build.rs`.
static INTERPRETER: &[u8] = include_bytes!(env!("RAPPORT_INTERPRETER"));

/// How a sandbox is set up.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// What guests may use.
    pub limits: Limits,
    /// Where compiled code is kept between starts; `None`: nowhere, every start compiles.
    pub cache_dir: Option<PathBuf>,
    /// Instances alive at one time at most: those that work and those that wait warm.
    pub instances_max: u32,
    /// Warm instances kept per script at most.
    pub warm_per_script_max: usize,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self { limits: Limits::default(), cache_dir: None, instances_max: 320, warm_per_script_max: 16 }
    }
}

/// Whether a program is a script or a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgramKind {
    /// A Rhai script.
    Script,
    /// A component.
    Component,
}

/// A script or component, ready to be called. Cheap to clone; the last clone takes its warm instances with it.
#[derive(Clone)]
pub struct Program {
    inner: Arc<Inner>,
    /// What a plugin's manifest asks to be held to, with the operator's limits lowered to it.
    bounds: Option<Bounds>,
}

/// The limits of a plugin's slices, and what its manifest says of them.
#[derive(Clone)]
pub(crate) struct Bounds {
    pub(crate) limits: Arc<Limits>,
    pub(crate) budgets: Budgets,
}

struct Inner {
    digest: Digest,
    body: ProgramBody,
}

pub(crate) enum ProgramBody {
    Script(Script),
    Component(Guest),
}

pub(crate) struct Script {
    /// Names the script among the warm instances of its sandbox.
    pub(crate) number: u64,
    path: String,
    source: String,
    pool: Arc<Pool>,
}

impl Drop for Script {
    fn drop(&mut self) {
        self.pool.forget(self.number);
    }
}

impl Program {
    /// The digest of its content.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.inner.digest
    }

    pub(crate) fn body(&self) -> &ProgramBody {
        &self.inner.body
    }

    pub(crate) const fn bounds(&self) -> Option<&Bounds> {
        self.bounds.as_ref()
    }

    /// The same component, held to what its manifest asks to use where that is less than the operator's limits.
    #[must_use]
    pub fn within(mut self, budgets: Budgets) -> Self {
        let ProgramBody::Component(guest) = &self.inner.body else { return self };
        let limits = Arc::new(budgets.within(guest.limits()));
        self.bounds = (!budgets.is_empty()).then_some(Bounds { limits, budgets });
        self
    }

    fn new(digest: Digest, body: ProgramBody) -> Self {
        Self { inner: Arc::new(Inner { digest, body }), bounds: None }
    }

    /// Whether a component imports what makes runs wait. What a script calls is in its declaration.
    #[must_use]
    pub fn imports_waits(&self) -> bool {
        matches!(&self.inner.body, ProgramBody::Component(guest) if guest.waits)
    }

    /// Whether it is a script or a component.
    #[must_use]
    pub fn kind(&self) -> ProgramKind {
        match self.inner.body {
            ProgramBody::Script(_) => ProgramKind::Script,
            ProgramBody::Component(_) => ProgramKind::Component,
        }
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.kind(), self.digest().short())
    }
}

/// Runs guests. Cheap to clone.
#[derive(Clone)]
pub struct Sandbox(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) runtime: Runtime,
    limits: Arc<Limits>,
    /// What a look at a change may use, in the place of a slice.
    judging: Arc<Limits>,
    cache: Option<Cache>,
    interpreter: OnceLock<Interpreter>,
    loading: tokio::sync::Mutex<()>,
    pub(crate) pool: Arc<Pool>,
    scripts: AtomicU64,
    /// One permit per instance that may work at one time.
    working: Semaphore,
    /// Permits of their own for templates, which are filled in while a slice holds one of the others.
    rendering: Semaphore,
    /// Likewise for calls that a slice waits for.
    beside: Semaphore,
    /// Likewise for functions of scripts, which those may wait for in turn.
    functions: Semaphore,
}

pub(crate) struct Interpreter {
    pub(crate) guest: Guest,
    check: ComponentExportIndex,
    load: ComponentExportIndex,
    pub(crate) render: ComponentExportIndex,
}

/// Templates filled in at one time.
const RENDERING_MAX: usize = 2;
/// Calls at one time for which slices wait.
const BESIDE_MAX: usize = 8;
/// Functions of scripts at one time. They wait for nothing, so that a few are enough for all processors.
const FUNCTIONS_MAX: usize = 4;
/// All that work while a slice that holds a place waits for them.
const BESIDE: usize = RENDERING_MAX + BESIDE_MAX + FUNCTIONS_MAX;
/// What stands for the number of a script where instances fill in templates.
pub(crate) const TEMPLATES: u64 = u64::MAX;

impl Shared {
    pub(crate) async fn beside_permit(&self) -> tokio::sync::SemaphorePermit<'_> {
        self.beside.acquire().await.expect("the semaphore lives as long as the sandbox and is never closed")
    }

    pub(crate) async fn function_permit(&self) -> tokio::sync::SemaphorePermit<'_> {
        self.functions.acquire().await.expect("the semaphore lives as long as the sandbox and is never closed")
    }

    pub(crate) const fn judging(&self) -> &Arc<Limits> {
        &self.judging
    }

    pub(crate) async fn rendering_permit(&self) -> tokio::sync::SemaphorePermit<'_> {
        self.rendering.acquire().await.expect("the semaphore lives as long as the sandbox and is never closed")
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("pooled", &self.0.runtime.pooled).field("warm", &self.0.pool.len()).finish()
    }
}

impl Sandbox {
    /// Starts a sandbox. Nothing is compiled before it is needed.
    ///
    /// # Errors
    /// [`SandboxError::Start`] if the machine cannot run guests, [`SandboxError::File`] if the cache cannot be used.
    pub fn new(config: SandboxConfig) -> Result<Self, SandboxError> {
        let runtime = Runtime::start(&config.limits, config.instances_max.max(2))?;
        Self::with_runtime(config, runtime)
    }

    /// As [`Sandbox::new`], but reserves no address space for a pool of instances: for small machines and for tools that
    /// make few calls.
    ///
    /// # Errors
    /// As [`Sandbox::new`].
    pub fn frugal(config: SandboxConfig) -> Result<Self, SandboxError> {
        let runtime = Runtime::start_frugal(&config.limits)?;
        Self::with_runtime(config, runtime)
    }

    fn with_runtime(config: SandboxConfig, runtime: Runtime) -> Result<Self, SandboxError> {
        let cache = config.cache_dir.as_deref().map(Cache::open).transpose()?;
        // A fifth of the instances may wait warm, so that always enough are left for work.
        let instances = usize::try_from(config.instances_max.max(2)).unwrap_or(usize::MAX);
        let warm_max = (instances / 5).max(1);
        let recycle_bytes = config.limits.slice_memory_bytes_max / 4;
        Ok(Self(Arc::new(Shared {
            runtime,
            cache,
            interpreter: OnceLock::new(),
            loading: tokio::sync::Mutex::new(()),
            pool: Arc::new(Pool::new(config.warm_per_script_max, warm_max, recycle_bytes)),
            scripts: AtomicU64::new(0),
            working: Semaphore::new(instances.saturating_sub(warm_max + BESIDE).max(1)),
            rendering: Semaphore::new(RENDERING_MAX),
            beside: Semaphore::new(BESIDE_MAX),
            functions: Semaphore::new(FUNCTIONS_MAX),
            judging: Arc::new(Limits {
                slice_fuel_max: config.limits.hook_fuel_max.min(config.limits.slice_fuel_max),
                slice_wall_ms_max: config.limits.hook_wall_ms_max.min(config.limits.slice_wall_ms_max),
                ..config.limits.clone()
            }),
            limits: Arc::new(config.limits),
        })))
    }

    /// The digest of the interpreter that scripts run in.
    #[must_use]
    pub fn interpreter_digest() -> Digest {
        static DIGEST: OnceLock<Digest> = OnceLock::new();
        *DIGEST.get_or_init(|| Digest::of(INTERPRETER))
    }

    /// The limits that guests run under.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    pub(crate) fn shared_limits(&self) -> &Arc<Limits> {
        &self.0.limits
    }

    /// Whether instances come from a pool; without one a call takes longer.
    #[must_use]
    pub fn is_pooled(&self) -> bool {
        self.0.runtime.pooled
    }

    /// Compiles the interpreter, or takes it from the cache. The first script does so too; a server does it at start.
    ///
    /// # Errors
    /// [`SandboxError::Component`] if it does not compile, which only a broken build can cause.
    pub async fn warm_up(&self) -> Result<(), SandboxError> {
        self.interpreter().await.map(|_| ())
    }

    /// Evaluates the top level of the script at `path`, and returns what it declares.
    ///
    /// # Errors
    /// Everything found wrong with it, by line.
    pub async fn check_script(&self, path: &str, source: &str) -> Result<Declaration, Vec<Diagnostic>> {
        let Examined { declaration, undeclared, .. } = self.examine_script(path, source).await?;
        if undeclared.is_empty() { Ok(declaration) } else { Err(undeclared) }
    }

    /// What a script declares and says in so many words, for those who know the registry; with the rights that it lacks, since
    /// who knows the registry knows whether the field is meant.
    ///
    /// # Errors
    /// As for [`Sandbox::check_script`], but for rights that are missing.
    pub async fn examine_script(&self, path: &str, source: &str) -> Result<Examined, Vec<Diagnostic>> {
        let outline = self.outline(source).await.map_err(|e| {
            let message = e.to_string();
            vec![Diagnostic { path: path.into(), line: 0, column: 0, message, help: String::new() }]
        })?;
        outline::examine(path, &outline)
    }

    async fn outline(&self, source: &str) -> Result<String, SandboxError> {
        check_size("the script", source.len(), self.0.limits.script_bytes_max, "script_bytes_max")?;
        let interpreter = self.interpreter().await?;
        let _permit = self.permit().await;
        let _ticking = self.0.runtime.ticking();
        let budget = Budget::of_loading(&self.0.limits);
        let mut living = interpreter.guest.instantiate(None, budget).await.map_err(|u| u.failure)?;
        let params = (source.to_owned(),);
        let (outline,) = guest::call_export::<_, (String,)>(&mut living, interpreter.check, params, budget).await?;
        Ok(outline)
    }

    /// Makes a script ready. Its first warm instance is made here, so that the first slice finds it.
    ///
    /// # Errors
    /// [`SandboxError::Script`] with everything that is wrong with it, [`SandboxError::TooLarge`] if it is too long.
    pub async fn load_script(&self, path: &str, source: &str) -> Result<Program, SandboxError> {
        check_size("the script", source.len(), self.0.limits.script_bytes_max, "script_bytes_max")?;
        let script = Script {
            number: self.0.scripts.fetch_add(1, Ordering::Relaxed),
            path: path.into(),
            source: source.into(),
            pool: Arc::clone(&self.0.pool),
        };
        let _permit = self.permit().await;
        let _ticking = self.0.runtime.ticking();
        let warm = self.birth(&script).await.map_err(|error| match error {
            SandboxError::Guest(GuestFailure::Failed { message, .. }) => {
                SandboxError::Script(vec![outline::from_message(path, &message)])
            }
            other => other,
        })?;
        self.0.pool.put(script.number, warm);
        Ok(Program::new(Digest::of(source.as_bytes()), ProgramBody::Script(script)))
    }

    /// Makes a component ready: compiles it, or takes it from the cache, and checks what it imports and exports.
    ///
    /// # Errors
    /// [`SandboxError`] naming what is wrong with the component.
    pub async fn load_component(&self, bytes: &[u8]) -> Result<Program, SandboxError> {
        let max = self.0.limits.component_bytes_max;
        check_size("the component", bytes.len(), max, "component_bytes_max")?;
        let digest = Digest::of(bytes);
        let guest = self.compile(bytes.to_vec(), digest, Ending::Trapped).await?;
        let _permit = self.permit().await;
        let budget = Budget::of_slice(&self.0.limits);
        let mut living = guest.instantiate(None, budget).await.map_err(|u| u.failure)?;
        roles::check_types(&guest, &mut living)?;
        Ok(Program::new(digest, ProgramBody::Component(guest)))
    }

    /// An instance that has `script` loaded: one that waits, or a new one.
    pub(crate) async fn warm(&self, script: &Script) -> Result<Warm, SandboxError> {
        match self.0.pool.take(script.number) {
            Some(warm) => Ok(warm),
            None => self.birth(script).await,
        }
    }

    /// A new instance of the interpreter with `script` loaded.
    async fn birth(&self, script: &Script) -> Result<Warm, SandboxError> {
        let interpreter = self.interpreter().await?;
        let budget = Budget::of_loading(&self.0.limits);
        let mut living = interpreter.guest.instantiate(None, budget).await.map_err(|u| u.failure)?;
        let params = (script.path.clone(), script.source.clone());
        let loaded =
            guest::call_export::<_, (Result<(), InError>,)>(&mut living, interpreter.load, params, budget).await?;
        match loaded {
            (Ok(()),) => Ok(Warm { living, calls: 0 }),
            (Err(InError { code, message, retryable }),) => {
                Err(GuestFailure::Failed { code, message, retryable }.into())
            }
        }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.0
    }

    pub(crate) async fn interpreter(&self) -> Result<&Interpreter, SandboxError> {
        if let Some(ready) = self.0.interpreter.get() {
            return Ok(ready);
        }
        let _loading = self.0.loading.lock().await;
        if let Some(ready) = self.0.interpreter.get() {
            return Ok(ready);
        }
        let guest = self.compile(INTERPRETER.to_vec(), Self::interpreter_digest(), Ending::Told).await?;
        let (check, load, render) = (guest.export("check")?, guest.export("load")?, guest.export("render")?);
        Ok(self.0.interpreter.get_or_init(|| Interpreter { guest, check, load, render }))
    }

    /// Compiles and links on a thread where blocking is allowed: compiling takes up to seconds.
    async fn compile(&self, bytes: Vec<u8>, digest: Digest, ending: Ending) -> Result<Guest, SandboxError> {
        let shared = Arc::clone(&self.0);
        let work = move || {
            let engine = &shared.runtime.engine;
            let component = match &shared.cache {
                Some(cache) => cache.component(engine, digest, &bytes)?,
                None => cache::compile(engine, &bytes)?,
            };
            Guest::link(&component, Arc::clone(&shared.limits), ending)
        };
        let joined = tokio::task::spawn_blocking(work).await;
        joined.map_err(|e| SandboxError::Component(format!("the compiler failed: {e}")))?
    }

    pub(crate) async fn permit(&self) -> tokio::sync::SemaphorePermit<'_> {
        self.0.working.acquire().await.expect("the semaphore lives as long as the sandbox and is never closed")
    }
}

fn check_size(what: &'static str, bytes: usize, max: usize, limit: &'static str) -> Result<(), SandboxError> {
    if bytes > max { Err(SandboxError::TooLarge { what, bytes, max, limit }) } else { Ok(()) }
}
