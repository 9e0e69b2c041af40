//! The only reader of time. Everything else takes `now` as an argument, so that a test can set it.

use jiff::Timestamp;

/// The wall clock: what expiry dates are compared with.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// A clock that only goes forward, for durations; unaffected by steps of the wall clock.
#[must_use]
pub fn mono() -> std::time::Instant {
    std::time::Instant::now()
}
