//! Counting what happens, and adding it up when somebody asks.
//!
//! [`Metrics`] is shared by the whole process; each worker thread takes a [`WorkerMetrics`] of its
//! own and counts in it without a lock, an allocation or a line of memory that another core wants.

mod worker;

use std::io;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
#[cfg(feature = "otlp")]
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::clock;
use crate::keys::KeyId;

use super::cells::WorkerCells;
use super::expose::{self, Exposition};
use super::histogram::{Histogram, HistogramSum, WAITS};
use super::journal::{Journal, Lane};
use super::key_series::KeySeries;
use super::label::{Labels, Occupancy, RouteId, TableCounts};
#[cfg(feature = "otlp")]
use super::spans::{Span, SpanCounts, Spans};
use crate::config::AccessLog;

pub use self::worker::WorkerMetrics;

/// What the process as a whole has to tell; written rarely, by any thread.
#[derive(Debug)]
pub(super) struct ProcessCells {
    table: Mutex<TableCounts>,
    reloads: Mutex<Reloads>,
    expiries: Mutex<Expiries>,
    occupancy: Mutex<Occupancy>,
    /// Unix time, as are the next two.
    pub(super) started: f64,
    pub(super) last_success: AtomicI64,
    pub(super) files_checked: AtomicI64,
    pub(super) panics: AtomicU64,
    pub(super) state_write_errors: AtomicU64,
    pub(super) audit_lines_dropped: AtomicU64,
}

/// How reading the files again went.
#[derive(Debug)]
pub(super) struct Reloads {
    pub(super) successes: u64,
    pub(super) failures: u64,
    pub(super) last_successful: bool,
    durations: Histogram<{ WAITS.len() }>,
}

impl Reloads {
    pub(super) fn durations(&self) -> HistogramSum {
        let mut sum = HistogramSum::default();
        self.durations.add_to(&mut sum);
        sum
    }
}

/// When certificates end, in Unix time.
#[derive(Debug, Default)]
pub(super) struct Expiries {
    /// `None` where no listener speaks TLS.
    pub(super) default: Option<i64>,
    /// Those for names that have their own.
    pub(super) named: Vec<(Box<str>, i64)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ProcessCells {
    fn new(now: Timestamp) -> Self {
        Self {
            table: Mutex::default(),
            // What runs has loaded: until a reload fails, nothing is wrong.
            reloads: Mutex::new(Reloads {
                successes: 0,
                failures: 0,
                last_successful: true,
                durations: Histogram::new(&WAITS),
            }),
            expiries: Mutex::default(),
            occupancy: Mutex::default(),
            started: now.as_duration().as_secs_f64(),
            last_success: AtomicI64::new(now.as_second()),
            files_checked: AtomicI64::new(now.as_second()),
            panics: AtomicU64::new(0),
            state_write_errors: AtomicU64::new(0),
            audit_lines_dropped: AtomicU64::new(0),
        }
    }

    pub(super) fn table(&self) -> MutexGuard<'_, TableCounts> {
        lock(&self.table)
    }

    pub(super) fn reloads(&self) -> MutexGuard<'_, Reloads> {
        lock(&self.reloads)
    }

    pub(super) fn expiries(&self) -> MutexGuard<'_, Expiries> {
        lock(&self.expiries)
    }

    pub(super) fn occupancy(&self) -> MutexGuard<'_, Occupancy> {
        lock(&self.occupancy)
    }
}

/// All that is counted, of all workers.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) process: ProcessCells,
    pub(super) keys: KeySeries,
    /// Set once, where spans are sent.
    #[cfg(feature = "otlp")]
    pub(super) spans: std::sync::OnceLock<Spans>,
    workers: Mutex<Vec<Arc<WorkerCells>>>,
    labels: Mutex<Labels>,
}

impl Shared {
    pub(super) fn workers(&self) -> MutexGuard<'_, Vec<Arc<WorkerCells>>> {
        lock(&self.workers)
    }

    pub(super) fn labels(&self) -> MutexGuard<'_, Labels> {
        lock(&self.labels)
    }
}

/// The process's metrics.
#[derive(Debug)]
pub struct Metrics {
    shared: Arc<Shared>,
    journal: Arc<Journal>,
}

