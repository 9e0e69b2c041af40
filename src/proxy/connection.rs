//! One client connection: a deadline for its first bytes, TLS, the protocol that it chose.

use std::cell::{Cell, OnceCell};
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::header::CONNECTION;
use http::{HeaderValue, Response, StatusCode};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::desk;
use super::exec::Streams;
use super::guard::{Guarded, Input};
use super::http2::{self, Framed, Resets};
use super::idle::IdleTimer;
use super::intake::Intake;
use super::linger::linger;
use super::outlet::Outlet;
use super::peer::{self, Peer};
use super::phrase;
use super::socket::Socket;
use super::worker::Worker;
use crate::clock;
use crate::config::Bounds;
use crate::gate::Place;
use crate::gate::Transport;
use crate::observe::Handshake;
use crate::observe::ListenerKind;

/// How long a connection that is new when the drain begins may take to send its request.
const LATE_START: Duration = Duration::from_secs(2);
/// The length of HTTP/2's preface (RFC 9113, section 3.4).
const PREFACE: usize = 24;

const LARGEST_HEAD: usize = 64 * 1024;

/// Where the requests of one connection come from.
pub(super) struct Origin {
    pub(super) peer: Peer,
    pub(super) transport: Transport,
    /// What was found in the input, over HTTP/1.
    pub(super) input: Option<Input>,
    /// The connection itself, over HTTP/1.
    pub(super) socket: Option<Socket>,
    requests: Cell<u64>,
    last: Cell<Instant>,
    /// The peer's address as it is told the upstream.
    chain: OnceCell<HeaderValue>,
}

/// Serves a connection to its end.
pub(super) async fn serve(
    worker: Rc<Worker>,
    mut stream: TcpStream,
    arrived: (IpAddr, Place),
    kind: ListenerKind,
) {
    let bounds = *worker.world().bounds();
    let _counted = worker.metrics().connection(kind);
    let identified = peer::identify(&worker, &mut stream, arrived, bounds.first_bytes).await;
    let Some((peer, place)) = identified else { return };
    let socket = Socket::new(stream);
    let outlet = Outlet::new(socket.clone(), place, bounds.write_pause);
    let client = Client { worker, peer, bounds };
    match kind {
        ListenerKind::Https => client.secure(outlet, socket).await,
        ListenerKind::Http | ListenerKind::Admin => {
            if let Some(begun) = client.begin(outlet, 1).await {
                client.http1(begun, socket, Transport::Plain).await;
            }
        }
    }
}

/// Who is served, and what it may take.
struct Client {
    worker: Rc<Worker>,
    peer: Peer,
    bounds: Bounds,
}

impl Client {
    async fn secure(self, outlet: Outlet, socket: Socket) {
        let Some(config) = self.worker.world().tls().cloned() else { return };
        // Its state is large, and all that waits for it would move it along.
        let handshake = Box::pin(TlsAcceptor::from(config).accept(outlet));
        // What is done once for a connection has memory of its own, or every idle connection would
        // keep room for it.
        let handshake = Box::pin(async {
            let done = in_time(&self.worker, self.bounds.handshake, handshake).await;
            self.worker.metrics().handshake(became(done.as_ref()));
            done
        });
        let Some(Ok(stream)) = handshake.await else { return };
        let (_, session) = stream.get_ref();
        // A client without TCP_NODELAY holds its first request back until its last flight is
        // acknowledged; the system would take 40 ms to do that by itself.
        socket.acknowledge();
        let is_http2 = session.alpn_protocol() == Some(b"h2");
        let least = if is_http2 { PREFACE } else { 1 };
        // Its state is large, and the futures below keep room for it more than once.
        let Some(begun) = self.begin(Box::new(stream), least).await else { return };
        match is_http2 {
            true => self.http2(begun).await,
            false => self.http1(begun, socket, Transport::Tls).await,
        }
    }

    /// Waits for the first bytes, at least so many.
    async fn begin<T: AsyncRead + Unpin>(&self, io: T, least: usize) -> Option<Begun<T>> {
        Box::pin(in_time(&self.worker, self.bounds.first_bytes, Begun::read(io, least))).await?
    }

