//! Segments: filling one over a million customers (two roll-ups, one distance of dates, one list) against SQL by hand on the same tables, on
//! SQLite and PostgreSQL; and what two hundred live segments that read the field that changes add to an event.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection};

use super::client::Client;
use super::figure::Figure;
use super::lab::{Lab, Place, wait_until};
use super::{postgres, ratio, runtime};
use crate::server::Server;

/// Customers, and orders, of the fill.
const CUSTOMERS: u64 = 1_000_000;
/// Rows of one request.
const PART: u64 = 20_000;
/// The rule: a third of the customers is in.
const RULE: &str = "lifetime_value > 100 && order_count >= 1 && days_since(last_order_at) > 60 && country in ['Norway', 'Chile', 'Japan']";
/// Fills of which the quickest counts.
const FILLS: usize = 3;
/// Live segments, the changes of a round with them and without, and the rounds of each.
const LIVE: usize = 200;
const CHANGES: u64 = 500;
const ROUNDS: u64 = 13;

/// Measures it.
///
/// # Errors
/// If a server or a database refuses something, or both ways do not find the same members.
pub(crate) fn run(binary: &Path) -> Result<Vec<Figure>> {
    let lab = Lab::new(binary, "segments")?;
    postgres::on_both(|name, database| filled(&lab, name, database))
}

/// Fills the segment, and does the same by hand.
fn filled(lab: &Lab, name: &str, database: Option<&str>) -> Result<Vec<Figure>> {
    let folder = format!("data-{}", name.to_lowercase());
    let server = lab.serve(&folder, Place { core: None, database })?;
    people(&server)?;
    let mut client = Client::open(&server)?;
    let source = format!("//! Quiet buyers.\nsegment(\"quiet\", \"{RULE}\");\n");
    let push = json!({ "path": "segments/quiet.rhai", "source": source }).to_string();
    client.post("/v1/automations/segments%2Fquiet/versions", &push)?;
    let began = Instant::now();
    client.post("/v1/automations/segments%2Fquiet/activate", "{}")?;
    let members = ready(&mut client)?;
    // The first time it also makes the index by which time is followed.
    let first = began.elapsed();
    let mut times = Vec::new();
    for _ in 0..FILLS {
        let began = Instant::now();
        client.post("/v1/segments/quiet/rebuild", "{}")?;
        ready(&mut client)?;
        times.push(began.elapsed());
    }
    let ours = times.into_iter().min().unwrap_or_default();
    let hand = by_hand(lab, &folder, database)?;
    server.stop()?;
    if hand.members != members || members == 0 {
        bail!("{members} members, and {} by hand", hand.members);
    }
    let line = |what: &str, ours: Duration, hand: Duration| {
        let over = ours.as_secs_f64() / hand.as_secs_f64();
        [
            Figure::new(
                format!("segments, {name}: {what} of 1,000,000 customers (floor: by hand)"),
                ours.as_secs_f64(),
                "s",
            )
            .floor(hand.as_secs_f64()),
            Figure::new(format!("segments, {name}: {what}, ours / by hand"), over, "×").under(1.5),
        ]
    };
    let mut figures = line("rebuild", ours, hand.again).to_vec();
    figures.push(Figure::new(
        format!("segments, {name}: the very first fill, with its index"),
        first.as_secs_f64(),
        "s",
    ));
    figures.push(Figure::new(
        format!("segments, {name}: the same members written by hand"),
        hand.first.as_secs_f64(),
        "s",
    ));
    Ok(figures)
}

