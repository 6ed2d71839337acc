//! Holds what a component exports against what its manifest declares.

use rapport_model::Declaration;
use wasmtime::component::{ComponentNamedList, Lift, Lower};

use crate::error::SandboxError;
use crate::guest::{Guest, Living};
use crate::sandbox::{Program, ProgramBody};
use crate::wire::calls::{InRefusal, InResponse, OutCall, OutChange, OutRequest, OutStep, OutUndone};
use crate::wire::{InError, OutEvent};
use crate::work::Role;

impl Program {
    /// The roles that a component plays, by what it exports; a script has none.
    #[must_use]
    pub fn roles(&self) -> Vec<Role> {
        match self.body() {
            ProgramBody::Script(_) => Vec::new(),
            ProgramBody::Component(guest) => guest.roles().collect(),
        }
    }

    /// Holds the roles of a component against a declaration: what one has and the other lacks is an error.
    ///
    /// # Errors
    /// [`SandboxError::Manifest`] that names each such export, and what stands in the manifest for it.
    pub fn fits(&self, declaration: &Declaration) -> Result<(), SandboxError> {
        let played = self.roles();
        let differs = |role: Role| match (role.is_declared(declaration), played.contains(&role)) {
            (true, false) => {
                Some(format!("plugin.toml has {}, but the component does not export `{role}`", role.declared_by()))
            }
            (false, true) => {
                Some(format!("the component exports `{role}`, but plugin.toml has no {}", role.declared_by()))
            }
            _ => None,
        };
        let problems: Vec<_> = Role::ALL.into_iter().filter_map(differs).collect();
        if problems.is_empty() { Ok(()) } else { Err(SandboxError::Manifest(problems.join("; "))) }
    }
}

/// Checks that each role has the type that the contract gives it.
///
/// # Errors
/// [`SandboxError::Export`] for the first that has not, or if there is no role at all.
pub(crate) fn check_types(guest: &Guest, living: &mut Living) -> Result<(), SandboxError> {
    if guest.roles().next().is_none() {
        let why = "it exports none of `on-event`, `on-schedule`, `on-action`, …, and so does nothing".to_owned();
        return Err(SandboxError::Export { export: "a role", why });
    }
    guest.roles().try_for_each(|role| {
        type Failing<T> = (Result<T, InError>,);
        match role {
            Role::OnEvent | Role::OnSchedule => check::<(OutEvent,), Failing<()>>(guest, living, role),
            Role::OnAction => check::<(OutCall,), Failing<String>>(guest, living, role),
            Role::OnRequest => check::<(OutRequest,), Failing<InResponse>>(guest, living, role),
            Role::Validator => check::<(OutChange,), (Result<(), InRefusal>,)>(guest, living, role),
            Role::Compensator => check::<(OutUndone,), Failing<()>>(guest, living, role),
            Role::Migrator => check::<(OutStep,), Failing<Option<String>>>(guest, living, role),
        }
    })
}

fn check<P, R>(guest: &Guest, living: &mut Living, role: Role) -> Result<(), SandboxError>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift,
{
    let Some(index) = guest.role(role) else { return Ok(()) };
    let found = living.instance.get_typed_func::<P, R>(&mut living.store, index);
    found.map(|_| ()).map_err(|e| SandboxError::Export { export: role.interface(), why: format!("{e:#}") })
}
