//! An upstream's answer as the HTTP library's client reads it, held against how it is read here.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use keygate::proxy::{Reading, read};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// An answer, as the library reads it.
#[derive(Debug)]
pub(crate) struct Heard {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
    whole: bool,
    /// Whether it would send another request, if the connection went on.
    reusable: bool,
}

/// What the library reads of an answer after which the connection ends, or stays.
pub(crate) fn heard(method: &Method, input: &[u8], ends: bool) -> Option<Heard> {
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    let io = TokioIo::new(Wire { input: input.to_vec(), at: 0, ends, asked: None });
    let mut talk = pin!(async {
        let (mut sender, connection) = http1::Builder::new().handshake(io).await.ok()?;
        let mut connection = pin!(connection);
        let answer = async {
            let request = Request::builder().method(method).uri("/").header("host", "h");
            let answer = sender.send_request(request.body(Empty::<Bytes>::new()).ok()?).await;
            let (parts, mut incoming) = answer.ok()?.into_parts();
            let (status, headers) = (parts.status, parts.headers);
            let (mut body, mut trailers, mut whole) = (Vec::new(), None, true);
            while let Some(frame) = incoming.frame().await {
                match frame.map(http_body::Frame::into_data) {
                    Ok(Ok(data)) => body.extend_from_slice(&data),
                    Ok(Err(frame)) => trailers = frame.into_trailers().ok(),
                    Err(_) => whole = false,
                }
            }
            let reusable = !ends && whole && sender.ready().await.is_ok();
            Some(Heard { status, headers, body, trailers, whole, reusable })
        };
        let mut answer = pin!(answer);
        std::future::poll_fn(|context| {
            let _ = connection.as_mut().poll(context);
            answer.as_mut().poll(context)
        })
        .await
    });
    // Nobody waits for anything that will come, so who is not woken at once has come to an end.
    while woken.0.swap(false, Relaxed) {
        if let Poll::Ready(heard) = talk.as_mut().poll(&mut context) {
            return heard;
        }
    }
    None
}

/// A connection that answers once it was asked.
struct Wire {
    input: Vec<u8>,
    at: usize,
    ends: bool,
    /// Whoever waits for the first question, and then nobody.
    asked: Option<Option<Waker>>,
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        match &mut this.asked {
            Some(None) => {}
            waiting => {
                *waiting = Some(Some(context.waker().clone()));
                return Poll::Pending;
            }
        }
        let rest = &this.input[this.at..];
        if rest.is_empty() && !this.ends {
            return Poll::Pending;
        }
        let part = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..part]);
        this.at += part;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(Some(waker)) = self.asked.replace(None) {
            waker.wake();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}

/// What of our reading of an answer the library reads differently; whether it is read at all, and
/// whole, if there is nothing. We may be stricter.
pub(crate) fn compared(method: &Method, input: &[u8]) -> Result<Option<bool>, String> {
    let Some(ours) = read(method, [input]) else { return Ok(None) };
    for size in [1, 7] {
        let pieces = read(method, input.chunks(size));
        if pieces.as_ref() != Some(&ours) {
            return Err(format!("in pieces of {size} it is {pieces:?} instead of {ours:?}"));
        }
    }
    if ours.status == StatusCode::SWITCHING_PROTOCOLS {
        // What follows is not HTTP, and is refused or handed on as it is.
        return Ok(Some(ours.whole));
    }
    let theirs = heard(method, input, true).ok_or_else(|| format!("only we read {ours:?}"))?;
    let same = theirs.status == ours.status && theirs.headers == ours.headers;
    let same_body = match ours.whole {
        true => theirs.whole && theirs.body == ours.body && theirs.trailers == ours.trailers,
        false => theirs.body.starts_with(&ours.body),
    };
    if !(same && same_body) {
        return Err(format!("{ours:?} instead of {theirs:?}"));
    }
    if ours.reusable && !heard(method, input, false).is_some_and(|theirs| theirs.reusable) {
        return Err(format!("only we use the connection again after {ours:?}"));
    }
    framed_once(&ours).map(|()| Some(ours.whole))
}

/// Nothing that is passed on is framed in two ways.
fn framed_once(ours: &Reading) -> Result<(), String> {
    let all = |name: &str| -> Vec<_> {
        ours.headers.get_all(name).iter().map(http::HeaderValue::as_bytes).collect()
    };
    let (mut lengths, codings) = (all("content-length"), all("transfer-encoding"));
    lengths.dedup();
    let digits = |value: &[u8]| !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let plain = lengths.iter().all(|value| digits(value));
    let values: Vec<u64> =
        lengths.iter().filter_map(|value| str::from_utf8(value).ok()?.parse().ok()).collect();
    let one = values.windows(2).all(|two| two[0] == two[1]) && values.len() == lengths.len();
    let sound = match codings[..] {
        [] => one && plain,
        [coding] => coding.eq_ignore_ascii_case(b"chunked") && lengths.is_empty(),
        _ => false,
    };
    if sound { Ok(()) } else { Err(format!("framed twice: {:?}", ours.headers)) }
}
