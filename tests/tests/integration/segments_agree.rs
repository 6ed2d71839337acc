//! Three ways to the members of a segment agree: judged in memory event by event and instant by instant, asked in SQL as a whole, and
//! asked later as of then, through the log.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use rapport_model::time::SetClock;
use rapport_model::{Clock as _, Timestamp};
use serde_json::{Value, json};

use crate::harness::{Database, TestApp, event, on_both};
use crate::waiting::clock;

on_both!(all_ways_to_the_members_agree_with_each_other,);

const RULES: [(&str, &str); 16] = [
    ("near", "country in ['France', 'Germany']"),
    ("settled", "days_since(created_at) >= 2 && days_since(created_at) < 6"),
    ("grown", "birthday != null && days_since(birthday) >= 9000"),
    ("at-org", "email != null && email.endsWith('.org')"),
    ("buyers", "did('order.created', {within: '5 days', at_least: 2})"),
    ("big", "did('order.created', {where: 'amount > 50 && order_no != null'})"),
    ("idle", "did_not('order.created', {within: '3 days'})"),
    ("cancelled", "did('order.deleted', {where: 'amount > 20.5'})"),
    ("shoppers", "did('page.viewed', {within: '36 hours', where: 'url.startsWith(\\\"/shop\\\")'})"),
    ("near-but-idle", "in_segment('near') && !in_segment('buyers')"),
    ("guests-near", "in_segment('guests') && in_segment('near')"),
    ("french-firms", "company.country == 'France'"),
    ("movers", "did('customer.updated', {within: '2 days', where: 'before.country != after.country'})"),
    ("upset", "did('order.updated', {where: 'after.status == \\\"cancelled\\\" && before.status == \\\"open\\\"'})"),
    ("ordered-early", "did('order.created', {where: 'ordered_at < timestamp(\\\"2026-03-04T00:00:00.5Z\\\")'})"),
    ("not-at-all", "!(country == null) && !(email == null || days_since(created_at) > 4)"),
];

/// Random numbers that are the same each time.
struct Dice(u64);

impl Dice {
    fn up_to(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn one_of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[usize::try_from(self.up_to(all.len() as u64)).unwrap()]
    }
}

struct World {
    app: TestApp,
    clock: Arc<SetClock>,
    dice: Dice,
    customers: u64,
    orders: u64,
    events: u64,
}

impl World {
    async fn new(database: Database) -> Self {
        let mut source = String::from("//! Keeps many segments.\nsegment(\"guests\", #{ kind: \"manual\" });\n");
        for (name, rule) in RULES {
            writeln!(source, "segment(\"{name}\", \"{rule}\");").unwrap();
        }
        let clock = clock();
        let app = TestApp::on(database).clock(clock.clone()).script("segments/all", &source).start().await;
        for (number, country) in [("f", "France"), ("s", "Spain")] {
            let company = json!({ "company_no": number, "country": country });
            app.post("/v1/records/company", company).await.expect(201);
        }
        app.settle().await;
        Self { app, clock, dice: Dice(7), customers: 0, orders: 0, events: 0 }
    }

    fn customer(&mut self) -> String {
        format!("customer_no:{}", self.dice.up_to(self.customers.max(1)) + 1)
    }

    async fn step(&mut self) {
        match self.dice.up_to(12) {
            0 | 1 => self.add_customer().await,
            2 | 3 => self.change_customer().await,
            4 | 5 => self.add_order().await,
            6 => self.change_order().await,
            7 => self.view().await,
            8 => self.change_list().await,
            9 if self.dice.up_to(4) == 0 => {
                let path = format!("/v1/records/company/company_no:{}", self.dice.one_of(&["f", "s"]));
                let country = self.dice.one_of(&["France", "Spain"]);
                self.app.patch(&path, json!({ "country": country })).await.expect(200);
            }
            _ => {
                let hours = i64::try_from(self.dice.up_to(30)).unwrap();
                self.clock.set(self.clock.now().plus_micros(hours * 3_600_000_000 + 250_000));
            }
        }
    }

    fn fields(&mut self) -> Value {
        let country = self.dice.one_of(&["France", "Germany", "Spain", ""]);
        let mail = self.dice.up_to(1_000);
        let domain = self.dice.one_of(&["org", "com", ""]);
        json!({
            "country": if country.is_empty() { Value::Null } else { json!(country) },
            "email": if domain.is_empty() { Value::Null } else { json!(format!("{mail}-{}@example.{domain}", self.events)) },
            "birthday": self.dice.one_of(&["2001-07-12", "2001-07-14", "1970-01-01", "2020-02-29"]),
            "company": format!("company_no:{}", self.dice.one_of(&["f", "s"])),
        })
    }

