//! Counting what happens, and adding it up when somebody asks.
//!
//! [`Metrics`] is shared by the whole process; each worker thread takes a [`WorkerMetrics`] of its
//! own and counts in it without a lock, an allocation or a line of memory that another core wants.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
#[cfg(feature = "otlp")]
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::clock;
use crate::keys::AccountId;
use crate::keys::KeyId;

use super::cells::{RouteCells, WorkerCells};
use super::expose::{self, Exposition};
use super::guards::{ConnectionGuard, QueueGuard, UpstreamGuard};
use super::histogram::{Histogram, HistogramSum, WAITS};
use super::journal::{Journal, Lane};
use super::key_series::{KeyCells, KeySeries, KnownKeys};
use super::label::{
    Handshake, Labels, ListenerKind, Occupancy, RouteId, TableCounts, TurnedAway, UpstreamError,
    UpstreamUse,
};
use super::record::{Record, labels, slot};
#[cfg(feature = "otlp")]
use super::spans::{Span, SpanCounts, Spans};
use crate::config::AccessLog;

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
        let cells = Arc::new(WorkerCells::new());
        self.shared.workers().push(Arc::clone(&cells));
        let shared = Arc::clone(&self.shared);
        let (routes, keys) = (RefCell::default(), KnownKeys::default());
        let lane = Lane::new(Arc::clone(&self.journal));
        WorkerMetrics(Rc::new(Worker { cells, shared, routes, keys, lane }))
    }

    /// Where requests are told of from now on. A file that cannot be opened leaves the one before.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn set_access_log(&self, config: &AccessLog) -> io::Result<()> {
        self.journal.set(config)
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

#[derive(Debug)]
struct Worker {
    cells: Arc<WorkerCells>,
    shared: Arc<Shared>,
    /// By the route's id, filled when this worker meets the route for the first time.
    routes: RefCell<Vec<Option<Arc<RouteCells>>>>,
    keys: KnownKeys,
    lane: Lane,
}

/// One thread's share of the metrics. Cheap to clone; cannot leave its thread, which is what makes
/// counting without locked instructions right.
#[derive(Clone, Debug)]
pub struct WorkerMetrics(Rc<Worker>);

impl WorkerMetrics {
    /// Something went wrong between us and the upstream.
    pub fn upstream_error(&self, kind: UpstreamError) {
        if let Some(cell) = self.0.cells.upstream_errors.get(kind as usize) {
            cell.add(1);
        }
    }

    /// A connection was closed as soon as it had come.
    pub fn turned_away(&self, reason: TurnedAway) {
        if let Some(cell) = self.0.cells.turned_away.get(reason as usize) {
            cell.add(1);
        }
    }

    /// A connection was accepted; it counts as open until the guard is dropped.
    #[must_use]
    pub fn connection(&self, listener: ListenerKind) -> ConnectionGuard {
        if let Some(cell) = self.0.cells.accepted.get(listener as usize) {
            cell.add(1);
        }
        ConnectionGuard::new(self, listener)
    }

    /// The system gave no connection although one waited.
    pub fn accept_error(&self, listener: ListenerKind) {
        if let Some(cell) = self.0.cells.accept_errors.get(listener as usize) {
            cell.add(1);
        }
    }

    /// A TLS handshake with a client has ended.
    pub fn handshake(&self, result: Handshake) {
        if let Some(cell) = self.0.cells.handshakes.get(result as usize) {
            cell.add(1);
        }
    }

    /// A failed attempt was one too many of its address.
    pub fn attempt_limited(&self) {
        self.0.cells.attempts_limited.add(1);
    }

    /// A request has to wait on its route; it waits until the guard is dropped.
    #[must_use]
    pub fn queued(&self, route: RouteId) -> QueueGuard {
        QueueGuard::new(self.cells_of(route), clock::mono())
    }

    /// A connection to the upstream was opened; it counts as open until the guard is dropped.
    #[must_use]
    pub fn upstream_opened(&self) -> UpstreamGuard {
        self.0.cells.upstream_opened.add(1);
        UpstreamGuard::new(self)
    }

