//! What a script can call when it runs: the host's functions, and the properties of what they return.

mod calendars;
mod flow;
mod outbound;
mod records;
mod several;
mod views;

pub(crate) use several::reply;
pub(crate) use views::register_properties;

use rhai::{Dynamic, Engine, EvalAltResult, ImmutableString, Map, NativeCallContext};
use rust_decimal::Decimal;

use crate::bindings::rapport::plugin::types::{Error, Field, Value};
use crate::bindings::rapport::plugin::{clock, events, log, random, settings};
use crate::failure::{give_up, raise};
use crate::time::Instant;
use crate::values::{Reference, from_dynamic, to_dynamic};
use crate::view::{Answer, RecordView};

/// The microseconds of a day.
const DAY_MICROS: i64 = 86_400_000_000;

/// Makes every function known to `engine`.
pub(crate) fn register(engine: &mut Engine) {
    views::register(engine);
    records::register(engine);
    flow::register(engine);
    outbound::register(engine);
    several::register(engine);
    calendars::register(engine);
    register_events(engine);
    register_log(engine);
    register_time(engine);
    register_random(engine);
    engine.register_fn("setting", |name: &str| -> Answer<Dynamic> {
        let value = settings::get(name).map_err(raise)?;
        to_dynamic(&value).map_err(|why| format!("setting `{name}`: {why}").into())
    });
    engine.register_fn("fail", |context: NativeCallContext<'_>, message: &str| -> Answer<()> {
        Err(give_up(message, context.call_position()))
    });
}

/// A record that a call is about: its object and its key.
struct Target {
    object: String,
    key: String,
}

impl From<&RecordView> for Target {
    fn from(record: &RecordView) -> Self {
        record.reference().into()
    }
}

impl From<Reference> for Target {
    fn from(reference: Reference) -> Self {
        Self { object: reference.object, key: reference.id }
    }
}

impl Target {
    /// What `value` names: a record, a reference or a text `object/key`.
    fn of(value: &Dynamic) -> Answer<Self> {
        if let Some(record) = value.read_lock::<RecordView>() {
            return Ok(Self::from(&*record));
        }
        if let Some(reference) = value.read_lock::<Reference>() {
            return Ok(reference.clone().into());
        }
        let text = value.as_immutable_string_ref().ok();
        if let Some((object, key)) = text.as_ref().and_then(|t| t.split_once('/')) {
            return Ok(Self { object: object.into(), key: key.into() });
        }
        Err(invalid(format!("expected a record, a reference or a text `object/key`, got a {}", kind(value))))
    }
}

/// The key that `value` is: an id, `field:value`, or that of a record or reference.
fn key_of(value: &Dynamic) -> Answer<String> {
    match value.as_immutable_string_ref() {
        Ok(text) => Ok(text.as_str().into()),
        Err(_) => Target::of(value).map(|t| t.key),
    }
}

fn fields_of(map: &Map) -> Answer<Vec<Field>> {
    let convert = |(name, value): (_, &Dynamic)| {
        let name: &rhai::Identifier = name;
        let value = from_dynamic(value).map_err(|why| invalid(format!("field `{name}`: {why}")))?;
        Ok(Field { name: name.as_str().into(), value })
    };
    map.iter().map(convert).collect()
}

fn invalid(message: String) -> Box<EvalAltResult> {
    raise(Error { code: "invalid".into(), message, retryable: false })
}

fn kind(value: &Dynamic) -> &'static str {
    match value.type_name() {
        "()" => "missing value `()`",
        "i64" => "integer",
        "string" => "text",
        "decimal" | "rust_decimal::Decimal" => "decimal",
        "bool" => "boolean",
        "map" => "map",
        "array" => "array",
        _ => "value of another type",
    }
}

fn register_events(engine: &mut Engine) {
    engine.register_fn("emit", |kind: &str, subject: RecordView, data: Map| emit(kind, &(&subject).into(), &data));
    engine.register_fn("emit", |kind: &str, subject: Reference, data: Map| emit(kind, &subject.into(), &data));
    engine.register_fn("emit", |kind: &str, subject: Dynamic, data: Map| -> Answer<()> {
        if subject.is_unit() {
            return events::emit(kind, "", &fields_of(&data)?).map_err(raise);
        }
        emit(kind, &Target::of(&subject)?, &data)
    });
    engine.register_fn("emit", |kind: &str, data: Map| -> Answer<()> {
        events::emit(kind, "", &fields_of(&data)?).map_err(raise)
    });
}

fn emit(kind: &str, subject: &Target, data: &Map) -> Answer<()> {
    let subject = format!("{}/{}", subject.object, subject.key);
    events::emit(kind, &subject, &fields_of(data)?).map_err(raise)
}

fn register_log(engine: &mut Engine) {
    engine.on_print(|text| log::write(log::Level::Info, text));
    engine.on_debug(|text, _, position| {
        let line = position.line().unwrap_or(0);
        log::write(log::Level::Debug, &format!("line {line}: {text}"));
    });
    engine.register_fn("log", |text: ImmutableString| log::write(log::Level::Info, &text));
    // Rhai has a logarithm of that name; whoever writes `log(amount)` means this one.
    engine.register_fn("log", |number: Decimal| log::write(log::Level::Info, &number.to_string()));
    engine.register_fn("log", |context: NativeCallContext<'_>, value: Dynamic| -> Answer<()> {
        let text = context.call_native_fn::<ImmutableString>("to_string", (value,))?;
        log::write(log::Level::Info, &text);
        Ok(())
    });
    engine.register_fn("log", |level: &str, text: &str| -> Answer<()> {
        let level = match level {
            "debug" => log::Level::Debug,
            "info" => log::Level::Info,
            "warn" => log::Level::Warn,
            "error" => log::Level::Error,
            other => return Err(invalid(format!("`{other}` is no level: write `debug`, `info`, `warn` or `error`"))),
        };
        log::write(level, text);
        Ok(())
    });
}

fn register_time(engine: &mut Engine) {
    engine.register_fn("now", || Instant(clock::now()));
    engine.register_fn("days_between", |from: Instant, to: Instant| from.days_until(to));
    engine.register_fn("plus_days", |time: Instant, days: i64| time.plus_days(days));
    engine
        .register_fn("plus_hours", |time: Instant, hours: i64| time.plus_micros(hours.saturating_mul(DAY_MICROS / 24)));
    // Seconds, exact to the microsecond.
    engine.register_fn("-", |a: Instant, b: Instant| Decimal::new(a.0.saturating_sub(b.0), 6).normalize());
}

fn register_random(engine: &mut Engine) {
    // Fifteen digits: exact as a decimal and more than anyone needs of a probability.
    engine.register_fn("random", || Decimal::from_i128_with_scale(draw(1_000_000_000_000_000), 15));
    engine.register_fn("random_int", |low: i64, high: i64| -> Answer<i64> {
        if low > high {
            return Err(invalid(format!("random_int: {low} is greater than {high}")));
        }
        let span = i128::from(high) - i128::from(low) + 1;
        // The sum lies between `low` and `high`, so the conversion holds.
        i64::try_from(i128::from(low) + draw(span)).map_err(|e| invalid(e.to_string()))
    });
}

/// A number from 0 to `span` - 1, `span` at most 2^64. From 120 random bits, so that no bias is left to notice.
fn draw(span: i128) -> i128 {
    let bytes = random::bytes(15);
    bytes.iter().fold(0_i128, |sum, b| (sum << 8) | i128::from(*b)) % span
}

/// The value of the contract for `value`.
fn value_of(value: &Dynamic) -> Answer<Value> {
    from_dynamic(value).map_err(invalid)
}
