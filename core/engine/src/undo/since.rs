//! What happened to a record since a run left it, as far as it still counts.
//!
//! A run that was undone since and the run that undid it cancel each other out: what they did is as if it had not been. So
//! runs can be undone newest first, and each finds the record as it left it.

use std::collections::HashSet;
use std::sync::Arc;

use quick_cache::sync::Cache;
use rapport_model::event::Fields;
use rapport_model::tags::TagEdit;
use rapport_model::{Actor, Event, Name, RecordId, RunId, Value};
use rapport_store::{EventQuery, Store};

use super::net::{self, NetKind};
use super::{UNDO, undone_run};
use crate::error::EngineError;

/// Events read in one go.
const PAGE_ROWS: u32 = 1_000;

/// Undos kept in memory with what they undid.
const TARGETS_MAX: usize = 50_000;

/// Which run a request wants undone, by its position: a long undo looks at the same ones again and again.
#[derive(Debug)]
pub(crate) struct Targets(Cache<i64, RunId>);

impl Targets {
    pub(crate) fn new() -> Self {
        Self(Cache::new(TARGETS_MAX))
    }

    async fn of(&self, store: &Store, position: i64) -> Result<Option<RunId>, EngineError> {
        if let Some(known) = self.0.get(&position) {
            return Ok(Some(known));
        }
        let found = store.event(position).await?.and_then(|request| undone_run(&request));
        if let Some(run) = found {
            self.0.insert(position, run);
        }
        Ok(found)
    }
}

/// Who did something since.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Later {
    pub(super) position: i64,
    pub(super) actor: Actor,
    pub(super) run: Option<RunId>,
}

/// What one run did since, or one change that no run made.
#[derive(Debug)]
struct Entry {
    who: Later,
    /// The whole record came or went.
    whole: bool,
    set: Vec<Name>,
    /// What came and went of the lists among the fields that were set.
    tagged: Vec<(Name, TagEdit)>,
    added: Fields,
    /// The run that this one is to undo.
    undoes: Option<RunId>,
}

/// What happened to a record since, as far as it still counts; oldest first.
#[derive(Debug, Default)]
pub(super) struct Since(Vec<Entry>);

impl Since {
    /// Reads what happened to the record after the position `after`. The runs in `undone` count as undone, whether or not
    /// the log says so already.
    pub(super) async fn read(
        (store, targets): (&Store, &Targets),
        (object, id): (&Name, RecordId),
        after: i64,
        undone: &HashSet<RunId>,
    ) -> Result<Self, EngineError> {
        let mut query = EventQuery { subject: Some(id), after: Some(after), limit: PAGE_ROWS, ..EventQuery::default() };
        let mut groups: Vec<Vec<Arc<Event>>> = Vec::new();
        loop {
            let events = store.events(&query).await?;
            query.after = events.last().map(|e| e.position);
            let full = events.len() >= PAGE_ROWS as usize;
            let own = events.into_iter().filter(|e| e.subject.as_ref().is_some_and(|s| s.object == *object));
            own.for_each(|event| group(&mut groups, event));
            if !full {
                break;
            }
        }
        let mut entries = Vec::with_capacity(groups.len());
        for events in &groups {
            entries.extend(entry((store, targets), events).await?);
        }
        cancel(&mut entries, undone.clone());
        Ok(Self(entries))
    }

    /// Who changed the record last.
    pub(super) fn last(&self) -> Option<&Later> {
        self.0.last().map(|entry| &entry.who)
    }

    /// Who set the field last; increments do not count.
    pub(super) fn setter(&self, field: &Name) -> Option<&Later> {
        self.0.iter().rev().find(|e| e.whole || e.set.contains(field)).map(|e| &e.who)
    }

    /// Who added or took away this tag last.
    pub(super) fn tagger(&self, field: &Name, tag: &str) -> Option<&Later> {
        let touches = |edit: &TagEdit| edit.add.iter().chain(&edit.remove).any(|known| **known == *tag);
        let by = |entry: &&Entry| entry.whole || entry.tagged.iter().any(|(name, edit)| name == field && touches(edit));
        self.0.iter().rev().find(by).map(|entry| &entry.who)
    }

