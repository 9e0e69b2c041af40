//! How long things take, counted in buckets by one thread and read by any.

use std::time::Duration;

use super::cells::Cell;

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

/// Upper bounds of the buckets of waits in a queue, and of reloads, in nanoseconds: 1 ms to 60 s.
pub(super) const WAITS: [u64; 13] = [
    1_000_000,
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
    15_000_000_000,
    60_000_000_000,
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
    pub(super) const fn new(bounds: &'static [u64; N]) -> Self {
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
        let counts = self.buckets.iter().chain([&self.above]).map(Cell::get);
        if sum.buckets.is_empty() {
            *sum = HistogramSum::of(self.bounds);
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

impl HistogramSum {
    /// Of nothing yet, with these bounds.
    pub(super) fn of(bounds: &[u64]) -> Self {
        let bounds = bounds.iter().map(|&bound| seconds(bound)).chain([f64::INFINITY]);
        Self { seconds: 0.0, count: 0, buckets: bounds.map(|bound| (bound, 0)).collect() }
    }
}

#[expect(clippy::cast_precision_loss, reason = "2^53 ns are 104 days; beyond, the last ns blur")]
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
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
        assert!(DURATIONS.is_sorted() && OVERHEADS.is_sorted() && WAITS.is_sorted());
    }
}
