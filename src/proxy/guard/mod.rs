//! HTTP/1 input on its way to the HTTP library, in order: only heads with one reading, and bodies
//! that end where their heads say.
//!
//! The library is more lenient than a gate may be. So every head is looked at before its last byte
//! is handed on, and every body is followed to its end. In the place of a head that has no single
//! reading the library is given a request of ours, which is refused like any other (see
//! [`Input::take`]); nothing that follows it is read. A body that breaks its framing breaks the
//! connection.

pub(super) mod chunks;
mod framer;
mod head;

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use self::framer::{Fed, Framer};
use super::head_time::HeadTime;

/// What stands in for a head that has no single reading.
const STAND_IN: &[u8] = b"MALFORMED * HTTP/1.1\r\nhost: -\r\nconnection: close\r\n\r\n";

/// What the guard found, for those who handle the requests.
#[derive(Clone, Debug, Default)]
pub(super) struct Input(Arc<Mutex<Found>>);

#[derive(Debug, Default)]
struct Found {
    /// The number of the request that is not what came, counted from 1, and why.
    replaced: Option<(u64, Flaw)>,
    /// Whether a head has begun whose end has not come.
    in_head: bool,
    /// The numbers of the requests whose targets have a fragment.
    fragments: Vec<u64>,
    /// Whether what comes is no longer HTTP.
    open: bool,
}

/// What is wrong with a request although the library did not notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The head, or the framing that it announces, has more than one reading.
    Malformed,
    /// The head did not come to its end in time.
    Late,
    /// The target has a fragment, which the library has cut off.
    Fragment,
    /// The target has bytes that no path has.
    Path,
}

impl Input {
    /// What is wrong with a request of the connection, by its number, counted from 1. Says so once.
    pub(super) fn take(&self, number: u64) -> Option<Flaw> {
        let mut found = self.found();
        if let Some((_, flaw)) = found.replaced.filter(|(replaced, _)| *replaced == number) {
            return Some(flaw);
        }
        let at = found.fragments.iter().position(|&other| other == number)?;
        found.fragments.swap_remove(at);
        Some(Flaw::Fragment)
    }

    /// Whether a head has begun whose end has not come.
    pub(super) fn in_head(&self) -> bool {
        self.found().in_head
    }

    /// Says that the connection has become something else than HTTP.
    pub(super) fn open(&self) {
        self.found().open = true;
    }

    /// Only ever touched by the connection's own thread, so nobody waits.
    fn found(&self) -> MutexGuard<'_, Found> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is wrong with a head, up to and with the empty line that ends it, as it would be found when
/// it came.
#[must_use]
pub fn flaw(head: &[u8]) -> Option<Flaw> {
    let mut fragments = Vec::new();
    let fed = Framer::default().feed(head, &mut fragments);
    match fed {
        Fed { pass, ended: None } if pass == head.len() => {
            (!fragments.is_empty()).then_some(Flaw::Fragment)
        }
        Fed { ended: Some(framer::Ended::Path), .. } => Some(Flaw::Path),
        Fed { .. } => Some(Flaw::Malformed),
    }
}

/// How many bytes of a connection's input would be handed on as they are, were it all that comes.
#[must_use]
pub fn passes(input: &[u8]) -> usize {
    Framer::default().feed(input, &mut Vec::new()).pass
}

/// A stream whose input is guarded.
#[derive(Debug)]
pub(super) struct Guarded<T> {
    io: T,
    framer: Framer,
    input: Input,
    /// The beginning of a head whose end has not come.
    held: Vec<u8>,
    /// What may be handed on, from a position.
    ready: (Vec<u8>, usize),
    end: Option<End>,
    time: HeadTime,
}

/// Why no more is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// After a head that has no single reading, or no end.
    Malformed,
    /// In a body that breaks its framing.
    Broken,
}

impl<T> Guarded<T> {
    /// `head` is how long a head may take, from its first byte to its end.
    pub(super) fn new(io: T, head: Duration) -> (Self, Input) {
        let input = Input::default();
        let (held, ready) = (Vec::new(), (Vec::new(), 0));
        let framer = Framer::default();
        let guarded = Self {
            io,
            framer,
            input: input.clone(),
            held,
            ready,
            end: None,
            time: HeadTime::new(head),
        };
        (guarded, input)
    }

