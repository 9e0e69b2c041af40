//! The body of an answer, as it comes (RFC 9112, section 6.3). Knows no connection.

use bytes::{Buf as _, Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use httparse::EMPTY_HEADER;

use super::Broken;
use super::head;
use crate::proxy::guard::chunks::{Chunks, Part};

/// How many fields may come after a body.
const MOST_TRAILERS: usize = 100;
/// What follows the last byte of most bodies.
const LAST: &[u8] = b"\r\n0\r\n\r\n";

/// How the rest of a body comes.
#[derive(Debug)]
pub(super) enum Decoder {
    /// There is no more of it.
    Over,
    /// So many bytes.
    Length(u64),
    /// In chunks, with what was read of the fields after them.
    Chunked(Chunks, Vec<u8>),
    /// All that comes until the connection ends.
    Close,
}

impl Decoder {
    pub(super) fn chunked() -> Self {
        Self::Chunked(Chunks::default(), Vec::new())
    }

    pub(super) const fn is_over(&self) -> bool {
        matches!(self, Self::Over)
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Over => SizeHint::with_exact(0),
            Self::Length(left) => SizeHint::with_exact(*left),
            Self::Chunked(..) | Self::Close => SizeHint::new(),
        }
    }

    /// Takes the next part off what was read; `None` when more must be read, or when it is over.
    pub(super) fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame<Bytes>>, Broken> {
        if buffer.is_empty() {
            return Ok(None);
        }
        match self {
            Self::Over => Ok(None),
            Self::Close => Ok(Some(Frame::data(std::mem::take(buffer).freeze()))),
            Self::Length(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
                *left -= taken as u64;
                if *left == 0 {
                    *self = Self::Over;
                }
                Ok(Some(Frame::data(head::split(buffer, taken))))
            }
            Self::Chunked(chunks, trailers) => {
                let (frame, over) = next_chunk(chunks, trailers, buffer)?;
                if over {
                    *self = Self::Over;
                }
                Ok(frame)
            }
        }
    }

    /// The connection has ended.
    pub(super) fn end(&mut self) -> Result<(), Broken> {
        match self {
            Self::Over => Ok(()),
            Self::Close => {
                *self = Self::Over;
                Ok(())
            }
            Self::Length(_) | Self::Chunked(..) => Err(Broken::Closed),
        }
    }
}

/// The next part of a body in chunks, and whether it is the last.
fn next_chunk(
    chunks: &mut Chunks,
    trailers: &mut Vec<u8>,
    buffer: &mut BytesMut,
) -> Result<(Option<Frame<Bytes>>, bool), Broken> {
    while !buffer.is_empty() {
        let is_trailer = chunks.in_trailers();
        let (length, part) = chunks
            .run(buffer)
            .map_err(|_| Broken::Garbage("the body of its answer breaks its framing"))?;
        if part == Part::Data {
            let data = Frame::data(head::split(buffer, length));
            // If the end is there too, nobody has to ask for it.
            let last = buffer.starts_with(LAST);
            if last {
                buffer.advance(LAST.len());
            }
            return Ok((Some(data), last));
        }
        if is_trailer {
            trailers.extend_from_slice(buffer.get(..length).unwrap_or_default());
        }
        buffer.advance(length);
        if part == Part::End {
            return Ok((fields(std::mem::take(trailers))?.map(Frame::trailers), true));
        }
    }
    Ok((None, false))
}

/// The fields after a body, up to and with the empty line that ends them.
fn fields(bytes: Vec<u8>) -> Result<Option<HeaderMap>, Broken> {
    if bytes == b"\r\n" {
        return Ok(None);
    }
    let bytes = Bytes::from(bytes);
    let mut fields = [EMPTY_HEADER; MOST_TRAILERS];
    match httparse::parse_headers(&bytes, &mut fields) {
        Ok(httparse::Status::Complete((length, fields))) if length == bytes.len() => {
            head::headers(&bytes, fields).map(Some)
        }
        Ok(_) | Err(_) => Err(Broken::Garbage("a field after its answer is none")),
    }
}
