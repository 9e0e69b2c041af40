//! The composition root: configuration → world → listeners → workers → signals → drain.

mod descriptors;
mod door;
mod echo;
mod ending;
mod error;
mod handover;
mod manager;
mod passed;
mod signals;
mod supervise;
mod watchdog;
mod workers;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::LocalSet;

use self::door::Door;
use self::handover::Predecessor;
use self::handover::Successor;
use self::manager::Manager;
use self::passed::Passed;
use self::passed::Plan;
use self::signals::Signals;
use self::supervise::End;
use self::supervise::Supervisor;
use self::watchdog::Watchdog;
use self::workers::Workers;
use crate::admin;
use crate::clock;
#[cfg(feature = "otlp")]
use crate::export::Exporter;
use crate::live;
use crate::live::Files;
use crate::live::Live;
use crate::live::Reloader;
use crate::live::Trigger;
use crate::observe;
use crate::observe::ListenerKind;
use crate::observe::Metrics;
use crate::proxy::Bound;
use crate::proxy::Phase;
use crate::proxy::Spot;
use crate::source::Problems;

pub use self::error::ServeError;

/// What ending takes beside the drain, at most.
const GRACE: Duration = Duration::from_secs(5);

/// Everything loaded, nothing opened yet.
#[derive(Debug)]
pub struct Prepared {
    reloader: Reloader,
    live: Arc<Live>,
    warnings: Problems,
    echo: Option<std::net::TcpListener>,
    passed: Vec<Passed>,
    predecessor: Option<Predecessor>,
}

impl Prepared {
    /// Loads everything that serving needs. To be called while the process has one thread.
    ///
    /// # Errors
    /// Every problem of every file.
    pub fn load(files: Files) -> Result<Self, Problems> {
        let came = sockets().map_err(|error| error.problem());
        let (predecessor, passed) = came?;
        // Somebody who embeds us may have installed one already; ours are named explicitly.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let metrics = Metrics::new();
        let (reloader, world, mut warnings) = Reloader::first(files, &metrics)?;
        warnings.extend(reloader.config().troubles());
        if warnings.fatal() {
            return Err(warnings);
        }
        let live = Live::new(world, metrics, clock::now());
        Ok(Self { reloader, live, warnings, echo: None, passed, predecessor })
    }

    /// Serves an API that echoes what it was sent, too: something to try things with.
    #[must_use]
    pub fn with_echo(self, listener: std::net::TcpListener) -> Self {
        Self { echo: Some(listener), ..self }
    }

    /// What is unwise but not wrong.
    #[must_use]
    pub const fn warnings(&self) -> &Problems {
        &self.warnings
    }
}

/// Where the process listens.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// TLS.
    pub https: Vec<std::net::SocketAddr>,
    /// In clear.
    pub http: Vec<std::net::SocketAddr>,
    /// Health and metrics, as it is written in the configuration.
    pub admin: Option<String>,
}

/// Serves until a signal has ended it. `listening` is called once everything is up.
///
/// # Errors
/// When an address or something of the system cannot be had, or a worker ended by itself.
pub fn serve(prepared: Prepared, listening: impl FnOnce(&Addresses)) -> Result<(), ServeError> {
    let Prepared { mut reloader, live, warnings, echo, passed, predecessor } = prepared;
    observe::log::count_panics(Arc::clone(live.metrics()));
    warnings.iter().for_each(|warning| tracing::warn!("{}", warning.line()));
    let config = reloader.config().clone();
    make_room(&live, config.bounds.connections);
    live.metrics().set_access_log(&config.access_log).map_err(ServeError::AccessLog)?;
    let Plan { mut spots, admin, unused } =
        passed::plan(&config.listen, config.tls.is_some(), passed)?;
    // What the older process has and we do not want, it closes when nobody waits there.
    if let Some(stray) = unused.first().filter(|_| predecessor.is_none()) {
        return Err(ServeError::Unwanted { name: stray.socket.name() });
    }
    drop(unused);
    let bound = Bound::bind(&mut spots, config.workers)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = LocalSet::new().block_on(&runtime, async {
        let door = door::open(config.listen.admin.as_ref(), admin).await?;
        let mut signals = Signals::new()?;
        record_usage(&live, config.state.as_ref())?;
        let (phase, told) = watch::channel(Phase::Waiting);
        let watchdog = Watchdog::over(&bound);
        let workers = workers::start(&live, bound, &told)?;
        #[cfg(feature = "otlp")]
        let exporter = Exporter::start(config.collector.as_ref(), live.metrics())?;
        let chronicle = reloader.chronicle(&live)?;
        let hints = live::watch(Arc::clone(&live), reloader)?;
        let echo = echo.map(echo::listen).transpose()?;
        // Nothing of ours from here on can fail.
        if let Some(predecessor) = &predecessor {
            predecessor.prepared()?;
        }
        phase.send_replace(Phase::Serving);
        let farewell = chronicle.begins();
        hints.send(Trigger::Begin);
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let addresses = Addresses::of(&spots, door.as_ref());
        let door = door.map(|Door { listener, passed }| {
            let shutdown = async { drop(ended.await) };
            tokio::task::spawn_local(admin::serve(listener, state(&live), shutdown));
            passed
        });
        let successor = echo.is_none().then(Successor::of_this_process);
        if let Some(listener) = echo {
            tokio::task::spawn_local(echo::serve(listener));
        }
        live.serving();
        if let Some(predecessor) = predecessor {
            predecessor.serving();
        }
        announce(&addresses);
        listening(&addresses);
        let mut manager = Manager::default();
        manager.ready(&live.status());
        let sockets = || passed::copies(&spots, door.as_ref());
        let (live, hints) = (&*live, &hints);
        let mut supervisor =
            Supervisor { live, hints, workers: &workers, watchdog, manager, successor, sockets };
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
        hints.send(Trigger::Stop);
        #[cfg(feature = "otlp")]
        if let Some(exporter) = exporter {
            exporter.end();
        }
        if over == End::Broken { Err(ServeError::Worker) } else { Ok(()) }
    });
    // Workers that did not end in time end with the process.
    runtime.shutdown_background();
    live.metrics().flush_access_log();
    served
}

/// The sockets that we are to listen on: an older process's, or the service manager's.
fn sockets() -> Result<(Option<Predecessor>, Vec<Passed>), ServeError> {
    match Predecessor::of_this_process()? {
        Some((predecessor, passed)) => Ok((Some(predecessor), passed)),
        None => Ok((None, passed::by_manager()?)),
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

/// Says how many connections there may be, and how that came.
fn make_room(live: &Live, wanted: usize) {
    let descriptors = descriptors::take_all();
    let capacity = descriptors::connections(descriptors);
    live.crowd().set_capacity(capacity);
    if wanted > capacity {
        tracing::warn!(
            connections = wanted,
            descriptors,
            "`limits.connections` is more than the process may open files for; raise its limit of \
             open files to two for each connection"
        );
    }
    let connections = if wanted == 0 { capacity } else { wanted };
    tracing::info!(connections, descriptors, "connections are limited");
}

fn announce(addresses: &Addresses) {
    let list = |addresses: &[std::net::SocketAddr]| {
        let texts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        (!texts.is_empty()).then(|| texts.join(","))
    };
    let (https, http) = (list(&addresses.https), list(&addresses.http));
    tracing::info!(https, http, admin = addresses.admin, "listening");
}

/// The configuration that `run` loads.
#[must_use]
pub const fn files(config: PathBuf, overrides: Vec<String>) -> Files {
    Files { config, overrides }
}
