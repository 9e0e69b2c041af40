//! What one worker sees.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasherDefault;
use std::hash::Hasher;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use jiff::Timestamp;

use super::Message;
use crate::keys::KeyIndex;
use crate::keys::usage::Mark;
use crate::live::World;

/// How often those are told of who are still in a stream, in seconds.
const STREAMS: i64 = 10;

/// The keys that one worker has seen and not told of. Cannot leave its thread.
pub struct Sightings {
    tell: Option<SyncSender<Message>>,
    seen: RefCell<Seen>,
}

/// Keys by their place, which means something in one world only.
#[derive(Default)]
struct Seen {
    world: Option<Arc<World>>,
    clients: HashMap<KeyIndex, IpAddr, BuildHasherDefault<Spread>>,
    told: i64,
    streams_told: i64,
}

/// What a worker has to tell.
pub(super) struct Told {
    pub(super) at: Timestamp,
    pub(super) world: Option<Arc<World>>,
    pub(super) keys: Vec<(KeyIndex, IpAddr)>,
    pub(super) marks: Vec<(Mark, IpAddr)>,
}

impl fmt::Debug for Sightings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sightings(..)")
    }
}

impl Sightings {
    pub(super) fn new(tell: Option<SyncSender<Message>>) -> Self {
        Self { tell, seen: RefCell::default() }
    }

    /// A request presented a key of a world.
    pub fn note(&self, world: &Arc<World>, key: KeyIndex, client: IpAddr) {
        let Some(tell) = &self.tell else { return };
        let mut seen = self.seen.borrow_mut();
        if !seen.world.as_ref().is_some_and(|its| Arc::ptr_eq(its, world)) {
            seen.turn_to(world, tell);
        }
        seen.clients.insert(key, client);
    }

    /// Tells what was seen since, but no more often than once a second. `streams` finds those who
    /// are still in a stream; it is asked every ten seconds.
    pub fn tell(&self, now: Timestamp, streams: impl FnOnce() -> Vec<(Mark, IpAddr)>) {
        let Some(tell) = &self.tell else { return };
        let mut seen = self.seen.borrow_mut();
        if now.as_second() == seen.told {
            return;
        }
        seen.told = now.as_second();
        if seen.streams_told.abs_diff(seen.told) >= STREAMS.unsigned_abs() {
            seen.streams_told = seen.told;
            let marks = streams();
            if !marks.is_empty() {
                // Where nobody takes it, it is asked again soon.
                let told = Told { at: now, world: None, keys: Vec::new(), marks };
                let _ = tell.try_send(Message::Told(told));
            }
        }
        seen.hand_over(tell, now);
    }

    /// Tells what was seen since: the worker ends.
    pub fn end(&self, now: Timestamp) {
        if let Some(tell) = &self.tell {
            self.seen.borrow_mut().hand_over(tell, now);
        }
    }
}

impl Seen {
    /// Another world has come, or an old one is looked at once more: their places differ.
    #[cold]
    fn turn_to(&mut self, world: &Arc<World>, tell: &SyncSender<Message>) {
        self.hand_over(tell, crate::clock::now());
        // Where nobody takes it, it is lost: a place of that world means nothing in this one.
        self.clients.clear();
        self.world = Some(Arc::clone(world));
    }

    /// Hands over what there is. Where nobody takes it, the disk hangs, and it stays here.
    fn hand_over(&mut self, tell: &SyncSender<Message>, at: Timestamp) {
        if self.clients.is_empty() {
            self.world = None;
            return;
        }
        let keys: Vec<_> = self.clients.iter().map(|(key, client)| (*key, *client)).collect();
        let told = Told { at, world: self.world.clone(), keys, marks: Vec::new() };
        if tell.try_send(Message::Told(told)).is_ok() {
            self.clients.shrink_to(2 * self.clients.len());
            self.clients.clear();
            self.world = None;
        }
    }
}

/// Spreads places of keys, which are chosen by nobody.
#[derive(Clone, Copy, Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32((*byte).into()));
    }

    fn write_u32(&mut self, number: u32) {
        let product = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = product ^ (product >> 32);
    }
}
