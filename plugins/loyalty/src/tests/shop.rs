//! A shop on the fake host: events and actions as the host would bring them, and rules of queries as it would read them.

use rapport_sdk::fake::{self, Asked, Context};
use rapport_sdk::{
    Compensator as _, Decimal, Error, Fields, Json, OnAction as _, OnEvent as _, Record, Timestamp, Undone, Value,
};
use serde_json::json;

use crate::Loyalty;

/// Noon of the first day.
pub(super) const START: &str = "2026-03-01T04:00:00Z";

/// Opens a shop with two customers, by these settings.
pub(super) fn open(settings: &[(&str, Value)]) -> (Record, Record) {
    fake::reset();
    fake::load(include_str!("../../plugin.toml"));
    fake::answer_queries(answer);
    fake::set("redeem_block", 100);
    for (name, value) in settings {
        fake::set(name, value.clone());
    }
    at(START);
    (customer("a"), customer("b"))
}

/// Another customer.
pub(super) fn customer(name: &str) -> Record {
    let empty = ["email", "phone", "birthday"].map(|field| (field, Value::Null));
    let fields: Fields = empty.into_iter().chain([("customer_no", Value::from(name))]).collect();
    fake::insert("customer", fields)
}

/// Sets the clock.
pub(super) fn at(instant: &str) {
    fake::set_now(Timestamp(instant.parse::<jiff::Timestamp>().unwrap().as_microsecond()));
}

/// A reward of which there are nine.
pub(super) fn reward(code: &str, points: i64) -> Record {
    let fields = Fields::new().with("code", code).with("points", points).with("stock", 9).with("active", true);
    fake::insert("loyalty_reward", fields)
}

fn run_is(run: &str) {
    fake::set_context(Context { run: run.into(), plugin: "loyalty".into(), ..Context::default() });
}

/// An event of the run `run`.
pub(super) fn event(run: &str, kind: &str, customer: &Record, data: Fields) -> Result<(), Error> {
    run_is(run);
    Loyalty::on_event(fake::event(kind, customer, data))
}

/// An order is paid, in a run of its name.
pub(super) fn paid(customer: &Record, order: &str, amount: i64) {
    let data = Fields::new().with("order", order).with("amount", Decimal::from(amount));
    event(&format!("paid {order}"), "order.paid", customer, data).unwrap();
}

/// An order is refunded.
pub(super) fn refunded(customer: &Record, order: &str, amount: i64) {
    let data = Fields::new().with("order", order).with("amount", Decimal::from(amount));
    event(&format!("refund {order}"), "order.refunded", customer, data).unwrap();
}

/// A bonus that can be spent for so many days.
pub(super) fn bonus(customer: &Record, points: i64, valid_days: i64) {
    let data = Fields::new().with("points", points).with("valid_days", valid_days);
    event("bonus", "loyalty.bonus", customer, data).unwrap();
}

/// Calls an action.
pub(super) fn call(action: &str, input: Json) -> Json {
    run_is(&format!("{action} {input}"));
    Loyalty::on_action(fake::call(action, input)).unwrap()
}

/// Spends points. Returns what came of it.
pub(super) fn redeem(customer: &Record, points: i64, key: &str) -> Json {
    call("redeem", json!({ "customer": customer.id, "points": points, "key": key }))["result"].clone()
}

/// Cancels a redemption. Returns what came of it.
pub(super) fn cancel(customer: &Record, key: &str) -> Json {
    call("cancel_redeem", json!({ "customer": customer.id, "redeem": key }))["result"].clone()
}

/// Books what fell due, as the schedule does.
pub(super) fn settle(customer: &Record) {
    cancel(customer, "no such key");
}

/// `merged` is about to be merged into `into`, in a run of this name.
pub(super) fn merging(run: &str, into: &Record, merged: &Record) -> Result<(), Error> {
    event(run, "record.merging", into, Fields::new().with("merged", merged.id.as_str()))
}

/// The merge that the run `run` prepared is undone.
pub(super) fn unmerge(run: &str, into: &Record) -> Result<(), Error> {
    run_is("undo");
    let event = fake::event("record.merging", into, Fields::new());
    Loyalty::compensate(Undone { run: run.into(), event: Some(event), ..Undone::default() })
}

