//! Plays a scenario: furnishes a scratch workspace, takes the steps, and reports.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use rapport_model::nearest::nearest;
use rapport_model::time::SetClock;
use rapport_model::{Actor, AutomationId, Clock, FileRules, Limits, RunStatus, Timestamp};
use rapport_sandbox::Sandbox;
use rapport_store::{EventQuery, RunQuery};
use serde_json::{Value as Json, json};

use super::expect::Judge;
use super::report::{Difference, ScenarioReport, Spent, StepReport, Verdict};
use super::stubs::Stubs;
use super::{Cast, Operation, Person, Scenario, ScriptFile, Step, What, Write, below};
use crate::bulk::{BulkOptions, Reaction, RowOutcome};
use crate::engine::Engine;
use crate::entropy::{RunSecret, SeededEntropy};
use crate::error::EngineError;
use crate::gate::{Caller, Scopes};
use crate::ingest::{Incoming, Intake};
use crate::keys::NewUser;
use crate::records::WriteOptions;
use crate::scratch::{Ground, Scratch};

/// When a scenario begins that never says what time it is: 2026-01-01T00:00:00Z.
const BEGIN_MICROS: i64 = 1_767_225_600_000_000;
/// The most runs that a report shows.
const RUNS_SHOWN_MAX: u32 = 1_000;

/// What scenarios are played on.
#[derive(Debug, Clone)]
pub struct Stage {
    /// Runs the scripts and plugins.
    pub sandbox: Sandbox,
    /// What a slice may use: those of the live server.
    pub limits: Limits,
    /// Below this folder a scratch workspace is made, and removed afterwards.
    pub folder: PathBuf,
    /// Which runs the report shows.
    pub shown: Shown,
}

/// Which runs a report shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shown {
    /// If the scenario failed, those that did not complete.
    #[default]
    Failed,
    /// All.
    All,
}

impl Scenario {
    /// Plays the scenario with the automations of `cast` on a scratch workspace.
    ///
    /// Nothing but a folder below [`Stage::folder`] is written, and that is gone afterwards.
    ///
    /// # Errors
    /// [`EngineError`] if the workspace cannot be furnished: a script does not pass its check, a setting is unknown, a record
    /// does not fit. A step that fails is no error but a part of the report.
    pub async fn play(&self, cast: &Cast, stage: &Stage) -> Result<ScenarioReport, EngineError> {
        let scratch = Scratch::below(&stage.folder)?;
        let first = self.steps.iter().find_map(|step| step.at);
        let stubs = Arc::new(Stubs::default());
        let ground = Ground {
            transport: stubs.clone(),
            sandbox: stage.sandbox.clone(),
            limits: stage.limits.clone(),
            clock: Arc::new(SetClock::at(first.unwrap_or_else(|| Timestamp::from_micros(BEGIN_MICROS)))),
            entropy: Arc::new(SeededEntropy::new(self.seed.as_bytes())),
            secret: RunSecret::NONE,
            files: FileRules::default(),
        };
        let engine = ground.open(&scratch).await?;
        match self.furnish(&engine, cast).await {
            Ok(caller) => {
                let began = engine.head();
                Player { ground, scratch: &scratch, engine, caller, began, stubs }.play(self, stage.shown).await
            }
            Err(error) => {
                engine.shutdown().await?;
                Err(error)
            }
        }
    }

    /// Brings the automations to life, gives them their settings, and puts the records there; says who takes the steps.
    async fn furnish(&self, engine: &Engine, cast: &Cast) -> Result<Caller, EngineError> {
        let system = Caller::system();
        activate_all(engine, cast).await?;
        // Whoever comes from here on comes into segments that are there.
        engine.fill_segments().await?;
        for (name, values) in &self.settings {
            let id = engine.automation_named(name).map_err(|e| at(&below("/settings", name), &e))?;
            let set = engine.set_settings(&system, id.as_str(), values).await;
            set.map_err(|e| at(&below("/settings", name), &e))?;
        }
        for (i, given) in self.records.iter().enumerate() {
            let place = below("/records", &i.to_string());
            let options =
                BulkOptions { object: given.object.clone(), reaction: Reaction::Skip, ..BulkOptions::default() };
            let rows = vec![Ok(Json::Object(given.fields.clone()))];
            let outcome = engine.bulk(&system, &options, rows).await.map_err(|e| at(&place, &e))?;
            if let Some(RowOutcome::Refused { message, pointer, .. }) = outcome.rows.into_iter().next() {
                return Err(EngineError::invalid(format!("{place}{}", pointer.unwrap_or_default()), message));
            }
        }
        // Who is in a segment from the outset has come into it before the first step.
        engine.idle_with_segments().await?;
        match &self.actor {
            Person::System => Ok(system),
            Person::User { name, roles } => person(engine, name, roles).await,
        }
    }
}

