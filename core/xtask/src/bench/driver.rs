//! The load driver: connections that each post one event and wait for its acknowledgement, and the floor of the driver itself.
//!
//! It runs as a process of its own, so that it can be bound to a core of its own, and prints one line of JSON.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::workload::Order;
use crate::http::Connection;

#[cfg(test)]
mod tests;

/// How long an event may take until its points are seen.
const VISIBLE_MAX: Duration = Duration::from_secs(30);

/// What the driver shall do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    /// `load`: post as fast as answers come; `visible`: post one and wait until its points are seen.
    pub(crate) what: String,
    pub(crate) address: String,
    /// The owner's key; empty for a floor that asks for none.
    pub(crate) key: String,
    pub(crate) connections: u64,
    /// Seconds of load.
    pub(crate) seconds: u64,
    /// Customers that the orders are spread over.
    pub(crate) customers: u64,
    /// Keeps the events of one job apart from those of another.
    pub(crate) run: String,
}

impl Job {
    /// The job as arguments of the driver's process.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let Self { what, address, key, connections, seconds, customers, run } = self;
        let key = if key.is_empty() { "-" } else { key };
        [what, address, key, &connections.to_string(), &seconds.to_string(), &customers.to_string(), run]
            .map(ToOwned::to_owned)
            .to_vec()
    }

    /// Reads what [`Self::arguments`] wrote.
    ///
    /// # Errors
    /// If an argument is missing or no number.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self> {
        let [what, address, key, connections, seconds, customers, run] = arguments else {
            bail!("the driver takes 7 arguments, not {}", arguments.len());
        };
        Ok(Self {
            what: what.clone(),
            address: address.clone(),
            key: if key == "-" { String::new() } else { key.clone() },
            connections: connections.parse().context("connections")?,
            seconds: seconds.parse().context("seconds")?,
            customers: customers.parse().context("customers")?,
            run: run.clone(),
        })
    }

    fn post(&self, order: Order) -> Vec<u8> {
        let body = order.event(&self.run);
        let mut request = format!(
            "POST /v1/events HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
            self.address,
            body.len()
        );
        self.authorize(&mut request);
        request.push_str(&body);
        request.into_bytes()
    }

    fn get(&self, customer: u64) -> Vec<u8> {
        let mut request =
            format!("GET /v1/records/customer/customer_no:{customer} HTTP/1.1\r\nHost: {}\r\n", self.address);
        self.authorize(&mut request);
        request.into_bytes()
    }

    /// Ends the head of a request.
    fn authorize(&self, request: &mut String) {
        if !self.key.is_empty() {
            request.push_str("Authorization: Bearer ");
            request.push_str(&self.key);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
    }
}

/// Does the job and prints what was measured.
///
/// # Errors
/// If the server cannot be reached or refuses an event.
pub(crate) fn run(job: &Job) -> Result<()> {
    let report = match job.what.as_str() {
        "load" => load(job)?,
        "visible" => visible(job)?,
        other => bail!("the driver has no job `{other}`"),
    };
    println!("{report}");
    Ok(())
}

/// What the threads of a load share.
#[derive(Debug, Default)]
struct Shared {
    next: AtomicU64,
    stop: AtomicBool,
    points: AtomicU64,
    problem: Mutex<Option<String>>,
}

impl Shared {
    fn fail(&self, problem: String) {
        self.stop.store(true, Ordering::Relaxed);
        let mut kept = self.problem.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        kept.get_or_insert(problem);
    }
}

fn load(job: &Job) -> Result<Value> {
    let shared = Shared::default();
    let began = Instant::now();
    let mut nanos: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..job.connections).map(|_| scope.spawn(|| post_until_stopped(job, &shared))).collect();
        while began.elapsed() < Duration::from_secs(job.seconds) && !shared.stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(20));
        }
        shared.stop.store(true, Ordering::Relaxed);
        threads.into_iter().flat_map(|t| t.join().unwrap_or_default()).collect()
    });
    let took = began.elapsed();
    if let Some(problem) = shared.problem.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take() {
        bail!(problem);
    }
    nanos.sort_unstable();
    Ok(json!({
        "events": nanos.len(),
        "micros": u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        "p50_us": percentile(&nanos, 500),
        "p99_us": percentile(&nanos, 990),
        "max_us": percentile(&nanos, 1_000),
        "points": shared.points.load(Ordering::Relaxed),
    }))
}

