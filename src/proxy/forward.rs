//! A permit → the upstream's answer. The only code that reaches the upstream.

use std::error::Error as _;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use http::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Extensions, Method, Request, Uri, Version};

use super::alarm::Alarms;
use super::body::{RequestBody, Source};
use super::connect::ConnectError;
use super::fields::Fields;
use super::lifeline::Line;
use super::pool::{Lease, Pool, Taken};
use super::shared::{Connection, Share};
use super::upload::Upload;
use super::upstream::{Again, Broken, Failed, Head, Opening};
use crate::clock;
use crate::config::Upstream;
use crate::gate::Denial;
use crate::observe::UpstreamError;

/// A request that was permitted, with the headers that the upstream shall see.
pub(super) struct Outgoing {
    pub(super) method: Method,
    pub(super) target: PathAndQuery,
    pub(super) headers: Fields,
    pub(super) body: RequestBody,
    pub(super) upload: Rc<Upload>,
}

/// What the upstream answered.
pub(super) struct Answer {
    pub(super) opening: Opening,
    pub(super) source: Source,
}

/// What bounds the wait for an answer.
pub(super) struct Limits<'w> {
    /// When asking began.
    pub(super) began: Instant,
    /// When the route's time is over.
    pub(super) until: Option<Instant>,
    /// The tie to the key.
    pub(super) line: Option<&'w Line>,
    /// What rings when it is over.
    pub(super) alarms: &'w Alarms,
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

impl From<Broken> for Failure {
    fn from(why: Broken) -> Self {
        let kind = match why {
            Broken::Client => return Self::Client,
            Broken::Garbage(_) => UpstreamError::Garbage,
            Broken::Closed | Broken::Io(_) | Broken::Shared(_) => UpstreamError::Reset,
        };
        Self::Upstream(Denial::UpstreamUnreachable, kind, why.to_string())
    }
}

/// Sends a request, on a pooled connection if there is one. A connection that turns out stale is
/// replaced once, if the request can be repeated and nothing was answered.
pub(super) async fn exchange(
    pool: &Pool,
    upstream: &Arc<Upstream>,
    out: &mut Outgoing,
    limits: &Limits<'_>,
) -> Result<Answer, Failure> {
    let upload = Rc::clone(&out.upload);
    let began = limits.began;
    let take = pin!(pool.take(upstream));
    let taken = pin!(bounded(upstream, &upload, limits, began, take)).await??;
    let reused = taken.reused();
    // Only an idle connection is there at once.
    let began = if taken.idle() { began } else { clock::mono() };
    let (repeatable, empty) = (out.is_repeatable(), upload.is_empty());
    let vigil = Vigil::new(&taken, began, upstream.timeout);
    let sent = {
        let send = pin!(out.send(taken, upstream));
        pin!(bounded(upstream, &upload, limits, began, send)).await
    };
    let sent = sent.inspect_err(|failure| vigil.judge(failure, &upload))?;
    let failed = match sent {
        Ok(answer) => return Ok(answer),
        Err(failed) => failed,
    };
    match failed.again {
        Again::Unsent(body) if reused => out.body = body,
        Again::Unanswered if reused && repeatable => {}
        Again::Unheard if reused && empty => {}
        Again::Never | Again::Unanswered | Again::Unheard | Again::Unsent(_) => {
            return Err(failed.why.into());
        }
    }
    vigil.give_up();
    Box::pin(once_more(pool, upstream, out, limits, began)).await
}

async fn once_more(
    pool: &Pool,
    upstream: &Arc<Upstream>,
    out: &mut Outgoing,
    limits: &Limits<'_>,
    since: Instant,
) -> Result<Answer, Failure> {
    let upload = Rc::clone(&out.upload);
    let began = clock::mono();
    let fresh = pin!(pool.fresh(upstream, since));
    let fresh = bounded(upstream, &upload, limits, began, fresh).await??;
    let began = clock::mono();
    let vigil = Vigil::new(&fresh, began, upstream.timeout);
    let sent = bounded(upstream, &upload, limits, began, pin!(out.send(fresh, upstream))).await;
    let sent = sent.inspect_err(|failure| vigil.judge(failure, &upload))?;
    sent.map_err(|failed| failed.why.into())
}

