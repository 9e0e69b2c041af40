//! From the first thread to the last: what serves is started, looked after and ended here, on a
//! thread of its own. It loads nothing.

use std::io;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::sync::watch;
use tokio::task::LocalSet;
use tokio::task::spawn_local;

use super::ServeError;
use super::door;
use super::door::Door;
use super::echo;
use super::ending;
use super::handover;
use super::handover::Predecessor;
use super::handover::Successor;
use super::manager::Manager;
use super::passed;
use super::passed::Passed;
use super::signals::Signals;
use super::supervise::End;
use super::supervise::Supervisor;
use super::watchdog::Watchdog;
use super::workers;
use crate::admin;
use crate::config::Config;
#[cfg(feature = "otlp")]
use crate::export::Exporter;
use crate::live::Caught;
use crate::live::Chronicle;
use crate::live::Hints;
use crate::live::Live;
use crate::live::Trigger;
use crate::observe::ListenerKind;
use crate::proxy::Bound;
use crate::proxy::Phase;
use crate::proxy::Spot;

/// What ending takes beside the drain, at most.
const GRACE: Duration = Duration::from_secs(5);

/// Where the process listens.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// TLS.
    pub https: Vec<SocketAddr>,
    /// In clear.
    pub http: Vec<SocketAddr>,
    /// Health and metrics, as it is written in the configuration.
    pub admin: Option<String>,
}

/// Everything that serving takes, and nothing of it runs.
pub(super) struct Control {
    pub(super) live: Arc<Live>,
    pub(super) config: Config,
    pub(super) spots: Vec<Spot>,
    pub(super) bound: Vec<Bound>,
    pub(super) admin: Option<Passed>,
    pub(super) echo: Option<TcpListener>,
    pub(super) predecessor: Option<Predecessor>,
    pub(super) manager: Manager,
    pub(super) chronicle: Chronicle,
    pub(super) hints: Hints,
    pub(super) caught: Caught,
}

impl Control {
    /// Serves until it is over.
    ///
    /// # Errors
    /// When something of the system cannot be had, or a worker ended by itself.
    pub(super) fn run(self, listening: impl FnOnce(&Addresses)) -> Result<(), ServeError> {
        let metrics = Arc::clone(self.live.metrics());
        Signals::have_room()?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let served = LocalSet::new().block_on(&runtime, self.serve(listening));
        // Workers that did not end in time end with the process.
        runtime.shutdown_background();
        metrics.flush_access_log();
        served
    }

    async fn serve(self, listening: impl FnOnce(&Addresses)) -> Result<(), ServeError> {
        let Self { live, config, spots, bound, admin, echo, predecessor, chronicle, .. } = self;
        let (manager, hints, caught) = (self.manager, self.hints, self.caught);
        let door = door::open(config.listen.admin.as_ref(), admin).await?;
        let mut signals = Signals::new()?;
        record_usage(&live, config.state.as_ref())?;
        let (phase, told) = watch::channel(Phase::Waiting);
        let watchdog = Watchdog::over(&bound);
        let workers = workers::start(&live, bound, &told)?;
        #[cfg(feature = "otlp")]
        let exporter = Exporter::start(config.collector.as_ref(), live.metrics())?;
        let echo = echo.map(echo::listen).transpose()?;
        // Nothing of ours from here on can fail.
        if let Some(predecessor) = &predecessor {
            predecessor.prepared()?;
        }
        let farewell = chronicle.begins();
        hints.send(Trigger::Begin);
        // A key that was revoked since we loaded is refused already, by the other process.
        if predecessor.is_some() && !caught.up(handover::CATCHING_UP) {
            return Err(ServeError::NotCaughtUp);
        }
        phase.send_replace(Phase::Serving);
        let (end, ended) = oneshot::channel::<()>();
        let addresses = Addresses::of(&spots, door.as_ref());
        let door = door.map(|Door { listener, passed }| {
            let shutdown = async { drop(ended.await) };
            spawn_local(admin::serve(listener, state(&live), shutdown));
            passed
        });
        let successor = echo.is_none().then(Successor::of_this_process);
        if let Some(listener) = echo {
            spawn_local(echo::serve(listener));
        }
        live.serving();
        if let Some(predecessor) = predecessor {
            predecessor.serving();
        }
        announce(&addresses);
        listening(&addresses);
        let sockets = || passed::copies(&spots, door.as_ref());
        let (live, hints) = (&*live, &hints);
        let mut supervisor =
            Supervisor { live, hints, workers: &workers, watchdog, manager, successor, sockets };
        supervisor.manager.ready(&live.status());
        let over = supervisor.until_the_end(&mut signals).await;
        farewell.drains();
        if let End::Replaced(process) = over {
            tracing::info!(process, timeout = ?config.drain.timeout, "handed over: draining");
            drop(end);
            // What is held open here would go on taking connections.
            drop((spots, door));
            ending::leave(live, &phase, config.drain, &mut signals, workers).await;
        } else {
            let longest = config.drain.delay + config.drain.timeout + GRACE;
            supervisor.manager.stopping(longest);
            drop((spots, door));
            ending::drain(live, &phase, config.drain, &mut signals, workers).await;
        }
        live.usage().end();
        #[cfg(feature = "otlp")]
        if let Some(exporter) = exporter {
            exporter.end();
        }
        if over == End::Broken { Err(ServeError::Worker) } else { Ok(()) }
    }
}

fn state(live: &Arc<Live>) -> admin::State {
    let (status, occupancy) = (Arc::clone(live), Arc::clone(live));
    admin::State {
        metrics: Arc::clone(live.metrics()),
        status: Arc::new(move || status.status()),
        occupancy: Arc::new(move || occupancy.occupancy()),
    }
}

impl Addresses {
    fn of(spots: &[Spot], door: Option<&Door>) -> Self {
        let admin = door.map(|door| door.listener.to_string());
        let of = |kind| {
            let of_kind = spots.iter().filter(|spot| spot.kind == kind);
            of_kind.map(|spot| spot.address).collect()
        };
        Self { https: of(ListenerKind::Https), http: of(ListenerKind::Http), admin }
    }
}

fn record_usage(live: &Live, directory: Option<&PathBuf>) -> io::Result<()> {
    let Some(directory) = directory else { return Ok(()) };
    live.usage().begin(directory.clone(), Arc::clone(live.metrics()))
}

fn announce(addresses: &Addresses) {
    let list = |addresses: &[SocketAddr]| {
        let texts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        (!texts.is_empty()).then(|| texts.join(","))
    };
    let (https, http) = (list(&addresses.https), list(&addresses.http));
    tracing::info!(https, http, admin = addresses.admin, "listening");
}
