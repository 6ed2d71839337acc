//! Exact numbers of rules: a count of units (10^-scale) that fits 64 bits, as SQLite computes.
//!
//! One arithmetic for memory and both databases: a result that leaves 64 bits, and a division by zero, is nothing.
//! Comparisons never overflow.

use std::cmp::Ordering;

use rust_decimal::Decimal;

use crate::value::Value;

/// The most decimals of a literal, a parameter or a field.
pub const SCALE_MAX: u8 = 6;
/// The most decimals of a product.
pub const PRODUCT_SCALE_MAX: u8 = 18;

/// An exact number: `units` × 10^-`scale`.
#[derive(Debug, Clone, Copy)]
pub struct Number {
    /// How many units.
    pub units: i64,
    /// Digits after the point, 18 at most.
    pub scale: u8,
}

/// An operator of arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    /// `+`
    Plus,
    /// `-`
    Minus,
    /// `*`
    Times,
    /// `/`, of whole numbers alone: cuts towards zero
    Over,
    /// `%`, of whole numbers alone: takes the sign of its left side
    Remainder,
}

impl Arithmetic {
    /// The sign that an author writes.
    #[must_use]
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Plus => "+",
            Self::Minus => "-",
            Self::Times => "*",
            Self::Over => "/",
            Self::Remainder => "%",
        }
    }

    /// The scale of the result of two numbers of these scales.
    #[must_use]
    pub fn scale(self, left: u8, right: u8) -> u8 {
        match self {
            Self::Plus | Self::Minus => left.max(right),
            Self::Times => left.saturating_add(right),
            Self::Over | Self::Remainder => 0,
        }
    }
}

impl Number {
    /// A whole number.
    #[must_use]
    pub const fn whole(units: i64) -> Self {
        Self { units, scale: 0 }
    }

    /// The number of an integer or decimal value, without zeros at its end; nothing if it is no number, has more than
    /// 6 decimals or more units than 64 bits hold.
    #[must_use]
    pub fn of(value: &Value) -> Option<Self> {
        if let Value::Int(units) = value {
            return Some(Self::whole(*units));
        }
        let decimal = value.as_decimal()?.normalize();
        let scale = u8::try_from(decimal.scale()).ok().filter(|s| *s <= SCALE_MAX)?;
        Some(Self { units: i64::try_from(decimal.mantissa()).ok()?, scale })
    }

    /// The number of an integer or decimal value in units of `scale`; nothing if it is no number, has more decimals or does
    /// not fit 64 bits.
    #[must_use]
    pub fn in_scale(value: &Value, scale: u8) -> Option<Self> {
        match value {
            // As fields hold it: nothing to cut off, which is costly.
            Value::Decimal(decimal) if decimal.scale() == u32::from(scale) => {
                Some(Self { units: i64::try_from(decimal.mantissa()).ok()?, scale })
            }
            _ => Self::of(value)?.at_scale(scale),
        }
    }

    /// As a decimal.
    #[must_use]
    pub fn to_decimal(self) -> Decimal {
        Decimal::new(self.units, u32::from(self.scale))
    }

    /// The same number counted in units of a scale that is not smaller; nothing if they pass 64 bits.
    #[must_use]
    pub fn at_scale(self, scale: u8) -> Option<Self> {
        let up = scale.checked_sub(self.scale)?;
        let factor = 10_i64.checked_pow(u32::from(up))?;
        Some(Self { units: self.units.checked_mul(factor)?, scale })
    }

    /// Computes; nothing on overflow of 64 bits, on division by zero, and for `/` and `%` of numbers with decimals.
    #[must_use]
    pub fn compute(self, operator: Arithmetic, right: Self) -> Option<Self> {
        let scale = operator.scale(self.scale, right.scale);
        let (left, other) = (self.units, right.units);
        let units = match operator {
            Arithmetic::Plus => self.at_scale(scale)?.units.checked_add(right.at_scale(scale)?.units),
            Arithmetic::Minus => self.at_scale(scale)?.units.checked_sub(right.at_scale(scale)?.units),
            Arithmetic::Times => left.checked_mul(other),
            _ if self.scale != 0 || right.scale != 0 || other == 0 => None,
            Arithmetic::Over => left.checked_div(other),
            Arithmetic::Remainder => Some(left.wrapping_rem(other)),
        };
        units.map(|units| Self { units, scale })
    }

