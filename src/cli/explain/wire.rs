//! A request as it stands on the wire (RFC 9112) → its parts and its body, or what is wrong with
//! the text.

use std::borrow::Cow;

use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::Uri;
use http::Version;
use http::header::CONTENT_LENGTH;
use http::header::TRANSFER_ENCODING;
use http::request::Parts;
use zeroize::Zeroizing;

use crate::proxy;
use crate::proxy::Flaw;
use crate::source::Problem;
use crate::source::Problems;

const MOST_FIELDS: usize = 256;

/// What was read.
pub(super) struct Read {
    pub(super) parts: Parts,
    pub(super) body: Zeroizing<Vec<u8>>,
    /// Whether a body was announced, be it empty.
    pub(super) has_body: bool,
    /// What is wrong with it that its parts do not show.
    pub(super) flaw: Option<Flaw>,
}

/// Reads one whole request. What the proxy refuses for its form is read as far as it goes, to be
/// refused.
pub(super) fn read(bytes: &[u8]) -> Result<Read, Problems> {
    let bytes = &*with_line_ends(bytes);
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut head = httparse::Request::new(&mut fields);
    let length = match head.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => {
            let problem = Problem::new("the request ends within its head");
            return Err(problem.help("end the head with an empty line").into());
        }
        Err(error) => {
            let problem = Problem::new(format!("the request is no HTTP/1.1 request: {error}"));
            let help =
                "write a line like `GET /path HTTP/1.1`, headers, an empty line and the body";
            return Err(problem.help(help).into());
        }
    };
    let mut parts = start(head.method.unwrap_or_default(), head.path.unwrap_or_default())?;
    parts.version = if head.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    for field in head.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes());
        // What the parser let through is a header; a value is never repeated to anyone.
        let pair = name.ok().zip(HeaderValue::from_bytes(field.value).ok());
        let (name, value) = pair
            .ok_or_else(|| Problem::new(format!("`{}` is no header", field.name.escape_debug())))?;
        parts.headers.append(name, value);
    }
    let (head, rest) = bytes.split_at_checked(length).unwrap_or((bytes, &[]));
    let flaw = proxy::flaw(head);
    let (body, has_body) = match flaw {
        Some(Flaw::Malformed) => (Zeroizing::new(rest.to_vec()), !rest.is_empty()),
        Some(Flaw::Fragment | Flaw::Path | Flaw::Late) | None => body(&parts, rest)?,
    };
    Ok(Read { parts, body, has_body, flaw })
}

/// Editors end lines with a line feed alone. Where no line of the head ends otherwise, that is what
/// is meant.
fn with_line_ends(bytes: &[u8]) -> Cow<'_, [u8]> {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n");
    let Some((head, body)) = end.and_then(|end| bytes.split_at_checked(end + 2)) else {
        return Cow::Borrowed(bytes);
    };
    if head.contains(&b'\r') {
        return Cow::Borrowed(bytes);
    }
    let lines = head.split_inclusive(|&byte| byte == b'\n');
    let head = lines.flat_map(|line| [line.strip_suffix(b"\n").unwrap_or(line), b"\r\n"]);
    Cow::Owned([&head.collect::<Vec<_>>().concat(), body].concat())
}

/// The parts of a method and a target.
pub(super) fn start(method: &str, target: &str) -> Result<Parts, Problems> {
    let shown = target.split('?').next().unwrap_or_default().escape_debug();
    let mut parts = Request::new(()).into_parts().0;
    parts.method = Method::from_bytes(method.as_bytes())
        .map_err(|_| Problem::new(format!("`{}` is no method", method.escape_debug())))?;
    parts.uri = Uri::try_from(target.as_bytes()).map_err(|_| {
        Problem::new(format!("`{shown}` is no target of a request"))
            .help("write a path like `/rest/users`, with `%20` for a space")
    })?;
    Ok(parts)
}

type Body = (Zeroizing<Vec<u8>>, bool);

/// The body, framed as its head says.
fn body(parts: &Parts, rest: &[u8]) -> Result<Body, Problems> {
    if parts.headers.contains_key(TRANSFER_ENCODING) {
        let body = unchunk(rest).ok_or_else(|| {
            Problem::new("the body is not chunked as `Transfer-Encoding` says")
                .help("write `Content-Length` and the body as it is")
        })?;
        return Ok((body, true));
    }
    let length = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let bytes = rest.len();
    match length.and_then(|length| length.parse::<usize>().ok()) {
        Some(said) if said != bytes => {
            let message = format!("the body has {bytes} bytes, and `Content-Length` says {said}");
            let help = format!("write `Content-Length: {bytes}`, or the whole body");
            Err(Problem::new(message).help(help).into())
        }
        None if bytes > 0 => {
            let problem = Problem::new("the request has a body and no `Content-Length`");
            Err(problem.help(format!("add `Content-Length: {bytes}`")).into())
        }
        Some(_) | None => Ok((Zeroizing::new(rest.to_vec()), bytes > 0)),
    }
}

