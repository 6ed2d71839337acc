//! Changes that plugins look at before they are committed, and may refuse: their hooks.
//!
//! ```text
//! unit of work ─▶ puts of an object with hooks? ─no─▶ commit
//!                     │ yes: the record as it is, and as it would be
//!                     ▼
//!        each plugin, in the order of ids ─┬─ lets it pass ──────▶ commit, on the versions that were looked at
//!                                          ├─ refuses ───────────▶ nothing is committed
//!                                          └─ fails ─┬─ open ────▶ as if it let it pass, counted and logged
//!                                                    └─ closed ──▶ nothing is committed; later again
//! ```
//! A judge is pure: of the host only its log and its settings answer, so that the same change is judged the same wherever it comes from.
//! What was judged is what is committed: the versions of the records belong to the unit, and a change on another one is judged anew.
//! A plugin is not asked about what its own runs write: it knows what it does, and a rule that keeps all others off a record need not
//! make an exception for itself. Neither are the host's own writes judged: definitions, schedules, what a package brings.

mod pure;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rapport_model::image;
use rapport_model::nearest::nearest;
use rapport_model::plugin::{Asked, HookDef, OnFailure};
use rapport_model::record::{Put, PutKind};
use rapport_model::schema::Schema;
use rapport_model::{Actor, AutomationId, Declaration, Name, ObjectDef, Record, RecordId, Timestamp, Value};
use rapport_sandbox::Output;
use rapport_sandbox::work::{ProposedChange, Refusal};
use rapport_store::{ReadVersion, StoreError, UnitOfWork};

use self::pure::PureHost;
use crate::engine::Inner;
use crate::error::EngineError;
use crate::gate::visible_object;
use crate::registry::{AutomationKind, Version};
use crate::trace::Trace;
use crate::usage::RESTING;

/// Characters of what a plugin says about a refusal; more is cut.
const MESSAGE_CHARS_MAX: usize = 500;
/// Characters of its code.
const CODE_CHARS_MAX: usize = 64;

/// A hook of a live plugin, or of one that should be live and could not be loaded.
#[derive(Debug, Clone)]
struct Judge {
    plugin: AutomationId,
    hook: HookDef,
    /// None: it could not be loaded.
    version: Option<Arc<Version>>,
}

/// A plugin that should be live and could not be loaded: what its hooks guard stays guarded.
#[derive(Debug, Clone)]
pub(crate) struct Absent {
    pub(crate) plugin: AutomationId,
    pub(crate) hooks: Vec<HookDef>,
}

/// The hooks by object, in the order of their plugins' ids.
#[derive(Debug, Default)]
pub(crate) struct Judges(HashMap<Name, Vec<Judge>>);

/// What judging has come to since the start.
#[derive(Debug, Default)]
pub(crate) struct JudgeCounters {
    pub(crate) asked: AtomicU64,
    pub(crate) refused: AtomicU64,
    /// Hooks that could not judge, whatever became of the change.
    pub(crate) failed: AtomicU64,
}

/// Why a unit is not committed.
#[derive(Debug)]
pub(crate) enum NotJudged {
    /// A plugin refuses it, or could not judge it.
    By(Verdict),
    /// The records could not be read, or a change does not fit.
    Store(StoreError),
}

/// What a plugin has against a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    plugin: AutomationId,
    /// The record that would be changed.
    pub(crate) object: Name,
    pub(crate) id: RecordId,
    refusal: Refusal,
    /// Whether it could not judge, so that the same may pass later.
    pub(crate) passing: bool,
}

