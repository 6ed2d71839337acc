//! The floors: what the same work costs by hand on the same machine, with no engine around it.
//!
//! Batch: plain sqlx on SQLite with `synchronous=FULL`, one event row and one balance upsert per event, a hundred events a
//! transaction. HTTP: a server written by hand that takes one event a request, groups what waits into one transaction, and answers
//! when it is durable.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, SqliteConnection};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

use super::workload::{CUSTOMERS, Order};

/// Events of one transaction of the batch floor.
const BATCH: u64 = 100;
/// The most events that the HTTP floor groups.
const GROUP_MAX: usize = 128;

const TABLES: &str = "
create table event (position integer primary key, source text not null, id text not null, kind text not null, customer integer not null,
    time integer not null, payload text not null) strict;
create unique index event_origin on event (source, id);
create table balance (customer integer primary key, points integer not null) strict;";

async fn open(path: &Path) -> Result<SqliteConnection> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .disable_statement_logging();
    let mut connection = SqliteConnection::connect_with(&options).await.context("cannot open the floor's database")?;
    sqlx::raw_sql(TABLES).execute(&mut connection).await?;
    Ok(connection)
}

/// `first` and then a row of `row`, as often as there are `rows`, with its placeholders counted on.
fn values(first: &str, columns: usize, rows: usize, last: &str) -> String {
    let row = |r: usize| {
        let marks: Vec<String> = (1..=columns).map(|c| format!("${}", r * columns + c)).collect();
        format!("({})", marks.join(","))
    };
    format!("{first} {} {last}", (0..rows).map(row).collect::<Vec<_>>().join(","))
}

const INSERT: &str = "insert into event (source, id, kind, customer, time, payload) values";
const UPSERT: &str = "insert into balance (customer, points) values";
const ADD: &str = "on conflict (customer) do update set points = points + excluded.points";

/// Writes so many events in batches, and returns how long that took.
///
/// # Errors
/// If the database refuses.
pub(crate) async fn batch(folder: &Path, events: u64) -> Result<Duration> {
    let mut connection = open(&folder.join("floor.sqlite")).await?;
    let rows = usize::try_from(BATCH)?;
    let (insert, upsert) = (values(INSERT, 6, rows, ""), values(UPSERT, 2, rows, ADD));
    let began = Instant::now();
    for first in (0..events).step_by(rows) {
        let orders = (first..first + BATCH).map(|n| Order::new(n, CUSTOMERS));
        let mut transaction = connection.begin_with("begin immediate").await?;
        let mut write = sqlx::query(AssertSqlSafe(insert.as_str()));
        let mut add = sqlx::query(AssertSqlSafe(upsert.as_str()));
        for order in orders {
            let id = format!("floor-{}", order.number);
            write = write.bind("bench").bind(id).bind("order.paid").bind(order.customer.cast_signed());
            write = write.bind(order.number.cast_signed()).bind(order.event("floor"));
            add = add.bind(order.customer.cast_signed()).bind(order.points().cast_signed());
        }
        write.execute(&mut *transaction).await?;
        add.execute(&mut *transaction).await?;
        transaction.commit().await?;
    }
    let took = began.elapsed();
    connection.close().await?;
    Ok(took)
}

/// Commits one event after another, `each` of them in a row as often as `times`; returns how long each row took, in nanoseconds, sorted.
///
/// # Errors
/// If the database refuses.
pub(crate) async fn commits(folder: &Path, times: u64, each: u64) -> Result<Vec<u64>> {
    let mut connection = open(&folder.join("commits.sqlite")).await?;
    let (mut number, mut nanos) = (0, Vec::new());
    for row in 0..times {
        let began = Instant::now();
        for n in 0..each {
            let order = Order::new(row * each + n, CUSTOMERS);
            write_group(&mut connection, &[(order, order.event("commits").as_str())], &mut number).await?;
        }
        nanos.push(u64::try_from(began.elapsed().as_nanos())?);
    }
    connection.close().await?;
    nanos.sort_unstable();
    Ok(nanos)
}

/// An event that waits for its transaction.
struct Waiting {
    body: String,
    done: oneshot::Sender<bool>,
}