/// Imports the customers, and an order of each.
fn people(server: &Server) -> Result<()> {
    let countries = ["Norway", "Chile", "Japan", "Kenya", "Peru", "Malta"];
    let line = |n: u64| {
        let country = countries[usize::try_from(n % 6).unwrap_or(0)];
        format!(r#"{{"customer_no":"{n}","country":"{country}"}}"#)
    };
    import(server, "/v1/records/customer/bulk?key=customer_no", line)?;
    let line = |n: u64| {
        let (month, day, amount) = (1 + n % 9, 1 + n % 28, 1 + n * 31 % 400);
        format!(
            r#"{{"order_no":"{n}","customer":"customer_no:{n}","ordered_at":"2025-{month:02}-{day:02}T10:00:00Z","amount":"{amount}.50"}}"#
        )
    };
    import(server, "/v1/records/order/bulk?key=order_no", line)
}

fn import(server: &Server, path: &str, line: impl Fn(u64) -> String) -> Result<()> {
    for first in (0..CUSTOMERS).step_by(usize::try_from(PART)?) {
        let lines: Vec<String> = (first..first + PART).map(&line).collect();
        let answer = server.call("POST", path, "application/x-ndjson", lines.join("\n").as_bytes())?;
        let summary: Value = serde_json::from_slice(&answer.body).with_context(|| answer.excerpt())?;
        if !answer.is_success() || summary["created"].as_u64() != Some(PART) {
            bail!("not all records were taken: {} {}", answer.status, answer.excerpt());
        }
    }
    Ok(())
}

/// Waits until the segment is filled; gives its size.
fn ready(client: &mut Client) -> Result<u64> {
    loop {
        let shown = client.get("/v1/segments/quiet")?;
        if shown["state"] == "ready" {
            return shown["size"].as_u64().with_context(|| format!("a segment without a size: {shown}"));
        }
        // Each look counts the members: more of them would take part in what is measured.
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What the same took by hand.
struct ByHand {
    first: Duration,
    again: Duration,
    members: u64,
}

/// Into a table like ours in one transaction: who is no longer in goes, who is not in yet comes; first into an empty table, then again.
fn by_hand(lab: &Lab, folder: &str, database: Option<&str>) -> Result<ByHand> {
    let quiet = 60 * 86_400;
    let (table, holds, now) = match database {
        None => (
            "create table hand_stay (segment text not null, id blob not null, entered_at integer not null, left_at integer, \
             primary key (segment, id, entered_at)) strict, without rowid;
             create index hand_stay_record on hand_stay (id, segment, entered_at, left_at)",
            format!(
                "t.lifetime_value > 10000 and t.order_count >= 1 and t.last_order_at < (unixepoch() - {quiet}) * 1000000 \
                 and t.country in ('Norway', 'Chile', 'Japan')"
            ),
            "unixepoch()",
        ),
        Some(_) => (
            "create table hand_stay (segment text not null, id uuid not null, entered_at bigint not null, left_at bigint, \
             primary key (segment, id, entered_at));
             create index hand_stay_record on hand_stay (id, segment, entered_at, left_at)",
            format!(
                "t.lifetime_value > 100 and t.order_count >= 1 and t.last_order_at < now() - interval '{quiet} seconds' \
                 and t.country in ('Norway', 'Chile', 'Japan')"
            ),
            "extract(epoch from now())::bigint",
        ),
    };
    let leave = format!(
        "update hand_stay as s set left_at = {now} where s.segment = 'quiet' and s.left_at is null and not exists \
         (select 1 from o_customer as t where t.id = s.id and {holds})"
    );
    let enter = format!(
        "insert into hand_stay (segment, id, entered_at) select 'quiet', t.id, {now} from o_customer as t where {holds} \
         and not exists (select 1 from hand_stay as s where s.segment = 'quiet' and s.id = t.id and s.left_at is null)"
    );
    let path = lab.folder().join(folder).join("rapport.sqlite");
    runtime()?.block_on(async {
        match database {
            None => {
                let options = SqliteConnectOptions::new()
                    .filename(path)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full)
                    .busy_timeout(Duration::from_mins(1))
                    .disable_statement_logging();
                let mut connection = options.connect().await?;
                let done = both(&mut connection, table, "begin immediate", (&leave, &enter)).await;
                connection.close().await?;
                done
            }
            Some(url) => {
                let mut connection = PgConnection::connect(url).await?;
                let done = both(&mut connection, table, "begin", (&leave, &enter)).await;
                connection.close().await?;
                done
            }
        }
    })
}

async fn both<'c, D, C>(
    connection: &'c mut C,
    table: &'static str,
    begin: &'static str,
    (leave, enter): (&str, &str),
) -> Result<ByHand>
where
    D: sqlx::Database,
    C: sqlx::Connection<Database = D>,
    for<'e> &'e mut C: sqlx::Executor<'e, Database = D>,
    for<'r> (i64,): sqlx::FromRow<'r, D::Row>,
    for<'q> <D as sqlx::Database>::Arguments: sqlx::IntoArguments<D>,
{
    let _ = connection.ping().await;
    (&mut *connection).execute(sqlx::raw_sql(table)).await?;
    let mut times = Vec::new();
    for _ in 0..=FILLS {
        let began = Instant::now();
        (&mut *connection).execute(sqlx::raw_sql(begin)).await?;
        for statement in [leave, enter] {
            (&mut *connection).execute(sqlx::raw_sql(AssertSqlSafe(statement))).await?;
        }
        (&mut *connection).execute(sqlx::raw_sql("commit")).await?;
        times.push(began.elapsed());
    }
    let first = times.remove(0);
    let again = times.into_iter().min().unwrap_or_default();
    let count: (i64,) =
        sqlx::query_as("select count(*) from hand_stay where left_at is null").fetch_one(&mut *connection).await?;
    Ok(ByHand { first, again, members: u64::try_from(count.0)? })
}

/// What live segments add to the change of a field that all of them read: the same changes in turn at a server without segments and at one
/// with them, one after another; of each the middle of the rounds.
///
/// # Errors
/// If a server refuses something.
pub(crate) fn following(binary: &Path) -> Result<Vec<Figure>> {
    let serve = |name: &str, segments: usize| -> Result<Server> {
        let lab = Lab::new(binary, name)?;
        with_segments(&lab, segments)?;
        lab.shop("data", Place::default())
    };
    let (still, live) = (serve("segments-none", 0)?, serve("segments-live", LIVE)?);
    let (mut to_still, mut to_live) = (Client::open(&still)?, Client::open(&live)?);
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        without.push(changes(&mut to_still, false, round)?);
        with.push(changes(&mut to_live, true, round)?);
    }
    still.stop()?;
    live.stop()?;
    let middle = |mut times: Vec<Duration>| {
        // The first round warms up.
        times.remove(0);
        times.sort();
        times[times.len() / 2].as_secs_f64() / ratio(CHANGES, 1) * 1e3
    };
    let (without, with) = (middle(without), middle(with));
    Ok(vec![
        Figure::new("segments: a change that none follows, to the last of 500", without, "ms"),
        Figure::new("segments: a change that 200 live segments follow, to the last of 500", with, "ms"),
        Figure::new("segments: what 200 live segments add to a change", with - without, "ms").under(1.0),
    ])
}

