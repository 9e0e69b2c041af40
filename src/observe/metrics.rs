//! Counting what happens, and adding it up when somebody asks.
//!
//! [`Metrics`] is shared by the whole process; each worker thread takes a [`WorkerMetrics`] of its
//! own and counts in it without a lock, an allocation or a line of memory that another core wants.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::cells::{RouteCells, WorkerCells};
use super::expose::{self, Exposition};
use super::label::{KeyCounts, Labels, ListenerKind, RouteId, TurnedAway, UpstreamError};
use super::record::{Record, slot};

/// What the process as a whole has to tell; written rarely, by any thread.
#[derive(Debug, Default)]
pub(super) struct ProcessCells {
    pub(super) keys: [AtomicU64; 4],
    pub(super) keys_due: AtomicU64,
    pub(super) generation: AtomicU64,
    pub(super) reloads: [AtomicU64; 2],
    pub(super) last_reload_successful: AtomicU64,
    pub(super) certificate_expiry: AtomicI64,
    named_expiries: Mutex<Vec<(Box<str>, i64)>>,
    pub(super) panics: AtomicU64,
}

impl ProcessCells {
    /// Names that have a certificate of their own, and when it ends, in Unix time.
    pub(super) fn named_expiries(&self) -> MutexGuard<'_, Vec<(Box<str>, i64)>> {
        self.named_expiries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All that is counted, of all workers.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) process: ProcessCells,
    workers: Mutex<Vec<Arc<WorkerCells>>>,
    labels: Mutex<Labels>,
}

impl Shared {
    pub(super) fn workers(&self) -> MutexGuard<'_, Vec<Arc<WorkerCells>>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn labels(&self) -> MutexGuard<'_, Labels> {
        self.labels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The process's metrics.
#[derive(Debug)]
pub struct Metrics {
    shared: Arc<Shared>,
}

impl Metrics {
    /// Metrics in which nothing has been counted.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let shared = Shared {
            process: ProcessCells::default(),
            workers: Mutex::default(),
            labels: Mutex::new(Labels::new()),
        };
        // What runs has loaded: until a reload fails, nothing is wrong.
        shared.process.last_reload_successful.store(1, Relaxed);
        Arc::new(Self { shared: Arc::new(shared) })
    }

    /// Cells for the calling thread. To be taken once a thread, on that thread.
    #[must_use]
    pub fn worker(&self) -> WorkerMetrics {
        let cells = Arc::new(WorkerCells::new());
        self.shared.workers().push(Arc::clone(&cells));
        let shared = Arc::clone(&self.shared);
        WorkerMetrics(Rc::new(Worker { cells, shared, routes: RefCell::default() }))
    }

    /// The id of a route's label: the same one for the same label, through every reload.
    pub fn route(&self, label: &str) -> RouteId {
        self.shared.labels().id(label)
    }

    /// The table that is in force now.
    pub fn set_table(&self, generation: u64, keys: KeyCounts) {
        let process = &self.shared.process;
        process.generation.store(generation, Relaxed);
        let counts = [keys.active, keys.expired, keys.revoked, keys.disabled];
        for (cell, count) in process.keys.iter().zip(counts) {
            cell.store(count, Relaxed);
        }
        process.keys_due.store(keys.due, Relaxed);
    }

    /// The files were read, at start or later, and did or did not load.
    pub fn reloaded(&self, success: bool) {
        let process = &self.shared.process;
        let [successes, failures] = &process.reloads;
        if success { successes } else { failures }.fetch_add(1, Relaxed);
        process.last_reload_successful.store(success.into(), Relaxed);
    }

    /// When the certificate that is served ends, and those for names that have their own.
    pub fn set_certificate_expiries(&self, default: Timestamp, named: &[(Box<str>, Timestamp)]) {
        let process = &self.shared.process;
        process.certificate_expiry.store(default.as_second(), Relaxed);
        let named = named.iter().map(|(name, at)| (name.clone(), at.as_second()));
        *process.named_expiries() = named.collect();
    }

    /// A bug was met, and a connection ended by it.
    pub fn panicked(&self) {
        self.shared.process.panics.fetch_add(1, Relaxed);
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
        if let Some(cell) = self.0.cells.connections.get(listener as usize) {
            cell.add(1);
        }
        ConnectionGuard { worker: self.clone(), listener }
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
    }

    pub(super) fn label(&self, id: RouteId) -> Arc<str> {
        self.on_route(id, |route| Arc::clone(&route.label))
    }

    fn on_route<T>(&self, id: RouteId, act: impl FnOnce(&RouteCells) -> T) -> T {
        if let Some(Some(cells)) = self.0.routes.borrow().get(id.position()) {
            return act(cells);
        }
        act(&self.meet(id))
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

/// An open connection.
#[derive(Debug)]
pub struct ConnectionGuard {
    worker: WorkerMetrics,
    listener: ListenerKind,
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        if let Some(cell) = self.worker.0.cells.connections.get(self.listener as usize) {
            cell.subtract(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::super::label::MOST_ROUTES;
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
        metrics.reloaded(true);
        metrics.set_table(7, KeyCounts { active: 2, revoked: 1, ..KeyCounts::default() });
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
            "keygate_reloads_total{result=\"success\"} 1",
            "keygate_reloads_total{result=\"failure\"} 0",
            "keygate_last_reload_successful 1",
            "keygate_table_generation 7",
            "keygate_certificate_expiry_timestamp_seconds 0",
            "keygate_certificate_expiry_timestamp_seconds{name=\"a.example\"} 5",
            "keygate_connections{listener=\"https\"} 0",
            "keygate_connections_refused_total{reason=\"connections_per_address\"} 0",
            "keygate_panics_total 0",
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
