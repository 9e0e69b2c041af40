//! Numbers that one thread writes and any thread reads.
//!
//! Each worker has cells of its own, cache lines apart from everybody else's, so that counting
//! costs no locked instruction and moves no line between cores. Only [`super::WorkerMetrics`],
//! which cannot leave its thread, writes to them; a scrape adds them up.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::label::{ListenerKind, RouteId, TurnedAway, UpstreamError};
use super::record::SLOTS;

/// A number with a single writer: an ordinary load, add and store.
#[derive(Debug, Default)]
pub(super) struct Cell(AtomicU64);

impl Cell {
    pub(super) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(super) fn add(&self, amount: u64) {
        self.0.store(self.get().wrapping_add(amount), Relaxed);
    }

    pub(super) fn subtract(&self, amount: u64) {
        self.0.store(self.get().wrapping_sub(amount), Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Upper bounds of the request duration's buckets, in nanoseconds: 50 µs to 60 s.
pub(super) const DURATIONS: [u64; 19] = [
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
    60_000_000_000,
];

/// Upper bounds of our own share's buckets, in nanoseconds: 5 µs to 100 ms.
pub(super) const OVERHEADS: [u64; 14] = [
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
];

/// How often a duration fell into each of `N` buckets, or above them all, and the sum.
#[derive(Debug)]
pub(super) struct Histogram<const N: usize> {
    bounds: &'static [u64; N],
    buckets: [Cell; N],
    above: Cell,
    nanoseconds: Cell,
}

impl<const N: usize> Histogram<N> {
    const fn new(bounds: &'static [u64; N]) -> Self {
        Self {
            bounds,
            buckets: [const { Cell::new() }; N],
            above: Cell::new(),
            nanoseconds: Cell::new(),
        }
    }

    pub(super) fn observe(&self, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let at = self.bounds.partition_point(|&bound| bound < nanoseconds);
        self.buckets.get(at).unwrap_or(&self.above).add(1);
        self.nanoseconds.add(nanoseconds);
    }

    /// Adds this histogram to a sum of several.
    pub(super) fn add_to(&self, sum: &mut HistogramSum) {
        let bounds = self.bounds.iter().map(|&bound| seconds(bound)).chain([f64::INFINITY]);
        let counts = self.buckets.iter().chain([&self.above]).map(Cell::get);
        if sum.buckets.is_empty() {
            sum.buckets = bounds.map(|bound| (bound, 0)).collect();
        }
        for ((_, total), count) in sum.buckets.iter_mut().zip(counts) {
            *total += count;
            sum.count += count;
        }
        sum.seconds += seconds(self.nanoseconds.get());
    }
}

/// Several histograms of the same bounds, added up.
#[derive(Debug, Default)]
pub(super) struct HistogramSum {
    pub(super) seconds: f64,
    pub(super) count: u64,
    /// Upper bound in seconds, and how many fell between it and the one before.
    pub(super) buckets: Vec<(f64, u64)>,
}

#[expect(clippy::cast_precision_loss, reason = "2^53 ns are 104 days; beyond, the last ns blur")]
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

/// What one worker counted on one route.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct RouteCells {
    pub(super) label: Arc<str>,
    pub(super) fates: [Cell; SLOTS],
}

impl RouteCells {
    pub(super) const fn new(label: Arc<str>) -> Self {
        Self { label, fates: [const { Cell::new() }; SLOTS] }
    }
}

/// What one worker counted.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct WorkerCells {
    pub(super) durations: Histogram<{ DURATIONS.len() }>,
    pub(super) overheads: Histogram<{ OVERHEADS.len() }>,
    pub(super) in_flight: Cell,
    pub(super) upstream_errors: [Cell; UpstreamError::ALL.len()],
    pub(super) connections: [Cell; ListenerKind::ALL.len()],
    pub(super) turned_away: [Cell; TurnedAway::ALL.len()],
    /// Written when the worker meets a route for the first time, read by a scrape.
    routes: Mutex<Vec<(RouteId, Arc<RouteCells>)>>,
}

impl WorkerCells {
    pub(super) const fn new() -> Self {
        Self {
            durations: Histogram::new(&DURATIONS),
            overheads: Histogram::new(&OVERHEADS),
            in_flight: Cell::new(),
            upstream_errors: [const { Cell::new() }; UpstreamError::ALL.len()],
            connections: [const { Cell::new() }; ListenerKind::ALL.len()],
            turned_away: [const { Cell::new() }; TurnedAway::ALL.len()],
            routes: Mutex::new(Vec::new()),
        }
    }

    pub(super) fn routes(&self) -> MutexGuard<'_, Vec<(RouteId, Arc<RouteCells>)>> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let histogram = Histogram::new(&OVERHEADS);
        for nanoseconds in [0, 5_000, 5_001, 100_000_000, 100_000_001, u64::MAX / 4] {
            histogram.observe(Duration::from_nanos(nanoseconds));
        }
        let mut sum = HistogramSum::default();
        histogram.add_to(&mut sum);
        assert_eq!(sum.count, 6);
        assert_eq!(sum.buckets.first(), Some(&(0.000_005, 2)));
        assert_eq!(sum.buckets.get(1), Some(&(0.000_01, 1)));
        assert_eq!(sum.buckets.get(13), Some(&(0.1, 1)));
        assert_eq!(sum.buckets.last(), Some(&(f64::INFINITY, 2)));
    }

    #[test]
    fn the_bounds_ascend() {
        assert!(DURATIONS.is_sorted() && OVERHEADS.is_sorted());
    }
}
