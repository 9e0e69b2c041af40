//! How it ends: what was accepted is finished, within the time for it.

use tokio::sync::watch;
use tokio::time::sleep;

use super::signals::Signals;
use super::workers::Workers;
use crate::clock;
use crate::config::Drain;
use crate::live::Live;
use crate::proxy::Phase;

/// Not ready first; then still accepting for the delay; then no more, and what was accepted is
/// finished within the time for it. A second signal ends the waiting.
pub(super) async fn drain(
    live: &Live,
    phase: &watch::Sender<Phase>,
    drain: Drain,
    signals: &mut Signals,
    workers: Workers,
) {
    live.draining();
    tracing::info!(delay = ?drain.delay, timeout = ?drain.timeout, "draining");
    tokio::select! {
        () = sleep(drain.delay) => {}
        () = signals.end() => {}
    }
    phase.send_replace(Phase::Draining(clock::mono() + drain.timeout));
    finish(join(workers), signals).await;
}

/// Another process serves already, so nobody hurries: connections end with their next answer. The
/// first signal makes it an ordinary drain, a second one ends the waiting.
pub(super) async fn leave(
    live: &Live,
    phase: &watch::Sender<Phase>,
    drain: Drain,
    signals: &mut Signals,
    workers: Workers,
) {
    live.draining();
    let until = clock::mono() + drain.timeout;
    phase.send_replace(Phase::Leaving(until));
    let mut joined = std::pin::pin!(join(workers));
    tokio::select! {
        () = &mut joined => return tracing::info!("drained"),
        () = signals.end() => {}
    }
    phase.send_replace(Phase::Draining(until));
    finish(joined, signals).await;
}

async fn finish(joined: impl Future<Output = ()>, signals: &mut Signals) {
    tokio::select! {
        () = joined => tracing::info!("drained"),
        () = signals.end() => tracing::warn!("told twice: ending at once"),
    }
}

async fn join(workers: Workers) {
    let joined = tokio::task::spawn_blocking(move || {
        for worker in workers {
            let _ = worker.join();
        }
    });
    // A panic of a worker was told when it happened.
    let _ = joined.await;
}