/// Another run is undone.
pub(super) fn undo(run: &str) {
    run_is("undo");
    Loyalty::compensate(Undone { run: run.into(), ..Undone::default() }).unwrap();
}

/// What an account says of itself under `names`.
pub(super) fn says<const N: usize>(customer: &Record, names: [&str; N]) -> [i64; N] {
    let account = account(customer).expect("the customer has an account");
    names.map(|name| account.int(name).unwrap().unwrap_or(0))
}

/// The account of a customer.
pub(super) fn account(customer: &Record) -> Option<Record> {
    fake::all("loyalty_account").into_iter().find(|account| is_of(account, customer))
}

/// Whether a record is a customer's.
pub(super) fn is_of(record: &Record, customer: &Record) -> bool {
    record.fields.get("customer") == Some(&Value::Ref(customer.reference()))
}

/// The books are right, and say so themselves. Numbers of entries have no gaps.
pub(super) fn must_be_right() {
    let told = call("verify", json!({}));
    assert_eq!(told["result"], "ok", "{told}");
    for account in fake::all("loyalty_account") {
        let of = |object: &str| {
            let records =
                fake::all(object).into_iter().filter(|r| r.fields.get("customer") == account.fields.get("customer"));
            let mut numbers: Vec<i64> = records.map(|r| r.int("number").unwrap().unwrap()).collect();
            numbers.sort_unstable();
            numbers
        };
        let upto = |count: &str| (1..=account.int(count).unwrap().unwrap()).collect::<Vec<i64>>();
        assert_eq!((of("loyalty_entry"), of("loyalty_lot")), (upto("entries"), upto("lots")));
    }
}

/// All records of the books, field by field, ids aside.
pub(super) fn books() -> Vec<String> {
    let objects = ["account", "entry", "lot", "redemption", "transfer", "voucher", "referral", "fold"];
    let mut books = Vec::new();
    for object in objects {
        for record in fake::all(&format!("loyalty_{object}")) {
            let mut fields: Vec<String> =
                record.fields.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
            fields.sort();
            books.push(format!("{object} {}", fields.join(" ")));
        }
    }
    books.sort();
    books
}

/// The books are what they were.
pub(super) fn must_be(before: &[String]) {
    let now = books();
    let missing: Vec<&String> = before.iter().filter(|record| !now.contains(record)).collect();
    let new: Vec<&String> = now.iter().filter(|record| !before.contains(record)).collect();
    assert!(missing.is_empty() && new.is_empty(), "missing: {missing:#?}\nnew: {new:#?}");
    assert_eq!(now.len(), before.len());
}

/// What queries of the plugin find.
fn answer(asked: &Asked) -> Vec<Record> {
    let mut found = fake::all(&asked.object);
    found.retain(|record| asked.filter.split(" || ").any(|all| all.split(" && ").all(|one| holds(one, record, asked))));
    found
}

/// One comparison of a rule: `field operator parameter`.
fn holds(comparison: &str, record: &Record, asked: &Asked) -> bool {
    let [field, operator, with] = comparison.split(' ').collect::<Vec<_>>()[..] else { panic!("`{comparison}`") };
    let is = record.fields.get(field).cloned().unwrap_or_default();
    let with = match with {
        "false" => Value::Bool(false),
        number if number.parse::<i64>().is_ok() => Value::Int(number.parse().unwrap()),
        param => asked.params.get(param).cloned().unwrap_or_else(|| panic!("`{comparison}` without `{param}`")),
    };
    if operator == "in" {
        let Value::Json(Json::Array(all)) = with else { panic!("`{comparison}`") };
        return matches!(&is, Value::Text(text) if all.contains(&Json::from(text.as_str())));
    }
    if operator == "==" {
        return is == with;
    }
    let order = match (is, with) {
        (Value::Text(is), Value::Text(with)) => is.cmp(&with),
        (Value::Int(is), Value::Int(with)) => is.cmp(&with),
        (Value::Time(is), Value::Time(with)) => is.cmp(&with),
        _ => return false,
    };
    match operator {
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        _ => panic!("`{comparison}`"),
    }
}
