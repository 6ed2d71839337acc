//! The points program over the year that was loaded: what time has taken since, one member's statement, what the program owed at the
//! end of the year, and the proof of its books. The sum is held against a second opinion worked out from the file alone.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};

use super::expected::pence;
use crate::server::Server;
use crate::table::number;
use crate::workspace::{command, output};

#[cfg(test)]
mod tests;

/// How long points last, in months.
const MONTHS: u32 = 6;
/// When the program is looked at: the end of the year, in London.
const END: (&str, Day) = ("2011-12-31T23:59:59Z", Day(2011, 12, 31));
/// The member whose statement is shown, and how many entries of it.
const MEMBER: (&str, usize) = ("customer_no:17850", 8);
/// How long the accounts may take to be settled.
const SETTLED_MAX: Duration = Duration::from_mins(5);

/// A day in London: year, month, day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Day(u32, u32, u32);

impl Day {
    /// The day of `2010-12-01 08:26:00`.
    fn of(text: &str) -> Result<Self> {
        let part = |range| text.get(range).and_then(|digits: &str| digits.parse().ok());
        let day = || Some(Self(part(0..4)?, part(5..7)?, part(8..10)?));
        day().ok_or_else(|| anyhow!("`{text}` is no time"))
    }

    /// So many months on; the month's last day where it has no such day.
    const fn months_later(self, months: u32) -> Self {
        let month = self.1 - 1 + months;
        let (year, month) = (self.0 + month / 12, month % 12 + 1);
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let last = match month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        Self(year, month, if self.2 < last { self.2 } else { last })
    }
}

/// What a member has: points by the last day on which they can be spent, the oldest first, and debt.
#[derive(Debug, Default, PartialEq, Eq)]
struct Member {
    lots: VecDeque<(Day, i64)>,
    debt: i64,
}

impl Member {
    fn expire(&mut self, today: Day) {
        self.lots.retain(|(last, _)| *last >= today);
    }

    fn order(&mut self, pence: i64, today: Day) {
        self.expire(today);
        let points = pence.abs() / 100;
        if pence > 0 {
            self.lots.push_back((today.months_later(MONTHS), points));
            let repaid = self.take(self.debt);
            self.debt -= repaid;
        } else {
            self.debt += points - self.take(points);
        }
    }

    /// Takes up to `points`, the soonest to expire first. Returns how many there were.
    fn take(&mut self, points: i64) -> i64 {
        let mut left = points;
        while let Some((_, lot)) = self.lots.front_mut().filter(|_| left > 0) {
            let part = left.min(*lot);
            (*lot, left) = (*lot - part, left - part);
            if *lot == 0 {
                self.lots.pop_front();
            }
        }
        points - left
    }
}

/// What the program owes its members, and they owe it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Owed {
    points: i64,
    debt: i64,
}

impl Owed {
    /// Works it out from the columns `customer_no`, `ordered_at` and `amount`, whose rows stand in the order of time.
    fn from_csv(input: impl std::io::Read, end: Day) -> Result<Self> {
        let mut reader = csv::Reader::from_reader(input);
        let headers = reader.headers()?.clone();
        let column =
            |name: &str| headers.iter().position(|h| h == name).ok_or_else(|| anyhow!("there is no column `{name}`"));
        let (customer, ordered_at, amount) = (column("customer_no")?, column("ordered_at")?, column("amount")?);
        let mut members: BTreeMap<String, Member> = BTreeMap::new();
        for row in reader.records() {
            let row = row?;
            if !row[customer].is_empty() {
                let member = members.entry(row[customer].to_owned()).or_default();
                member.order(pence(&row[amount])?, Day::of(&row[ordered_at])?);
            }
        }
        for member in members.values_mut() {
            member.expire(end);
        }
        let points = members.values().flat_map(|member| &member.lots).map(|(_, points)| points).sum();
        Ok(Self { points, debt: members.values().map(|member| member.debt).sum() })
    }
}

/// Sets the rules of the program, before the orders come.
///
/// # Errors
/// If the command fails.
pub(crate) fn set_up(binary: &Path, server: &Server) -> Result<()> {
    let expiry = format!("expiry:={}", json!({ "kind": "months", "n": MONTHS }));
    let rules = ["tz=Europe/London", expiry.as_str(), "redeem_block=100", "value_per_block=1.00"];
    ask(binary, server, &[&["automation", "set", "loyalty"], &rules[..]].concat()).map(drop)
}

