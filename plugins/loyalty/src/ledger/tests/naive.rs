//! The rules once more, for a model that keeps each point as an object and looks at all of them all the time. It is
//! written from the rules' text, and knows nothing of lots, entries or sums.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{ToSpan as _, Zoned};

/// What a program is set to, in whole numbers.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub(super) zone: &'static str,
    /// `multiply`, `add` or `max`.
    pub(super) stacking: &'static str,
    /// `none`, `days`, `months` or `year_end`, and how many.
    pub(super) expiry: (&'static str, i32),
    /// Whether the oldest are spent first, whenever they expire.
    pub(super) oldest_first: bool,
    pub(super) block: i64,
    pub(super) cents_per_block: i64,
    pub(super) pending_days: i32,
    /// Whether a shortfall is forgiven.
    pub(super) forgiving: bool,
    pub(super) cap: Option<i64>,
    /// From how much on each tier is reached; its name is its number.
    pub(super) tiers: Vec<i64>,
    pub(super) by_spend: bool,
    /// 0: the calendar year.
    pub(super) rolling_months: i32,
    pub(super) grace_days: i32,
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    Pending,
    Available,
    Redeemed(String),
    Expired,
    Clawed,
    Repaid,
}

#[derive(Debug, Clone)]
struct Point {
    /// Which gift of points it belongs to, by the order in which they came.
    gift: usize,
    order: Option<String>,
    earned: i64,
    opens: i64,
    /// `i64::MAX`: never.
    expires: i64,
    state: State,
    /// Whether a refund has counted it after it expired.
    counted: bool,
}

#[derive(Debug, Clone)]
struct Order {
    cents: i64,
    refunded: i64,
    /// Numerator and denominator of what the amount in cents is multiplied with.
    factor: (i128, i128),
    allowance: i64,
    earned: i64,
    earned_at: i64,
    asked_back: i64,
}

/// A member, point by point.
#[derive(Debug, Clone, Default)]
pub(super) struct Naive {
    points: Vec<Point>,
    orders: BTreeMap<String, Order>,
    cancelled: Vec<String>,
    gifts: usize,
    pub(super) now: i64,
    pub(super) debt: i64,
    pub(super) earned: i64,
    pub(super) redeemed: i64,
    pub(super) expired: i64,
    pub(super) clawed: i64,
    pub(super) debt_repaid: i64,
    pub(super) restored: i64,
    pub(super) tier: Option<usize>,
    tier_until: Option<i64>,
    /// When, points, cents.
    counting: Vec<(i64, i64, i64)>,
}

fn zoned(setting: &Setting, at: i64) -> Zoned {
    jiff::Timestamp::from_microsecond(at).unwrap().to_zoned(TimeZone::get(setting.zone).unwrap())
}

fn midnight(setting: &Setting, day: Date) -> i64 {
    let zone = TimeZone::get(setting.zone).unwrap();
    day.at(0, 0, 0, 0).to_zoned(zone).unwrap().timestamp().as_microsecond()
}

fn days_later(mut day: Date, days: i32) -> Date {
    for _ in 0..days {
        day = day.tomorrow().unwrap();
    }
    day
}

fn months_later(day: Date, months: i32) -> Date {
    let months = i32::from(day.year()) * 12 + i32::from(day.month()) - 1 + months;
    let first = Date::new(i16::try_from(months / 12).unwrap(), i8::try_from(months % 12 + 1).unwrap(), 1).unwrap();
    first.with().day(day.day().min(first.days_in_month())).build().unwrap()
}

impl Naive {
    pub(super) fn available(&self) -> i64 {
        self.count(&State::Available)
    }

    pub(super) fn pending(&self) -> i64 {
        self.count(&State::Pending)
    }

    fn count(&self, state: &State) -> i64 {
        i64::try_from(self.points.iter().filter(|p| p.state == *state).count()).unwrap()
    }

    /// The next instant at which points expire, and how many.
    pub(super) fn next_expiry(&self) -> (Option<i64>, i64) {
        let live = || self.points.iter().filter(|p| matches!(p.state, State::Pending | State::Available));
        let Some(next) = live().map(|p| p.expires).filter(|at| *at != i64::MAX).min() else { return (None, 0) };
        (Some(next), i64::try_from(live().filter(|p| p.expires == next).count()).unwrap())
    }

