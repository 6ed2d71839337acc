//! Reads the rules from the settings that an operator gave.

use rapport_sdk::{Decimal, Error, Json, Value, WrongKind, settings};

use crate::ledger::{
    Calendar, Campaign, Consume, Day, Expiry, ExpiryKind, Period, Rules, Shortfall, Stacking, TierBy, TierRule,
};

/// The longest span in settings, in their unit.
const SPAN_MAX: i64 = 36_500;

/// The rules that hold now.
///
/// # Errors
/// `setting` names the setting that cannot be, and what it can be.
pub(crate) fn rules() -> Result<Rules, Error> {
    let tz: String = settings::get("tz")?;
    let calendar = Calendar::of(&tz).ok_or_else(|| wrong("tz", &format!("`{tz}` is no IANA time zone")))?;
    let stacking =
        choice("stacking", &[("multiply", Stacking::Multiply), ("add", Stacking::Add), ("max", Stacking::Max)])?;
    let consume = choice("consume", &[("expiry_then_earn", Consume::ExpiryThenEarn), ("earn", Consume::Earn)])?;
    let refund_shortfall = choice("refund_shortfall", &[("negative", Shortfall::Negative), ("cap", Shortfall::Cap)])?;
    let redeem_block = whole("redeem_block", 1, crate::ledger::POINTS_MAX)?;
    Ok(Rules {
        stacking,
        campaigns: list("campaigns", campaign)?,
        expiry: expiry(&value("expiry")?)?,
        consume,
        redeem_block,
        value_per_block: money("value_per_block", &value("value_per_block")?)?,
        pending_days: days("pending_days")?,
        refund_shortfall,
        earn_cap_per_day: cap()?,
        tiers: tiers()?,
        tier_by: choice("tier_by", &[("points", TierBy::Points), ("spend", TierBy::Spend)])?,
        tier_period: tier_period()?,
        tier_grace_days: days("tier_grace_days")?,
        warn_days: days("warn_days")?,
        ..Rules::standard(calendar)
    })
}

fn wrong(name: &str, why: &str) -> Error {
    Error::new("setting", format!("setting `{name}`: {why}"))
}

/// A setting of any kind, as JSON.
struct Any(Json);

impl TryFrom<Value> for Any {
    type Error = WrongKind;

    fn try_from(value: Value) -> Result<Self, WrongKind> {
        Ok(Self(match value {
            Value::Null => Json::Null,
            Value::Bool(yes) => yes.into(),
            Value::Int(n) => n.into(),
            Value::Decimal(n) => n.to_string().into(),
            Value::Text(text) | Value::Date(text) => text.into(),
            Value::Time(at) => at.0.into(),
            Value::Ref(reference) => reference.to_string().into(),
            Value::Json(json) => json,
        }))
    }
}

fn value(name: &str) -> Result<Json, Error> {
    settings::get::<Any>(name).map(|any| any.0)
}

fn choice<T: Copy>(name: &str, all: &[(&str, T)]) -> Result<T, Error> {
    let text: String = settings::get(name)?;
    let names = || all.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let found = all.iter().find(|(name, _)| *name == text);
    found.map(|(_, one)| *one).ok_or_else(|| wrong(name, &format!("`{text}` is none of {}", names())))
}

fn whole(name: &str, min: i64, max: i64) -> Result<i64, Error> {
    let n: i64 = settings::get(name)?;
    if (min..=max).contains(&n) { Ok(n) } else { Err(wrong(name, &format!("{n} is not from {min} to {max}"))) }
}

fn days(name: &str) -> Result<i32, Error> {
    Ok(i32::try_from(whole(name, 0, SPAN_MAX)?).unwrap_or(0))
}

fn cap() -> Result<Option<i64>, Error> {
    match value("earn_cap_per_day")? {
        Json::Null => Ok(None),
        Json::Number(n) if n.as_i64() == Some(0) => Ok(None),
        Json::Number(n) if n.as_i64().is_some_and(|n| n > 0) => Ok(n.as_i64()),
        other => Err(wrong("earn_cap_per_day", &format!("{other} is no number of points; 0 is none"))),
    }
}

/// Money, or any exact number, as text or as a number.
pub(crate) fn money(name: &str, json: &Json) -> Result<Decimal, Error> {
    exact(json).filter(|d| !d.is_sign_negative()).ok_or_else(|| wrong(name, &format!("{json} is no number from 0 on")))
}

