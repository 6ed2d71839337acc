//! A plugin that does what it should not, as the type of its event tells it. The tests of the sandbox run it to see that every
//! limit holds; it is no example to follow.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rapport_sdk::bindings::rapport::plugin as raw;
use rapport_sdk::{Error, Event, Fields, OnEvent, events, log, random, records};
use raw::types::{Field, Value};

struct Misbehaving;

static CALLS: AtomicU32 = AtomicU32::new(0);

impl OnEvent for Misbehaving {
    fn on_event(event: Event) -> Result<(), Error> {
        match event.kind.strip_prefix("do.").unwrap_or_default() {
            "loop" => endless(),
            "grow" => grow(),
            "recurse" => log::info(&recurse(black_box(1)).to_string()),
            "call_loop" => call_loop(),
            "print_loop" => print_loop(),
            "write_much" => return events::emit_alone("x.y", &Fields::new().with("text", "x".repeat(1 << 20))),
            "panic" => panic!("as told"),
            "exit" => std::process::exit(3),
            "much_random" => log::info(&random::bytes(u32::MAX).len().to_string()),
            "look_around" => look_around(),
            "hash" => hash(),
            "nan" => log::info(&format!("{:x}", (black_box(0.0_f64) / black_box(0.0_f64)).to_bits() & (u64::MAX >> 1))),
            "print" => {
                println!("out");
                eprintln!("err");
            }
            "bad_values" => bad_values(),
            "count" => log::info(&(CALLS.fetch_add(1, Ordering::Relaxed) + 1).to_string()),
            "fail" => return Err(Error::retryable("mine", "as told")),
            _ => {}
        }
        Ok(())
    }
}

fn endless() {
    let mut n = 0_u64;
    loop {
        n = black_box(n.wrapping_add(1));
    }
}

fn grow() {
    let mut kept = Vec::new();
    loop {
        kept.push(black_box(vec![1_u8; 1 << 20]));
    }
}

fn recurse(n: u64) -> u64 {
    if black_box(n) == 0 { 0 } else { recurse(n + 1) + black_box(n) }
}

fn call_loop() {
    loop {
        // The answer does not matter: it goes on whatever the host says.
        let _ = records::get("customer", "x");
    }
}

fn print_loop() {
    loop {
        println!();
    }
}

fn look_around() {
    let refused = |failed: bool| if failed { "refused" } else { "open" };
    let file = refused(std::fs::read("/etc/passwd").is_err() && std::fs::write("x", "y").is_err());
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (env, args) = (std::env::vars().count(), std::env::args().count());
    log::info(&format!("env {env}, args {args}, file {file}, time {seconds}s"));
}

fn hash() {
    let map: HashMap<u32, u32> = (0..50).map(|n| (n, n)).collect();
    log::info(&map.keys().map(ToString::to_string).collect::<Vec<_>>().join(" "));
}

fn bad_values() {
    let bad = [
        Value::Decimal("1e5x".into()),
        Value::Date("2026-02-30".into()),
        Value::Reference("nobody".into()),
        Value::Json("{".into()),
    ];
    for value in bad {
        if let Err(error) = raw::events::emit("x.y", "", &[Field { name: "d".into(), value }]) {
            log::info(&error.message);
        }
    }
}

rapport_sdk::export!(Misbehaving: on_event);