    pub(super) fn worth_cents(&self, setting: &Setting) -> i64 {
        (self.available() + self.pending()) * setting.cents_per_block / setting.block
    }

    /// Lets time pass, instant by instant.
    pub(super) fn advance(&mut self, setting: &Setting, to: i64) {
        self.now = self.now.max(to);
        loop {
            let instants = self.points.iter().filter_map(|p| match p.state {
                State::Available => Some(p.expires),
                State::Pending => Some(p.expires.min(p.opens)),
                _ => None,
            });
            let Some(at) = instants.chain(self.tier_until).min().filter(|at| *at <= self.now) else { return };
            let before = (self.expired, self.pending());
            for point in &mut self.points {
                if point.expires == at && matches!(point.state, State::Pending | State::Available) {
                    point.state = State::Expired;
                    self.expired += 1;
                }
            }
            if self.expired != before.0 {
                continue;
            }
            for point in &mut self.points {
                if point.opens == at && point.state == State::Pending {
                    point.state = State::Available;
                }
            }
            if self.pending() != before.1 {
                self.repay(setting);
                continue;
            }
            self.end_of_tier(setting, at);
        }
    }

    fn repay(&mut self, setting: &Setting) {
        while self.debt > 0 {
            let Some(point) = self.next_to_spend(setting) else { return };
            self.points[point].state = State::Repaid;
            self.debt -= 1;
            self.debt_repaid += 1;
        }
    }

    fn next_to_spend(&self, setting: &Setting) -> Option<usize> {
        let available = self.points.iter().enumerate().filter(|(_, p)| p.state == State::Available);
        let expires = |p: &Point| if setting.oldest_first { 0 } else { p.expires };
        available.min_by_key(|(_, p)| (expires(p), p.earned, p.gift)).map(|(i, _)| i)
    }

    fn spend(&mut self, setting: &Setting, points: i64, state: &State) -> i64 {
        let mut spent = 0;
        while spent < points {
            let Some(point) = self.next_to_spend(setting) else { break };
            self.points[point].state = state.clone();
            spent += 1;
        }
        spent
    }

    fn give(&mut self, points: i64, order: Option<&str>, (earned, opens, expires): (i64, i64, i64)) {
        self.gifts += 1;
        let state = if opens > self.now { State::Pending } else { State::Available };
        let (gift, order) = (self.gifts, order.map(str::to_owned));
        let point = Point { gift, order, earned, opens, expires, state, counted: false };
        self.points.extend((0..points).map(|_| point.clone()));
        self.earned += points;
    }

    /// What follows from any change, at once.
    fn settle(&mut self, setting: &Setting) {
        self.advance(setting, self.now);
        self.repay(setting);
        self.reach_tier(setting);
    }

    fn expires(setting: &Setting, at: i64) -> i64 {
        let day = zoned(setting, at).date();
        let n = setting.expiry.1;
        let last = match setting.expiry.0 {
            "days" => days_later(day, n),
            "months" => months_later(day, n),
            "year_end" => Date::new(day.year() + i16::try_from(n).unwrap(), 12, 31).unwrap(),
            _ => return i64::MAX,
        };
        midnight(setting, days_later(last, 1))
    }