/// Looks after a connection that others share while a request waits on it. Nobody else shall wait on
/// one that is gone without a word, neither when this one's time is over nor when its client leaves.
struct Vigil {
    shared: Option<Rc<Connection>>,
    began: Instant,
    longest: Duration,
}

/// How long nobody may be answered before a client that leaves is taken for one who has waited in
/// vain. Others leave for reasons of their own.
const LONGEST_SILENCE: Duration = Duration::from_secs(5);

impl Vigil {
    fn new(taken: &Taken, began: Instant, timeout: Duration) -> Self {
        let shared = match taken {
            Taken::Own(_) => None,
            Taken::Shared(share) => Some(Rc::clone(&share.connection)),
        };
        shared.iter().for_each(|connection| connection.asks(began));
        Self { shared, began, longest: timeout.min(LONGEST_SILENCE) }
    }

    /// Nobody else shall ask there in vain.
    fn give_up(&self) {
        self.shared.iter().for_each(|connection| connection.leave());
    }

    /// Whose time is over has waited in vain, unless it is the client who did not go on.
    fn judge(&self, failure: &Failure, upload: &Upload) {
        let Failure::Upstream(Denial::UpstreamTimeout, ..) = failure else { return };
        if let (Some(connection), None) = (&self.shared, upload.pausing()) {
            connection.leave_if_silent(self.began);
        }
    }
}

impl Drop for Vigil {
    fn drop(&mut self) {
        if let Some(connection) = &self.shared
            && let Some(since) = clock::mono().checked_sub(self.longest)
        {
            connection.leave_if_silent(since);
        }
    }
}

/// Waits for what is pinned elsewhere, or its state would be there twice, and what began just now;
/// but no longer than the limits allow. As long as the client's body goes on, the upstream is not
/// late; while it pauses, it is the client who is.
pub(super) async fn bounded<T>(
    upstream: &Upstream,
    upload: &Upload,
    limits: &Limits<'_>,
    began: Instant,
    mut work: Pin<&mut impl Future<Output = T>>,
) -> Result<T, Failure> {
    let late = || {
        let detail = "it did not answer in time".to_owned();
        Failure::Upstream(Denial::UpstreamTimeout, UpstreamError::Timeout, detail)
    };
    let patience = || match upload.pausing() {
        Some(since) => (since + limits.pause, true),
        None => (upload.progress().max(began) + upstream.timeout, false),
    };
    let due = || match (limits.until, patience()) {
        (Some(until), (later, _)) if until <= later => (until, false),
        (_, patience) => patience,
    };
    // Whoever is waited for can change meanwhile.
    let look = |now| due().0.min(now + limits.pause);
    let mut alarm = limits.alarms.alarm();
    std::future::poll_fn(|context| {
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(Ok(done));
        }
        let cut = limits.line.and_then(|line| line.poll_cut(context.waker()));
        if let Some(denial) = cut {
            return Poll::Ready(Err(Failure::Dead(denial)));
        }
        let mut now = if alarm.is_armed() { clock::mono() } else { began };
        while alarm.poll(look(now), context).is_ready() {
            now = clock::mono();
            if let (due, slow) = due()
                && due <= now
            {
                return Poll::Ready(Err(if slow { Failure::Slow } else { late() }));
            }
        }
        Poll::Pending
    })
    .await
}

impl Taken {
    /// Whether nobody had to be waited for.
    const fn idle(&self) -> bool {
        matches!(self, Self::Own(lease) if lease.reused())
    }

