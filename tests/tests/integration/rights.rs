//! Keys and people: who may do what, on every path; and that a refusal changes nothing.

use serde_json::{Value, json};

use crate::client::{Client, Request};
use crate::harness::{Database, TestApp, on_both, order_paid};

on_both!(
    nothing_is_told_without_a_key,
    a_key_does_what_its_scopes_say,
    a_key_sees_only_its_objects,
    a_revoked_key_works_no_more,
    an_expired_key_works_no_more,
    the_secret_is_shown_once_and_kept_nowhere,
    a_key_cannot_make_a_stronger_one,
    the_owner_key_is_for_its_owner_alone,
    users_have_roles_and_their_keys_follow,
);

async fn key(app: &TestApp, body: Value) -> Client {
    let made = app.post("/v1/keys", body).await.expect(201).json();
    app.with_key(made["secret"].as_str().unwrap())
}

/// Every address that needs a key, with a request that would succeed with the owner's.
fn requests() -> Vec<Request> {
    let json = |method: &str, path: &str, body: Value| Request::new(method, path).json(&body);
    vec![
        Request::new("GET", "/v1/objects"),
        json("POST", "/v1/objects", json!({ "name": "thing", "fields": [] })),
        json("POST", "/v1/objects/customer/fields", json!({ "name": "x", "type": "text" })),
        json("POST", "/v1/event-types", json!({ "name": "a.b", "fields": [] })),
        Request::new("GET", "/v1/records/customer"),
        json("POST", "/v1/records/customer", json!({ "customer_no": "9" })),
        Request::new("GET", "/v1/records/customer/customer_no:1"),
        json("PUT", "/v1/records/customer/customer_no:1", json!({ "name": "x" })),
        json("PATCH", "/v1/records/customer/customer_no:1", json!({ "name": "x" })),
        Request::new("GET", "/v1/records/customer/customer_no:1/history"),
        Request::new("POST", "/v1/records/customer/bulk?key=customer_no")
            .body("application/x-ndjson", "{\"customer_no\":\"9\"}"),
        json("POST", "/v1/events", order_paid("1", "1", "5")),
        Request::new("GET", "/v1/events"),
        Request::new("GET", "/v1/events/stream?after=0"),
        Request::new("GET", "/v1/automations"),
        Request::new("GET", "/v1/runs"),
        Request::new("GET", "/v1/keys"),
        json("POST", "/v1/keys", json!({ "name": "k", "scopes": ["read"] })),
        Request::new("GET", "/v1/users"),
        json("POST", "/v1/loads", json!({ "name": "l" })),
        Request::new("GET", "/v1/audit/verify"),
        Request::new("GET", "/metrics"),
        Request::new("DELETE", "/v1/records/customer/customer_no:1"),
    ]
}

async fn nothing_is_told_without_a_key(database: Database) {
    let app = TestApp::start(database).await;
    app.customer("1").await;
    let before = app.log().await.len();
    for request in requests() {
        for client in [app.without_key(), app.with_key("wrong"), app.with_key("")] {
            let reply = client.send(request.clone()).await;
            assert_eq!((reply.status, reply.code().as_str()), (401, "unauthenticated"), "{request:?}");
            assert!(!reply.text().contains("customer_no"), "{}", reply.text());
        }
    }
    assert_eq!(app.log().await.len(), before);
    for open in ["/healthz", "/readyz", "/openapi.json", "/docs"] {
        app.without_key().get(open).await.expect(200);
    }
}

async fn a_key_does_what_its_scopes_say(database: Database) {
    let app = TestApp::start(database).await;
    app.customer("1").await;
    let reader = key(&app, json!({ "name": "reader", "scopes": ["read"] })).await;
    let writer = key(&app, json!({ "name": "writer", "scopes": ["read", "write"] })).await;
    reader.get("/v1/records/customer/customer_no:1").await.expect(200);
    let before = app.log().await.len();
    for request in [
        Request::new("POST", "/v1/records/customer").json(&json!({ "customer_no": "2" })),
        Request::new("PATCH", "/v1/records/customer/customer_no:1").json(&json!({ "name": "x" })),
        Request::new("PATCH", "/v1/records/customer/customer_no:404").json(&json!({ "name": "x" })),
        Request::new("DELETE", "/v1/records/customer/customer_no:1"),
        Request::new("POST", "/v1/events").json(&order_paid("1", "1", "5")),
        Request::new("POST", "/v1/records/customer/bulk").body("application/x-ndjson", "{\"customer_no\":\"9\"}"),
    ] {
        assert_eq!(reader.send(request.clone()).await.expect(403).code(), "forbidden", "{request:?}");
    }
    writer.post("/v1/records/customer", json!({ "customer_no": "2" })).await.expect(201);
    for request in [
        Request::new("POST", "/v1/objects").json(&json!({ "name": "thing", "fields": [] })),
        Request::new("POST", "/v1/keys").json(&json!({ "name": "k", "scopes": ["read"] })),
        Request::new("GET", "/v1/keys"),
        Request::new("POST", "/v1/loads").json(&json!({ "name": "l" })),
    ] {
        assert_eq!(writer.send(request.clone()).await.expect(403).code(), "forbidden", "{request:?}");
    }
    assert_eq!(app.log().await.len(), before + 1);
}