/// Serves the HTTP floor until it is killed; prints its address.
///
/// # Errors
/// If the address or the database cannot be used.
pub(crate) async fn serve(folder: &Path) -> Result<()> {
    let connection = open(&folder.join("http.sqlite")).await?;
    let (sender, receiver) = mpsc::channel(1_024);
    tokio::spawn(write_groups(connection, receiver));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let sender = sender.clone();
        tokio::spawn(async move {
            // A connection that breaks is the driver's end.
            drop(answer_all(stream, sender).await);
        });
    }
}

/// Takes whatever waits, commits it as one, and tells those who wait.
async fn write_groups(mut connection: SqliteConnection, mut receiver: mpsc::Receiver<Waiting>) {
    let mut group = Vec::with_capacity(GROUP_MAX);
    let mut number = 0;
    while receiver.recv_many(&mut group, GROUP_MAX).await > 0 {
        let orders: Vec<(Order, &str)> =
            group.iter().filter_map(|w| Some((order(&w.body)?, w.body.as_str()))).collect();
        let written = write_group(&mut connection, &orders, &mut number).await.is_ok() && orders.len() == group.len();
        for waiting in group.drain(..) {
            // Nobody waits any more if the connection broke.
            let _ = waiting.done.send(written);
        }
    }
}

async fn write_group(connection: &mut SqliteConnection, orders: &[(Order, &str)], number: &mut i64) -> Result<()> {
    let (insert, upsert) = (values(INSERT, 6, orders.len(), ""), values(UPSERT, 2, orders.len(), ADD));
    let mut transaction = connection.begin_with("begin immediate").await?;
    let mut write = sqlx::query(AssertSqlSafe(insert));
    let mut add = sqlx::query(AssertSqlSafe(upsert));
    for (order, body) in orders {
        *number += 1;
        write =
            write.bind("bench").bind(format!("http-{number}")).bind("order.paid").bind(order.customer.cast_signed());
        write = write.bind(*number).bind(*body);
        add = add.bind(order.customer.cast_signed()).bind(order.points().cast_signed());
    }
    write.execute(&mut *transaction).await?;
    add.execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(())
}

/// The order in the body of a request.
fn order(body: &str) -> Option<Order> {
    let event: serde_json::Value = serde_json::from_str(body).ok()?;
    let customer = event["subject"].as_str()?.rsplit(':').next()?.parse().ok()?;
    let amount = event["data"]["amount"].as_str()?.split('.').next()?.parse().ok()?;
    Some(Order { number: 0, customer, amount })
}

async fn answer_all(stream: TcpStream, sender: mpsc::Sender<Waiting>) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    loop {
        let mut length = 0;
        loop {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            if line.trim_end().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let (done, committed) = oneshot::channel();
        sender.send(Waiting { body: String::from_utf8(body)?, done }).await?;
        let answer: &[u8] = if committed.await? {
            b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok"
        } else {
            b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno"
        };
        stream.get_mut().write_all(answer).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_counted_on() {
        assert_eq!(values("insert", 2, 2, "end"), "insert ($1,$2),($3,$4) end");
    }

    #[test]
    fn an_order_is_read_back_from_its_event() {
        let sent = Order::new(7, 10);
        let read = order(&sent.event("r")).unwrap();
        assert_eq!((read.customer, read.amount), (sent.customer, sent.amount));
        assert_eq!(order("{}"), None);
    }

    #[tokio::test]
    async fn the_batch_floor_does_the_work_it_is_timed_for() {
        let folder = tempfile::tempdir().unwrap();
        batch(folder.path(), 300).await.unwrap();
        let options = SqliteConnectOptions::new().filename(folder.path().join("floor.sqlite"));
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        let text = "select (select count(*) from event), (select sum(points) from balance)";
        let (events, points): (i64, i64) = sqlx::query_as(text).fetch_one(&mut connection).await.unwrap();
        let want: u64 = (0..300).map(|n| Order::new(n, CUSTOMERS).points()).sum();
        assert_eq!((events, points), (300, want.cast_signed()));
    }
}
