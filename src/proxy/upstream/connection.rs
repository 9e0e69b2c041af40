//! One HTTP/1.1 connection to the upstream, owned by the request that uses it: no task drives it, so
//! that to drop it is to end it.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::Method;
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncWriteExt as _, ReadHalf};
use tokio::task::AbortHandle;

use super::decoder::Decoder;
use super::head::{self, Heads};
use super::room::Room;
use super::sending::{Head, Sending};
use super::stream::Stream;
use super::{Again, Broken, Failed, Opening};
use crate::clock;
use crate::proxy::body::RequestBody;

/// A connection.
#[derive(Debug)]
pub(in crate::proxy) struct Connection {
    io: Io,
    opened: Instant,
    room: Rc<Room>,
    /// What was read and is not understood yet.
    buffer: BytesMut,
    /// Whether the last read brought much.
    much: bool,
    /// What is to come of the answer.
    body: Decoder,
    /// Whether another request may follow.
    keep: bool,
}

#[derive(Debug)]
enum Io {
    Whole(Stream),
    /// An answer came before the end of its request, which goes on by itself.
    Answered {
        stream: ReadHalf<Stream>,
        #[expect(dead_code, reason = "held, not read")]
        upload: Upload,
    },
    Gone,
}

/// What writes the rest of a request; it ends with the connection.
#[derive(Debug)]
struct Upload(AbortHandle);

impl Drop for Upload {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Connection {
    /// A connection on which nothing was said.
    pub(in crate::proxy) fn new(stream: Stream, room: &Rc<Room>) -> Self {
        Self {
            io: Io::Whole(stream),
            opened: clock::mono(),
            room: Rc::clone(room),
            buffer: BytesMut::new(),
            much: false,
            body: Decoder::Over,
            keep: true,
        }
    }

    /// When it was opened.
    pub(in crate::proxy) const fn opened(&self) -> Instant {
        self.opened
    }

    /// Sends a request, and waits for the head of its answer while its body goes out.
    ///
    /// # Errors
    /// When there is no answer; the connection is of no more use then.
    pub(in crate::proxy) async fn exchange(
        &mut self,
        head: &Head<'_>,
        body: RequestBody,
    ) -> Result<Opening, Failed> {
        let mut sending = Sending::new(head, body, self.room.lead());
        let mut exchange =
            Exchange { method: head.method, out: Out::Going, heads: Heads::default() };
        let answer = std::future::poll_fn(|context| {
            self.poll_exchange(context, &mut sending, &mut exchange)
        })
        .await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(why) => {
                let ended = matches!(why, Broken::Closed | Broken::Io(_));
                let unanswered = ended && exchange.heads.is_untouched() && self.buffer.is_empty();
                let again = match (sending.into_unsent(), unanswered) {
                    // What comes after a body's failure would look like its end.
                    _ if matches!(why, Broken::Client) => Again::Never,
                    (Some(body), _) => Again::Unsent(body),
                    (None, true) => Again::Unanswered,
                    (None, false) => Again::Never,
                };
                return Err(Failed { why, again });
            }
        };
        self.body = answer.body;
        self.keep = answer.keep;
        match exchange.out {
            Out::Done => {}
            Out::Going => self.go_on(sending),
            Out::Broken(_) => self.keep = false,
        }
        let head::Head { status, headers, extensions, .. } = answer;
        Ok(Opening { status, headers, extensions })
    }

    fn poll_exchange(
        &mut self,
        context: &mut Context<'_>,
        sending: &mut Sending,
        exchange: &mut Exchange<'_>,
    ) -> Poll<Result<head::Head, Broken>> {
        if let (Out::Going, Io::Whole(io)) = (&exchange.out, &mut self.io)
            && let Poll::Ready(sent) = sending.poll(context, io)
        {
            exchange.out = match sent {
                Ok(()) => {
                    self.room.put_lead(sending.take_lead());
                    Out::Done
                }
                Err(Broken::Client) => return Poll::Ready(Err(Broken::Client)),
                // It may have said why it takes no more.
                Err(broken) => Out::Broken(Some(broken)),
            };
        }
        let answer = ready!(self.poll_head(context, exchange));
        Poll::Ready(answer.map_err(|why| match &mut exchange.out {
            Out::Broken(broken) => broken.take().unwrap_or(why),
            Out::Going | Out::Done => why,
        }))
    }