    async fn add_customer(&mut self) {
        (self.customers, self.events) = (self.customers + 1, self.events + 1);
        let mut body = self.fields();
        body["customer_no"] = json!(self.customers.to_string());
        self.app.post("/v1/records/customer", body).await.expect(201);
    }

    async fn change_customer(&mut self) {
        if self.customers == 0 {
            return;
        }
        self.events += 1;
        let (body, path) = (self.fields(), format!("/v1/records/customer/{}", self.customer()));
        self.app.patch(&path, body).await.expect(200);
    }

    async fn add_order(&mut self) {
        if self.customers == 0 {
            return;
        }
        self.orders += 1;
        let amount = self.dice.one_of(&["20.50", "20.51", "50", "50.01", "-3", "700.25"]);
        let at = self.clock.now().plus_micros(-1_000_000 * i64::try_from(self.dice.up_to(9_000)).unwrap());
        let customer = self.customer();
        let body = json!({
            "order_no": self.orders.to_string(), "customer": customer, "amount": amount, "ordered_at": at.to_string(),
        });
        self.app.post("/v1/records/order", body).await.expect(201);
    }

    async fn change_order(&mut self) {
        let path = format!("/v1/records/order/order_no:{}", self.dice.up_to(self.orders.max(1)) + 1);
        // It may be gone already.
        if self.dice.up_to(2) == 0 {
            self.app.delete(&path).await;
        } else {
            let status = self.dice.one_of(&["cancelled", "paid", "open"]);
            let body = json!({ "status": status, "customer": self.customer() });
            self.app.patch(&path, body).await;
        }
    }

    async fn view(&mut self) {
        if self.customers == 0 {
            return;
        }
        self.events += 1;
        let url = self.dice.one_of(&["/shop/a", "/news", "/shop"]);
        let subject = format!("customer/{}", self.customer());
        let viewed = event(&self.events.to_string(), "page.viewed", &subject, json!({ "url": url }));
        let request =
            crate::client::Request::new("POST", "/v1/events").body("application/cloudevents+json", viewed.to_string());
        self.app.send(request).await.expect(202);
    }

    async fn change_list(&mut self) {
        let verb = self.dice.one_of(&["add", "remove"]);
        let customer = self.customer();
        let body = json!({ verb: [customer] });
        self.app.post("/v1/segments/guests/members", body).await.expect(200);
    }

    async fn members(&self, name: &str) -> Vec<String> {
        let page = self.app.get(&format!("/v1/segments/{name}/members?limit=1000")).await.expect(200);
        numbers(&page.items())
    }
}

fn numbers(items: &[Value]) -> Vec<String> {
    let mut numbers: Vec<String> = items.iter().map(|item| item["customer_no"].as_str().unwrap().to_owned()).collect();
    numbers.sort();
    numbers
}

async fn all_ways_to_the_members_agree_with_each_other(database: Database) {
    let mut world = World::new(database).await;
    let mut seen: Vec<(Timestamp, BTreeMap<&str, Vec<String>>)> = Vec::new();
    for _ in 0..8 {
        for _ in 0..50 {
            world.step().await;
        }
        world.app.settle().await;
        let mut then = BTreeMap::new();
        for (name, rule) in RULES {
            let members = world.members(name).await;
            let faults = world.app.post(&format!("/v1/segments/{name}/check"), json!({})).await.expect(200).json();
            let none = (&faults["missing"]["count"], &faults["surplus"]["count"]);
            assert_eq!(none, (&json!(0), &json!(0)), "{name}: {rule}: {faults}");
            then.insert(name, members);
        }
        seen.push((world.clock.now(), then));
        world.clock.set(world.clock.now().plus_micros(1_000_000));
    }
    assert!(RULES.iter().all(|(name, _)| seen.iter().any(|(_, then)| !then[name].is_empty())), "{seen:?}");
    for (at, then) in &seen {
        for (name, rule) in RULES {
            let asked = json!({ "segment": name, "at": at, "limit": 1000 });
            let answer = world.app.post("/v1/segments/as-of", asked).await.expect(200).json();
            let found = numbers(answer["items"].as_array().unwrap());
            assert_eq!(found, then[name], "{name} at {at}: {rule}");
        }
    }
}
