//! What the process is told from outside.

use std::io;
use std::os::unix::net::UnixStream;

use nix::sys::signal::SigSet;
use tokio::signal::unix::Signal;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

use crate::observe::SIGNALS;

/// The signals that mean something to us.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user2: Signal,
}

/// What one of them says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// End.
    End,
    /// Load the files again.
    Reload,
    /// Let the program as it is now take over.
    HandOver,
}

impl Signals {
    /// Makes sure that there are the descriptors which a runtime takes (six, by tokio 1.54): it
    /// panics where those are missing by which it hears of signals.
    ///
    /// # Errors
    /// When they are missing.
    pub(super) fn have_room() -> io::Result<()> {
        let pairs = [(); 4].map(|()| UnixStream::pair());
        pairs.into_iter().try_for_each(|pair| pair.map(drop))
    }

    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user2: signal(SignalKind::user_defined2())?,
        })
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::End,
            _ = self.interrupt.recv() => Told::End,
            _ = self.hangup.recv() => Told::Reload,
            _ = self.user2.recv() => Told::HandOver,
        }
    }

    /// Until the process is told to end.
    pub(super) async fn end(&mut self) {
        while self.next().await != Told::End {}
    }
}

/// Has other threads hear what this one would: those that do not begin as this one does.
pub(super) fn leave_to_others() -> io::Result<()> {
    Ok(SigSet::from_iter(SIGNALS).thread_block()?)
}

/// Has this thread hear what is meant for us, whatever thread began it.
pub(super) fn hear() -> io::Result<()> {
    Ok(SigSet::from_iter(SIGNALS).thread_unblock()?)
}
