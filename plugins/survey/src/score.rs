//! The action `survey.score`: scores from counts that somebody brings.

use rapport_sdk::{Error, Json};
use serde_json::json;

use crate::scores::{self, Counts, Interval, Item};

/// The most answers that are counted together: up to there a double holds each whole number.
const ANSWERS_MAX: u64 = 1 << 53;
/// The most points of a scale.
const POINTS_MAX: i64 = 1_001;

/// What the input asks for.
///
/// # Errors
/// `invalid` names what is wrong with it, and what it can be.
pub(crate) fn score(input: &Json) -> Result<Json, Error> {
    match input["kind"].as_str() {
        Some("nps") => nps(input),
        Some("csat") => top_box(input, (1, 5), 4),
        Some("ces") => top_box(input, (1, 7), 5),
        Some("index") => index(input),
        _ => Err(wrong("kind", &format!("{} is none of `nps`, `csat`, `ces`, `index`", input["kind"]))),
    }
}

fn wrong(place: &str, why: &str) -> Error {
    Error::new("invalid", format!("`{place}`: {why}"))
}

/// Refuses members that another kind has.
fn only(input: &Json, known: &[&str]) -> Result<(), Error> {
    let stray = input.as_object().and_then(|map| map.keys().find(|key| !known.contains(&key.as_str())));
    match stray {
        Some(key) => Err(wrong(key, &format!("there is none for this kind; there are {}", known.join(", ")))),
        None => Ok(()),
    }
}

fn nps(input: &Json) -> Result<Json, Error> {
    only(input, &["kind", "counts", "scale"])?;
    let scale = scale(input, (0, 10))?;
    if scale != (0, 10) {
        return Err(wrong("scale", "a net promoter score is asked from 0 to 10: write [0, 10], or leave it out"));
    }
    let counts = counts(input, scale)?;
    let found = scores::nps(&counts);
    Ok(json!({
        "n": counts.n(),
        "score": found.map(|nps| nps.score),
        "interval": found.map(|nps| nps.interval),
        "wald": found.map(|nps| nps.wald),
        "mean": counts.mean(),
    }))
}

fn top_box(input: &Json, usual: (i64, i64), usual_from: i64) -> Result<Json, Error> {
    only(input, &["kind", "counts", "scale", "positive_from"])?;
    let (min, max) = scale(input, usual)?;
    let counts = counts(input, (min, max))?;
    let from = match &input["positive_from"] {
        Json::Null => usual_from,
        given => whole(given).ok_or_else(|| wrong("positive_from", &format!("{given} is no whole number")))?,
    };
    if from <= min || from > max {
        return Err(wrong("positive_from", &format!("{from} is not above {min} and at most {max}")));
    }
    let share = scores::share(counts.between(from, max), counts.n());
    let interval: Option<Interval> = share.map(|share| share.interval);
    Ok(json!({ "n": counts.n(), "score": share.map(|s| s.score), "interval": interval, "mean": counts.mean() }))
}

fn scale(input: &Json, usual: (i64, i64)) -> Result<(i64, i64), Error> {
    let given = match &input["scale"] {
        Json::Null => return Ok(usual),
        Json::Array(ends) => ends.iter().map(whole).collect::<Option<Vec<_>>>(),
        _ => None,
    };
    let Some([min, max]) = given.as_deref() else {
        return Err(wrong("scale", &format!("{} is not [min, max] of whole numbers", input["scale"])));
    };
    if min >= max {
        return Err(wrong("scale", &format!("{min} is not below {max}")));
    }
    if max.saturating_sub(*min) >= POINTS_MAX {
        return Err(wrong("scale", &format!("it has more than {POINTS_MAX} points")));
    }
    Ok((*min, *max))
}

fn counts(input: &Json, (min, max): (i64, i64)) -> Result<Counts, Error> {
    let Json::Array(given) = &input["counts"] else {
        return Err(wrong("counts", "a list is needed, with one count for each point of the scale"));
    };
    let points = max - min + 1;
    if i64::try_from(given.len()) != Ok(points) {
        let why = format!("{} counts for the {points} points from {min} to {max}", given.len());
        return Err(wrong("counts", &why));
    }
    let mut counts = Vec::with_capacity(given.len());
    for (place, one) in given.iter().enumerate() {
        let count = whole(one).and_then(|n| u64::try_from(n).ok()).filter(|n| *n < ANSWERS_MAX);
        let why = || wrong(&format!("counts/{place}"), &format!("{one} is no whole number from 0 on, below 2^53"));
        counts.push(count.ok_or_else(why)?);
    }
    let total = counts.iter().try_fold(0_u64, |sum, n| sum.checked_add(*n)).filter(|sum| *sum < ANSWERS_MAX);
    total.ok_or_else(|| wrong("counts", "more than 2^53 answers together"))?;
    Ok(Counts::new(min, counts))
}

/// A whole number, however it is written: `3`, `3.0`.
fn whole(json: &Json) -> Option<i64> {
    json.as_i64().or_else(|| {
        let real = json.as_f64().filter(|real| real.fract() == 0.0 && real.abs() < 9.0e15)?;
        format!("{real:.0}").parse().ok()
    })
}

fn number(json: &Json, place: &str) -> Result<f64, Error> {
    let finite = json.as_f64().filter(|real| real.is_finite() && real.abs() <= 1.0e15);
    finite.ok_or_else(|| wrong(place, &format!("{json} is no number")))
}

fn index(input: &Json) -> Result<Json, Error> {
    only(input, &["kind", "min", "max", "items"])?;
    let (min, max) = (number(&input["min"], "min")?, number(&input["max"], "max")?);
    if min >= max {
        return Err(wrong("min", &format!("{min} is not below `max`, {max}")));
    }
    let Json::Array(given) = &input["items"] else { return Err(wrong("items", "a list is needed")) };
    if given.is_empty() {
        return Err(wrong("items", "there are none, so there is nothing to make an index of"));
    }
    let read = |(place, one)| item(one, &format!("items/{place}"), (min, max));
    let items = given.iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
    if items.iter().all(|item| item.weight == 0.0) {
        return Err(wrong("items", "all weights are 0, so nothing counts"));
    }
    Ok(json!({ "score": scores::index(&items, (min, max)) }))
}

fn item(json: &Json, place: &str, (min, max): (f64, f64)) -> Result<Item, Error> {
    let inner = |name: &str| format!("{place}/{name}");
    let weight = number(&json["weight"], &inner("weight"))?;
    if weight < 0.0 {
        return Err(wrong(&inner("weight"), &format!("{weight} is below 0")));
    }
    let Json::Array(answers) = &json["answers"] else { return Err(wrong(&inner("answers"), "a list is needed")) };
    let (mut sum, mut n) = (0.0, 0.0);
    for (at, answer) in answers.iter().enumerate() {
        let place = inner(&format!("answers/{at}"));
        let value = number(answer, &place)?;
        if value < min || value > max {
            return Err(wrong(&place, &format!("{value} is not from {min} to {max}")));
        }
        sum += value;
        n += 1.0;
    }
    Ok(Item { weight, mean: (n > 0.0).then(|| sum / n) })
}

#[cfg(test)]
mod tests;
