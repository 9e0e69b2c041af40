//! Whether the workers answer. The service manager is told that all is well only while each of them
//! does: one that hangs keeps its connections waiting, and a restart is better than that.

use std::time::Duration;

use tokio::time::Instant;
use tokio::time::Interval;
use tokio::time::interval_at;

use crate::proxy::Bound;
use crate::proxy::Pulse;

/// How many looks there are in the time after which the service manager gives us up.
const LOOKS: u32 = 3;
/// Workers show themselves a few times in this, so looks closer than that prove nothing.
const CLOSEST: Duration = Duration::from_millis(500);

/// Looks at the workers.
#[derive(Debug)]
pub(super) struct Watchdog {
    pulses: Vec<(Pulse, u64)>,
    looks: Option<Interval>,
    /// Whether it was said already that one hangs.
    hanging: bool,
}

impl Watchdog {
    /// Looks as often as the service manager wants to hear of us; never if it does not.
    pub(super) fn over(workers: &[Bound]) -> Self {
        let looks = sd_notify::watchdog_enabled().map(|patience| {
            let period = (patience / LOOKS).max(CLOSEST);
            interval_at(Instant::now() + period, period)
        });
        Self { looks, ..Self::new(workers.iter().map(Bound::pulse)) }
    }

    fn new(pulses: impl Iterator<Item = Pulse>) -> Self {
        Self { pulses: pulses.map(|pulse| (pulse, 0)).collect(), looks: None, hanging: false }
    }

    /// Waits for the time to look.
    pub(super) async fn due(&mut self) {
        match &mut self.looks {
            Some(looks) => drop(looks.tick().await),
            None => std::future::pending().await,
        }
    }

    /// Whether every worker has shown itself since the last look.
    pub(super) fn all_answer(&mut self) -> bool {
        let mut hangs = None;
        for (number, (pulse, seen)) in self.pulses.iter_mut().enumerate() {
            let last = std::mem::replace(seen, pulse.count());
            if last == *seen {
                hangs = Some(number);
            }
        }
        if let Some(worker) = hangs
            && !self.hanging
        {
            tracing::error!(worker, "a worker does not answer");
        }
        self.hanging = hangs.is_some();
        !self.hanging
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_worker_that_hangs_is_enough() {
        let pulses = [Pulse::default(), Pulse::default()];
        let mut watchdog = Watchdog::new(pulses.iter().cloned());
        let beat = |pulse: &Pulse| pulse.beat();
        assert!(!watchdog.all_answer(), "none has begun");
        pulses.iter().for_each(beat);
        assert!(watchdog.all_answer());
        beat(&pulses[0]);
        assert!(!watchdog.all_answer(), "the second has not");
        pulses.iter().for_each(beat);
        assert!(watchdog.all_answer(), "it has come round");
        assert!(!watchdog.all_answer());
    }
}
