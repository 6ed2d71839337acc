//! Components that are ready to be instantiated, and single instances of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rapport_model::Limits;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, ComponentExportIndex, ComponentNamedList, Instance, InstancePre, Lift, Lower};
use wasmtime::{Engine, Store, Trap, UpdateDeadline};

use crate::error::{GuestFailure, SandboxError};
use crate::state::{Ending, State};
use crate::wire::{InError, OutEvent};
use crate::work::Role;
use crate::{imports, wasi};

/// The name under which [`crate::Host`] is imported.
const OURS: &str = "rapport:plugin/";
/// The version of the contract that this host offers.
const API: &str = "0.1.";
/// The calls of the interface `flow` in which no run waits.
const WITHOUT_WAIT: [&str; 2] = ["lock", "reply"];

/// A component that has been linked and whose exports have been looked up.
pub(crate) struct Guest {
    pre: InstancePre<State>,
    /// The interpreter's way in.
    handle: Option<ComponentExportIndex>,
    /// A plugin's ways in.
    roles: BTreeMap<Role, ComponentExportIndex>,
    limits: Arc<Limits>,
    ending: Ending,
    /// It imports what makes runs wait.
    pub(crate) waits: bool,
}

/// An instance and its store.
pub(crate) struct Living {
    pub(crate) store: Store<State>,
    pub(crate) instance: Instance,
    /// The interpreter's export `handle`, kept since it is called often; a plugin has roles.
    pub(crate) handle: Option<Handle>,
}

/// The interpreter's export `handle`.
pub(crate) type Handle = wasmtime::component::TypedFunc<(OutEvent,), (Result<(), InError>,)>;

impl Guest {
    /// Checks what `component` imports and exports, and links it.
    ///
    /// # Errors
    /// [`SandboxError::Import`] or [`SandboxError::Export`] naming what does not fit.
    pub(crate) fn link(component: &Component, limits: Arc<Limits>, ending: Ending) -> Result<Self, SandboxError> {
        let engine = component.engine();
        let versions = check_imports(engine, component)?;
        let mut linker = wasmtime::component::Linker::new(engine);
        let start = |e: wasmtime::Error| SandboxError::Start(format!("{e:#}"));
        imports::link(&mut linker).map_err(start)?;
        wasi::link(&mut linker, component, &versions).map_err(start)?;
        linker.define_unknown_imports_as_traps(component).map_err(|e| SandboxError::Component(format!("{e:#}")))?;
        let pre = linker.instantiate_pre(component).map_err(|e| SandboxError::Component(format!("{e:#}")))?;
        let handle = component.get_export_index(None, "handle").filter(|_| ending == Ending::Told);
        let waits = imports_waits(engine, component);
        Ok(Self { pre, handle, roles: roles(engine, component), limits, ending, waits })
    }

    /// The roles that it plays.
    pub(crate) fn roles(&self) -> impl Iterator<Item = Role> {
        self.roles.keys().copied()
    }

    /// The export for a role, if it plays it.
    pub(crate) fn role(&self, role: Role) -> Option<ComponentExportIndex> {
        self.roles.get(&role).copied()
    }

    /// The index of a function that it exports under this name.
    ///
    /// # Errors
    /// [`SandboxError::Export`] if there is none of that name.
    pub(crate) fn export(&self, name: &'static str) -> Result<ComponentExportIndex, SandboxError> {
        export(self.pre.component(), name)
    }

