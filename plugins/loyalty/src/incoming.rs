//! The events that drive the books: orders paid and refunded, bonuses.

use rapport_sdk::{Decimal, Error, Event, Json, Record, Reference, Value};

use crate::ledger::{Bonus, Day, Earning, Outcome, Purchase, Rules};
use crate::program::{Cause, book, refused, time_of};
use crate::settings::exact;

/// An order was paid: earns its points, and tells of the first one.
pub(crate) fn paid(event: &Event, rules: &Rules, cause: Cause<'_>) -> Result<(), Error> {
    let customer = subject(event)?;
    let order = order_of(event)?.ok_or_else(|| malformed(event, "order", "needed"))?;
    let amount = decimal(event, "amount")?;
    let (own, time) = (given_factors(event)?, time_of(event.time));
    let purchase = Purchased::of(event, rules)?;
    let (outcome, account) = book(&customer, rules, cause, |ledger| {
        let mut factors: Vec<Decimal> = own.iter().map(|(_, factor)| *factor).collect();
        factors.extend(purchase.campaigns(rules, &own));
        if !own.iter().any(|(name, _)| name == "tier") {
            factors.extend(rules.tier_multiplier(ledger.account.tier.as_deref()));
        }
        ledger.earn(&Earning { order: &order, amount, factors: &factors }, time)
    })?;
    if outcome != Outcome::Ok {
        return refused(&customer, outcome, &event.kind, &order);
    }
    if account.orders == 1 { crate::referral::first_order(&customer, &order) } else { Ok(()) }
}

/// An order, or part of it, was refunded.
pub(crate) fn refunded(event: &Event, rules: &Rules, cause: Cause<'_>) -> Result<(), Error> {
    let customer = subject(event)?;
    let order = order_of(event)?;
    let (amount, time) = (decimal(event, "amount")?, time_of(event.time));
    let (outcome, _) = book(&customer, rules, cause, |ledger| ledger.refund(order.as_deref(), amount, time))?;
    match outcome {
        Outcome::Ok => Ok(()),
        outcome => refused(&customer, outcome, &event.kind, order.as_deref().unwrap_or_default()),
    }
}

/// A bonus was given.
pub(crate) fn bonus(event: &Event, rules: &Rules, cause: Cause<'_>) -> Result<(), Error> {
    let customer = subject(event)?;
    let points = integer(event, "points")?.unwrap_or(0);
    let reason = optional_text(event, "reason")?.unwrap_or_default();
    let (bonus, time) =
        (Bonus { points, valid_days: integer(event, "valid_days")?, reason: &reason }, time_of(event.time));
    let (outcome, _) = book(&customer, rules, cause, |ledger| ledger.bonus(&bonus, time))?;
    if outcome == Outcome::Ok { Ok(()) } else { refused(&customer, outcome, &event.kind, &reason) }
}

/// What campaigns look at.
struct Purchased {
    day: Day,
    birthday: Option<Day>,
    channel: Option<String>,
    products: Vec<String>,
}

impl Purchased {
    fn of(event: &Event, rules: &Rules) -> Result<Self, Error> {
        let products = match event.data.get("products") {
            Some(Value::Json(Json::Array(items))) => {
                items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
            }
            _ => Vec::new(),
        };
        Ok(Self {
            day: rules.calendar.day(time_of(event.time)),
            birthday: event.record.as_ref().and_then(birthday),
            channel: optional_text(event, "channel")?,
            products,
        })
    }

    /// The factors of the campaigns that hold, apart from those whose names the order itself gives a factor.
    fn campaigns<'a>(&'a self, rules: &'a Rules, own: &'a [(String, Decimal)]) -> impl Iterator<Item = Decimal> + 'a {
        let (channel, products) = (self.channel.as_deref(), self.products.as_slice());
        let purchase = Purchase { day: self.day, birthday: self.birthday, channel, products };
        let holds = rules.campaigns.iter().filter(move |campaign| campaign.holds(&purchase));
        holds.filter(|campaign| own.iter().all(|(name, _)| *name != campaign.name)).map(|campaign| campaign.factor)
    }
}

fn birthday(customer: &Record) -> Option<Day> {
    match customer.fields.get("birthday") {
        Some(Value::Date(day)) => day.parse().ok(),
        _ => None,
    }
}

/// The multipliers that the event names.
fn given_factors(event: &Event) -> Result<Vec<(String, Decimal)>, Error> {
    let map = match event.data.get("multipliers") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Json(Json::Object(map))) => map,
        Some(_) => return Err(malformed(event, "multipliers", "a map of names to factors")),
    };
    let factor = |(name, json): (&String, &Json)| {
        let factor = exact(json).ok_or_else(|| malformed(event, "multipliers", "a map of names to factors"))?;
        Ok((name.clone(), factor))
    };
    map.iter().map(factor).collect()
}

fn malformed(event: &Event, field: &str, wanted: &str) -> Error {
    Error::new("invalid", format!("`{}`: `{field}` is {wanted}", event.kind))
}

/// The customer that the event is about.
pub(crate) fn subject(event: &Event) -> Result<Reference, Error> {
    let customer = event.subject.as_ref().filter(|subject| subject.object == "customer");
    customer.cloned().ok_or_else(|| Error::new("invalid", format!("`{}` is about a customer", event.kind)))
}

fn optional_text(event: &Event, field: &str) -> Result<Option<String>, Error> {
    match event.data.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Text(text)) if text.is_empty() => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text.clone())),
        Some(_) => Err(malformed(event, field, "a text")),
    }
}

/// The order's name; `order_no` is what the standard event calls it.
fn order_of(event: &Event) -> Result<Option<String>, Error> {
    Ok(optional_text(event, "order")?.or(optional_text(event, "order_no")?))
}

fn integer(event: &Event, field: &str) -> Result<Option<i64>, Error> {
    match event.data.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Int(n)) => Ok(Some(*n)),
        Some(_) => Err(malformed(event, field, "a whole number")),
    }
}

fn decimal(event: &Event, field: &str) -> Result<Decimal, Error> {
    let value = event.data.get(field).cloned().unwrap_or_default();
    Decimal::try_from(value).map_err(|_| malformed(event, field, "a number"))
}