/// Brings the automations to life in any order in which each finds what it refers to: one may use a field that another
/// declares.
async fn activate_all(engine: &Engine, cast: &Cast) -> Result<(), EngineError> {
    let system = Caller::system();
    let mut waiting: Vec<Result<&ScriptFile, &PathBuf>> =
        cast.scripts.iter().map(Ok).chain(cast.plugins.iter().map(Err)).collect();
    loop {
        let mut refused = Vec::new();
        let mut first = None;
        let before = waiting.len();
        for one in waiting {
            let live = match one {
                Ok(script) => engine.activate_script(&system, &script.id, &script.path, &script.source).await,
                Err(plugin) => engine.activate_plugin(&system, plugin).await,
            };
            if let Err(error) = live {
                first.get_or_insert(error);
                refused.push(one);
            }
        }
        match first {
            None => return Ok(()),
            Some(error) if refused.len() == before => return Err(error),
            Some(_) => waiting = refused,
        }
    }
}

/// Adds a person of that name, and gives what they may do.
async fn person(engine: &Engine, name: &str, roles: &[String]) -> Result<Caller, EngineError> {
    let user = NewUser { name: name.to_owned(), email: None, roles: roles.to_vec() };
    let added = engine.put_user(&Caller::system(), user).await.map_err(|e| at("/actor", &e))?;
    let id = added["id"].as_str().and_then(|id| id.parse().ok());
    let id = id.ok_or_else(|| EngineError::Internal("a user without an id".into()))?;
    let scopes = roles.iter().fold(Scopes::default(), |all, role| all.or(Scopes::of_role(role)));
    Ok(Caller { actor: Actor::User(id), name: name.to_owned(), scopes, objects: None, roles: roles.to_vec() })
}

/// The same error, with the place in the scenario where it comes from.
fn at(pointer: &str, error: &EngineError) -> EngineError {
    let inner = error.pointers();
    match inner.as_slice() {
        [one] => EngineError::invalid(format!("{pointer}{}", one.pointer), one.message.clone()),
        _ => EngineError::invalid(pointer, error.to_string()),
    }
}

impl Engine {
    /// The live automation of that id, or the only one whose id ends with it after a slash.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] with the nearest name.
    pub(crate) fn automation_named(&self, name: &str) -> Result<AutomationId, EngineError> {
        let snapshot = self.inner.snapshot.load();
        let ids: Vec<&AutomationId> = snapshot.active().iter().map(|version| &version.id).collect();
        let ends = |id: &&&AutomationId| id.as_str().strip_suffix(name).is_some_and(|before| before.ends_with('/'));
        let exact = ids.iter().find(|id| id.as_str() == name);
        let mut short = ids.iter().filter(ends);
        match (exact, short.next(), short.next()) {
            (Some(id), ..) | (None, Some(id), None) => Ok((*id).clone()),
            _ => {
                let near = nearest(name, ids.iter().map(|id| id.as_str()));
                let all = ids.iter().map(|id| id.as_str()).collect::<Vec<_>>().join(", ");
                let hint = near.map_or_else(|| format!("there are {all}"), |near| format!("did you mean `{near}`?"));
                let shown: String = name.chars().take(64).collect();
                Err(EngineError::not_found(format!("automation `{shown}`; {hint}")))
            }
        }
    }
}

/// Why a step could not be taken.
pub(super) enum Halt {
    /// It was refused.
    Refused(String),
    /// The workspace itself failed.
    Broken(EngineError),
}

impl From<EngineError> for Halt {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Unavailable(_) | EngineError::Full | EngineError::Internal(_) => Self::Broken(error),
            other => Self::Refused(other.to_string()),
        }
    }
}

/// A scenario on its way.
pub(super) struct Player<'a> {
    ground: Ground,
    scratch: &'a Scratch,
    pub(super) engine: Engine,
    pub(super) caller: Caller,
    pub(super) began: i64,
    stubs: Arc<Stubs>,
}

