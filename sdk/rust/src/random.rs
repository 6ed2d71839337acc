//! Random numbers of the run: the same when the slice is tried again.

/// `count` random bytes, 4,096 at most.
#[must_use]
pub fn bytes(count: u32) -> Vec<u8> {
    crate::door::random::bytes(count)
}

/// A random number from 0 to `below` - 1; 0 if `below` is 0.
#[must_use]
pub fn below(below: u64) -> u64 {
    if below == 0 {
        return 0;
    }
    let drawn = bytes(15).iter().fold(0_u128, |sum, b| (sum << 8) | u128::from(*b));
    // The remainder is less than `below`, which fits.
    u64::try_from(drawn % u128::from(below)).unwrap_or(0)
}
