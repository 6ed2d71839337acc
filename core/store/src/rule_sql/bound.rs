//! A number brought to the units of what it is compared with.

use rapport_model::rule::number::Number;
use rapport_model::rule::tree::Comparison;

/// What remains of a comparison of units that fit 64 bits with a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    /// Compares with these units.
    Units(Comparison, i64),
    /// Holds for all units; `!=` also for null.
    Always,
    /// Holds for none.
    Never,
}

/// The comparison of units of `scale` with `number`, in whole units.
pub(super) fn bound(comparison: Comparison, number: Number, scale: u8) -> Bound {
    let up = 10_i128.pow(u32::from(scale.saturating_sub(number.scale)));
    let down = 10_i128.pow(u32::from(number.scale.saturating_sub(scale)));
    let units = i128::from(number.units) * up;
    let (floor, exact) = (units.div_euclid(down), units.rem_euclid(down) == 0);
    let comparison = match comparison {
        Comparison::Equal if !exact => return Bound::Never,
        Comparison::NotEqual if !exact => return Bound::Always,
        // Between two units: at most the one below is less, and from the next one on all are greater.
        Comparison::Less if !exact => Comparison::LessOrEqual,
        Comparison::GreaterOrEqual if !exact => Comparison::Greater,
        other => other,
    };
    match i64::try_from(floor) {
        Ok(units) => Bound::Units(comparison, units),
        Err(_) => match (comparison, floor > 0) {
            (Comparison::NotEqual, _)
            | (Comparison::Less | Comparison::LessOrEqual, true)
            | (Comparison::Greater | Comparison::GreaterOrEqual, false) => Bound::Always,
            _ => Bound::Never,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};

    fn number(units: i64, scale: u8) -> Number {
        Number { units, scale }
    }

    #[test]
    fn a_number_that_the_units_can_express_is_compared_as_it_is() {
        assert_eq!(bound(Less, number(15, 1), 2), Bound::Units(Less, 150));
        assert_eq!(bound(Equal, number(150, 2), 1), Bound::Units(Equal, 15));
    }

    #[test]
    fn a_number_between_two_units_moves_the_comparison_to_the_lower_one() {
        assert_eq!(bound(Less, number(15, 1), 0), Bound::Units(LessOrEqual, 1));
        assert_eq!(bound(GreaterOrEqual, number(-15, 1), 0), Bound::Units(Greater, -2));
        assert_eq!(bound(Equal, number(15, 1), 0), Bound::Never);
        assert_eq!(bound(NotEqual, number(15, 1), 0), Bound::Always);
    }

    #[test]
    fn a_number_beyond_all_units_decides_alone() {
        let (most, least) = (Number::whole(i64::MAX), Number::whole(i64::MIN));
        assert_eq!(bound(Less, most, 2), Bound::Always);
        assert_eq!(bound(Greater, most, 2), Bound::Never);
        assert_eq!(bound(Less, least, 2), Bound::Never);
        assert_eq!(bound(GreaterOrEqual, least, 2), Bound::Always);
        assert_eq!(bound(Equal, most, 2), Bound::Never);
        assert_eq!(bound(NotEqual, most, 2), Bound::Always);
    }
}