    const fn reused(&self) -> bool {
        match self {
            Self::Own(lease) => lease.reused(),
            Self::Shared(share) => share.reused,
        }
    }
}

impl Outgoing {
    async fn send(&mut self, taken: Taken, upstream: &Upstream) -> Result<Answer, Failed> {
        match taken {
            Taken::Own(lease) => pin!(self.send_on(lease)).await,
            Taken::Shared(share) => self.send_shared(share, upstream).await,
        }
    }

    /// Sends it over HTTP/1.1. The body goes out with it, or comes back with the failure.
    pub(super) async fn send_on(&mut self, mut lease: Lease) -> Result<Answer, Failed> {
        let body = self.take_body();
        let head = Head { method: &self.method, target: &self.target, headers: &self.headers };
        let opening = pin!(lease.exchange(&head, body)).await?;
        Ok(Answer { opening, source: Source::Own(lease) })
    }

    async fn send_shared(&mut self, share: Share, upstream: &Upstream) -> Result<Answer, Failed> {
        let request = self.addressed(upstream);
        let sent = share.sender().try_send_request(request).await;
        share.connection.hears();
        let mut error = match sent {
            Ok(response) => {
                let (parts, body) = response.into_parts();
                let (status, headers, extensions) =
                    (parts.status, parts.headers, Extensions::new());
                let opening = Opening { status, headers, extensions };
                return Ok(Answer { opening, source: Source::Shared(body, share) });
            }
            Err(error) => error,
        };
        let again = match error.take_message() {
            Some(request) => Again::Unsent(request.into_body()),
            None => heard(error.error()),
        };
        let why = if self.upload.broken() { Broken::Client } else { error.into_error().into() };
        Err(Failed { why, again })
    }

    /// What is left is a body that is over.
    fn take_body(&mut self) -> RequestBody {
        let empty = RequestBody::empty(&self.upload);
        std::mem::replace(&mut self.body, empty)
    }

    /// Without a body, and of a method that does no more when it is done twice (RFC 9110, section
    /// 9.2.2).
    fn is_repeatable(&self) -> bool {
        let idempotent = [
            Method::GET,
            Method::HEAD,
            Method::OPTIONS,
            Method::PUT,
            Method::DELETE,
            Method::TRACE,
        ];
        self.upload.complete() && idempotent.contains(&self.method)
    }

    /// The request as HTTP/2 writes it: the host is in the target, not in a header.
    fn addressed(&mut self, upstream: &Upstream) -> Request<RequestBody> {
        let mut request = Request::new(self.take_body());
        let mut headers = self.headers.clone().into_map();
        headers.remove(CONNECTION);
        headers.remove(TRANSFER_ENCODING);
        let host = headers.remove(HOST);
        let mut parts = Uri::from(self.target.clone()).into_parts();
        parts.scheme = Some(if upstream.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP });
        parts.authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
        *request.method_mut() = self.method.clone();
        *request.headers_mut() = headers;
        *request.version_mut() = Version::HTTP_2;
        request
    }
}

/// What an upstream has made of a request that it did not answer over HTTP/2. One that it resets, it
/// had, and one whose answer was none, too; by `REFUSED_STREAM`, or by leaving before, it says that it
/// did nothing (RFC 9113, section 8.7).
fn heard(error: &hyper::Error) -> Again {
    match error.source().and_then(|source| source.downcast_ref::<h2::Error>()) {
        Some(error) if error.is_remote() && error.is_go_away() => Again::Unheard,
        Some(error) if error.is_reset() => match error.reason() {
            Some(h2::Reason::REFUSED_STREAM) if error.is_remote() => Again::Unheard,
            _ => Again::Never,
        },
        _ => Again::Unanswered,
    }
}

/// When the time is over that a route leaves.
pub(super) fn until(timeout: Option<Duration>, now: Instant) -> Option<Instant> {
    timeout.map(|timeout| now + timeout)
}
