//! Tasks of the HTTP library stay on the worker's own thread.
//!
//! A client of HTTP/2 can ask for an answer and never make room for it: the library then asks for
//! no more of the answer, and nobody notices that time passes. So the task of each stream knows
//! since when a part of an answer waits for the client, and ends when that is too long. The stream
//! is reset then, and all that the task holds is given back.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;
use tokio::time::Sleep;

use crate::clock;

/// How often to look whether streams are still open.
const LOOK: Duration = Duration::from_secs(1);

/// Spawns on the current thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct LocalExec;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for LocalExec {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// Spawns the streams of one client's HTTP/2 connection.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    open: Rc<Number>,
    pause: Duration,
}

/// How many streams there are, and when the last one ended, or the connection began.
#[derive(Debug)]
struct Number {
    now: Cell<usize>,
    ended: Cell<Instant>,
}

/// The task of one stream.
#[derive(Clone, Debug)]
pub(super) struct StreamTask(Rc<State>);

#[derive(Debug)]
struct State {
    pause: Duration,
    /// Since when a part of the answer waits for the client.
    waiting: Cell<Option<Instant>>,
    abort: RefCell<Option<AbortHandle>>,
}

thread_local! {
    /// The task that runs now.
    static CURRENT: RefCell<Option<StreamTask>> = const { RefCell::new(None) };
}

impl Streams {
    /// `pause` is how long a client may make no room for an answer.
    pub(super) fn new(pause: Duration) -> Self {
        let open = Number { now: Cell::new(0), ended: Cell::new(clock::mono()) };
        Self { open: Rc::new(open), pause }
    }

    /// Until there has been no open stream for as long as a client may take nothing: whatever is
    /// still to be written then is not wanted. Not before it has had some time to take its leave.
    pub(super) async fn quiet(&self, least: Duration) {
        let earliest = clock::mono() + least;
        loop {
            let due = match self.open.now.get() {
                0 => earliest.max(self.open.ended.get() + self.pause),
                _ => clock::mono() + self.pause.min(LOOK),
            };
            if due <= clock::mono() {
                return;
            }
            tokio::time::sleep_until(due.into()).await;
        }
    }
}

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, future: F) {
        let task = StreamTask(Rc::new(State {
            pause: self.pause,
            waiting: Cell::new(None),
            abort: RefCell::new(None),
        }));
        let spawned = tokio::task::spawn_local(Stream {
            task: task.clone(),
            // On its own: the library's future is large, and would be moved several times.
            future: Box::pin(future),
            timer: None,
            _open: Open::new(&self.open),
        });
        task.0.abort.replace(Some(spawned.abort_handle()));
    }
}

/// What the task of a stream does.
struct Stream<F> {
    task: StreamTask,
    future: Pin<Box<F>>,
    timer: Option<(Instant, Pin<Box<Sleep>>)>,
    _open: Open,
}

impl<F: Future> Future for Stream<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Self { task, future, timer, .. } = &mut *self;
        task.poll(future.as_mut(), timer, context)
    }
}

impl StreamTask {
    /// The task that runs now, if it is one of a stream.
    pub(super) fn current() -> Option<Self> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// Notes whether a part of the answer was handed over just now, to go out when the client makes
    /// room for it. That the next one is asked for says that it has.
    pub(super) fn handed_over(any: bool) {
        CURRENT.with_borrow(|task| {
            if let Some(Self(state)) = task {
                state.waiting.set(any.then(clock::mono));
            }
        });
    }

    /// Ends the task, and resets its stream.
    pub(super) fn end(&self) {
        if let Some(abort) = self.0.abort.borrow_mut().take() {
            abort.abort();
        }
    }

    fn poll<F: Future>(
        &self,
        future: Pin<&mut F>,
        timer: &mut Option<(Instant, Pin<Box<Sleep>>)>,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        let running = Running::set(self);
        let polled = future.poll(context);
        drop(running);
        if polled.is_ready() {
            return Poll::Ready(());
        }
        let Some(since) = self.0.waiting.get() else {
            *timer = None;
            return Poll::Pending;
        };
        let (_, timer) = match timer {
            Some(timer) if timer.0 == since => timer,
            _ => {
                let until = tokio::time::sleep_until((since + self.0.pause).into());
                timer.insert((since, Box::pin(until)))
            }
        };
        timer.as_mut().poll(context)
    }
}

/// Says which task runs, as long as it does.
struct Running;

impl Running {
    fn set(task: &StreamTask) -> Self {
        CURRENT.set(Some(task.clone()));
        Self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        CURRENT.set(None);
    }
}

/// Counts a stream as long as its task is there.
struct Open(Rc<Number>);

impl Open {
    fn new(open: &Rc<Number>) -> Self {
        open.now.set(open.now.get() + 1);
        Self(Rc::clone(open))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.now.set(self.0.now.get().saturating_sub(1));
        self.0.ended.set(clock::latest());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(50);

    /// Whether nothing is waited for, of a connection whose last stream ended so long ago.
    async fn is_quiet(ago: Duration, open: usize) -> bool {
        let streams = Streams::new(LONG);
        streams.open.now.set(open);
        streams.open.ended.set(clock::mono().checked_sub(ago).unwrap());
        let began = clock::mono();
        let quiet = tokio::time::timeout(4 * SHORT, streams.quiet(SHORT)).await.is_ok();
        assert!(!quiet || clock::mono().duration_since(began) >= SHORT, "no time to take leave");
        quiet
    }

    #[tokio::test]
    async fn who_asked_for_nothing_for_long_is_not_waited_for() {
        assert!(is_quiet(2 * LONG, 0).await);
        assert!(!is_quiet(LONG / 2, 0).await, "some of an answer may still wait for him");
        assert!(!is_quiet(2 * LONG, 1).await);
    }
}
