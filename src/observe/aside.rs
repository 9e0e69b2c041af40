//! Threads beside those that serve, which may wait for a disk as long as it takes.

use std::io;
use std::thread;
use std::thread::JoinHandle;

use nix::sys::signal::SigSet;
use nix::sys::signal::Signal;

/// What the process is told from outside.
pub const SIGNALS: [Signal; 4] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR2];

/// Starts one. It hears no signals: the system gives a signal to any one thread that does not block
/// it, and there it would stay as long as the disk hangs.
///
/// # Errors
/// When the system gives no thread.
pub fn aside<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        // Only what is no set of signals is refused.
        let _ = SigSet::from_iter(SIGNALS).thread_block();
        work()
    })
}
