//! The composition root: configuration → world → listeners → workers → signals → drain.

mod descriptors;
mod echo;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::LocalSet;

use crate::admin;
use crate::clock;
use crate::config::AdminAddress;
use crate::config::Drain;
use crate::live;
use crate::live::Files;
use crate::live::Hints;
use crate::live::Live;
use crate::live::Reloader;
use crate::live::Trigger;
use crate::observe;
use crate::observe::ListenerKind;
use crate::observe::Metrics;
use crate::proxy;
use crate::proxy::Bound;
use crate::proxy::ListenError;
use crate::proxy::Phase;
use crate::source::Problems;

/// Everything loaded, nothing opened yet.
#[derive(Debug)]
pub struct Prepared {
    reloader: Reloader,
    live: Arc<Live>,
    warnings: Problems,
    echo: Option<std::net::TcpListener>,
}

/// Why the process cannot serve although its files are right.
#[derive(Debug, Error)]
pub enum ServeError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The admin address cannot be listened on.
    #[error("cannot listen on {address} for `listen.admin`: {error}")]
    Admin {
        /// The address or the path.
        address: String,
        /// What the system says.
        error: io::Error,
    },
    /// The system gives no thread, no signal, no runtime.
    #[error("the system does not give what serving needs: {0}")]
    System(#[from] io::Error),
    /// A worker ended although nobody told it to.
    #[error("a worker ended unexpectedly")]
    Worker,
}

impl Prepared {
    /// Loads everything that serving needs.
    ///
    /// # Errors
    /// Every problem of every file.
    pub fn load(files: Files) -> Result<Self, Problems> {
        // Somebody who embeds us may have installed one already; ours are named explicitly.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let metrics = Metrics::new();
        let (reloader, world, warnings) = Reloader::first(files, &metrics)?;
        let live = Live::new(world, metrics, clock::now());
        Ok(Self { reloader, live, warnings, echo: None })
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
    let Prepared { reloader, live, warnings, echo } = prepared;
    observe::log::count_panics(Arc::clone(live.metrics()));
    for warning in warnings.iter() {
        tracing::warn!("{}", warning.line());
    }
    let config = reloader.config().clone();
    make_room(&live, config.bounds.connections);
    let bound = Bound::bind(&config.listen, config.workers)?;
    let addresses = |kind| bound.first().map(|bound| bound.addresses(kind)).unwrap_or_default();
    let (https, http) = (addresses(ListenerKind::Https), addresses(ListenerKind::Http));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = LocalSet::new().block_on(&runtime, async {
        let (admin, admin_address) = bind_admin(config.listen.admin.as_ref()).await?;
        let mut signals = Signals::new()?;
        let (phase, told) = watch::channel(Phase::Serving);
        let workers = start(&live, bound, &told)?;
        let hints = live::watch(Arc::clone(&live), reloader)?;
        let (_end, ended) = tokio::sync::oneshot::channel::<()>();
        let (status, occupancy) = (Arc::clone(&live), Arc::clone(&live));
        let state = admin::State {
            metrics: Arc::clone(live.metrics()),
            status: Arc::new(move || status.status()),
            occupancy: Arc::new(move || occupancy.occupancy()),
        };
        if let Some(listener) = admin {
            tokio::task::spawn_local(admin::serve(listener, state, async { drop(ended.await) }));
        }
        if let Some(listener) = echo {
            listener.set_nonblocking(true)?;
            tokio::task::spawn_local(echo::serve(TcpListener::from_std(listener)?));
        }
        live.serving();
        let addresses = Addresses { https, http, admin: admin_address };
        announce(&addresses);
        listening(&addresses);
        let failed = signals.wait_for_end(&hints, &workers).await;
        drain(&live, &phase, config.drain, &mut signals, workers).await;
        hints.send(Trigger::Stop);
        if failed { Err(ServeError::Worker) } else { Ok(()) }
    });
    // Workers that did not end in time end with the process.
    runtime.shutdown_background();
    served
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

async fn bind_admin(
    address: Option<&AdminAddress>,
) -> Result<(Option<admin::Listener>, Option<String>), ServeError> {
    let Some(address) = address else { return Ok((None, None)) };
    match address {
        AdminAddress::Tcp(address) => {
            let fail = |error| ServeError::Admin { address: address.to_string(), error };
            let listener = TcpListener::bind(address).await.map_err(fail)?;
            let text = listener.local_addr()?.to_string();
            Ok((Some(admin::Listener::Tcp(listener)), Some(text)))
        }
        AdminAddress::Unix(path) => {
            let address = format!("unix:{}", path.display());
            let fail = |error| ServeError::Admin { address: address.clone(), error };
            let listener = admin::Listener::bind_unix(path).map_err(fail)?;
            Ok((Some(listener), Some(address)))
        }
    }
}

type Workers = Vec<JoinHandle<io::Result<()>>>;

fn start(
    live: &Arc<Live>,
    bound: Vec<Bound>,
    told: &watch::Receiver<Phase>,
) -> io::Result<Workers> {
    let start = |(number, bound): (usize, Bound)| {
        let (live, told) = (Arc::clone(live), told.clone());
        let thread = std::thread::Builder::new().name(format!("worker-{number}"));
        thread.spawn(move || {
            let ended = proxy::run(&live, bound, told);
            if let Err(error) = &ended {
                tracing::error!(%error, "a worker cannot run");
            }
            ended
        })
    };
    bound.into_iter().enumerate().map(start).collect()
}

/// Not ready first; then still accepting for the delay; then no more, and what was accepted is
/// finished within the time for it. A second signal ends the waiting.
async fn drain(
    live: &Live,
    phase: &watch::Sender<Phase>,
    drain: Drain,
    signals: &mut Signals,
    workers: Workers,
) {
    live.draining();
    tracing::info!(delay = ?drain.delay, timeout = ?drain.timeout, "draining");
    tokio::select! {
        () = tokio::time::sleep(drain.delay) => {}
        () = signals.end() => {}
    }
    phase.send_replace(Phase::Draining(clock::mono() + drain.timeout));
    let joined = tokio::task::spawn_blocking(move || {
        for worker in workers {
            let _ = worker.join();
        }
    });
    tokio::select! {
        _ = joined => tracing::info!("drained"),
        () = signals.end() => tracing::warn!("told twice: ending at once"),
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Until somebody ends the process, or a worker has ended by itself (`true`).
    async fn wait_for_end(&mut self, hints: &Hints, workers: &Workers) -> bool {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return false,
                _ = self.interrupt.recv() => return false,
                _ = self.hangup.recv() => hints.send(Trigger::Request),
                () = tokio::time::sleep(std::time::Duration::from_secs(1)) => {
                    if workers.iter().any(JoinHandle::is_finished) {
                        return true;
                    }
                }
            }
        }
    }
}

/// The configuration that `run` loads.
#[must_use]
pub const fn files(config: PathBuf, overrides: Vec<String>) -> Files {
    Files { config, overrides }
}
