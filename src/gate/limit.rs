//! Grant → permit: how many requests at once, in arrival order.
//!
//! A lane is the count and the queue of one route and one account (or key, or address). A slot
//! is held until it is dropped, and dropping it hands it to the first in the queue. Waiting is a
//! plain future: whoever waits brings the timer.

use std::collections::VecDeque;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use dashmap::DashMap;

use super::authorize::Grant;
use crate::keys::Name;

/// How long a queue may get; who comes later is refused at once.
const LONGEST_QUEUE: usize = 1_000;

/// `in_flight = { max, per, queue }` of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InFlight {
    /// How many at once, at least 1.
    pub max: u32,
    /// Counted for each of these.
    pub per: LimitBy,
    /// How long one may wait for a slot; zero: not at all.
    pub queue: Duration,
}

/// Whose requests are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitBy {
    /// All of an account.
    Account,
    /// All of a key.
    Key,
    /// All of a client address; of IPv6, of the /64 network that one subscriber has.
    Address,
}

/// Which lane a request is in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LaneKey {
    pub(super) route: Arc<str>,
    pub(super) who: Who,
}

impl LaneKey {
    /// The same, which holds nothing of the snapshot that it came from.
    pub(super) fn apart(&self) -> Self {
        let who = match &self.who {
            Who::Account(name) => Who::Account(name.apart()),
            Who::Key(name) => Who::Key(name.apart()),
            Who::Address(address) => Who::Address(*address),
        };
        Self { route: Arc::clone(&self.route), who }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Who {
    Account(Name),
    Key(Name),
    Address(IpAddr),
}

/// All lanes that are in use. Outlives snapshots.
#[derive(Clone, Debug, Default)]
pub struct Slots {
    lanes: Arc<DashMap<LaneKey, Lane>>,
}

#[derive(Debug, Default)]
struct Lane {
    held: u32,
    max: u32,
    queue: VecDeque<Arc<Waiter>>,
}

#[derive(Debug, Default)]
struct Waiter(Mutex<WaiterState>);

#[derive(Debug, Default)]
struct WaiterState {
    admitted: bool,
    waker: Option<Waker>,
}

/// What entering a lane leads to.
#[derive(Debug)]
pub enum Queue {
    /// There was room.
    Admitted(Slot),
    /// There was none: wait, no longer than the limit says.
    Wait(Waiting),
    /// There was none and no waiting.
    Full,
}

/// One place in a lane; dropping it gives it back.
#[derive(Debug)]
pub struct Slot {
    slots: Slots,
    key: LaneKey,
}

/// A place in the queue; dropping it leaves the queue.
#[derive(Debug)]
pub struct Waiting {
    slots: Slots,
    key: LaneKey,
    waiter: Arc<Waiter>,
    taken: bool,
}

impl Slots {
    /// Takes a slot, or a place in the queue.
    #[must_use]
    pub fn enter(&self, key: &LaneKey, limit: InFlight) -> Queue {
        let mut lane = self.lanes.entry(key.clone()).or_default();
        lane.max = limit.max;
        // A limit that was raised is first of all for those who wait.
        let woken = lane.admit();
        let entered = if lane.held < lane.max {
            lane.held += 1;
            Queue::Admitted(Slot { slots: self.clone(), key: key.clone() })
        } else if limit.queue.is_zero() || lane.queue.len() >= LONGEST_QUEUE {
            Queue::Full
        } else {
            let waiter = Arc::new(Waiter::default());
            lane.queue.push_back(Arc::clone(&waiter));
            Queue::Wait(Waiting { slots: self.clone(), key: key.clone(), waiter, taken: false })
        };
        // Outside the lane's lock: a waker may run anything.
        drop(lane);
        woken.into_iter().for_each(Waker::wake);
        entered
    }

    /// How many lanes are in use.
    #[must_use]
    pub fn lanes(&self) -> usize {
        self.lanes.len()
    }

    fn leave(&self, key: &LaneKey) {
        let mut woken = Vec::new();
        self.lanes.remove_if_mut(key, |_, lane| {
            lane.held = lane.held.saturating_sub(1);
            woken = lane.admit();
            lane.held == 0 && lane.queue.is_empty()
        });
        woken.into_iter().for_each(Waker::wake);
    }

    /// Takes a waiter out of the queue; `false` when it had been admitted already.
    fn forget(&self, key: &LaneKey, waiter: &Arc<Waiter>) -> bool {
        let mut queued = false;
        self.lanes.remove_if_mut(key, |_, lane| {
            let before = lane.queue.len();
            lane.queue.retain(|other| !Arc::ptr_eq(other, waiter));
            queued = lane.queue.len() < before;
            lane.held == 0 && lane.queue.is_empty()
        });
        queued
    }
}

impl Lane {
    /// Hands free places to who waits, in order. The wakers are for when the lock is free again.
    fn admit(&mut self) -> Vec<Waker> {
        let mut woken = Vec::new();
        while self.held < self.max
            && let Some(next) = self.queue.pop_front()
        {
            self.held += 1;
            woken.extend(next.admit());
        }
        woken
    }
}

impl Waiter {
    fn admit(&self) -> Option<Waker> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.admitted = true;
        state.waker.take()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.leave(&self.key);
    }
}

impl Future for Waiting {
    type Output = Slot;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Slot> {
        {
            let mut state = self.waiter.0.lock().unwrap_or_else(PoisonError::into_inner);
            if !state.admitted {
                state.waker = Some(context.waker().clone());
                return Poll::Pending;
            }
        }
        self.taken = true;
        Poll::Ready(Slot { slots: self.slots.clone(), key: self.key.clone() })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.taken && !self.slots.forget(&self.key, &self.waiter) {
            self.slots.leave(&self.key);
        }
    }
}

/// The proof that a granted request was charged: what forwarding consumes. Holds the slot until
/// the end of the response. Nobody else can make one,
///
/// ```compile_fail,E0451
/// fn forge(grant: keygate::gate::Grant) -> keygate::gate::Permit {
///     keygate::gate::Permit { grant, slot: None }
/// }
/// ```
///
/// and nobody can spend one twice.
///
/// ```compile_fail,E0382
/// fn spend_twice(permit: keygate::gate::Permit) {
///     drop(permit.into_slot());
///     drop(permit.into_slot());
/// }
/// ```
#[derive(Debug)]
pub struct Permit {
    grant: Grant,
    slot: Option<Slot>,
}

impl Permit {
    /// What was granted.
    #[must_use]
    pub const fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Ends the permit and hands out the slot, to be held by the response.
    #[must_use]
    pub fn into_slot(self) -> Option<Slot> {
        self.slot
    }
}

impl Grant {
    /// Charges a grant: with the slot if its route has a limit.
    #[must_use]
    pub const fn charge(self, slot: Option<Slot>) -> Permit {
        Permit { grant: self, slot }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(account: &str) -> LaneKey {
        LaneKey { route: "POST /rest/users".into(), who: Who::Account(Name::new(account).unwrap()) }
    }

    fn one(queue: u64) -> InFlight {
        InFlight { max: 1, per: LimitBy::Account, queue: Duration::from_secs(queue) }
    }

    fn poll(waiting: &mut Waiting) -> Option<Slot> {
        match Pin::new(waiting).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(slot) => Some(slot),
            Poll::Pending => None,
        }
    }

