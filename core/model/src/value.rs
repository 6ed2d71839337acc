//! What a field can hold.
//!
//! Values mean the same in memory, on SQLite and on PostgreSQL: text is NFC and compares bytewise; an integer lies within
//! ±(2^53 − 1), so that JSON readers keep it; a decimal has 15 significant digits at most, so that its scaled integer
//! stays in the same range; an instant has microseconds.

use std::cmp::Ordering;
use std::sync::Arc;

use jiff::civil::Date;
use rust_decimal::Decimal;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use crate::id::RecordId;
use crate::time::Timestamp;

/// The greatest integer that a field can hold, 2^53 − 1; the least is its negative.
pub const INTEGER_MAX: i64 = (1 << 53) - 1;
/// The greatest count of units (10^-scale) in a decimal field: 15 digits.
pub const DECIMAL_UNITS_MAX: i128 = 999_999_999_999_999;

/// What a field of a record or of an event holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// Nothing.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number, ±(2^53 − 1).
    Int(i64),
    /// An exact decimal number.
    Decimal(Decimal),
    /// Text in NFC, without the NUL character. A choice is a text too.
    Text(Arc<str>),
    /// A calendar day.
    Date(Date),
    /// An instant.
    Time(Timestamp),
    /// The id of another record.
    Ref(RecordId),
    /// Any JSON.
    Json(Arc<serde_json::Value>),
}

impl Value {
    /// A text value, brought into NFC.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Text(nfc(text))
    }

    /// Whether this is [`Value::Null`].
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The text, if this is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(t) => Some(t),
            _ => None,
        }
    }

    /// The referenced id, if this is a reference.
    #[must_use]
    pub const fn as_ref_id(&self) -> Option<RecordId> {
        match self {
            Self::Ref(id) => Some(*id),
            _ => None,
        }
    }

    /// The number as a decimal, if this is an integer or a decimal.
    #[must_use]
    pub fn as_decimal(&self) -> Option<Decimal> {
        match self {
            Self::Int(n) => Some(Decimal::from(*n)),
            Self::Decimal(d) => Some(*d),
            _ => None,
        }
    }

    /// The sum of two numbers: an integer if both are, else a decimal; `None` if either is no number or the sum leaves
    /// the range of fields.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => {
                a.checked_add(*b).filter(|s| s.unsigned_abs() <= INTEGER_MAX.unsigned_abs()).map(Self::Int)
            }
            _ => self.as_decimal()?.checked_add(other.as_decimal()?).map(Self::Decimal),
        }
    }

    /// The number with its sign turned; `None` if this is no number.
    #[must_use]
    pub fn negated(&self) -> Option<Self> {
        match self {
            Self::Int(n) => n.checked_neg().map(Self::Int),
            Self::Decimal(d) => Some(Self::Decimal(-*d)),
            _ => None,
        }
    }

    /// The order of two values of one kind (integers and decimals are one); `None` across kinds, with nulls, and for JSON.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(b)),
            (Self::Text(a), Self::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
            (Self::Date(a), Self::Date(b)) => Some(a.cmp(b)),
            (Self::Time(a), Self::Time(b)) => Some(a.cmp(b)),
            (Self::Ref(a), Self::Ref(b)) => Some(a.cmp(b)),
            _ => Some(self.as_decimal()?.cmp(&other.as_decimal()?)),
        }
    }
}

/// `text` in Unicode normalization form C.
#[must_use]
pub fn nfc(text: &str) -> Arc<str> {
    if text.is_ascii() || is_nfc_quick(text.chars()) == IsNormalized::Yes {
        return text.into();
    }
    text.nfc().collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_one_whichever_way_it_was_composed() {
        assert_eq!(Value::text("e\u{301}"), Value::text("\u{e9}"));
    }

    #[test]
    fn a_sum_stays_in_the_range_of_json() {
        assert_eq!(Value::Int(2).plus(&Value::Int(3)), Some(Value::Int(5)));
        assert_eq!(Value::Int(INTEGER_MAX).plus(&Value::Int(1)), None);
        assert_eq!(Value::Int(1).plus(&Value::text("a")), None);
    }

    #[test]
    fn integers_and_decimals_compare_as_numbers() {
        let half = Value::Decimal(Decimal::new(5, 1));
        assert_eq!(Value::Int(1).compare(&half), Some(Ordering::Greater));
        assert_eq!(Value::Null.compare(&half), None);
    }
}
