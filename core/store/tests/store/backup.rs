use std::path::Path;

use rapport_model::RunStatus;
use rapport_store::{Database, Store, StoreError};

use crate::schema::circle;
use crate::world::*;

on_both!(
    a_backup_taken_under_load_restores_whole,
    a_backup_refuses_a_folder_in_use,
    a_restore_refuses_a_database_in_use,
    a_damaged_backup_is_refused_and_leaves_nothing,
    a_backup_of_a_newer_program_is_refused,
    a_backup_of_an_older_program_is_restored_and_brought_up,
);

/// An empty place of the same kind.
fn empty(world: &World) -> World {
    match world.database {
        Database::Sqlite { .. } => World::sqlite(),
        Database::Postgres { .. } => World::postgres(),
    }
}

async fn a_backup_taken_under_load_restores_whole(world: World) {
    let store = world.open().await;
    store.set_hooks(Listener::to("order.paid"));
    let (shop, clerk) = circle(&store).await;
    let ada = customer(&store, "a\tb\\c\n'd'").await;
    let mut first = unit();
    first.events = vec![paid("\t1\\", Some(ada))];
    store.commit(first).await.unwrap();
    let writer = {
        let store = store.clone();
        tokio::spawn(async move {
            for i in 0..300 {
                let change = update("customer", ada, vec![set("city", i.to_string().as_str())]);
                store.commit(puts(vec![change])).await.unwrap();
            }
        })
    };
    let folder = world.folder.path().join("backup");
    let report = store.backup(&folder).await.unwrap();
    writer.await.unwrap();
    let target = empty(&world);
    let restored = Store::restore(&folder, &target.database).await.unwrap();
    assert_eq!(restored, report);
    let copy = target.open().await;
    assert_eq!((copy.head(), copy.workspace()), (report.head_position, store.workspace()));
    // Runs that wait draw what they would have drawn.
    assert_eq!(copy.secret(), store.secret());
    let found = record(&copy, "customer", ada).await.unwrap();
    let events =
        copy.events(&rapport_store::EventQuery { subject: Some(ada), limit: 1_000, ..Default::default() }).await;
    // The snapshot is of one moment: the record is what its last event says.
    assert_eq!(found.version, i64::try_from(events.unwrap().len()).unwrap() - 1);
    assert_eq!(record(&copy, "shop", shop).await, record(&store, "shop", shop).await);
    assert_eq!(copy.run_counts()[0].status, RunStatus::Pending);
    assert_eq!(copy.open_runs(None, 10).await.unwrap(), store.open_runs(None, 10).await.unwrap());
    // It works on: constraints are there too.
    customer(&copy, "new").await;
    assert!(matches!(copy.commit(puts(vec![delete("clerk", clerk)])).await, Err(StoreError::Referenced { .. })));
    assert!(copy.verify(0, &|_| {}).await.unwrap().first_bad.is_none());
}

async fn a_backup_refuses_a_folder_in_use(world: World) {
    let store = world.open().await;
    let folder = world.folder.path().join("backup");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("note"), "mine").unwrap();
    assert!(matches!(store.backup(&folder).await, Err(StoreError::File { .. })));
    assert_eq!(std::fs::read(folder.join("note")).unwrap(), b"mine");
}

async fn backed_up(world: &World) -> std::path::PathBuf {
    let store = world.open().await;
    customer(&store, "1").await;
    let folder = world.folder.path().join("backup");
    store.backup(&folder).await.unwrap();
    store.close().await.unwrap();
    folder
}

async fn a_restore_refuses_a_database_in_use(world: World) {
    let folder = backed_up(&world).await;
    assert!(matches!(Store::restore(&folder, &world.database).await, Err(StoreError::Invalid(_))));
    let store = world.open().await;
    assert!(matches!(
        Store::restore(&folder, &world.database).await,
        Err(StoreError::Locked { .. } | StoreError::Invalid(_))
    ));
    customer(&store, "2").await;
}

fn replace(path: &Path, from: &str, to: &str) {
    let bytes = std::fs::read(path).unwrap();
    let place = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
    let mut changed = bytes;
    changed.splice(place..place + from.len(), to.bytes());
    std::fs::write(path, changed).unwrap();
}

