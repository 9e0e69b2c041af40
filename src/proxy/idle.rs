//! How long an HTTP/1 connection may be without a request.
//!
//! The library has one timer, from when it wants a head until it has one. A head that has begun has
//! a time of its own, which the guard keeps; so this timer does not fire while there is one.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};

use super::guard::Input;
use crate::clock;

/// How soon to look again while a head is coming.
const LOOK: Duration = Duration::from_secs(1);

/// The library's timer for a connection.
#[derive(Clone)]
pub(super) struct IdleTimer {
    input: Input,
    /// Armed once in a while and not for every request: who waits looks at the clock when it
    /// rings.
    alarm: Arc<Mutex<Option<Pin<Box<tokio::time::Sleep>>>>>,
}

struct Idle {
    timer: IdleTimer,
    deadline: Instant,
}

impl IdleTimer {
    pub(super) fn new(input: Input) -> Self {
        Self { input, alarm: Arc::default() }
    }

    /// Ready when a deadline has passed.
    fn poll(&self, deadline: Instant, context: &mut Context<'_>) -> Poll<()> {
        // Only ever touched by the connection's own thread, so nobody waits.
        let mut alarm = self.alarm.lock().unwrap_or_else(PoisonError::into_inner);
        let armed =
            alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline.into())));
        if armed.deadline() > deadline.into() {
            armed.as_mut().reset(deadline.into());
        }
        loop {
            ready!(armed.as_mut().poll(context));
            if clock::mono() >= deadline {
                return Poll::Ready(());
            }
            armed.as_mut().reset(deadline.into());
        }
    }
}

impl Timer for IdleTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Idle { timer: self.clone(), deadline })
    }

    fn now(&self) -> Instant {
        clock::mono()
    }
}

impl Future for Idle {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.poll(self.deadline, context));
            if !self.timer.input.in_head() {
                return Poll::Ready(());
            }
            self.deadline = clock::mono() + LOOK;
        }
    }
}

impl Sleep for Idle {}

impl fmt::Debug for IdleTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IdleTimer").finish()
    }
}
