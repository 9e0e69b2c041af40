//! Grant → permit: how many requests in a time, by the generic cell rate algorithm.
//!
//! A lane is the account (or key, or address) of one route. All that is kept of it is what it owes;
//! see [`Lane`]. A lane that owes nothing is forgotten: every new lane looks at the oldest few, so
//! that there are never many more than are in use, and nobody ever waits for a sweep of all.

mod lane;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use dashmap::Entry;

use self::lane::Lane;
use super::limit::{LaneKey, LimitBy, Who};

/// `rate = { requests, per, by }` of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many in a time, and how many at once after a pause; at least 1.
    pub requests: u32,
    /// The time, not zero.
    pub per: Duration,
    /// Counted for each of these.
    pub by: LimitBy,
}

/// What is left of a rate, for the client to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The rate.
    pub rate: Rate,
    /// How many more requests would be let in now.
    pub remaining: u32,
    /// Until all of them would be again.
    pub reset: Duration,
    /// Until one would be let in; zero where one would be now.
    pub retry: Duration,
}

/// All lanes that are in use. Outlives snapshots.
#[derive(Clone, Debug, Default)]
pub struct Rates {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    lanes: DashMap<LaneKey, Lane>,
    /// The lanes of addresses, which strangers can make at will.
    addresses: Mutex<VecDeque<LaneKey>>,
    /// The lanes of accounts and keys, of which there are no more than are issued.
    named: Mutex<VecDeque<LaneKey>>,
    most_addresses: usize,
}

/// How many addresses are counted at a time, on all routes: about 150 MB.
const MOST_ADDRESSES: usize = 1_000_000;
/// How many of the oldest lanes a new one looks at. More than one, so that those that are over
/// go faster than new ones come.
const LOOKED_AT: usize = 3;
/// And how many where there is no room.
const LOOKED_AT_IF_FULL: usize = 16;

impl Default for Inner {
    fn default() -> Self {
        Self {
            lanes: DashMap::default(),
            addresses: Mutex::default(),
            named: Mutex::default(),
            most_addresses: MOST_ADDRESSES,
        }
    }
}

impl Rates {
    /// With room for so many addresses.
    pub(super) fn holding(most_addresses: usize) -> Self {
        Self { inner: Arc::new(Inner { most_addresses, ..Inner::default() }) }
    }

    /// Counts a request in its lane.
    ///
    /// # Errors
    /// When there is no room for it; it is not counted then.
    pub fn enter(&self, key: &LaneKey, rate: Rate, now: Instant) -> Result<Quota, Quota> {
        if let Some(mut lane) = self.inner.lanes.get_mut(key) {
            return lane.enter(rate, now);
        }
        self.inner.enter_new(key, rate, now)
    }

    /// How many lanes are remembered.
    #[must_use]
    pub fn lanes(&self) -> usize {
        self.inner.lanes.len()
    }

    /// How many of them are addresses', and how many of those there is room for.
    #[must_use]
    pub fn addresses(&self) -> (usize, usize) {
        let queue = self.inner.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        (queue.len(), self.inner.most_addresses)
    }
}

impl Inner {
    /// Everything under the lock of the queue: a lane is in it exactly if it is in the map, and
    /// none is taken for one that is over before its first request is counted.
    fn enter_new(&self, key: &LaneKey, rate: Rate, now: Instant) -> Result<Quota, Quota> {
        let (queue, most) = match key.who {
            Who::Address(_) => (&self.addresses, self.most_addresses),
            Who::Account(_) | Who::Key(_) => (&self.named, usize::MAX),
        };
        let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        let looked_at = if queue.len() < most { LOOKED_AT } else { LOOKED_AT_IF_FULL };
        self.sweep(&mut queue, looked_at, now);
        match self.lanes.entry(key.apart()) {
            Entry::Occupied(mut lane) => lane.get_mut().enter(rate, now),
            // A limit that opens when many come at once is none. Who is counted already goes on,
            // and no number of addresses can shut an account out.
            Entry::Vacant(_) if queue.len() >= most => Err(lane::crowded(rate)),
            Entry::Vacant(place) => {
                let mut lane = Lane::new(rate, now);
                let quota = lane.enter(rate, now);
                queue.push_back(place.key().clone());
                place.insert(lane);
                quota
            }
        }
    }

    fn sweep(&self, queue: &mut VecDeque<LaneKey>, looked_at: usize, now: Instant) {
        for _ in 0..looked_at.min(queue.len()) {
            let Some(oldest) = queue.pop_front() else { return };
            if self.lanes.remove_if(&oldest, |_, lane| lane.is_over(now)).is_none() {
                queue.push_back(oldest);
            }
        }
    }
}
