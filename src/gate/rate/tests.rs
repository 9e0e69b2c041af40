//! The algorithm against another that is trusted, against its definition, and in its corners.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;

use governor::clock::{Clock as _, FakeRelativeClock};
use governor::{Quota as Oracle, RateLimiter};
use proptest::prelude::*;

use super::*;
use crate::keys::Name;

fn rate(requests: u32, per: Duration) -> Rate {
    Rate { requests, per, by: LimitBy::Account }
}

fn account(name: &str) -> LaneKey {
    LaneKey { route: "POST /a".into(), who: Who::Account(Name::new(name).unwrap()) }
}

fn address(number: u32) -> LaneKey {
    LaneKey { route: "POST /a".into(), who: Who::Address(IpAddr::V4(Ipv4Addr::from(number))) }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Rates with room for a few addresses only.
fn small(most_addresses: usize) -> Rates {
    Rates { inner: Arc::new(Inner { most_addresses, ..Inner::default() }) }
}

#[test]
fn the_client_learns_what_is_left_and_when_there_is_more() {
    let (rates, lane, now) = (Rates::default(), account("a"), Instant::now());
    let three = rate(3, seconds(6));
    let told = |quota: Quota| (quota.remaining, quota.reset.as_secs(), quota.retry.as_secs());
    let enter = |at: u64| rates.enter(&lane, three, now + seconds(at));
    assert_eq!(told(enter(0).unwrap()), (2, 2, 0));
    assert_eq!(told(enter(0).unwrap()), (1, 4, 0));
    assert_eq!(told(enter(1).unwrap()), (0, 5, 1));
    assert_eq!(told(enter(1).unwrap_err()), (0, 5, 1));
    // What was refused was not counted.
    assert_eq!(told(enter(2).unwrap()), (0, 6, 2));
    assert_eq!(told(enter(3).unwrap_err()), (0, 5, 1));
    assert_eq!(told(enter(4).unwrap()), (0, 6, 2));
    assert_eq!(told(enter(1_000).unwrap()), (2, 2, 0));
}

#[test]
fn lanes_do_not_share() {
    let (rates, now) = (Rates::default(), Instant::now());
    let one = rate(1, seconds(60));
    assert!(rates.enter(&account("a"), one, now).is_ok());
    assert!(rates.enter(&account("a"), one, now).is_err());
    assert!(rates.enter(&account("b"), one, now).is_ok());
    let key = LaneKey { who: Who::Key(Name::new("a").unwrap()), ..account("a") };
    assert!(rates.enter(&key, one, now).is_ok());
    let other = LaneKey { route: "GET /a".into(), ..account("a") };
    assert!(rates.enter(&other, one, now).is_ok());
}

#[test]
fn odd_rates_do_not_drift() {
    for (requests, per) in [(3, 1), (7, 60), (1_000_003, 1), (7, 86_400)] {
        let (rates, lane, now) = (Rates::default(), account("a"), Instant::now());
        let odd = rate(requests, seconds(per));
        // All at once, then each as early as it is told: the last one of the second round can come
        // exactly when all of the first have been paid back, to the nanosecond.
        let mut at = now;
        let mut last = None;
        for _ in 0..requests.min(2_000) * 2 {
            match rates.enter(&lane, odd, at) {
                Ok(quota) => last = Some(quota),
                Err(quota) => {
                    at += quota.retry;
                    assert!(rates.enter(&lane, odd, at - Duration::from_nanos(1)).is_err());
                    last = Some(rates.enter(&lane, odd, at).unwrap());
                }
            }
        }
        assert!(last.is_some());
        if requests < 2_000 {
            assert_eq!(at - now, seconds(per), "{requests} in {per} s");
        }
    }
}

#[test]
fn a_changed_rate_keeps_what_was_counted() {
    let (rates, lane, now) = (Rates::default(), account("a"), Instant::now());
    let ten = rate(10, seconds(10));
    for _ in 0..6 {
        rates.enter(&lane, ten, now).unwrap();
    }
    // Six are owed, and one more: three of ten are left, or thirteen of twenty, or none of five.
    let raised = rates.enter(&lane, rate(20, seconds(10)), now).unwrap();
    assert_eq!(raised.remaining, 13);
    let slower = rates.enter(&lane, rate(20, seconds(3600)), now).unwrap();
    assert_eq!((slower.remaining, slower.reset), (12, seconds(8 * 180)));
    let lowered = rates.enter(&lane, rate(5, seconds(10)), now).unwrap_err();
    assert_eq!((lowered.remaining, lowered.retry), (0, seconds(2)));
    assert!(rates.enter(&lane, rate(5, seconds(10)), now + seconds(2)).is_ok());
}

#[test]
fn extreme_rates_neither_overflow_nor_open() {
    let (rates, now) = (Rates::default(), Instant::now());
    let extremes = [
        rate(u32::MAX, Duration::from_millis(1)),
        rate(u32::MAX, Duration::MAX),
        rate(1, Duration::MAX),
        rate(1, Duration::from_nanos(1)),
        rate(0, Duration::ZERO),
    ];
    for (at, from) in extremes.into_iter().enumerate() {
        let lane = account(&format!("a{at}"));
        assert!(rates.enter(&lane, from, now).is_ok());
        for to in extremes {
            let _ = rates.enter(&lane, to, now + seconds(1));
        }
    }
    let one = account("one");
    assert!(rates.enter(&one, rate(1, Duration::MAX), now).is_ok());
    assert!(rates.enter(&one, rate(1, Duration::MAX), now + seconds(1 << 30)).is_err());
}

#[test]
fn time_that_runs_backwards_pays_nothing() {
    let (rates, lane, now) = (Rates::default(), account("a"), Instant::now());
    let one = rate(1, seconds(1));
    assert!(rates.enter(&lane, one, now + seconds(5)).is_ok());
    assert!(rates.enter(&lane, one, now).is_err());
    assert!(rates.enter(&lane, one, now + seconds(5)).is_err());
    assert!(rates.enter(&lane, one, now + seconds(6)).is_ok());
}

#[test]
fn lanes_that_owe_nothing_are_forgotten() {
    let (rates, now) = (Rates::default(), Instant::now());
    let one = rate(1, seconds(1));
    let mut most = 0;
    for number in 0..100_000_u32 {
        // A thousand in a second, so that no more than a thousand owe anything.
        let at = now + Duration::from_millis(u64::from(number));
        rates.enter(&address(number), one, at).unwrap();
        most = most.max(rates.lanes());
    }
    assert!(most < 2_500, "{most}");
    let queued = rates.inner.addresses.lock().unwrap().len();
    assert_eq!(queued, rates.lanes());
}

#[test]
fn a_flood_of_addresses_is_refused_and_shuts_nobody_else_out() {
    let (rates, now) = (small(100), Instant::now());
    let two = rate(2, seconds(10));
    for number in 0..100 {
        assert!(rates.enter(&address(number), two, now).is_ok());
    }
    let crowded = rates.enter(&address(100), two, now).unwrap_err();
    assert_eq!((crowded.remaining, crowded.retry), (0, seconds(5)));
    assert_eq!(rates.lanes(), 100);
    // Who was counted already goes on, and so do accounts.
    assert!(rates.enter(&address(0), two, now).is_ok());
    assert!(rates.enter(&address(0), two, now).is_err());
    assert!(rates.enter(&account("a"), two, now).is_ok());
    // And when their time is over, there is room again.
    assert!(rates.enter(&address(100), two, now + crowded.retry).is_ok());
}

#[test]
fn many_threads_let_in_exactly_what_there_is() {
    let (rates, now) = (Rates::default(), Instant::now());
    let hundred = rate(100, seconds(3600));
    let admitted: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let enter = |n: u32| rates.enter(&address(n % 10), hundred, now).is_ok();
                    (0..2_000).filter(|n| enter(*n)).count()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(admitted, 10 * 100);
    assert_eq!(rates.lanes(), 10);
}

proptest! {
    /// Where a request's share of the time is a whole number of nanoseconds, both can count it.
    #[test]
    fn every_decision_is_the_oracles(
        requests in 1_u32..20,
        interval in prop_oneof![1_u64..5, 1_u64..2_000_000_000],
        pauses in prop::collection::vec((0_u64..40, 0_u64..100), 1..200),
    ) {
        let clock = FakeRelativeClock::default();
        // It begins at zero, before which it can see nothing.
        clock.advance(seconds(1_000_000));
        let quota = Oracle::with_period(Duration::from_nanos(interval)).unwrap();
        let quota = quota.allow_burst(NonZeroU32::new(requests).unwrap());
        let oracle = RateLimiter::direct_with_clock(quota, clock.clone());
        let (rates, lane, start) = (Rates::default(), account("a"), Instant::now());
        let ours = rate(requests, Duration::from_nanos(interval * u64::from(requests)));
        let mut now = start;
        for (tenths, jitter) in pauses {
            let pause = Duration::from_nanos(interval * tenths / 10 + jitter % interval);
            clock.advance(pause);
            now += pause;
            let entered = rates.enter(&lane, ours, now);
            match (entered, oracle.check()) {
                (Ok(_), Ok(())) => {}
                (Err(quota), Err(until)) => {
                    prop_assert_eq!(quota.retry, until.wait_time_from(clock.now()));
                }
                (ours, theirs) => prop_assert!(false, "{ours:?} but {theirs:?}"),
            }
        }
    }

    /// In no window are there more than the burst and what the window pays back, whatever the rate.
    #[test]
    fn no_window_has_more_than_the_rate_allows(
        requests in 1_u32..10,
        per in 1_u64..100,
        pauses in prop::collection::vec(0_u64..30, 1..60),
    ) {
        let (rates, lane, start) = (Rates::default(), account("a"), Instant::now());
        let odd = rate(requests, Duration::from_nanos(per));
        let mut now = 0;
        let mut admitted = Vec::new();
        for pause in pauses {
            now += pause;
            let entered = rates.enter(&lane, odd, start + Duration::from_nanos(now));
            if entered.is_ok() {
                admitted.push(now);
            }
        }
        for (first, from) in admitted.iter().enumerate() {
            for (last, until) in admitted.iter().enumerate().skip(first) {
                let count = (last - first + 1) as u64;
                let allowed = u64::from(requests) + (until - from) * u64::from(requests) / per;
                prop_assert!(count <= allowed, "{count} in {} of {allowed}", until - from);
            }
        }
    }

    /// What is told is true: nothing is let in before, and one is then.
    #[test]
    fn who_waits_as_long_as_told_is_let_in_and_nobody_before(
        requests in 1_u32..50,
        per in 1_u64..10_000_000_000,
        entered in 0_u32..120,
    ) {
        let (rates, lane, now) = (Rates::default(), account("a"), Instant::now());
        let odd = rate(requests, Duration::from_nanos(per));
        let mut last = None;
        for _ in 0..entered {
            last = Some(rates.enter(&lane, odd, now));
        }
        if let Some(Ok(quota) | Err(quota)) = last {
            prop_assert_eq!(quota.remaining, requests.saturating_sub(entered));
            prop_assert_eq!(quota.retry.is_zero(), quota.remaining > 0);
            if quota.remaining == 0 {
                let then = now + quota.retry;
                prop_assert!(rates.enter(&lane, odd, then - Duration::from_nanos(1)).is_err());
                prop_assert!(rates.enter(&lane, odd, then).is_ok());
            }
            let lane = *rates.inner.lanes.get(&lane).unwrap();
            prop_assert!(quota.remaining == 0 || lane.is_over(now + quota.reset));
        }
    }
}
