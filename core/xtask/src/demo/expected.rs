//! What the orders must lead to, worked out from the file alone: the second opinion that the demo is held against.
//!
//! It shares no code with the product. Amounts are counted in pence, so that nothing is rounded.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, anyhow};

#[cfg(test)]
mod tests;

/// What a file of orders must lead to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    /// Orders with a customer.
    pub(crate) orders: usize,
    /// Rows without one.
    pub(crate) without_customer: usize,
    /// Points by customer.
    pub(crate) points: BTreeMap<String, i64>,
    /// Customers whose points ever changed: the others have no tier.
    pub(crate) rated: BTreeSet<String>,
}

impl Expected {
    /// Reads the columns `customer_no` and `amount` of the file at `path`.
    ///
    /// # Errors
    /// If the file cannot be read, lacks a column, or holds an amount that is no number.
    pub(crate) fn from_file(path: &Path) -> Result<Self> {
        let file = std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::from_csv(file).with_context(|| format!("in {}", path.display()))
    }

    fn from_csv(input: impl std::io::Read) -> Result<Self> {
        let mut reader = csv::Reader::from_reader(input);
        let headers = reader.headers()?.clone();
        let column =
            |name: &str| headers.iter().position(|h| h == name).ok_or_else(|| anyhow!("there is no column `{name}`"));
        let (customer, amount) = (column("customer_no")?, column("amount")?);
        let mut expected = Self::default();
        for row in reader.records() {
            let row = row?;
            let customer = &row[customer];
            if customer.is_empty() {
                expected.without_customer += 1;
                continue;
            }
            expected.orders += 1;
            let points = points(pence(&row[amount])?);
            *expected.points.entry(customer.to_owned()).or_default() += points;
            if points != 0 {
                expected.rated.insert(customer.to_owned());
            }
        }
        Ok(expected)
    }

    /// All points together.
    pub(crate) fn total(&self) -> i64 {
        self.points.values().sum()
    }

    /// Customers by tier; `none` for those without one.
    pub(crate) fn tiers(&self) -> BTreeMap<&'static str, usize> {
        let mut tiers = BTreeMap::new();
        for (customer, points) in &self.points {
            let tier = if self.rated.contains(customer) { tier(*points) } else { "none" };
            *tiers.entry(tier).or_default() += 1;
        }
        tiers
    }
}

/// `-12.5` is -1250 pence.
pub(super) fn pence(text: &str) -> Result<i64> {
    let bad = || anyhow!("`{text}` is no amount");
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if fraction.len() > 2 || !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(bad());
    }
    let whole: i64 = whole.parse().map_err(|_| bad())?;
    let fraction: i64 = format!("{fraction:0<2}").parse().map_err(|_| bad())?;
    let pence = whole * 100 + fraction;
    Ok(if negative { -pence } else { pence })
}

/// sign(amount) × floor(|amount|) × (2 if |amount| > 100, else 1).
const fn points(pence: i64) -> i64 {
    let size = pence.abs();
    pence.signum() * (size / 100) * if size > 10_000 { 2 } else { 1 }
}

/// The tier that so many points give.
const fn tier(points: i64) -> &'static str {
    match points {
        20_000.. => "platinum",
        5_000.. => "gold",
        1_000.. => "silver",
        _ => "bronze",
    }
}