    /// The sum of the increments of the field, if there were any.
    pub(super) fn added(&self, field: &Name) -> Option<Value> {
        let mut all = self.0.iter().flat_map(|e| &e.added).filter(|(name, _)| name == field).map(|(_, value)| value);
        let first = all.next()?.clone();
        all.try_fold(first, |sum, value| sum.plus(value))
    }
}

/// Puts the events of one run together.
fn group(groups: &mut Vec<Vec<Arc<Event>>>, event: Arc<Event>) {
    let same = |events: &&mut Vec<Arc<Event>>| event.run.is_some() && events.iter().any(|e| e.run == event.run);
    match groups.iter_mut().rev().find(same) {
        Some(events) => events.push(event),
        None => groups.push(vec![event]),
    }
}

/// What the events of one run came to; nothing if they left the record as it was.
async fn entry((store, targets): (&Store, &Targets), events: &[Arc<Event>]) -> Result<Option<Entry>, EngineError> {
    let (Some(last), Some(net)) = (events.last(), net::of_events(events).pop()) else { return Ok(None) };
    let by_undo = matches!(&last.actor, Actor::Automation(id) if id.as_str() == UNDO);
    let undoes = match last.cause.filter(|_| by_undo) {
        Some(position) => targets.of(store, position).await?,
        None => None,
    };
    let who = Later { position: net.last, actor: last.actor.clone(), run: last.run };
    let mut entry = Entry { who, whole: false, set: Vec::new(), tagged: Vec::new(), added: Vec::new(), undoes };
    match net.kind {
        NetKind::Updated(fields) if fields.is_empty() => return Ok(None),
        NetKind::Updated(fields) => {
            for (name, field) in fields {
                if let Some(delta) = field.delta {
                    entry.added.push((name, delta));
                } else {
                    entry.tagged.push((name.clone(), TagEdit::between(&field.before, &field.after)));
                    entry.set.push(name);
                }
            }
        }
        NetKind::Created(_) | NetKind::Deleted(_) | NetKind::Nothing | NetKind::Erased => entry.whole = true,
    }
    Ok(Some(entry))
}

/// Takes out, newest first, every undo together with the run that it undid.
fn cancel(entries: &mut Vec<Entry>, mut gone: HashSet<RunId>) {
    let here: HashSet<RunId> = entries.iter().filter_map(|e| e.who.run).collect();
    for entry in entries.iter().rev() {
        let (Some(run), Some(target)) = (entry.who.run, entry.undoes) else { continue };
        if !gone.contains(&run) && here.contains(&target) {
            gone.insert(target);
            gone.insert(run);
        }
    }
    entries.retain(|entry| entry.who.run.is_none_or(|run| !gone.contains(&run)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(n: u8) -> RunId {
        RunId::from_parts(0, [n; 10])
    }

    fn entry(position: i64, by: u8, undoes: Option<u8>) -> Entry {
        let who = Later { position, actor: Actor::System, run: Some(run(by)) };
        Entry {
            who,
            whole: false,
            set: vec![Name::new("a").unwrap()],
            tagged: Vec::new(),
            added: Vec::new(),
            undoes: undoes.map(run),
        }
    }

    fn left(mut entries: Vec<Entry>, gone: &[u8]) -> Vec<i64> {
        cancel(&mut entries, gone.iter().map(|n| run(*n)).collect());
        entries.iter().map(|e| e.who.position).collect()
    }

    #[test]
    fn a_run_and_its_undo_cancel_out() {
        assert_eq!(left(vec![entry(1, 1, None), entry(2, 2, None), entry(3, 3, Some(2))], &[]), [1]);
    }

    #[test]
    fn an_undo_that_was_undone_leaves_the_run_standing() {
        let all = vec![entry(1, 1, None), entry(2, 2, Some(1)), entry(3, 3, Some(2))];
        assert_eq!(left(all, &[]), [1]);
    }

    #[test]
    fn an_undo_of_something_earlier_counts_as_a_change() {
        assert_eq!(left(vec![entry(5, 2, Some(9))], &[]), [5]);
    }

    #[test]
    fn what_is_about_to_be_undone_does_not_count() {
        assert_eq!(left(vec![entry(1, 1, None), entry(2, 2, None)], &[2]), [1]);
    }
}
