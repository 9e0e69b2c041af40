//! Whether a stranger can tell from the time that a refusal takes if a key was ever issued.
//!
//! Not among the usual tests, because it measures: `cargo test --test gate timing -- --ignored
//! --nocapture --test-threads=1`, on a machine that does nothing else.
//!
//! A key that was revoked and one that never was get the same answer, so they must take the same
//! time: on a route, and where somebody logs in for a token. Samples of both are taken in turn, in
//! pairs whose order is drawn, in batches; and as dudect does (Reparaz, Balasch and Verbauwhede,
//! 2017), Welch's t is asked of what remains below several thresholds, the same for both classes of
//! a batch, because what is slow is mostly the machine doing something else.
//!
//! With so many samples it finds a few nanoseconds. A difference of [`MARGIN`] is allowed, and only
//! what is beyond it counts: a key that is found is read where its record lies, and one that is not
//! is compared with some other record, which lies as deep in memory but is reached by one step less.
//! What could be learnt from that is whether a whole key, which one must hold to ask, was ever
//! issued; it leads to no other key, because what is looked up is a digest. An early return, which
//! would lead there, costs a microsecond and more, and is noticed.

use std::collections::HashSet;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, Method};
use jiff::Timestamp;
use keygate::gate::{
    Algorithm, Denial, Endpoint, Facts, Parts, SigningKey, Snapshot, TokenSettings, Tokens,
    Transport, decide,
};
use keygate::keys::{ApiKey, Digester, KeyRecord, KeyStatus};

use crate::world::{account, key, route, snapshot, world};

/// How many pairs of samples, in so many batches.
const PAIRS: usize = 120_000;
const BATCHES: usize = 24;
/// Which shares of the samples are looked at, the fastest first, in percent.
const CROPS: [usize; 4] = [50, 75, 90, 98];
/// How many keys there are, and how many are presented that are not among them.
const KEYS: usize = 20_000;
/// The difference that is allowed, in nanoseconds: two or three steps to memory, on a machine that
/// has other work. Not optimised, everything takes many times as long.
const MARGIN: f64 = if cfg!(debug_assertions) { 1000.0 } else { 250.0 };
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
    snapshot(keys())
}

