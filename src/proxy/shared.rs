//! The HTTP/2 connections of one worker to the upstream: each serves many requests at once, and
//! another is opened when they are full.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use hyper::client::conn::http2::SendRequest;

use super::body::RequestBody;

/// How many requests are on one connection at most: as many as every server is asked to allow (RFC
/// 9113, section 6.5.2).
const MOST_STREAMS: u32 = 100;
/// How many bytes of one answer may come before they are taken, which is what a client that takes
/// none costs in memory.
pub(super) const STREAM_WINDOW: u32 = 256 * 1024;
/// How many bytes of one request wait to be sent.
pub(super) const SEND_BUFFER: usize = 256 * 1024;
/// How many of all answers on one connection: as many as there can be, or clients that take none would
/// keep the others waiting. What they take in memory is bounded by the windows of their streams. The
/// library makes of it, too, how much small frames that nobody reads may cost before it ends all.
pub(super) const CONNECTION_WINDOW: u32 = (1 << 31) - 1;
/// How many streams that we have reset are remembered: for what comes on one that is not, the
/// connection may end.
pub(super) const REMEMBERED_RESETS: usize = 4096;

/// All connections, the oldest first.
#[derive(Default)]
pub(super) struct Connections(RefCell<Vec<Rc<Connection>>>);

/// One connection.
pub(super) struct Connection {
    sender: SendRequest<RequestBody>,
    opened: Instant,
    streams: Cell<u32>,
    /// Since when somebody waits on it and nobody was answered.
    silence: Cell<Option<Instant>>,
    /// Nobody is to wait on it any more.
    left: Cell<bool>,
    /// When it was first seen to serve nobody.
    idle: Cell<Option<Instant>>,
}

/// What one request has of a connection, until its answer is over.
pub(super) struct Share {
    pub(super) connection: Rc<Connection>,
    /// Whether others used it before.
    pub(super) reused: bool,
}

impl Connections {
    /// Room on a connection, if there is any; on one that was opened since then, if that matters.
    pub(super) fn share(&self, since: Option<Instant>) -> Option<Share> {
        let mut all = self.0.borrow_mut();
        all.retain(|connection| connection.is_in_use());
        let fits = |connection: &&Rc<Connection>| {
            connection.streams.get() < MOST_STREAMS
                && since.is_none_or(|since| connection.opened >= since)
        };
        all.iter().find(fits).map(|connection| Share::new(connection, true))
    }

    /// Takes a new connection in, for others to share.
    pub(super) fn add(&self, share: &Share) {
        self.0.borrow_mut().push(Rc::clone(&share.connection));
    }

    /// Closes what has served nobody for so long, gives what has lasted for so long to nobody else, and
    /// forgets what is closed.
    pub(super) fn sweep(&self, (idle, life): (Duration, Duration), now: Instant) {
        self.0.borrow_mut().retain(|connection| {
            connection.is_in_use()
                && connection.idle_for(now).is_none_or(|while_| while_ < idle)
                && now.saturating_duration_since(connection.opened) < life
        });
    }

    /// Forgets all.
    pub(super) fn clear(&self) {
        self.0.borrow_mut().clear();
    }
}

impl Connection {
    /// Somebody waits for an answer.
    pub(super) fn asks(&self, now: Instant) {
        self.silence.set(self.silence.get().or(Some(now)));
    }

    /// Somebody was answered, be it with an error.
    pub(super) fn hears(&self) {
        self.silence.set(None);
    }

    /// Nobody else shall wait on it where nobody was answered since then, and somebody waited:
    /// nothing tells who is slow from who is gone.
    pub(super) fn leave_if_silent(&self, since: Instant) {
        if self.silence.get().is_some_and(|begun| begun <= since) {
            self.leave();
        }
    }

    /// Nobody else shall ask on it. Those who have are still answered.
    pub(super) fn leave(&self) {
        self.left.set(true);
    }

    fn is_in_use(&self) -> bool {
        !self.left.get() && !self.sender.is_closed()
    }

    /// How long it has been seen to serve nobody.
    fn idle_for(&self, now: Instant) -> Option<Duration> {
        let since = (self.streams.get() == 0).then(|| self.idle.get().unwrap_or(now));
        self.idle.set(since);
        since.map(|since| now.saturating_duration_since(since))
    }
}

