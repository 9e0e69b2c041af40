//! A connection's input as the HTTP library hands it to a service, and as someone reads it who
//! forgives nothing.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io::{self, Cursor};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, ReadBuf};

/// A request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) body: Vec<u8>,
    /// Whether the body came to its end.
    pub(crate) complete: bool,
}

/// What the library hands on.
pub(crate) fn heard(input: &[u8]) -> Vec<Message> {
    let all = Rc::new(RefCell::new(Vec::<Message>::new()));
    let service = service_fn(|request: Request<Incoming>| {
        let all = Rc::clone(&all);
        async move {
            let (parts, mut body) = request.into_parts();
            let (method, target) =
                (parts.method.to_string(), letters(parts.uri.to_string().as_bytes()));
            all.borrow_mut().push(Message { method, target, ..Message::default() });
            let at = all.borrow().len() - 1;
            while let Some(frame) = body.frame().await {
                let Ok(frame) = frame else { return Ok(Response::new(Empty::<Bytes>::new())) };
                if let Some(data) = frame.data_ref() {
                    all.borrow_mut()[at].body.extend_from_slice(data);
                }
            }
            all.borrow_mut()[at].complete = true;
            Ok::<_, Infallible>(Response::new(Empty::new()))
        }
    });
    let io = tokio::io::join(Open(Cursor::new(input.to_vec())), tokio::io::sink());
    let mut builder = http1::Builder::new();
    let connection = builder.max_buf_size(64 * 1024).serve_connection(TokioIo::new(io), service);
    let mut connection = pin!(connection);
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    // Nobody waits for anything that will come, so who is not woken at once has come to an end.
    while woken.0.swap(false, Relaxed) {
        if connection.as_mut().poll(&mut context).is_ready() {
            break;
        }
    }
    all.take()
}

/// Input after which the connection stays open: a client that leaves would not be answered.
struct Open(Cursor<Vec<u8>>);

impl AsyncRead for Open {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let there = self.0.position() < self.0.get_ref().len() as u64;
        if there { Pin::new(&mut self.0).poll_read(context, buffer) } else { Poll::Pending }
    }
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}

/// What stands there; an error is what should never have been handed on.
pub(crate) fn written(input: &[u8]) -> Result<Vec<Message>, String> {
    let (mut all, mut rest) = (Vec::new(), input);
    loop {
        rest = rest.strip_prefix(b"\r\n").unwrap_or(rest);
        if rest.is_empty() {
            return Ok(all);
        }
        let end = find(rest, b"\r\n\r\n").ok_or("a head without an end was handed on")?;
        let (head, body) = (text(&rest[..end])?, &rest[end + 4..]);
        let (mut message, framing) = head_of(&head)?;
        (message.body, rest, message.complete) = match framing {
            Framing::Length(length) => {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                let there = length.min(body.len());
                (body[..there].to_vec(), &body[there..], there == length)
            }
            Framing::Chunked => chunks(body)?,
        };
        all.push(message);
    }
}

enum Framing {
    Length(u64),
    Chunked,
}

fn head_of(head: &str) -> Result<(Message, Framing), String> {
    let mut lines = head.split("\r\n");
    let first: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let [method, target, version @ ("HTTP/1.0" | "HTTP/1.1")] = first[..] else {
        return Err(format!("{first:?}"));
    };
    let mut framing = None;
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(|| format!("no field: {line:?}"))?;
        if name.is_empty() || !name.bytes().all(is_token) || value.contains(['\r', '\n', '\0']) {
            return Err(format!("a field in disguise: {line:?}"));
        }
        let value = value.trim_matches([' ', '\t']);
        let this =
            match name.to_ascii_lowercase().replace(|c: char| !c.is_alphanumeric(), "-").as_str() {
                "content-length" => Framing::Length(value.parse().map_err(|_| line)?),
                "transfer-encoding" if value.eq_ignore_ascii_case("chunked") => Framing::Chunked,
                "transfer-encoding" => return Err(line.to_owned()),
                _ => continue,
            };
        if name.contains('_') || value.starts_with('+') || framing.replace(this).is_some() {
            return Err(format!("framed twice: {head:?}"));
        }
    }
    if version == "HTTP/1.0" && matches!(framing, Some(Framing::Chunked)) {
        return Err(format!("chunks: {head:?}"));
    }
    let message = Message { method: method.into(), target: target.into(), ..Message::default() };
    Ok((message, framing.unwrap_or(Framing::Length(0))))
}

/// The content of a body in chunks, what stands after it, and whether it came to its end.
fn chunks(mut rest: &[u8]) -> Result<(Vec<u8>, &[u8], bool), String> {
    let mut content = Vec::new();
    while let Some(end) = find(rest, b"\r\n") {
        let line = text(&rest[..end])?;
        let digits = line.split(';').next().unwrap_or_default();
        let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let size = usize::from_str_radix(digits, 16).ok().filter(|_| plain);
        let size = size.ok_or_else(|| format!("no size: {line:?}"))?;
        rest = &rest[end + 2..];
        if size == 0 {
            // Fields, until an empty line.
            while let Some(end) = find(rest, b"\r\n") {
                text(&rest[..end])?;
                rest = &rest[end + 2..];
                if end == 0 {
                    return Ok((content, rest, true));
                }
            }
            break;
        }
        content.extend_from_slice(&rest[..size.min(rest.len())]);
        rest = rest.get(size..).unwrap_or_default();
        match rest.strip_prefix(b"\r\n") {
            Some(after) => rest = after,
            None if rest.len() < 2 => break,
            None => return Err(format!("a chunk of {size} does not end there")),
        }
    }
    Ok((content, &[], false))
}

/// One line, or several, each byte as the letter of its number.
fn text(bytes: &[u8]) -> Result<String, String> {
    let lone = |(at, &byte): (usize, &u8)| match byte {
        b'\r' => bytes.get(at + 1) != Some(&b'\n'),
        b'\n' => at == 0 || bytes[at - 1] != b'\r',
        byte => byte == 0,
    };
    if bytes.iter().enumerate().any(lone) {
        return Err(format!("a lone line break or NUL: {}", bytes.escape_ascii()));
    }
    Ok(letters(bytes))
}

fn letters(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// What of the library's reading of an input that was guarded is not what stands there; how many
/// requests it handed on if there is nothing.
pub(crate) fn compared(input: &[u8]) -> Result<usize, String> {
    let passed = &input[..keygate::proxy::passes(input)];
    let (heard, written) = (heard(passed), written(passed)?);
    if heard.len() > written.len() {
        return Err(format!("{heard:?} instead of {written:?}"));
    }
    for (heard, written) in heard.iter().zip(&written) {
        let same_body = match heard.complete {
            true => written.complete && heard.body == written.body,
            false => written.body.starts_with(&heard.body),
        };
        let same = heard.method == written.method && is_same(&heard.target, &written.target);
        if !(same && same_body) {
            return Err(format!("{heard:?} instead of {written:?}"));
        }
    }
    Ok(heard.len())
}

/// The library cuts fragments off, and gives a target with a scheme a path.
fn is_same(heard: &str, written: &str) -> bool {
    let target = written.split('#').next().unwrap_or_default();
    let whole = || target.parse::<http::Uri>().is_ok_and(|uri| uri == *heard);
    heard == target || (target.contains("://") && whole())
}
