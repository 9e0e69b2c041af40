//! What the service manager is told (`sd_notify(3)`): that we are ready, how it stands, that we
//! reload, live and end. Where there is none, nothing happens.

use std::env;
use std::fmt::Write as _;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::observe::Status;

/// The longest text of a status, in bytes.
const LONGEST: usize = 512;

/// Where the service manager listens.
const VARIABLE: &str = "NOTIFY_SOCKET";

/// The way to the service manager, if there is one. It is open from the start: what has to be said
/// later must not fail for want of a descriptor.
#[derive(Clone, Debug)]
pub(super) struct Way(Option<Arc<(UnixDatagram, SocketAddr)>>);

impl Way {
    fn open() -> io::Result<Self> {
        let Some(name) = env::var_os(VARIABLE).filter(|name| !name.is_empty()) else {
            return Ok(Self(None));
        };
        let address = match name.as_bytes().split_first() {
            Some((b'@', name)) => SocketAddr::from_abstract_name(name),
            _ => SocketAddr::from_pathname(&name),
        };
        match address {
            Ok(address) => Ok(Self(Some(Arc::new((UnixDatagram::unbound()?, address))))),
            Err(error) => {
                tracing::warn!(%error, "`{VARIABLE}` names no socket: the service manager is told nothing");
                Ok(Self(None))
            }
        }
    }

    fn say(&self, what: &[NotifyState<'_>]) -> io::Result<()> {
        let Some(way) = &self.0 else { return Ok(()) };
        let mut message = String::new();
        for state in what {
            let _ = writeln!(message, "{state}");
        }
        let (socket, address) = &**way;
        // A datagram is sent whole or not at all.
        socket.send_to_addr(message.as_bytes(), address).map(drop)
    }

    /// Another process is the service from now on. What others say is not heard, so it is for the
    /// one that is the service until then.
    pub(super) fn main_process(&self, process: u32) {
        if let Err(error) = self.say(&[NotifyState::MainPid(process)]) {
            tracing::warn!(%error, "the service manager cannot be told which process serves");
        }
    }
}

/// Talks to the service manager.
#[derive(Debug)]
pub(super) struct Manager {
    way: Way,
    told: String,
    failed: bool,
}

impl Manager {
    /// Talks to the one that the environment names, if it does.
    ///
    /// # Errors
    /// When the system gives no socket.
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self { way: Way::open()?, told: String::new(), failed: false })
    }

    /// The same way, for somebody else.
    pub(super) fn way(&self) -> Way {
        self.way.clone()
    }

    /// Everything is up, or a reload that was asked for has been tried.
    pub(super) fn ready(&mut self, status: &Status) {
        self.told = text(status);
        let told = std::mem::take(&mut self.told);
        self.send(&[NotifyState::Ready, NotifyState::Status(&told)]);
        self.told = told;
    }

    /// How it stands, if that is new.
    pub(super) fn status(&mut self, status: &Status) {
        let text = text(status);
        if text != self.told {
            self.send(&[NotifyState::Status(&text)]);
            self.told = text;
        }
    }

    /// A reload was asked for.
    pub(super) fn reloading(&mut self) {
        // It measures by this clock whether what comes next came later.
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            self.send(&[NotifyState::Reloading, now]);
        }
    }

    /// The process ends, and that takes so long at most.
    pub(super) fn stopping(&mut self, longest: Duration) {
        let extension = format!("EXTEND_TIMEOUT_USEC={}", longest.as_micros());
        let status = NotifyState::Status("draining");
        self.send(&[NotifyState::Stopping, NotifyState::Custom(&extension), status]);
    }

    /// All is well.
    pub(super) fn alive(&mut self) {
        self.send(&[NotifyState::Watchdog]);
    }

    fn send(&mut self, what: &[NotifyState<'_>]) {
        let sent = self.way.say(what);
        if let Err(error) = &sent
            && !self.failed
        {
            tracing::warn!(%error, "the service manager cannot be told how it stands");
        }
        self.failed = sent.is_err();
    }
}

/// One line: whatever a file is called, it says nothing else to the service manager.
fn text(status: &Status) -> String {
    let Status { keys, accounts, generation, .. } = status;
    let mut text = format!("{keys} keys, {accounts} accounts, generation {generation}");
    if let Some(error) = &status.error {
        let _ = write!(text, "; the last reload failed: {error}");
    }
    let mut text = text.replace(char::is_control, " ");
    text.truncate(text.floor_char_boundary(LONGEST));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_one_line_of_limited_length() {
        let mut status = Status { keys: 2, accounts: 1, generation: 7, ..Status::default() };
        assert_eq!(text(&status), "2 keys, 1 accounts, generation 7");
        status.error = Some("`a\nMAINPID=1` cannot be read".to_owned());
        let said = text(&status);
        assert!(said.ends_with("the last reload failed: `a MAINPID=1` cannot be read"), "{said}");
        status.error = Some("ü".repeat(LONGEST));
        assert!(text(&status).len() <= LONGEST);
    }
}
