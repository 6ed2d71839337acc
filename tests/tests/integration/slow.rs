//! What takes long: the server killed at random under load, again and again. `RAPPORT_SLOW=1` makes it many rounds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{Client, Request};
use crate::customer360::{grow, slowest};
use crate::harness::{Database, copy_plugin, eventually, on_both, order_paid};
use crate::process::ServerProcess;

on_both!(
    killed_at_random_under_load_nothing_is_lost_or_doubled,
    killed_at_random_while_points_are_earned_and_spent_the_books_agree,
    a_customer_with_50_000_events_has_its_first_page_at_once,
);

/// Once everything is looked up and before; a debug build on a shared machine, so with room.
async fn a_customer_with_50_000_events_has_its_first_page_at_once(database: Database) {
    let app = crate::harness::TestApp::start(database).await;
    app.customer("a").await;
    grow(&app, 50_000).await;
    let (first, worst) = (slowest(&app, 1).await, slowest(&app, 80).await);
    eprintln!("the first page of a customer with 50,000 events: {first} ms at first, then {worst} ms at worst");
    assert!(first < 2_000 && worst < 1_000, "{first} ms, {worst} ms");
}

pub(crate) const CUSTOMERS: u64 = 20;
const POSTERS: usize = 8;

/// The rule of the script below, by which the points are held against the log.
pub(crate) const SCRIPT: &str = r#"//! Points for paid orders.
on("order.paid");
uses("customer.points:write", "emit:points.given");
field("customer", "points", "integer", #{ default: 0 });
event_type("points.given", #{ points: "integer", order_no: "text" });
fn run(event) {
    let points = floor(event.data.amount) * if event.data.amount > 100 { 2 } else { 1 };
    increment(event.record, "points", points);
    emit("points.given", event.record, #{ points: points, order_no: event.data.order_no });
}
"#;

fn rounds() -> u64 {
    if std::env::var("RAPPORT_SLOW").is_ok_and(|v| v == "1") { 12 } else { 2 }
}

/// A small generator, seeded by the round, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

pub(crate) fn amount(n: u64) -> u64 {
    1 + n * 7_919 % 200
}

const fn points(amount: u64) -> u64 {
    if amount > 100 { 2 * amount } else { amount }
}

/// Posts events, one after the other, until the server is gone; returns the ids that were acknowledged.
async fn post_until_gone(client: Client, poster: usize, round: u64, gone: Arc<AtomicBool>) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for n in 0.. {
        let id = format!("{round}-{poster}-{n}");
        let number = round * 1_000_003 + poster as u64 * 10_007 + n;
        let event = order_paid(&id, &(number % CUSTOMERS).to_string(), &amount(number).to_string());
        let reply = client.try_send(Request::new("POST", "/v1/events").json(&event)).await;
        match reply {
            Some(reply) if reply.status == 202 => acknowledged.push(id),
            Some(reply) => {
                assert!(gone.load(Ordering::SeqCst) || reply.status == 503, "{} {}", reply.status, reply.text());
            }
            None => assert!(gone.load(Ordering::SeqCst), "the server went away by itself"),
        }
        if gone.load(Ordering::SeqCst) {
            break;
        }
    }
    acknowledged
}

async fn killed_at_random_under_load_nothing_is_lost_or_doubled(database: Database) {
    let folder = tempfile::tempdir().unwrap();
    let (data, scripts, url) = (folder.path().join("data"), folder.path().join("scripts"), database.url());
    std::fs::create_dir(&scripts).unwrap();
    std::fs::write(scripts.join("points.rhai"), SCRIPT).unwrap();
    let more = ["--scripts", scripts.to_str().unwrap()];
    let mut acknowledged = Vec::new();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..rounds() {
        let server = ServerProcess::start(&data, url.as_deref(), &more).await;
        if round == 0 {
            let lines: Vec<String> =
                (0..CUSTOMERS).map(|c| json!({ "customer_no": c.to_string() }).to_string()).collect();
            server.client.ndjson("/v1/records/customer/bulk?key=customer_no", &lines).await.expect(200);
        }
        let gone = Arc::new(AtomicBool::new(false));
        let mut posters = tokio::task::JoinSet::new();
        for poster in 0..POSTERS {
            posters.spawn(post_until_gone(server.client.clone(), poster, round, Arc::clone(&gone)));
        }
        // The instant of the kill is what is tried here: no state can be waited for.
        tokio::time::sleep(Duration::from_millis(200 + random.below(1_500))).await;
        gone.store(true, Ordering::SeqCst);
        server.kill();
        acknowledged.extend(posters.join_all().await.into_iter().flatten());
    }
    assert!(acknowledged.len() > 50, "there was no load: {}", acknowledged.len());
    let server = ServerProcess::start(&data, url.as_deref(), &more).await;
    check(&server.client, &acknowledged).await;
    assert_eq!(server.stop().await, 0);
}

/// Earns, takes back and spends points of one member, one thing after the other, until the server is gone. A call that was not answered
/// is made once more with the same key by whoever asks again; returns the keys of the spendings.
async fn spend_until_gone(client: Client, (member, round): (u64, u64), gone: Arc<AtomicBool>) -> Vec<String> {
    let mut keys = Vec::new();
    for n in 0.. {
        let order = format!("{round}-{member}-{n}");
        let subject = format!("customer/customer_no:{member}");
        let event = |kind: &str, amount: u64| {
            json!({ "source": "till", "id": format!("{kind}-{order}"), "type": kind, "subject": subject,
                "data": { "order": order, "amount": amount.to_string() } })
        };
        let key = format!("k-{order}");
        let spending = json!({ "customer": format!("customer_no:{member}"), "points": 100, "key": key });
        keys.push(key);
        let mut all = vec![("/v1/events", event("order.paid", 50 + n * 13 % 200))];
        if n % 3 == 0 {
            all.push(("/v1/events", event("order.refunded", 20)));
        }
        all.push(("/v1/actions/loyalty.redeem", spending));
        for (path, body) in all {
            let reply = client.try_send(Request::new("POST", path).json(&body)).await;
            let fine = reply.is_some_and(|reply| matches!(reply.status, 200 | 202 | 503));
            assert!(fine || gone.load(Ordering::SeqCst), "the server went away by itself, or refused");
        }
        if gone.load(Ordering::SeqCst) {
            break;
        }
    }
    keys
}

async fn killed_at_random_while_points_are_earned_and_spent_the_books_agree(database: Database) {
    let folder = tempfile::tempdir().unwrap();
    let (data, plugins, url) = (folder.path().join("data"), folder.path().join("plugins"), database.url());
    std::fs::create_dir_all(plugins.join("loyalty")).unwrap();
    copy_plugin("loyalty", &plugins.join("loyalty"));
    let manifest = plugins.join("loyalty/plugin.toml");
    let text = std::fs::read_to_string(&manifest).unwrap().replace("redeem_block = 1000", "redeem_block = 100");
    std::fs::write(&manifest, text).unwrap();
    let more = ["--plugins", plugins.to_str().unwrap()];
    let mut keys = Vec::new();
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for round in 0..rounds() {
        let server = ServerProcess::start(&data, url.as_deref(), &more).await;
        if round == 0 {
            let lines: Vec<String> =
                (0..POSTERS).map(|c| json!({ "customer_no": c.to_string() }).to_string()).collect();
            server.client.ndjson("/v1/records/customer/bulk?key=customer_no", &lines).await.expect(200);
        }
        let gone = Arc::new(AtomicBool::new(false));
        let mut members = tokio::task::JoinSet::new();
        for member in 0..POSTERS as u64 {
            members.spawn(spend_until_gone(server.client.clone(), (member, round), Arc::clone(&gone)));
        }
        tokio::time::sleep(Duration::from_millis(500 + random.below(1_500))).await;
        gone.store(true, Ordering::SeqCst);
        server.kill();
        keys.extend(members.join_all().await.into_iter().flatten());
    }
    let server = ServerProcess::start(&data, url.as_deref(), &more).await;
    idle(&server.client).await;
    // Whoever got no answer asks again: what was done is not done twice.
    for key in keys.iter().rev().take(20) {
        let member = key.split('-').nth(2).unwrap();
        let spending = json!({ "customer": format!("customer_no:{member}"), "points": 100, "key": key });
        server.client.post("/v1/actions/loyalty.redeem", spending).await.expect(200);
    }
    let proof = server.client.post("/v1/actions/loyalty.verify", json!({})).await.expect(200).json();
    assert_eq!(proof["result"], "ok", "{proof}");
    assert!(proof["entries"].as_u64().unwrap() > 50, "there was no load: {proof}");
    let spent = server.client.get("/v1/records/loyalty_redemption?limit=1000").await.expect(200).items();
    let mut seen: Vec<&str> = spent.iter().map(|redemption| redemption["key"].as_str().unwrap()).collect();
    seen.sort_unstable();
    assert!(!seen.is_empty() && seen.windows(2).all(|w| w[0] != w[1]), "no key is spent twice");
    assert!(server.client.get("/v1/runs?status=dead&limit=1").await.items().is_empty());
    assert_eq!(server.stop().await, 0);
}

async fn idle(client: &Client) {
    let idle = || async {
        let open = ["pending", "retrying"].map(|status| client.get_owned(format!("/v1/runs?status={status}&limit=1")));
        let [pending, retrying] = open;
        (pending.await.items().is_empty() && retrying.await.items().is_empty()).then_some(())
    };
    eventually("every run to end", idle).await;
}

/// Waits for the end of every run and holds the whole workspace against its log: each event once, points as the log has them.
pub(crate) async fn check(client: &Client, acknowledged: &[String]) {
    idle(client).await;
    let log = log(client).await;
    let positions: Vec<i64> = log.iter().map(|e| e["position"].as_i64().unwrap()).collect();
    assert!(positions.windows(2).all(|w| w[1] > w[0]), "the log is in order");
    let paid: Vec<&Value> = log.iter().filter(|e| e["type"] == "order.paid").collect();
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for event in &paid {
        *times.entry(event["id"].as_str().unwrap()).or_default() += 1;
    }
    assert!(times.values().all(|n| *n == 1), "no event is there twice");
    for id in acknowledged {
        assert!(times.contains_key(id.as_str()), "acknowledged and lost: {id}");
    }
    let given = log.iter().filter(|e| e["type"] == "points.given").count();
    assert_eq!(given, paid.len(), "each event ran once");
    let mut want: BTreeMap<&str, u64> = BTreeMap::new();
    for event in &paid {
        let amount = event["data"]["amount"].as_str().unwrap();
        let amount: u64 = amount.split('.').next().unwrap().parse().unwrap();
        *want.entry(event["subject"].as_str().unwrap()).or_default() += points(amount);
    }
    for customer in client.get("/v1/records/customer?limit=1000").await.expect(200).items() {
        let subject = format!("customer/{}", customer["id"].as_str().unwrap());
        let points = want.get(subject.as_str()).copied().unwrap_or(0);
        assert_eq!(customer["points"].as_u64().unwrap(), points, "{subject}");
    }
    let report = client.get("/v1/audit/verify").await.expect(200).json();
    assert!(report["first_bad"].is_null(), "{report}");
    // The chain has no gaps; what it counts beyond ours are the changes of keys and users, which records do not show.
    assert_eq!(report["events"], report["head_position"]);
    assert!(report["events"].as_u64().unwrap() >= log.len() as u64, "{report}");
}

async fn log(client: &Client) -> Vec<Value> {
    let mut found: Vec<Value> = Vec::new();
    loop {
        let after = found.last().map_or(0, |e| e["position"].as_i64().unwrap());
        let page = client.get(&format!("/v1/events?after={after}&limit=1000")).await.expect(200).items();
        if page.is_empty() {
            return found;
        }
        found.extend(page);
    }
}
