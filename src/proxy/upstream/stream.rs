//! The upstream's end of a connection, whatever carries it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

/// A connection's bytes.
#[derive(Debug)]
pub(in crate::proxy) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// Boxed: its state is many times as large as that of the others.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Does the same with whichever it is.
macro_rules! each {
    ($stream:expr, $io:ident => $done:expr) => {
        match $stream {
            Stream::Tcp($io) => $done,
            Stream::Unix($io) => $done,
            Stream::Tls($io) => $done,
        }
    };
}

impl Stream {
    /// Whether the other side is still there and has sent nothing that was not read. Asks the
    /// system only if something has happened since the last read.
    pub(super) fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        let blocked = |error: io::Error| error.kind() == io::ErrorKind::WouldBlock;
        match self {
            Self::Tcp(io) => io.try_read(&mut byte).is_err_and(blocked),
            Self::Unix(io) => io.try_read(&mut byte).is_err_and(blocked),
            Self::Tls(io) => {
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