    /// A request goes to the upstream on such a connection.
    pub fn upstream_used(&self, how: UpstreamUse) {
        if let Some(cell) = self.0.cells.upstream_uses.get(how as usize) {
            cell.add(1);
        }
    }

    /// So many connections to the upstream wait for a request.
    pub fn upstream_idle(&self, count: usize) {
        self.0.cells.upstream_idle.set(count as u64);
    }

    pub(super) fn cells(&self) -> &WorkerCells {
        &self.0.cells
    }

    /// Where the requests of a key are counted, if they are.
    pub(super) fn key(&self, key: &KeyId, account: &AccountId) -> Option<Arc<KeyCells>> {
        self.0.keys.cells(&self.0.shared.keys, key, account)
    }

    pub(super) fn begin(&self) {
        self.0.cells.in_flight.add(1);
    }

    pub(super) fn finish(&self, record: &Record, elapsed: Duration) {
        let cells = &self.0.cells;
        cells.in_flight.subtract(1);
        cells.durations.observe(elapsed);
        if let Some(overhead) = record.overhead() {
            cells.overheads.observe(overhead);
        }
        self.on_route(record.route, |route| {
            if let Some(cell) = route.fates.get(slot(record.fate)) {
                cell.add(1);
            }
        });
        if let Some(key) = &record.key {
            key.count(labels(record.fate).0);
        }
    }

    pub(super) fn label(&self, id: RouteId) -> Arc<str> {
        self.on_route(id, |route| Arc::clone(&route.label))
    }

    pub(super) fn with_label(&self, id: RouteId, act: impl FnOnce(&str)) {
        self.on_route(id, |route| act(&route.label));
    }

    /// Its way to the access log.
    pub(super) fn lane(&self) -> &Lane {
        &self.0.lane
    }

    fn on_route<T>(&self, id: RouteId, act: impl FnOnce(&RouteCells) -> T) -> T {
        if let Some(Some(cells)) = self.0.routes.borrow().get(id.position()) {
            return act(cells);
        }
        act(&self.meet(id))
    }

    /// Where spans are left, if they are sent.
    #[cfg(feature = "otlp")]
    pub(super) fn spans(&self) -> Option<&Spans> {
        self.0.shared.spans.get()
    }

    fn cells_of(&self, id: RouteId) -> Arc<RouteCells> {
        let known = self.0.routes.borrow().get(id.position()).cloned().flatten();
        known.unwrap_or_else(|| self.meet(id))
    }

