//! A client's socket that can be watched while someone else reads it.
//!
//! The HTTP library reads a connection only as fast as the request's body is taken. A client that
//! leaves while its body waits (in a queue, or for a slow upstream) would go unnoticed.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// How often to look while there is input that nobody reads.
const LOOK: Duration = Duration::from_millis(50);

/// How much is written as one part whatever it consists of.
const SMALL: usize = 1024;

/// The socket, shared with whoever watches it.
#[derive(Clone, Debug)]
pub(super) struct Socket(Arc<TcpStream>);

impl Socket {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self(Arc::new(stream))
    }

    /// Until the client has closed its side, whatever is still unread.
    pub(super) async fn closed(&self) {
        loop {
            match self.0.ready(Interest::READABLE).await {
                Ok(ready) if !ready.is_read_closed() => tokio::time::sleep(LOOK).await,
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// Ends the connection, whatever is still to be written.
    pub(super) fn close(&self) {
        // It may have ended by itself.
        let _ = socket2::SockRef::from(&*self.0).shutdown(Shutdown::Both);
    }

    /// Acknowledges what has arrived at once, this time.
    pub(super) fn acknowledge(&self) {
        let _ = socket2::SockRef::from(&*self.0).set_tcp_quickack(true);
    }

    /// What a read that did not fill its buffer says: there is no more, so the next one need not
    /// ask the system.
    fn emptied(&self) {
        let nothing = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        let _ = self.0.try_io(Interest::READABLE, nothing);
    }
}

thread_local! {
    /// Where the parts of small answers are put together.
    static WHOLE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The parts of a small answer as one. The system takes one part at a fraction of what it costs to
/// take several, and most answers are a short head and a short body. `None` where it is not small.
fn gathered<T>(slices: &[IoSlice<'_>], then: impl FnOnce(&[u8]) -> T) -> Option<T> {
    if slices.iter().map(|slice| slice.len()).sum::<usize>() > SMALL {
        return None;
    }
    WHOLE.with_borrow_mut(|whole| {
        whole.clear();
        slices.iter().for_each(|slice| whole.extend_from_slice(slice));
        Some(then(whole))
    })
}

fn unless_blocked<T>(result: io::Result<T>) -> Option<io::Result<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        result => Some(result),
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(context))?;
            let room = buffer.remaining();
            if let Some(read) = unless_blocked(self.0.try_read_buf(buffer)) {
                if matches!(read, Ok(read) if (1..room).contains(&read)) {
                    self.emptied();
                }
                return Poll::Ready(read.map(drop));
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(context))?;
            if let Some(written) = unless_blocked(self.0.try_write(bytes)) {
                return Poll::Ready(written);
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [whole] = slices {
            return self.poll_write(context, whole);
        }
        if let Some(done) = gathered(slices, |whole| self.as_mut().poll_write(context, whole)) {
            return done;
        }
        loop {
            ready!(self.0.poll_write_ready(context))?;
            if let Some(written) = unless_blocked(self.0.try_write_vectored(slices)) {
                return Poll::Ready(written);
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match socket2::SockRef::from(&*self.0).shutdown(Shutdown::Write) {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            done => done,
        })
    }
}