    /// The operator's limits.
    pub(crate) const fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }

    /// Makes an instance, with its host and the limits of its slice. What it runs on the way counts as `fuel` and must be over by
    /// `deadline`.
    ///
    /// # Errors
    /// [`GuestFailure`] if its start fails, or it is no component of the contract.
    pub(crate) async fn instantiate(
        &self,
        host: Option<(Box<dyn crate::Host>, Arc<Limits>)>,
        budget: Budget,
    ) -> Result<Living, Unborn> {
        let mut state = State::new(Arc::clone(&self.limits), self.ending, budget.deadline);
        if let Some((host, limits)) = host {
            state.begin(host, limits, budget.deadline);
        }
        let mut store = Store::new(self.pre.engine(), state);
        store.limiter(|state| state);
        store.epoch_deadline_callback(|context| {
            if Instant::now() >= context.data().deadline {
                let max_ms = context.data().limits().slice_wall_ms_max;
                return Err(wasmtime::Error::new(GuestFailure::Deadline { max_ms }));
            }
            Ok(UpdateDeadline::Yield(1))
        });
        store.set_hostcall_fuel(self.limits.slice_output_bytes_max.saturating_add(1 << 16));
        budget.give(&mut store);
        match self.start(&mut store).await {
            Ok((instance, handle)) => Ok(Living { store, instance, handle }),
            Err(error) => Err(Unborn { failure: diagnose(&error, &store), store }),
        }
    }

    async fn start(&self, store: &mut Store<State>) -> wasmtime::Result<(Instance, Option<Handle>)> {
        let instance = self.pre.instantiate_async(&mut *store).await?;
        let handle = self.handle.map(|handle| instance.get_typed_func(&mut *store, handle)).transpose()?;
        Ok((instance, handle))
    }
}

/// An instance that could not start; its store still holds the host.
pub(crate) struct Unborn {
    pub(crate) failure: GuestFailure,
    pub(crate) store: Store<State>,
}

/// The fuel and the time of one piece of work.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    pub(crate) fuel: u64,
    pub(crate) deadline: Instant,
}

impl Budget {
    /// What one slice may use, from now on.
    pub(crate) fn of_slice(limits: &Limits) -> Self {
        Self { fuel: limits.slice_fuel_max, deadline: Instant::now() + limits.slice_wall_max() }
    }

    /// What making a guest ready may use: more than a slice, since a long script takes long to parse.
    pub(crate) fn of_loading(limits: &Limits) -> Self {
        let fuel = limits.slice_fuel_max.saturating_mul(40);
        Self { fuel, deadline: Instant::now() + limits.slice_wall_max().saturating_mul(5).max(Duration::from_secs(10)) }
    }

    /// Sets fuel, epoch and deadline of `store`.
    pub(crate) fn give(self, store: &mut Store<State>) {
        store.data_mut().deadline = self.deadline;
        store.set_epoch_deadline(1);
        // The engine counts fuel, so that setting it cannot fail.
        store.set_fuel(self.fuel).expect("the engine is configured to consume fuel");
    }

    /// The fuel that `store` has used of this.
    pub(crate) fn used(self, store: &Store<State>) -> u64 {
        self.fuel - store.get_fuel().unwrap_or(0).min(self.fuel)
    }
}

/// Calls an export that is not on the hot path.
///
/// # Errors
/// [`GuestFailure`] if the guest traps or runs out of what it has.
pub(crate) async fn call_export<P, R>(
    living: &mut Living,
    index: ComponentExportIndex,
    params: P,
    budget: Budget,
) -> Result<R, GuestFailure>
where
    P: ComponentNamedList + Lower + Send + Sync + 'static,
    R: ComponentNamedList + Lift + Send + Sync + 'static,
{
    let wall_ms_max = living.store.data().limits().slice_wall_ms_max;
    let work = async {
        let function = living.instance.get_typed_func::<P, R>(&mut living.store, index)?;
        function.call_async(&mut living.store, params).await
    };
    within((budget.deadline, wall_ms_max), work).await.map_err(|e| diagnose(&e, &living.store))
}

/// Cuts `work` off at `deadline`, after `max_ms`, where it waits for the host. (Where it computes, the epochs do.)
///
/// # Errors
/// Those of `work`, and [`GuestFailure::Deadline`].
pub(crate) async fn within<T>(
    (deadline, max_ms): (Instant, u64),
    work: impl Future<Output = wasmtime::Result<T>>,
) -> wasmtime::Result<T> {
    match tokio::time::timeout_at(deadline.into(), work).await {
        Ok(result) => result,
        Err(_) => Err(wasmtime::Error::new(GuestFailure::Deadline { max_ms })),
    }
}

