//! One thread's share of the metrics.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::super::cells::{RouteCells, WorkerCells};
use super::super::guards::{ConnectionGuard, QueueGuard, UpstreamGuard};
use super::super::journal::Lane;
use super::super::key_series::{KeyCells, KnownKeys};
use super::super::label::{
    Handshake, ListenerKind, RouteId, TurnedAway, UpstreamError, UpstreamUse,
};
use super::super::record::{Record, labels, slot};
#[cfg(feature = "otlp")]
use super::super::spans::Spans;
use super::Shared;
use crate::clock;
use crate::keys::Account;

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
    pub(super) fn new(shared: Arc<Shared>, lane: Lane) -> Self {
        let cells = Arc::new(WorkerCells::new());
        shared.workers().push(Arc::clone(&cells));
        let (routes, keys) = (RefCell::default(), KnownKeys::default());
        Self(Rc::new(Worker { cells, shared, routes, keys, lane }))
    }

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

    pub(in crate::observe) fn cells(&self) -> &WorkerCells {
        &self.0.cells
    }

    /// Where the requests of a key are counted, if they are.
    pub(in crate::observe) fn key(&self, key: &str, account: &Account) -> Option<Arc<KeyCells>> {
        self.0.keys.cells(&self.0.shared.keys, key, account)
    }

    pub(in crate::observe) fn begin(&self) {
        self.0.cells.in_flight.add(1);
    }

    pub(in crate::observe) fn finish(&self, record: &Record, elapsed: Duration) {
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

    pub(in crate::observe) fn label(&self, id: RouteId) -> Arc<str> {
        self.on_route(id, |route| Arc::clone(&route.label))
    }

    pub(in crate::observe) fn with_label(&self, id: RouteId, act: impl FnOnce(&str)) {
        self.on_route(id, |route| act(&route.label));
    }

    /// Its way to the access log.
    pub(in crate::observe) fn lane(&self) -> &Lane {
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
    pub(in crate::observe) fn spans(&self) -> Option<&Spans> {
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
