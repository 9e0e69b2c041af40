//! Timers that are used again. To arm one for each request costs more than to look at the clock
//! when one that was armed for another rings.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::time::Sleep;

use crate::clock;

/// The idle timers of one worker.
#[derive(Debug, Default)]
pub(super) struct Alarms(RefCell<Vec<Pin<Box<Sleep>>>>);

/// How many idle timers a worker keeps.
const MOST_IDLE: usize = 256;

/// A timer, for as long as someone waits.
#[derive(Debug)]
pub(super) struct Alarm<'a> {
    alarms: &'a Alarms,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarms {
    /// A timer that nobody has polled.
    pub(super) const fn alarm(&self) -> Alarm<'_> {
        Alarm { alarms: self, sleep: None }
    }
}

impl Alarm<'_> {
    /// Whether it was polled.
    pub(super) const fn is_armed(&self) -> bool {
        self.sleep.is_some()
    }

    /// Ready when an instant has passed. The next time it may be another one.
    pub(super) fn poll(&mut self, due: Instant, context: &mut Context<'_>) -> Poll<()> {
        let idle = || self.alarms.0.borrow_mut().pop();
        let made = || Box::pin(tokio::time::sleep_until(due.into()));
        let sleep = self.sleep.get_or_insert_with(|| idle().unwrap_or_else(made));
        // One that rings too early is armed anew then.
        if sleep.deadline() > due.into() {
            sleep.as_mut().reset(due.into());
        }
        loop {
            ready!(sleep.as_mut().poll(context));
            if clock::mono() >= due {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(due.into());
        }
    }
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        let mut idle = self.alarms.0.borrow_mut();
        if idle.len() < MOST_IDLE {
            idle.extend(self.sleep.take());
        }
    }
}
