//! What the books say: of one member, of all together, and whether they are right.

use std::collections::BTreeMap;

use rapport_sdk::query::{self, Page, Row};
use rapport_sdk::{Error, Json, Record, Reference, Timestamp, Value, clock, records};
use serde_json::json;

use crate::actions::{Call, answer, money_text};
use crate::books::{ACCOUNT, ENTRY, LOT, load_account};
use crate::keys;
use crate::ledger::Outcome;
use crate::members::earlier_members;

/// Entries of a statement, if nothing else is asked for, and at most.
const ENTRIES: i64 = 50;
const ENTRIES_MAX: i64 = 500;
/// Accounts that are proved at a time, and how often in one call: rows that are read are limited.
const ACCOUNTS_PAGE: u32 = 500;
const PAGES_MAX: usize = 2;
/// Differences that are told at most.
const DIFFERENCES_MAX: usize = 20;
/// What an account sums up.
const SUMS: [&str; 9] =
    ["available", "pending", "debt", "earned", "redeemed", "expired", "clawed", "debt_repaid", "restored"];
/// What a statement shows of an account, beside its sums.
const SHOWN: [&str; 6] = ["balance", "next_expiry", "next_expiry_points", "face_value", "tier", "as_of"];

/// A member's account and its latest entries, the newest first.
pub(crate) fn statement(call: Call<'_>) -> Result<Json, Error> {
    let Some(customer) = call.customer("customer")? else { return Ok(answer(Outcome::RejectedUnknown)) };
    let limit = call.integer("limit")?.unwrap_or(ENTRIES).clamp(1, ENTRIES_MAX);
    let before = call.integer("before")?;
    let (_, account) = load_account(&customer.id)?;
    let (from, last) = keys::range(&customer.id);
    let to = before.map_or(last, |number| keys::entry(&customer.id, number));
    let range = records::find(ENTRY).filter("key > from && key < to").param("from", from).param("to", to);
    let mut rows = range.order("-key").limit(u32::try_from(limit).unwrap_or(1)).run()?;
    let more = i64::try_from(rows.len()) == Ok(limit);
    let next = rows.last().filter(|_| more).map(|row| plain(row.fields.get("number")));
    // Books that came in by a merge stand behind what was booked before it, and are older.
    rows.sort_by_key(|row| std::cmp::Reverse(row.read::<Timestamp>("booked_at").ok().flatten()));
    Ok(json!({
        "result": "ok",
        "customer": customer.id,
        "account": account.as_ref().map(shown),
        "entries": rows.iter().map(entry).collect::<Vec<_>>(),
        "before": next,
    }))
}

fn shown(account: &Record) -> Json {
    let field = |name: &&str| ((*name).to_owned(), plain(account.fields.get(name)));
    Json::Object(SUMS.iter().chain(&SHOWN).map(field).collect())
}

/// An entry without what it did not touch.
fn entry(row: &Record) -> Json {
    let told = ["number", "kind", "booked_at", "happened_at", "order_name", "name", "reason", "cause", "run"];
    let named = |name: &&str| ((*name).to_owned(), plain(row.fields.get(name)));
    let is_something = |(_, value): &(String, Json)| !value.is_null() && *value != json!("") && *value != json!(0);
    Json::Object(told.iter().chain(&SUMS).map(named).filter(is_something).collect())
}

/// A value as people write it.
fn plain(value: Option<&Value>) -> Json {
    match value {
        None | Some(Value::Null) => Json::Null,
        Some(Value::Bool(yes)) => (*yes).into(),
        Some(Value::Int(n)) => (*n).into(),
        Some(Value::Decimal(n)) => n.to_string().into(),
        Some(Value::Text(text) | Value::Date(text)) => text.as_str().into(),
        Some(Value::Time(at)) => jiff::Timestamp::from_microsecond(at.0).map_or(Json::Null, |at| at.to_string().into()),
        Some(Value::Ref(reference)) => reference.to_string().into(),
        Some(Value::Json(json)) => json.clone(),
    }
}

/// What the program owes its members, or owed them at an instant: points that are out, and their value as blocks are worth now.
pub(crate) fn liability(call: Call<'_>) -> Result<Json, Error> {
    let at = call.instant("at")?;
    let (members, sums) = match at {
        None => (query::aggregate(ACCOUNT), query::aggregate(ACCOUNT)),
        Some(at) => {
            let until = |rule: &str| query::aggregate(ENTRY).filter(rule).param("at", at);
            (until("number == 1 && booked_at <= at"), until("booked_at <= at"))
        }
    };
    let merged = at.map_or(Ok(0), earlier_members)?;
    let (members, sums) = (members.count().run()?, sums.sum("available").sum("pending").sum("debt").run()?);
    let due = query::aggregate(ACCOUNT)
        .filter("next_expiry <= at || next_ripening <= at")
        .param("at", at.unwrap_or_else(clock::now))
        .count()
        .run()?;
    let column = |rows: &[Row], column: usize| -> Result<i64, Error> {
        Ok(rows.first().map_or(Ok(None), |row| row.int(column))?.unwrap_or_default())
    };
    let (available, pending, debt) = (column(&sums, 0)?, column(&sums, 1)?, column(&sums, 2)?);
    let outstanding = available + pending;
    Ok(json!({
        "result": "ok",
        "members": column(&members, 0)? + merged,
        "unsettled": column(&due, 0)?,
        "available": available,
        "pending": pending,
        "debt": debt,
        "outstanding": outstanding,
        "value": money_text(call.rules.worth_cents(outstanding)),
    }))
}

