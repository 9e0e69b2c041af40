//! The only reader of time. Everything else takes `now` as an argument, so that a test can set it.

use std::cell::Cell;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use jiff::Timestamp;

/// How long a thread runs on before it offers its core to others.
const STRETCH: Duration = Duration::from_micros(50);
/// From which time on somebody has taken the core for himself, and not for one request.
const LONG: Duration = Duration::from_millis(2);
/// How many times as long the core is not offered again.
const RESPITE: u32 = 4;

thread_local! {
    /// When this thread offers its core next.
    static DUE: Cell<Option<Instant>> = const { Cell::new(None) };
    /// What this thread was told last.
    static LATEST: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The wall clock: what expiry dates are compared with.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// A clock that only goes forward, for durations; unaffected by steps of the wall clock.
#[must_use]
pub fn mono() -> Instant {
    let now = Instant::now();
    LATEST.set(Some(now));
    now
}

/// What [`mono`] told this thread last, for who asks often and thinks in seconds: to ask the system
/// costs more than most of what is done meanwhile. A worker's is a quarter of a second old at most,
/// and that of one who does something was told for what it does.
#[must_use]
pub fn latest() -> Instant {
    LATEST.get().unwrap_or_else(mono)
}

/// Lets whoever serves requests on this core go first. To be called again and again by what takes
/// long and can wait: the scheduler takes the core from it only after milliseconds, however far
/// behind it stands. Costs a reading of the clock, and a system call every 50 microseconds.
///
/// Where others want all of a core, what gives way again and again gets nothing of it: then the
/// share that the scheduler gives it is left to it.
pub fn give_way() {
    let now = mono();
    if DUE.get().is_some_and(|due| now < due) {
        return;
    }
    thread::yield_now();
    let back = mono();
    DUE.set(back.checked_add(respite(back.saturating_duration_since(now))));
}

/// How long a thread runs on that gave its core away for so long.
fn respite(away: Duration) -> Duration {
    match away < LONG {
        true => STRETCH,
        false => away.saturating_mul(RESPITE),
    }
}

/// Waits, in tests, until something is so.
#[cfg(test)]
pub(crate) fn until(mut is: impl FnMut() -> bool) {
    let deadline = mono() + Duration::from_secs(10);
    while !is() {
        assert!(mono() < deadline, "gave up waiting");
        thread::sleep(Duration::from_millis(2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latest_is_what_this_thread_was_told_last() {
        let told = mono();
        thread::sleep(Duration::from_millis(1));
        assert_eq!(latest(), told);
        // Who was told nothing is told now.
        assert!(thread::spawn(latest).join().unwrap() > told);
    }

    #[test]
    fn whoever_waited_long_does_not_give_way_again_at_once() {
        let millis = Duration::from_millis;
        assert_eq!(respite(Duration::ZERO), STRETCH);
        assert_eq!(respite(millis(1)), STRETCH);
        assert_eq!(respite(millis(28)), millis(112));
    }
}
