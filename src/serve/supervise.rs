//! What is looked after while we serve: signals, the service manager, the workers, and who takes our
//! place.

use std::thread::JoinHandle;
use std::time::Duration;

use super::handover::Attempt;
use super::handover::Failure;
use super::handover::Successor;
use super::manager::Manager;
use super::passed::Passed;
use super::signals::Signals;
use super::signals::Told;
use super::watchdog::Watchdog;
use super::workers::Workers;
use crate::live::Hints;
use crate::live::Live;
use crate::live::Trigger;

/// How often it is looked whether all is as it should be.
const LOOK: Duration = Duration::from_secs(1);

/// What is looked after.
pub(super) struct Supervisor<'s, H> {
    pub(super) live: &'s Live,
    pub(super) hints: &'s Hints,
    pub(super) workers: &'s Workers,
    pub(super) watchdog: Watchdog,
    pub(super) manager: Manager,
    /// Who could take our place, if anybody.
    pub(super) successor: Option<Successor>,
    /// The sockets that it would be given.
    pub(super) sockets: H,
}

/// Why we serve no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Somebody said so.
    Told,
    /// A worker has ended by itself.
    Broken,
    /// Another process serves in our place.
    Replaced(u32),
}

impl<H: Fn() -> std::io::Result<Vec<Passed>>> Supervisor<'_, H> {
    /// Until it is over.
    pub(super) async fn until_the_end(&mut self, signals: &mut Signals) -> End {
        let mut answered = self.live.answered();
        let mut asked = 0;
        let mut look = tokio::time::interval(LOOK);
        let mut attempt = None;
        loop {
            tokio::select! {
                told = signals.next() => match told {
                    Told::End => return End::Told,
                    Told::Reload => {
                        asked += 1;
                        self.manager.reloading();
                        self.live.metrics().reopen_access_log();
                        self.hints.send(Trigger::Request);
                    }
                    Told::HandOver if attempt.is_some() => {
                        tracing::warn!("a new process is being prepared already");
                    }
                    Told::HandOver => attempt = self.begin(),
                },
                outcome = outcome(&mut attempt) => {
                    attempt = None;
                    match outcome {
                        Ok(process) => return End::Replaced(process),
                        Err(error) => {
                            tracing::error!(%error, "not handed over: this process serves on");
                        }
                    }
                }
                Ok(()) = answered.changed() => {
                    // Whoever asks waits for the end of the last reload that was asked for.
                    if *answered.borrow_and_update() == asked {
                        self.manager.ready(&self.live.status());
                    }
                }
                () = self.watchdog.due() => if self.watchdog.all_answer() {
                    self.manager.alive();
                },
                _ = look.tick() => {
                    if self.workers.iter().any(JoinHandle::is_finished) {
                        return End::Broken;
                    }
                    self.manager.status(&self.live.status());
                }
            }
        }
    }

    fn begin(&self) -> Option<Attempt> {
        let Some(successor) = &self.successor else {
            tracing::warn!("not handed over: what was made for a trial ends with it");
            return None;
        };
        tracing::info!("starting a new process to hand over to");
        let sockets = (self.sockets)().map_err(Into::into);
        match sockets.and_then(|sockets| successor.begin(sockets, self.manager.way())) {
            Ok(attempt) => Some(attempt),
            Err(error) => {
                tracing::error!(%error, "not handed over: this process serves on");
                None
            }
        }
    }
}

async fn outcome(attempt: &mut Option<Attempt>) -> Result<u32, Failure> {
    match attempt {
        Some(attempt) => attempt.outcome().await,
        None => std::future::pending().await,
    }
}
