//! The points program as members and operators meet it: many at once, taken back, proved, and looked at by somebody else.

use serde_json::{Value, json};

use crate::actions::call;
use crate::harness::{Database, TestApp, eventually, on_both};
use crate::routes::{KEY, NOON, signed};
use crate::waiting::{clock, completed, later, waiting};

on_both!(
    fifty_who_redeem_the_last_block_at_once_redeem_it_once,
    an_earning_is_taken_back_by_entries_of_its_own,
    a_day_is_taken_back_newest_first,
    a_proof_finds_an_account_that_was_tampered_with,
    a_large_adjustment_needs_the_word_of_somebody_else,
    what_expires_at_once_with_many_members_is_shared_out,
    a_spending_of_too_many_lots_is_refused_as_a_whole,
    a_partner_reports_what_a_member_earned,
);

const ADA: &str = "customer_no:a";

async fn program(database: Database) -> TestApp {
    let app = TestApp::on(database).loyalty_plugin("redeem_block = 100\nadjust_limit = 1000").start().await;
    app.customer("a").await;
    app
}

/// Pays an order; gives the run that booked it.
async fn pays(app: &TestApp, order: &str, amount: &str) -> String {
    let data = json!({ "order": order, "amount": amount });
    let paid = json!({ "source": "till", "id": order, "type": "order.paid", "subject": "customer/customer_no:a", "data": data });
    app.post("/v1/events", paid).await.expect(202);
    app.run_until_idle().await;
    let runs = app.runs("automation=loyalty").await;
    let newest = runs.iter().max_by_key(|run| run["id"].as_str().map(ToOwned::to_owned)).unwrap();
    newest["id"].as_str().unwrap().to_owned()
}

async fn redeem(app: &TestApp, points: i64, key: &str) -> Value {
    let input = json!({ "customer": ADA, "points": points, "key": key });
    call(app, "loyalty.redeem", input).await.expect(200).json()["result"].clone()
}

async fn account(app: &TestApp) -> Value {
    let all = app.all("loyalty_account").await;
    assert_eq!(all.len(), 1);
    all[0].clone()
}

async fn proof(app: &TestApp) -> Value {
    call(app, "loyalty.verify", json!({})).await.expect(200).json()
}

async fn undone(app: &TestApp, run: &str) -> Value {
    let undo = app.post(&format!("/v1/runs/{run}/undo"), json!({})).await.expect(200).json();
    assert_eq!(undo["runs"][0]["status"], "completed", "{undo:#}");
    undo
}

async fn fifty_who_redeem_the_last_block_at_once_redeem_it_once(database: Database) {
    let app = program(database).await;
    pays(&app, "1", "199").await;
    let all = (0..50).map(|n| {
        let client = (*app).clone();
        let input = json!({ "customer": ADA, "points": 100, "key": format!("k{n}") });
        tokio::spawn(async move { call(&client, "loyalty.redeem", input).await.expect(200).json()["result"].clone() })
    });
    let mut results = Vec::new();
    for one in all.collect::<Vec<_>>() {
        results.push(one.await.unwrap());
    }
    assert_eq!(results.iter().filter(|result| **result == "ok").count(), 1, "{results:?}");
    assert_eq!(results.iter().filter(|result| **result == "rejected_balance").count(), 49, "{results:?}");
    let account = account(&app).await;
    assert_eq!((&account["available"], &account["redeemed"]), (&json!(99), &json!(100)));
    let proof = proof(&app).await;
    assert_eq!((&proof["result"], &proof["entries"]), (&json!("ok"), &json!(2)), "{proof}");
}

async fn an_earning_is_taken_back_by_entries_of_its_own(database: Database) {
    let app = program(database).await;
    let first = pays(&app, "1", "150").await;
    pays(&app, "2", "30").await;
    assert_eq!(redeem(&app, 100, "k").await, "ok");
    let foretold = app.post(&format!("/v1/runs/{first}/undo"), json!({ "dry_run": true })).await.expect(200).json();
    assert!(foretold["done"].as_i64() > Some(0), "{foretold:#}");
    undone(&app, &first).await;
    // 150 of 180 points are taken back, 100 of them are spent: 80 are there, 70 are owed.
    let after = account(&app).await;
    assert_eq!((&after["available"], &after["debt"], &after["balance"]), (&json!(0), &json!(70), &json!(-70)));
    assert_eq!(proof(&app).await["result"], "ok");
    let told = call(&app, "loyalty.statement", json!({ "customer": ADA })).await.expect(200).json();
    let kinds: Vec<&Value> = told["entries"].as_array().unwrap().iter().map(|entry| &entry["kind"]).collect();
    assert_eq!(kinds.len() as u64, proof(&app).await["entries"].as_u64().unwrap());
    assert!(kinds.ends_with(&[&json!("redeem"), &json!("earn"), &json!("earn")]), "nothing is rewritten: {kinds:?}");
}

