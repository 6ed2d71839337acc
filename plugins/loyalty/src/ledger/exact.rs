//! Products and floors without rounding on the way.

use rapport_sdk::Decimal;

use super::rules::Stacking;

/// An exact non-negative factor: `mantissa / 10^scale`, without trailing zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Factor(Decimal);

impl Factor {
    /// The factor that changes nothing.
    pub const ONE: Self = Self(Decimal::ONE);

    /// What `factors` come to together. `None` if one of them is negative, or the product has too many digits to be exact.
    #[must_use]
    pub fn stacked(factors: &[Decimal], stacking: Stacking) -> Option<Self> {
        if factors.iter().any(|f| f.is_sign_negative() && !f.is_zero()) {
            return None;
        }
        let stacked = match stacking {
            Stacking::Multiply => factors.iter().try_fold(Decimal::ONE, |all, f| exact_product(all, *f))?,
            Stacking::Add => factors.iter().try_fold(Decimal::ONE, |all, f| exact_sum(all, *f - Decimal::ONE))?,
            Stacking::Max => factors.iter().copied().max().unwrap_or(Decimal::ONE),
        };
        Some(Self(stacked.max(Decimal::ZERO).normalize()))
    }

    /// Reads what [`Factor::as_decimal`] gave.
    #[must_use]
    pub const fn from_decimal(decimal: Decimal) -> Self {
        Self(decimal)
    }

    /// The factor as a number.
    #[must_use]
    pub const fn as_decimal(self) -> Decimal {
        self.0
    }

    /// `floor(amount × factor)`; `None` if it is beyond all bounds.
    #[must_use]
    pub fn floor_of(self, amount: Decimal) -> Option<i64> {
        let amount = amount.normalize();
        let product = amount.mantissa().checked_mul(self.0.mantissa())?;
        let scale = amount.scale() + self.0.scale();
        // 10^39 is beyond 128 bits, and so is what is divided by it.
        let whole = 10_i128.checked_pow(scale).map_or_else(|| -i128::from(product < 0), |one| product.div_euclid(one));
        i64::try_from(whole).ok()
    }
}

fn exact_product(a: Decimal, b: Decimal) -> Option<Decimal> {
    let (a, b) = (a.normalize(), b.normalize());
    let mantissa = a.mantissa().checked_mul(b.mantissa())?;
    Decimal::try_from_i128_with_scale(mantissa, a.scale() + b.scale()).ok()
}

/// The sum, or none if it had to be rounded: taking one away again must give back the other.
fn exact_sum(a: Decimal, b: Decimal) -> Option<Decimal> {
    a.checked_add(b).filter(|sum| sum.checked_sub(b) == Some(a))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::from_str_exact(text).unwrap()
    }

    fn points(amount: &str, factors: &[&str], stacking: Stacking) -> Option<i64> {
        let factors: Vec<Decimal> = factors.iter().map(|f| decimal(f)).collect();
        Factor::stacked(&factors, stacking)?.floor_of(decimal(amount))
    }

    #[test]
    fn a_product_is_exact_and_floored_once() {
        assert_eq!(points("100.00", &["1.15"], Stacking::Multiply), Some(115));
        assert_eq!(points("100.00", &["1.1", "1.1", "1.1"], Stacking::Multiply), Some(133));
        assert_eq!(points("9.99", &["1.5", "2"], Stacking::Multiply), Some(29));
        assert_eq!(points("0.99", &[], Stacking::Multiply), Some(0));
        assert_eq!(points("33.333333", &["3"], Stacking::Multiply), Some(99));
    }

    #[test]
    fn factors_stack_in_three_ways() {
        let factors = ["1.5", "2", "1.2"];
        assert_eq!(points("100", &factors, Stacking::Multiply), Some(360));
        assert_eq!(points("100", &factors, Stacking::Add), Some(270));
        assert_eq!(points("100", &factors, Stacking::Max), Some(200));
        assert_eq!(points("100", &["0.2", "0.1"], Stacking::Add), Some(0));
        assert_eq!(points("100", &["0.5"], Stacking::Max), Some(50));
    }

    #[test]
    fn what_cannot_be_exact_is_refused() {
        assert_eq!(points("1", &["-1"], Stacking::Multiply), None);
        let long = ["1.123456789", "1.123456789", "1.123456789", "1.123456789"];
        assert_eq!(points("1", &long, Stacking::Multiply), None);
        assert_eq!(points("999999999999999", &["99999999", "99999999"], Stacking::Multiply), None);
    }
}
