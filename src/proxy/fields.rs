//! The header fields of a request to the upstream, in the order in which they are written.
//!
//! A list and not a map: they are made once, in one pass, and written once. Names that stand more
//! than once stay apart.

use std::cell::RefCell;

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue};

/// How many fields we add to what a client sent.
const ADDED: usize = 15;

/// How many lists a thread keeps to be used again, and the longest of them: 150 KiB at most.
const MOST_IDLE: usize = 32;
const LONGEST_IDLE: usize = 64;

/// A value of its own; nothing where a header could not have it.
pub(super) fn written(value: &[u8]) -> HeaderValue {
    let written = NEXT.with_borrow_mut(|room| {
        if room.capacity() < value.len() {
            room.reserve(value.len().max(ROOM));
        }
        room.extend_from_slice(value);
        room.split().freeze()
    });
    HeaderValue::from_maybe_shared(written).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Fields in order.
#[derive(Clone, Debug)]
pub(super) struct Fields(List);

type List = Vec<(HeaderName, HeaderValue)>;

/// How much is taken at a time for values that are written down anew.
const ROOM: usize = 4 * 1024;

thread_local! {
    /// Where the next value is written. Those that all requests would share would be counted by all
    /// workers at once, and their counts lie far from what is read anyway.
    static NEXT: RefCell<BytesMut> = RefCell::default();
    /// Empty lists. They are too large for what the system's allocator has at hand.
    static IDLE: RefCell<Vec<List>> = const { RefCell::new(Vec::new()) };
}

impl Fields {
    /// No fields, with room for so many of the client's and for ours.
    pub(super) fn with_room(clients: usize) -> Self {
        let mut list = IDLE.with_borrow_mut(Vec::pop).unwrap_or_default();
        list.reserve(clients + ADDED);
        Self(list)
    }

    /// Takes over those fields of a message that shall stay.
    pub(super) fn take(
        &mut self,
        headers: HeaderMap,
        mut stays: impl FnMut(&HeaderName, &HeaderValue) -> bool,
    ) {
        let mut dropped = None;
        for (name, value) in headers {
            // A field that repeats the name of the one before comes without it.
            let before = || self.0.last().map(|(name, _)| name.clone());
            let Some(name) = name.or_else(|| dropped.take().or_else(before)) else { continue };
            dropped = match stays(&name, &value) {
                true => {
                    self.0.push((name, value));
                    None
                }
                false => Some(name),
            };
        }
    }

    pub(super) fn push(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.push((name, value));
    }

    pub(super) fn remove(&mut self, name: &HeaderName) {
        self.0.retain(|(other, _)| other != name);
    }

    /// The values of a name.
    pub(super) fn all(&self, name: &HeaderName) -> impl Iterator<Item = &HeaderValue> {
        self.0.iter().filter(move |(other, _)| other == name).map(|(_, value)| value)
    }

    /// Whether there is a field of a name.
    pub(super) fn has(&self, name: &HeaderName) -> bool {
        self.all(name).next().is_some()
    }

    /// Every field, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// The same as a map.
    pub(super) fn into_map(mut self) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(self.0.len());
        for (name, value) in self.0.drain(..) {
            map.append(name, value);
        }
        map
    }
}

impl Drop for Fields {
    fn drop(&mut self) {
        let mut list = std::mem::take(&mut self.0);
        if list.capacity() > LONGEST_IDLE {
            return;
        }
        list.clear();
        // What is dropped as the thread ends is kept by nobody.
        let _ = IDLE.try_with(|idle| {
            let mut idle = idle.borrow_mut();
            if idle.len() < MOST_IDLE {
                idle.push(list);
            }
        });
    }
}
