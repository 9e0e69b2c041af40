//! One worker: a thread with a runtime of its own, its listeners, its connections.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::IpAddr;
use std::net::TcpListener;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::Cache;
use http::{HeaderMap, HeaderValue};
use tokio::net::{self, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Notify, watch};

use super::alarm::Alarms;
use super::connection;
use super::desk::Desks;
use super::doors::{Doors, Spare, is_exhausted};
use super::id::RequestIds;
use super::lifeline::Lifelines;
use super::listen::{BACKLOG, Bound};
use super::pool::Pool;
use super::pulse::Pulse;
use super::trace::Traces;
use crate::clock;
use crate::gate::Attempts;
use crate::gate::Budget;
use crate::gate::Crowd;
use crate::gate::Crowded;
use crate::gate::Most;
use crate::gate::Place;
use crate::gate::Rates;
use crate::gate::Slots;
use crate::gate::normalize;
use crate::live::Live;
use crate::live::Sightings;
use crate::live::World;
use crate::live::WorldCell;
use crate::observe::ListenerKind;
use crate::observe::TurnedAway;
use crate::observe::UpstreamError;
use crate::observe::WorkerMetrics;

/// How often expiry is looked at for requests in flight, and idle upstream connections.
const TICK: Duration = Duration::from_millis(250);
/// How long accepting pauses after an error that will not go away at once.
const BACK_OFF: Duration = Duration::from_millis(100);

/// How often one worker complains of the upstream at most.
const COMPLAINT: Duration = Duration::from_secs(1);

/// What workers are told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Accept nothing yet: whether this process serves is still to be agreed.
    Waiting,
    /// Accept and answer.
    Serving,
    /// Stop accepting; finish what was accepted, until an instant.
    Draining(Instant),
    /// The same without haste, since another process accepts: a connection that waits for a request
    /// waits on, and ends with the answer.
    Leaving(Instant),
}

/// One worker's own.
pub(super) struct Worker {
    cache: RefCell<Cache<WorldCell, Arc<World>>>,
    current: RefCell<Rc<Current>>,
    slots: Slots,
    rates: Rates,
    attempts: Attempts,
    crowd: Crowd,
    budget: Budget,
    login_budget: Budget,
    doors: Doors,
    metrics: WorkerMetrics,
    usage: Sightings,
    pool: Pool,
    alarms: Alarms,
    pub(super) desks: Desks,
    lifelines: Lifelines,
    ids: RequestIds,
    traces: Traces,
    phase: watch::Receiver<Phase>,
    /// The same for this thread alone: every connection waits for it, and asks often.
    draining: Cell<bool>,
    drain: Notify,
    /// Whether the drain is one without haste.
    leaving: Cell<bool>,
    haste: Notify,
    open: Cell<usize>,
    closed: Notify,
    complained: Cell<Option<Instant>>,
}

/// The world as one worker holds it: passed along within the thread without touching the count
/// that all threads share.
#[derive(Debug)]
pub(super) struct Current(Arc<World>);

impl Deref for Current {
    type Target = Arc<World>;

    fn deref(&self) -> &Arc<World> {
        &self.0
    }
}

/// A task of the worker that a drain waits for.
pub(super) struct Task(Rc<Worker>);

/// Runs one worker on the current thread, until the drain has ended. `up` is called once all is there
/// that it needs to serve.
///
/// # Errors
/// When the runtime cannot be made or a listener cannot be registered, before `up` is called.
pub fn run(
    live: &Live,
    bound: Bound,
    mut phase: watch::Receiver<Phase>,
    up: impl FnOnce(),
) -> io::Result<()> {
    // One whose every task stays here: a set of local tasks would be a scheduler within another.
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    warm_up(live);
    let served = runtime.block_on(async {
        let register = |(listener, kind)| Ok((net::TcpListener::from_std(listener)?, kind));
        let listeners =
            bound.listeners.into_iter().map(register).collect::<io::Result<Vec<_>>>()?;
        up();
        if phase.wait_for(|phase| *phase != Phase::Waiting).await.is_err() {
            // Whoever was to say so has given up.
            return Ok(());
        }
        let worker = Rc::new(Worker::new(live, bound.doors, phase));
        let accept =
            |(listener, kind)| tokio::task::spawn_local(accept(Rc::clone(&worker), listener, kind));
        let accepting: Vec<_> = listeners.into_iter().map(accept).collect();
        tokio::task::spawn_local(herald(Rc::clone(&worker)));
        tokio::task::spawn_local(tick(Rc::clone(&worker), live.changes(), bound.pulse));
        for task in accepting {
            let _ = task.await;
        }
        worker.drained().await;
        worker.usage.end(clock::now());
        Ok(())
    });
    // A name that is still asked for is not waited for.
    runtime.shutdown_background();
    served
}

