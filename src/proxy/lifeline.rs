//! Streams that end with the key that opened them.
//!
//! Each worker keeps a list of its requests in flight. When a snapshot is swapped, and twice a
//! second for expiry, it looks each key up again and cuts what belongs to a dead one.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use jiff::Timestamp;

use super::worker::Current;
use crate::gate::Denial;
use crate::gate::Snapshot;
use crate::keys::KeyDigest;
use crate::keys::KeyId;
use crate::keys::KeyIndex;
use crate::live::World;

/// The requests in flight of one worker.
#[derive(Clone, Debug, Default)]
pub(super) struct Lifelines(Rc<RefCell<Vec<std::rc::Weak<Line>>>>);

/// One request's tie to its key.
#[derive(Debug)]
pub(super) struct Line {
    owner: RefCell<Owner>,
    cut: Cell<Option<Denial>>,
    waker: RefCell<Option<Waker>>,
}

/// The key: at first by its place in the world that judged it, which costs nothing; once that
/// world is old by itself, so that no stream keeps a whole old table in memory.
#[derive(Debug)]
enum Owner {
    Placed(Rc<Current>, KeyIndex),
    Named(KeyId, KeyDigest),
}

impl Lifelines {
    /// Ties a request to its key.
    pub(super) fn tie(&self, world: &Rc<Current>, key: KeyIndex) -> Rc<Line> {
        let line = Rc::new(Line {
            owner: RefCell::new(Owner::Placed(Rc::clone(world), key)),
            cut: Cell::new(None),
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

    /// Cuts what belongs to a dead key.
    pub(super) fn sweep(&self, current: &Arc<World>, now: Timestamp) {
        let mut woken = Vec::new();
        self.0.borrow_mut().retain(|line| match line.upgrade() {
            None => false,
            Some(line) => {
                if let Err(denial) = line.owner.borrow_mut().stands(current, now) {
                    line.cut.set(Some(denial));
                    woken.extend(line.waker.borrow_mut().take());
                }
                true
            }
        });
        woken.into_iter().for_each(Waker::wake);
    }
}

impl Owner {
    fn stands(&mut self, current: &Arc<World>, now: Timestamp) -> Result<(), Denial> {
        if let Self::Placed(world, key) = self {
            let record = world.snapshot().table().record(*key);
            let record = record.ok_or(Denial::UnknownKey)?;
            if Arc::ptr_eq(world, current) {
                return check(current.snapshot(), &record.id, &record.digest, now);
            }
            *self = Self::Named(record.id.clone(), record.digest.clone());
        }
        match self {
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
