//! The head of an answer, and the body that it announces (RFC 9112, sections 4 to 6). What two
//! readers could take differently is none.

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use httparse::{Header, ParserConfig, Response};

use super::Broken;
use super::decoder::Decoder;
use crate::proxy::phrase;

/// How many fields a head may have.
const MOST_FIELDS: usize = 100;
/// How many interim answers may come before the final one.
const MOST_INTERIM: usize = 32;
/// The largest head.
pub(in crate::proxy) const LARGEST_HEAD: usize = 128 * 1024;
/// No body is longer.
const LONGEST_BODY: u64 = u64::MAX >> 1;

/// An answer's head.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// With the reason phrase, where that is one of its own.
    pub(super) extensions: Extensions,
    /// How the body comes.
    pub(super) body: Decoder,
    /// Whether the upstream will take another request when the body is over.
    pub(super) keep: bool,
}

/// How a body is announced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Announced {
    Nothing,
    Length(u64),
    Chunked,
}

/// What waits for the head of an answer.
#[derive(Debug, Default)]
pub(super) struct Heads {
    /// How much was looked at and is not a whole head.
    seen: usize,
    /// How many interim answers came.
    interim: usize,
}

impl Heads {
    /// Takes the head of the final answer off what was read, if all of it is there. Interim ones
    /// are nobody's business but ours; 101 is the last that is said in HTTP, and so is none.
    pub(super) fn take(
        &mut self,
        buffer: &mut BytesMut,
        method: &Method,
    ) -> Result<Option<Head>, Broken> {
        loop {
            let length = match end(buffer, &mut self.seen)? {
                Some(length) if length <= LARGEST_HEAD => length,
                None if buffer.len() <= LARGEST_HEAD => return Ok(None),
                Some(_) | None => {
                    return Err(Broken::Garbage("the head of its answer is too large"));
                }
            };
            self.seen = 0;
            let head = read(&split(buffer, length), method)?;
            let switches = head.status == StatusCode::SWITCHING_PROTOCOLS;
            if !head.status.is_informational() || switches {
                return Ok(Some(head));
            }
            self.interim += 1;
            if self.interim > MOST_INTERIM {
                return Err(Broken::Garbage("it never comes to its answer"));
            }
        }
    }

    /// Whether none has come.
    pub(super) const fn is_untouched(&self) -> bool {
        self.interim == 0
    }
}

/// The first so many bytes, without counting another holder where there is no rest.
pub(super) fn split(buffer: &mut BytesMut, length: usize) -> Bytes {
    match buffer.len() == length {
        true => std::mem::take(buffer).freeze(),
        false => buffer.split_to(length).freeze(),
    }
}

/// The length of a head up to and with the empty line that ends it. Every line ends with CR and LF,
/// and nothing stands before the first.
fn end(bytes: &[u8], seen: &mut usize) -> Result<Option<usize>, Broken> {
    let mut line = *seen;
    let new = bytes.get(line..).unwrap_or_default();
    for at in memchr::memchr_iter(b'\n', new).map(|at| *seen + at) {
        match bytes.get(line..at) {
            Some([b'\r']) if line > 0 => return Ok(Some(at + 1)),
            Some([_, .., b'\r']) => line = at + 1,
            _ => return Err(Broken::Garbage("a line of its answer does not end as lines do")),
        }
    }
    *seen = line;
    Ok(None)
}

fn read(bytes: &Bytes, method: &Method) -> Result<Head, Broken> {
    let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let mut response = Response::new(&mut []);
    let config = ParserConfig::default();
    let parsed = config.parse_response_with_uninit_headers(&mut response, bytes, &mut fields);
    match parsed {
        Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
        Ok(_) | Err(_) => return Err(Broken::Garbage("what it answers is not HTTP/1.1")),
    }
    let is_http11 = response.version == Some(1);
    let status = StatusCode::from_u16(response.code.unwrap_or_default())
        .map_err(|_| Broken::Garbage("its answer has no status that there is"))?;
    let extensions = phrase::of(bytes, status, response.reason);
    let headers = headers(bytes, response.headers)?;
    let Said { announced, mut keep } = said(&headers, is_http11)
        .ok_or(Broken::Garbage("its answer is framed in more than one way"))?;
    let body = match announced {
        // An interim answer ends with its head (RFC 9110, section 15.2).
        Announced::Length(0) | Announced::Nothing if status.is_informational() => Decoder::Over,
        _ if status.is_informational() => {
            return Err(Broken::Garbage("an interim answer of it announces a body"));
        }
        Announced::Length(1..) | Announced::Chunked if status == StatusCode::NO_CONTENT => {
            // It may come or not.
            keep = false;
            Decoder::Over
        }
        _ if has_no_body(method, status) => Decoder::Over,
        Announced::Length(0) => Decoder::Over,
        Announced::Length(length) => Decoder::Length(length),
        Announced::Chunked => Decoder::chunked(),
        Announced::Nothing => Decoder::Close,
    };
    keep = keep && !matches!(body, Decoder::Close);
    Ok(Head { status, headers, extensions, body, keep })
}

/// RFC 9112, section 6.3.
fn has_no_body(method: &Method, status: StatusCode) -> bool {
    *method == Method::HEAD || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// The fields. Their values are views of the head.
pub(super) fn headers(bytes: &Bytes, fields: &[Header<'_>]) -> Result<HeaderMap, Broken> {
    let wrong = || Broken::Garbage("a field of its answer is none");
    let mut headers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| wrong())?;
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(field.value));
        headers.append(name, value.map_err(|_| wrong())?);
    }
    Ok(headers)
}