    /// The stream itself, for what nobody will parse.
    pub(super) fn into_inner(self) -> T {
        self.io
    }

    /// Hands on what is ready.
    fn hand_on(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let (ready, from) = &mut self.ready;
        let rest = ready.get(*from..).unwrap_or_default();
        let part = rest.get(..rest.len().min(buffer.remaining())).unwrap_or_default();
        buffer.put_slice(part);
        *from += part.len();
        let any = !part.is_empty();
        if *from >= ready.len() {
            self.ready = (Vec::new(), 0);
        }
        any
    }

    /// Looks at what was read into a buffer, and leaves there what may be handed on.
    fn look(&mut self, buffer: &mut ReadBuf<'_>, start: usize) {
        let new = buffer.filled().get(start..).unwrap_or_default();
        if self.held.is_empty() {
            let fed = self.framer.feed(new, &mut self.input.found().fragments);
            let rest = new.get(fed.pass..).unwrap_or_default();
            if fed.ended.is_none() {
                self.held.extend_from_slice(rest);
            }
            buffer.set_filled(start + fed.pass);
            self.conclude(&fed);
            return;
        }
        self.held.extend_from_slice(new);
        buffer.set_filled(start);
        let mut held = std::mem::take(&mut self.held);
        let fed = self.framer.feed(&held, &mut self.input.found().fragments);
        if fed.ended.is_none() {
            self.held = held.split_off(fed.pass);
        }
        held.truncate(fed.pass);
        self.ready = (held, 0);
        self.conclude(&fed);
    }

    fn conclude(&mut self, fed: &Fed) {
        self.end = match fed.ended {
            None => return,
            Some(framer::Ended::Head) => return self.replace(Flaw::Malformed),
            Some(framer::Ended::Path) => return self.replace(Flaw::Path),
            Some(framer::Ended::Body) => Some(End::Broken),
        };
    }
}

impl<T> Guarded<T> {
    /// Hands on a request of ours in the place of a head, and nothing after it.
    fn replace(&mut self, flaw: Flaw) {
        self.input.found().replaced = Some((self.framer.requests() + 1, flaw));
        self.ready.0.extend_from_slice(STAND_IN);
        self.end = Some(End::Malformed);
    }

    /// Notes whether a head has begun. The next one has a time of its own.
    fn note_head(&mut self) {
        // An empty line may stand before a head, and does after some bodies.
        let begun = !matches!(self.held.as_slice(), [] | [b'\r'] | [b'\r', b'\n']);
        self.time.note(begun, self.framer.requests());
        self.input.found().in_head = begun;
    }

    /// Ready when the head that has begun took too long, and is replaced.
    fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<()> {
        ready!(self.time.poll_over(context));
        self.held = Vec::new();
        self.replace(Flaw::Late);
        Poll::Ready(())
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Guarded<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.input.found().open {
            return this.poll_open(context, buffer);
        }
        loop {
            if this.hand_on(buffer) {
                return Poll::Ready(Ok(()));
            }
            match this.end {
                // The answer to the stand-in ends the connection.
                Some(End::Malformed) => return Poll::Pending,
                Some(End::Broken) => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
                None => {}
            }
            let start = buffer.filled().len();
            if Pin::new(&mut this.io).poll_read(context, buffer)?.is_pending() {
                ready!(this.poll_late(context));
                continue;
            }
            if buffer.filled().len() == start {
                return Poll::Ready(Ok(()));
            }
            this.look(buffer, start);
            this.note_head();
            if buffer.filled().len() > start {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<T: AsyncRead + Unpin> Guarded<T> {
    /// Everything is handed on; but what came too early and was no request ends it.
    fn poll_open(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.end.is_some() {
            return Poll::Ready(Ok(()));
        }
        if !self.held.is_empty() {
            self.ready.0.append(&mut self.held);
        }
        match self.hand_on(buffer) {
            true => Poll::Ready(Ok(())),
            false => Pin::new(&mut self.io).poll_read(context, buffer),
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Guarded<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests;