async fn a_day_is_taken_back_newest_first(database: Database) {
    let app = program(database).await;
    pays(&app, "1", "150").await;
    pays(&app, "2", "75").await;
    assert_eq!(redeem(&app, 200, "k").await, "ok");
    let back = json!({ "customer": ADA, "redeem": "k" });
    assert_eq!(call(&app, "loyalty.cancel_redeem", back).await.expect(200).json()["result"], "ok");
    assert_eq!(redeem(&app, 100, "l").await, "ok");
    let body = json!({ "automation": "loyalty", "since": "1970-01-01T00:00:00Z" });
    let job = app.post("/v1/undos", body).await.expect(202).json();
    let path = format!("/v1/undos/{}", job["id"].as_str().unwrap());
    let ended = || async {
        let job = app.get(&path).await.expect(200).json();
        (job["state"] != "running").then_some(job)
    };
    let job = eventually("the end", ended).await;
    assert_eq!((&job["state"], &job["runs"]["done"]), (&json!("done"), &json!(5)), "{job}");
    let after = account(&app).await;
    assert_eq!((&after["available"], &after["debt"], &after["pending"]), (&json!(0), &json!(0), &json!(0)), "{after}");
    let proof = proof(&app).await;
    assert_eq!((&proof["result"], &proof["found"]), (&json!("ok"), &json!(0)), "{proof}");
}

async fn a_proof_finds_an_account_that_was_tampered_with(database: Database) {
    let app = program(database).await;
    pays(&app, "1", "150").await;
    assert_eq!(proof(&app).await["result"], "ok");
    let path = format!("/v1/records/loyalty_account/{}", account(&app).await["id"].as_str().unwrap());
    app.patch(&path, json!({ "available": 151 })).await.expect(200);
    let proof = proof(&app).await;
    assert_eq!(proof["result"], "differs");
    let fields: Vec<&Value> = proof["differences"].as_array().unwrap().iter().map(|d| &d["field"]).collect();
    assert!(fields.contains(&&json!("available")) && fields.contains(&&json!("available lots")), "{proof}");
}

async fn a_large_adjustment_needs_the_word_of_somebody_else(database: Database) {
    let app = program(database).await;
    let input = json!({ "customer": ADA, "points": 5000, "reason": "lost card" });
    let key = json!({ "name": "second", "scopes": ["read", "write"], "roles": ["owner"] });
    let second = app.with_key(app.post("/v1/keys", key).await.expect(201).json()["secret"].as_str().unwrap());
    let answer = json!({ "state": "done", "choice": "approve" });
    for (asked, who) in [(1, &*app), (2, &second)] {
        let told = call(&app, "loyalty.adjust", input.clone()).await.expect(200).json();
        assert_eq!(told, json!({ "result": "needs_approval" }));
        waiting(&app, 1).await;
        let tasks = app.all("task").await;
        assert_eq!(tasks.len(), asked);
        let open = tasks.iter().find(|task| task["state"] == "open").unwrap();
        let path = format!("/v1/records/task/{}", open["id"].as_str().unwrap());
        who.patch(&path, answer.clone()).await.expect(200);
        completed(&app, 2 * asked).await;
        // Who asked is not believed.
        assert_eq!(app.all("loyalty_account").await.len(), asked - 1);
    }
    let account = account(&app).await;
    assert_eq!((&account["available"], &account["earned"]), (&json!(5000), &json!(5000)));
    assert_eq!(proof(&app).await["result"], "ok");
}

