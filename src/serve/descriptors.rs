//! How many files the process may open, and so how many connections it can hold.

use rustix::process::Resource;
use rustix::process::Rlimit;
use rustix::process::getrlimit;
use rustix::process::setrlimit;

/// For what is not a client and its upstream: listeners, files, logs, spares.
const RESERVE: u64 = 64;
/// What is assumed where the system sets no limit.
const PLENTY: u64 = 1 << 20;

/// Takes as many descriptors as the system lets the process have, and returns how many there are.
/// The limit that it starts with is for programs that use `select`, and easily too low.
pub(super) fn take_all() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        // What is refused stays as it was.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
    getrlimit(Resource::Nofile).current.unwrap_or(PLENTY)
}

/// How many connections that is enough for: each may need another one to the upstream.
pub(super) fn connections(descriptors: u64) -> usize {
    let pairs = descriptors.saturating_sub(RESERVE) / 2;
    usize::try_from(pairs).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_needs_two_and_some_are_for_other_things() {
        assert_eq!(connections(1024), 480);
        assert_eq!(connections(20_000), 9_968);
        assert_eq!(connections(10), 1);
    }
}
