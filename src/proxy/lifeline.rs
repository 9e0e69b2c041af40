//! Streams that end with the key that opened them, or with their route's time.
//!
//! Each worker keeps a list of its requests in flight. When a snapshot is swapped, and a few times
//! a second for what time ends, it looks each key up again and cuts what belongs to a dead one. A
//! stream ends itself when it is cut, but one whose client reads nothing is not even asked for
//! more: then its connection is closed over HTTP/1, where that is one stream, or its task is ended
//! over HTTP/2.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::exec::StreamTask;
use super::socket::Socket;
use super::worker::Current;
use crate::gate::Denial;
use crate::gate::Snapshot;
use crate::keys::KeyDigest;
use crate::keys::KeyId;
use crate::keys::KeyIndex;
use crate::keys::usage::Mark;
use crate::live::World;

/// The requests in flight of one worker.
#[derive(Clone, Debug, Default)]
pub(super) struct Lifelines(Rc<RefCell<Vec<std::rc::Weak<Line>>>>);

/// How long a stream may take to end itself.
const GRACE: Duration = Duration::from_millis(500);

/// One request's tie to its key, and to the time that its route gives it.
#[derive(Debug)]
pub(super) struct Line {
    owner: RefCell<Owner>,
    client: Option<IpAddr>,
    cut: Cell<Option<Denial>>,
    until: Cell<Option<Instant>>,
    hold: Option<Hold>,
    waker: RefCell<Option<Waker>>,
}

/// By what a stream can be ended that does not ask for more.
#[derive(Debug)]
pub(super) enum Hold {
    /// Its connection, where nothing else is on it.
    Connection(Socket),
    /// Its task.
    Stream(StreamTask),
}

/// The key: at first by its place in the world that judged it, which costs nothing; once that
/// world is old by itself, so that no stream keeps a whole old table in memory.
#[derive(Debug)]
enum Owner {
    Nobody,
    Placed(Rc<Current>, KeyIndex),
    Named(KeyId, KeyDigest),
}

impl Lifelines {
    /// Ties a request to its key and client, if it has one, and to the end of its time.
    pub(super) fn tie(
        &self,
        world: &Rc<Current>,
        key: Option<(KeyIndex, IpAddr)>,
        until: Option<Instant>,
        hold: Option<Hold>,
    ) -> Rc<Line> {
        let owner = key.map_or(Owner::Nobody, |(key, _)| Owner::Placed(Rc::clone(world), key));
        let line = Rc::new(Line {
            owner: RefCell::new(owner),
            client: key.map(|(_, client)| client),
            cut: Cell::new(None),
            until: Cell::new(until),
            hold,
            waker: RefCell::new(None),
        });
        let mut lines = self.0.borrow_mut();
        // What is over is swept away before the list would grow.
        if lines.len() == lines.capacity() {
            lines.retain(|line| line.strong_count() > 0);
        }
        lines.push(Rc::downgrade(&line));
        line
    }

    /// Cuts what belongs to a dead key, and closes what does not end by itself.
    pub(super) fn sweep(&self, current: &Arc<World>, now: Timestamp, mono: Instant) {
        let mut woken = Vec::new();
        self.0.borrow_mut().retain(|line| match line.upgrade() {
            None => false,
            Some(line) => {
                if let Err(denial) = line.owner.borrow_mut().stands(current, now) {
                    if line.cut.replace(Some(denial)).is_none() {
                        line.until.set(Some(mono));
                    }
                    woken.extend(line.waker.borrow_mut().take());
                }
                line.close_if_stuck(mono);
                true
            }
        });
        woken.into_iter().for_each(Waker::wake);
    }
}

impl Lifelines {
    /// Whose keys are in use by what is in flight, and from where.
    pub(super) fn users(&self) -> Vec<(Mark, IpAddr)> {
        let lines = self.0.borrow();
        let lines = lines.iter().filter_map(std::rc::Weak::upgrade);
        lines.filter_map(|line| line.owner.borrow().mark().zip(line.client)).collect()
    }
}

impl Owner {
    fn mark(&self) -> Option<Mark> {
        match self {
            Self::Nobody => None,
            Self::Placed(world, key) => {
                world.snapshot().table().record(*key).map(|record| Mark::of(&record.digest()))
            }
            Self::Named(_, digest) => Some(Mark::of(digest)),
        }
    }

    fn stands(&mut self, current: &Arc<World>, now: Timestamp) -> Result<(), Denial> {
        if let Self::Placed(world, key) = self {
            let record = world.snapshot().table().record(*key);
            let record = record.ok_or(Denial::UnknownKey)?;
            if Arc::ptr_eq(world, current) {
                return check(current.snapshot(), &record.id(), &record.digest(), now);
            }
            *self = Self::Named(record.id().apart(), record.digest());
        }
        match self {
            Self::Nobody => Ok(()),
            Self::Named(id, digest) => check(current.snapshot(), id, digest, now),
            Self::Placed(..) => Ok(()),
        }
    }
}

fn check(
    snapshot: &Snapshot,
    id: &KeyId,
    digest: &KeyDigest,
    now: Timestamp,
) -> Result<(), Denial> {
    snapshot.still_stands(id, digest, now)
}

impl Line {
    /// It has become something that the route's time does not bind.
    pub(super) fn exempt(&self) {
        self.until.set(None);
    }

    fn close_if_stuck(&self, mono: Instant) {
        let stuck = |until| mono.saturating_duration_since(until) >= GRACE;
        if !self.until.get().is_some_and(stuck) {
            return;
        }
        match &self.hold {
            Some(Hold::Connection(socket)) => socket.close(),
            Some(Hold::Stream(task)) => task.end(),
            None => {}
        }
    }

    /// Why the request must end, if it must; otherwise the task is woken when it must.
    pub(super) fn poll_cut(&self, waker: &Waker) -> Option<Denial> {
        if let Some(denial) = self.cut.get() {
            return Some(denial);
        }
        let mut known = self.waker.borrow_mut();
        match known.as_mut() {
            Some(known) => known.clone_from(waker),
            None => *known = Some(waker.clone()),
        }
        None
    }
}
