//! The sandbox: makes scripts and components ready, and runs their slices.

use std::any::Any;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use rapport_model::{Declaration, Digest, Limits};
use tokio::sync::Semaphore;
use wasmtime::component::ComponentExportIndex;

use crate::cache::{self, Cache};
use crate::error::{Diagnostic, GuestFailure, SandboxError, SliceReport};
use crate::guest::{self, Budget, Guest, Living};
use crate::host::{GuestEvent, Host};
use crate::literals::Examined;
use crate::outline;
use crate::runtime::Runtime;
use crate::state::Ending;
use crate::warm::{Pool, Warm};
use crate::wire::{InError, OutEvent};

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
pub struct Program(Arc<Inner>);

struct Inner {
    digest: Digest,
    body: ProgramBody,
}

enum ProgramBody {
    Script(Script),
    Component(Guest),
}

struct Script {
    /// Names the script among the warm instances of its sandbox.
    number: u64,
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
        self.0.digest
    }

    /// Whether a component imports what makes runs wait. What a script calls is in its declaration.
    #[must_use]
    pub fn imports_waits(&self) -> bool {
        matches!(&self.0.body, ProgramBody::Component(guest) if guest.waits)
    }

    /// Whether it is a script or a component.
    #[must_use]
    pub fn kind(&self) -> ProgramKind {
        match self.0.body {
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
    cache: Option<Cache>,
    interpreter: OnceLock<Interpreter>,
    loading: tokio::sync::Mutex<()>,
    pub(crate) pool: Arc<Pool>,
    scripts: AtomicU64,
    /// One permit per instance that may work at one time.
    working: Semaphore,
    /// Permits of their own for templates, which are filled in while a slice holds one of the others.
    rendering: Semaphore,
}

pub(crate) struct Interpreter {
    pub(crate) guest: Guest,
    check: ComponentExportIndex,
    load: ComponentExportIndex,
    pub(crate) render: ComponentExportIndex,
}

/// Templates filled in at one time.
const RENDERING_MAX: usize = 2;
/// What stands for the number of a script where instances fill in templates.
pub(crate) const TEMPLATES: u64 = u64::MAX;

impl Shared {
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
            working: Semaphore::new(instances.saturating_sub(warm_max + RENDERING_MAX).max(1)),
            rendering: Semaphore::new(RENDERING_MAX),
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
        Ok(Program(Arc::new(Inner { digest: Digest::of(source.as_bytes()), body: ProgramBody::Script(script) })))
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
        guest.export("declare")?;
        Ok(Program(Arc::new(Inner { digest, body: ProgramBody::Component(guest) })))
    }

    /// What a component's `declare()` returns; of a script, what its top level declares.
    ///
    /// # Errors
    /// [`SandboxError::Declaration`] if that is no declaration, [`SandboxError::Guest`] if the guest fails.
    pub async fn declare(&self, program: &Program) -> Result<Declaration, SandboxError> {
        let guest = match &program.0.body {
            ProgramBody::Script(script) => {
                return self.check_script(&script.path, &script.source).await.map_err(SandboxError::Script);
            }
            ProgramBody::Component(guest) => guest,
        };
        let _permit = self.permit().await;
        let _ticking = self.0.runtime.ticking();
        let budget = Budget::of_slice(&self.0.limits);
        let mut living = guest.instantiate(None, budget).await.map_err(|u| u.failure)?;
        let declare = guest.export("declare")?;
        let (json,) = guest::call_export::<_, (String,)>(&mut living, declare, (), budget).await?;
        serde_json::from_str(&json).map_err(|e| SandboxError::Declaration(e.to_string()))
    }

    /// Runs one slice of `program` for `event`, and gives the host back with what became of it.
    ///
    /// Waits for a free instance first; that wait does not count. If the returned future is dropped, the slice ends where it
    /// stands and its host is dropped with it.
    ///
    /// # Panics
    /// Only if the host panics.
    pub async fn call<H: Host>(&self, program: &Program, event: GuestEvent, host: H) -> (SliceReport, H) {
        let (report, host) = self.call_dyn(program, event, Box::new(host)).await;
        let host: Box<dyn Any> = host;
        // It is the box that was made three lines above.
        (report, *host.downcast::<H>().expect("a slice gives back the host that it was given"))
    }

    async fn call_dyn(
        &self,
        program: &Program,
        event: GuestEvent,
        host: Box<dyn Host>,
    ) -> (SliceReport, Box<dyn Host>) {
        let _permit = self.permit().await;
        let _ticking = self.0.runtime.ticking();
        let started = Instant::now();
        let event = OutEvent::from(event);
        let (mut report, host) = match &program.0.body {
            ProgramBody::Script(script) => self.call_script(script, event, host).await,
            ProgramBody::Component(guest) => self.call_component(guest, event, host).await,
        };
        report.micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        (report, host)
    }

    async fn call_script(&self, script: &Script, event: OutEvent, host: Box<dyn Host>) -> (SliceReport, Box<dyn Host>) {
        let mut warm = if let Some(warm) = self.0.pool.take(script.number) {
            warm
        } else {
            match self.birth(script).await {
                Ok(warm) => warm,
                Err(error) => return (failed(unready(error)), host),
            }
        };
        let budget = Budget::of_slice(&self.0.limits);
        warm.living.store.data_mut().begin(host, budget.deadline);
        budget.give(&mut warm.living.store);
        let (report, host, whole) = self.slice(&mut warm.living, event, budget).await;
        if whole {
            warm.calls += 1;
            self.0.pool.put(script.number, warm);
        }
        (report, host)
    }

    async fn call_component(
        &self,
        guest: &Guest,
        event: OutEvent,
        host: Box<dyn Host>,
    ) -> (SliceReport, Box<dyn Host>) {
        let budget = Budget::of_slice(&self.0.limits);
        match guest.instantiate(Some(host), budget).await {
            Ok(mut living) => {
                let (report, host, _) = self.slice(&mut living, event, budget).await;
                (report, host)
            }
            Err(mut unborn) => {
                let (host, used, _) = unborn.store.data_mut().finish();
                let mut report = failed(unborn.failure);
                report.fuel = budget.used(&unborn.store);
                report.host_calls = used.host_calls;
                (report, host.expect("the host was put into this store"))
            }
        }
    }

    /// Calls `handle`. The last of the results says whether the instance is whole and can be used again.
    async fn slice(&self, living: &mut Living, event: OutEvent, budget: Budget) -> (SliceReport, Box<dyn Host>, bool) {
        let limits = &*self.0.limits;
        let handle = living.handle;
        let result = if let Err(failure) = living.store.data_mut().give(event.bytes()) {
            Err(wasmtime::Error::new(failure))
        } else {
            let call = handle.call_async(&mut living.store, (event,));
            guest::within(budget.deadline, limits, call).await
        };
        let fuel = budget.used(&living.store);
        let (host, used, ended) = living.store.data_mut().finish();
        let whole = result.is_ok();
        let outcome = match (ended, result) {
            (Some(e), _) => {
                Err(GuestFailure::Ended { code: e.code.into(), message: e.message, retryable: e.retryable })
            }
            (None, Ok((Ok(()),))) => Ok(()),
            (None, Ok((Err(InError { code, message, retryable }),))) => {
                Err(GuestFailure::Failed { code, message, retryable })
            }
            (None, Err(error)) => Err(guest::diagnose(&error, &living.store)),
        };
        let memory_bytes = living.store.data().memory_bytes();
        let report = SliceReport { fuel, micros: 0, memory_bytes, host_calls: used.host_calls, outcome };
        (report, host.expect("the slice began with a host"), whole)
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

    async fn permit(&self) -> tokio::sync::SemaphorePermit<'_> {
        self.0.working.acquire().await.expect("the semaphore lives as long as the sandbox and is never closed")
    }
}

fn check_size(what: &'static str, bytes: usize, max: usize, limit: &'static str) -> Result<(), SandboxError> {
    if bytes > max { Err(SandboxError::TooLarge { what, bytes, max, limit }) } else { Ok(()) }
}

fn failed(failure: GuestFailure) -> SliceReport {
    SliceReport { fuel: 0, micros: 0, memory_bytes: 0, host_calls: 0, outcome: Err(failure) }
}

/// A script that was ready once and could not be made ready again.
fn unready(error: SandboxError) -> GuestFailure {
    match error {
        SandboxError::Guest(failure) => failure,
        other => GuestFailure::Failed { code: "unavailable".into(), message: other.to_string(), retryable: true },
    }
}
