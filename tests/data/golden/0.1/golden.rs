//! The golden plugin of the contract 0.1: it has every role and makes every call. `golden.wasm` beside it was built from this once, and
//! is never built again: that it runs on shows that the host keeps its word.

use std::fmt::Debug;

use rapport_sdk::flow::{self, Alternative, Question};
use rapport_sdk::route::{Request, Response};
use rapport_sdk::{
    Call, Change, Compensator, Error, Event, Fields, Json, Migrator, OnAction, OnEvent, OnRequest, OnSchedule, Refusal,
    Step, Timestamp, Undone, Validator, clock, context, events, http, jobs, kv, log, messages, query, random, records,
    scripts, secrets, settings,
};
use serde_json::json;

/// Does everything once.
struct Golden;

/// Says what came of a call.
fn tell<T: Debug>(call: &str, came: Result<T, Error>) {
    match came {
        Ok(value) => log::info(&format!("{call}: {value:?}")),
        Err(error) => log::info(&format!("{call}: {} ({})", error.code(), error.is_retryable())),
    }
}

impl OnEvent for Golden {
    fn on_event(event: Event) -> Result<(), Error> {
        log::debug(&format!("{} {:?} at {}", event.kind, event.data, event.time.0));
        read_and_write()?;
        ask_around();
        wait();
        Ok(())
    }
}

fn read_and_write() -> Result<(), Error> {
    let none = Fields::new();
    let rule = Fields::new().with("n", 10);
    let found = records::get("customer", "customer_no:1")?.ok_or_else(|| Error::new("missing", "no customer"))?;
    let ada = found.reference();
    tell(
        "find",
        records::find("customer").filter("points > n").param("n", 10).order("-points").limit(5).run().map(|r| r.len()),
    );
    tell("count", records::find("customer").filter("points > n").param("n", 10).count());
    tell("create", records::create("order", &Fields::new().with("amount", "12.50")).map(|r| r.object));
    tell("update", records::update(&ada, &rule));
    tell("increment", records::increment(&ada, "points", 3));
    tell(
        "upsert",
        records::upsert("customer", "customer_no", &Fields::new().with("customer_no", "1")).map(|r| r.version),
    );
    tell("delete", records::delete(&ada));
    let page =
        query::select("customer", &["id", "points"]).filter("points > n").param("n", 10).order("points").limit(2);
    tell("select", page.cursor("c").run());
    let sums = query::aggregate("customer").by("tier").count().sum("points").min("points").max("points");
    tell("aggregate", sums.run());
    tell("emit", events::emit("tier.changed", &ada, &Fields::new().with("to", "gold")));
    tell("emit_alone", events::emit_alone("day.closed", &none));
    Ok(())
}

fn ask_around() {
    tell("kv.set", kv::set("a", "1"));
    tell("kv.get", kv::get("a"));
    tell("kv.increment", kv::increment("a", 2));
    tell("kv.list", kv::list("a", "", 10));
    tell("kv.delete", kv::delete("a"));
    tell("setting", settings::get::<i64>("silver_from"));
    tell("secret", secrets::exists("partner"));
    tell("hmac", secrets::hmac_sha256("partner", b"text"));
    tell("script", scripts::run("loyalty/earn", "points", &[json!(42)]));
    tell("job", jobs::start("close", &json!({ "day": 1 })));
    tell("job_at", jobs::start_at("close", &json!({ "day": 1 }), Timestamp(7)));
    log::info(&format!("{:?} {} {} {}", context::run(), context::plugin(), context::actor(), context::slice()));
    log::info(&format!("{} {:?}", clock::now().0, random::bytes(4)));
    tell(
        "http",
        http::post("https://api.example.com/x").secret("partner").json("{}").call().map(|answer| answer.status),
    );
    tell("send", messages::email_to("ada@example.com", "welcome", &Fields::new().with("name", "Ada")));
}

fn wait() {
    let none = Fields::new();
    tell("sleep", flow::sleep("1 day"));
    tell("sleep_until", flow::sleep_until(Timestamp(9)));
    tell("wait_for", flow::wait_for("order.paid", "amount == 1", &none, "1 day").map(|e| e.is_some()));
    tell(
        "wait_any",
        flow::wait_any(&[Alternative::new("order.paid", "amount == 1", none)], "1 day").map(|e| e.is_some()),
    );
    tell("ask", flow::ask(Question { title: "Well?".into(), ..Question::default() }));
    tell("lock", flow::lock("one"));
    tell("invoke", flow::invoke("other.act", &json!(1)));
    tell("reply", flow::reply(&json!(2)));
}

impl OnSchedule for Golden {
    fn on_schedule(event: Event) -> Result<(), Error> {
        log::info(&event.kind);
        Ok(())
    }
}

impl OnAction for Golden {
    fn on_action(call: Call) -> Result<Json, Error> {
        if call.action == "fail" {
            return Err(Error::retryable("busy", "come back later"));
        }
        Ok(
            json!({ "action": call.action, "input": call.input, "caller": call.caller, "position": call.event_position }),
        )
    }
}

impl OnRequest for Golden {
    fn on_request(request: Request) -> Result<Response, Error> {
        let said = format!(
            "{} {} {} {:?} {:?} {:?} {}",
            request.route,
            request.method,
            request.path,
            request.path_param("member"),
            request.query("q"),
            request.header("x-a"),
            request.actor
        );
        Ok(Response::text(201, said).header("x-b", "2"))
    }
}

impl Validator for Golden {
    fn validate(change: Change) -> Result<(), Refusal> {
        let points = change.after.get("points").cloned().unwrap_or_default();
        match i64::try_from(points) {
            Ok(n) if n < 0 => {
                Err(Refusal::new("negative", format!("{} of {}", change.operation, change.object)).at("points"))
            }
            _ => Ok(()),
        }
    }
}

impl Compensator for Golden {
    fn compensate(undone: Undone) -> Result<(), Error> {
        let called = (undone.event.map(|e| e.kind), undone.action.map(|c| c.action));
        log::info(&format!("{} {} {called:?}", undone.run, undone.automation_digest));
        Ok(())
    }
}

impl Migrator for Golden {
    fn migrate(step: Step) -> Result<Option<String>, Error> {
        log::info(&format!("{} {} {:?} {}", step.from, step.to, step.cursor, step.dry_run));
        Ok(step.cursor.is_none().then(|| "next".into()))
    }
}

rapport_sdk::export!(Golden: on_event, on_schedule, on_action, on_request, validate, compensate, migrate);
