//! The upstream's end of a connection, whatever carries it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

use crate::observe::UpstreamGuard;

/// A connection's bytes. It counts as open as long as it is there.
#[derive(Debug)]
pub(in crate::proxy) struct Stream {
    carrier: Carrier,
    #[expect(dead_code, reason = "held, not read")]
    open: UpstreamGuard,
}

/// What carries them.
#[derive(Debug)]
pub(in crate::proxy) enum Carrier {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// Boxed: its state is many times as large as that of the others.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Does the same with whichever it is.
macro_rules! each {
    ($stream:expr, $io:ident => $done:expr) => {
        match &mut $stream.carrier {
            Carrier::Tcp($io) => $done,
            Carrier::Unix($io) => $done,
            Carrier::Tls($io) => $done,
        }
    };
}

impl Stream {
    pub(in crate::proxy) const fn new(carrier: Carrier, open: UpstreamGuard) -> Self {
        Self { carrier, open }
    }

    /// Whether the other side is still there and has sent nothing that was not read. Asks the
    /// system only if something has happened since the last read.
    pub(super) fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        let blocked = |error: io::Error| error.kind() == io::ErrorKind::WouldBlock;
        match &mut self.carrier {
            Carrier::Tcp(io) => io.try_read(&mut byte).is_err_and(blocked),
            Carrier::Unix(io) => io.try_read(&mut byte).is_err_and(blocked),
            Carrier::Tls(io) => {
                let mut context = Context::from_waker(Waker::noop());
                let mut buffer = ReadBuf::new(&mut byte);
                Pin::new(io).poll_read(&mut context, &mut buffer).is_pending()
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self.get_mut(), io => Pin::new(io).poll_read(context, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), io => Pin::new(io).poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), io => Pin::new(io).poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), io => Pin::new(io).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), io => Pin::new(io).poll_shutdown(context))
    }
}
