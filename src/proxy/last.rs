//! The last answer of an HTTP/1 connection, which tells the socket when it is whole.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};

use super::body::{Cut, ResponseBody};
use super::socket::Socket;

/// A body, and the socket of the connection that ends with it, if one does.
pub(super) struct Last {
    body: ResponseBody,
    socket: Option<Socket>,
}

/// Whether a message says that its connection ends with it, in so many words.
pub(super) fn closes(headers: &HeaderMap) -> bool {
    headers.get(CONNECTION).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"))
}

impl Last {
    /// Follows the body of an answer. `last` says that the client wants no other one.
    pub(super) fn follow(
        answer: Response<ResponseBody>,
        last: bool,
        socket: Option<&Socket>,
    ) -> Response<Self> {
        let last = match answer.status() {
            StatusCode::SWITCHING_PROTOCOLS => false,
            // An answer says so itself where something is refused.
            status if status.is_success() => last,
            _ => last || closes(answer.headers()),
        };
        answer.map(|body| {
            let socket = socket.filter(|_| last).cloned();
            let mut last = Self { body, socket };
            last.look();
            last
        })
    }

    fn look(&mut self) {
        if self.socket.is_some() && self.body.is_end_stream() {
            self.end();
        }
    }

    fn end(&mut self) {
        if let Some(socket) = self.socket.take() {
            socket.cork().end_follows();
        }
    }
}

impl Body for Last {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(_))) => self.look(),
            Poll::Ready(None) => self.end(),
            // What is cut must look cut.
            Poll::Ready(Some(Err(_))) => self.socket = None,
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
