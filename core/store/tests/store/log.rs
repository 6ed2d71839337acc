use rapport_model::event::Subject;
use rapport_model::{Event, RunId};
use rapport_store::{Direction, EventQuery, Store};

use crate::world::*;

on_both!(
    events_are_found_by_type_prefix_subject_lane_run_and_cause,
    pages_of_events_go_both_ways,
    a_changed_event_breaks_the_chain_where_it_stands,
    a_missing_event_breaks_the_chain,
    an_erased_event_leaves_the_chain_whole,
    an_anchor_shows_a_log_that_was_cut_off,
    a_field_since_forgotten_is_left_out_of_old_events,
);

fn query() -> EventQuery {
    EventQuery { limit: 100, ..EventQuery::default() }
}

async fn kinds(store: &Store, query: &EventQuery) -> Vec<String> {
    let events = store.events(query).await.unwrap();
    events.iter().map(|event| event.kind.to_string()).collect()
}

async fn events_are_found_by_type_prefix_subject_lane_run_and_cause(world: World) {
    let store = world.open().await;
    let (ada, bob) = (customer(&store, "1").await, customer(&store, "2").await);
    let mut first = unit();
    first.events = vec![paid("1", Some(ada)), paid("2", Some(bob))];
    let cause = store.commit(first).await.unwrap().events[0].position;
    let order = new_id();
    let mut second = puts(vec![create("order", order, vec![set("order_no", "1"), set("customer", ada)])]);
    second.run = Some(RunId::from_parts(START, [7; 10]));
    second.cause = Some(cause);
    second.depth = 3;
    let made = store.commit(second.clone()).await.unwrap().events[0].clone();
    assert_eq!((made.run, made.cause, made.depth), (second.run, Some(cause), 3));
    let by_kind = |kind: &str| EventQuery { kind: Some(kind.into()), ..query() };
    assert_eq!(kinds(&store, &by_kind("order.paid")).await, ["order.paid", "order.paid"]);
    assert_eq!(kinds(&store, &by_kind("order.*")).await, ["order.paid", "order.paid", "order.created"]);
    assert!(kinds(&store, &by_kind("orde.*")).await.is_empty());
    let narrow = EventQuery { subject: Some(ada), ..by_kind("order.*") };
    assert_eq!(kinds(&store, &narrow).await, ["order.paid"]);
    let page = EventQuery { after: Some(cause), limit: 1, ..by_kind("order.*") };
    assert_eq!(kinds(&store, &page).await, ["order.paid"]);
    let newest = EventQuery { direction: Direction::Descending, limit: 2, ..by_kind("order.*") };
    assert_eq!(kinds(&store, &newest).await, ["order.created", "order.paid"]);
    let subject = EventQuery { subject: Some(ada), ..query() };
    assert_eq!(kinds(&store, &subject).await, ["customer.created", "order.paid"]);
    let lane = EventQuery { lane: Some(ada), ..query() };
    assert_eq!(kinds(&store, &lane).await, ["customer.created", "order.paid", "order.created"]);
    assert!(kinds(&store, &EventQuery { lane: Some(order), ..query() }).await.is_empty());
    let run = EventQuery { run: second.run, ..query() };
    assert_eq!(kinds(&store, &run).await, ["order.created"]);
}

async fn pages_of_events_go_both_ways(world: World) {
    let store = world.open().await;
    let mut unit = unit();
    unit.events = (0..7).map(|i| paid(&i.to_string(), None)).collect();
    let positions: Vec<i64> = store.commit(unit).await.unwrap().events.iter().map(|e| e.position).collect();
    let after = EventQuery { after: Some(positions[1]), limit: 3, ..EventQuery::default() };
    let found = |events: Vec<std::sync::Arc<Event>>| events.iter().map(|e| e.position).collect::<Vec<i64>>();
    assert_eq!(found(store.events(&after).await.unwrap()), positions[2..5]);
    let before =
        EventQuery { before: Some(positions[5]), direction: Direction::Descending, limit: 2, ..EventQuery::default() };
    assert_eq!(found(store.events(&before).await.unwrap()), [positions[4], positions[3]]);
    assert_eq!(store.event(store.head() + 1).await.unwrap(), None);
    assert_eq!(store.event(i64::MAX).await.unwrap(), None);
}

async fn three_events(world: &World) -> (Store, i64) {
    let store = world.open().await;
    let mut unit = unit();
    unit.events = ["1", "2", "3"].map(|id| paid(id, None)).to_vec();
    let position = store.commit(unit).await.unwrap().events[1].position;
    let report = store.verify(0, &|_| {}).await.unwrap();
    assert_eq!((report.first_bad, report.events), (None, u64::try_from(position + 1).unwrap()));
    (store, position)
}

