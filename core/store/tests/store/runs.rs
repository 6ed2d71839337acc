use std::sync::Arc;

use rapport_model::run::run_id;
use rapport_model::{Digest, Run, RunId, RunStatus};
use rapport_store::{
    Activation, Artifact, ArtifactKind, AutomationChange, EventQuery, JournalStep, RunQuery, RunUpdate, Store,
    StoreError, Triggers, UnitOfWork,
};

use crate::world::*;

on_both!(
    a_matching_event_starts_one_run_in_its_commit,
    a_unit_that_fires_nothing_starts_no_run,
    a_run_takes_its_steps_and_no_others,
    what_was_woken_without_a_commit_steps_on_from_where_it_waits,
    runs_are_listed_newest_first_and_counted,
    open_runs_come_in_the_order_of_the_log,
    events_of_runs_are_found_by_their_cause,
    a_version_becomes_live_and_goes_out_of_service,
    content_that_its_digest_does_not_name_is_refused,
);

async fn listening(world: &World) -> (Store, Arc<Listener>) {
    let store = world.open().await;
    let listener = Listener::to("order.paid");
    store.set_hooks(listener.clone());
    (store, listener)
}

async fn fire(store: &Store, ids: &[&str]) -> Vec<Arc<Run>> {
    let mut unit = unit();
    unit.events = ids.iter().map(|id| paid(id, None)).collect();
    store.commit(unit).await.unwrap().runs
}

fn step(run: RunId, status: RunStatus) -> UnitOfWork {
    let mut unit = unit();
    let trace = Some("{\"calls\":[]}\0".to_owned());
    let error = (status == RunStatus::Dead).then(|| "fail it was wrong".to_owned());
    let wake_at = (status == RunStatus::Retrying).then(|| at(5));
    let finished_at = (!status.is_open()).then(|| at(9));
    unit.run = Some(run);
    unit.run_state = Some(RunUpdate {
        id: run,
        status,
        attempt: 1,
        wake_at,
        wake_event: None,
        wake_index: None,
        finished_at,
        error,
        trace,
    });
    unit
}

async fn a_matching_event_starts_one_run_in_its_commit(world: World) {
    let (store, listener) = listening(&world).await;
    let ada = customer(&store, "1").await;
    let mut unit = unit();
    unit.events = vec![paid("1", Some(ada))];
    unit.depth = 2;
    let committed = store.commit(unit).await.unwrap();
    let (run, event) = (&committed.runs[0], &committed.events[0]);
    assert_eq!(run.id, run_id(&automation("points"), event.position, event.recorded_at));
    assert_eq!((run.lane, run.depth, run.status), (Some(ada), 2, RunStatus::Pending));
    assert_eq!(store.run(run.id).await.unwrap().as_ref(), Some(&**run));
    assert_eq!(*listener.runs.lock().unwrap(), committed.runs);
    assert_eq!(store.open_runs(None, 10).await.unwrap(), committed.runs);
    // A duplicate starts nothing.
    assert!(fire(&store, &["1"]).await.is_empty());
    assert_eq!(store.open_runs(None, 10).await.unwrap().len(), 1);
}

async fn a_unit_that_fires_nothing_starts_no_run(world: World) {
    let (store, _) = listening(&world).await;
    let mut unit = unit();
    unit.events = vec![paid("1", None)];
    unit.triggers = Triggers::Skip;
    assert!(store.commit(unit).await.unwrap().runs.is_empty());
    assert!(store.run_counts().is_empty());
}

