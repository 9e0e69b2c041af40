//! The upstream connections of one worker: taken by a request, given back when both sides have
//! said everything, closed otherwise. Nothing is shared between workers.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::Mutex;

use super::body::RequestBody;
use super::connect::{self, ConnectError, Opened};
use super::names::Names;
use super::shared::{Connections, Share};
use super::upstream::{Broken, Connection, Failed, Head, Opening, Room, Stream};
use crate::clock;
use crate::config::Protocol;
use crate::config::Upstream;
use crate::observe::UpstreamUse;
use crate::observe::WorkerMetrics;

/// How long an idle connection is kept: shorter than what common servers keep theirs.
const LONGEST_IDLE: Duration = Duration::from_secs(55);
/// How long any is used for: the name of the upstream may lead elsewhere by now, or to more of them.
const LONGEST_LIFE: Duration = Duration::from_secs(600);
/// How many idle connections a worker keeps.
const MOST_IDLE: usize = 1024;

/// The upstream connections of one worker.
#[derive(Clone)]
pub(super) struct Pool(Rc<Inner>);

struct Inner {
    metrics: WorkerMetrics,
    target: RefCell<Option<Arc<Upstream>>>,
    idle: RefCell<Vec<Idle>>,
    shared: Connections,
    /// Whether the upstream takes many requests on one connection, as far as is known.
    http2: Cell<bool>,
    /// Who holds it opens the connection that others wait to share, and says how that failed.
    attempt: RefCell<Rc<Mutex<Option<ConnectError>>>>,
    epoch: Cell<u64>,
    names: Names,
    room: Rc<Room>,
}

struct Idle {
    // Boxed: it is handed from one owner to the next several times a request.
    connection: Box<Connection>,
    /// When it was first seen to be idle: the clock is read for all of them at once.
    since: Option<Instant>,
}

/// A connection to send a request on.
pub(super) enum Taken {
    /// One that nobody else uses.
    Own(Lease),
    /// One that others share.
    Shared(Share),
}

/// One connection in use. Dropping it closes the connection, which cancels what it was doing.
pub(super) struct Lease {
    connection: Option<Box<Connection>>,
    /// Where it goes when it is free.
    home: Option<(Pool, u64)>,
    reused: bool,
}

impl Pool {
    /// Without a connection.
    pub(super) fn new(metrics: &WorkerMetrics) -> Self {
        Self(Rc::new(Inner {
            metrics: metrics.clone(),
            target: RefCell::default(),
            idle: RefCell::default(),
            shared: Connections::default(),
            http2: Cell::default(),
            attempt: RefCell::default(),
            epoch: Cell::default(),
            names: Names::default(),
            room: Rc::default(),
        }))
    }

    /// A connection to the upstream: an idle one, or a new one.
    pub(super) async fn take(&self, upstream: &Arc<Upstream>) -> Result<Taken, ConnectError> {
        self.aim(upstream);
        while let Some(mut connection) = self.next_idle() {
            // Who has closed, or sent what nobody asked for, is not asked.
            if connection.is_quiet() {
                self.0.metrics.upstream_used(UpstreamUse::Reused);
                return Ok(Taken::Own(self.lease(connection, self.0.epoch.get(), true)));
            }
        }
        self.connect(upstream, None).await
    }

    /// A connection that has been opened since then.
    pub(super) async fn fresh(
        &self,
        upstream: &Arc<Upstream>,
        since: Instant,
    ) -> Result<Taken, ConnectError> {
        self.aim(upstream);
        self.connect(upstream, Some(since)).await
    }

    /// Room on a connection that others share, if there is any, or else a new connection. Of those
    /// who could share it, one opens it, and what becomes of that is good for all.
    async fn connect(
        &self,
        upstream: &Arc<Upstream>,
        since: Option<Instant>,
    ) -> Result<Taken, ConnectError> {
        if let Some(taken) = self.share(since) {
            return Ok(taken);
        }
        if !self.0.http2.get() {
            return self.open(upstream).await;
        }
        let attempt = Rc::clone(&self.0.attempt.borrow());
        let mut failed = attempt.lock().await;
        self.aim(upstream);
        if let Some(taken) = self.share(since) {
            return Ok(taken);
        }
        if let Some(error) = &*failed {
            return Err(error.clone());
        }
        if !self.0.http2.get() {
            drop(failed);
            return self.open(upstream).await;
        }
        let opened = self.open(upstream).await;
        if let Err(error) = &opened {
            *failed = Some(error.clone());
            // Who comes from now on tries again.
            self.0.attempt.take();
        }
        opened
    }

    fn share(&self, since: Option<Instant>) -> Option<Taken> {
        let share = self.0.shared.share(since)?;
        self.0.metrics.upstream_used(UpstreamUse::Shared);
        Some(Taken::Shared(share))
    }

    /// A new connection.
    async fn open(&self, upstream: &Arc<Upstream>) -> Result<Taken, ConnectError> {
        // Meanwhile others may aim at another upstream, whose connection this will not be.
        let epoch = self.0.epoch.get();
        // Boxed: the state of a TLS handshake would make every request's future as large.
        let opened = Box::pin(connect::open(upstream, &self.0.names, &self.0.metrics)).await?;
        self.0.metrics.upstream_used(UpstreamUse::New);
        let current = epoch == self.0.epoch.get();
        if current {
            self.0.http2.set(matches!(opened, Opened::Http2(_)));
        }
        match opened {
            Opened::Http1(stream) => {
                let connection = Box::new(Connection::new(stream, &self.0.room));
                Ok(Taken::Own(self.lease(connection, epoch, false)))
            }
            Opened::Http2(sender) => {
                let share = Share::first(sender, clock::mono());
                if current {
                    self.0.shared.add(&share);
                }
                Ok(Taken::Shared(share))
            }
        }
    }

