//! Who plays: the upstream, the program and the client.

pub(crate) mod client;
pub(crate) mod frames;
pub(crate) mod http2;
pub(crate) mod log;
pub(crate) mod origin;
pub(crate) mod origin2;
pub(crate) mod pki;
pub(crate) mod scripts;
pub(crate) mod setup;
pub(crate) mod sidecar;
pub(crate) mod wire;

use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// How long anything may take before the test has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// Asks again and again until there is an answer.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "gave up waiting: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a condition holds at every look during a while: to show that something does not happen.
pub(crate) fn never(while_: Duration, mut happened: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + while_;
    while Instant::now() < deadline {
        if happened() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

/// A flag that one actor raises and another waits for.
#[derive(Default)]
pub(crate) struct Cue {
    raised: Mutex<bool>,
    changed: Condvar,
}

impl Cue {
    pub(crate) fn raise(&self) {
        *self.raised.lock().unwrap() = true;
        self.changed.notify_all();
    }

    /// Waits for the flag; `false` when it was not raised in time.
    pub(crate) fn wait(&self) -> bool {
        let raised = self.raised.lock().unwrap();
        let (raised, _) =
            self.changed.wait_timeout_while(raised, PATIENCE, |raised| !*raised).unwrap();
        *raised
    }
}
