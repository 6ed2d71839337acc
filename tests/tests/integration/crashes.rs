//! The server dies at each single step of a commit and of a slice. Started again, it holds all that was acknowledged, once.

use serde_json::json;

use crate::client::Request;
use crate::harness::{Database, on_both, order_paid};
use crate::process::ServerProcess;
use crate::slow::{CUSTOMERS, SCRIPT, amount, check};

on_both!(
    killed_when_a_group_was_taken,
    killed_when_a_group_was_decided,
    killed_when_a_group_was_durable,
    killed_when_a_group_was_published,
    killed_when_a_slice_was_taken,
    killed_when_a_slice_was_executed,
    killed_when_a_slice_was_committed,
);

async fn killed_when_a_group_was_taken(database: Database) {
    dies_at("commit.taken", database).await;
}

async fn killed_when_a_group_was_decided(database: Database) {
    dies_at("commit.decided", database).await;
}

async fn killed_when_a_group_was_durable(database: Database) {
    dies_at("commit.durable", database).await;
}

async fn killed_when_a_group_was_published(database: Database) {
    dies_at("commit.published", database).await;
}

async fn killed_when_a_slice_was_taken(database: Database) {
    dies_at("slice.taken", database).await;
}

async fn killed_when_a_slice_was_executed(database: Database) {
    dies_at("slice.executed", database).await;
}

async fn killed_when_a_slice_was_committed(database: Database) {
    dies_at("slice.committed", database).await;
}

/// Only SQLite's transactions have a moment between their rows and their end: on PostgreSQL a group is one statement.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_when_the_rows_were_written_but_not_committed() {
    dies_at("commit.written", Database::Sqlite).await;
}

/// Posts events until the server has died at `place`, as often as there are rounds; then everything is held against the log.
async fn dies_at(place: &str, database: Database) {
    const ROUNDS: u64 = 3;
    let folder = tempfile::tempdir().unwrap();
    let (data, scripts, url) = (folder.path().join("data"), folder.path().join("scripts"), database.url());
    std::fs::create_dir(&scripts).unwrap();
    std::fs::write(scripts.join("points.rhai"), SCRIPT).unwrap();
    let more = ["--scripts", scripts.to_str().unwrap()];
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        let now = folder.path().join(format!("now-{round}"));
        let environment = [("RAPPORT_CRASH_AT", place), ("RAPPORT_CRASH_IF", now.to_str().unwrap())];
        let server = ServerProcess::start_in(&environment, &data, url.as_deref(), &more).await;
        if round == 0 {
            let lines: Vec<String> =
                (0..CUSTOMERS).map(|c| json!({ "customer_no": c.to_string() }).to_string()).collect();
            server.client.ndjson("/v1/records/customer/bulk?key=customer_no", &lines).await.expect(200);
        }
        for n in 0..200 {
            // Some events are through before the blow, so that there is something to lose.
            if n == 10 + round {
                std::fs::write(&now, "").unwrap();
            }
            let id = format!("{round}-{n}");
            let number = round * 1_003 + n;
            let event = order_paid(&id, &(number % CUSTOMERS).to_string(), &amount(number).to_string());
            match server.client.try_send(Request::new("POST", "/v1/events").json(&event)).await {
                Some(reply) if reply.status == 202 => acknowledged.push(id),
                Some(reply) => panic!("{} {}", reply.status, reply.text()),
                None => break,
            }
        }
        assert!(server.died(), "nothing passed `{place}`");
    }
    assert!(acknowledged.len() >= 30, "{}", acknowledged.len());
    let server = ServerProcess::start(&data, url.as_deref(), &more).await;
    check(&server.client, &acknowledged).await;
    assert_eq!(server.stop().await, 0);
}