/// Tells of it all.
///
/// # Errors
/// If a command fails, the program owes what it must not, or its books are wrong.
pub(crate) fn tell(binary: &Path, server: &Server, orders: &Path) -> Result<()> {
    println!(
        "The points program, built as a partner's plugin, on the same year: a point for each pound, gone after {MONTHS} months.\n"
    );
    settle(binary, server)?;
    let (member, entries) = MEMBER;
    let statement = action(binary, server, "loyalty.statement", &json!({ "customer": member, "limit": entries }))?;
    println!("  The latest entries of {member}:");
    for entry in statement["entries"].as_array().into_iter().flatten() {
        println!("    {}", line(entry));
    }
    let owed = action(binary, server, "loyalty.liability", &json!({ "at": END.0 }))?;
    let whole = |name: &str| owed[name].as_i64().with_context(|| format!("the liability has no `{name}`"));
    let is = Owed { points: whole("outstanding")?, debt: whole("debt")? };
    println!(
        "\n  Owed at {}: {} points to {} members, worth {}; {} points of debt.",
        END.0,
        number(is.points),
        number(whole("members")?),
        owed["value"].as_str().unwrap_or_default(),
        number(is.debt),
    );
    let file = std::fs::File::open(orders).with_context(|| format!("cannot read {}", orders.display()))?;
    let want = Owed::from_csv(file, END.1)?;
    if is != want {
        bail!("the program owes {is:?}, and {want:?} by the file");
    }
    let (accounts, booked) = prove(binary, server)?;
    println!("  As worked out from the file. loyalty.verify: {accounts} accounts are the sum of {booked} entries.\n");
    Ok(())
}

/// Has everything booked that fell due since the last order.
fn settle(binary: &Path, server: &Server) -> Result<()> {
    let schedules = server.get("/v1/schedules")?;
    let all = schedules["items"].as_array().into_iter().flatten();
    let own = all.filter(|schedule| schedule["automation"] == "loyalty").find_map(|schedule| schedule["id"].as_str());
    ask(binary, server, &["schedule", "run", own.context("the program has no schedule")?])?;
    let began = Instant::now();
    while action(binary, server, "loyalty.liability", &json!({}))?["unsettled"] != 0 {
        if began.elapsed() > SETTLED_MAX {
            bail!(
                "there are accounts that are not settled after {} s\n{}",
                SETTLED_MAX.as_secs(),
                server.last_output()
            );
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// Has all accounts proved, page by page. Returns how many accounts and entries there are.
fn prove(binary: &Path, server: &Server) -> Result<(String, String)> {
    let (mut accounts, mut entries, mut after) = (0, 0, Value::Null);
    loop {
        let proof = action(binary, server, "loyalty.verify", &json!({ "after": after }))?;
        if proof["result"] != "ok" {
            bail!("the books are wrong: {proof:#}");
        }
        accounts += proof["accounts"].as_i64().unwrap_or(0);
        entries += proof["entries"].as_i64().unwrap_or(0);
        after = proof["after"].clone();
        if after.is_null() {
            return Ok((number(accounts), number(entries)));
        }
    }
}

/// An entry as a line: `2011-02-10  refund  -102`.
fn line(entry: &Value) -> String {
    let text = |name: &str| entry[name].as_str().unwrap_or_default();
    let day = text("booked_at").get(..10).unwrap_or_default();
    let points = ["available", "debt"].map(|name| entry[name].as_i64().unwrap_or(0));
    let order = if text("order_name").is_empty() { String::new() } else { format!("  order {}", text("order_name")) };
    let debt = if points[1] == 0 { String::new() } else { format!("  debt {:+}", points[1]) };
    format!("{day}  {:<7} {:>+7}{debt}{order}", text("kind"), points[0])
}

pub(super) fn action(binary: &Path, server: &Server, name: &str, input: &Value) -> Result<Value> {
    let told = ask(binary, server, &["action", name, "--input", &input.to_string(), "--json"])?;
    serde_json::from_str(&told).with_context(|| format!("{name} told `{told}`"))
}

fn ask(binary: &Path, server: &Server, arguments: &[&str]) -> Result<String> {
    let mut rapport = command(binary);
    rapport.args(arguments).args(["--server", &format!("http://{}", server.address)]);
    output(rapport.arg("--key-file").arg(&server.key_file))
}
