//! Requests by key, where the operator asks for it: `[metrics] keys = N`.
//!
//! The first N keys that are used have series of their own; whoever comes later is counted as
//! `other`, all together. A key that no longer exists gives its place up, and what was counted of it
//! goes on as `other`, so that no sum ever falls. Each worker counts in cells of its own; only the
//! first request of a key on a worker takes a lock.

use std::cell::{Cell as Local, RefCell};
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::keys::Account;
use crate::keys::AccountId;
use crate::keys::KeyId;

use super::cells::Cell;
use super::record::Outcome;

/// The label `key` of all keys that have no series of their own.
pub(super) const OTHER: &str = "other";

/// What one worker counted of one key, by outcome.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct KeyCells {
    /// `None` is all others.
    named: Option<(KeyId, AccountId)>,
    /// Whether the key has lost its place: then it is one of the others.
    retired: AtomicBool,
    outcomes: [Cell; Outcome::ALL.len()],
}

impl KeyCells {
    fn new(named: Option<(KeyId, AccountId)>) -> Arc<Self> {
        let outcomes = [const { Cell::new() }; Outcome::ALL.len()];
        Arc::new(Self { named, retired: AtomicBool::new(false), outcomes })
    }

    /// Counts a request; only the worker that owns the cells may.
    pub(super) fn count(&self, outcome: Outcome) {
        if let Some(cell) = self.outcomes.get(outcome as usize) {
            cell.add(1);
        }
    }

    fn add_to(&self, sum: &mut Counts) {
        for (total, cell) in sum.iter_mut().zip(&self.outcomes) {
            *total += cell.get();
        }
    }
}

type Counts = [u64; Outcome::ALL.len()];

/// Which keys have series, and everything that was counted of them.
#[derive(Debug, Default)]
pub(super) struct KeySeries {
    /// Whether any are wanted.
    wanted: AtomicBool,
    /// Counts what makes workers forget whom they know.
    epoch: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    most: usize,
    admitted: HashSet<KeyId>,
    cells: Vec<Arc<KeyCells>>,
    /// Of cells that nobody counts in any more.
    gone: Counts,
}

impl KeySeries {
    /// Says how many keys have series, of those that still exist.
    pub(super) fn keep(&self, most: usize, exists: impl Fn(&KeyId) -> bool) {
        let mut inner = self.lock();
        let before = inner.admitted.len();
        inner.admitted.retain(|id| exists(id));
        if inner.admitted.len() > most {
            inner.admitted = inner.admitted.iter().take(most).cloned().collect();
        }
        // Whoever was one of the others may have a place now.
        let changed = inner.admitted.len() != before || most != inner.most;
        inner.most = most;
        self.wanted.store(most > 0, Relaxed);
        if changed {
            self.epoch.fetch_add(1, Relaxed);
            inner.retire();
        }
        inner.tidy();
    }

    /// Every series that there is: key, account, outcome and count. Nothing where none are wanted.
    pub(super) fn sums(&self) -> BTreeMap<(String, String), Counts> {
        let mut inner = self.lock();
        let mut sums = BTreeMap::new();
        if inner.most == 0 {
            return sums;
        }
        inner.tidy();
        sums.insert((OTHER.to_owned(), String::new()), inner.gone);
        for cells in &inner.cells {
            let named = cells.named.as_ref().filter(|_| !cells.retired.load(Relaxed));
            let labels = named.map_or_else(
                || (OTHER.to_owned(), String::new()),
                |(key, account)| (key.as_str().to_owned(), account.as_str().to_owned()),
            );
            cells.add_to(sums.entry(labels).or_default());
        }
        sums
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn admit(&mut self, key: &KeyId, account: &Account) -> Option<Arc<KeyCells>> {
        if !self.admitted.contains(key) {
            if self.admitted.len() >= self.most {
                return None;
            }
            self.admitted.insert(key.clone());
        }
        Some(self.add(Some((key.clone(), account.id.apart()))))
    }

    fn add(&mut self, named: Option<(KeyId, AccountId)>) -> Arc<KeyCells> {
        let cells = KeyCells::new(named);
        self.cells.push(Arc::clone(&cells));
        cells
    }

    /// Marks the cells of keys that have lost their places.
    fn retire(&self) {
        for cells in &self.cells {
            if cells.named.as_ref().is_some_and(|(key, _)| !self.admitted.contains(key)) {
                cells.retired.store(true, Relaxed);
            }
        }
    }

    /// Adds up the cells of keys that are gone, once nobody can count in them any more.
    fn tidy(&mut self) {
        let Self { cells, gone, .. } = self;
        cells.retain(|cells| {
            let keep = !cells.retired.load(Relaxed) || Arc::strong_count(cells) > 1;
            if !keep {
                cells.add_to(gone);
            }
            keep
        });
    }
}

/// The cells that one worker knows.
#[derive(Debug, Default)]
pub(super) struct KnownKeys {
    epoch: Local<u64>,
    known: RefCell<HashMap<KeyId, Arc<KeyCells>>>,
    /// Once all places are taken: who has one. Nobody gets one then until the epoch ends.
    closed: RefCell<Option<HashSet<KeyId>>>,
    others: RefCell<Option<Arc<KeyCells>>>,
}

impl KnownKeys {
    /// Where a request of this key is counted, if it is.
    pub(super) fn cells(
        &self,
        series: &KeySeries,
        key: &str,
        account: &Account,
    ) -> Option<Arc<KeyCells>> {
        if !series.wanted.load(Relaxed) {
            return None;
        }
        let epoch = series.epoch.load(Relaxed);
        if self.epoch.replace(epoch) != epoch {
            self.known.borrow_mut().clear();
            self.closed.replace(None);
        }
        if let Some(cells) = self.known.borrow().get(key.as_bytes()) {
            return Some(Arc::clone(cells));
        }
        if self.closed.borrow().as_ref().is_some_and(|admitted| !admitted.contains(key.as_bytes()))
        {
            return self.others.borrow().clone();
        }
        // One of a table, so it is a name.
        Some(self.meet(series, &KeyId::new(key).ok()?, account))
    }