    /// The number with its sign turned.
    #[must_use]
    pub fn negated(self) -> Option<Self> {
        Some(Self { units: self.units.checked_neg()?, scale: self.scale })
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        // 64 bits times 10^18 fit 128: the scales are 18 at most.
        let scale = self.scale.max(other.scale);
        let wide = |n: &Self| i128::from(n.units) * 10_i128.pow(u32::from(scale - n.scale));
        wide(self).cmp(&wide(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(units: i64, scale: u8) -> Number {
        Number { units, scale }
    }

    #[test]
    fn numbers_of_different_scales_compare_exactly() {
        assert_eq!(number(150, 2), number(15, 1));
        assert!(number(i64::MAX, 0) > number(i64::MAX, 18));
        assert!(number(-1, 6) < number(0, 0));
    }

    #[test]
    fn a_result_beyond_64_bits_is_nothing() {
        let most = Number::whole(i64::MAX);
        assert_eq!(most.compute(Arithmetic::Plus, Number::whole(1)), None);
        assert_eq!(most.compute(Arithmetic::Times, Number::whole(2)), None);
        assert_eq!(most.compute(Arithmetic::Plus, number(1, 1)), None, "its tenths do not fit");
        assert_eq!(Number::whole(i64::MIN).negated(), None);
        assert_eq!(Number::whole(i64::MIN).compute(Arithmetic::Over, Number::whole(-1)), None);
    }

    #[test]
    fn division_cuts_towards_zero_and_by_zero_is_nothing() {
        let seven = Number::whole(-7);
        assert_eq!(seven.compute(Arithmetic::Over, Number::whole(2)), Some(Number::whole(-3)));
        assert_eq!(seven.compute(Arithmetic::Remainder, Number::whole(2)), Some(Number::whole(-1)));
        assert_eq!(seven.compute(Arithmetic::Over, Number::whole(0)), None);
        assert_eq!(seven.compute(Arithmetic::Remainder, Number::whole(0)), None);
        assert_eq!(Number::whole(i64::MIN).compute(Arithmetic::Remainder, Number::whole(-1)), Some(Number::whole(0)));
    }

    #[test]
    fn a_product_adds_the_decimals() {
        let product = number(150, 2).compute(Arithmetic::Times, number(-25, 1));
        assert_eq!(product.map(|p| (p.units, p.scale)), Some((-3750, 3)));
    }

    #[test]
    fn a_value_is_counted_in_the_units_of_its_field() {
        let units = |value, scale| Number::in_scale(&value, scale).map(|n| (n.units, n.scale));
        assert_eq!(units(Value::Decimal(Decimal::new(1_050, 2)), 2), Some((1_050, 2)));
        assert_eq!(units(Value::Decimal(Decimal::new(10_500, 3)), 2), Some((1_050, 2)));
        assert_eq!(units(Value::Int(7), 2), Some((700, 2)));
        assert_eq!(units(Value::Decimal(Decimal::new(1, 3)), 2), None);
        assert_eq!(units(Value::Decimal(Decimal::MAX), 0), None);
        assert_eq!(units(Value::Null, 0), None);
    }

    #[test]
    fn a_value_with_too_many_decimals_is_no_number() {
        assert_eq!(Number::of(&Value::Decimal(Decimal::new(1, 7))), None);
        assert_eq!(Number::of(&Value::Decimal(Decimal::MAX)), None);
        assert_eq!(Number::of(&Value::Decimal(Decimal::new(1_500, 3))), Some(number(15, 1)));
    }
}
