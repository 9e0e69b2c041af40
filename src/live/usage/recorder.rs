//! The thread that gathers what workers tell, and writes it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;
use std::time::Instant;

use super::Message;
use super::sightings::Told;
use crate::clock;
use crate::keys::usage::Added;
use crate::keys::usage::Mark;
use crate::keys::usage::UsageStore;
use crate::keys::usage::Use;
use crate::observe::Metrics;

/// How long uses gather before they are written.
const REST: Duration = Duration::from_secs(5);
/// How many bytes are written in a second at most, over time: a large file is written more rarely.
const PACE: u64 = 256 * 1024;
/// How many keys are written before their time, so that what gathers stays small.
const MANY: usize = 200_000;
/// How long after one writing the next begins at the soonest.
const SOONEST: Duration = Duration::from_secs(1);
/// How far behind requests writing stands (from 0, where they are, to 19).
const NICENESS: i32 = 10;

pub(super) struct Recorder {
    store: UsageStore,
    metrics: Arc<Metrics>,
    pending: HashMap<Mark, Use>,
    wrote: Instant,
    rest: Duration,
    failing: bool,
}

impl Recorder {
    pub(super) fn new(store: UsageStore, metrics: Arc<Metrics>) -> Self {
        let (wrote, rest) = (clock::mono(), Duration::ZERO);
        Self { store, metrics, pending: HashMap::new(), wrote, rest, failing: false }
    }

    /// Runs until there is nobody to hear, or it is told to end.
    pub(super) fn run(mut self, heard: &Receiver<Message>) {
        // Requests go first.
        let _ = rustix::process::nice(NICENESS);
        // So that it is known since when uses are recorded; the first use is written at once.
        self.write();
        self.rest = Duration::ZERO;
        loop {
            // Where nothing has gathered, nothing is due.
            let wait = if self.pending.is_empty() { Duration::MAX } else { self.left() };
            match heard.recv_timeout(wait) {
                Ok(Message::Told(told)) => self.take(&told),
                Ok(Message::End(done)) => {
                    self.write_rest();
                    // Whoever waited may have lost patience.
                    let _ = done.send(());
                    return;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.write_rest(),
            }
            if !self.pending.is_empty() && self.left().is_zero() {
                self.write();
            }
        }
    }

    fn write_rest(&mut self) {
        if !self.pending.is_empty() {
            self.write();
        }
    }

    /// How long nothing is to be written yet.
    fn left(&self) -> Duration {
        let many = self.pending.len() >= MANY && !self.failing;
        let rest = if many { self.rest.min(SOONEST) } else { self.rest };
        rest.saturating_sub(clock::mono().saturating_duration_since(self.wrote))
    }

    fn take(&mut self, told: &Told) {
        let table = told.world.as_ref().map(|world| world.snapshot().table());
        let keys = told.keys.iter().filter_map(|(key, client)| {
            let record = table?.record(*key)?;
            Some((Mark::of(&record.digest()), *client))
        });
        for (mark, client) in keys.chain(told.marks.iter().copied()) {
            let used = Use::new(told.at, client);
            match self.pending.entry(mark) {
                Entry::Vacant(entry) => {
                    entry.insert(used);
                }
                Entry::Occupied(entry) if entry.get().is_after(&used) => {}
                Entry::Occupied(mut entry) => {
                    entry.insert(used);
                }
            }
        }
    }

    /// Writes what has gathered, or keeps it for the next time.
    fn write(&mut self) {
        let mut new: Vec<_> = self.pending.iter().map(|(mark, used)| (*mark, *used)).collect();
        new.sort_unstable_by_key(|(mark, _)| *mark);
        match self.store.add(&new, clock::now()) {
            Ok(added) => {
                self.rest = REST.max(Duration::from_secs(added.bytes / PACE));
                self.pending = HashMap::new();
                self.tell(&added);
            }
            Err(error) => {
                self.rest = REST;
                self.metrics.state_not_written();
                if !self.failing {
                    tracing::warn!(
                        %error,
                        "the use of keys cannot be recorded; see that `state.directory` can be \
                         written to and has room: what is not written yet is kept in memory"
                    );
                }
                self.failing = true;
            }
        }
        self.wrote = clock::mono();
    }

    fn tell(&mut self, added: &Added) {
        if let Some((path, damage)) = &added.aside {
            tracing::warn!(
                %damage,
                aside = %path.display(),
                "what was recorded of the use of keys is of no use and was moved aside: uses are \
                 recorded anew"
            );
        }
        if std::mem::take(&mut self.failing) {
            tracing::info!(keys = added.keys, "the use of keys is recorded again");
        }
    }
}
