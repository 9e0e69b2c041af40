//! What counts for as long as it lasts: each guard is held by what it stands for.

use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use crate::clock;

use super::cells::RouteCells;
use super::label::ListenerKind;
use super::metrics::WorkerMetrics;

/// An open connection of a client.
#[derive(Debug)]
pub struct ConnectionGuard {
    worker: WorkerMetrics,
    listener: ListenerKind,
}

impl ConnectionGuard {
    pub(super) fn new(worker: &WorkerMetrics, listener: ListenerKind) -> Self {
        if let Some(cell) = worker.cells().connections.get(listener as usize) {
            cell.add(1);
        }
        Self { worker: worker.clone(), listener }
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        if let Some(cell) = self.worker.cells().connections.get(self.listener as usize) {
            cell.subtract(1);
        }
    }
}

/// An open connection to the upstream.
#[derive(Debug)]
pub struct UpstreamGuard(WorkerMetrics);

impl UpstreamGuard {
    pub(super) fn new(worker: &WorkerMetrics) -> Self {
        worker.cells().upstream_open.add(1);
        Self(worker.clone())
    }
}

impl Drop for UpstreamGuard {
    fn drop(&mut self) {
        self.0.cells().upstream_open.subtract(1);
    }
}

/// A request that waits for a place among those in flight. Belongs to the worker's thread, as does
/// all that counts there.
#[derive(Debug)]
pub struct QueueGuard {
    route: Arc<RouteCells>,
    began: Instant,
    /// Only one thread writes to the cells.
    _stays: PhantomData<Rc<()>>,
}

impl QueueGuard {
    pub(super) fn new(route: Arc<RouteCells>, began: Instant) -> Self {
        route.queue_at_all().waiting.add(1);
        Self { route, began, _stays: PhantomData }
    }
}

impl Drop for QueueGuard {
    fn drop(&mut self) {
        let queue = self.route.queue_at_all();
        queue.waiting.subtract(1);
        queue.waits.observe(clock::mono().saturating_duration_since(self.began));
    }
}
