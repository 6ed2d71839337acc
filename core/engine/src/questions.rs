//! Who may answer a question.
//!
//! A task that a run waits for is answered by whom it was put to (`role:NAME`, `user:NAME`), by admins and by the host; once
//! nobody waits for it any more it is a record like any other. Who is asked in other words (`Ada`) is a note for people.

use rapport_model::record::{Change, Put, PutKind};
use rapport_model::{Actor, EventType, Name, Record, RecordId, Value};
use rapport_store::{ReadVersion, Store};

use crate::engine::Inner;
use crate::error::EngineError;
use crate::gate::Caller;
use crate::waits::text_of;

/// The object of tasks.
const OBJECT: &str = "task";
/// The event that answers, and the field by which its run is found.
const ANSWERED: &str = "task.updated";
/// What an answer is made of, and what would make somebody else the one who is asked.
const GUARDED: [&str; 4] = ["assignee", "choice", "choices", "state"];

/// To whom `task` is put, if that binds.
fn asked(task: &Record) -> Option<&str> {
    task.get("assignee").as_text().filter(|who| who.starts_with("role:") || who.starts_with("user:"))
}

/// Whether a run waits for the answer to the task.
async fn is_open(store: &Store, task: RecordId) -> Result<bool, EngineError> {
    let kind = EventType::new(ANSWERED).expect("the type of a change of a standard object is valid");
    let id = Name::new("id").expect("a word of lower-case letters is a name");
    Ok(!store.waiting_for(&kind, &id, &text_of(&Value::Ref(task))).await?.is_empty())
}

/// Refuses an answer that is none of those that were offered.
fn fits(task: &Record, changes: &[(Name, Change)]) -> Result<(), EngineError> {
    let Value::Json(offered) = task.get("choices") else { return Ok(()) };
    let offered: Vec<&str> = offered.as_array().into_iter().flatten().filter_map(|choice| choice.as_str()).collect();
    let given = changes.iter().find_map(|(name, change)| match change {
        Change::Set(value) if name.as_str() == "choice" => value.as_text(),
        _ => None,
    });
    match given {
        Some(given) if !offered.is_empty() && !offered.contains(&given) => {
            let given: String = given.chars().take(64).collect();
            Err(EngineError::invalid("/choice", format!("`{given}` is no choice: it is one of {}", offered.join(", "))))
        }
        _ => Ok(()),
    }
}

/// Passes if `changes` of `task` (none: its deletion) leave the answer alone, if nobody waits for it, or if it `may` be given.
///
/// # Errors
/// [`EngineError::NotAsked`]; [`EngineError::Invalid`] for a choice that was not offered.
pub(crate) async fn guard(
    store: &Store,
    task: &Record,
    changes: Option<&[(Name, Change)]>,
    may: impl AsyncFnOnce(&str) -> Result<(), EngineError>,
) -> Result<(), EngineError> {
    let touches = changes.is_none_or(|all| all.iter().any(|(name, _)| GUARDED.contains(&name.as_str())));
    if task.object.name.as_str() != OBJECT || !touches || !is_open(store, task.id).await? {
        return Ok(());
    }
    if let Some(who) = asked(task) {
        may(who).await?;
    }
    changes.map_or(Ok(()), |changes| fits(task, changes))
}

impl Inner {
    /// Passes if none of `puts` answers a question in the place of those who are asked. The versions of the tasks that were looked
    /// at belong to the commit.
    ///
    /// # Errors
    /// As for [`guard`].
    pub(crate) async fn may_answer(&self, caller: &Caller, puts: &[Put]) -> Result<Vec<ReadVersion>, EngineError> {
        let mut seen = Vec::new();
        for put in puts.iter().filter(|put| put.object.as_str() == OBJECT && put.kind != PutKind::Create) {
            let Some(task) = self.store.record(&put.object, put.id).await? else { continue };
            let changes = (put.kind != PutKind::Delete).then_some(&put.changes[..]);
            guard(&self.store, &task, changes, async |who| self.is_asked(caller, who).await).await?;
            seen.push(ReadVersion { object: put.object.clone(), id: put.id, version: task.version });
        }
        Ok(seen)
    }

    async fn is_asked(&self, caller: &Caller, who: &str) -> Result<(), EngineError> {
        let known = match (who.split_once(':'), &caller.actor) {
            _ if caller.scopes.admin => true,
            (Some(("role", role)), _) => caller.roles.iter().any(|own| own == role),
            (Some(("user", name)), Actor::User(id)) => {
                let object = Name::new("user").expect("the names of the host's own objects are valid");
                let user = self.store.record(&object, *id).await?;
                user.is_some_and(|user| user.get("name").as_text() == Some(name))
            }
            _ => false,
        };
        if known { Ok(()) } else { Err(EngineError::NotAsked { actor: caller.actor.clone(), who: who.to_owned() }) }
    }
}