/// The first use of the provider's randomness on a thread is slow; no client shall pay for it.
fn warm_up(live: &Live) {
    if let Some(tls) = live.world().tls() {
        let _ = tls.ticketer.encrypt(&[]);
    }
    if let Some(provider) = rustls::crypto::CryptoProvider::get_default() {
        let _ = provider.secure_random.fill(&mut [0; 32]);
    }
}

async fn accept(worker: Rc<Worker>, listener: net::TcpListener, kind: ListenerKind) {
    let (mut failing, mut spare) = (false, Spare::new());
    loop {
        let accepted = tokio::select! {
            biased;
            () = worker.draining() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) if spare.restore() => {
                failing = false;
                start(&worker, stream, peer, kind);
            }
            // There was one descriptor left, and it was the spare one.
            Ok((stream, peer)) => {
                drop(stream);
                spare.restore();
                worker.turn_away(normalize(peer.ip()), TurnedAway::Descriptors);
            }
            Err(error) if is_exhausted(&error) && spare.spend() => {}
            // The client has gone already.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                worker.metrics.accept_error(kind);
                // Said once, not once for each connection that waits.
                if !failing {
                    tracing::error!(%error, "connections cannot be accepted");
                }
                failing = true;
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
    // What the kernel has accepted for us already is ours to answer.
    if let Ok(listener) = listener.into_std() {
        leftovers(&worker, &listener, kind);
    }
}

fn leftovers(worker: &Rc<Worker>, listener: &TcpListener, kind: ListenerKind) {
    // As many as can wait at most: where another process accepts too, there are ever new ones.
    for _ in 0..BACKLOG {
        let Ok((stream, peer)) = listener.accept() else { return };
        let registered = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
        if let Ok(stream) = registered {
            start(worker, stream, peer, kind);
        }
    }
}

fn start(worker: &Rc<Worker>, stream: TcpStream, peer: std::net::SocketAddr, kind: ListenerKind) {
    let peer = normalize(peer.ip());
    let place = match worker.place(peer) {
        Ok(place) => place,
        // Closed as it is dropped.
        Err(reason) => return worker.turn_away(peer, reason),
    };
    let task = worker.task();
    // Its state takes kilobytes, which the runtime would move from hand to hand.
    let served = Box::pin(connection::serve(Rc::clone(worker), stream, (peer, place), kind));
    tokio::task::spawn_local(async move {
        let _task = task;
        served.await;
    });
}

/// Tells those who wait for the drain of this worker when it begins.
async fn herald(worker: Rc<Worker>) {
    let mut phase = worker.phase.clone();
    // Whoever told us is gone: then there is nobody left to serve for.
    let leaving = matches!(
        phase.wait_for(|phase| *phase != Phase::Serving).await.as_deref(),
        Ok(Phase::Leaving(_))
    );
    worker.leaving.set(leaving);
    worker.draining.set(true);
    worker.drain.notify_waiters();
    if leaving {
        let _ = phase.wait_for(|phase| !matches!(phase, Phase::Leaving(_))).await;
        worker.leaving.set(false);
    }
    worker.haste.notify_waiters();
}

/// Cuts what belongs to dead keys, at each change and as time passes.
async fn tick(worker: Rc<Worker>, mut changes: watch::Receiver<u64>, pulse: Pulse) {
    loop {
        pulse.beat();
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(TICK) => {}
        }
        let world = worker.world();
        let now = clock::now();
        worker.lifelines.sweep(&world, now, clock::mono());
        worker.usage.tell(now, || worker.lifelines.users());
        worker.pool.sweep(clock::mono());
    }
}

impl Worker {
    fn new(live: &Live, doors: Doors, phase: watch::Receiver<Phase>) -> Self {
        let metrics = live.metrics().worker();
        let mut cache = Cache::new(live.cell());
        let current = RefCell::new(Rc::new(Current(Arc::clone(cache.load()))));
        Self {
            cache: RefCell::new(cache),
            current,
            slots: live.slots().clone(),
            rates: live.rates().clone(),
            attempts: live.attempts().clone(),
            crowd: live.crowd().clone(),
            budget: live.budget().clone(),
            login_budget: live.login_budget().clone(),
            doors,
            pool: Pool::new(&metrics),
            metrics,
            usage: live.usage().sightings(),
            alarms: Alarms::default(),
            desks: Desks::default(),
            lifelines: Lifelines::default(),
            ids: RequestIds::new(),
            traces: Traces::new(),
            phase,
            draining: Cell::new(false),
            drain: Notify::new(),
            leaving: Cell::new(false),
            haste: Notify::new(),
            open: Cell::new(0),
            closed: Notify::new(),
            complained: Cell::new(None),
        }
    }