    pub(super) fn pay(
        &mut self,
        setting: &Setting,
        (order, cents): (&str, i64),
        thousandths: &[i64],
        at: i64,
    ) -> &'static str {
        self.advance(setting, at);
        if self.orders.contains_key(order) {
            return "duplicate_ignored";
        }
        if cents < 0 {
            return "rejected_amount";
        }
        let factor = match setting.stacking {
            "multiply" => thousandths.iter().fold((1, 1), |(a, b), m| (a * i128::from(*m), b * 1000)),
            "add" => ((1000 + thousandths.iter().map(|m| i128::from(*m - 1000)).sum::<i128>()).max(0), 1000),
            _ => (i128::from(thousandths.iter().copied().max().unwrap_or(1000)), 1000),
        };
        let day = zoned(setting, at).date();
        let of_day = |o: &&Order| zoned(setting, o.earned_at).date() == day;
        let earned_today: i64 = self.orders.values().filter(of_day).map(|o| o.earned).sum();
        let allowance = setting.cap.map_or(i64::MAX, |cap| (cap - earned_today).max(0));
        let earned = floored(cents, factor).min(allowance);
        let paid = Order { cents, refunded: 0, factor, allowance, earned, earned_at: at, asked_back: 0 };
        self.orders.insert(order.into(), paid);
        let opens =
            if setting.pending_days == 0 { at } else { midnight(setting, days_later(day, setting.pending_days)) };
        self.give(earned, Some(order), (at, opens, Self::expires(setting, at)));
        self.counting.push((at, earned, cents));
        self.settle(setting);
        "ok"
    }

    pub(super) fn bonus(&mut self, setting: &Setting, points: i64, days: Option<i32>, at: i64) -> &'static str {
        let result = self.present(setting, points, days, at);
        if result == "ok" {
            self.counting.push((at, points, 0));
            self.settle(setting);
        }
        result
    }

    fn present(&mut self, setting: &Setting, points: i64, days: Option<i32>, at: i64) -> &'static str {
        self.advance(setting, at);
        if points <= 0 || days.is_some_and(|d| d < 0) {
            return "rejected_amount";
        }
        let day = zoned(setting, at).date();
        let of_days = |days| midnight(setting, days_later(day, days + 1));
        let expires = days.map_or_else(|| Self::expires(setting, at), of_days);
        self.give(points, None, (at, at, expires));
        self.settle(setting);
        "ok"
    }

    pub(super) fn adjust(&mut self, setting: &Setting, points: i64, at: i64) -> &'static str {
        if points >= 0 {
            return self.present(setting, points, None, at);
        }
        self.advance(setting, at);
        if self.available() < -points {
            return "rejected_balance";
        }
        self.clawed += self.spend(setting, -points, &State::Clawed);
        self.settle(setting);
        "ok"
    }

    pub(super) fn refund(&mut self, setting: &Setting, order: Option<&str>, cents: i64, at: i64) -> &'static str {
        self.advance(setting, at);
        let Some(name) = order else {
            if cents <= 0 {
                return "rejected_amount";
            }
            self.counting.push((at, -(cents / 100), -cents));
            self.take_back(setting, cents / 100);
            self.settle(setting);
            return "ok";
        };
        let Some(order) = self.orders.get_mut(name) else { return "rejected_unknown" };
        if cents <= 0 || cents > order.cents - order.refunded {
            return "rejected_amount";
        }
        order.refunded += cents;
        let would_have = floored(order.cents - order.refunded, order.factor).min(order.allowance);
        let mut left = order.earned - would_have - order.asked_back;
        order.asked_back += left;
        self.counting.push((order.earned_at, -left, -cents));
        for point in self.points.iter_mut().filter(|p| p.order.as_deref() == Some(name)) {
            if left > 0 && matches!(point.state, State::Pending | State::Available) {
                point.state = State::Clawed;
                self.clawed += 1;
                left -= 1;
            }
        }
        for point in self.points.iter_mut().filter(|p| p.order.as_deref() == Some(name)) {
            if left > 0 && point.state == State::Expired && !point.counted {
                point.counted = true;
                left -= 1;
            }
        }
        self.take_back(setting, left);
        self.settle(setting);
        "ok"
    }

    fn take_back(&mut self, setting: &Setting, points: i64) {
        let taken = self.spend(setting, points, &State::Clawed);
        self.clawed += taken;
        if !setting.forgiving {
            self.debt += points - taken;
        }
    }

    pub(super) fn redeem(&mut self, setting: &Setting, points: i64, key: &str, at: i64) -> &'static str {
        self.advance(setting, at);
        let spent = self.points.iter().any(|p| p.state == State::Redeemed(key.into()));
        if spent || self.cancelled.iter().any(|c| c == key) {
            return "duplicate_ignored";
        }
        if points <= 0 || points % setting.block != 0 {
            return "rejected_block";
        }
        if self.debt > 0 || points > self.available() {
            return "rejected_balance";
        }
        self.redeemed += self.spend(setting, points, &State::Redeemed(key.into()));
        self.settle(setting);
        "ok"
    }

    pub(super) fn cancel(&mut self, setting: &Setting, key: &str, at: i64) -> &'static str {
        self.advance(setting, at);
        if self.cancelled.iter().any(|c| c == key) {
            return "duplicate_ignored";
        }
        let mut found = false;
        for point in self.points.iter_mut().filter(|p| p.state == State::Redeemed(key.into())) {
            point.state = State::Available;
            self.restored += 1;
            found = true;
        }
        if !found {
            return "rejected_unknown";
        }
        self.cancelled.push(key.into());
        self.settle(setting);
        "ok"
    }

    /// What counts for the tier at `at`: in the calendar year of `years_back` years before, or the months up to now.
    fn counts(&self, setting: &Setting, at: i64, years_back: i32) -> i64 {
        let month = |at: i64| i32::from(zoned(setting, at).year()) * 12 + i32::from(zoned(setting, at).month()) - 1;
        let this = month(at);
        let (from, to) = match setting.rolling_months {
            0 => (
                (this / 12 - years_back) * 12,
                (this / 12 - years_back) * 12 + if years_back == 0 { this % 12 } else { 11 },
            ),
            n => (this - n + 1, this),
        };
        let inside = self.counting.iter().filter(|(when, ..)| (from..=to).contains(&month(*when)));
        inside.map(|(_, points, cents)| if setting.by_spend { *cents } else { *points * 100 }).sum()
    }

    fn reached(setting: &Setting, hundredths: i64) -> Option<usize> {
        (0..setting.tiers.len()).rev().find(|tier| setting.tiers[*tier] * 100 <= hundredths)
    }

    fn reach_tier(&mut self, setting: &Setting) {
        let Some(reached) = Self::reached(setting, self.counts(setting, self.now, 0)) else { return };
        if self.tier.is_none_or(|tier| tier < reached) {
            self.hold(setting, Some(reached), self.now);
        }
    }

    fn hold(&mut self, setting: &Setting, tier: Option<usize>, at: i64) {
        self.tier = tier;
        let day = zoned(setting, at).date();
        let end = match setting.rolling_months {
            0 => Date::new(day.year() + 1, 1, 1).unwrap(),
            n => months_later(day, n),
        };
        let end = end.checked_add(setting.grace_days.days()).unwrap();
        self.tier_until = tier.filter(|t| setting.tiers[*t] > 0).map(|_| midnight(setting, end));
    }

    fn end_of_tier(&mut self, setting: &Setting, at: i64) {
        let mut counts = self.counts(setting, at, 0);
        if setting.rolling_months == 0 {
            counts = counts.max(self.counts(setting, at, 1));
        }
        self.hold(setting, Self::reached(setting, counts), at);
    }
}