impl From<StoreError> for NotJudged {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<NotJudged> for EngineError {
    fn from(why: NotJudged) -> Self {
        match why {
            NotJudged::Store(error) => error.into(),
            NotJudged::By(verdict) => verdict.into(),
        }
    }
}

impl From<Verdict> for EngineError {
    fn from(verdict: Verdict) -> Self {
        let Verdict { plugin, object, refusal: Refusal { code, message, field }, passing, .. } = verdict;
        if passing {
            Self::Unjudged { plugin, object, code, message }
        } else {
            Self::Refused { plugin, object, code, message, field }
        }
    }
}

impl Judges {
    /// The hooks of these versions, and of those that could not be loaded.
    pub(crate) fn of(active: &[Arc<Version>], absent: &[Absent]) -> Self {
        let mut all: HashMap<Name, Vec<Judge>> = HashMap::new();
        let live = active.iter().filter(|version| version.kind == AutomationKind::Plugin).flat_map(|version| {
            let judge = |hook: &HookDef| (version.id.clone(), hook.clone(), Some(version.clone()));
            version.declaration.hooks.iter().map(judge)
        });
        let missing = absent.iter().filter(|absent| active.iter().all(|version| version.id != absent.plugin));
        let missing = missing.flat_map(|absent| absent.hooks.iter().map(|h| (absent.plugin.clone(), h.clone(), None)));
        for (plugin, hook, version) in live.chain(missing) {
            all.entry(hook.object.clone()).or_default().push(Judge { plugin, hook, version });
        }
        for judges in all.values_mut() {
            judges.sort_by(|a, b| a.plugin.cmp(&b.plugin));
        }
        Self(all)
    }

    fn look_at(&self, puts: &[Put]) -> bool {
        !self.0.is_empty() && puts.iter().any(|put| self.0.contains_key(&put.object))
    }
}

/// Hooks that could never be asked: on an object or field that there is not.
pub(crate) fn problems(declaration: &Declaration, schema: &Schema) -> Vec<String> {
    let mut found = Vec::new();
    for hook in &declaration.hooks {
        let object = match visible_object(schema, hook.object.as_str()) {
            Ok(object) => object,
            Err(error) => {
                found.push(format!("hook on `{}`: {error}", hook.object));
                continue;
            }
        };
        for field in hook.fields.iter().filter(|field| object.position(field.as_str()).is_none()) {
            let near = nearest(field.as_str(), object.fields.iter().map(|f| f.name.as_str()));
            let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            found.push(format!("hook on `{}`: it has no field `{field}`{near}", hook.object));
        }
    }
    found
}

/// Who makes changes, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Author<'a> {
    pub(crate) actor: &'a Actor,
    /// The plugin that has decided on them by itself, if one has.
    pub(crate) own: Option<&'a AutomationId>,
    pub(crate) time: Timestamp,
}

/// A change of one record, all puts of a unit together.
struct Change {
    object: Arc<ObjectDef>,
    id: RecordId,
    before: Option<Arc<Record>>,
    after: Option<Arc<Record>>,
}

/// Judges units that are committed one after another: each sees the records as those before it leave them.
#[derive(Debug, Default)]
pub(crate) struct Bench {
    left: HashMap<RecordId, Option<Arc<Record>>>,
}

impl Bench {
    /// Has the puts of one unit judged, which was decided on the versions `reads`. What was looked at besides belongs to the commit.
    ///
    /// # Errors
    /// [`NotJudged`]: then the unit must not be committed. A record that has moved since it was read is not judged: that is a conflict.
    pub(crate) async fn judge(
        &mut self,
        inner: &Inner,
        (puts, reads): (&[Put], &[ReadVersion]),
        author: Author<'_>,
    ) -> Result<Vec<ReadVersion>, NotJudged> {
        let live = inner.snapshot.load_full();
        if !live.judges().look_at(puts) {
            return Ok(Vec::new());
        }
        let changes = self.changes(inner, puts, (live.judges(), author.time)).await?;
        let seen: Vec<ReadVersion> = changes.iter().map(Change::seen).collect();
        for now in &seen {
            if let Some(read) = reads.iter().find(|read| read.id == now.id && read.version != now.version) {
                let (object, id) = (now.object.clone(), now.id);
                return Err(StoreError::Conflict { object, id, expected: read.version, found: now.version }.into());
            }
        }
        for change in &changes {
            for judge in live.judges().0.get(&change.object.name).into_iter().flatten() {
                // Apart from the future of whoever commits: few ever ask.
                if let Some(verdict) = Box::pin(inner.asked(judge, change, author)).await {
                    return Err(NotJudged::By(verdict));
                }
            }
        }
        self.left.extend(changes.into_iter().map(|change| (change.id, change.after)));
        Ok(seen.into_iter().filter(|now| reads.iter().all(|read| read.id != now.id)).collect())
    }