    /// The first request of this worker on a route: the one time that it takes a lock.
    #[cold]
    fn meet(&self, id: RouteId) -> Arc<RouteCells> {
        let at = id.position();
        let cells = Arc::new(RouteCells::new(self.0.shared.labels().label(id)));
        self.0.cells.routes().push((id, Arc::clone(&cells)));
        let mut routes = self.0.routes.borrow_mut();
        if routes.len() <= at {
            routes.resize(at + 1, None);
        }
        if let Some(entry) = routes.get_mut(at) {
            *entry = Some(Arc::clone(&cells));
        }
        cells
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::super::label::{KeyCounts, MOST_ROUTES};
    use super::*;
    use crate::clock;
    use crate::gate::Denial;
    use crate::observe::Fate;
    use crate::observe::RecordGuard;
    use crate::observe::record::tests::anonymous;

    #[test]
    fn workers_are_added_up() {
        let metrics = Metrics::new();
        let route = metrics.route("/a");
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let worker = metrics.worker();
                    worker.upstream_error(UpstreamError::Garbage);
                    for _ in 0..1000 {
                        let mut guard = RecordGuard::new(&worker, clock::mono());
                        guard.settle(Fate::Forwarded, route, &anonymous());
                        guard.answered(200, clock::mono());
                    }
                });
            }
        });
        let text = metrics.render(Exposition::Prometheus);
        for line in [
            r#"keygate_requests_total{route="/a",outcome="forwarded",reason=""} 4000"#,
            "keygate_request_duration_seconds_count 4000",
            "keygate_overhead_seconds_bucket{le=\"+Inf\"} 4000",
            "keygate_upstream_errors_total{kind=\"garbage\"} 4",
            "keygate_in_flight_requests 0",
        ] {
            assert!(text.lines().any(|found| found == line), "no `{line}` in\n{text}");
        }
    }

    #[test]
    fn the_documented_names_are_there_before_anything_happened() {
        let metrics = Metrics::new();
        metrics.reloaded(true, Duration::from_millis(3), clock::now());
        let keys = KeyCounts {
            active: 2,
            revoked: 1,
            expiring: [1, 2],
            older: [2, 1, 0],
            ..KeyCounts::default()
        };
        let digest = "abc".into();
        metrics.set_table(TableCounts { generation: 7, digest, accounts: 1, keys });
        let named = [("a.example".into(), Timestamp::from_second(5).unwrap())];
        metrics.set_certificate_expiries(Timestamp::UNIX_EPOCH, &named);
        metrics.route("/a");
        let text = metrics.render(Exposition::Prometheus);
        for line in [
            "# TYPE keygate_requests_total counter",
            "# TYPE keygate_request_duration_seconds histogram",
            "# TYPE keygate_overhead_seconds histogram",
            "keygate_in_flight_requests 0",
            "keygate_upstream_errors_total{kind=\"connect\"} 0",
            "keygate_keys{state=\"active\"} 2",
            "keygate_keys{state=\"revoked\"} 1",
            "keygate_keys_due 0",
            "keygate_keys_expiring{within=\"7d\"} 1",
            "keygate_keys_expiring{within=\"30d\"} 2",
            "keygate_keys_older_than{days=\"180\"} 1",
            "keygate_accounts 1",
            "keygate_table_info{digest=\"abc\"} 1",
            "keygate_reload_duration_seconds_count 1",
            "keygate_ready 0",
            "# TYPE process_cpu_seconds_total counter",
            "keygate_reloads_total{result=\"success\"} 1",
            "keygate_reloads_total{result=\"failure\"} 0",
            "keygate_last_reload_successful 1",
            "keygate_table_generation 7",
            "keygate_certificate_expiry_timestamp_seconds 0",
            "keygate_certificate_expiry_timestamp_seconds{name=\"a.example\"} 5",
            "keygate_connections{listener=\"https\"} 0",
            "keygate_connections_refused_total{reason=\"connections_per_address\"} 0",
            "keygate_panics_total 0",
            "keygate_state_write_errors_total 0",
        ] {
            assert!(text.lines().any(|found| found == line), "no `{line}` in\n{text}");
        }
        assert!(text.contains("keygate_log_lines_dropped_total "));
        assert!(!text.contains("# EOF"));
        assert!(metrics.render(Exposition::OpenMetrics).ends_with("# EOF\n"));
    }

    #[test]
    fn a_label_keeps_its_id_and_the_number_of_labels_is_bounded() {
        let metrics = Metrics::new();
        let first = metrics.route("/a");
        assert_eq!(metrics.route("/a"), first);
        for number in 0..MOST_ROUTES {
            metrics.route(&format!("/{number}"));
        }
        assert_eq!(metrics.route("/one/more"), metrics.route("/and/another"));
        assert_eq!(metrics.route("/a"), first);
    }

    #[test]
    fn a_label_cannot_break_the_text() {
        let metrics = Metrics::new();
        let route = metrics.route("/\"}\n\\");
        let mut guard = RecordGuard::new(&metrics.worker(), clock::mono());
        guard.settle(Fate::Refused(Denial::NoRoute), route, &anonymous());
        drop(guard);
        let text = metrics.render(Exposition::Prometheus);
        assert!(text.contains(r#"{route="/\"}\n\\",outcome="refused",reason="no_route"} 1"#));
    }

    #[test]
    fn a_connection_counts_while_its_guard_lives() {
        let metrics = Metrics::new();
        let guard = metrics.worker().connection(ListenerKind::Https);
        let line = "keygate_connections{listener=\"https\"} 1\n";
        assert!(metrics.render(Exposition::Prometheus).contains(line));
        drop(guard);
        assert!(!metrics.render(Exposition::Prometheus).contains(line));
    }
}
