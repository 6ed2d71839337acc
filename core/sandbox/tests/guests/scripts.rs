//! What scripts can say, and what the host hears.

use rapport_model::Value;
use rapport_sandbox::{GuestFailure, HostError};

use crate::host::{Recorder, ada, data, failure, logs, order, points, record, run, run_with, sandbox, script};

const POINTS: &str = include_str!("../../../../scripts/loyalty/points.rhai");

fn points_host() -> Recorder {
    Recorder { settings: [("double_over".to_owned(), Value::Int(100))].into(), ..Recorder::default() }
}

fn with_record() -> Recorder {
    Recorder { records: vec![record("customer", "5.00")], ..Recorder::default() }
}

#[tokio::test]
async fn the_points_script_gives_and_takes_by_one_rule() {
    let sandbox = sandbox();
    let program = sandbox.load_script("loyalty/points.rhai", POINTS).await.unwrap();
    for (amount, points) in [
        ("10.00", Some(10)),
        ("10.99", Some(10)),
        ("100.00", Some(100)),
        ("100.01", Some(200)),
        ("-17.80", Some(-17)),
        ("-250.50", Some(-500)),
        ("0.99", None),
        ("-0.99", None),
        ("0.00", None),
    ] {
        let (report, host) = sandbox.call(&program, order(amount), points_host()).await;
        assert_eq!(report.outcome, Ok(()), "{amount}");
        let expected: Vec<_> = points.iter().map(|p| format!("increment customer/{} points {p}", ada())).collect();
        assert_eq!(host.calls, expected, "{amount}");
    }
}

#[tokio::test]
async fn the_points_script_declares_its_field_and_the_narrowest_right() {
    let declared = sandbox().check_script("loyalty/points.rhai", POINTS).await.unwrap();
    assert!(declared.title.starts_with("Gives points for orders"));
    assert_eq!(declared.triggers[0].event, "order.created");
    assert_eq!(declared.uses.iter().map(ToString::to_string).collect::<Vec<_>>(), ["customer.points:write"]);
    assert_eq!(declared.fields[0].field.name.as_str(), "points");
    assert_eq!(declared.fields[0].field.default, Some(0.into()));
    assert_eq!((declared.settings[0].name.as_str(), &declared.settings[0].default), ("double_over", &100.into()));
}

#[tokio::test]
async fn the_first_and_the_thousandth_call_do_the_same() {
    let sandbox = sandbox();
    let body = "let seen = []; seen.push(random_int(1, 1000000)); log(`${seen.len()} ${seen[0]}`); \
                increment(event.record.customer, \"points\", 1);";
    let program = sandbox.load_script("test.rhai", &script(body)).await.unwrap();
    let mut first = None;
    for turn in 0..1_000 {
        let (report, host) = sandbox.call(&program, order("10.00"), Recorder::default()).await;
        let told = (report.outcome, report.fuel, host.calls, host.logged);
        let first = first.get_or_insert_with(|| told.clone());
        // The very first call may grow what the allocator has, which costs some fuel of its own.
        assert_eq!((&told.0, &told.2, &told.3), (&first.0, &first.2, &first.3), "call {turn}");
    }
}

#[tokio::test]
async fn a_record_shows_every_kind_of_field() {
    let body = r"
        let order = event.record;
        log(order.order_no); log(order.customer); log(order.amount * 2); log(order.points + 1);
        log(order.paid); log(order.birthday); log(order.birthday.year); log(order.ordered_at);
        log(order.extra.lines[1] + 1); log(order.tier == ()); log(order.version); log(order.object);
        log(order.id == order.id.id); log(order.created_at < order.ordered_at);";
    assert_eq!(
        logs(&sandbox(), body).await,
        [
            "536365".to_owned(),
            format!("customer/{}", ada()),
            "20.00".into(),
            "8".into(),
            "true".into(),
            "1990-02-03".into(),
            "1990".into(),
            "2011-12-09T12:50:00Z".into(),
            "3.5".into(),
            "true".into(),
            "3".into(),
            "order".into(),
            "true".into(),
            "true".into(),
        ]
    );
}

#[tokio::test]
async fn an_event_shows_what_changed() {
    let sandbox = sandbox();
    let body = "log(event.type); log(event.before.points); log(event.after.points); log(event.delta.points); \
                log(event.after.tier == ()); log(event.actor); log(event.depth); log(event.subject); \
                log(event.after.contains(\"tier\")); log(event.after.keys());";
    let program = sandbox.load_script("test.rhai", &script(body)).await.unwrap();
    let (report, host) = sandbox.call(&program, points(5, 12), Recorder::default()).await;
    assert_eq!(report.outcome, Ok(()));
    let id = record("customer", "1").id;
    let told = ["customer.updated", "5", "12", "7", "true", "system", "1"].map(|l| format!("Info {l}"));
    assert_eq!(host.logged[..7], told);
    assert_eq!(host.logged[7..], [format!("Info customer/{id}"), "Info false".into(), "Info [\"points\"]".into()]);
}

