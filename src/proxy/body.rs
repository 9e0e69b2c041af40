//! Bodies on their way through: streamed, counted, their trailers filtered.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

use super::exec::StreamTask;
use super::headers::strip_hop_by_hop;
use super::headers::strip_trailers;
use super::lifeline::Line;
use super::payload::{Payload, is_torn};
use super::pool::Lease;
use super::shared::Share;
use super::upload::Upload;
use super::upstream::Broken;
use super::worker::Task;
use crate::clock;
use crate::gate::Slot;
use crate::gate::Stripper;
use crate::observe::RecordGuard;
use crate::observe::UpstreamError;
use crate::observe::WorkerMetrics;

/// Why a body ends before its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cut {
    /// The other side broke off, or sent what is not HTTP.
    #[error("the message was broken off")]
    Broken(#[from] hyper::Error),
    /// The upstream did, over HTTP/1.1.
    #[error(transparent)]
    Upstream(#[from] Broken),
    /// It was reset before its end, over HTTP/2.
    #[error("the message was reset before its end")]
    Reset,
    /// Nothing came for too long.
    #[error("the message did not go on in time")]
    Stalled,
    /// The key that opened the stream is dead.
    #[error("the credential is no longer in force")]
    Dead,
}

/// The client's body on its way to the upstream: what was read of it already, then the rest.
pub(super) struct RequestBody {
    /// What there is of it. Elsewhere: it is handed on from one to the next, and mostly there is none.
    left: Option<Box<Left>>,
    upload: Rc<Upload>,
}

#[derive(Default)]
struct Left {
    read: Option<Bytes>,
    /// With what its trailers are filtered by; not the whole world, which an upload would keep
    /// in memory.
    rest: Option<(Incoming, Arc<Stripper>)>,
    /// Whether the rest knows whether it came to its end: over HTTP/2.
    http2: bool,
    trailers: Option<HeaderMap>,
}

impl RequestBody {
    pub(super) fn new(payload: Payload, stripper: &Arc<Stripper>, upload: &Rc<Upload>) -> Self {
        let Payload { read, rest, mut trailers, http2, .. } = payload;
        if let Some(trailers) = &mut trailers {
            strip_trailers(trailers, stripper);
        }
        let read = read.filter(|read| !read.is_empty());
        let goes_on = rest.is_some();
        let left = (goes_on || read.is_some() || trailers.is_some()).then(|| {
            let rest = rest.map(|rest| (rest, Arc::clone(stripper)));
            Box::new(Left { read, rest, http2, trailers: trailers.map(|trailers| *trailers) })
        });
        let body = Self { left, upload: Rc::clone(upload) };
        if goes_on {
            upload.coming.set(body.size_hint().exact().unwrap_or(u64::MAX));
        }
        // Nobody asks a body that is over for more.
        upload.complete.set(body.is_end_stream());
        body
    }

    pub(super) fn empty(upload: &Rc<Upload>) -> Self {
        Self { left: None, upload: Rc::clone(upload) }
    }

    /// Takes back what did not go out.
    pub(super) fn put_back(&mut self, data: Bytes) {
        if data.is_empty() {
            return;
        }
        let upload = &self.upload;
        upload.bytes.set(upload.bytes.get().saturating_sub(data.len() as u64));
        upload.complete.set(false);
        self.left.get_or_insert_default().read = Some(data);
    }

    fn passed(&self, frame: &Frame<Bytes>, last: bool) {
        let upload = &self.upload;
        let length = frame.data_ref().map_or(0, Bytes::len);
        upload.progress.set(clock::mono());
        upload.bytes.set(upload.bytes.get().saturating_add(length as u64));
        upload.complete.set(last);
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let Some(frame) = self.left.as_mut().and_then(|left| left.next_read()) {
            self.passed(&frame, self.is_end_stream());
            return Poll::Ready(Some(Ok(frame)));
        }
        let Self { left, upload } = &mut *self;
        let Some(Left { rest: Some((body, stripper)), http2, .. }) = left.as_deref_mut() else {
            upload.complete.set(true);
            return Poll::Ready(None);
        };
        let Poll::Ready(polled) = Pin::new(&mut *body).poll_frame(context) else {
            upload.pausing.set(upload.pausing.get().or_else(|| Some(clock::mono())));
            return Poll::Pending;
        };
        upload.pausing.set(None);
        upload.progress.set(clock::mono());
        match polled {
            None if *http2 && is_torn(body) => {
                upload.broken.set(true);
                Poll::Ready(Some(Err(Cut::Reset)))
            }
            None => {
                upload.complete.set(true);
                Poll::Ready(None)
            }
            Some(Err(error)) => {
                upload.broken.set(true);
                Poll::Ready(Some(Err(error.into())))
            }
            Some(Ok(mut frame)) => {
                let trailers = frame.trailers_mut().map(|list| strip_trailers(list, stripper));
                let last = trailers.is_some() || body.is_end_stream();
                self.passed(&frame, last);
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left.as_ref().is_none_or(|left| left.is_over())
    }

    fn size_hint(&self) -> SizeHint {
        self.left.as_ref().map_or_else(|| SizeHint::with_exact(0), |left| left.size_hint())
    }
}

impl Left {
    /// What was read before goes first.
    fn next_read(&mut self) -> Option<Frame<Bytes>> {
        let frame = match self.read.take() {
            Some(read) => Frame::data(read),
            None => Frame::trailers(self.trailers.take()?),
        };
        Some(frame)
    }

    fn is_over(&self) -> bool {
        self.read.is_none()
            && self.trailers.is_none()
            && self.rest.as_ref().is_none_or(|(body, _)| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let read = self.read.as_ref().map_or(0, Bytes::len) as u64;
        let rest = self.rest.as_ref().map(|(body, _)| body.size_hint());
        match rest.map(|rest| rest.exact()) {
            // What was read is all of it.
            None if self.trailers.is_none() => SizeHint::with_exact(read),
            Some(Some(rest)) => SizeHint::with_exact(read.saturating_add(rest)),
            None | Some(None) => SizeHint::new(),
        }
    }
}

/// A response's body on its way to the client.
pub(super) enum ResponseBody {
    /// Ours, whole.
    Own(Option<Bytes>),
    /// The upstream's, as it comes.
    Upstream(Box<Stream>),
}

/// Where the upstream's body comes from.
pub(super) enum Source {
    /// A connection of its own.
    Own(Lease),
    /// One that others share, and the part in it that is held as long.
    Shared(Incoming, #[expect(dead_code, reason = "held, not read")] Share),
}

impl Source {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match self {
            Self::Own(lease) => lease.poll_frame(context).map_err(Cut::from),
            Self::Shared(body, _) => match ready!(Pin::new(&mut *body).poll_frame(context)) {
                None if is_torn(body) => Poll::Ready(Some(Err(Cut::Reset))),
                polled => Poll::Ready(polled.map(|frame| frame.map_err(Cut::from))),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(lease) => lease.is_over(),
            Self::Shared(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(lease) => lease.size_hint(),
            Self::Shared(body, _) => body.size_hint(),
        }
    }

    /// The upstream has said everything: its connection may serve others if it has heard
    /// everything too.
    fn finish(&mut self) {
        if let Self::Own(lease) = self {
            lease.finish();
        }
    }
}

/// The upstream's body, and all that must last as long as it.
pub(super) struct Stream {
    pub(super) source: Source,
    /// What has come of it and not been handed over yet.
    pub(super) kept: Option<Bytes>,
    /// Why it ends before its end. What came before goes out first, which a cut would take back.
    pub(super) cut: Option<Cut>,
    /// How much is handed over at once.
    pub(super) piece: usize,
    pub(super) upload: Rc<Upload>,
    pub(super) guards: Guards,
    pub(super) patience: Patience,
    pub(super) metrics: WorkerMetrics,
}

/// What is held to the end of a response, and says then how it went.
pub(super) struct Guards {
    pub(super) record: RecordGuard,
    pub(super) slot: Option<Slot>,
    pub(super) line: Option<Rc<Line>>,
    /// What a drain waits for: a stream can outlive the connection that it was upgraded from.
    #[expect(dead_code, reason = "held, not read")]
    pub(super) task: Task,
}

/// How long a body may take: between its parts, and in all.
pub(super) struct Patience {
    between: Duration,
    until: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    pub(super) const fn new(between: Duration, until: Option<Instant>) -> Self {
        Self { between, until, timer: None }
    }

    /// Ready when there is no more of it. The timer is made only for who has to wait.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| {
            let soon = clock::mono() + self.between;
            let at = self.until.map_or(soon, |until| until.min(soon));
            Box::pin(tokio::time::sleep_until(at.into()))
        });
        timer.as_mut().poll(context)
    }

    fn renew(&mut self) {
        self.timer = None;
    }
}

impl ResponseBody {
    /// Wraps the upstream's body; one that is over already gives everything back at once.
    pub(super) fn streaming(mut stream: Stream) -> Self {
        if stream.source.is_end_stream() {
            stream.finish();
        }
        Self::Upstream(Box::new(stream))
    }
}

impl Stream {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let Some(line) = &self.guards.line
            && line.poll_cut(context.waker()).is_some()
        {
            return Poll::Ready(Some(Err(Cut::Dead)));
        }
        if let Some(cut) = self.cut.take() {
            return Poll::Ready(Some(Err(cut)));
        }
        if let Some(kept) = self.kept.take() {
            return Poll::Ready(Some(Ok(self.pass(Frame::data(kept)))));
        }
        match self.source.poll_frame(context) {
            Poll::Pending => match self.patience.poll(context) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(()) => {
                    self.metrics.upstream_error(UpstreamError::Timeout);
                    Poll::Ready(Some(Err(Cut::Stalled)))
                }
            },
            Poll::Ready(None) => {
                self.finish();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(cut))) => {
                self.metrics.upstream_error(UpstreamError::Reset);
                self.cut = Some(cut);
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(self.pass(frame)))),
        }
    }

    fn pass(&mut self, mut frame: Frame<Bytes>) -> Frame<Bytes> {
        self.patience.renew();
        if let Some(data) = frame.data_ref() {
            if data.len() > self.piece {
                let mut piece = data.clone();
                self.kept = Some(piece.split_off(self.piece));
                frame = Frame::data(piece);
            }
            self.guards.record.sent(frame.data_ref().map_or(0, Bytes::len) as u64);
        }
        let last = frame.trailers_mut().map(strip_hop_by_hop).is_some();
        if last || self.is_over() {
            self.finish();
        }
        frame
    }

    fn is_over(&self) -> bool {
        self.kept.is_none() && self.source.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let kept = self.kept.as_ref().map_or(0, Bytes::len) as u64;
        let rest = self.source.size_hint().exact();
        rest.map_or_else(SizeHint::new, |rest| SizeHint::with_exact(rest.saturating_add(kept)))
    }

    fn finish(&mut self) {
        self.source.finish();
        self.guards.slot = None;
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.guards.record.received(self.upload.bytes());
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let polled = match self.get_mut() {
            Self::Own(body) => Poll::Ready(body.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Upstream(stream) => stream.poll(context),
        };
        StreamTask::handed_over(matches!(&polled, Poll::Ready(Some(Ok(_)))));
        polled
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(body) => body.as_ref().is_none_or(Bytes::is_empty),
            Self::Upstream(stream) => stream.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(body) => SizeHint::with_exact(body.as_ref().map_or(0, Bytes::len) as u64),
            Self::Upstream(stream) => stream.size_hint(),
        }
    }
}