    async fn http1<T>(self, begun: Begun<T>, socket: Socket, transport: Transport)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { worker, peer, bounds } = self;
        let (io, input) = Guarded::new(begun, bounds.head);
        let idle = IdleTimer::new(input.clone());
        let origin = Rc::new(Origin::new(peer, transport, Some(input), Some(socket)));
        let service = {
            let (worker, origin) = (Rc::clone(&worker), Rc::clone(&origin));
            service_fn(move |request| {
                origin.begin();
                let (worker, answer) =
                    (Rc::clone(&worker), desk::answer(&worker, &origin, request));
                async move {
                    let mut answer = answer.await;
                    phrase::settle(&mut answer);
                    if worker.leaves() {
                        last(&mut answer);
                    }
                    Ok::<_, Infallible>(answer)
                }
            })
        };
        let mut builder = http1::Builder::new();
        builder.timer(idle).header_read_timeout(bounds.idle).max_buf_size(LARGEST_HEAD);
        let mut connection = builder.serve_connection(TokioIo::new(io), service).with_upgrades();
        let ended = tokio::select! {
            biased;
            ended = &mut connection => ended,
            () = worker.hurried() => {
                tokio::select! {
                    biased;
                    ended = &mut connection => ended,
                    () = origin.started() => {
                        Pin::new(&mut connection).graceful_shutdown();
                        (&mut connection).await
                    }
                }
            }
        };
        // A body that was cut must look cut: no orderly end, and at once.
        let orderly = ended.as_ref().map_or_else(hyper::Error::is_parse, |()| true);
        if orderly && let Some(parts) = connection.into_parts() {
            linger(parts.io.into_inner().into_inner()).await;
        }
    }

    async fn http2<T>(self, begun: Begun<T>)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { worker, peer, bounds } = self;
        let streams = Streams::new(bounds.write_pause);
        let origin = Rc::new(Origin::new(peer, Transport::Tls, None, None));
        let resets = Rc::new(Resets::default());
        let service = {
            let (worker, origin) = (Rc::clone(&worker), Rc::clone(&origin));
            let resets = Rc::clone(&resets);
            service_fn(move |request| {
                origin.begin();
                let answering = resets.begin();
                let answer = desk::answer(&worker, &origin, request);
                async move {
                    let answer = answer.await;
                    answering.done();
                    Ok::<_, Infallible>(answer)
                }
            })
        };
        let builder = http2::builder(streams.clone(), bounds.streams);
        let io = Framed::new(begun, bounds.head);
        let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(io), service));
        tokio::select! {
            biased;
            _ = connection.as_mut() => return,
            // An orderly end would leave it time to go on.
            () = resets.too_many() => return,
            () = origin.idle(bounds.idle_http2) => {}
            () = worker.draining() => tokio::select! {
                biased;
                _ = connection.as_mut() => return,
                () = origin.started() => {}
            },
        }
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            biased;
            _ = connection => {}
            // Who is gone without a word does not answer. Nothing is lost with one who has asked for
            // nothing for so long.
            () = streams.quiet(LATE_START) => {}
        }
    }
}

impl Origin {
    fn new(peer: Peer, transport: Transport, input: Option<Input>, socket: Option<Socket>) -> Self {
        let (requests, last) = (Cell::new(0), Cell::new(clock::mono()));
        Self { peer, transport, input, socket, requests, last, chain: OnceCell::new() }
    }

    /// The client's address as it is believed, and the trusted hops after it, as
    /// `X-Forwarded-For` has them. Where the peer speaks for itself they are always the same.
    pub(super) fn chain(&self, intake: &Intake) -> HeaderValue {
        match intake.client == self.peer.address && intake.hops.is_empty() {
            true => self.chain.get_or_init(|| intake.chain()).clone(),
            false => intake.chain(),
        }
    }

    /// Until the client has left. Over HTTP/2 the library tells.
    pub(super) async fn left(&self) {
        match &self.socket {
            Some(socket) => socket.closed().await,
            None => std::future::pending().await,
        }
    }

    /// Ends the connection of a client that has left.
    pub(super) fn hang_up(&self) {
        if let Some(socket) = &self.socket {
            socket.close();
        }
    }

    /// The number of the request that began last, counted from 1.
    pub(super) const fn number(&self) -> u64 {
        self.requests.get()
    }

    fn begin(&self) {
        self.requests.set(self.requests.get().wrapping_add(1));
    }

    /// Notes when a request began.
    pub(super) fn heard(&self, now: Instant) {
        self.last.set(now);
    }

    /// Until a first request has come, or it is too late for one.
    async fn started(&self) {
        let latest = clock::mono() + LATE_START;
        while self.requests.get() == 0 && clock::mono() < latest {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Until no request has begun for too long. Streams that are open then go on.
    async fn idle(&self, most: Duration) {
        loop {
            let due = self.last.get() + most;
            if due <= clock::mono() {
                return;
            }
            tokio::time::sleep_until(due.into()).await;
        }
    }
}

/// What became of a handshake; nothing at all is one that took too long.
fn became<T>(handshake: Option<&io::Result<T>>) -> Handshake {
    match handshake {
        Some(Ok(_)) => Handshake::Completed,
        None => Handshake::Late,
        Some(Err(error)) => {
            let gone = [
                io::ErrorKind::UnexpectedEof,
                io::ErrorKind::ConnectionReset,
                io::ErrorKind::BrokenPipe,
            ];
            if gone.contains(&error.kind()) { Handshake::Left } else { Handshake::Failed }
        }
    }
}

/// Says with an answer that it is the connection's last.
fn last<B>(answer: &mut Response<B>) {
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

/// Waits for what a client does first, but not long once a drain makes haste.
pub(super) async fn in_time<T>(
    worker: &Worker,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let late = async {
        worker.hurried().await;
        tokio::time::sleep(LATE_START).await;
    };
    tokio::select! {
        biased;
        done = tokio::time::timeout(limit, work) => done.ok(),
        () = late => None,
    }
}

/// A connection whose first bytes have been read, and are read again.
struct Begun<T> {
    first: [u8; PREFACE],
    from: usize,
    to: usize,
    io: T,
}

impl<T: AsyncRead + Unpin> Begun<T> {
    /// Waits for the first bytes, at least so many; `None` when the client leaves before.
    async fn read(mut io: T, least: usize) -> Option<Self> {
        let mut first = [0; PREFACE];
        let mut to = 0;
        while to < least {
            match io.read(first.get_mut(to..)?).await {
                Ok(read @ 1..) => to += read,
                Ok(0) | Err(_) => return None,
            }
        }
        Some(Self { first, from: 0, to, io })
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Begun<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.from == self.to {
            return Pin::new(&mut self.io).poll_read(context, buffer);
        }
        let until = self.to.min(self.from + buffer.remaining());
        buffer.put_slice(self.first.get(self.from..until).unwrap_or_default());
        self.from = until;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Begun<T> {
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
