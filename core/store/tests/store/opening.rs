use rapport_model::{Change, Timestamp, Value};
use rapport_store::{Database, KeyPlace, Store, StoreConfig, StoreError};

use crate::world::*;

on_both!(
    a_new_workspace_has_the_standard_objects,
    opening_again_changes_nothing,
    what_was_acknowledged_is_there_after_a_kill,
    a_second_process_is_refused,
    a_newer_database_is_refused_and_left_alone,
    a_closed_store_refuses_and_can_be_opened_again,
    units_handed_over_before_close_are_committed,
    a_damaged_registry_is_named,
    a_workspace_from_before_there_were_tags_gets_them,
    keys_of_customers_from_before_are_made_from_where_it_stopped,
    keys_that_an_older_program_made_are_made_anew,
    a_change_of_other_fields_writes_no_keys,
    a_workspace_keeps_a_secret_of_its_own,
);

async fn a_new_workspace_has_the_standard_objects(world: World) {
    let store = world.open().await;
    for object in ["company", "customer", "order", "order_line", "interaction", "consent", "task", "user", "api_key"] {
        assert!(store.schema().object(object).is_some(), "{object}");
    }
    assert!(store.schema().event_type("order.paid").is_some());
    assert!(store.head() > 0);
    let event = store.event(1).await.unwrap().unwrap();
    assert_eq!((event.kind.as_str(), event.actor.clone()), ("schema.changed", rapport_model::Actor::System));
}

async fn opening_again_changes_nothing(world: World) {
    let store = world.open().await;
    let (head, workspace, epoch) = (store.head(), store.workspace().to_owned(), store.schema().epoch);
    store.close().await.unwrap();
    let store = world.open().await;
    assert_eq!((store.head(), store.workspace(), store.schema().epoch), (head, workspace.as_str(), epoch));
}

async fn a_workspace_keeps_a_secret_of_its_own(world: World) {
    let store = world.open().await;
    let secret = *store.secret();
    store.close().await.unwrap();
    let store = world.open().await;
    assert_eq!(*store.secret(), secret);
    assert!(!format!("{store:?}").contains(&format!("{secret:?}")));
    store.close().await.unwrap();
    // One from before there were secrets gets one, and a damaged one is not passed over.
    world.tamper("delete from meta where key = 'secret'").await;
    let store = world.open().await;
    assert_ne!(*store.secret(), secret);
    store.close().await.unwrap();
    world.tamper("update meta set value = 'short' where key = 'secret'").await;
    let config = StoreConfig::new(world.database.clone());
    let error = Store::open(config, world.clock.clone()).await.unwrap_err();
    assert!(error.to_string().contains("secret"), "{error}");
}

async fn what_was_acknowledged_is_there_after_a_kill(world: World) {
    let store = world.open().await;
    let ada = customer(&store, "1").await;
    let head = store.head();
    // Nothing is drained or closed: as far as the files go, this is a kill.
    match &world.database {
        Database::Sqlite { path } => {
            let copy = world.folder.path().join("copy.db");
            for end in ["", "-wal"] {
                let name = |p: &std::path::Path| std::path::PathBuf::from(format!("{}{end}", p.display()));
                std::fs::copy(name(path), name(&copy)).unwrap();
            }
            let config = StoreConfig::new(Database::Sqlite { path: copy });
            let copy = Store::open(config, world.clock.clone()).await.unwrap();
            assert_eq!(copy.head(), head);
            assert_eq!(record(&copy, "customer", ada).await, record(&store, "customer", ada).await);
            assert!(copy.verify(0, &|_| {}).await.unwrap().first_bad.is_none());
        }
        Database::Postgres { .. } => {
            world.tamper("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and datname = current_database()").await;
            // The committer finds its connection gone and opens another; nothing is lost, nothing is there twice.
            let mut id = None;
            for _ in 0..20 {
                let fresh = new_id();
                if store.commit(puts(vec![create("customer", fresh, vec![])])).await.is_ok() {
                    id = Some(fresh);
                    break;
                }
            }
            assert_eq!(store.head(), head + 1);
            assert!(record(&store, "customer", id.unwrap()).await.is_some());
            assert!(store.verify(0, &|_| {}).await.unwrap().first_bad.is_none());
        }
    }
}

