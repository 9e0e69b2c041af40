//! How far a client's body has come, for those who do not hold it.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

/// How far the client's body has come; shared with whoever waits for the upstream's answer.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) complete: Cell<bool>,
    pub(super) broken: Cell<bool>,
    pub(super) progress: Cell<Instant>,
    pub(super) pausing: Cell<Option<Instant>>,
    pub(super) bytes: Cell<u64>,
    /// How many bytes of it have to come from the client; as many as can be where nobody knows.
    pub(super) coming: Cell<u64>,
}

/// What of a body that nobody reads is read away with the connection's last read, surely.
const READ_AWAY: u64 = 4 * 1024;

impl Upload {
    pub(super) fn new(complete: bool, now: Instant) -> Rc<Self> {
        Rc::new(Self {
            complete: Cell::new(complete),
            broken: Cell::new(false),
            progress: Cell::new(now),
            pausing: Cell::new(None),
            bytes: Cell::new(0),
            coming: Cell::new(0),
        })
    }

    /// Whether the upstream has all of it.
    pub(super) fn complete(&self) -> bool {
        self.complete.get()
    }

    /// Whether so much of it was never read that an HTTP/1 connection ends with the answer.
    pub(super) fn unread(&self) -> bool {
        !self.complete.get() && self.coming.get().saturating_sub(self.bytes.get()) > READ_AWAY
    }

    /// Whether the client broke it off.
    pub(super) fn broken(&self) -> bool {
        self.broken.get()
    }

    /// When the last part of it went on.
    pub(super) fn progress(&self) -> Instant {
        self.progress.get()
    }

    /// Since when the upstream waits for more of it.
    pub(super) fn pausing(&self) -> Option<Instant> {
        self.pausing.get()
    }

    /// Whether there never was one.
    pub(super) fn is_empty(&self) -> bool {
        self.complete.get() && self.bytes.get() == 0
    }

    /// How many bytes of it went on.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.get()
    }
}
