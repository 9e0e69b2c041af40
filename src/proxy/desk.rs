//! Where requests are answered. The state of a request takes kilobytes; to make room for it with
//! each request, and to move it there, costs more than most of what is done in it. So a desk
//! outlives the request that was answered at it, and the next one is put there.
//!
//! A desk is a future that never ends: it answers what is laid on it, and waits. One that is left
//! before its answer is there, because the client has gone or something panicked, is cleared away.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use http::request::Parts;
use http::{Request, Response};
use hyper::body::Incoming;

use super::body::ResponseBody;
use super::connection::Origin;
use super::handle;
use super::worker::Worker;

/// How many desks a worker keeps of which none is in use: a quarter of a megabyte.
const MOST_IDLE: usize = 64;

/// The desks of one worker at which nothing is done.
#[derive(Default)]
pub(super) struct Desks(RefCell<Vec<Desk>>);

/// A request that is being answered.
pub(super) struct Answering {
    worker: Rc<Worker>,
    desk: Option<Desk>,
}

struct Desk {
    papers: Rc<Papers>,
    work: Pin<Box<dyn Future<Output = ()>>>,
}

/// What comes onto a desk, and what leaves it.
#[derive(Default)]
struct Papers {
    asked: Cell<Option<Sheet>>,
    /// What the request before came on.
    blank: Cell<Option<Sheet>>,
    answer: Cell<Option<Response<ResponseBody>>>,
}

/// Where a request stays while it is answered: it is a quarter of a kilobyte.
type Sheet = Box<Option<Asked>>;

/// A request, by whom it is to be answered, and where it came from.
pub(super) struct Asked {
    pub(super) worker: Rc<Worker>,
    pub(super) origin: Rc<Origin>,
    pub(super) parts: Parts,
    /// Until it is asked for.
    pub(super) body: Option<Incoming>,
}

/// Begins to answer a request.
pub(super) fn answer(
    worker: &Rc<Worker>,
    origin: &Rc<Origin>,
    request: Request<Incoming>,
) -> Answering {
    let idle = worker.desks.0.borrow_mut().pop();
    let desk = idle.unwrap_or_else(Desk::new);
    let (parts, body) = request.into_parts();
    let (named, origin) = (Rc::clone(worker), Rc::clone(origin));
    let mut sheet = desk.papers.blank.take().unwrap_or_default();
    *sheet = Some(Asked { worker: named, origin, parts, body: Some(body) });
    desk.papers.asked.set(Some(sheet));
    Answering { worker: Rc::clone(worker), desk: Some(desk) }
}

impl Desk {
    fn new() -> Self {
        let papers = Rc::new(Papers::default());
        let work = Box::pin(work(Rc::clone(&papers)));
        Self { papers, work }
    }
}

async fn work(papers: Rc<Papers>) {
    loop {
        let next = |_: &mut Context<'_>| papers.asked.take().map_or(Poll::Pending, Poll::Ready);
        let mut sheet = std::future::poll_fn(next).await;
        if let Some(asked) = &mut *sheet {
            #[cfg(test)]
            let fault = tests::Fault::wanted(&asked.parts.headers);
            let answer = pin!(handle(asked));
            #[cfg(test)]
            let answer = tests::Faulty::new(answer, fault);
            papers.answer.set(Some(answer.await));
        }
        *sheet = None;
        papers.blank.set(Some(sheet));
    }
}

impl Future for Answering {
    type Output = Response<ResponseBody>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { worker, desk: place } = &mut *self;
        let Some(desk) = place else { return Poll::Pending };
        let _ = desk.work.as_mut().poll(context);
        let Some(answer) = desk.papers.answer.take() else { return Poll::Pending };
        let mut idle = worker.desks.0.borrow_mut();
        if idle.len() < MOST_IDLE {
            idle.extend(place.take());
        }
        Poll::Ready(answer)
    }
}

#[cfg(test)]
mod tests;