/// Proves that every account is the sum of its entries, and holds what its lots hold.
///
/// All accounts together are summed in the database; one by one they are compared page by page, as many as fit one call, which
/// says where the next one goes on.
pub(crate) fn verify(call: Call<'_>) -> Result<Json, Error> {
    let mut cursor = call.optional_text("after")?.map(str::to_owned);
    let (mut accounts, mut entries, mut differences) = (0, 0, Vec::new());
    if cursor.is_none() {
        differences.extend(compare("all", &totals(ACCOUNT)?, &totals(ENTRY)?));
    }
    for _ in 0..PAGES_MAX {
        let page = page_of_accounts(cursor.as_deref().unwrap_or_default())?;
        accounts += page.rows.len();
        entries += compare_page(&page.rows, &mut differences)?;
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let found = differences.len();
    differences.truncate(DIFFERENCES_MAX);
    let result = if found == 0 { "ok" } else { "differs" };
    Ok(json!({
        "result": result, "accounts": accounts, "entries": entries,
        "found": found, "differences": differences, "after": cursor,
    }))
}

fn totals(object: &str) -> Result<Vec<i64>, Error> {
    let sums = SUMS.iter().fold(query::aggregate(object), |sums, name| sums.sum(name)).run()?;
    sums.first().map_or_else(|| Ok(vec![0; SUMS.len()]), |row| numbers(row, 0))
}

fn numbers(row: &Row, from: usize) -> Result<Vec<i64>, Error> {
    (from..from + SUMS.len()).map(|column| Ok(row.int(column)?.unwrap_or(0))).collect()
}

fn customer_of(row: &Row) -> Result<String, Error> {
    Ok(row.read::<Reference>(0)?.unwrap_or_else(|| Reference::new("customer", "")).id)
}

fn page_of_accounts(cursor: &str) -> Result<Page, Error> {
    let fields: Vec<&str> = std::iter::once("customer").chain(SUMS).chain(["balance", "entries"]).collect();
    query::select(ACCOUNT, &fields).order("customer").limit(ACCOUNTS_PAGE).cursor(cursor).run()
}

/// Compares the accounts of a page with their entries and lots. Returns how many entries there are.
fn compare_page(rows: &[Row], differences: &mut Vec<Json>) -> Result<i64, Error> {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(0) };
    let range = (keys::range(&customer_of(first)?).0, keys::range(&customer_of(last)?).1);
    let (booked, kept) = (entries_of(&range)?, lots_of(&range)?);
    let mut entries = 0;
    for row in rows {
        let customer = customer_of(row)?;
        let account = numbers(row, 1)?;
        let nothing = (vec![0; SUMS.len()], 0);
        let (sums, count) = booked.get(&customer).unwrap_or(&nothing);
        entries += count;
        differences.extend(compare(&customer, &account, sums));
        let mut check = |what: &str, said: i64, is: i64| {
            if said != is {
                differences.push(json!({ "customer": customer, "field": what, "account": said, "books": is }));
            }
        };
        let lots = |pending: bool| kept.get(&(customer.clone(), pending)).copied().unwrap_or(0);
        check("balance", row.int(10)?.unwrap_or(0), account[0] - account[2]);
        check("entries", row.int(11)?.unwrap_or(0), *count);
        check("available lots", account[0], lots(false));
        check("pending lots", account[1], lots(true));
        check("came and went", account[3] + account[8], account[0] + account[1] + account[4..8].iter().sum::<i64>());
    }
    Ok(entries)
}

/// The sums of the entries whose keys lie in a range, and how many they are, by customer.
fn entries_of((from, to): &(String, String)) -> Result<BTreeMap<String, (Vec<i64>, i64)>, Error> {
    let range = query::aggregate(ENTRY).filter("key > from && key < to");
    let range = range.param("from", from.as_str()).param("to", to.as_str()).by("customer");
    let rows = SUMS.iter().fold(range, |sums, name| sums.sum(name)).count().run()?;
    let one = |row: &Row| Ok((customer_of(row)?, (numbers(row, 1)?, row.int(1 + SUMS.len())?.unwrap_or(0))));
    rows.iter().map(one).collect()
}

/// What is left of the lots whose keys lie in a range, by customer, the available ones and the pending ones.
fn lots_of((from, to): &(String, String)) -> Result<BTreeMap<(String, bool), i64>, Error> {
    let range = query::aggregate(LOT).filter("key > from && key < to");
    let range = range.param("from", from.as_str()).param("to", to.as_str());
    let rows = range.by("customer").by("pending").sum("remaining").run()?;
    let one = |row: &Row| Ok(((customer_of(row)?, row.read::<bool>(1)?.unwrap_or(false)), row.int(2)?.unwrap_or(0)));
    rows.iter().map(one).collect()
}

/// What an account says that its entries do not.
fn compare(customer: &str, account: &[i64], booked: &[i64]) -> Vec<Json> {
    let named = SUMS.iter().zip(account.iter().zip(booked)).filter(|(_, (said, is))| said != is);
    let told = |(field, (said, is)): (&&str, (&i64, &i64))| json!({ "customer": customer, "field": field, "account": said, "books": is });
    named.map(told).collect()
}