    /// A new connection for one request only, which may make something else of it.
    pub(super) async fn apart(&self, upstream: &Upstream) -> Result<Lease, ConnectError> {
        let stream =
            Box::pin(connect::open_for_upgrade(upstream, &self.0.names, &self.0.metrics)).await?;
        self.0.metrics.upstream_used(UpstreamUse::New);
        let connection = Some(Box::new(Connection::new(stream, &self.0.room)));
        Ok(Lease { connection, home: None, reused: false })
    }

    /// Closes what was idle for too long, what is too old, and what the upstream has closed. One that is
    /// too old and not idle just now will be soon.
    pub(super) fn sweep(&self, now: Instant) {
        let mut idle = self.0.idle.borrow_mut();
        idle.retain_mut(|idle| {
            let since = *idle.since.get_or_insert(now);
            now.duration_since(since) < LONGEST_IDLE
                && now.saturating_duration_since(idle.connection.opened()) < LONGEST_LIFE
                && idle.connection.is_quiet()
        });
        self.0.metrics.upstream_idle(idle.len());
        self.0.shared.sweep((LONGEST_IDLE, LONGEST_LIFE), now);
    }

    /// Drops the connections of another upstream than the current one.
    fn aim(&self, upstream: &Arc<Upstream>) {
        let mut target = self.0.target.borrow_mut();
        if target.as_ref().is_some_and(|known| Arc::ptr_eq(known, upstream)) {
            return;
        }
        *target = Some(Arc::clone(upstream));
        self.0.epoch.set(self.0.epoch.get().wrapping_add(1));
        self.0.idle.borrow_mut().clear();
        self.0.shared.clear();
        self.0.http2.set(upstream.protocol == Protocol::Http2);
        self.0.attempt.take();
    }

    fn next_idle(&self) -> Option<Box<Connection>> {
        self.0.idle.borrow_mut().pop().map(|idle| idle.connection)
    }

    fn lease(&self, connection: Box<Connection>, epoch: u64, reused: bool) -> Lease {
        Lease { connection: Some(connection), home: Some((self.clone(), epoch)), reused }
    }

    fn give_back(&self, epoch: u64, mut connection: Box<Connection>) {
        let mut idle = self.0.idle.borrow_mut();
        if epoch == self.0.epoch.get() && idle.len() < MOST_IDLE {
            connection.rest();
            idle.push(Idle { connection, since: None });
        }
    }
}

impl Lease {
    /// Whether others used the connection before.
    pub(super) const fn reused(&self) -> bool {
        self.reused
    }

    /// Sends a request and waits for the answer's head.
    pub(super) async fn exchange(
        &mut self,
        head: &Head<'_>,
        body: RequestBody,
    ) -> Result<Opening, Failed> {
        match &mut self.connection {
            Some(connection) => pin!(connection.exchange(head, body)).await,
            None => Err(Broken::Closed.into()),
        }
    }

    /// The next part of the answer's body.
    pub(super) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &mut self.connection {
            Some(connection) => connection.poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    /// Whether all of the answer was read.
    pub(super) fn is_over(&self) -> bool {
        self.connection.as_ref().is_none_or(|connection| connection.is_over())
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let none = || SizeHint::with_exact(0);
        self.connection.as_ref().map_or_else(none, |connection| connection.size_hint())
    }

    /// Gives the connection back if it is free, and closes it otherwise.
    pub(super) fn finish(&mut self) {
        if let (Some(connection), Some((pool, epoch))) = (self.connection.take(), self.home.take())
            && connection.is_free()
        {
            pool.give_back(epoch, connection);
        }
    }

    /// The stream, for what is no longer HTTP, with what came already.
    pub(super) fn into_stream(self) -> Option<(Stream, Bytes)> {
        self.connection?.into_stream()
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixStream;

    use super::*;
    use crate::observe::Metrics;
    use crate::proxy::upstream::Carrier;

    /// Gives a connection back, and the upstream's end of it.
    fn rest(pool: &Pool) -> UnixStream {
        let (near, far) = UnixStream::pair().unwrap();
        let stream = Stream::new(Carrier::Unix(near), pool.0.metrics.upstream_opened());
        let connection = Box::new(Connection::new(stream, &pool.0.room));
        pool.lease(connection, pool.0.epoch.get(), false).finish();
        far
    }

    #[tokio::test]
    async fn what_is_idle_for_long_or_old_is_swept_away() {
        let pool = Pool::new(&Metrics::new().worker());
        let now = clock::mono();
        let after = |seconds| now + Duration::from_secs(seconds);
        let _idle = rest(&pool);
        for (seconds, stays) in [(1, true), (55, true), (57, false)] {
            pool.sweep(after(seconds));
            assert_eq!(!pool.0.idle.borrow().is_empty(), stays, "idle after {seconds} s");
        }
        // Used all the while.
        let _busy = rest(&pool);
        for (seconds, stays) in [(599, true), (601, false)] {
            pool.sweep(after(seconds));
            assert_eq!(!pool.0.idle.borrow().is_empty(), stays, "old after {seconds} s");
            pool.0.idle.borrow_mut().iter_mut().for_each(|idle| idle.since = None);
        }
    }
}
