//! When to look at the files again: at every event of their directories, at SIGHUP, and every two
//! seconds whatever happens.
//!
//! Every event is a hint only. Directories are watched, not files: a file that is replaced takes
//! its watch with it, and Kubernetes replaces the directory behind a symlink.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

use arc_swap::ArcSwap;
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

use super::Live;
use super::directories::Directories;
use super::directories::Identity;
use super::reload::Reloader;
use crate::clock;

/// The floor: how often the files are looked at without any hint.
const POLL: Duration = Duration::from_secs(2);
/// How long it must be quiet after a hint: a file that is still being written is not read yet.
const SETTLE: Duration = Duration::from_millis(30);
/// How long to wait for quiet at most.
const LONGEST_SETTLE: Duration = Duration::from_millis(300);
/// How often to look whether anybody still looks at a world that is no longer in force.
const BURY: Duration = Duration::from_millis(200);
/// How far behind requests a reload stands (from 0, where they are, to 19).
const NICENESS: i32 = 10;
/// How many polls pass between two counts of the keys that have expired meanwhile.
const COUNT_EVERY: u32 = 15;

/// Why to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// From now on it matters what changes: before this, nothing is looked at.
    Begin,
    /// Something happened in a directory that matters.
    Event,
    /// Somebody asked: load whatever is there.
    Request,
    /// The process ends.
    Stop,
}

/// Where hints are sent.
#[derive(Clone, Debug)]
pub struct Hints(Sender<Trigger>);

impl Hints {
    /// Gives a hint.
    pub fn send(&self, trigger: Trigger) {
        // The watcher ends only with the process.
        let _ = self.0.send(trigger);
    }
}

/// Tells that what changed since the first load is in force.
#[derive(Debug)]
pub struct Caught(Receiver<()>);

impl Caught {
    /// Waits for that after [`Trigger::Begin`], for a time at most. Says whether it came.
    #[must_use]
    pub fn up(&self, at_most: Duration) -> bool {
        self.0.recv_timeout(at_most).is_ok()
    }
}

/// What watches and reloads, before it does.
#[derive(Debug)]
pub struct Watching {
    live: Arc<Live>,
    reloader: Reloader,
    hints: Hints,
    given: Receiver<Trigger>,
    caught_up: SyncSender<()>,
}

impl Watching {
    /// Nothing is looked at yet.
    #[must_use]
    pub fn new(live: Arc<Live>, reloader: Reloader) -> (Hints, Caught, Self) {
        let (sender, given) = channel();
        let (caught_up, caught) = sync_channel(1);
        let hints = Hints(sender);
        (hints.clone(), Caught(caught), Self { live, reloader, hints, given, caught_up })
    }

    /// Watches and reloads, from [`Trigger::Begin`] to [`Trigger::Stop`]. To be called on the thread
    /// that loaded first: an allocator that keeps an arena for each thread, as glibc's does, gives
    /// what the first load took and freed to the later ones of the same thread only.
    pub fn run(self) {
        let Self { live, reloader, hints, given, caught_up } = self;
        if let Ok(Trigger::Begin | Trigger::Event | Trigger::Request) = given.recv() {
            Watch::new(live, reloader, hints).run(&given, &caught_up);
        }
    }
}

struct Watch {
    live: Arc<Live>,
    reloader: Reloader,
    watcher: Option<RecommendedWatcher>,
    /// Those that are watched. A watch stays with its directory, whatever takes the name later.
    directories: HashMap<PathBuf, Identity>,
    /// What the one who is told of events knows of them.
    concern: Arc<ArcSwap<Directories>>,
}

impl Watch {
    fn new(live: Arc<Live>, reloader: Reloader, hints: Hints) -> Self {
        let concern = Arc::new(ArcSwap::from_pointee(Directories::default()));
        let known = Arc::clone(&concern);
        let handler = move |event: notify::Result<notify::Event>| {
            // Reading a file is no change; our own reads must not wake us.
            let matters = |event: notify::Event| {
                !event.kind.is_access() && known.load().concern(&event.paths)
            };
            if event.map_or(true, matters) {
                hints.send(Trigger::Event);
            }
        };
        let watcher = notify::recommended_watcher(handler);
        if let Err(error) = &watcher {
            tracing::warn!(%error, "the system reports no changes; files are polled only");
        }
        Self { live, reloader, watcher: watcher.ok(), directories: HashMap::new(), concern }
    }