async fn a_second_process_is_refused(world: World) {
    let store = world.open().await;
    let second = world.try_open().await;
    assert!(matches!(second, Err(StoreError::Locked { .. })), "{second:?}");
    customer(&store, "1").await;
    store.close().await.unwrap();
    world.open().await;
}

async fn a_newer_database_is_refused_and_left_alone(world: World) {
    world.open().await.close().await.unwrap();
    world.tamper("update meta set value = '9999' where key = 'schema_version'").await;
    match world.try_open().await {
        Err(StoreError::Newer { found: 9_999, known }) => assert_eq!(known, Store::schema_version()),
        other => panic!("{other:?}"),
    }
    let known = Store::schema_version();
    world.tamper(&format!("update meta set value = '{known}' where key = 'schema_version'")).await;
    world.open().await;
}

async fn a_closed_store_refuses_and_can_be_opened_again(world: World) {
    let store = world.open().await;
    let other = store.clone();
    store.close().await.unwrap();
    assert!(matches!(other.commit(unit()).await, Err(StoreError::Unavailable(_))));
    other.close().await.unwrap();
    world.open().await;
}

async fn units_handed_over_before_close_are_committed(world: World) {
    let store = world.open().await;
    let head = store.head();
    let units =
        (0..300).map(|i| puts(vec![create("customer", new_id(), vec![set("customer_no", i.to_string().as_str())])]));
    let handle = store.clone();
    let units: Vec<_> = units.collect();
    let task = tokio::spawn(async move { handle.commit_all(units).await });
    tokio::task::yield_now().await;
    store.close().await.unwrap();
    let committed = task.await.unwrap().iter().filter(|outcome| outcome.is_ok()).count();
    let store = world.open().await;
    assert_eq!(store.head(), head + i64::try_from(committed).unwrap());
}

async fn a_damaged_registry_is_named(world: World) {
    world.open().await.close().await.unwrap();
    world.tamper("update field_def set definition = '{}' where object = 'customer' and name = 'email'").await;
    let message = world.try_open().await.unwrap_err().to_string();
    assert!(message.starts_with("the registry's fields is damaged"), "{message}");
}

async fn a_workspace_from_before_there_were_tags_gets_them(world: World) {
    let store = world.open().await;
    let ada = customer(&store, "1").await;
    store.close().await.unwrap();
    world
        .tamper(
            "delete from field_def where name = 'tags' and object in ('customer', 'task'); \
             alter table o_customer drop column tags; alter table o_task drop column tags; drop table record_tag; \
             drop table segment_stay; drop table segment_progress; drop table match_key; \
             update meta set value = '9' where key = 'schema_version'",
        )
        .await;
    world.tamper(WORDS_TO_VERSION_12).await;
    let store = world.open().await;
    for object in store.schema().sorted_objects() {
        let system = object.origin == rapport_model::schema::Origin::System;
        assert_eq!(rapport_model::tags::place(&object).is_none(), system, "{}", object.name);
    }
    let vip = rapport_model::tags::read(&serde_json::json!(["vip"])).unwrap();
    store.commit(puts(vec![update("customer", ada, vec![(name("tags"), Change::Set(vip.clone()))])])).await.unwrap();
    let counted = store.tag_counts(&[name("customer")], None, 10).await.unwrap();
    assert_eq!((counted.len(), counted[0].tag.as_str(), counted[0].records), (1, "vip", 1));
    store.close().await.unwrap();
    let store = world.open().await;
    let record = store.record(&name("customer"), ada).await.unwrap().unwrap();
    assert_eq!(record.get("tags"), &vip);
}

/// Only on PostgreSQL: who keeps out of the workspace's lock may still write there. On SQLite the file's lock forbids it.
#[tokio::test]
async fn a_head_that_somebody_else_moved_is_taken_up() {
    let world = World::postgres();
    let store = world.open().await;
    let ada = customer(&store, "1").await;
    world.tamper("update log_head set commits = commits + 7").await;
    world.tamper("update o_customer set name = 'Ada'").await;
    // The record in memory is forgotten with everything else: what the other one wrote is there.
    let outcome = store.commit(puts(vec![update("customer", ada, vec![set("country", "France")])])).await.unwrap();
    let after = outcome.records[0].1.clone().unwrap();
    assert_eq!((after.get("name"), after.get("country")), (&Value::text("Ada"), &Value::text("France")));
    assert!(store.verify(0, &|_| {}).await.unwrap().first_bad.is_none());
}