async fn a_key_sees_only_its_objects(database: Database) {
    let app = TestApp::start(database).await;
    app.customer("1").await;
    app.post("/v1/records/company", json!({ "company_no": "c" })).await.expect(201);
    app.post("/v1/events", order_paid("1", "1", "5")).await.expect(202);
    let narrow = key(&app, json!({ "name": "narrow", "scopes": ["read", "write"], "objects": ["company"] })).await;
    narrow.get("/v1/records/company/company_no:c").await.expect(200);
    for path in
        ["/v1/records/customer", "/v1/records/customer/customer_no:1", "/v1/records/customer/customer_no:1/history"]
    {
        assert!([403, 404].contains(&narrow.get(path).await.status), "{path}");
    }
    let denied = narrow.post("/v1/records/order", json!({ "order_no": "1", "customer": { "customer_no": "1" } })).await;
    assert_eq!(denied.status, 403, "{}", denied.text());
    let sent = narrow.post("/v1/events", order_paid("2", "1", "5")).await;
    assert!([403, 422].contains(&sent.status), "an event about a hidden record: {}", sent.text());
    let seen = narrow.get("/v1/events?limit=1000").await;
    let leaked = ["\"customer.created\"", "\"order.paid\""].iter().any(|kind| seen.text().contains(kind));
    assert!(!leaked, "the log does not leak them: {}", seen.text());
    let objects = narrow.get("/v1/objects").await.expect(200).items();
    assert!(objects.iter().all(|o| o["name"] == "company"), "{objects:?}");
    let through = narrow.get("/v1/records/company?where=name%20in%20%5B'x'%5D&order=customer.email").await;
    assert_eq!(through.status / 100, 4, "{}", through.text());
}

async fn a_revoked_key_works_no_more(database: Database) {
    let app = TestApp::start(database).await;
    let doomed = key(&app, json!({ "name": "doomed", "scopes": ["read"] })).await;
    doomed.get("/v1/records/customer").await.expect(200);
    app.delete("/v1/keys/doomed").await.expect(204);
    doomed.get("/v1/records/customer").await.expect(401);
    let app = app.restart(|setup| setup).await;
    app.with_key(doomed.key.as_ref().unwrap()).get("/v1/records/customer").await.expect(401);
}

async fn an_expired_key_works_no_more(database: Database) {
    let app = TestApp::start(database).await;
    let old =
        app.post("/v1/keys", json!({ "name": "old", "scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z" })).await;
    if old.status == 201 {
        app.with_key(old.json()["secret"].as_str().unwrap()).get("/v1/records/customer").await.expect(401);
    } else {
        assert_eq!(old.status, 422, "{}", old.text());
    }
    let soon = rapport_model::Clock::now(&rapport_model::time::WallClock).plus_micros(300_000).to_string();
    let brief = key(&app, json!({ "name": "brief", "scopes": ["read"], "expires_at": soon })).await;
    let ended = || async { (brief.get("/v1/records/customer").await.status == 401).then_some(()) };
    crate::harness::eventually("the key to expire", ended).await;
}

async fn the_secret_is_shown_once_and_kept_nowhere(database: Database) {
    let app = TestApp::start(database).await;
    let made = key(&app, json!({ "name": "k", "scopes": ["read"] })).await;
    let secret = made.key.unwrap();
    assert!(secret.len() >= 32, "long enough not to be guessed");
    let listed = app.get("/v1/keys").await.expect(200).text();
    assert!(listed.contains("\"k\"") && !listed.contains(&secret) && !listed.contains("hash"), "{listed}");
    let log: String = app.log().await.iter().map(Value::to_string).collect();
    assert!(!log.contains(&secret), "not in the log");
}

async fn a_key_cannot_make_a_stronger_one(database: Database) {
    let app = TestApp::start(database).await;
    for body in [
        json!({ "name": "a", "scopes": ["everything"] }),
        json!({ "name": "b", "scopes": [] }),
        json!({ "name": "c", "scopes": ["read"], "objects": ["nothing"] }),
        json!({ "name": "", "scopes": ["read"] }),
    ] {
        let refused = app.post("/v1/keys", body.clone()).await;
        assert_eq!(refused.status, 422, "{body}: {}", refused.text());
    }
    key(&app, json!({ "name": "twice", "scopes": ["read"] })).await;
    app.post("/v1/keys", json!({ "name": "twice", "scopes": ["read"] })).await.expect(409);
}

async fn the_owner_key_is_for_its_owner_alone(database: Database) {
    use std::os::unix::fs::PermissionsExt as _;
    let app = TestApp::start(database).await;
    let file = app.folder.path().join("data/owner.key");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let first = std::fs::read_to_string(&file).unwrap();
    let app = app.restart(|setup| setup).await;
    assert_eq!(
        std::fs::read_to_string(app.folder.path().join("data/owner.key")).unwrap(),
        first,
        "one owner key, not one per start"
    );
}

async fn users_have_roles_and_their_keys_follow(database: Database) {
    let app = TestApp::start(database).await;
    let added = app.post("/v1/users", json!({ "name": "grace", "roles": ["viewer"] })).await;
    assert_eq!(added.status / 100, 2, "{}", added.text());
    let unknown = app.post("/v1/keys", json!({ "name": "ghost", "scopes": ["read"], "user": "nobody" })).await;
    assert_eq!(unknown.status / 100, 4, "{}", unknown.text());
    let viewer =
        key(&app, json!({ "name": "grace-laptop", "scopes": ["read", "write", "admin"], "user": "grace" })).await;
    viewer.get("/v1/records/customer").await.expect(200);
    assert_eq!(
        viewer.post("/v1/records/customer", json!({ "customer_no": "1" })).await.expect(403).code(),
        "forbidden"
    );
    let users = app.get("/v1/users").await.expect(200).text();
    assert!(users.contains("grace") && users.contains("viewer"), "{users}");
}
