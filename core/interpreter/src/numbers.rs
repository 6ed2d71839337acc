//! Numbers as authors expect them: whole results are integers, and both kinds of number take every function.

use rhai::{Dynamic, Engine, EvalAltResult};
use rust_decimal::prelude::ToPrimitive;
use rust_decimal::{Decimal, RoundingStrategy};

use crate::view::Answer;

/// Adds the functions to `engine`. `floor`, `ceiling`, `round` and `truncate` give an integer; `round(x, digits)` a decimal.
pub(crate) fn register(engine: &mut Engine) {
    whole(engine, "floor", |d| d.floor());
    whole(engine, "ceiling", |d| d.ceil());
    whole(engine, "ceil", |d| d.ceil());
    whole(engine, "truncate", |d| d.trunc());
    whole(engine, "int", |d| d.trunc());
    whole(engine, "to_int", |d| d.trunc());
    // Half away from zero is what people mean by rounding money; Rhai's own would round half to even.
    whole(engine, "round", |d| d.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero));
    engine.register_fn("round", round_to);
    engine.register_fn("sign", |d: Decimal| if d.is_zero() { 0 } else { 1 - 2 * i64::from(d.is_sign_negative()) });
    engine.register_fn("abs", |d: Decimal| d.abs());
    for name in ["min", "max"] {
        engine.register_fn(name, move |a: i64, b: Decimal| pick(name, Decimal::from(a), b));
        engine.register_fn(name, move |a: Decimal, b: i64| pick(name, a, Decimal::from(b)));
        engine.register_fn(name, move |a: Decimal, b: Decimal| pick(name, a, b));
    }
}

fn whole(engine: &mut Engine, name: &'static str, round: fn(Decimal) -> Decimal) {
    engine.register_fn(name, move |d: Decimal| integer(name, round(d)));
    engine.register_fn(name, |n: i64| n);
}

fn integer(name: &str, number: Decimal) -> Answer<i64> {
    number.to_i64().ok_or_else(|| -> Box<EvalAltResult> { format!("{name}: {number} is no integer of 64 bits").into() })
}

fn round_to(number: Decimal, digits: i64) -> Answer<Dynamic> {
    let places = u32::try_from(digits).ok().filter(|d| *d <= 28);
    let places =
        places.ok_or_else(|| -> Box<EvalAltResult> { format!("round: {digits} digits; use 0 to 28").into() })?;
    Ok(Dynamic::from_decimal(number.round_dp_with_strategy(places, RoundingStrategy::MidpointAwayFromZero)))
}

fn pick(name: &str, a: Decimal, b: Decimal) -> Dynamic {
    Dynamic::from_decimal(if name == "min" { a.min(b) } else { a.max(b) })
}