/// What a head says of what follows it.
struct Said {
    announced: Announced,
    /// Whether the connection goes on after the answer (RFC 9112, section 9.3).
    keep: bool,
}

/// There is one length or one `chunked`, and nothing that someone would take for either. A length
/// may be said again.
fn said(headers: &HeaderMap, is_http11: bool) -> Option<Said> {
    let mut announced = Announced::Nothing;
    let (mut kept, mut closed) = (is_http11, false);
    for (name, value) in headers {
        if *name == CONTENT_LENGTH {
            let length = Announced::Length(length(value.as_bytes())?);
            if announced != Announced::Nothing && announced != length {
                return None;
            }
            announced = length;
        } else if *name == TRANSFER_ENCODING {
            let chunked = value.as_bytes().eq_ignore_ascii_case(b"chunked");
            if !chunked || !is_http11 || announced != Announced::Nothing {
                return None;
            }
            announced = Announced::Chunked;
        } else if *name == CONNECTION {
            for option in value.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                closed |= option.eq_ignore_ascii_case(b"close");
                kept |= option.eq_ignore_ascii_case(b"keep-alive");
            }
        }
    }
    Some(Said { announced, keep: kept && !closed })
}

/// Digits and nothing else: no sign, no list.
fn length(value: &[u8]) -> Option<u64> {
    let plain = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let length = plain.then(|| std::str::from_utf8(value).ok()?.parse().ok()).flatten();
    length.filter(|&length| length <= LONGEST_BODY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(head: &str) -> Option<(Head, Vec<u8>)> {
        let mut buffer = BytesMut::from(head.replace('\n', "\r\n").as_bytes());
        let head = Heads::default().take(&mut buffer, &Method::GET).ok()??;
        Some((head, buffer.to_vec()))
    }

    #[test]
    fn a_head_ends_with_an_empty_line_however_it_comes() {
        let bytes = b"HTTP/1.1 200 OK\r\nA: b\r\ncontent-length: 2\r\n\r\nok";
        let (mut heads, mut buffer) = (Heads::default(), BytesMut::new());
        let mut ended = None;
        for (at, &byte) in bytes.iter().enumerate() {
            buffer.extend_from_slice(&[byte]);
            if heads.take(&mut buffer, &Method::GET).unwrap().is_some() {
                ended = Some(at);
                break;
            }
        }
        assert_eq!((ended, buffer.len()), (Some(bytes.len() - 3), 0));
    }

    #[test]
    fn interim_answers_are_passed_over_and_are_not_without_end() {
        let interim = "HTTP/1.1 103 Early Hints\nlink: </x>\n\n";
        let (head, rest) = of(&format!("{interim}{interim}HTTP/1.1 204 No\n\nrest")).unwrap();
        assert_eq!((head.status.as_u16(), rest.as_slice()), (204, &b"rest"[..]));
        let many = |count| format!("{}HTTP/1.1 200 OK\n\n", interim.repeat(count));
        assert!(of(&many(MOST_INTERIM)).is_some());
        assert!(of(&many(MOST_INTERIM + 1)).is_none());
        assert!(of("HTTP/1.1 101 Switching Protocols\n\n").is_some());
        for announced in ["content-length: 3", "transfer-encoding: chunked"] {
            let head = format!("HTTP/1.1 100 Continue\n{announced}\n\nHTTP/1.1 200 OK\n\n");
            assert!(of(&head).is_none(), "{announced}");
        }
    }

    #[test]
    fn a_head_has_a_size_and_so_many_fields() {
        let fields = |count| format!("HTTP/1.1 200 OK\n{}\n", "a: b\n".repeat(count));
        assert!(of(&fields(MOST_FIELDS)).is_some());
        assert!(of(&fields(MOST_FIELDS + 1)).is_none());
        let long = |length| format!("HTTP/1.1 200 OK\na: {}\n\n", "b".repeat(length));
        assert!(of(&long(LARGEST_HEAD - 64)).is_some());
        assert!(of(&long(LARGEST_HEAD)).is_none());
        let mut endless = BytesMut::from(&[b'a'; LARGEST_HEAD + 1][..]);
        assert!(Heads::default().take(&mut endless, &Method::GET).is_err());
    }

    #[test]
    fn a_connection_goes_on_only_where_both_are_told() {
        let keeps = |first: &str, fields: &str| {
            of(&format!("{first}\ncontent-length: 0\n{fields}\n")).unwrap().0.keep
        };
        for (fields, http10, http11) in [
            ("", false, true),
            ("connection: close\n", false, false),
            ("connection: keep-alive\n", true, true),
            ("connection: keep-alive, Close\n", false, false),
            ("connection: keep-alive\nconnection: close\n", false, false),
            ("connection: upgrade\n", false, true),
        ] {
            assert_eq!(keeps("HTTP/1.0 200 OK", fields), http10, "{fields:?}");
            assert_eq!(keeps("HTTP/1.1 200 OK", fields), http11, "{fields:?}");
        }
        // Nobody could tell the end of such a body from the end of the connection.
        assert!(!of("HTTP/1.1 200 OK\n\n").unwrap().0.keep);
        assert!(!of("HTTP/1.1 204 None\ncontent-length: 3\n\n").unwrap().0.keep);
    }
}