/// An exact number from JSON: a text, or a number as it is written.
pub(crate) fn exact(json: &Json) -> Option<Decimal> {
    let text = match json {
        Json::String(text) => text.clone(),
        Json::Number(number) => number.to_string(),
        _ => return None,
    };
    Decimal::from_str_exact(&text).or_else(|_| Decimal::from_scientific(&text)).ok()
}

fn expiry(json: &Json) -> Result<Expiry, Error> {
    let kind = match json["kind"].as_str() {
        Some("none") => ExpiryKind::None,
        Some("days") => ExpiryKind::Days,
        Some("months") => ExpiryKind::Months,
        Some("year_end") => ExpiryKind::YearEnd,
        _ => return Err(wrong("expiry", "`kind` is `none`, `days`, `months` or `year_end`")),
    };
    let n = match &json["n"] {
        Json::Null if kind == ExpiryKind::None => Some(0),
        n => n.as_i64().filter(|n| (0..=SPAN_MAX).contains(n)),
    };
    let n = n.and_then(|n| i32::try_from(n).ok()).ok_or_else(|| wrong("expiry", "`n` is a whole number from 0 on"))?;
    Ok(Expiry { kind, n })
}

fn tier_period() -> Result<Period, Error> {
    let text: String = settings::get("tier_period")?;
    match text.as_str() {
        "year" => Ok(Period::Year),
        "rolling" => Ok(Period::Rolling(i32::try_from(whole("tier_months", 1, 120)?).unwrap_or(12))),
        _ => Err(wrong("tier_period", &format!("`{text}` is none of `rolling`, `year`"))),
    }
}

/// Reads a list of tables.
fn list<T>(name: &str, read: fn(&str, &Json) -> Result<T, Error>) -> Result<Vec<T>, Error> {
    match value(name)? {
        Json::Array(items) => items.iter().map(|item| read(name, item)).collect(),
        other => Err(wrong(name, &format!("{other} is no list"))),
    }
}

fn tiers() -> Result<Vec<TierRule>, Error> {
    let mut tiers = list("tiers", |setting, json| {
        let name = json["name"].as_str().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| wrong(setting, &format!("{json} has no `name`")))?.into();
        let multiplier = json.get("multiplier").map_or(Ok(Decimal::ONE), |m| money(setting, m))?;
        Ok(TierRule { name, from: money(setting, &json["from"])?, multiplier })
    })?;
    tiers.sort_by_key(|tier| tier.from);
    let twice = tiers.windows(2).any(|pair| pair[0].from == pair[1].from || pair[0].name == pair[1].name);
    if twice { Err(wrong("tiers", "two of them have the same `from` or `name`")) } else { Ok(tiers) }
}

fn campaign(setting: &str, json: &Json) -> Result<Campaign, Error> {
    let known =
        ["name", "factor", "from", "until", "weekdays", "days_of_month", "birthday_month", "channels", "products"];
    let unknown = json.as_object().and_then(|table| table.keys().find(|key| !known.contains(&key.as_str())));
    if let Some(key) = unknown {
        return Err(wrong(setting, &format!("unknown key `{key}`; known are {}", known.join(", "))));
    }
    let name = json["name"].as_str().filter(|name| !name.is_empty());
    Ok(Campaign {
        name: name.ok_or_else(|| wrong(setting, &format!("{json} has no `name`")))?.into(),
        factor: money(setting, &json["factor"])?,
        from: day(setting, &json["from"])?,
        until: day(setting, &json["until"])?,
        weekdays: small(setting, &json["weekdays"], 7)?,
        days_of_month: small(setting, &json["days_of_month"], 31)?,
        birthday_month: json["birthday_month"].as_bool().unwrap_or(false),
        channels: texts(&json["channels"]),
        products: texts(&json["products"]),
    })
}

fn day(setting: &str, json: &Json) -> Result<Option<Day>, Error> {
    match json {
        Json::Null => Ok(None),
        Json::String(text) => text.parse().map(Some).map_err(|_| wrong(setting, &format!("`{text}` is no day"))),
        other => Err(wrong(setting, &format!("{other} is no day such as \"2026-03-01\""))),
    }
}

fn small(setting: &str, json: &Json, max: i64) -> Result<Vec<i8>, Error> {
    let items = json.as_array().map_or(&[][..], Vec::as_slice);
    let one = |item: &Json| item.as_i64().filter(|n| (1..=max).contains(n)).and_then(|n| i8::try_from(n).ok());
    items
        .iter()
        .map(|item| one(item).ok_or_else(|| wrong(setting, &format!("{item} is not from 1 to {max}"))))
        .collect()
}

fn texts(json: &Json) -> Vec<String> {
    json.as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}
