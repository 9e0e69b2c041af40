//! One lane, in whole numbers: no rate drifts, however odd.
//!
//! What a lane owes is counted in nanoseconds times requests, so that `requests` in `per`
//! nanoseconds needs no division: a request costs `per`, each nanosecond pays `requests` back, and
//! no more than `per × requests` can be owed. This is the generic cell rate algorithm: what is
//! owed, divided by `requests`, is how far the theoretical arrival time lies ahead.

use std::time::{Duration, Instant};

use super::{Quota, Rate};

/// What a lane owes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lane {
    owed: u128,
    since: Instant,
    price: Price,
}

/// A rate as numbers, both at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Price {
    /// What a request costs: the nanoseconds of the rate's time.
    one: u64,
    /// What each nanosecond pays back: the rate's requests.
    requests: u32,
}

impl Price {
    fn new(rate: Rate) -> Self {
        let one = u64::try_from(rate.per.as_nanos()).unwrap_or(u64::MAX).max(1);
        Self { one, requests: rate.requests.max(1) }
    }

    const fn one(self) -> u128 {
        self.one as u128
    }

    const fn most(self) -> u128 {
        self.one as u128 * self.requests as u128
    }

    /// How long it takes to pay back; not a nanosecond less.
    fn time(self, owed: u128) -> Duration {
        let nanoseconds = owed.div_ceil(u128::from(self.requests));
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

impl Lane {
    pub(super) fn new(rate: Rate, now: Instant) -> Self {
        Self { owed: 0, since: now, price: Price::new(rate) }
    }

    /// Counts a request if there is room for it.
    pub(super) fn enter(&mut self, rate: Rate, now: Instant) -> Result<Quota, Quota> {
        self.pay_back(now);
        self.change(Price::new(rate));
        let after = self.owed + self.price.one();
        if after > self.price.most() {
            return Err(self.quota(rate));
        }
        self.owed = after;
        Ok(self.quota(rate))
    }

    /// Whether it owes nothing any more, so that a new one would be the same.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.paid(now) >= self.owed
    }

    fn paid(&self, now: Instant) -> u128 {
        let elapsed = now.saturating_duration_since(self.since).as_nanos();
        elapsed.saturating_mul(u128::from(self.price.requests))
    }

    /// Clocks of two threads can be read in one order and arrive in another: time that has been
    /// counted is not counted again.
    fn pay_back(&mut self, now: Instant) {
        self.owed = self.owed.saturating_sub(self.paid(now));
        self.since = self.since.max(now);
    }

    /// A rate that has changed: as many requests as were owed are owed still, up to all that the
    /// new one has.
    fn change(&mut self, price: Price) {
        let before = std::mem::replace(&mut self.price, price);
        if before == price {
            return;
        }
        let (whole, part) = (self.owed / before.one(), self.owed % before.one());
        // Both factors are less than 2^64, and there are fewer than 2^32 whole ones.
        let owed = whole * price.one() + (part * price.one()).div_ceil(before.one());
        self.owed = owed.min(price.most());
    }

    fn quota(&self, rate: Rate) -> Quota {
        let free = self.price.most().saturating_sub(self.owed);
        let remaining = u32::try_from(free / self.price.one()).unwrap_or(u32::MAX);
        let short = self.price.one().saturating_sub(free);
        Quota { rate, remaining, reset: self.price.time(self.owed), retry: self.price.time(short) }
    }
}

/// What is told to somebody for whom there is no lane: as if one request were too many.
pub(super) fn crowded(rate: Rate) -> Quota {
    let price = Price::new(rate);
    Quota { rate, remaining: 0, reset: price.time(price.most()), retry: price.time(price.one()) }
}
