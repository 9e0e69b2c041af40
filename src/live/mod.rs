//! What changes while running: the world in force, and the state that outlives it.
//!
//! A change of a file makes a new world off the request path; one pointer is swapped, and no
//! connection notices. Must not know hyper.

mod audit;
mod changes;
mod clerk;
mod directories;
mod fingerprint;
mod mounts;
mod reload;
mod usage;
mod watch;
mod world;

#[cfg(test)]
mod model;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokio::sync::watch as channel;

use crate::gate::Attempts;
use crate::gate::Budget;
use crate::gate::Crowd;
use crate::gate::Rates;
use crate::gate::Slots;
use crate::observe::Lanes;
use crate::observe::Limiter;
use crate::observe::Metrics;
use crate::observe::Occupancy;
use crate::observe::Status;

pub use self::mounts::frozen;
pub use self::reload::Chronicle;
pub use self::reload::Farewell;
pub use self::reload::Files;
pub use self::reload::Reloader;
pub use self::usage::Sightings;
pub use self::usage::Usage;
pub use self::watch::Caught;
pub use self::watch::Hints;
pub use self::watch::Trigger;
pub use self::watch::Watching;
pub use self::world::World;

/// Where the world in force is kept.
pub type WorldCell = Arc<ArcSwap<World>>;

/// The world in force, and the state that outlives it.
#[derive(Debug)]
pub struct Live {
    cell: WorldCell,
    slots: Slots,
    rates: Rates,
    attempts: Attempts,
    crowd: Crowd,
    budget: Budget,
    login_budget: Budget,
    metrics: Arc<Metrics>,
    usage: Usage,
    changes: channel::Sender<u64>,
    answered: channel::Sender<u64>,
    report: Mutex<Report>,
}

#[derive(Debug, Default)]
struct Report {
    serving: bool,
    draining: bool,
    loaded_at: Option<Timestamp>,
    error: Option<String>,
}

impl Live {
    /// Begins with a first world.
    #[must_use]
    pub fn new(first: World, metrics: Arc<Metrics>, now: Timestamp) -> Arc<Self> {
        first.count(&metrics, now);
        let changes = channel::Sender::new(first.generation());
        let report = Report { loaded_at: Some(now), ..Report::default() };
        let cell = Arc::new(ArcSwap::from_pointee(first));
        Arc::new(Self {
            cell,
            slots: Slots::default(),
            rates: Rates::default(),
            attempts: Attempts::default(),
            crowd: Crowd::default(),
            budget: Budget::default(),
            login_budget: Budget::default(),
            metrics,
            usage: Usage::default(),
            changes,
            answered: channel::Sender::new(0),
            report: Mutex::new(report),
        })
    }

    /// The cell that workers read from.
    #[must_use]
    pub fn cell(&self) -> WorldCell {
        Arc::clone(&self.cell)
    }

    /// The world in force.
    #[must_use]
    pub fn world(&self) -> Arc<World> {
        self.cell.load_full()
    }

    /// The in-flight limits; they outlive worlds.
    #[must_use]
    pub const fn slots(&self) -> &Slots {
        &self.slots
    }

    /// The rates; they outlive worlds.
    #[must_use]
    pub const fn rates(&self) -> &Rates {
        &self.rates
    }

    /// The failed attempts; they outlive worlds.
    #[must_use]
    pub const fn attempts(&self) -> &Attempts {
        &self.attempts
    }

    /// All connections; they outlive worlds.
    #[must_use]
    pub const fn crowd(&self) -> &Crowd {
        &self.crowd
    }

    /// What inspected bodies may take in all.
    #[must_use]
    pub const fn budget(&self) -> &Budget {
        &self.budget
    }

    /// What the bodies of logins take in all.
    #[must_use]
    pub const fn login_budget(&self) -> &Budget {
        &self.login_budget
    }

    /// The process's metrics.
    #[must_use]
    pub const fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Where it is recorded which keys are used.
    #[must_use]
    pub const fn usage(&self) -> &Usage {
        &self.usage
    }

    /// Tells the generation of each new world.
    #[must_use]
    pub fn changes(&self) -> channel::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Tells how many of the reloads that were asked for have been tried, whatever came of them.
    #[must_use]
    pub fn answered(&self) -> channel::Receiver<u64> {
        self.answered.subscribe()
    }

    /// Says that so many more reloads that were asked for have been tried.
    fn answer(&self, requests: u64) {
        if requests > 0 {
            self.answered.send_modify(|answered| *answered += requests);
        }
    }

    /// Says that the listeners are up.
    pub fn serving(&self) {
        self.report().serving = true;
    }

    /// Says that the process will end.
    pub fn draining(&self) {
        self.report().draining = true;
    }

    /// What `/readyz` tells.
    #[must_use]
    pub fn status(&self) -> Status {
        let world = self.world();
        let report = self.report();
        Status {
            ready: report.serving && !report.draining,
            draining: report.draining,
            generation: world.generation(),
            digest: world.digest().to_owned(),
            keys: world.snapshot().table().len(),
            accounts: world.snapshot().table().accounts_len(),
            loaded_at: report.loaded_at.map(|at| at.to_string()),
            error: report.error.clone(),
        }
    }

    /// What is taken of what requests share.
    #[must_use]
    pub fn occupancy(&self) -> Occupancy {
        let world = self.world();
        let report = self.report();
        let number = |count: usize| count as u64;
        let addresses = |rates: &Rates| {
            let (now, most) = rates.addresses();
            Some((number(now), number(most)))
        };
        let attempts = self.attempts.rates();
        let limiters = Limiter::ALL.map(|limiter| match limiter {
            Limiter::Rate => {
                Lanes { entries: number(self.rates.lanes()), addresses: addresses(&self.rates) }
            }
            Limiter::InFlight => Lanes { entries: number(self.slots.lanes()), addresses: None },
            Limiter::Failures => {
                Lanes { entries: number(attempts.lanes()), addresses: addresses(attempts) }
            }
        });
        Occupancy {
            ready: report.serving && !report.draining,
            draining: report.draining,
            connections_limit: number(self.crowd.most(world.bounds().connections)),
            limiters,
            body_memory: number(self.budget.used()),
            body_memory_limit: number(world.body_memory()),
        }
    }

    /// Puts a new world in force. `error` is what still stands against the files.
    /// Returns the one that was in force, which somebody may still look at.
    fn swap(&self, next: World, error: Option<String>, now: Timestamp) -> Arc<World> {
        next.count(&self.metrics, now);
        let generation = next.generation();
        let old = self.cell.swap(Arc::new(next));
        self.changes.send_replace(generation);
        let mut report = self.report();
        report.loaded_at = Some(now);
        report.error = error;
        old
    }

    /// Keeps the world in force, and says why.
    fn keep(&self, error: String) {
        self.report().error = Some(error);
    }

    fn report(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
