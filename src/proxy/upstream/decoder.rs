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

#[cfg(test)]
mod tests {
    use super::*;

    /// The content, the fields after it, what is left, and whether it is over.
    fn of(mut body: Decoder, bytes: &str) -> Result<(String, usize, String, bool), Broken> {
        let mut buffer = BytesMut::from(bytes);
        let (mut content, mut fields) = (String::new(), 0);
        while let Some(frame) = body.next(&mut buffer)? {
            match frame.into_data() {
                Ok(data) => content.push_str(std::str::from_utf8(&data).unwrap()),
                Err(frame) => fields = frame.into_trailers().unwrap().len(),
            }
        }
        Ok((content, fields, String::from_utf8(buffer.to_vec()).unwrap(), body.is_over()))
    }

    fn chunks(bytes: &str) -> Result<(String, usize, String, bool), Broken> {
        let whole = of(Decoder::chunked(), bytes);
        let mut body = Decoder::chunked();
        let mut buffer = BytesMut::new();
        let mut content = Vec::new();
        // In pieces it is the same.
        let pieces = bytes.bytes().try_for_each(|byte| {
            buffer.extend_from_slice(&[byte]);
            if let Some(Ok(data)) = body.next(&mut buffer)?.map(Frame::into_data) {
                content.extend_from_slice(&data);
            }
            Ok::<_, Broken>(())
        });
        if let Ok((text, ..)) = &whole {
            assert_eq!(text.as_bytes(), content, "{bytes:?}");
        }
        assert_eq!(pieces.is_ok(), whole.is_ok(), "{bytes:?}");
        whole
    }

    #[test]
    fn what_comes_after_a_body_is_not_of_it() {
        let read = |content: &str, fields, rest: &str| {
            Ok::<_, ()>((content.to_owned(), fields, rest.to_owned(), true))
        };
        assert_eq!(of(Decoder::Length(2), "okHTTP/1.1").map_err(drop), read("ok", 0, "HTTP/1.1"));
        for (bytes, wanted) in [
            ("0\r\n\r\nHTTP", read("", 0, "HTTP")),
            ("2\r\nok\r\n0\r\n\r\nHTTP", read("ok", 0, "HTTP")),
            ("2;a=b\r\nok\r\n1\r\n!\r\n00\r\n\r\n", read("ok!", 0, "")),
            ("2\r\nok\r\n0\r\nx-sum: 1\r\nx-b:\r\n\r\nHTTP", read("ok", 2, "HTTP")),
        ] {
            assert_eq!(chunks(bytes).map_err(drop), wanted, "{bytes:?}");
        }
    }

    #[test]
    fn a_body_that_breaks_its_framing_is_broken() {
        for bytes in [
            "x",
            "2\nok",
            "2\r\nok0\r\n",
            "2\r\nok\r\n0\r\nno field\r\n\r\n",
            "0\r\n a: b\r\n\r\n",
            "0\r\na : b\r\n\r\n",
            "0\r\na: b\r\n c\r\n\r\n",
        ] {
            assert!(chunks(bytes).is_err(), "{bytes:?}");
        }
        let fields = format!("0\r\n{}\r\n", "a: b\r\n".repeat(MOST_TRAILERS + 1));
        assert!(chunks(&fields).is_err());
    }

    #[test]
    fn only_a_body_without_an_announced_end_ends_with_its_connection() {
        assert!(Decoder::Over.end().is_ok() && Decoder::Close.end().is_ok());
        assert!(Decoder::Length(1).end().is_err() && Decoder::chunked().end().is_err());
    }
}
