//! The composition root: configuration → world → listeners → workers → signals → drain.

mod control;
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

use std::panic::resume_unwind;
use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::sync::mpsc;
use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::Duration;

use self::control::Control;
use self::handover::Predecessor;
use self::manager::Manager;
use self::passed::Passed;
use self::passed::Plan;
use crate::clock;
use crate::live::Files;
use crate::live::Hints;
use crate::live::Live;
use crate::live::Reloader;
use crate::live::Trigger;
use crate::live::Watching;
use crate::observe;
use crate::observe::Metrics;
use crate::proxy::Bound;
use crate::source::Problems;

pub use self::control::Addresses;
pub use self::error::ServeError;

/// How long a reload that is under way at the end is waited for.
const LAST_RELOAD: Duration = Duration::from_secs(1);

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

/// Serves until a signal has ended it, and reloads on the thread that calls it, which should be the
/// one that loaded. `listening` is called once everything is up.
///
/// A reload that takes longer than a second after all else has ended (the disk hangs) is not waited
/// for: the process ends here.
///
/// # Errors
/// When an address or something of the system cannot be had, or a worker ended by itself.
pub fn serve(
    prepared: Prepared,
    listening: impl FnOnce(&Addresses) + Send,
) -> Result<(), ServeError> {
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
    let manager = Manager::open()?;
    let chronicle = reloader.chronicle(&live)?;
    let (hints, caught, watching) = Watching::new(Arc::clone(&live), reloader);
    let stop = hints.clone();
    let control = Control {
        live,
        config,
        spots,
        bound,
        admin,
        echo,
        predecessor,
        manager,
        chronicle,
        hints,
        caught,
    };
    beside(watching, stop, move || control.run(listening))
}

/// Has this thread watch, and another one control what serves, until that is over.
fn beside(
    watching: Watching,
    hints: Hints,
    control: impl FnOnce() -> Result<(), ServeError> + Send,
) -> Result<(), ServeError> {
    let (watched, ends) = mpsc::channel::<()>();
    // The system gives a signal to the first thread if that hears it, and while a disk hangs it does
    // not wake for it.
    signals::leave_to_others()?;
    thread::scope(|scope| {
        let control = move || {
            let mut last = Last { hints, ends, served: Err("it panicked".to_owned()) };
            let served = signals::hear().map_err(Into::into).and_then(|()| control());
            last.served = served.as_ref().map(|&()| ()).map_err(ToString::to_string);
            served
        };
        let control =
            thread::Builder::new().name("control".to_owned()).spawn_scoped(scope, control)?;
        watching.run();
        drop(watched);
        control.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// Whatever becomes of the one who controls, the watching ends with it.
struct Last {
    hints: Hints,
    ends: mpsc::Receiver<()>,
    served: Result<(), String>,
}

impl Drop for Last {
    fn drop(&mut self) {
        self.hints.send(Trigger::Stop);
        // Nothing is ever sent.
        if self.ends.recv_timeout(LAST_RELOAD) == Err(RecvTimeoutError::Timeout) {
            self.leave_it();
        }
    }
}

impl Last {
    /// Ends the process in the middle of a reload: nothing of that matters any more.
    #[expect(clippy::disallowed_methods, reason = "the thread that should return may never do")]
    fn leave_it(&self) {
        tracing::warn!("a reload is still under way: ending without it");
        if let Err(error) = &self.served {
            tracing::error!(error, "serving has failed");
        }
        observe::log::flush();
        process::exit(i32::from(self.served.is_err()))
    }
}

/// The sockets that we are to listen on: an older process's, or the service manager's.
fn sockets() -> Result<(Option<Predecessor>, Vec<Passed>), ServeError> {
    match Predecessor::of_this_process()? {
        Some((predecessor, passed)) => Ok((Some(predecessor), passed)),
        None => Ok((None, passed::by_manager()?)),
    }
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

/// The configuration that `run` loads.
#[must_use]
pub const fn files(config: PathBuf, overrides: Vec<String>) -> Files {
    Files { config, overrides }
}