impl Share {
    /// The first one of a new connection.
    pub(super) fn first(sender: SendRequest<RequestBody>, now: Instant) -> Self {
        let connection = Connection {
            sender,
            opened: now,
            streams: Cell::default(),
            silence: Cell::default(),
            left: Cell::default(),
            idle: Cell::default(),
        };
        Self::new(&Rc::new(connection), false)
    }

    fn new(connection: &Rc<Connection>, reused: bool) -> Self {
        connection.streams.update(|streams| streams + 1);
        connection.idle.set(None);
        Self { connection: Rc::clone(connection), reused }
    }

    /// What sends a request on it.
    pub(super) fn sender(&self) -> SendRequest<RequestBody> {
        self.connection.sender.clone()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.connection.streams.update(|streams| streams.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use hyper::client::conn::http2;
    use hyper_util::rt::TokioIo;
    use tokio::io::DuplexStream;

    use super::super::exec::LocalExec;
    use super::*;
    use crate::clock;

    const SECOND: Duration = Duration::from_secs(1);
    const IDLE: (Duration, Duration) = (SECOND, Duration::from_secs(100));

    /// A connection whose other end says nothing, and its driver.
    async fn open(now: Instant) -> (Share, impl Sized, DuplexStream) {
        let (near, far) = tokio::io::duplex(1 << 16);
        let handshake = http2::Builder::new(LocalExec).handshake(TokioIo::new(near));
        let (sender, driver) = handshake.await.unwrap();
        (Share::first(sender, now), driver, far)
    }

    #[tokio::test(flavor = "local")]
    async fn one_that_serves_nobody_for_long_is_closed() {
        let now = clock::mono();
        let (first, _driver, _far) = open(now).await;
        let all = Connections::default();
        all.add(&first);
        let is_there = || all.share(None).is_some();
        all.sweep(IDLE, now + 9 * SECOND);
        assert!(is_there(), "it is in use");
        drop(first);
        all.sweep(IDLE, now + 10 * SECOND);
        assert!(is_there(), "nobody had seen it idle");
        all.sweep(IDLE, now + 20 * SECOND);
        assert!(is_there(), "it was used meanwhile");
        all.sweep(IDLE, now + 30 * SECOND);
        all.sweep(IDLE, now + 31 * SECOND);
        assert!(!is_there());
    }

    #[tokio::test(flavor = "local")]
    async fn one_that_has_lasted_for_long_is_given_to_nobody_else() {
        let now = clock::mono();
        let (first, _driver, _far) = open(now).await;
        let all = Connections::default();
        all.add(&first);
        all.sweep(IDLE, now + 99 * SECOND);
        assert!(all.share(None).is_some());
        all.sweep(IDLE, now + 100 * SECOND);
        assert!(all.share(None).is_none());
        assert!(!first.sender().is_closed(), "it serves those that it has");
    }

    #[tokio::test(flavor = "local")]
    async fn there_is_room_on_the_oldest_that_has_any() {
        let now = clock::mono();
        let (first, _driver, _far) = open(now).await;
        let (second, _other_driver, _other_far) = open(now + SECOND).await;
        let all = Connections::default();
        all.add(&first);
        all.add(&second);
        let is_on = |share: &Share, which: &Share| Rc::ptr_eq(&share.connection, &which.connection);
        assert!(is_on(&all.share(Some(now + SECOND)).unwrap(), &second));
        assert!(all.share(Some(now + 2 * SECOND)).is_none());
        // Each new connection is for the one who opened it, too.
        let taken: Vec<_> = std::iter::from_fn(|| all.share(None)).collect();
        assert_eq!(taken.len(), 2 * (MOST_STREAMS as usize - 1));
        assert!(taken.iter().take(99).all(|share| is_on(share, &first) && share.reused));
        drop(first);
        assert!(is_on(&all.share(None).unwrap(), &taken[0]));
    }

    #[tokio::test(flavor = "local")]
    async fn one_on_which_nobody_is_answered_is_left() {
        let now = clock::mono();
        let (first, _driver, _far) = open(now).await;
        let all = Connections::default();
        all.add(&first);
        let connection = &first.connection;
        connection.leave_if_silent(now + SECOND);
        connection.asks(now + SECOND);
        connection.asks(now + 2 * SECOND);
        connection.leave_if_silent(now);
        connection.hears();
        connection.leave_if_silent(now + 3 * SECOND);
        connection.asks(now + 4 * SECOND);
        assert!(all.share(None).is_some());
        connection.leave_if_silent(now + 4 * SECOND);
        assert!(all.share(None).is_none());
    }
}
