//! Which connections are let in to be heard at all.
//!
//! What is beyond a limit is accepted and closed at once, which costs less than anything else that
//! could be done with it. The same happens when the process may open no more files: a descriptor
//! that is kept for it is given up to accept the connection that waits, so that nobody waits for an
//! answer that does not come. Each is counted, and said once in a while.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::clock;
use crate::observe::TurnedAway;
use crate::observe::WorkerMetrics;

/// How often each reason is said at most.
const PERIOD: Duration = Duration::from_mins(1);

/// What was said of whom, by all workers.
#[derive(Clone, Debug, Default)]
pub(super) struct Doors(Arc<Mutex<[Told; TurnedAway::ALL.len()]>>);

#[derive(Clone, Copy, Debug, Default)]
struct Told {
    last: Option<Instant>,
    /// How many came since.
    since: u64,
}

impl Doors {
    /// Counts a connection of an address that was closed, and says so if it is time.
    pub(super) fn turned_away(&self, metrics: &WorkerMetrics, last: IpAddr, reason: TurnedAway) {
        metrics.turned_away(reason);
        if let Some(refused) = self.to_say(reason, clock::mono()) {
            let reason = reason.as_str();
            tracing::warn!(reason, refused, %last, "connections are refused");
        }
    }

    /// How many there were since it was last said, if that is long ago.
    fn to_say(&self, reason: TurnedAway, now: Instant) -> Option<u64> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told = all.get_mut(reason as usize)?;
        told.since += 1;
        let due = told.last.is_none_or(|last| now.saturating_duration_since(last) >= PERIOD);
        due.then(|| std::mem::replace(told, Told { last: Some(now), since: 0 }).since)
    }
}

/// One descriptor that is kept for when there are no more.
#[derive(Debug)]
pub(super) struct Spare(Option<Socket>);

impl Spare {
    pub(super) fn new() -> Self {
        Self(open())
    }

    /// Gives it up; `false` where it was given up already.
    pub(super) fn spend(&mut self) -> bool {
        self.0.take().is_some()
    }

    /// Whether it is there, or can be had again.
    pub(super) fn restore(&mut self) -> bool {
        if self.0.is_none() {
            self.0 = open();
        }
        self.0.is_some()
    }
}

/// Something that costs nothing but the descriptor.
fn open() -> Option<Socket> {
    Socket::new(Domain::UNIX, Type::DGRAM, None).ok()
}

/// Whether the process, or the system, may open no more files.
pub(super) fn is_exhausted(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let code = error.raw_os_error();
    [Errno::MFILE, Errno::NFILE].iter().any(|errno| code == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_said_once_in_a_while_with_how_many_there_were() {
        let (doors, start) = (Doors::default(), Instant::now());
        assert_eq!(doors.to_say(TurnedAway::Connections, start), Some(1));
        for _ in 0..1000 {
            assert_eq!(doors.to_say(TurnedAway::Connections, start + PERIOD / 2), None);
        }
        assert_eq!(doors.to_say(TurnedAway::Descriptors, start), Some(1));
        assert_eq!(doors.to_say(TurnedAway::Connections, start + PERIOD), Some(1001));
        assert_eq!(doors.to_say(TurnedAway::Connections, start + PERIOD), None);
    }

    #[test]
    fn no_more_files_are_told_from_other_errors() {
        assert!(is_exhausted(&io::Error::from_raw_os_error(24)));
        assert!(is_exhausted(&io::Error::from_raw_os_error(23)));
        assert!(!is_exhausted(&io::ErrorKind::ConnectionAborted.into()));
    }
}