/// Writes scripts with so many segments.
fn with_segments(lab: &Lab, segments: usize) -> Result<()> {
    for ten in 0..segments / 10 {
        let mut source = "//! Ten segments.\n".to_owned();
        for n in ten * 10..ten * 10 + 10 {
            // One of them has somebody come in or leave at each change.
            let country = if n == 0 { "Chile" } else { "Atlantis" };
            let others = (0..n % 7).map(|k| format!("language != 'x{k}'"));
            let rule: Vec<String> = others.chain([format!("country == '{country}'")]).collect();
            writeln!(source, "segment(\"s-{n}\", \"lifetime_value >= 0 && {}\");", rule.join(" && "))?;
        }
        std::fs::write(lab.folder().join(format!("scripts/segments{ten}.rhai")), source)?;
    }
    Ok(())
}

/// How long it takes to change so many customers, one after another, until the segments have followed the last.
fn changes(client: &mut Client, follow: bool, round: u64) -> Result<Duration> {
    let (country, size) = if round.is_multiple_of(2) { ("Chile", CHANGES) } else { ("Norway", 0) };
    let began = Instant::now();
    for n in 0..CHANGES {
        let path = format!("/v1/records/customer/customer_no:{}", 1 + n);
        client.put(&path, &format!(r#"{{"country":"{country}","notes":"{round}"}}"#))?;
    }
    if follow {
        wait_until("the segments to follow", || Ok(client.get("/v1/segments/s-0")?["size"] == size))?;
    }
    Ok(began.elapsed())
}
