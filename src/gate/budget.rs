//! How much memory inspected bodies may take in all, across connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What is reserved of it, by everyone. Outlives snapshots.
#[derive(Clone, Debug, Default)]
pub struct Budget {
    used: Arc<AtomicUsize>,
}

/// Bytes that are reserved; dropping it gives them back.
#[derive(Debug)]
pub struct Reserve {
    used: Arc<AtomicUsize>,
    bytes: usize,
}

impl Budget {
    /// Reserves bytes, if not more than `most` are reserved then.
    #[must_use]
    pub fn reserve(&self, bytes: usize, most: usize) -> Option<Reserve> {
        let fits = |used: usize| used.checked_add(bytes).filter(|&sum| sum <= most);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        Some(Reserve { used: Arc::clone(&self.used), bytes })
    }

    /// How many bytes are reserved.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

impl Reserve {
    /// Reserves so many bytes more, if not more than `most` are reserved in all then.
    #[must_use]
    pub fn grow(&mut self, bytes: usize, most: usize) -> bool {
        let budget = Budget { used: Arc::clone(&self.used) };
        let Some(mut more) = budget.reserve(bytes, most) else { return false };
        self.bytes += std::mem::take(&mut more.bytes);
        true
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_reserved_than_there_is_and_all_of_it_comes_back() {
        let budget = Budget::default();
        let first = budget.reserve(60, 100).unwrap();
        assert!(budget.reserve(41, 100).is_none());
        let second = budget.reserve(40, 100).unwrap();
        assert_eq!(budget.used(), 100);
        drop(first);
        assert!(budget.reserve(61, 100).is_none());
        assert!(budget.reserve(usize::MAX, 100).is_none());
        let mut second = second;
        assert!(second.grow(60, 100) && !second.grow(1, 100));
        drop(second);
        assert_eq!(budget.used(), 0);
    }
}