    fn run(mut self, hints: &Receiver<Trigger>, caught_up: &SyncSender<()>) {
        // Not everything is awaited that may still come: who waits here does not serve yet.
        self.follow();
        self.look(0);
        // Not everybody waits.
        let _ = caught_up.try_send(());
        // Requests go first, once somebody waits for them and no longer for us. Not the very last:
        // where they take all there is, one tenth of a core still sees to it that a key that was
        // revoked is refused in time.
        let _ = rustix::process::nice(NICENESS);
        let mut polls = 0u32;
        loop {
            // What changed before a directory was watched was not reported.
            let hint = match self.follow() {
                true => Ok(Trigger::Event),
                false => self.wait(hints),
            };
            // How many have asked for a reload by now.
            let requested = match hint {
                Ok(first) => match settle(first, hints) {
                    (Trigger::Stop, _) => return,
                    (Trigger::Request, requests) => {
                        self.reloader.doubt();
                        requests
                    }
                    (Trigger::Begin | Trigger::Event, _) => 0,
                },
                Err(RecvTimeoutError::Timeout) => {
                    polls = polls.wrapping_add(1);
                    if polls.is_multiple_of(COUNT_EVERY) {
                        self.live.world().count(self.live.metrics(), clock::now());
                    }
                    0
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            self.look(requested);
        }
    }

    /// Looks at the files, and reloads if any has changed, or so many have asked for it.
    fn look(&mut self, requested: u64) {
        let stale = self.reloader.is_stale();
        if stale || requested > 0 {
            self.reloader.reload(&self.live, requested > 0);
        }
        self.reloader.look_at_audit_log();
        self.live.metrics().files_checked(clock::now());
        self.live.answer(requested);
    }

    /// Waits for a hint, or for the next poll.
    fn wait(&mut self, hints: &Receiver<Trigger>) -> Result<Trigger, RecvTimeoutError> {
        let until = clock::mono() + POLL;
        loop {
            let left = until.saturating_duration_since(clock::mono());
            let wait = if self.reloader.bury() { left } else { left.min(BURY) };
            match hints.recv_timeout(wait) {
                Err(RecvTimeoutError::Timeout) if clock::mono() < until => {}
                came => return came,
            }
        }
    }

    /// Watches the directories of all files, of what they lead to, and no others. Says whether
    /// anything was not watched before.
    fn follow(&mut self) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        let wanted = Directories::of(self.reloader.watched());
        let mut gone = Vec::new();
        self.directories.retain(|directory, known| {
            let stays = wanted.all.contains(directory) && Identity::of(directory) == *known;
            if !stays {
                let _ = watcher.unwatch(directory);
                gone.push(*known);
            }
            stays
        });
        // A directory has one watch, however many names it has: with one of them all have lost it.
        self.directories.retain(|_, known| !gone.contains(known));
        let mut any = false;
        for new in &wanted.all {
            if self.directories.contains_key(new) {
                continue;
            }
            // Before it is watched: where another takes its place meanwhile, that is seen next time.
            let identity = Identity::of(new);
            // One that cannot be watched yet is tried again at the next poll.
            if watcher.watch(new, RecursiveMode::NonRecursive).is_ok() {
                self.directories.insert(new.clone(), identity);
                any = true;
            }
        }
        // What happened to a name before it mattered was not reported, either.
        any | (*self.concern.swap(Arc::new(wanted.clone())) != wanted)
    }
}

/// Waits for the rest of a burst; the strongest hint of it counts. Says how many requests there
/// were in it, too.
fn settle(first: Trigger, hints: &Receiver<Trigger>) -> (Trigger, u64) {
    let mut strongest = first;
    let mut requests = u64::from(first == Trigger::Request);
    let until = clock::mono() + LONGEST_SETTLE;
    loop {
        let left = until.saturating_duration_since(clock::mono());
        match hints.recv_timeout(left.min(SETTLE)) {
            Ok(Trigger::Stop) => return (Trigger::Stop, requests),
            Ok(Trigger::Request) => {
                strongest = Trigger::Request;
                requests += 1;
            }
            Ok(Trigger::Begin | Trigger::Event) => {}
            Err(_) => return (strongest, requests),
        }
    }
}