    /// The head of the final answer.
    fn poll_head(
        &mut self,
        context: &mut Context<'_>,
        exchange: &mut Exchange<'_>,
    ) -> Poll<Result<head::Head, Broken>> {
        loop {
            if let Some(head) = exchange.heads.take(&mut self.buffer, exchange.method)? {
                return Poll::Ready(Ok(head));
            }
            if !ready!(self.poll_fill(context)).map_err(Broken::Io)? {
                return Poll::Ready(Err(Broken::Closed));
            }
        }
    }

    /// The rest of a request whose answer has come: it goes on whether the answer is read or not.
    fn go_on(&mut self, mut sending: Sending) {
        self.keep = false;
        self.io = match std::mem::replace(&mut self.io, Io::Gone) {
            Io::Whole(stream) => {
                let (read, mut write) = tokio::io::split(stream);
                let upload = tokio::task::spawn_local(async move {
                    let sent = std::future::poll_fn(|context| sending.poll(context, &mut write));
                    if sent.await.is_err() {
                        let _ = write.shutdown().await;
                    }
                });
                Io::Answered { stream: read, upload: Upload(upload.abort_handle()) }
            }
            gone @ (Io::Answered { .. } | Io::Gone) => gone,
        };
    }

    /// The next part of the answer's body.
    pub(in crate::proxy) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        loop {
            if let Some(frame) = self.body.next(&mut self.buffer)? {
                return Poll::Ready(Some(Ok(frame)));
            }
            if self.body.is_over() {
                return Poll::Ready(None);
            }
            if !ready!(self.poll_fill(context)).map_err(Broken::Io)? {
                self.body.end()?;
            }
        }
    }

    /// Whether all of the answer was read.
    pub(in crate::proxy) const fn is_over(&self) -> bool {
        self.body.is_over()
    }

    pub(in crate::proxy) fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    /// Whether another request may be sent: both sides have said everything, and nothing else.
    pub(in crate::proxy) fn is_free(&self) -> bool {
        let said = self.keep && self.body.is_over() && self.buffer.is_empty();
        said && matches!(self.io, Io::Whole(_))
    }

    /// Lets go of what it need not hold while nobody uses it.
    pub(in crate::proxy) fn rest(&mut self) {
        self.buffer = BytesMut::new();
        self.much = false;
    }

    /// Whether the upstream is still there and has said nothing that it was not asked.
    pub(in crate::proxy) fn is_quiet(&mut self) -> bool {
        match &mut self.io {
            Io::Whole(stream) => stream.is_quiet(),
            Io::Answered { .. } | Io::Gone => false,
        }
    }

    /// The stream, for what is no longer HTTP, with what came already.
    pub(in crate::proxy) fn into_stream(self) -> Option<(Stream, Bytes)> {
        match self.io {
            Io::Whole(stream) => Some((stream, self.buffer.freeze())),
            Io::Answered { .. } | Io::Gone => None,
        }
    }

    /// Reads more; `false` when there is no more.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let (room, much) = (&self.room, &mut self.much);
        let read = ready!(match &mut self.io {
            Io::Whole(stream) => room.poll_read(context, stream, much),
            Io::Answered { stream, .. } => room.poll_read(context, stream, much),
            Io::Gone => Poll::Ready(Ok(BytesMut::new())),
        })?;
        let any = !read.is_empty();
        match self.buffer.is_empty() {
            true => self.buffer = read,
            false => self.buffer.unsplit(read),
        }
        Poll::Ready(Ok(any))
    }
}

/// A request that waits for its answer.
struct Exchange<'a> {
    method: &'a Method,
    out: Out,
    heads: Heads,
}

/// How far the request has gone out.
enum Out {
    Going,
    Done,
    Broken(Option<Broken>),
}