    /// What the puts come to, record by record.
    async fn changes(
        &self,
        inner: &Inner,
        puts: &[Put],
        (judges, time): (&Judges, Timestamp),
    ) -> Result<Vec<Change>, NotJudged> {
        let schema = inner.store.schema();
        let mut changes: Vec<Change> = Vec::new();
        for put in puts.iter().filter(|put| judges.0.contains_key(&put.object)) {
            let Some(object) = schema.object(put.object.as_str()) else { continue };
            let known = changes.iter().position(|change| change.id == put.id);
            let at = if let Some(at) = known {
                at
            } else {
                let before = match self.left.get(&put.id) {
                    Some(left) => left.clone(),
                    None if put.kind == PutKind::Create => None,
                    None => inner.store.record(&put.object, put.id).await?,
                };
                changes.push(Change { object: object.clone(), id: put.id, before: before.clone(), after: before });
                changes.len() - 1
            };
            let change = &mut changes[at];
            change.after = applied(change.after.take(), (object, put), time)?;
        }
        changes.retain(|change| change.before != change.after);
        Ok(changes)
    }
}

/// A record after one more put.
fn applied(
    record: Option<Arc<Record>>,
    (object, put): (&Arc<ObjectDef>, &Put),
    time: Timestamp,
) -> Result<Option<Arc<Record>>, StoreError> {
    match (&put.kind, record) {
        (PutKind::Delete, _) => Ok(None),
        (PutKind::Create, _) => Ok(Some(Arc::new(image::created(object, put.id, time, &put.changes)?))),
        (PutKind::Update, None) => Err(StoreError::MissingRecord { object: put.object.clone(), id: put.id }),
        (PutKind::Update, Some(record)) => {
            let changed = image::changed(&record, time, &put.changes)?;
            Ok(Some(changed.map_or(record, Arc::new)))
        }
    }
}

impl Change {
    /// The version that was looked at.
    fn seen(&self) -> ReadVersion {
        let version = self.before.as_ref().map_or(0, |before| before.version);
        ReadVersion { object: self.object.name.clone(), id: self.id, version }
    }

    fn touches(&self, fields: &[Name]) -> bool {
        let value = |record: &Option<Arc<Record>>, field: &Name| {
            record.as_ref().map_or(Value::Null, |record| record.get(field.as_str()).clone())
        };
        fields.is_empty() || fields.iter().any(|field| value(&self.before, field) != value(&self.after, field))
    }

    fn proposed(&self, actor: &Actor) -> ProposedChange {
        let operation = match (&self.before, &self.after) {
            (None, _) => "create",
            (_, None) => "delete",
            (Some(_), Some(_)) => "update",
        };
        ProposedChange {
            object: self.object.name.to_string(),
            id: self.before.as_ref().map_or_else(String::new, |_| self.id.to_string()),
            operation: operation.to_owned(),
            before: fields(self.before.as_deref()),
            after: fields(self.after.as_deref()),
            actor: actor.to_string(),
        }
    }
}

/// The fields of a record that are set.
fn fields(record: Option<&Record>) -> Vec<(String, Value)> {
    let Some(record) = record else { return Vec::new() };
    let set = record.object.fields.iter().enumerate().filter(|(i, _)| !record.at(*i).is_null());
    set.map(|(i, field)| (field.name.to_string(), record.at(i).clone())).collect()
}