fn keys() -> Parts {
    let live = |number| key(&format!("live-{number}"), &text("alive", number));
    let keys = (0..KEYS).flat_map(|number| [revoked(number), live(number)]).collect();
    world(vec![account("acme")], keys, vec![route("/{*rest}")])
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

/// Samples of two classes, by batch.
struct Samples(Vec<(Vec<f64>, Vec<f64>)>);

/// What two classes differ by.
#[derive(Debug)]
struct Compared {
    /// Beyond the margin, in standard errors.
    t: f64,
    /// Beyond nothing.
    strict: f64,
    samples: usize,
    told: String,
}

impl Samples {
    /// Takes them in turn. The first batch is for caches and branch predictors to warm up.
    fn take(a: impl Fn(usize) -> f64, b: impl Fn(usize) -> f64) -> Self {
        let mut draw = Draw(0x2545_f491_4f6c_dd1d);
        let mut batch = || {
            let mut pair = |_| {
                let number = usize::try_from(draw.next() % KEYS as u64).unwrap();
                if draw.next() & 1 == 0 {
                    let x = a(number);
                    return (x, b(number));
                }
                let y = b(number);
                (a(number), y)
            };
            (0..PAIRS / BATCHES).map(&mut pair).unzip()
        };
        let _: (Vec<f64>, Vec<f64>) = batch();
        Self((0..BATCHES).map(|_| batch()).collect())
    }

    /// What is left of both classes below the thresholds that leave a share of each batch.
    fn cropped(&self, crop: usize) -> (Vec<f64>, Vec<f64>) {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for (a, b) in &self.0 {
            let mut all: Vec<_> = a.iter().chain(b).copied().collect();
            all.sort_by(f64::total_cmp);
            let most = all[all.len() * crop / 100];
            first.extend(a.iter().filter(|x| **x <= most));
            second.extend(b.iter().filter(|x| **x <= most));
        }
        (first, second)
    }

    /// The crop that tells the two apart best.
    fn compare(&self, what: &str) -> Compared {
        let compare = |&crop: &usize| {
            let (a, b) = self.cropped(crop);
            let (t, _) = welch(&a, &b, MARGIN);
            let (strict, difference) = welch(&a, &b, 0.0);
            let told = format!(
                "{what}, {crop} %: {:.1} and {:.1} ns, {difference:.1} ns; t {strict:.1}, beyond \
                 {MARGIN} ns {t:.2}",
                moments(&a).0,
                moments(&b).0
            );
            Compared { t, strict, samples: a.len() + b.len(), told }
        };
        let compared = CROPS.iter().map(compare);
        compared.max_by(|a, b| a.t.total_cmp(&b.t).then(a.strict.total_cmp(&b.strict))).unwrap()
    }
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
    let compared = Samples::take(known, never).compare("revoked and unknown");
    println!("{}", compared.told);
    assert!(compared.t < BOUND, "a stranger can tell known keys from unknown ones: {compared:?}");
}

/// For every digest the same one, and not the same one for all.
#[test]
fn what_is_not_known_is_compared_with_some_key() {
    for count in [1, 2, 7, 300] {
        let keys = (0..count).map(revoked).collect();
        let table = world(vec![account("acme")], keys, Vec::new()).table;
        let decoy = |number| {
            let digest = Digester::Sha256.digest(&ApiKey::new(text("never", number).as_bytes()));
            table.decoy(&digest).expect("a key").0
        };
        let decoys: HashSet<_> = (0..20 * count).map(decoy).collect();
        assert!(decoys.len() > count / 2, "{} of {count}", decoys.len());
        assert_eq!(decoy(1), decoy(1));
    }
    assert!(world(Vec::new(), Vec::new(), Vec::new()).table.is_empty());
}

/// One login: how long judging it took, in nanoseconds, and what it said.
fn log_in(snapshot: &Snapshot, body: &[u8]) -> (f64, Denial) {
    let headers = HeaderMap::new();
    let client = (IpAddr::V4(Ipv4Addr::LOCALHOST), false);
    let facts = Facts::new(&Method::POST, "/login", Transport::Tls, client, &headers, true);
    let began = Instant::now();
    let now = Timestamp::UNIX_EPOCH;
    let body = Ok(black_box(body));
    let minting = Endpoint::Login.answer(black_box(&facts), body, snapshot, now, [7; 16]);
    let took = began.elapsed();
    (took.as_nanos() as f64, black_box(minting).outcome.unwrap_err())
}

#[test]
#[ignore = "it measures time"]
fn a_login_with_a_revoked_key_and_one_with_an_unknown_key_take_the_same_time() {
    let signer = Arc::new(SigningKey::generate(Algorithm::EdDsa).unwrap());
    let settings = TokenSettings {
        signer,
        verifiers: Vec::new(),
        lifetime: Duration::from_secs(60),
        max_age: Duration::from_secs(60),
        issuer: "us".into(),
        audience: "us".into(),
        endpoints: vec![(Endpoint::Login, "/login".into())],
    };
    let tokens = Some(Arc::new(Tokens::new(settings)));
    let snapshot = snapshot(Parts { tokens, ..keys() });
    let bodies = |class: &str| -> Vec<String> {
        (0..KEYS).map(|number| format!(r#"{{"apiKey":"{}"}}"#, text(class, number))).collect()
    };
    let (known, never) = (bodies("known"), bodies("never"));
    let ask = |body: &str, expected| {
        let (took, denial) = log_in(&snapshot, body.as_bytes());
        assert_eq!(denial, expected);
        took
    };
    let known = |number: usize| ask(&known[number], Denial::RevokedKey);
    let never = |number: usize| ask(&never[number], Denial::UnknownKey);
    let compared = Samples::take(known, never).compare("revoked and unknown at login");
    println!("{}", compared.told);
    assert!(compared.t < BOUND, "a stranger can tell known keys from unknown ones: {compared:?}");
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
    let known = |number: usize| judge(&snapshot, &known[number]).0;
    let compared = Samples::take(known, early).compare("an early return");
    println!("{}", compared.told);
    assert!(compared.t > BOUND, "{compared:?}");
}

/// The least that could be told apart: the margin, and a little more, added to one class.
#[test]
#[ignore = "it measures time"]
fn a_difference_beyond_the_margin_would_be_noticed() {
    let snapshot = issued();
    let never = requests("never");
    let ask = |number: usize| judge(&snapshot, &never[number]).0;
    let same = Samples::take(ask, ask).compare("the same");
    println!("{}", same.told);
    assert!(same.t < BOUND, "{same:?}");
    assert!(same.samples >= 100_000);
    let slower = Samples::take(ask, |number| ask(number) + MARGIN * 1.2).compare("a little slower");
    println!("{}", slower.told);
    assert!(slower.t > BOUND, "{slower:?}");
}