    #[cold]
    fn meet(&self, series: &KeySeries, key: &KeyId, account: &Account) -> Arc<KeyCells> {
        let mut inner = series.lock();
        if let Some(cells) = inner.admit(key, account) {
            self.known.borrow_mut().insert(key.clone(), Arc::clone(&cells));
            return cells;
        }
        self.closed.replace(Some(inner.admitted.clone()));
        let mut others = self.others.borrow_mut();
        Arc::clone(others.get_or_insert_with(|| inner.add(None)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Name;
    use crate::keys::Origin;

    fn account() -> Account {
        let (id, origin) = (Name::new("acme").unwrap(), Origin::default());
        Account { id, name: None, permissions: None, disabled: false, origin }
    }

    fn forward(worker: &KnownKeys, series: &KeySeries, key: &str) {
        let cells = worker.cells(series, key, &account());
        cells.unwrap().count(Outcome::Forwarded);
    }

    fn forwarded(series: &KeySeries) -> Vec<(String, u64)> {
        let count = |counts: &Counts| counts[Outcome::Forwarded as usize];
        series.sums().iter().map(|((key, _), counts)| (key.clone(), count(counts))).collect()
    }

    fn counts(all: &[(&str, u64)]) -> Vec<(String, u64)> {
        all.iter().map(|(key, count)| ((*key).to_owned(), *count)).collect()
    }

    #[test]
    fn unless_it_is_asked_for_no_key_is_counted() {
        let (series, worker) = (KeySeries::default(), KnownKeys::default());
        assert!(worker.cells(&series, "a", &account()).is_none());
        assert_eq!(series.sums().len(), 0);
    }

    #[test]
    fn the_first_keys_have_series_and_the_rest_is_counted_together() {
        let (series, workers) =
            (KeySeries::default(), [KnownKeys::default(), KnownKeys::default()]);
        series.keep(2, |_| true);
        for key in ["a", "b", "c", "d", "a", "c"] {
            workers.iter().for_each(|worker| forward(worker, &series, key));
        }
        assert_eq!(forwarded(&series), counts(&[("a", 4), ("b", 2), ("other", 6)]));
    }

    #[test]
    fn a_key_that_is_gone_gives_its_place_up_and_no_sum_falls() {
        let (series, worker) = (KeySeries::default(), KnownKeys::default());
        series.keep(1, |_| true);
        let held = worker.cells(&series, "a", &account()).unwrap();
        forward(&worker, &series, "a");
        forward(&worker, &series, "b");
        series.keep(1, |id| id.as_str() != "a");
        forward(&worker, &series, "b");
        assert_eq!(forwarded(&series), counts(&[("b", 1), ("other", 2)]));
        // One that was still being answered.
        held.count(Outcome::Forwarded);
        assert_eq!(forwarded(&series), counts(&[("b", 1), ("other", 3)]));
        drop(held);
        assert_eq!(forwarded(&series), counts(&[("b", 1), ("other", 3)]));
        assert_eq!(series.lock().cells.len(), 2);
        // It comes back, and begins anew.
        series.keep(2, |_| true);
        forward(&worker, &series, "a");
        assert_eq!(forwarded(&series), counts(&[("a", 1), ("b", 1), ("other", 3)]));
    }

    #[test]
    fn the_number_of_series_can_change_meanwhile() {
        let (series, worker) = (KeySeries::default(), KnownKeys::default());
        series.keep(3, |_| true);
        for key in ["a", "b", "c"] {
            forward(&worker, &series, key);
        }
        series.keep(1, |_| true);
        for key in ["a", "b", "c"] {
            forward(&worker, &series, key);
        }
        let sums = forwarded(&series);
        assert_eq!(sums.len(), 2, "{sums:?}");
        assert_eq!(sums.iter().map(|(_, count)| count).sum::<u64>(), 6);
        series.keep(0, |_| true);
        assert!(worker.cells(&series, "a", &account()).is_none());
        assert_eq!(series.sums().len(), 0);
    }
}
