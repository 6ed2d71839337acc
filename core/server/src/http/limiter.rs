//! How many requests a minute the addresses of plugins take, of one client and of all together.
//!
//! Each bucket is one instant: until when what it has let through is paid for. It holds as many as it may let through in a minute, and
//! fills up again evenly. Buckets that are full are forgotten. When there is no room for another client, those that are new share one.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use rapport_model::Timestamp;

/// The most buckets at one time.
const BUCKETS_MAX: usize = 20_000;
/// What a bucket holds is paid for within this time, in microseconds.
const MINUTE: i64 = 60_000_000;
/// How often full buckets are looked for at most, in microseconds.
const SWEEP: i64 = 1_000_000;
/// Requests of all clients of a route, for each that one client may send.
const ALL_CLIENTS: u32 = 10;

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Who {
    Client(IpAddr),
    /// Clients for whom there was no room.
    Others,
    All,
}

#[derive(Debug, Default)]
struct Buckets {
    paid_until: HashMap<(String, Who), i64>,
    swept_at: i64,
}

/// Counts the requests to routes.
#[derive(Debug, Default)]
pub(super) struct Limiter(Mutex<Buckets>);

impl Limiter {
    /// Counts a request of `client` to `route`, which takes `per_minute` of one client.
    ///
    /// # Errors
    /// The seconds after which it may be sent again.
    pub(super) fn client(&self, route: &str, per_minute: u32, client: IpAddr, now: Timestamp) -> Result<(), u64> {
        self.take((route, Who::Client(network(client))), per_minute, now.micros())
    }

    /// Counts a request to `route` that somebody may send.
    ///
    /// # Errors
    /// As for [`Self::client`].
    pub(super) fn all(&self, route: &str, per_minute: u32, now: Timestamp) -> Result<(), u64> {
        self.take((route, Who::All), per_minute.saturating_mul(ALL_CLIENTS), now.micros())
    }

    fn take(&self, (route, who): (&str, Who), per_minute: u32, now: i64) -> Result<(), u64> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = (route.to_owned(), who);
        if buckets.paid_until.len() >= BUCKETS_MAX && !buckets.paid_until.contains_key(&key) {
            buckets.sweep(now);
            if buckets.paid_until.len() >= BUCKETS_MAX && matches!(who, Who::Client(_)) {
                key.1 = Who::Others;
            }
        }
        let price = MINUTE / i64::from(per_minute.max(1));
        let known = buckets.paid_until.get(&key).copied().unwrap_or(now);
        // What lies more than a minute ahead was written before the clock was put back, and keeps nobody out.
        let paid_until = if known > now + MINUTE { now } else { known.max(now) };
        let after = paid_until + price;
        if after > now + MINUTE {
            let wait = after - now - MINUTE;
            return Err(u64::try_from(wait.div_euclid(1_000_000) + 1).unwrap_or(1));
        }
        buckets.paid_until.insert(key, after);
        Ok(())
    }
}

impl Buckets {
    fn sweep(&mut self, now: i64) {
        if (self.swept_at..self.swept_at + SWEEP).contains(&now) {
            return;
        }
        self.swept_at = now;
        self.paid_until.retain(|_, until| (now..=now + MINUTE).contains(until));
    }
}

/// What stands for a client: its address, or of IPv6 the network that one household or machine has.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(1_767_225_600_000_000 + seconds * 1_000_000)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_client_gets_its_minute_and_then_an_even_share() {
        let limiter = Limiter::default();
        let ask = |second| limiter.client("a POST /x", 6, ip("192.0.2.1"), at(second));
        for _ in 0..6 {
            assert_eq!(ask(0), Ok(()));
        }
        assert_eq!(ask(0), Err(11));
        assert_eq!((ask(11), ask(11)), (Ok(()), Err(10)));
        // Others and other routes are not held up by it.
        assert_eq!(limiter.client("a POST /x", 6, ip("192.0.2.2"), at(11)), Ok(()));
        assert_eq!(limiter.client("a POST /y", 6, ip("192.0.2.1"), at(11)), Ok(()));
        // The clock is put back by an hour.
        assert!((0..6).all(|i| limiter.client("a POST /x", 6, ip("192.0.2.1"), at(i * 10 + 20 - 3_600)).is_ok()));
    }

    #[test]
    fn one_network_of_ipv6_is_one_client() {
        let limiter = Limiter::default();
        assert!(limiter.client("r", 1, ip("2001:db8::1"), at(0)).is_ok());
        assert!(limiter.client("r", 1, ip("2001:db8::2"), at(0)).is_err());
        assert!(limiter.client("r", 1, ip("2001:db8:0:1::1"), at(0)).is_ok());
        assert!(limiter.client("r", 1, ip("192.0.2.1"), at(0)).is_ok());
        assert!(limiter.client("r", 1, ip("::ffff:192.0.2.1"), at(0)).is_err());
    }

    #[test]
    fn a_crowd_takes_no_more_memory_and_gets_no_more_than_one() {
        let limiter = Limiter::default();
        let crowd = |n: u32| IpAddr::V4(n.into());
        let mut let_in = 0;
        for n in 0..60_000 {
            let_in += usize::from(limiter.client("r", 2, crowd(n), at(0)).is_ok());
        }
        assert_eq!(let_in, BUCKETS_MAX + 2, "whoever finds no room shares two requests");
        assert!(limiter.0.lock().unwrap().paid_until.len() <= BUCKETS_MAX + 1);
        // Nobody who was counted gets a new bucket by it; when the minute is over there is room again.
        assert!(limiter.client("r", 2, crowd(0), at(0)).is_ok() && limiter.client("r", 2, crowd(0), at(0)).is_err());
        assert!(limiter.client("r", 2, crowd(70_000), at(120)).is_ok());
        assert!(limiter.0.lock().unwrap().paid_until.len() < 10);
    }

    #[test]
    fn a_route_as_a_whole_has_an_end() {
        let limiter = Limiter::default();
        let taken = (0..100).filter(|_| limiter.all("r", 3, at(0)).is_ok()).count();
        assert_eq!(taken, 30);
    }
}
