//! A stream whose input goes through a framer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Buf as _;
use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::framer::Framer;
use crate::clock;
use crate::proxy::head_time::HeadTime;
use crate::proxy::linger::Rest;

/// HTTP/2 input on its way to the library.
#[derive(Debug)]
pub(in crate::proxy) struct Framed<T> {
    io: T,
    framer: Framer,
    /// What came and was not looked at to its end.
    held: BytesMut,
    /// What may be handed on.
    ready: BytesMut,
    ended: bool,
    time: HeadTime,
    /// What still comes once our side is shut. Somebody who has sent more before he read that this
    /// is the end would see the connection reset, and not why it ends, nor which of his requests
    /// may be sent again.
    rest: Option<Box<Rest>>,
}

impl<T> Framed<T> {
    /// `head` is how long a header block may take, from its first byte to its end.
    pub(in crate::proxy) fn new(io: T, head: Duration) -> Self {
        let (held, ready) = (BytesMut::new(), BytesMut::new());
        let (framer, time) = (Framer::new(clock::mono()), HeadTime::new(head));
        Self { io, framer, held, ready, ended: false, time, rest: None }
    }
}

impl<T> Framed<T> {
    /// Hands on what is ready; whether there was any.
    fn hand_on(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let count = self.ready.len().min(buffer.remaining());
        buffer.put_slice(self.ready.get(..count).unwrap_or_default());
        self.ready.advance(count);
        if self.ready.is_empty() {
            // An idle connection holds no memory for what is over.
            self.ready = BytesMut::new();
        }
        count > 0
    }

    /// Takes what was read out of a buffer and looks at it.
    fn look(&mut self, buffer: &mut ReadBuf<'_>, start: usize) {
        self.held.extend_from_slice(buffer.filled().get(start..).unwrap_or_default());
        buffer.set_filled(start);
        self.ended = self.framer.feed(&mut self.held, &mut self.ready, clock::mono).is_err();
        if self.held.is_empty() || self.ended {
            self.held = BytesMut::new();
        }
        let begun = !self.held.is_empty() || self.framer.in_block();
        self.time.note(begun && !self.ended, self.framer.blocks());
    }

    /// Nothing has come. Ready when the header block that has begun took too long, which ends the
    /// connection: nothing else can come before its end (section 6.10).
    fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<()> {
        ready!(self.time.poll_over(context));
        self.framer.give_up(&mut self.ready);
        (self.held, self.ended) = (BytesMut::new(), true);
        Poll::Ready(())
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Framed<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while !this.hand_on(buffer) && !this.ended {
            let start = buffer.filled().len();
            let unseen = this.framer.unseen().min(buffer.remaining());
            if unseen > 0 && this.held.is_empty() {
                let mut part = ReadBuf::new(buffer.initialize_unfilled_to(unseen));
                ready!(Pin::new(&mut this.io).poll_read(context, &mut part))?;
                let count = part.filled().len();
                buffer.advance(count);
                this.framer.passed(count);
                break;
            }
            if Pin::new(&mut this.io).poll_read(context, buffer)?.is_pending() {
                ready!(this.poll_late(context));
                continue;
            }
            if buffer.filled().len() == start {
                break;
            }
            this.look(buffer, start);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Framed<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.io).poll_write(context, bytes))?;
        self.framer.sent(count);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.rest.is_none() {
            ready!(Pin::new(&mut this.io).poll_shutdown(context))?;
        }
        let rest = this.rest.get_or_insert_with(|| Box::new(Rest::new()));
        rest.poll(Pin::new(&mut this.io), context).map(Ok)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.io).poll_write_vectored(context, slices))?;
        self.framer.sent(count);
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