impl Metrics {
    /// Metrics in which nothing has been counted.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let shared = Shared {
            process: ProcessCells::new(clock::now()),
            keys: KeySeries::default(),
            #[cfg(feature = "otlp")]
            spans: std::sync::OnceLock::new(),
            workers: Mutex::default(),
            labels: Mutex::new(Labels::new()),
        };
        Arc::new(Self { shared: Arc::new(shared), journal: Arc::default() })
    }

    /// Cells for the calling thread. To be taken once a thread, on that thread.
    #[must_use]
    pub fn worker(&self) -> WorkerMetrics {
        WorkerMetrics::new(Arc::clone(&self.shared), Lane::new(Arc::clone(&self.journal)))
    }

    /// Where requests are told of from now on. A file that cannot be opened leaves the one before.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn set_access_log(&self, config: &AccessLog) -> io::Result<()> {
        self.journal.set(config)
    }

    /// As [`Metrics::set_access_log`], but does not wait for the file to be opened; the log is told
    /// if it cannot be.
    pub fn turn_access_log(&self, config: &AccessLog) {
        self.journal.turn(config);
    }

    /// Opens the access log's file anew, since somebody has renamed it.
    pub fn reopen_access_log(&self) {
        self.journal.reopen();
    }

    /// Waits until the access log is written, as far as requests have ended; but not long.
    pub fn flush_access_log(&self) {
        self.journal.flush();
    }

    /// The id of a route's label: the same one for the same label, through every reload.
    pub fn route(&self, label: &str) -> RouteId {
        self.shared.labels().id(label)
    }

    /// On this route requests may have to wait.
    pub fn queues(&self, route: RouteId) {
        self.shared.labels().queues(route);
    }

    /// The table that is in force now.
    pub fn set_table(&self, table: TableCounts) {
        *self.shared.process.table() = table;
    }

    /// How many keys have series of their own, of those that exist in the table in force.
    pub fn keep_keys(&self, most: usize, exists: impl Fn(&KeyId) -> bool) {
        self.shared.keys.keep(most, exists);
    }

    /// The files were read again, which took so long, and did or did not load.
    pub fn reloaded(&self, success: bool, took: Duration, now: Timestamp) {
        let process = &self.shared.process;
        let mut reloads = process.reloads();
        if success {
            reloads.successes += 1;
            process.last_success.store(now.as_second(), Relaxed);
        } else {
            reloads.failures += 1;
        }
        reloads.last_successful = success;
        reloads.durations.observe(took);
    }

    /// The files were looked at for changes.
    pub fn files_checked(&self, now: Timestamp) {
        self.shared.process.files_checked.store(now.as_second(), Relaxed);
    }

    /// When the certificate that is served ends, and those for names that have their own.
    pub fn set_certificate_expiries(&self, default: Timestamp, named: &[(Box<str>, Timestamp)]) {
        let named = named.iter().map(|(name, at)| (name.clone(), at.as_second()));
        *self.shared.process.expiries() =
            Expiries { default: Some(default.as_second()), named: named.collect() };
    }

    /// What is taken of what requests share. To be said before it is shown.
    pub fn set_occupancy(&self, occupancy: Occupancy) {
        *self.shared.process.occupancy() = occupancy;
    }

    /// From here on spans are made: where they come out, and where what becomes of them is counted.
    #[cfg(feature = "otlp")]
    #[must_use]
    pub fn spans(&self) -> (Receiver<Span>, Arc<SpanCounts>) {
        let (spans, receiver) = Spans::new();
        let counts = Arc::clone(&spans.counts);
        // Whoever asks twice gets a queue into which nobody puts anything.
        let _ = self.shared.spans.set(spans);
        (receiver, counts)
    }

    /// A bug was met, and a connection ended by it.
    pub fn panicked(&self) {
        self.shared.process.panics.fetch_add(1, Relaxed);
    }

    /// So many lines of the audit log could not be written, or not in time.
    pub fn audit_lines_dropped(&self, lines: u64) {
        self.shared.process.audit_lines_dropped.fetch_add(lines, Relaxed);
    }

    /// What shall outlive the process could not be written.
    pub fn state_not_written(&self) {
        self.shared.process.state_write_errors.fetch_add(1, Relaxed);
    }

    /// Everything, added up now, as text.
    #[must_use]
    pub fn render(&self, exposition: Exposition) -> String {
        expose::render(&self.shared, exposition)
    }
}

#[cfg(test)]
mod tests;
