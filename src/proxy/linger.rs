//! Closing a connection so that its last answer arrives.
//!
//! A socket that is closed with unread input resets the connection, and a reset overtakes the
//! answer. So our side is shut first, and what still comes is read away for a moment. Of who sends
//! too much no more is read, but the moment is the same: the answer has that long to arrive, and
//! what is sent meanwhile stays where it is.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Sleep;

const LONGEST: Duration = Duration::from_secs(1);
const MOST: usize = 1024 * 1024;

/// Reads until the other side closes too, within bounds of time and of number.
pub(super) async fn linger(mut io: impl AsyncRead + Unpin) {
    let mut rest = Rest::new();
    std::future::poll_fn(|context| rest.poll(Pin::new(&mut io), context)).await;
}

/// What still comes of a connection whose last answer is on its way.
#[derive(Debug)]
pub(super) struct Rest {
    read: usize,
    timer: Pin<Box<Sleep>>,
}

impl Rest {
    /// Begins to wait for the other side.
    pub(super) fn new() -> Self {
        Self { read: 0, timer: Box::pin(tokio::time::sleep(LONGEST)) }
    }

    /// Ready when the other side has closed, or nobody waits for that any longer.
    pub(super) fn poll(
        &mut self,
        mut io: Pin<&mut impl AsyncRead>,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        let mut space = [0; 4096];
        while self.timer.as_mut().poll(context).is_pending() {
            if self.read > MOST {
                return Poll::Pending;
            }
            let mut buffer = ReadBuf::new(&mut space);
            let read = ready!(io.as_mut().poll_read(context, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                break;
            }
            self.read += buffer.filled().len();
        }
        Poll::Ready(())
    }
}