/// The content of chunks (RFC 9112, section 7.1); trailers are left away.
fn unchunk(mut rest: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut body = Zeroizing::new(Vec::with_capacity(rest.len()));
    loop {
        let Ok(httparse::Status::Complete((start, size))) = httparse::parse_chunk_size(rest) else {
            return None;
        };
        rest = rest.get(start..)?;
        if size == 0 {
            let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
            let trailers = httparse::parse_headers(rest, &mut fields).ok()?;
            let httparse::Status::Complete((end, _)) = trailers else { return None };
            return (end == rest.len()).then_some(body);
        }
        let (chunk, after) = rest.split_at_checked(usize::try_from(size).ok()?)?;
        body.extend_from_slice(chunk);
        rest = after.strip_prefix(b"\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(text: &str) -> String {
        read(text.as_bytes()).err().expect("a problem").lines().concat()
    }

    #[test]
    fn a_whole_request_is_read_as_it_stands() {
        let text =
            "POST /a?b=1 HTTP/1.1\r\nHost: x\r\nA: 1\r\nA: 2\r\nContent-Length: 3\r\n\r\nabc";
        let read = read(text.as_bytes()).unwrap();
        assert_eq!((read.parts.method.as_str(), read.parts.uri.path()), ("POST", "/a"));
        assert_eq!(read.parts.headers.get_all("a").iter().count(), 2);
        assert_eq!((&**read.body, read.has_body, read.flaw), (&b"abc"[..], true, None));
    }

    #[test]
    fn lines_may_end_as_editors_write_them() {
        let read = read(b"GET /a#b HTTP/1.0\nHost: x\n\n").unwrap();
        assert_eq!((read.parts.version, read.has_body), (Version::HTTP_10, false));
        assert_eq!(read.flaw, Some(Flaw::Fragment));
    }

    #[test]
    fn chunks_are_put_together() {
        let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        let text = format!("{head}3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: 1\r\n\r\n");
        assert_eq!(**read(text.as_bytes()).unwrap().body, b"abcde"[..]);
        for bad in ["3\r\nab", "3\r\nabc\r\n", "3\r\nabcd\r\n0\r\n\r\n", "0\r\n\r\nmore", "x"] {
            assert!(refused(&format!("{head}{bad}")).contains("not chunked"), "{bad:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secrets_in_it() {
        let key = "Authorization: Bearer secret";
        for (text, message) in [
            (format!("GET / HTTP/1.1\r\n{key}\r\n"), "the request ends within its head"),
            (format!("GET / HTTP/1.1\r\n{key}\x01\r\n\r\n"), "the request is no HTTP/1.1 request"),
            (format!("POST / HTTP/1.1\r\n{key}\r\n\r\nab"), "no `Content-Length`"),
            (
                format!("POST / HTTP/1.1\r\n{key}\r\nContent-Length: 9\r\n\r\nab"),
                "the body has 2 bytes, and `Content-Length` says 9",
            ),
            (format!("GET ??? HTTP/1.1\r\n{key}\r\n\r\n"), "`` is no target of a request"),
            (String::new(), "the request ends within its head"),
        ] {
            let found = refused(&text);
            assert!(found.contains(message), "{found}");
            assert!(!found.contains("secret"), "{found}");
        }
    }

    #[test]
    fn what_has_two_readings_is_left_to_be_judged() {
        for fields in [
            "Content-Length: 2\r\nContent-Length: 3\r\n",
            "Content_Length: 3\r\n",
            "Transfer-Encoding: gzip\r\n",
            "A: 1\nContent-Length: 3\r\n",
        ] {
            let text = format!("POST / HTTP/1.1\r\n{fields}\r\nabc");
            assert_eq!(read(text.as_bytes()).unwrap().flaw, Some(Flaw::Malformed), "{fields}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(
            bytes in "(GET|POST|X) (/|/a#b|\\*|a:1)( HTTP/1\\.[01])?\r?\n((Host|Content-Length|\
                      Transfer-Encoding): ?(a|0|3|chunked)\r?\n){0,4}\r?\n[0-3abc\r\n]{0,12}"
        ) {
            if let Ok(read) = read(bytes.as_bytes()) {
                prop_assert!(read.body.len() <= bytes.len());
            }
        }
    }
}