/// One connection of a load; returns how long each answer took.
fn post_until_stopped(job: &Job, shared: &Shared) -> Vec<u64> {
    let mut nanos = Vec::with_capacity(1 << 16);
    let mut connection = match Connection::open(&job.address) {
        Ok(connection) => connection,
        Err(error) => {
            shared.fail(format!("cannot connect to {}: {error}", job.address));
            return nanos;
        }
    };
    while !shared.stop.load(Ordering::Relaxed) {
        let order = Order::new(shared.next.fetch_add(1, Ordering::Relaxed), job.customers);
        let request = job.post(order);
        let began = Instant::now();
        match connection.call(&request) {
            Ok(answer) if answer.is_success() => {
                nanos.push(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX));
                shared.points.fetch_add(order.points(), Ordering::Relaxed);
            }
            Ok(answer) => shared.fail(format!("{} {}", answer.status, answer.excerpt())),
            Err(error) => shared.fail(format!("an answer is missing: {error}")),
        }
    }
    nanos
}

/// Event by event: how long from sending one until its points are seen.
fn visible(job: &Job) -> Result<Value> {
    let mut posting = Connection::open(&job.address)?;
    let mut reading = Connection::open(&job.address)?;
    let (mut acknowledged, mut seen) = (Vec::new(), Vec::new());
    let began = Instant::now();
    for number in 0.. {
        if began.elapsed() > Duration::from_secs(job.seconds) {
            break;
        }
        let order = Order::new(number, job.customers);
        let before = points_of(&mut reading, job, order.customer)?;
        let sent = Instant::now();
        let answer = posting.call(&job.post(order))?;
        if !answer.is_success() {
            bail!("{} {}", answer.status, answer.excerpt());
        }
        acknowledged.push(u64::try_from(sent.elapsed().as_nanos()).unwrap_or(u64::MAX));
        while points_of(&mut reading, job, order.customer)? < before + order.points() {
            if sent.elapsed() > VISIBLE_MAX {
                bail!("the points of event {number} were not seen within {} s", VISIBLE_MAX.as_secs());
            }
        }
        seen.push(u64::try_from(sent.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    acknowledged.sort_unstable();
    seen.sort_unstable();
    Ok(json!({
        "events": seen.len(),
        "acknowledged_p99_us": percentile(&acknowledged, 990),
        "visible_p50_us": percentile(&seen, 500),
        "visible_p99_us": percentile(&seen, 990),
    }))
}

fn points_of(connection: &mut Connection, job: &Job, customer: u64) -> Result<u64> {
    let answer = connection.call(&job.get(customer))?;
    let record: Value = serde_json::from_slice(&answer.body).context("a customer that is no JSON")?;
    record["points"].as_u64().with_context(|| format!("customer {customer} has no points: {record}"))
}

/// The value below which so many thousandths of the sorted `nanos` lie, in microseconds.
pub(crate) fn percentile(nanos: &[u64], thousandths: usize) -> u64 {
    let last = nanos.len().saturating_sub(1);
    nanos.get((last * thousandths).div_ceil(1_000)).map_or(0, |n| n / 1_000)
}

/// Answers every request at once: what the driver and the loopback alone can do.
///
/// # Errors
/// If the address cannot be listened on.
pub(crate) fn echo() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    for stream in listener.incoming() {
        let stream = stream?;
        std::thread::spawn(move || {
            // A connection that breaks is the driver's end.
            drop(answer_all(stream));
        });
    }
    Ok(())
}

fn answer_all(stream: std::net::TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    loop {
        let mut length = 0;
        loop {
            line.clear();
            if stream.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line.trim_end().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
    }
}