/// Customers `0`, `1`, … with an order of 5 each.
async fn members(app: &TestApp, count: usize) {
    let customers = (0..count).map(|n| json!({ "fields": { "customer_no": n.to_string() } }));
    for customer in customers {
        app.post("/v1/records/customer", customer["fields"].clone()).await.expect(201);
    }
    let paid = |n: usize| {
        let (subject, data) = (format!("customer/customer_no:{n}"), json!({ "order": "1", "amount": "5" }));
        json!({ "source": "till", "id": format!("paid-{n}"), "type": "order.paid", "subject": subject, "data": data })
    };
    let paid: Vec<String> = (0..count).map(|n| paid(n).to_string()).collect();
    app.ndjson("/v1/events", &paid).await.expect(202);
}

async fn what_expires_at_once_with_many_members_is_shared_out(database: Database) {
    let clock = clock();
    let settings = "expiry = { kind = \"days\", n = 1 }\nwarn_days = 0";
    let app = TestApp::on(database).loyalty_plugin(settings).clock(clock.clone()).start().await;
    members(&app, 70).await;
    app.settle().await;
    later(&clock, "3 days");
    app.settle().await;
    let owed = call(&app, "loyalty.liability", json!({})).await.expect(200).json();
    assert_eq!(
        (&owed["members"], &owed["outstanding"], &owed["unsettled"]),
        (&json!(70), &json!(0), &json!(0)),
        "{owed}"
    );
    let shared = app.runs("automation=loyalty&status=completed").await;
    let at_once = shared.iter().filter(|run| run["depth"] == 1).count();
    assert!(at_once >= 4, "settled by runs of their own: {at_once}");
    assert_eq!(proof(&app).await["result"], "ok");
}

async fn a_spending_of_too_many_lots_is_refused_as_a_whole(database: Database) {
    let app = TestApp::on(database).loyalty_plugin("redeem_block = 1").start().await;
    app.customer("a").await;
    let paid = |n: usize| {
        let data = json!({ "order": n.to_string(), "amount": "1" });
        json!({ "source": "till", "id": n.to_string(), "type": "order.paid", "subject": "customer/customer_no:a", "data": data })
    };
    let paid: Vec<String> = (0..450).map(|n| paid(n).to_string()).collect();
    app.ndjson("/v1/events", &paid).await.expect(202);
    app.run_until_idle().await;
    let input = json!({ "customer": ADA, "points": 450, "key": "all" });
    let refused = call(&app, "loyalty.redeem", input).await;
    assert!(refused.text().contains("take fewer at a time"), "{}", refused.text());
    app.expect_dead(1);
    assert_eq!(account(&app).await["available"], 450);
    assert_eq!(redeem(&app, 200, "some").await, "ok");
    assert_eq!(account(&app).await["available"], 250);
}

async fn a_partner_reports_what_a_member_earned(database: Database) {
    let app = TestApp::on(database)
        .secret("partner-key", KEY)
        .loyalty_plugin("redeem_block = 100")
        .clock(clock())
        .start()
        .await;
    app.customer("a").await;
    let partner = app.without_key();
    let report = |message: &str, id: &str, points: i64| {
        let body = json!({ "id": id, "customer": ADA, "points": points });
        signed("/x/loyalty/partners/acme/earn", (KEY, message), NOON, &body)
    };
    let first = partner.send(report("m1", "r1", 120)).await.expect(200);
    assert_eq!(first.json(), json!({ "result": "ok", "available": 120 }));
    // The message again, the report again, and both at once by many.
    assert_eq!(partner.send(report("m1", "r1", 120)).await.expect(200).body, first.body);
    assert_eq!(partner.send(report("m2", "r1", 120)).await.expect(200).json()["result"], "duplicate_ignored");
    let many = (0..10).map(|n| {
        let (client, request) = (partner.clone(), report(&format!("n{n}"), "r2", 30));
        tokio::spawn(async move { client.send(request).await.expect(200).json()["result"].clone() })
    });
    let mut booked = 0;
    for one in many.collect::<Vec<_>>() {
        booked += usize::from(one.await.unwrap() == "ok");
    }
    assert_eq!((booked, &account(&app).await["available"]), (1, &json!(150)));
    partner
        .post("/x/loyalty/partners/acme/earn", json!({ "id": "r4", "customer": ADA, "points": 5 }))
        .await
        .expect(401);
    assert_eq!(account(&app).await["available"], 150);
    // The program takes a report back as it takes back all that it booked.
    let undo = undone(&app, first.header("rapport-run").unwrap()).await;
    assert_eq!((&undo["runs"][0]["status"], &account(&app).await["available"]), (&json!("completed"), &json!(30)));
    assert_eq!(proof(&app).await["found"], 0);
}