async fn a_run_takes_its_steps_and_no_others(world: World) {
    let (store, _) = listening(&world).await;
    let run = fire(&store, &["1"]).await[0].id;
    store.commit(step(run, RunStatus::Retrying)).await.unwrap();
    assert_eq!(store.retrying_runs(10).await.unwrap()[0].wake_at, Some(at(5)));
    store.commit(step(run, RunStatus::Dead)).await.unwrap();
    let dead = store.run(run).await.unwrap().unwrap();
    assert_eq!((dead.error.as_deref(), dead.finished_at, dead.wake_at), (Some("fail it was wrong"), Some(at(9)), None));
    let message = refusal(store.commit(step(run, RunStatus::Completed)).await);
    assert_eq!(message, format!("run {run} is dead and cannot become completed"));
    store.commit(step(run, RunStatus::Pending)).await.unwrap();
    // In one group, the second of two that both end the run comes too late, and so do its puts.
    let mut late = step(run, RunStatus::Completed);
    late.puts = vec![create("customer", new_id(), vec![])];
    let head = store.head();
    let outcomes = store.commit_all(vec![step(run, RunStatus::Completed), late]).await;
    assert!(outcomes[0].is_ok());
    assert!(matches!(outcomes[1], Err(StoreError::RunMoved { .. })), "{outcomes:?}");
    assert_eq!(store.head(), head);
    let nobody = RunId::from_parts(START, [9; 10]);
    assert!(matches!(store.commit(step(nobody, RunStatus::Completed)).await, Err(StoreError::RunMoved { .. })));
    let count = &store.run_counts()[0];
    assert_eq!((store.run_counts().len(), count.status, count.count), (1, RunStatus::Completed, 1));
}

async fn what_was_woken_without_a_commit_steps_on_from_where_it_waits(world: World) {
    let (store, _) = listening(&world).await;
    let run = fire(&store, &["1"]).await[0].clone();
    let woken = |status, from, digest| UnitOfWork { run_from: Some((from, digest)), ..step(run.id, status) };
    let moved = |outcome| matches!(outcome, Err(StoreError::RunMoved { .. }));
    store.commit(step(run.id, RunStatus::Waiting)).await.unwrap();
    assert!(moved(store.commit(step(run.id, RunStatus::Completed)).await.map(drop)), "it is not said from where");
    store.commit(woken(RunStatus::Waiting, RunStatus::Waiting, run.digest)).await.unwrap();
    // An operator holds it back.
    store.commit(step(run.id, RunStatus::Paused)).await.unwrap();
    assert!(moved(store.commit(woken(RunStatus::Completed, RunStatus::Waiting, run.digest)).await.map(drop)));
    // It waits again, with another version.
    let other = Digest::of(b"other");
    let again =
        UnitOfWork { run_digest: Some(other), journal: JournalStep::WaitsAgain, ..step(run.id, RunStatus::Waiting) };
    store.commit(again).await.unwrap();
    assert!(moved(store.commit(woken(RunStatus::Completed, RunStatus::Waiting, run.digest)).await.map(drop)));
    store.commit(woken(RunStatus::Completed, RunStatus::Waiting, other)).await.unwrap();
    let count = &store.run_counts()[0];
    assert_eq!((store.run_counts().len(), count.status, count.count), (1, RunStatus::Completed, 1));
}

async fn runs_are_listed_newest_first_and_counted(world: World) {
    let (store, _) = listening(&world).await;
    let ada = customer(&store, "1").await;
    let runs = fire(&store, &["1", "2", "3", "4"]).await;
    let mut unit = unit();
    unit.events = vec![paid("5", Some(ada))];
    store.commit(unit).await.unwrap();
    store.commit(step(runs[1].id, RunStatus::Completed)).await.unwrap();
    store.commit(step(runs[2].id, RunStatus::Dead)).await.unwrap();
    store.close().await.unwrap();
    let store = world.open().await;
    let query = RunQuery { limit: 2, ..RunQuery::default() };
    let first = store.runs(&query).await.unwrap();
    assert_eq!(first[0].lane, Some(ada));
    assert_eq!(first[1].id, runs[3].id);
    let before = Some((first[1].position, first[1].automation.clone()));
    let second = store.runs(&RunQuery { before, ..query.clone() }).await.unwrap();
    assert_eq!(second.iter().map(|r| r.id).collect::<Vec<_>>(), [runs[2].id, runs[1].id]);
    let of = async |query: RunQuery| store.runs(&RunQuery { limit: 10, ..query }).await.unwrap().len();
    assert_eq!(of(RunQuery { status: Some(RunStatus::Dead), ..RunQuery::default() }).await, 1);
    assert_eq!(of(RunQuery { status: Some(RunStatus::Pending), ..RunQuery::default() }).await, 3);
    assert_eq!(of(RunQuery { automation: Some(automation("points")), ..RunQuery::default() }).await, 5);
    assert_eq!(of(RunQuery { automation: Some(automation("other")), ..RunQuery::default() }).await, 0);
    assert_eq!(of(RunQuery { lane: Some(ada), ..RunQuery::default() }).await, 1);
    assert_eq!(of(RunQuery { subject: Some(ada), ..RunQuery::default() }).await, 1);
    let counts: Vec<_> = store.run_counts().iter().map(|c| (c.status, c.count)).collect();
    assert_eq!(counts, [(RunStatus::Completed, 1), (RunStatus::Dead, 1), (RunStatus::Pending, 3)]);
}