fn floored(cents: i64, (numerator, denominator): (i128, i128)) -> i64 {
    i64::try_from(i128::from(cents) * numerator / (100 * denominator)).unwrap()
}

impl Naive {
    /// What is left of an order, in cents.
    pub(super) fn left_of(&self, order: &str) -> Option<i64> {
        self.orders.get(order).map(|order| order.cents - order.refunded)
    }
}

impl Naive {
    /// Both are one from then on.
    pub(super) fn fold(&mut self, setting: &Setting, mut other: Self) {
        for point in &mut other.points {
            point.gift += self.gifts;
        }
        self.points.append(&mut other.points);
        self.gifts += other.gifts;
        self.orders.append(&mut other.orders);
        self.cancelled.append(&mut other.cancelled);
        self.counting.append(&mut other.counting);
        self.debt += other.debt;
        self.earned += other.earned;
        self.redeemed += other.redeemed;
        self.expired += other.expired;
        self.clawed += other.clawed;
        self.debt_repaid += other.debt_repaid;
        self.restored += other.restored;
        if other.tier > self.tier {
            (self.tier, self.tier_until) = (other.tier, other.tier_until);
        } else if other.tier == self.tier {
            self.tier_until = self.tier_until.max(other.tier_until);
        }
        self.settle(setting);
    }
}
