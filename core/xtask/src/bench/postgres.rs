//! The same on PostgreSQL, against pgbench running the same two statements.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use sqlx::{Connection as _, PgConnection};

use super::figure::{self, Figure};
use super::lab::{Lab, Place};
use super::runtime;
use super::single::{Target, load};
use super::workload::{CUSTOMERS, Order};
use crate::workspace::{command, output};

const TABLES: &str = "
create table event (position bigint generated always as identity primary key, source text not null, id text not null, kind text not null,
    customer bigint not null, time bigint not null, payload text not null);
create table balance (customer bigint primary key, points bigint not null);";

/// What one transaction of pgbench does: the event row, and the balance.
const SCRIPT: &str = r#"\set customer random(1, 1000)
\set amount random(1, 200)
begin;
insert into event (source, id, kind, customer, time, payload) values ('bench', :customer || '-' || :amount, 'order.paid', :customer, 1, '{"specversion":"1.0","id":"bench-1","source":"bench","type":"order.paid","data":{"order_no":"1","amount":"1.00"}}');
insert into balance (customer, points) values (:customer, :amount) on conflict (customer) do update set points = balance.points + excluded.points;
commit;
"#;

/// The server of the tests need not survive a power failure; one that is measured must.
const DURABLE: [&str; 4] = [
    "alter system set fsync = on",
    "alter system set full_page_writes = on",
    "alter system set synchronous_commit = on",
    "select pg_reload_conf()",
];
const AS_BEFORE: [&str; 4] = [
    "alter system reset fsync",
    "alter system reset full_page_writes",
    "alter system reset synchronous_commit",
    "select pg_reload_conf()",
];

/// Seconds that pgbench runs.
const SECONDS: &str = "10";

/// Measures it; all processes share all cores, as the server of PostgreSQL is many.
///
/// # Errors
/// If PostgreSQL, pgbench, the server or the driver fails.
pub(crate) fn run(binary: &Path) -> Result<Vec<Figure>> {
    let lab = Lab::new(binary, "postgres")?;
    let script = lab.folder().join("floor.sql");
    std::fs::write(&script, SCRIPT)?;
    let floor_database = rapport_test_support::pg::url();
    durably(&floor_database, || measure(&lab, &floor_database, &script))
}

/// Does `work` while the server of `floor_database` survives a power failure, with the floor's tables there.
///
/// # Errors
/// If the server refuses, or those of `work`.
pub(crate) fn durably<T>(floor_database: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    send(floor_database, &[TABLES])?;
    send(floor_database, &DURABLE)?;
    let done = work();
    send(floor_database, &AS_BEFORE)?;
    done
}

/// Measures something on SQLite and on a PostgreSQL that survives a power failure: `measure` is given the name, and where the database is. What
/// is known of the first is shown before the second begins.
///
/// # Errors
/// Those of `measure`, or if the server refuses.
pub(crate) fn on_both(measure: impl Fn(&str, Option<&str>) -> Result<Vec<Figure>>) -> Result<Vec<Figure>> {
    let mut figures = measure("SQLite", None)?;
    eprintln!("{}", figure::markdown(&figures));
    let (database, floor) = (rapport_test_support::pg::url(), rapport_test_support::pg::url());
    figures.extend(durably(&floor, || measure("PostgreSQL", Some(&database)))?);
    Ok(figures)
}

const INSERT: &str =
    "insert into event (source, id, kind, customer, time, payload) values ('bench', $1, 'order.paid', $2, $3, $4)";
const ADD: &str = "insert into balance (customer, points) values ($1, $2) \
    on conflict (customer) do update set points = balance.points + excluded.points";

/// Commits one event after another, `each` of them in a row as often as `times`; returns how long each row took, in nanoseconds, sorted.
///
/// # Errors
/// If the database refuses.
pub(crate) async fn commits(database: &str, times: u64, each: u64) -> Result<Vec<u64>> {
    let mut connection = PgConnection::connect(database).await?;
    let mut nanos = Vec::new();
    for row in 0..times {
        let began = Instant::now();
        for n in 0..each {
            let order = Order::new(row * each + n, CUSTOMERS);
            let mut transaction = connection.begin().await?;
            let write =
                sqlx::query(INSERT).bind(format!("commits-{}", order.number)).bind(order.customer.cast_signed());
            let write = write.bind(order.number.cast_signed()).bind(order.event("commits"));
            write.execute(&mut *transaction).await?;
            let add = sqlx::query(ADD).bind(order.customer.cast_signed()).bind(order.points().cast_signed());
            add.execute(&mut *transaction).await?;
            transaction.commit().await?;
        }
        nanos.push(u64::try_from(began.elapsed().as_nanos())?);
    }
    connection.close().await?;
    nanos.sort_unstable();
    Ok(nanos)
}

/// Does what PostgreSQL does by itself within some minutes after much was written: a bench begins when that is done.
///
/// # Errors
/// If the server refuses.
pub(crate) fn look_after(database: Option<&str>) -> Result<()> {
    database.map_or(Ok(()), |database| send(database, &["vacuum (analyze)"]))
}

/// Sends statements, each by itself.
fn send(database: &str, statements: &[&'static str]) -> Result<()> {
    runtime()?.block_on(async {
        let mut connection = PgConnection::connect(database).await?;
        for statement in statements {
            sqlx::raw_sql(*statement).execute(&mut connection).await?;
        }
        Ok(connection.close().await?)
    })
}

fn measure(lab: &Lab, floor_database: &str, script: &Path) -> Result<Vec<Figure>> {
    let database = rapport_test_support::pg::url();
    let server = lab.shop("data", Place { core: None, database: Some(&database) })?;
    let mut figures = Vec::new();
    for connections in [16, 1] {
        let floor = pgbench(floor_database, script, connections)?;
        let ours = load(Target::ours(&server, CUSTOMERS), connections, None)?;
        let name = format!("PostgreSQL: {connections} connection{}", if connections == 1 { "" } else { "s" });
        figures.push(Figure::new(format!("{name} (floor: pgbench)"), ours.rate, "events/s").floor(floor));
        figures.push(Figure::new(format!("{name}, p99"), ours.p99_ms, "ms"));
        figures.push(Figure::new(format!("{name}, processor time of ours per event"), ours.processor_us, "µs"));
    }
    server.stop()?;
    Ok(figures)
}

/// Transactions a second.
fn pgbench(url: &str, script: &Path, connections: u64) -> Result<f64> {
    let connections = connections.to_string();
    let options = ["-n", "-M", "prepared", "-j", "1", "-T", SECONDS, "-c", &connections, "-f"];
    let text = output(command("pgbench").args(options).arg(script).arg(url))?;
    rate_of(&text).with_context(|| format!("pgbench did not tell its rate: {text}"))
}

/// The rate in what pgbench prints.
fn rate_of(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|l| l.strip_prefix("tps = "))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_read_from_what_pgbench_prints() {
        let text = "latency average = 1.0 ms\ninitial connection time = 8 ms\ntps = 1234.5 (without initial connection time)\n";
        assert_eq!(rate_of(text), Some(1234.5));
        assert_eq!(rate_of("error"), None);
    }
}