async fn open_runs_come_in_the_order_of_the_log(world: World) {
    let (store, _) = listening(&world).await;
    let runs = fire(&store, &["1", "2", "3", "4", "5"]).await;
    store.commit(step(runs[1].id, RunStatus::Completed)).await.unwrap();
    let mut after = None;
    let mut found = Vec::new();
    loop {
        let page = store.open_runs(after.clone(), 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.position, last.automation.clone()));
        found.extend(page.iter().map(|run| run.id));
    }
    assert_eq!(found, [runs[0].id, runs[2].id, runs[3].id, runs[4].id]);
}

async fn events_of_runs_are_found_by_their_cause(world: World) {
    let (store, _) = listening(&world).await;
    let run = fire(&store, &["1"]).await[0].clone();
    let mut unit = step(run.id, RunStatus::Completed);
    unit.puts = vec![create("customer", new_id(), vec![])];
    unit.cause = Some(run.position);
    let made = store.commit(unit).await.unwrap().events[0].clone();
    let query = EventQuery { cause: Some(run.position), limit: 10, ..EventQuery::default() };
    assert_eq!(store.events(&query).await.unwrap(), [made]);
}

fn content(bytes: &[u8]) -> Artifact {
    Artifact { digest: Digest::of(bytes), kind: ArtifactKind::Script, path: "points.rhai".into(), bytes: bytes.into() }
}

fn change(changes: Vec<AutomationChange>) -> UnitOfWork {
    UnitOfWork { automations: changes, ..unit() }
}

fn live(digest: Digest) -> AutomationChange {
    let (declaration, settings) = ("{\"title\":\"x\"}".to_owned(), "{}".to_owned());
    AutomationChange::Activate(Activation { id: automation("points"), digest, declaration, settings })
}

async fn a_version_becomes_live_and_goes_out_of_service(world: World) {
    let store = world.open().await;
    let (one, two) = (content(b"one"), content(b"two"));
    let put = AutomationChange::PutArtifact;
    let committed = store.commit(change(vec![put(one.clone()), live(one.digest)])).await.unwrap();
    assert_eq!(committed.events[0].kind.as_str(), "automation.activated");
    store.commit(change(vec![put(one.clone()), put(two.clone())])).await.unwrap();
    world.clock.set(at(77));
    store.commit(change(vec![live(two.digest)])).await.unwrap();
    let row = store.automations().await.unwrap().remove(0);
    assert_eq!((row.active, row.digest, row.activated_at), (true, two.digest, at(77)));
    assert_eq!((row.kind, row.path.as_str()), (ArtifactKind::Script, "points.rhai"));
    assert_eq!(store.artifact(&one.digest).await.unwrap(), Some(one));
    store.commit(change(vec![AutomationChange::Deactivate(automation("points"))])).await.unwrap();
    assert!(!store.automations().await.unwrap()[0].active);
    let nobody = change(vec![AutomationChange::Deactivate(automation("nobody"))]);
    assert_eq!(refusal(store.commit(nobody).await), "there is no automation `nobody`");
    let kept = change(vec![live(Digest::of(b"three"))]);
    assert!(matches!(store.commit(kept).await, Err(StoreError::Invalid(_))));
}

async fn content_that_its_digest_does_not_name_is_refused(world: World) {
    let store = world.open().await;
    let mut forged = content(b"one");
    forged.bytes = b"two".as_slice().into();
    let refused = store.commit(change(vec![AutomationChange::PutArtifact(forged)])).await;
    assert_eq!(refusal(refused), "points.rhai is not what its digest names");
    let one = content(b"one");
    store.commit(change(vec![AutomationChange::PutArtifact(one.clone())])).await.unwrap();
    let zero = match &world.database {
        rapport_store::Database::Sqlite { .. } => "x'00'",
        rapport_store::Database::Postgres { .. } => "'\\x00'",
    };
    world.tamper(&format!("update artifact set bytes = {zero}")).await;
    assert!(matches!(store.artifact(&one.digest).await, Err(StoreError::Corrupt { .. })));
}