impl Player<'_> {
    async fn play(mut self, scenario: &Scenario, shown: Shown) -> Result<ScenarioReport, EngineError> {
        let mut reports: Vec<StepReport> = Vec::with_capacity(scenario.steps.len());
        let mut stopped = false;
        for (index, step) in scenario.steps.iter().enumerate() {
            let pointer = below("/steps", &index.to_string());
            let mut report = StepReport {
                step: index + 1,
                kind: step.what.name(),
                at: step.at.unwrap_or_else(|| Clock::now(&*self.ground.clock)),
                result: Verdict::Skipped,
                differences: Vec::new(),
                error: None,
                pointer,
            };
            if !stopped {
                match self.take(step, &report.pointer).await {
                    Ok(differences) => report.differences = differences,
                    Err(Halt::Refused(why)) => report.error = Some(why),
                    Err(Halt::Broken(error)) => return Err(error),
                }
                let passed = report.differences.is_empty() && report.error.is_none();
                report.result = if passed { Verdict::Pass } else { Verdict::Fail };
                // Whatever comes after a step that was not taken is another story; a wrong expectation changes nothing.
                stopped = report.error.is_some() && !matches!(step.what, What::Expect(_));
            }
            reports.push(report);
        }
        let ok = reports.iter().all(|report| report.result == Verdict::Pass);
        let runs = match shown {
            Shown::Failed if ok => Vec::new(),
            shown => self.runs(shown).await?,
        };
        let usage = self.usage().await?;
        self.engine.shutdown().await?;
        Ok(ScenarioReport { ok, steps: reports, runs, usage })
    }

    async fn take(&mut self, step: &Step, pointer: &str) -> Result<Vec<Difference>, Halt> {
        if let Some(at) = step.at {
            self.advance(at).await;
            self.check_calls()?;
        }
        match &step.what {
            What::Pass => {}
            What::Event(event) => self.send(event).await?,
            What::Write(write) => self.write(write).await?,
            What::Call(call) => return self.call(call, pointer).await,
            What::Request(asked) => return self.request(asked, pointer).await,
            What::Migrate(asked) => self.migrate(asked).await?,
            What::Answer(number, choice) => self.answer(*number, choice).await?,
            What::Crash => self.crash().await?,
            What::Http(stub) => self.stubs.tell(stub.clone()),
            What::Expect(expect) => {
                let judge = Judge { engine: &self.engine, began: self.began };
                return Ok(judge.judge(&below(pointer, "expect"), expect).await?);
            }
        }
        self.engine.settle().await;
        self.check_calls()?;
        Ok(Vec::new())
    }

    /// A call that nothing answers is a story that was not told to its end.
    pub(super) fn check_calls(&self) -> Result<(), Halt> {
        match self.stubs.take_unmatched().first() {
            None => Ok(()),
            Some(call) => Err(Halt::Refused(format!(
                "{call} was called, and no `http` step before matches it: add {{\"http\": {{\"match\": \"{call}\", \"reply\": {{\"status\": 200}}}}}}"
            ))),
        }
    }

    /// Moves the clock to `to`. What falls due on the way happens at its own instant.
    async fn advance(&self, to: Timestamp) {
        let ahead = |due: &Timestamp| *due <= to && *due > Clock::now(&*self.ground.clock);
        while let Some(due) = self.engine.settle().await.filter(ahead) {
            self.ground.clock.set(due);
        }
        self.ground.clock.set(to);
        self.engine.settle().await;
    }

    async fn send(&self, event: &Incoming) -> Result<(), Halt> {
        match self.engine.ingest(&self.caller, vec![event.clone()], Reaction::Fire).await?.pop() {
            Some(Intake::Refused { message, .. }) => Err(Halt::Refused(message)),
            _ => Ok(()),
        }
    }

    async fn write(&self, write: &Write) -> Result<(), Halt> {
        let Write { object, operation, fields } = write;
        let (engine, caller, options) = (&self.engine, &self.caller, WriteOptions::default());
        match operation {
            Operation::Create => drop(engine.create(caller, object, fields, &options).await?),
            Operation::Update(key) => drop(engine.patch(caller, object, key, fields, &options).await?),
            Operation::Upsert(key) => drop(engine.put(caller, object, key, fields, &options).await?),
            Operation::Delete(key) => engine.delete(caller, object, key, &options).await?,
        }
        Ok(())
    }

    /// Ends the task of that number as its person would.
    async fn answer(&self, number: u32, choice: &str) -> Result<(), Halt> {
        // In the order of the log: ids of one instant lie in none.
        let kind = Some("task.created".to_owned());
        let query = EventQuery { kind, limit: number, ..EventQuery::default() };
        let made = self.engine.inner.store.events(&query).await.map_err(EngineError::from)?;
        let task = made.get(usize::try_from(number).unwrap_or(usize::MAX).saturating_sub(1));
        let none = || Halt::Refused(format!("there is no task {number}: {} were made", made.len()));
        let id = task.and_then(|event| event.subject.as_ref()).ok_or_else(none)?.id.to_string();
        let done = json!({ "state": "done", "choice": choice });
        self.engine.patch(&self.caller, "task", &id, &done, &WriteOptions::default()).await?;
        Ok(())
    }

    /// Drops everything in memory and starts again from the database. Between two steps no slice works, so an orderly end
    /// loses exactly what a kill would.
    async fn crash(&mut self) -> Result<(), Halt> {
        self.engine.shutdown().await?;
        self.engine = self.ground.open(self.scratch).await?;
        Ok(())
    }

    async fn usage(&self) -> Result<BTreeMap<String, Spent>, EngineError> {
        let runs = self.engine.inner.store.runs(&RunQuery { limit: RUNS_SHOWN_MAX, ..RunQuery::default() }).await?;
        let mut usage: BTreeMap<String, Spent> = BTreeMap::new();
        for run in runs {
            let trace = run.trace.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Json::Null);
            usage.entry(run.automation.to_string()).or_default().note(&trace);
        }
        Ok(usage)
    }

    async fn runs(&self, shown: Shown) -> Result<Vec<Json>, EngineError> {
        let runs = self.engine.inner.store.runs(&RunQuery { limit: RUNS_SHOWN_MAX, ..RunQuery::default() }).await?;
        let wanted = |status| shown == Shown::All || !matches!(status, RunStatus::Completed | RunStatus::Skipped);
        let mut all = Vec::new();
        for run in runs.into_iter().rev().filter(|run| wanted(run.status)) {
            all.push(self.engine.run(&Caller::system(), &run.id.to_string()).await?);
        }
        Ok(all)
    }
}