    #[test]
    fn who_waits_is_admitted_in_arrival_order() {
        let slots = Slots::default();
        let Queue::Admitted(first) = slots.enter(&lane("a"), one(1)) else { panic!("no room") };
        let Queue::Wait(mut second) = slots.enter(&lane("a"), one(1)) else { panic!("no queue") };
        let Queue::Wait(mut third) = slots.enter(&lane("a"), one(1)) else { panic!("no queue") };
        assert!(matches!(slots.enter(&lane("b"), one(1)), Queue::Admitted(_)));
        assert!(poll(&mut second).is_none());
        drop(first);
        assert!(poll(&mut third).is_none());
        let second = poll(&mut second).unwrap();
        drop(second);
        assert!(poll(&mut third).is_some());
    }

    #[test]
    fn who_leaves_the_queue_is_never_admitted() {
        let slots = Slots::default();
        let Queue::Admitted(first) = slots.enter(&lane("a"), one(1)) else { panic!("no room") };
        let Queue::Wait(second) = slots.enter(&lane("a"), one(1)) else { panic!("no queue") };
        let Queue::Wait(mut third) = slots.enter(&lane("a"), one(1)) else { panic!("no queue") };
        drop(second);
        drop(first);
        let third = poll(&mut third).unwrap();
        drop(third);
        assert_eq!(slots.lanes(), 0);
    }

    #[test]
    fn a_slot_that_was_handed_over_but_not_taken_goes_on() {
        let slots = Slots::default();
        let Queue::Admitted(first) = slots.enter(&lane("a"), one(1)) else { panic!("no room") };
        let Queue::Wait(second) = slots.enter(&lane("a"), one(1)) else { panic!("no queue") };
        let Queue::Wait(mut third) = slots.enter(&lane("a"), one(1)) else { panic!("no queue") };
        drop(first);
        drop(second);
        assert!(poll(&mut third).is_some());
        drop(third);
        assert_eq!(slots.lanes(), 0);
    }

    #[test]
    fn without_a_queue_there_is_no_waiting() {
        let slots = Slots::default();
        let held = slots.enter(&lane("a"), one(0));
        assert!(matches!(slots.enter(&lane("a"), one(0)), Queue::Full));
        drop(held);
        assert!(matches!(slots.enter(&lane("a"), one(0)), Queue::Admitted(_)));
    }

    #[test]
    fn the_queue_has_an_end() {
        let slots = Slots::default();
        let _held = slots.enter(&lane("a"), one(1));
        let queued: Vec<_> = (0..LONGEST_QUEUE).map(|_| slots.enter(&lane("a"), one(1))).collect();
        assert!(queued.iter().all(|entry| matches!(entry, Queue::Wait(_))));
        assert!(matches!(slots.enter(&lane("a"), one(1)), Queue::Full));
    }

    #[test]
    fn a_raised_limit_lets_more_in() {
        let slots = Slots::default();
        let Queue::Admitted(first) = slots.enter(&lane("a"), one(1)) else { panic!("no room") };
        let Queue::Wait(mut second) = slots.enter(&lane("a"), one(1)) else { panic!("no queue") };
        let two = InFlight { max: 2, ..one(1) };
        let Queue::Wait(mut third) = slots.enter(&lane("a"), two) else { panic!("no queue") };
        let second = poll(&mut second).unwrap();
        assert!(poll(&mut third).is_none());
        drop((first, second));
        assert!(poll(&mut third).is_some());
    }
}