impl Inner {
    /// Has a unit judged that somebody is about to commit; what was looked at becomes a part of it. `own` is the plugin that has decided
    /// on the changes by itself, if one has.
    ///
    /// # Errors
    /// [`NotJudged`]: then it must not be committed.
    pub(crate) async fn judge(&self, unit: &mut UnitOfWork, own: Option<&AutomationId>) -> Result<(), NotJudged> {
        if !self.snapshot.load().judges().look_at(&unit.puts) {
            return Ok(());
        }
        let author = Author { actor: &unit.actor, own, time: unit.time };
        let seen = Bench::default().judge(self, (&unit.puts, &unit.reads), author).await?;
        unit.reads.extend(seen);
        Ok(())
    }

    /// What `judge` has against `change`, if it is asked and has something against it.
    async fn asked(&self, judge: &Judge, change: &Change, author: Author<'_>) -> Option<Verdict> {
        let Judge { plugin, hook, version } = judge;
        if author.own == Some(plugin) || !change.touches(&hook.fields) || !self.may_judge(judge) {
            return None;
        }
        self.judged.asked.fetch_add(1, Ordering::Relaxed);
        let verdict = |refusal, passing| {
            let (plugin, object) = (plugin.clone(), change.object.name.clone());
            Verdict { plugin, object, id: change.id, refusal, passing }
        };
        let (code, message) = match self.look_with(version.as_ref(), change, author).await {
            Ok(None) => return None,
            Ok(Some(refusal)) => {
                self.judged.refused.fetch_add(1, Ordering::Relaxed);
                return Some(verdict(shortened(refusal), false));
            }
            Err(why) => why,
        };
        self.judged.failed.fetch_add(1, Ordering::Relaxed);
        let (object, way) = (&change.object.name, if hook.on_failure == OnFailure::Open { "open" } else { "closed" });
        tracing::warn!(plugin.id = %plugin, "the hook of `{plugin}` on `{object}` failed ({way}): {code}: {message}");
        match hook.on_failure {
            OnFailure::Open => None,
            OnFailure::Closed => Some(verdict(Refusal { code, message, field: String::new() }, true)),
        }
    }

    /// Why the plugin refuses the change, if it does.
    ///
    /// # Errors
    /// A code and a sentence if it could not judge.
    async fn look_with(
        &self,
        version: Option<&Arc<Version>>,
        change: &Change,
        author: Author<'_>,
    ) -> Result<Option<Refusal>, (String, String)> {
        let missing = || ("not_loaded".to_owned(), "the plugin could not be loaded".to_owned());
        let version = version.ok_or_else(missing)?;
        let rests =
            |until| (RESTING.to_owned(), format!("it broke down again and again and is left alone until {until}"));
        let admission = self.admit(&version.id).map_err(rests)?;
        let host = PureHost::new(version.clone(), author.time, (&self.secret, change.id));
        let (report, _) = self.sandbox.judge(&version.program, change.proposed(author.actor), host).await;
        self.count(version, &report, (&Trace::new(0, 0), &admission));
        match (report.outcome, report.output) {
            (Ok(()), Output::Refused(refusal)) => Ok(Some(refusal)),
            (Ok(()), _) => Ok(None),
            (Err(failure), _) => Err((failure.code().to_owned(), failure.to_string())),
        }
    }

    /// Whether the plugin may judge at present: one that came in a package must be enabled, and the hook granted, with the right to see
    /// the records.
    fn may_judge(&self, judge: &Judge) -> bool {
        let Some(packed) = self.plugins.find(&judge.plugin) else { return true };
        let sees = packed.granted.covers(&format!("{}:read", judge.hook.object));
        !packed.is_stopped() && sees && packed.granted.holds(&Asked::hook(&judge.hook))
    }
}

/// What a plugin said, in bounds and on one line.
fn shortened(Refusal { code, message, field }: Refusal) -> Refusal {
    let line = |text: &str, most: usize| -> String {
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(most).collect()
    };
    let code = line(&code, CODE_CHARS_MAX);
    Refusal {
        code: if code.is_empty() { "refused".to_owned() } else { code },
        message: line(&message, MESSAGE_CHARS_MAX),
        field: line(&field, CODE_CHARS_MAX),
    }
}
