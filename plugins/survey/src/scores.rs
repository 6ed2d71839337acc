//! Scores and their intervals, from how often each answer was given. Pure: no host, no clock.
//!
//! All intervals are two-sided at 95 %: z = 1.959964, the 97.5 % point of the normal distribution.
//!
//! - NPS: share of 9 and 10 less share of 0 to 6 (Reichheld, *The One Number You Need to Grow*, 2003). Its interval is the adjusted
//!   Wald of Sauro and Lewis (*Quantifying the User Experience*, 2nd edition, 2016; Agresti and Min 2005 for the difference of two shares
//!   of one sample): three answers are added, ¾ promoter, 1½ passive, ¾ detractor, before the ordinary formula is used.
//! - Shares (top boxes): the score interval of Wilson (*Probable Inference, the Law of Succession, and Statistical Inference*, 1927).
//! - Differences of two periods: the method of Newcombe (*Interval estimation for the difference between independent proportions*, 1998,
//!   method 10), which Zou and Donner (2008) have for any two estimates with intervals of their own.

/// The 97.5 % point of the normal distribution: intervals of 95 %.
pub const Z: f64 = 1.959_964;

/// From and to.
pub type Interval = [f64; 2];

/// How often each of the whole numbers from `min` on was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    min: i64,
    counts: Vec<u64>,
}

impl Counts {
    /// Answers from `min` on, one count for each point of the scale.
    #[must_use]
    pub const fn new(min: i64, counts: Vec<u64>) -> Self {
        Self { min, counts }
    }

    /// A scale from `min` to `max` without answers yet.
    #[must_use]
    pub fn of_scale(min: i64, max: i64) -> Self {
        let points = usize::try_from(max.saturating_sub(min).saturating_add(1)).unwrap_or(0);
        Self { min, counts: vec![0; points] }
    }

    /// Adds `n` answers of `value`; those beyond the scale (it was another one once) are left out, and `false` says so.
    pub fn add(&mut self, value: i64, n: u64) -> bool {
        let place = usize::try_from(value.saturating_sub(self.min)).ok();
        let Some(count) = place.and_then(|place| self.counts.get_mut(place)) else { return false };
        *count = count.saturating_add(n);
        true
    }

    /// The count of each point of the scale, the lowest first.
    #[must_use]
    pub fn points(&self) -> &[u64] {
        &self.counts
    }

    /// How many answers there are.
    #[must_use]
    pub fn n(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How many answers lie from `from` to `to`, both included.
    #[must_use]
    pub fn between(&self, from: i64, to: i64) -> u64 {
        self.iter().filter(|(value, _)| (from..=to).contains(value)).map(|(_, count)| count).sum()
    }

    /// The mean of the answers; none without answers.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        let n = self.n();
        let sum: f64 = self.iter().map(|(value, count)| real(value) * whole(count)).sum();
        (n > 0).then(|| sum / whole(n))
    }

    fn iter(&self) -> impl Iterator<Item = (i64, u64)> + '_ {
        (self.min..).zip(self.counts.iter().copied())
    }
}

/// A net promoter score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nps {
    /// In points, −100 to 100.
    pub score: f64,
    /// The adjusted Wald interval, within −100 to 100.
    pub interval: Interval,
    /// The plain Wald interval, within −100 to 100: too narrow for few answers, and of no width where all agree.
    pub wald: Interval,
}

/// The net promoter score of answers from 0 to 10; none without answers.
#[must_use]
pub fn nps(counts: &Counts) -> Option<Nps> {
    let n = whole(counts.n());
    if counts.n() == 0 {
        return None;
    }
    let (promoters, detractors) = (whole(counts.between(9, 10)), whole(counts.between(0, 6)));
    let score = 100.0 * (promoters - detractors) / n;
    Some(Nps {
        score,
        interval: net_interval(promoters + 0.75, detractors + 0.75, n + 3.0),
        wald: net_interval(promoters, detractors, n),
    })
}

/// The Wald interval of the share of `up` less that of `down` among `n`, in points.
fn net_interval(up: f64, down: f64, n: f64) -> Interval {
    let net = (up - down) / n;
    let variance = ((up + down) / n - net * net).max(0.0);
    let half = Z * (variance / n).sqrt();
    [(100.0 * (net - half)).max(-100.0), (100.0 * (net + half)).min(100.0)]
}

/// A share of answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    /// In percent.
    pub score: f64,
    /// The interval of Wilson, in percent.
    pub interval: Interval,
}

/// The share of `positive` among `n` answers; none without answers.
#[must_use]
pub fn share(positive: u64, n: u64) -> Option<Share> {
    if n == 0 {
        return None;
    }
    let (of, z2) = (whole(n), Z * Z);
    let p = whole(positive.min(n)) / of;
    let middle = (p + z2 / (2.0 * of)) / (1.0 + z2 / of);
    let half = Z / (1.0 + z2 / of) * (p * (1.0 - p) / of + z2 / (4.0 * of * of)).sqrt();
    // Where all or none agree the interval ends there exactly; computed it ends a rounding beside it.
    let lowest = if positive == 0 { 0.0 } else { (100.0 * (middle - half)).max(0.0) };
    let highest = if positive >= n { 100.0 } else { (100.0 * (middle + half)).min(100.0) };
    Some(Share { score: 100.0 * p, interval: [lowest, highest] })
}

/// What an index is made of: a question's weight, and the mean of its answers; none without answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Item {
    /// How much it counts, 0 or more.
    pub weight: f64,
    /// The mean of its answers.
    pub mean: Option<f64>,
}

/// The weighted index of items on a scale from `min` to `max`: 100 × Σ w (mean − min) / (max − min) / Σ w, over those that were
/// answered and whose weight is not 0; none without any.
#[must_use]
pub fn index(items: &[Item], (min, max): (f64, f64)) -> Option<f64> {
    let answered = || items.iter().filter_map(|item| item.mean.map(|mean| (item.weight, mean)));
    let weights: f64 = answered().map(|(weight, _)| weight).sum();
    let sum: f64 = answered().map(|(weight, mean)| weight * (mean - min) / (max - min)).sum();
    (weights > 0.0).then(|| 100.0 * sum / weights)
}

/// Where a value lies on a scale: 0 at its lower end, 1 at its upper one.
#[must_use]
pub const fn placed(value: f64, (min, max): (i64, i64)) -> f64 {
    (value - real(min)) / (real(max) - real(min))
}

/// An estimate with its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The estimate.
    pub score: f64,
    /// Its interval.
    pub interval: Interval,
}

/// How much `after` is more than `before`, with the interval of that difference. The two are of different people.
#[must_use]
pub fn difference(before: Estimate, after: Estimate) -> Estimate {
    let score = after.score - before.score;
    let below = (after.score - after.interval[0]).hypot(before.interval[1] - before.score);
    let above = (after.interval[1] - after.score).hypot(before.score - before.interval[0]);
    Estimate { score, interval: [score - below, score + above] }
}

/// The mean of `n` values that are `total` together; none without any.
#[must_use]
pub fn ratio(total: f64, n: i64) -> Option<f64> {
    (n > 0).then(|| total / real(n))
}

#[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53, where every whole number is a double")]
const fn whole(count: u64) -> f64 {
    count as f64
}

#[expect(
    clippy::cast_precision_loss,
    reason = "points of a scale stay below 2^53, where every whole number is a double"
)]
const fn real(value: i64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests;
