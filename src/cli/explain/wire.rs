//! A request as it stands on the wire (RFC 9112) → its parts and its body, or what is wrong with
//! the text.

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

use crate::source::Problem;
use crate::source::Problems;

const MOST_FIELDS: usize = 256;

/// What was read.
pub(super) struct Read {
    pub(super) parts: Parts,
    pub(super) body: Zeroizing<Vec<u8>>,
    /// Whether a body was announced, be it empty.
    pub(super) has_body: bool,
    /// Whether the target has a fragment, which no client should send.
    pub(super) fragment: bool,
}

/// Reads one whole request.
pub(super) fn read(bytes: &[u8]) -> Result<Read, Problems> {
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
    let (mut parts, fragment) =
        start(head.method.unwrap_or_default(), head.path.unwrap_or_default())?;
    parts.version = if head.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    for field in head.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes());
        // What the parser let through is a header; a value is never repeated to anyone.
        let pair = name.ok().zip(HeaderValue::from_bytes(field.value).ok());
        let (name, value) = pair
            .ok_or_else(|| Problem::new(format!("`{}` is no header", field.name.escape_debug())))?;
        parts.headers.append(name, value);
    }
    let rest = bytes.get(length..).unwrap_or_default();
    let (body, has_body) = body(&parts, rest)?;
    Ok(Read { parts, body, has_body, fragment })
}

/// The parts of a method and a target.
pub(super) fn start(method: &str, target: &str) -> Result<(Parts, bool), Problems> {
    let shown = target.split('?').next().unwrap_or_default().escape_debug();
    let mut parts = Request::new(()).into_parts().0;
    parts.method = Method::from_bytes(method.as_bytes())
        .map_err(|_| Problem::new(format!("`{}` is no method", method.escape_debug())))?;
    parts.uri = Uri::try_from(target.as_bytes()).map_err(|_| {
        Problem::new(format!("`{shown}` is no target of a request"))
            .help("write a path like `/rest/users`, with `%20` for a space")
    })?;
    Ok((parts, target.contains('#')))
}

type Body = (Zeroizing<Vec<u8>>, bool);

/// The body, framed as its headers say. Where they contradict each other it is taken as it is: the
/// request is malformed whatever it holds.
fn body(parts: &Parts, rest: &[u8]) -> Result<Body, Problems> {
    let whole = || Zeroizing::new(rest.to_vec());
    let mut lengths = parts.headers.get_all(CONTENT_LENGTH).iter();
    let mut codings = parts.headers.get_all(TRANSFER_ENCODING).iter();
    match (lengths.next(), lengths.next(), codings.next(), codings.next()) {
        (None, _, None, _) if rest.is_empty() => Ok((whole(), false)),
        (None, _, None, _) => {
            let problem = Problem::new("the request has a body and no `Content-Length`");
            Err(problem.help(format!("add `Content-Length: {}`", rest.len())).into())
        }
        (Some(length), None, None, _) => {
            let said = length.to_str().ok().and_then(|text| text.parse::<usize>().ok());
            match said {
                Some(said) if said != rest.len() => {
                    let bytes = rest.len();
                    let message =
                        format!("the body has {bytes} bytes, and `Content-Length` says {said}");
                    let help = format!("write `Content-Length: {bytes}`, or the whole body");
                    Err(Problem::new(message).help(help).into())
                }
                _ => Ok((whole(), !rest.is_empty())),
            }
        }
        (None, _, Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => {
            let body = unchunk(rest).ok_or_else(|| {
                Problem::new("the body is not chunked as `Transfer-Encoding` says")
                    .help("write `Content-Length` and the body as it is")
            })?;
            Ok((body, true))
        }
        _ => Ok((whole(), true)),
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
        assert_eq!((&**read.body, read.has_body, read.fragment), (&b"abc"[..], true, false));
    }

    #[test]
    fn lines_may_end_as_editors_write_them() {
        let read = read(b"GET /a#b HTTP/1.0\nHost: x\n\n").unwrap();
        assert_eq!((read.parts.version, read.has_body), (Version::HTTP_10, false));
        assert!(read.fragment);
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
    fn a_body_of_two_lengths_is_left_to_be_judged() {
        let text = "POST / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc";
        assert!(read(text.as_bytes()).unwrap().has_body);
    }
}
