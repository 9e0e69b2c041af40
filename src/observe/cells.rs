//! Numbers that one thread writes and any thread reads.
//!
//! Each worker has cells of its own, cache lines apart from everybody else's, so that counting
//! costs no locked instruction and moves no line between cores. Only [`super::WorkerMetrics`],
//! which cannot leave its thread, writes to them; a scrape adds them up.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::histogram::{DURATIONS, Histogram, OVERHEADS, WAITS};
use super::label::{Handshake, ListenerKind, RouteId, TurnedAway, UpstreamError, UpstreamUse};
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

    pub(super) fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What one worker counted on one route.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct RouteCells {
    pub(super) label: Arc<str>,
    pub(super) fates: [Cell; SLOTS],
    /// Only where somebody had to wait for a place.
    queue: OnceLock<Box<QueueCells>>,
}

impl RouteCells {
    pub(super) const fn new(label: Arc<str>) -> Self {
        Self { label, fates: [const { Cell::new() }; SLOTS], queue: OnceLock::new() }
    }

    /// Its queue, if anybody ever waited in it.
    pub(super) fn queue(&self) -> Option<&QueueCells> {
        self.queue.get().map(|queue| &**queue)
    }

    /// Its queue, in which somebody waits now.
    pub(super) fn queue_at_all(&self) -> &QueueCells {
        self.queue.get_or_init(Box::default)
    }
}

/// Who waited on one route for a place among the requests in flight.
#[derive(Debug)]
pub(super) struct QueueCells {
    pub(super) waiting: Cell,
    pub(super) waits: Histogram<{ WAITS.len() }>,
}

impl Default for QueueCells {
    fn default() -> Self {
        Self { waiting: Cell::new(), waits: Histogram::new(&WAITS) }
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
    pub(super) upstream_uses: [Cell; UpstreamUse::ALL.len()],
    pub(super) upstream_opened: Cell,
    pub(super) upstream_open: Cell,
    pub(super) upstream_idle: Cell,
    pub(super) connections: [Cell; ListenerKind::ALL.len()],
    pub(super) accepted: [Cell; ListenerKind::ALL.len()],
    pub(super) accept_errors: [Cell; ListenerKind::ALL.len()],
    pub(super) turned_away: [Cell; TurnedAway::ALL.len()],
    pub(super) handshakes: [Cell; Handshake::ALL.len()],
    pub(super) attempts_limited: Cell,
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
            upstream_uses: [const { Cell::new() }; UpstreamUse::ALL.len()],
            upstream_opened: Cell::new(),
            upstream_open: Cell::new(),
            upstream_idle: Cell::new(),
            connections: [const { Cell::new() }; ListenerKind::ALL.len()],
            accepted: [const { Cell::new() }; ListenerKind::ALL.len()],
            accept_errors: [const { Cell::new() }; ListenerKind::ALL.len()],
            turned_away: [const { Cell::new() }; TurnedAway::ALL.len()],
            handshakes: [const { Cell::new() }; Handshake::ALL.len()],
            attempts_limited: Cell::new(),
            routes: Mutex::new(Vec::new()),
        }
    }

    pub(super) fn routes(&self) -> MutexGuard<'_, Vec<(RouteId, Arc<RouteCells>)>> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
