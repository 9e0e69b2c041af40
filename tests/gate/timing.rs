//! Whether a stranger can tell from the time that a refusal takes if a key was ever issued.
//!
//! Not among the usual tests, because it measures: `cargo test --test gate timing -- --ignored
//! --nocapture --test-threads=1`, on a machine that does nothing else.
//!
//! A key that was revoked and one that never was get the same answer, so they must take the same
//! time. Samples of both are taken in turn, in pairs whose order is drawn, each with a key that has
//! not been used before; the slowest tenth, in which the machine did something else, is left out;
//! and Welch's t is asked of what remains. With so many samples it finds a few nanoseconds, far
//! below what anybody can measure from outside (100 ns in the same network, by Crosby, Wallach and
//! Riedi, 2009). So a difference of [`MARGIN`] is allowed, and only what is beyond it counts.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use http::{HeaderMap, HeaderValue, Method};
use jiff::Timestamp;
use keygate::gate::{Denial, Facts, Snapshot, Transport, decide};
use keygate::keys::{KeyRecord, KeyStatus};

use crate::world::{account, key, route, snapshot, world};

/// How many pairs of samples.
const PAIRS: usize = 120_000;
/// How many keys there are, and how many are presented that are not among them.
const KEYS: usize = 20_000;
/// The difference that is allowed, in nanoseconds. Not optimised, everything takes many times as long.
const MARGIN: f64 = if cfg!(debug_assertions) { 400.0 } else { 100.0 };
/// Beyond this t there is a difference; by chance it comes up once in 300,000 times.
const BOUND: f64 = 4.5;

/// A key's text: all of one length, none like the next.
fn text(class: &str, number: usize) -> String {
    let scrambled = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{class}-{scrambled:016x}-{:016x}", scrambled.rotate_left(29))
}

fn revoked(number: usize) -> KeyRecord {
    let status = KeyStatus::Revoked { at: None };
    KeyRecord { status, ..key(&format!("key-{number}"), &text("known", number)) }
}

/// A world in which half of the keys are in force, and the others were revoked.
fn issued() -> Snapshot {
    let live = |number| key(&format!("live-{number}"), &text("alive", number));
    let keys = (0..KEYS).flat_map(|number| [revoked(number), live(number)]).collect();
    snapshot(world(vec![account("acme")], keys, vec![route("/{*rest}")]))
}

fn requests(class: &str) -> Vec<HeaderMap> {
    let request = |number| {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_str(&format!("Bearer {}", text(class, number))).unwrap();
        headers.insert("authorization", value);
        headers
    };
    (0..KEYS).map(request).collect()
}

/// One decision: how long it took, in nanoseconds, and what it said.
fn judge(snapshot: &Snapshot, headers: &HeaderMap) -> (f64, Denial) {
    let client = (IpAddr::V4(Ipv4Addr::LOCALHOST), false);
    let facts = Facts::new(&Method::GET, "/a/path", Transport::Tls, client, headers, false);
    let began = Instant::now();
    let verdict = decide(black_box(&facts), black_box(snapshot), Timestamp::UNIX_EPOCH);
    let took = began.elapsed();
    let denial = black_box(verdict).outcome.unwrap_err();
    (took.as_nanos() as f64, denial)
}

/// A generator that needs no crate: only its bits' lack of order is wanted.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// The difference of the means beyond what is allowed, in standard errors, and the difference.
fn welch(a: &[f64], b: &[f64], margin: f64) -> (f64, f64) {
    let (mean_a, error_a) = moments(a);
    let (mean_b, error_b) = moments(b);
    let difference = mean_a - mean_b;
    let beyond = (difference.abs() - margin).max(0.0);
    (beyond / (error_a + error_b).sqrt(), difference)
}

/// The mean, and the variance of the mean.
fn moments(samples: &[f64]) -> (f64, f64) {
    let count = samples.len() as f64;
    let mean = samples.iter().sum::<f64>() / count;
    let variance = samples.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean, variance / count)
}

/// Takes samples of two classes in turn, and leaves the slowest tenth out: of both at the same
/// threshold, so that what is left out says nothing about either.
fn compare(a: impl Fn(usize) -> f64, b: impl Fn(usize) -> f64) -> (Vec<f64>, Vec<f64>) {
    let mut draw = Draw(0x2545_f491_4f6c_dd1d);
    let (mut first, mut second) = (Vec::with_capacity(PAIRS), Vec::with_capacity(PAIRS));
    for pair in 0..PAIRS + PAIRS / 10 {
        let number = usize::try_from(draw.next() % KEYS as u64).unwrap();
        let (x, y) = if draw.next() & 1 == 0 {
            let x = a(number);
            (x, b(number))
        } else {
            let y = b(number);
            (a(number), y)
        };
        // The first are for caches and branch predictors to warm up.
        if pair >= PAIRS / 10 {
            first.push(x);
            second.push(y);
        }
    }
    let mut all: Vec<_> = first.iter().chain(&second).copied().collect();
    all.sort_by(f64::total_cmp);
    let most = all[all.len() * 9 / 10];
    let keep = |samples: Vec<f64>| samples.into_iter().filter(|x| *x <= most).collect();
    (keep(first), keep(second))
}

#[test]
#[ignore = "it measures time"]
fn a_key_that_was_revoked_and_one_that_never_was_take_the_same_time() {
    let snapshot = issued();
    let (known, never) = (requests("known"), requests("never"));
    let ask = |headers: &HeaderMap, expected| {
        let (took, denial) = judge(&snapshot, headers);
        assert_eq!(denial, expected);
        took
    };
    let known = |number: usize| ask(&known[number], Denial::RevokedKey);
    let never = |number: usize| ask(&never[number], Denial::UnknownKey);
    let (a, b) = compare(known, never);
    let (t, difference) = welch(&a, &b, MARGIN);
    let (strict, _) = welch(&a, &b, 0.0);
    println!(
        "{} and {} samples: {:.1} ns and {:.1} ns, a difference of {difference:.1} ns; t is \
         {strict:.1}, beyond {MARGIN} ns {t:.2}",
        a.len(),
        b.len(),
        moments(&a).0,
        moments(&b).0
    );
    assert!(a.len() + b.len() >= 200_000);
    assert!(t < BOUND, "a stranger can tell known keys from unknown ones");
}

#[test]
#[ignore = "it measures time"]
fn an_early_return_would_be_noticed() {
    let snapshot = issued();
    let (known, never) = (requests("known"), requests("never"));
    // What a look-up without hashing first would do: it knows the beginning of what it has.
    let early = |number: usize| {
        let began = Instant::now();
        let value = black_box(&never[number]).get("authorization").unwrap();
        let unknown = !black_box(value.as_bytes()).starts_with(b"Bearer known");
        let took = began.elapsed();
        assert!(unknown);
        took.as_nanos() as f64
    };
    let (a, b) = compare(|number| judge(&snapshot, &known[number]).0, early);
    let (t, difference) = welch(&a, &b, MARGIN);
    println!("an early return: a difference of {difference:.1} ns, t beyond the margin {t:.2}");
    assert!(t > BOUND);
}