/// Only a file can be full on demand.
#[tokio::test]
async fn a_full_disk_refuses_and_reads_go_on() {
    let world = World::sqlite();
    world.open().await.close().await.unwrap();
    let Database::Sqlite { path } = &world.database else { unreachable!() };
    let mut config = world.config();
    config.database_bytes_max = Some(std::fs::metadata(path).unwrap().len() + 64 * 1_024);
    let store = Store::open(config, world.clock.clone()).await.unwrap();
    let big = |n: usize| {
        let notes = "x".repeat(20_000);
        puts(vec![create(
            "customer",
            new_id(),
            vec![set("customer_no", n.to_string().as_str()), set("notes", notes.as_str())],
        )])
    };
    let mut accepted = 0;
    let error = loop {
        match store.commit(big(accepted)).await {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Full), "{error:?}");
    let head = store.head();
    let outcomes = store.commit_all((1_000..1_020).map(big).collect()).await;
    assert!(outcomes.iter().all(|o| matches!(o, Err(StoreError::Full))));
    assert_eq!(store.head(), head);
    assert!(store.verify(0, &|_| {}).await.unwrap().first_bad.is_none());
    assert_eq!(*store.fatal().borrow(), None);
    store.close().await.unwrap();
    let store = world.open().await;
    assert_eq!(store.head(), head);
    store.commit(big(2_000)).await.unwrap();
}

async fn keys_of_customers_from_before_are_made_from_where_it_stopped(world: World) {
    let store = world.open().await;
    let mut ids = Vec::new();
    for number in ["1", "2", "3"] {
        let id = customer(&store, number).await;
        store.commit(puts(vec![update("customer", id, vec![set("phone", "0170 1234567")])])).await.unwrap();
        ids.push(id);
    }
    store.close().await.unwrap();
    let mark = format!("update meta set value = '{}' where key = 'match_keys'", ids[1]);
    world.tamper(&format!("delete from match_key; {mark}")).await;
    let store = world.open().await;
    let kept = store.match_keys(&KeyPlace::First, 10).await.unwrap();
    assert_eq!(kept.iter().map(|(_, id)| *id).collect::<Vec<_>>(), ids[2..]);
    assert!(store.match_keys_filled().await.unwrap());
    let (looked_at, last, wrong) = store.prove_match_keys((None, 2, Timestamp::EPOCH)).await.unwrap();
    assert_eq!((looked_at, last, wrong), (2, Some(ids[1]), ids[..2].to_vec()));
}

async fn keys_that_an_older_program_made_are_made_anew(world: World) {
    let store = world.open().await;
    let id = customer(&store, "1").await;
    store.commit(puts(vec![update("customer", id, vec![set("phone", "0170 1234567")])])).await.unwrap();
    let right = store.match_keys(&KeyPlace::First, 10).await.unwrap();
    store.close().await.unwrap();
    world
        .tamper("update match_key set key = key || ' '; update meta set value = '13' where key = 'schema_version'")
        .await;
    let store = world.open().await;
    assert_eq!(store.match_keys(&KeyPlace::First, 10).await.unwrap(), right);
    assert!(!right.is_empty() && store.match_keys_filled().await.unwrap());
}

async fn a_change_of_other_fields_writes_no_keys(world: World) {
    let store = world.open().await;
    let ada = customer(&store, "1").await;
    let rows = async |field: &str, value: &str| {
        let before = store.stats().rows;
        store.commit(puts(vec![update("customer", ada, vec![set(field, value)])])).await.unwrap();
        store.stats().rows - before
    };
    let plain = rows("city", "Ulm").await;
    assert_eq!(rows("phone", "0170 1234567").await, plain + 1);
    assert_eq!(rows("phone", "+49 170 1234567").await, plain, "it is the same number");
    assert_eq!(rows("phone", "0171 1234567").await, plain + 2);
    assert_eq!(rows("phone", "110").await, plain + 1);
}