#[tokio::test]
async fn a_declared_event_shows_its_data() {
    let sandbox = sandbox();
    let body = "log(event.data.url); log(event.record == ()); log(event.subject == ());";
    let program = sandbox.load_script("test.rhai", &script(body)).await.unwrap();
    let url = (rapport_model::Name::new("url").unwrap(), Value::text("/shoes"));
    let (report, host) = sandbox.call(&program, data("page.viewed", vec![url]), Recorder::default()).await;
    assert_eq!(report.outcome, Ok(()));
    assert_eq!(host.logged, ["Info /shoes", "Info true", "Info true"]);
}

#[tokio::test]
async fn every_call_reaches_the_host_with_its_arguments() {
    let body = r#"
        let c = get("customer", "customer_no:17850");
        let o = find("order", "customer == c && amount > min", #{ c: c.id, min: 1.5 }, #{ order: "-amount", limit: 3 });
        let n = count("order", "customer == c", #{ c: c });
        let task = create("task", #{ title: "call", due: event.record.ordered_at });
        update(c, #{ city: "Paris" });
        update("customer", "customer_no:1", #{ city: () });
        increment("customer", c.id, "points", 2);
        increment(c, "points", 1.5);
        upsert("customer", "email", #{ email: "a@b.c", tags: ["x", 1] });
        delete(c); delete("task", "t1");
        emit("tier.changed", c, #{ to: "gold" });
        emit("batch.done", #{ n: n + o.len() });"#;
    let (report, host) = run_with(&sandbox(), body, with_record()).await;
    assert_eq!(report.outcome, Ok(()));
    let id = record("customer", "1").id;
    assert_eq!(
        host.calls,
        [
            "get customer/customer_no:17850".to_owned(),
            format!("find order where customer == c && amount > min [c=ref {id} min=1.5d] by -amount 3 after "),
            format!("count order where customer == c [c=ref {id}]"),
            "create task due=\"2011-12-09T12:50:00Z\" title=\"call\"".into(),
            format!("update customer/{id} city=\"Paris\""),
            "update customer/customer_no:1 city=null".into(),
            format!("increment customer/{id} points 2"),
            format!("increment customer/{id} points 1.5d"),
            "upsert customer by email email=\"a@b.c\" tags=[\"x\",1]".into(),
            format!("delete customer/{id}"),
            "delete task/t1".into(),
            format!("emit tier.changed customer/{id} to=\"gold\""),
            "emit batch.done  n=2".into(),
        ]
    );
    assert_eq!(report.host_calls, 13);
}

#[tokio::test]
async fn numbers_are_exact_and_mix() {
    let body = "let d = event.record.amount; log(0.1 + 0.2 == 0.3); log(floor(-7.5)); log(round(2.5)); log(sign(-0.01)); \
                log(min(d, 3)); log(max(1, 2.5)); log(d / 4); log(7 / 2); log(type_of(floor(d))); log(round(2.345, 2));";
    assert_eq!(logs(&sandbox(), body).await, ["true", "-8", "3", "-1", "3", "2.5", "2.50", "3", "i64", "2.35"]);
}

#[tokio::test]
async fn instants_compare_and_subtract() {
    let host = Recorder { now: 1_323_435_000_000_000 + 3 * 86_400_000_000, ..Recorder::default() };
    let body = "let t = event.record.ordered_at; log(days_between(t, now())); log(now() > t); log(plus_days(t, 1)); \
                log(plus_days(t, 1) - t); log(t.year); log(t.weekday);";
    let (report, host) = run_with(&sandbox(), body, host).await;
    assert_eq!(report.outcome, Ok(()));
    let told = ["3", "true", "2011-12-10T12:50:00Z", "86400", "2011", "5"].map(|l| format!("Info {l}"));
    assert_eq!(host.logged, told);
}

#[tokio::test]
async fn a_refusal_can_be_caught_and_told_apart() {
    let refusal = Some(HostError::permanent("denied", "not yours"));
    let host = Recorder { refusal, ..Recorder::default() };
    let body = "try { update(event.record, #{ city: \"x\" }); } catch (e) { log(e.code + \": \" + e.message); }";
    let (report, host) = run_with(&sandbox(), body, host).await;
    assert_eq!((report.outcome, host.logged), (Ok(()), vec!["Info denied: not yours".into()]));
}

#[tokio::test]
async fn a_refusal_that_is_not_caught_names_the_line() {
    let refusal = Some(HostError { retryable: true, ..HostError::permanent("busy", "later") });
    let host = Recorder { refusal, ..Recorder::default() };
    let (report, _) = run_with(&sandbox(), "let a = 1;\nupdate(event.record, #{ city: \"x\" });", host).await;
    let message = "test.rhai:6:1: later".into();
    assert_eq!(report.outcome, Err(GuestFailure::Failed { code: "busy".into(), message, retryable: true }));
}

#[tokio::test]
async fn the_end_of_a_slice_cannot_be_caught() {
    let host = Recorder { refusal: Some(HostError::ending("conflict", "someone was first")), ..Recorder::default() };
    let body = "try { update(event.record, #{ a: 1 }); } catch { log(\"caught\"); } emit(\"x.y\", #{});";
    let (report, host) = run_with(&sandbox(), body, host).await;
    let message = "someone was first".into();
    assert_eq!(report.outcome, Err(GuestFailure::Ended { code: "conflict".into(), message, retryable: true }));
    assert_eq!((host.calls.len(), host.logged.len()), (1, 0));
}

#[tokio::test]
async fn what_ends_a_slice_inside_a_function_cannot_be_caught_outside() {
    let sandbox = sandbox();
    let source = "on(\"order.created\");\nfn deep(r) { wide(r) }\nfn wide(r) { let f = |x| update(x, #{ a: 1 }); f.call(r) }\n\
                  fn run(event) { try { deep(event.record); } catch { log(\"caught\"); } log(\"on\"); }";
    let program = sandbox.load_script("test.rhai", source).await.unwrap();
    let host = Recorder { refusal: Some(HostError::ending("conflict", "first")), ..Recorder::default() };
    let (report, host) = sandbox.call(&program, order("1.00"), host).await;
    assert_eq!(report.outcome.unwrap_err().code(), "conflict");
    assert_eq!((host.calls.len(), host.logged.len()), (1, 0));
    let source =
        "on(\"order.created\");\nfn deep() { fail(\"no\") }\nfn run(event) { try { deep(); } catch { } log(\"on\"); }";
    let program = sandbox.load_script("test.rhai", source).await.unwrap();
    let (report, host) = sandbox.call(&program, order("1.00"), Recorder::default()).await;
    assert_eq!(report.outcome.unwrap_err().to_string(), "test.rhai:2:13: no");
    assert!(host.logged.is_empty());
}

#[tokio::test]
async fn fail_cannot_be_caught_and_is_for_good() {
    let failed = failure(&sandbox(), "try { fail(\"no stock\"); } catch { log(\"caught\"); }").await;
    let message = "test.rhai:5:7: no stock".into();
    assert_eq!(failed, GuestFailure::Failed { code: "failed".into(), message, retryable: false });
}

#[tokio::test]
async fn a_mistake_names_the_place_and_what_was_meant() {
    let sandbox = sandbox();
    for (body, told) in [
        ("log(event.record.amout);", "test.rhai:5:18: `order` has no field `amout`: did you mean `amount`?"),
        (
            "log(event.after.amout);",
            "test.rhai:5:17: the event `order.created` has no field `amout`: did you mean `amount`?",
        ),
        ("let x = 1 / 0;", "division by zero"),
        ("let m = #{ a: 1 }; m.b;", "there is no property `b`"),
        ("\"a\" - 1;", "`-` cannot be called with (text, integer)"),
        ("update(5, #{ a: 1 });", "expected a record, a reference or a text `object/key`, got a integer"),
        ("increment(event.record, \"points\", \"x\");", "increment takes a number, got a text"),
        ("find(\"order\", \"\", #{}, #{ limt: 1 });", "did you mean `limit`?"),
        ("random_int(2, 1);", "2 is greater than 1"),
    ] {
        let message = failure(&sandbox, body).await.to_string();
        assert!(message.to_lowercase().contains(&told.to_lowercase()), "{body}: {message}");
    }
}

#[tokio::test]
async fn a_failed_slice_leaves_nothing_to_the_next() {
    let sandbox = sandbox();
    let body = "if event.record.amount > 5 { throw \"too much\"; } log(\"fine\");";
    let program = sandbox.load_script("test.rhai", &script(body)).await.unwrap();
    let (report, _) = sandbox.call(&program, order("10.00"), Recorder::default()).await;
    assert!(report.outcome.unwrap_err().to_string().contains("too much"));
    let (report, host) = sandbox.call(&program, order("1.00"), Recorder::default()).await;
    assert_eq!((report.outcome, host.logged), (Ok(()), vec!["Info fine".into()]));
}

#[tokio::test]
async fn randomness_is_the_hosts() {
    let sandbox = sandbox();
    let body = "let a = random(); log(a >= 0 && a < 1); log(random_int(5, 5)); log(random_int(1, 6)); log(random());";
    let once = logs(&sandbox, body).await;
    assert_eq!(once[..2], ["true", "5"]);
    assert_eq!(once, logs(&sandbox, body).await);
}

#[tokio::test]
async fn printing_goes_to_the_log() {
    let (_, host) = run(&sandbox(), "print(\"a\"); debug(1); log(\"warn\", \"b\"); log(event.record.amount);").await;
    assert_eq!(host.logged, ["Info a", "Debug line 5: 1", "Warn b", "Info 10.00"]);
}
