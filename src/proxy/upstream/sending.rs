//! A request on its way out: its head, then its body as it comes. How the body is framed is ours to
//! say; nothing of that is copied.

use std::io::{self, IoSlice, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    HOST, MAX_FORWARDS, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING,
};
use http::uri::PathAndQuery;
use http::{HeaderName, Method};
use http_body::{Body as _, Frame};
use tokio::io::AsyncWrite;

use super::Broken;
use crate::proxy::body::RequestBody;
use crate::proxy::fields::Fields;

/// What a request says before its body.
pub(in crate::proxy) struct Head<'a> {
    pub(in crate::proxy) method: &'a Method,
    pub(in crate::proxy) target: &'a PathAndQuery,
    pub(in crate::proxy) headers: &'a Fields,
}

/// A request, as far as it has been written.
pub(super) struct Sending {
    body: RequestBody,
    framing: Framing,
    /// What is written next: our own bytes, a piece of the body, and what ends it.
    lead: Vec<u8>,
    written: usize,
    data: Bytes,
    tail: &'static [u8],
    /// Whether nothing more is asked of the body.
    over: bool,
    /// Whether anything went out, and whether the body was read to its end.
    begun: bool,
    ended: bool,
}

enum Framing {
    Length(u64),
    /// With the names of the fields that may come after the body.
    Chunked(Vec<HeaderName>),
}

impl Sending {
    /// Begins with the head, in a buffer that is empty.
    pub(super) fn new(head: &Head<'_>, body: RequestBody, mut lead: Vec<u8>) -> Self {
        let over = body.is_end_stream();
        let length = if over { Some(0) } else { body.size_hint().exact() };
        let announced = !over || head.headers.has(&CONTENT_LENGTH);
        write_head(head, length, announced, &mut lead);
        let framing = match length {
            Some(length) => Framing::Length(length),
            None => Framing::Chunked(trailing(head.headers)),
        };
        Self {
            body,
            framing,
            lead,
            written: 0,
            data: Bytes::new(),
            tail: &[],
            over,
            begun: false,
            ended: false,
        }
    }

    /// Writes as much as there is and fits. Ready when all of the request is out.
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
        io: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<Result<(), Broken>> {
        loop {
            let empty = !self.over && self.data.is_empty() && self.tail.is_empty();
            let waiting = empty && self.poll_next(context)?.is_pending();
            ready!(self.poll_write(context, io)).map_err(Broken::Io)?;
            if self.over || waiting {
                ready!(Pin::new(&mut *io).poll_flush(context)).map_err(Broken::Io)?;
                return if self.over { Poll::Ready(Ok(())) } else { Poll::Pending };
            }
        }
    }

    /// The buffer, to be used again.
    pub(super) fn take_lead(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.lead)
    }

    /// The body, if nothing went out.
    pub(super) fn into_unsent(mut self) -> Option<RequestBody> {
        if self.begun || self.ended {
            return None;
        }
        self.body.put_back(self.data);
        Some(self.body)
    }

    /// Prepares the next part of the body.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        loop {
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                Some(Err(_)) => return Poll::Ready(Err(Broken::Client)),
                None => return Poll::Ready(self.finish(None)),
            };
            match frame.into_data() {
                Ok(data) if data.is_empty() => {
                    // Nothing is written of it: an empty chunk would be the last.
                    if self.body.is_end_stream() {
                        return Poll::Ready(self.finish(None));
                    }
                }
                Ok(data) => return Poll::Ready(self.put(data)),
                Err(frame) => return Poll::Ready(self.finish(Some(frame))),
            }
        }
    }

    fn put(&mut self, data: Bytes) -> Result<(), Broken> {
        self.over = self.body.is_end_stream();
        match &mut self.framing {
            Framing::Length(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(Broken::Client)?;
                if self.over && *left > 0 {
                    return Err(Broken::Client);
                }
            }
            Framing::Chunked(_) => {
                write!(self.lead, "{:x}\r\n", data.len()).map_err(Broken::Io)?;
                self.tail = if self.over { b"\r\n0\r\n\r\n" } else { b"\r\n" };
            }
        }
        self.data = data;
        Ok(())
    }

    /// What comes after the body.
    fn finish(&mut self, frame: Option<Frame<Bytes>>) -> Result<(), Broken> {
        (self.over, self.ended) = (true, true);
        match &self.framing {
            Framing::Length(0) => {}
            Framing::Length(_) => return Err(Broken::Client),
            Framing::Chunked(named) => {
                self.lead.extend_from_slice(b"0\r\n");
                let trailers = frame.and_then(|frame| frame.into_trailers().ok());
                for (name, value) in trailers.iter().flatten() {
                    if named.contains(name) && may_trail(name) {
                        write_field(name, value.as_bytes(), &mut self.lead);
                    }
                }
                self.lead.extend_from_slice(b"\r\n");
            }
        }
        Ok(())
    }

    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        io: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        loop {
            let lead = self.lead.get(self.written..).unwrap_or_default();
            let io = Pin::new(&mut *io);
            let written = match (self.data.is_empty(), self.tail.is_empty()) {
                (true, true) if lead.is_empty() => {
                    self.lead.clear();
                    self.written = 0;
                    return Poll::Ready(Ok(()));
                }
                (true, true) => ready!(io.poll_write(context, lead))?,
                _ => {
                    let parts = [lead, &self.data, self.tail].map(IoSlice::new);
                    ready!(io.poll_write_vectored(context, &parts))?
                }
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.begun = true;
            self.advance(written);
        }
    }

    fn advance(&mut self, mut written: usize) {
        let lead = written.min(self.lead.len() - self.written);
        self.written += lead;
        written -= lead;
        let data = written.min(self.data.len());
        self.data.advance(data);
        self.tail = self.tail.get(written - data..).unwrap_or_default();
    }
}

fn write_head(head: &Head<'_>, length: Option<u64>, announced: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(head.method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(head.target.as_str().as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    for (name, value) in head.headers.iter() {
        if *name != CONTENT_LENGTH && *name != TRANSFER_ENCODING {
            write_field(name, value.as_bytes(), out);
        }
    }
    match length {
        _ if !announced => {}
        Some(length) => {
            // Writing to memory cannot fail.
            let _ = write!(out, "content-length: {length}\r\n");
        }
        None => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
    out.extend_from_slice(b"\r\n");
}

fn write_field(name: &HeaderName, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_str().as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// The names that `Trailer` announces.
fn trailing(headers: &Fields) -> Vec<HeaderName> {
    let lines = headers.all(&TRAILER);
    let names = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b','));
    names.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok()).collect()
}

/// Whether a field says nothing that had to be known before (RFC 9110, section 6.5.1).
fn may_trail(name: &HeaderName) -> bool {
    let never = [
        AUTHORIZATION,
        CACHE_CONTROL,
        CONTENT_ENCODING,
        CONTENT_LENGTH,
        CONTENT_RANGE,
        CONTENT_TYPE,
        HOST,
        MAX_FORWARDS,
        SET_COOKIE,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
    ];
    !never.contains(name)
}
