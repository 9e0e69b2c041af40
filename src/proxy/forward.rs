//! A permit → the upstream's answer. The only code that reaches the upstream.

use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, Version};
use http_body::Body as _;
use hyper::body::Incoming;

use super::body::{RequestBody, Upload};
use super::connect::ConnectError;
use super::lifeline::Line;
use super::pool::{Lease, Pool};
use crate::clock;
use crate::config::Upstream;
use crate::gate::Denial;
use crate::observe::UpstreamError;

/// A request that was permitted, with the headers that the upstream shall see.
pub(super) struct Outgoing {
    pub(super) method: Method,
    pub(super) target: PathAndQuery,
    pub(super) headers: HeaderMap,
    pub(super) body: RequestBody,
    pub(super) upload: Rc<Upload>,
}

/// What bounds the wait for an answer.
pub(super) struct Limits {
    /// When the route's time is over.
    pub(super) until: Option<Instant>,
    /// The tie to the key.
    pub(super) line: Option<Rc<Line>>,
    /// How long the client's body may pause.
    pub(super) pause: Duration,
}

/// Why there is no answer to pass on.
#[derive(Debug)]
pub(super) enum Failure {
    /// The upstream's fault, with what is known of it.
    Upstream(Denial, UpstreamError, String),
    /// The key died meanwhile.
    Dead(Denial),
    /// The client's body did not go on in time.
    Slow,
    /// The client broke its own body off.
    Client,
}

impl Failure {
    /// What the upstream sent is no answer to what it was asked.
    pub(super) fn garbage(detail: &str) -> Self {
        Self::Upstream(Denial::UpstreamUnreachable, UpstreamError::Garbage, detail.to_owned())
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        Self::Upstream(Denial::UpstreamUnreachable, error.kind(), error.to_string())
    }
}

/// Sends a request, on a pooled connection if there is one. A connection that turns out stale is
/// replaced once, if the request can be repeated and nothing was answered.
pub(super) async fn exchange(
    pool: &Pool,
    upstream: &Arc<Upstream>,
    out: Outgoing,
    limits: &Limits,
) -> Result<(Response<Incoming>, Lease), Failure> {
    let mut lease = bounded(upstream, &out.upload, limits, pool.take(upstream)).await??;
    let spare = (lease.reused() && repeatable(&out)).then(|| out.repeat());
    let upload = Rc::clone(&out.upload);
    let request = out.into_request(upstream, lease.is_http2());
    let sent = bounded(upstream, &upload, limits, lease.send(request)).await?;
    let again = match sent {
        Some(Ok(response)) => return Ok((response, lease)),
        Some(Err(mut error)) if lease.reused() => match error.take_message() {
            // Nothing of it was written.
            Some(request) => request,
            None => match spare.filter(|_| !error.error().is_parse()) {
                Some(spare) => spare.into_request(upstream, false),
                None => return Err(broken(error.error(), &upload)),
            },
        },
        Some(Err(error)) => return Err(broken(error.error(), &upload)),
        None => return Err(over()),
    };
    drop(lease);
    let mut lease = bounded(upstream, &upload, limits, pool.fresh(upstream)).await??;
    let again = readdress(again, upstream, lease.is_http2());
    match bounded(upstream, &upload, limits, lease.send(again)).await? {
        Some(Ok(response)) => Ok((response, lease)),
        Some(Err(error)) => Err(broken(error.error(), &upload)),
        None => Err(over()),
    }
}

