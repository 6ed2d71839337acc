//! The gate: who may do what. Every path into the engine passes it: HTTP, CLI, scripts and plugins alike.
//!
//! A person or key has scopes and may be bound to some objects; an automation has the capabilities that it declared.
//! Rights on single fields of people's keys belong here too, beside `objects`.

use std::sync::Arc;

use rapport_model::automation::{Capability, Need};
use rapport_model::schema::{ObjectDef, Origin, Schema};
use rapport_model::{Actor, Name};

use crate::error::EngineError;
use rapport_model::nearest::nearest;

/// What a key may do at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes {
    /// Read records, events, runs.
    pub read: bool,
    /// Write records, send events.
    pub write: bool,
    /// Change objects, automations, people and keys; see audits, take backups.
    pub admin: bool,
}

impl Scopes {
    /// Everything.
    pub const ALL: Self = Self { read: true, write: true, admin: true };

    /// The scopes of these names.
    ///
    /// # Errors
    /// The name that is none.
    pub fn parse(names: &[String]) -> Result<Self, String> {
        let mut scopes = Self::default();
        for name in names {
            match name.as_str() {
                "read" => scopes.read = true,
                "write" => scopes.write = true,
                "admin" => scopes = Self::ALL,
                other => return Err(format!("`{other}` is not a scope: use read, write or admin")),
            }
        }
        Ok(scopes)
    }

    /// What a role may do. A named role that is none of the four (`shop-manager`) may do nothing by itself: it is one that
    /// tasks are given to.
    #[must_use]
    pub fn of_role(role: &str) -> Self {
        match role {
            "owner" | "admin" => Self::ALL,
            "operator" => Self { read: true, write: true, admin: false },
            "viewer" => Self { read: true, write: false, admin: false },
            _ => Self::default(),
        }
    }

    /// What both allow.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self { read: self.read && other.read, write: self.write && other.write, admin: self.admin && other.admin }
    }

    /// What either allows.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self { read: self.read || other.read, write: self.write || other.write, admin: self.admin || other.admin }
    }
}

/// What a caller wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Read.
    Read,
    /// Write.
    Write,
    /// Administer.
    Admin,
}

impl Act {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

/// Who calls the engine from outside, after the key was recognised.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who acts, as the log names it.
    pub actor: Actor,
    /// The name of the key, for people.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// If set, the only objects that it may touch.
    pub objects: Option<Vec<Name>>,
    /// The roles of the person behind it.
    pub roles: Vec<String>,
}

impl Caller {
    /// The host itself.
    #[must_use]
    pub fn system() -> Self {
        Self { actor: Actor::System, name: "system".into(), scopes: Scopes::ALL, objects: None, roles: Vec::new() }
    }

    /// Passes if this caller may `act` somewhere.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`].
    pub fn require(&self, act: Act) -> Result<(), EngineError> {
        let allowed = match act {
            Act::Read => self.scopes.read,
            Act::Write => self.scopes.write,
            Act::Admin => self.scopes.admin,
        };
        if allowed { Ok(()) } else { Err(self.forbidden(act.as_str())) }
    }

    /// Passes if this caller may `act` on the object `name`, and gives its definition.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`]; [`EngineError::UnknownObject`], for the host's own objects as well.
    pub fn object(&self, schema: &Schema, name: &str, act: Act) -> Result<Arc<ObjectDef>, EngineError> {
        self.require(act)?;
        if self.objects.as_ref().is_some_and(|own| !own.iter().any(|o| o.as_str() == name)) {
            return Err(self.forbidden(&format!("{name}:{}", act.as_str())));
        }
        visible_object(schema, name)
    }

    /// Passes if this caller is not bound to some objects: for what spans all of them.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`].
    pub fn everywhere(&self, act: Act) -> Result<(), EngineError> {
        self.require(act)?;
        if self.objects.is_some() { Err(self.forbidden(&format!("*:{}", act.as_str()))) } else { Ok(()) }
    }

    /// Whether this caller may see records of `object`.
    #[must_use]
    pub fn sees(&self, object: &Name) -> bool {
        self.objects.as_ref().is_none_or(|own| own.contains(object))
    }

    fn forbidden(&self, need: &str) -> EngineError {
        EngineError::Forbidden { actor: self.actor.clone(), need: need.to_owned() }
    }
}

/// The definition of an object that is not the host's own.
///
/// # Errors
/// [`EngineError::UnknownObject`] with the nearest name.
pub(crate) fn visible_object(schema: &Schema, name: &str) -> Result<Arc<ObjectDef>, EngineError> {
    match schema.object(name) {
        Some(def) if def.origin != Origin::System => Ok(def.clone()),
        _ => {
            let visible = schema.objects.values().filter(|o| o.origin != Origin::System);
            let nearest = nearest(name, visible.map(|o| o.name.as_str()));
            Err(EngineError::UnknownObject { object: name.chars().take(64).collect(), nearest })
        }
    }
}

/// Whether `capabilities` allow `need`.
pub(crate) fn allows(capabilities: &[Capability], need: Need<'_>) -> bool {
    capabilities.iter().any(|c| c.covers(need))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(scopes: &[&str], objects: Option<&[&str]>) -> Caller {
        let scopes = Scopes::parse(&scopes.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()).unwrap();
        let objects = objects.map(|o| o.iter().map(|n| Name::new(n).unwrap()).collect());
        Caller { scopes, objects, ..Caller::system() }
    }

    fn schema() -> Schema {
        let mut schema = Schema::default();
        for object in rapport_model::standard::objects() {
            schema.objects.insert(object.name.clone(), Arc::new(object));
        }
        schema
    }

    #[test]
    fn a_read_key_does_not_write() {
        let key = caller(&["read"], None);
        assert!(key.object(&schema(), "customer", Act::Read).is_ok());
        assert_eq!(key.object(&schema(), "customer", Act::Write).unwrap_err().code(), "forbidden");
    }

    #[test]
    fn a_key_bound_to_an_object_sees_no_other() {
        let key = caller(&["admin"], Some(&["order"]));
        assert!(key.object(&schema(), "order", Act::Write).is_ok());
        assert_eq!(key.object(&schema(), "customer", Act::Read).unwrap_err().code(), "forbidden");
        assert!(key.everywhere(Act::Admin).is_err());
    }

    #[test]
    fn the_hosts_own_objects_do_not_exist_for_callers() {
        assert_eq!(
            caller(&["admin"], None).object(&schema(), "api_key", Act::Read).unwrap_err().code(),
            "unknown_object"
        );
    }

    #[test]
    fn an_unknown_object_is_named_with_its_nearest() {
        let error = caller(&["read"], None).object(&schema(), "custmer", Act::Read).unwrap_err();
        assert_eq!(error.to_string(), "there is no object `custmer`; did you mean `customer`?");
    }

    #[test]
    fn an_unknown_role_may_do_nothing_by_itself() {
        assert_eq!(Scopes::of_role("shop-manager"), Scopes::default());
    }
}
