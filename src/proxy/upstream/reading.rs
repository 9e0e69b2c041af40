//! An answer that is there as a whole, read as if it came from a connection: for those who hold this
//! reader against others.

use bytes::BytesMut;
use http::{HeaderMap, Method, StatusCode};

use super::Broken;
use super::head::Heads;

/// What is read of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Its status.
    pub status: StatusCode,
    /// Its fields.
    pub headers: HeaderMap,
    /// As much of its body as was taken.
    pub body: Vec<u8>,
    /// The fields after that.
    pub trailers: Option<HeaderMap>,
    /// Whether the body came to its end.
    pub whole: bool,
    /// Whether the connection may serve another request.
    pub reusable: bool,
}

/// Reads the answer to a request of some method. `None`: what came, piece by piece until the
/// connection ended, is no answer.
#[must_use]
pub fn read<'a>(method: &Method, pieces: impl IntoIterator<Item = &'a [u8]>) -> Option<Reading> {
    let (mut heads, mut buffer) = (Heads::default(), BytesMut::new());
    let mut pieces = pieces.into_iter();
    let mut head = loop {
        match heads.take(&mut buffer, method) {
            Ok(Some(head)) => break head,
            Ok(None) => buffer.extend_from_slice(pieces.next()?),
            Err(_) => return None,
        }
    };
    let (mut body, mut trailers) = (Vec::new(), None);
    let mut take = || -> Result<(), Broken> {
        while !head.body.is_over() {
            match head.body.next(&mut buffer)?.map(http_body::Frame::into_data) {
                Some(Ok(data)) => body.extend_from_slice(&data),
                Some(Err(frame)) => trailers = frame.into_trailers().ok(),
                None if head.body.is_over() => {}
                None => match pieces.next() {
                    Some(piece) => buffer.extend_from_slice(piece),
                    None => head.body.end()?,
                },
            }
        }
        Ok(())
    };
    let whole = take().is_ok();
    let rest = !buffer.is_empty() || pieces.any(|piece| !piece.is_empty());
    let (status, headers) = (head.status, head.headers);
    Some(Reading { status, headers, body, trailers, whole, reusable: whole && head.keep && !rest })
}