async fn first_bad(store: &Store) -> Option<(i64, String)> {
    store.verify(0, &|_| {}).await.unwrap().first_bad.map(|bad| (bad.position, bad.why))
}

async fn a_changed_event_breaks_the_chain_where_it_stands(world: World) {
    let (store, position) = three_events(&world).await;
    store.close().await.unwrap();
    let swap = |column: &str, value: &str| format!("update event set {column} = {value} where position = {position}");
    world.tamper("create table kept as select * from event").await;
    for (column, value, why) in [
        ("payload", "'{}'", "its payload was changed"),
        ("payload", "null", "its payload or its salt is gone"),
        ("time", "time + 1", "it was changed, or does not follow the one before"),
        ("actor", "'user:00000000-0000-7000-8000-000000000000'", "it was changed, or does not follow the one before"),
        ("source_id", "'x'", "it was changed, or does not follow the one before"),
    ] {
        world.tamper(&swap(column, value)).await;
        let store = world.open().await;
        assert_eq!(first_bad(&store).await, Some((position, why.to_owned())), "{column}");
        store.close().await.unwrap();
        let back = format!("(select k.{column} from kept as k where k.position = {position})");
        world.tamper(&swap(column, &back)).await;
    }
    assert_eq!(first_bad(&world.open().await).await, None);
}

async fn a_missing_event_breaks_the_chain(world: World) {
    let (store, position) = three_events(&world).await;
    store.close().await.unwrap();
    world.tamper(&format!("delete from event where position = {position}")).await;
    let store = world.open().await;
    assert_eq!(first_bad(&store).await, Some((position, "it is missing".into())));
    // From there on the chain holds.
    let report = store.verify(position + 1, &|_| {}).await.unwrap();
    assert_eq!(report.first_bad, None);
}

async fn an_erased_event_leaves_the_chain_whole(world: World) {
    let (store, position) = three_events(&world).await;
    store.close().await.unwrap();
    world.tamper(&format!("update event set payload = null, salt = null where position = {position}")).await;
    let store = world.open().await;
    let report = store.verify(0, &|_| {}).await.unwrap();
    assert_eq!((report.first_bad, report.erased), (None, 1));
    assert_eq!(store.event(position).await.unwrap().unwrap().body, None);
}

async fn an_anchor_shows_a_log_that_was_cut_off(world: World) {
    let (store, position) = three_events(&world).await;
    let anchor = store.anchor(&[7; 32]).await.unwrap();
    assert_eq!(store.check_anchor(&anchor).await.unwrap(), None);
    let mut forged = anchor.clone();
    forged.position -= 1;
    assert_eq!(store.check_anchor(&forged).await.unwrap().unwrap(), "its signature does not hold");
    let text = serde_json::to_string(&anchor).unwrap();
    assert_eq!(serde_json::from_str::<rapport_store::audit::Anchor>(&text).unwrap(), anchor);
    store.close().await.unwrap();
    // Cuts the end off, so that the rest is a chain by itself.
    world
        .tamper(&format!(
            "delete from event where position > {position}; update log_head set position = {position}, \
             hash = (select e.hash from event as e where e.position = {position})"
        ))
        .await;
    let store = world.open().await;
    assert_eq!(first_bad(&store).await, None);
    let why = store.check_anchor(&anchor).await.unwrap().unwrap();
    assert_eq!(why, "the log is shorter than it was: its end was cut off");
    let mut unit = unit();
    unit.events = vec![paid("other", None)];
    store.commit(unit).await.unwrap();
    assert_eq!(store.check_anchor(&anchor).await.unwrap().unwrap(), "the log holds another event at that position");
}

async fn a_field_since_forgotten_is_left_out_of_old_events(world: World) {
    let store = world.open().await;
    let ada = customer(&store, "1").await;
    let mut unit = unit();
    unit.events = vec![paid("1", Some(ada))];
    let event = store.commit(unit).await.unwrap().events[0].clone();
    assert_eq!(event.subject, Some(Subject { object: name("customer"), id: ada }));
    store.close().await.unwrap();
    world.tamper("update event_type_def set definition = '{\"name\":\"order.paid\",\"fields\":[]}' where name = 'order.paid'").await;
    let unknown = world.try_open().await;
    let store = unknown.unwrap();
    // The standard declaration adds the fields again: what was written is still there.
    assert_eq!(store.event(event.position).await.unwrap().unwrap(), event);
}
