//! The upstream connections of one worker: taken by a request, given back when both sides have
//! said everything, closed otherwise. Nothing is shared between workers.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use tokio::task::AbortHandle;

use super::body::RequestBody;
use super::connect::{self, ConnectError};
use crate::clock;
use crate::config::Upstream;

/// How long an idle connection is kept: shorter than what common servers keep theirs.
const LONGEST_IDLE: Duration = Duration::from_secs(55);
/// How many idle connections a worker keeps.
const MOST_IDLE: usize = 1024;

/// The upstream connections of one worker.
#[derive(Clone, Default)]
pub(super) struct Pool(Rc<Inner>);

#[derive(Default)]
struct Inner {
    target: RefCell<Option<Arc<Upstream>>>,
    idle: RefCell<Vec<Idle>>,
    shared: RefCell<Option<http2::SendRequest<RequestBody>>>,
    epoch: Cell<u64>,
}

struct Idle {
    sender: http1::SendRequest<RequestBody>,
    task: AbortHandle,
    since: Instant,
}

/// One connection in use. Dropping it closes the connection, which cancels what it was doing.
pub(super) struct Lease {
    sender: Option<Sender>,
    task: Option<AbortHandle>,
    pool: Pool,
    epoch: u64,
    reused: bool,
}

enum Sender {
    Own(http1::SendRequest<RequestBody>),
    Shared(http2::SendRequest<RequestBody>),
}

impl Pool {
    /// A connection to the upstream: an idle one, or a new one.
    pub(super) async fn take(&self, upstream: &Arc<Upstream>) -> Result<Lease, ConnectError> {
        self.aim(upstream);
        while let Some(mut idle) = self.next_idle() {
            // The connection's task says that it is ready once it has seen the end of the last
            // exchange; it says that it is not when the upstream has closed or sent more.
            if !idle.sender.is_closed() && idle.sender.ready().await.is_ok() {
                return Ok(self.lease(Sender::Own(idle.sender), Some(idle.task), true));
            }
            idle.task.abort();
        }
        if let Some(shared) = self.shared().await {
            return Ok(self.lease(Sender::Shared(shared), None, true));
        }
        self.fresh(upstream).await
    }

    /// A new connection.
    pub(super) async fn fresh(&self, upstream: &Arc<Upstream>) -> Result<Lease, ConnectError> {
        self.aim(upstream);
        // Boxed: the state of a TLS handshake would make every request's future as large.
        match Box::pin(connect::open(upstream)).await? {
            connect::Opened::Http1(sender, task) => {
                Ok(self.lease(Sender::Own(sender), Some(task), false))
            }
            connect::Opened::Http2(sender) => {
                *self.0.shared.borrow_mut() = Some(sender.clone());
                Ok(self.lease(Sender::Shared(sender), None, false))
            }
        }
    }

    /// Closes what was idle for too long.
    pub(super) fn sweep(&self) {
        let now = clock::mono();
        self.0.idle.borrow_mut().retain(|idle| {
            let keep = !idle.sender.is_closed() && now.duration_since(idle.since) < LONGEST_IDLE;
            if !keep {
                idle.task.abort();
            }
            keep
        });
    }

    /// Drops the connections of another upstream than the current one.
    fn aim(&self, upstream: &Arc<Upstream>) {
        let mut target = self.0.target.borrow_mut();
        if target.as_ref().is_some_and(|known| Arc::ptr_eq(known, upstream)) {
            return;
        }
        *target = Some(Arc::clone(upstream));
        self.0.epoch.set(self.0.epoch.get().wrapping_add(1));
        self.0.idle.borrow_mut().drain(..).for_each(|idle| idle.task.abort());
        *self.0.shared.borrow_mut() = None;
    }

    fn next_idle(&self) -> Option<Idle> {
        self.0.idle.borrow_mut().pop()
    }

    async fn shared(&self) -> Option<http2::SendRequest<RequestBody>> {
        let mut sender = self.0.shared.borrow().clone()?;
        if sender.ready().await.is_ok() {
            return Some(sender);
        }
        *self.0.shared.borrow_mut() = None;
        None
    }

    fn lease(&self, sender: Sender, task: Option<AbortHandle>, reused: bool) -> Lease {
        let sender = Some(sender);
        Lease { sender, task, pool: self.clone(), epoch: self.0.epoch.get(), reused }
    }
}

impl Lease {
    /// Whether others used the connection before.
    pub(super) const fn reused(&self) -> bool {
        self.reused
    }

    /// Whether it speaks HTTP/2.
    pub(super) const fn is_http2(&self) -> bool {
        matches!(self.sender, Some(Sender::Shared(_)))
    }

    /// Sends a request and waits for the response's head. `None` when the lease is over.
    pub(super) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Option<Result<Response<Incoming>, TrySendError<Request<RequestBody>>>> {
        match self.sender.as_mut()? {
            Sender::Own(sender) => Some(sender.try_send_request(request).await),
            Sender::Shared(sender) => Some(sender.try_send_request(request).await),
        }
    }

    /// Gives the connection back: both sides have said everything.
    pub(super) fn give_back(mut self) {
        let mut idle = self.pool.0.idle.borrow_mut();
        let welcome = self.epoch == self.pool.0.epoch.get() && idle.len() < MOST_IDLE;
        if let (true, Some(Sender::Own(sender)), Some(task)) =
            (welcome, self.sender.take(), self.task.take())
        {
            idle.push(Idle { sender, task, since: clock::mono() });
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}