/// Waits no longer than the limits allow. As long as the client's body goes on, the upstream is
/// not late; while it pauses, it is the client who is.
pub(super) async fn bounded<T>(
    upstream: &Upstream,
    upload: &Upload,
    limits: &Limits,
    work: impl Future<Output = T>,
) -> Result<T, Failure> {
    let late = || {
        let detail = "it did not answer in time".to_owned();
        Failure::Upstream(Denial::UpstreamTimeout, UpstreamError::Timeout, detail)
    };
    let began = clock::mono();
    let patience = || match upload.pausing() {
        Some(since) => (since + limits.pause, true),
        None => (upload.progress().max(began) + upstream.timeout, false),
    };
    let due = || match (limits.until, patience()) {
        (Some(until), (later, _)) if until <= later => (until, false),
        (_, patience) => patience,
    };
    // Whoever is waited for can change meanwhile.
    let look = || due().0.min(clock::mono() + limits.pause);
    let mut timer = std::pin::pin!(tokio::time::sleep_until(look().into()));
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|context| {
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(Ok(done));
        }
        let cut = limits.line.as_ref().and_then(|line| line.poll_cut(context.waker()));
        if let Some(denial) = cut {
            return Poll::Ready(Err(Failure::Dead(denial)));
        }
        while timer.as_mut().poll(context).is_ready() {
            match due() {
                (due, slow) if due <= clock::mono() => {
                    return Poll::Ready(Err(if slow { Failure::Slow } else { late() }));
                }
                _ => timer.as_mut().reset(look().into()),
            }
        }
        Poll::Pending
    })
    .await
}

pub(super) fn broken(error: &hyper::Error, upload: &Upload) -> Failure {
    let kind = match error.is_parse() {
        _ if upload.broken() => return Failure::Client,
        true => UpstreamError::Garbage,
        false => UpstreamError::Reset,
    };
    Failure::Upstream(Denial::UpstreamUnreachable, kind, error.to_string())
}

fn over() -> Failure {
    let detail = "the connection was over".to_owned();
    Failure::Upstream(Denial::UpstreamUnreachable, UpstreamError::Connect, detail)
}

/// Without a body, and of a method that does no more when it is done twice (RFC 9110, section
/// 9.2.2).
fn repeatable(out: &Outgoing) -> bool {
    let idempotent =
        [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE, Method::TRACE];
    out.upload.complete() && idempotent.contains(&out.method)
}

impl Outgoing {
    fn repeat(&self) -> Self {
        Self {
            method: self.method.clone(),
            target: self.target.clone(),
            headers: self.headers.clone(),
            body: RequestBody::empty(&self.upload),
            upload: Rc::clone(&self.upload),
        }
    }

    /// The request as the upstream's protocol writes it. Its framing is ours.
    pub(super) fn into_request(self, upstream: &Upstream, http2: bool) -> Request<RequestBody> {
        let mut request = Request::new(self.body);
        *request.method_mut() = self.method;
        *request.uri_mut() = Uri::from(self.target);
        *request.headers_mut() = self.headers;
        readdress(request, upstream, http2)
    }
}

/// HTTP/2 names the host in the target, HTTP/1.1 in a header.
fn readdress(
    mut request: Request<RequestBody>,
    upstream: &Upstream,
    http2: bool,
) -> Request<RequestBody> {
    if !http2 {
        // The library sends GET and HEAD without their bodies unless the framing is spelled out.
        let framed = request.headers().contains_key(CONTENT_LENGTH);
        if !framed && !request.body().is_end_stream() {
            let (name, value) = match request.body().size_hint().exact() {
                Some(length) => (CONTENT_LENGTH, HeaderValue::from(length)),
                None => (TRANSFER_ENCODING, HeaderValue::from_static("chunked")),
            };
            request.headers_mut().insert(name, value);
        }
        return request;
    }
    *request.version_mut() = Version::HTTP_2;
    request.headers_mut().remove(CONNECTION);
    request.headers_mut().remove(TRANSFER_ENCODING);
    let host = request.headers_mut().remove(HOST);
    let authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut parts = request.uri().clone().into_parts();
    parts.scheme = Some(if upstream.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = authority;
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    request
}

/// The time that a route leaves, from now.
pub(super) fn until(timeout: Option<Duration>) -> Option<Instant> {
    timeout.map(|timeout| clock::mono() + timeout)
}