/// Why the guest in `store` stopped: from what wasmtime says, and what the guest said last.
pub(crate) fn diagnose(error: &wasmtime::Error, store: &Store<State>) -> GuestFailure {
    let limits = store.data().limits();
    let failed = failure(error, limits);
    let words = store.data().last_words();
    match failed {
        // A Rust guest that gets no memory, or asks for more than its addresses reach, says so and gives up.
        GuestFailure::Trap(_) if words.contains("memory allocation of") || words.contains("capacity overflow") => {
            GuestFailure::Memory { max: limits.slice_memory_bytes_max }
        }
        GuestFailure::Trap(why) if !words.is_empty() => GuestFailure::Trap(format!("{words} ({why})")),
        other => other,
    }
}

/// Why a guest stopped, from what wasmtime says.
fn failure(error: &wasmtime::Error, limits: &Limits) -> GuestFailure {
    if let Some(failure) = error.downcast_ref::<GuestFailure>() {
        return failure.clone();
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => return GuestFailure::OutOfFuel { max: limits.slice_fuel_max },
        Some(Trap::StackOverflow) => return GuestFailure::Stack { max: limits.slice_stack_bytes_max },
        Some(trap) => return GuestFailure::Trap(trap.to_string()),
        None => {}
    }
    let text = format!("{error:#}");
    if text.contains("fuel allocated for hostcalls") {
        return GuestFailure::Output { max: limits.slice_output_bytes_max };
    }
    if text.contains("memory") && text.contains("exceeds the limit") {
        return GuestFailure::Memory { max: limits.slice_memory_bytes_max };
    }
    GuestFailure::Trap(text)
}

/// Whether the component imports a call in which a run may wait.
fn imports_waits(engine: &Engine, component: &Component) -> bool {
    let kind = component.component_type();
    kind.imports(engine).any(|(name, item)| match item.ty {
        ComponentItem::ComponentInstance(flow) if name.starts_with("rapport:plugin/flow@") => flow
            .exports(engine)
            .any(|(call, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)) && !WITHOUT_WAIT.contains(&call)),
        _ if name.starts_with("rapport:plugin/http@") => true,
        // A run that is started for later waits for its instant.
        _ if name.starts_with("rapport:plugin/jobs@") => true,
        _ => false,
    })
}

/// The roles among the exports, of whatever patch of the contract's version they are.
fn roles(engine: &Engine, component: &Component) -> BTreeMap<Role, ComponentExportIndex> {
    let kind = component.component_type();
    let role = |(name, _): (&str, _)| {
        let (interface, version) = name.strip_prefix(OURS)?.split_once('@')?;
        let role = Role::ALL.into_iter().find(|role| role.interface() == interface && version.starts_with(API))?;
        let instance = component.get_export_index(None, name)?;
        Some((role, component.get_export_index(Some(&instance), role.function())?))
    };
    kind.exports(engine).filter_map(role).collect()
}

fn export(component: &Component, name: &'static str) -> Result<ComponentExportIndex, SandboxError> {
    let why = || "there is no export of that name".to_owned();
    component.get_export_index(None, name).ok_or_else(|| SandboxError::Export { export: name, why: why() })
}

/// Holds the imports against what the sandbox offers, and returns the versions of WASI among them.
fn check_imports(engine: &Engine, component: &Component) -> Result<BTreeSet<String>, SandboxError> {
    let kind = component.component_type();
    let mut versions = BTreeSet::new();
    for (import, _) in kind.imports(engine) {
        let (interface, version) = import.split_once('@').unwrap_or((import, ""));
        let ours = interface.starts_with(OURS) && version.starts_with(API);
        let of_std = wasi::TOLERATED.iter().any(|p| interface.starts_with(p)) && version.starts_with("0.2.");
        if of_std {
            versions.insert(version.to_owned());
        } else if !ours {
            return Err(SandboxError::Import { import: import.into() });
        }
    }
    Ok(versions)
}
