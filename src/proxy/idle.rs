//! How long an HTTP/1 connection may be without a request.
//!
//! The library has one timer, from when it wants a head until it has one. A head that has begun has
//! a time of its own, which the guard keeps; so this timer does not fire while there is one.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};

use super::guard::Input;
use crate::clock;

/// How soon to look again while a head is coming.
const LOOK: Duration = Duration::from_secs(1);

/// The library's timer for a connection.
#[derive(Clone)]
pub(super) struct IdleTimer(pub(super) Input);

struct Idle {
    input: Input,
    sleep: Pin<Box<tokio::time::Sleep>>,
}

impl Timer for IdleTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(clock::mono() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        let sleep = Box::pin(tokio::time::sleep_until(deadline.into()));
        Box::pin(Idle { input: self.0.clone(), sleep })
    }

    fn now(&self) -> Instant {
        clock::mono()
    }
}

impl Future for Idle {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.sleep.as_mut().poll(context));
            if !self.input.in_head() {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset((clock::mono() + LOOK).into());
        }
    }
}

impl Sleep for Idle {}

impl fmt::Debug for IdleTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IdleTimer").finish()
    }
}