    /// The world as it is now. One comparison of pointers, unless it has changed.
    pub(super) fn world(&self) -> Rc<Current> {
        let mut cache = self.cache.borrow_mut();
        let newest = cache.load();
        let mut current = self.current.borrow_mut();
        if !Arc::ptr_eq(newest, &current.0) {
            *current = Rc::new(Current(Arc::clone(newest)));
        }
        Rc::clone(&current)
    }

    pub(super) const fn slots(&self) -> &Slots {
        &self.slots
    }

    pub(super) const fn rates(&self) -> &Rates {
        &self.rates
    }

    pub(super) const fn attempts(&self) -> &Attempts {
        &self.attempts
    }

    pub(super) const fn budget(&self) -> &Budget {
        &self.budget
    }

    pub(super) const fn login_budget(&self) -> &Budget {
        &self.login_budget
    }

    pub(super) const fn metrics(&self) -> &WorkerMetrics {
        &self.metrics
    }

    pub(super) const fn usage(&self) -> &Sightings {
        &self.usage
    }

    pub(super) const fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(super) const fn alarms(&self) -> &Alarms {
        &self.alarms
    }

    pub(super) const fn lifelines(&self) -> &Lifelines {
        &self.lifelines
    }

    pub(super) fn request_id(&self, headers: &HeaderMap) -> HeaderValue {
        self.ids.of(headers)
    }

    pub(super) const fn traces(&self) -> &Traces {
        &self.traces
    }

    /// Counts an upstream's failure, and logs what it was: once a second, not once a request.
    pub(super) fn complain(&self, kind: UpstreamError, detail: &str) {
        self.metrics.upstream_error(kind);
        let now = clock::mono();
        if self.complained.get().is_none_or(|last| now.duration_since(last) >= COMPLAINT) {
            self.complained.set(Some(now));
            tracing::warn!(kind = kind.as_str(), detail, "the upstream fails");
        }
    }

    /// Counts a connection that is closed before it is heard.
    pub(super) fn turn_away(&self, address: IpAddr, reason: TurnedAway) {
        self.doors.turned_away(&self.metrics, address, reason);
    }

    /// The place of a connection, as that of whomever it turned out to come from.
    pub(super) fn pass_place(&self, place: Place, peer: IpAddr) -> Result<Place, TurnedAway> {
        place.pass(peer, self.most(peer).of_one).map_err(reason)
    }

    /// A place for a connection, if there is one for it.
    fn place(&self, peer: IpAddr) -> Result<Place, TurnedAway> {
        self.crowd.enter(peer, self.most(peer)).map_err(reason)
    }

    fn most(&self, peer: IpAddr) -> Most {
        let world = self.world();
        let bounds = world.bounds();
        // Behind a trusted proxy there are many.
        let trusted = world.trusted_proxies().iter().any(|network| network.contains(&peer));
        let of_one = if trusted { 0 } else { bounds.connections_per_address };
        Most { all: bounds.connections, of_one }
    }

    /// Counts a task that a drain waits for.
    pub(super) fn task(self: &Rc<Self>) -> Task {
        self.open.set(self.open.get() + 1);
        Task(Rc::clone(self))
    }

    /// Until the drain begins.
    pub(super) async fn draining(&self) {
        let begun = self.drain.notified();
        if !self.draining.get() {
            begun.await;
        }
    }

    /// Until the drain makes haste.
    pub(super) async fn hurried(&self) {
        let haste = self.haste.notified();
        if !self.draining.get() || self.leaving.get() {
            haste.await;
        }
    }

    /// Whether a connection is to end with the answer that is about to be given.
    pub(super) const fn leaves(&self) -> bool {
        self.leaving.get()
    }

    /// Until every task has ended, or the time for it is over.
    async fn drained(&self) {
        let until = match *self.phase.borrow() {
            Phase::Draining(until) | Phase::Leaving(until) => until,
            Phase::Waiting | Phase::Serving => clock::mono(),
        };
        let ended = async {
            while self.open.get() > 0 {
                self.closed.notified().await;
            }
        };
        if tokio::time::timeout_at(until.into(), ended).await.is_err() {
            tracing::warn!(connections = self.open.get(), "the time to drain is over");
        }
    }
}

const fn reason(crowded: Crowded) -> TurnedAway {
    match crowded {
        Crowded::All => TurnedAway::Connections,
        Crowded::Address => TurnedAway::PerAddress,
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get().saturating_sub(1));
        self.0.closed.notify_one();
    }
}