async fn a_damaged_backup_is_refused_and_leaves_nothing(world: World) {
    let folder = backed_up(&world).await;
    let target = empty(&world);
    let log = match &world.database {
        Database::Sqlite { .. } => folder.join("rapport.db"),
        Database::Postgres { .. } => folder.join("event.copy"),
    };
    replace(&log, "\"customer_no\":\"1\"", "\"customer_no\":\"2\"");
    let refused = Store::restore(&folder, &target.database).await;
    assert!(matches!(refused, Err(StoreError::Corrupt { .. })), "{refused:?}");
    replace(&log, "\"customer_no\":\"2\"", "\"customer_no\":\"1\"");
    // The same place is as empty as it was.
    Store::restore(&folder, &target.database).await.unwrap();
}

async fn a_backup_of_a_newer_program_is_refused(world: World) {
    let folder = backed_up(&world).await;
    let version = Store::schema_version();
    let manifest = std::fs::read_to_string(folder.join("manifest.json")).unwrap();
    let newer = manifest.replace(&format!("\"schema_version\": {version}"), "\"schema_version\": 9999");
    std::fs::write(folder.join("manifest.json"), newer).unwrap();
    let refused = Store::restore(&folder, &empty(&world).database).await;
    assert!(matches!(refused, Err(StoreError::Newer { found: 9_999, .. })), "{refused:?}");
}

/// The tables of a backup that schema version 2 does not have.
const NEWER_THAN_2: [&str; 9] = [
    "awaited",
    "blob",
    "effect",
    "match_key",
    "record_tag",
    "search_fill",
    "search_term",
    "segment_progress",
    "segment_stay",
];
/// What takes a database back to schema version 2.
const TO_VERSION_2: &str = "drop table match_key; drop table segment_stay; drop table segment_progress; drop table record_tag; drop table search_term; drop table search_fill; drop table blob; drop table named_lock; drop table awaited; drop table effect; \
    drop index run_held; drop index run_paused; drop index run_cancelled; drop index run_skipped; \
    drop index run_waiting_place; drop index run_retrying_place; drop index journal_kept; alter table journal drop column kept_until; \
    alter table run drop column wake_index; update meta set value = '2' where key = 'schema_version';";
const WAIT_SQLITE: &str = "create table wait (run blob not null constraint wait_pk primary key, type text not null, \
    field text not null, value text not null, after integer not null) strict, without rowid";

async fn a_backup_of_an_older_program_is_restored_and_brought_up(world: World) {
    let folder = backed_up(&world).await;
    let manifest = std::fs::read_to_string(folder.join("manifest.json")).unwrap();
    let version = Store::schema_version();
    let mut older: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    older["schema_version"] = 2.into();
    let rows = older["rows"].as_object_mut().unwrap();
    for table in NEWER_THAN_2 {
        assert_eq!(rows.remove(table), Some(0.into()), "{table}");
    }
    rows.insert("wait".to_owned(), 0.into());
    let older = older.to_string();
    std::fs::write(folder.join("manifest.json"), older).unwrap();
    match &world.database {
        Database::Sqlite { .. } => {
            let copy = World { database: Database::Sqlite { path: folder.join("rapport.db") }, ..empty(&world) };
            copy.tamper(&format!("{TO_VERSION_2} {WAIT_SQLITE}")).await;
        }
        Database::Postgres { .. } => {
            for table in NEWER_THAN_2 {
                std::fs::remove_file(folder.join(format!("{table}.copy"))).unwrap();
            }
            std::fs::write(folder.join("wait.copy"), "").unwrap();
            replace(&folder.join("meta.copy"), &format!("schema_version\t{version}"), "schema_version\t2");
        }
    }
    let target = empty(&world);
    let report = Store::restore(&folder, &target.database).await.unwrap();
    assert_eq!(report.schema_version, 2);
    let store = target.open().await;
    customer(&store, "2").await;
    assert!(store.verify(0, &|_| {}).await.unwrap().first_bad.is_none());
    // What it is now can be backed up and restored as well.
    let again = world.folder.path().join("again");
    assert_eq!(store.backup(&again).await.unwrap().schema_version, version);
    Store::restore(&again, &empty(&world).database).await.unwrap();
}
