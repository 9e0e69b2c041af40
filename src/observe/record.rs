//! The one account of one request: written once, whatever becomes of the request.
//!
//! A [`RecordGuard`] is made when the request's head has been read, travels with the request into
//! the response's body, and tells metrics and access log when it is dropped: at the end of the
//! body, when the client goes away, when the task is cancelled, when it panics.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clock;
use crate::gate::Denial;
use crate::gate::Transport;
use crate::keys::Account;
use crate::keys::AccountId;

use super::access;
use super::key_series::KeyCells;
use super::label::RouteId;
use super::line;
use super::metrics::WorkerMetrics;
#[cfg(feature = "otlp")]
use super::spans::Span;
use super::trace::Trace;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was permitted, and the upstream had it.
    Forwarded,
    /// It would have been refused for this reason, but the route does not enforce.
    Shadow(Denial),
    /// It was answered with a token.
    Minted,
    /// It was refused.
    Refused(Denial),
    /// It was permitted, and the upstream did not answer it (502, 504).
    Failed(Denial),
}

/// The label `outcome` of `keygate_requests_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// See [`Fate::Forwarded`].
    Forwarded,
    /// See [`Fate::Shadow`].
    Shadow,
    /// See [`Fate::Minted`].
    Minted,
    /// See [`Fate::Refused`].
    Refused,
    /// See [`Fate::Failed`]; also a request whose client left before anything was decided.
    Failed,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 5] =
        [Self::Forwarded, Self::Shadow, Self::Minted, Self::Refused, Self::Failed];

    /// As metrics and log have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::Shadow => "shadow",
            Self::Minted => "minted",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// The reason of a request that ended before anything was decided about it.
const ABANDONED: &str = "abandoned";
const REASONS: usize = Denial::ALL.len();
/// Outcomes without a reason, then the reasons of those that have one.
pub(super) const SLOTS: usize = 3 + 3 * REASONS;

/// The cell that counts a fate; `None` is a request that was abandoned.
pub(super) const fn slot(fate: Option<Fate>) -> usize {
    match fate {
        None => 0,
        Some(Fate::Forwarded) => 1,
        Some(Fate::Minted) => 2,
        Some(Fate::Shadow(reason)) => 3 + reason.position(),
        Some(Fate::Refused(reason)) => 3 + REASONS + reason.position(),
        Some(Fate::Failed(reason)) => 3 + 2 * REASONS + reason.position(),
    }
}

/// The fates that there can be, in no order that matters.
pub(super) fn fates() -> impl Iterator<Item = Option<Fate>> {
    let reasoned = [Fate::Shadow, Fate::Refused, Fate::Failed];
    [None, Some(Fate::Forwarded), Some(Fate::Minted)].into_iter().chain(
        reasoned
            .into_iter()
            .flat_map(|fate| Denial::ALL.iter().map(move |reason| Some(fate(*reason)))),
    )
}

/// The labels `outcome` and `reason`; the reason is empty where there is none.
pub(super) const fn labels(fate: Option<Fate>) -> (Outcome, &'static str) {
    match fate {
        None => (Outcome::Failed, ABANDONED),
        Some(Fate::Forwarded) => (Outcome::Forwarded, ""),
        Some(Fate::Minted) => (Outcome::Minted, ""),
        Some(Fate::Shadow(reason)) => (Outcome::Shadow, reason.name()),
        Some(Fate::Refused(reason)) => (Outcome::Refused, reason.name()),
        Some(Fate::Failed(reason)) => (Outcome::Failed, reason.name()),
    }
}

/// What a line of the access log says about a request besides its fate. Borrowed: it is copied
/// only when a line will be written.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The request's method, where its head could be read.
    pub method: Option<&'a str>,
    /// The request's path, likewise; a query that follows it is not logged.
    pub path: Option<&'a str>,
    /// What `X-Request-Id` says.
    pub request_id: &'a str,
    /// Who is believed to have sent it.
    pub client: IpAddr,
    /// Whose connection it came by.
    pub peer: IpAddr,
    /// What it says is its host, where that has been read.
    pub host: Option<&'a str>,
    /// What the client calls itself, where that is asked for.
    pub agent: Option<&'a str>,
    /// How it arrived.
    pub transport: Transport,
    /// `1.0`, `1.1` or `2`, where its head could be read.
    pub version: Option<&'static str>,
    /// The generation of the table that decided.
    pub generation: u64,
    /// The key that was presented, where it is known.
    pub key: Option<&'a str>,
    /// The key's account. What stands in it is read only where it is told.
    pub account: Option<&'a Arc<Account>>,
    /// The route's file and line.
    pub place: Option<&'a Arc<str>>,
}

/// A copy of [`About`] that lives as long as the request.
#[derive(Debug)]
pub(super) struct Detail {
    pub(super) method: Option<Box<str>>,
    pub(super) path: Option<Box<str>>,
    pub(super) request_id: Box<str>,
    pub(super) client: IpAddr,
    pub(super) transport: Transport,
    pub(super) version: Option<&'static str>,
    pub(super) generation: u64,
    pub(super) key: Option<Box<str>>,
    pub(super) account: Option<AccountId>,
    pub(super) place: Option<Arc<str>>,
}

impl Detail {
    fn new(about: &About<'_>) -> Self {
        Self {
            method: about.method.map(Into::into),
            path: about.path.map(|path| access::path(path).into()),
            request_id: about.request_id.into(),
            client: about.client,
            transport: about.transport,
            version: about.version,
            generation: about.generation,
            key: about.key.map(Into::into),
            account: about.account.map(|account| account.id.clone()),
            place: about.place.cloned(),
        }
    }
}

/// Everything that is told about a request when it has ended.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) fate: Option<Fate>,
    pub(super) route: RouteId,
    pub(super) status: Option<u16>,
    pub(super) started: Instant,
    pub(super) answered: Option<Instant>,
    pub(super) waited: Duration,
    pub(super) received: u64,
    pub(super) sent: u64,
    /// How long the upstream's head was waited for, where it was asked.
    pub(super) upstream: Option<Duration>,
    /// Where it stands in a trace.
    pub(super) trace: Option<Trace>,
    /// What its span says.
    #[cfg(feature = "otlp")]
    pub(super) told: Option<Box<Detail>>,
    pub(super) detail: Option<Box<Detail>>,
    /// Where the requests of its key are counted, if they are.
    pub(super) key: Option<Arc<KeyCells>>,
    /// The beginning of its line in an access log of its own; empty where there will be none.
    pub(super) line: Vec<u8>,
}

impl Record {
    /// Our own share of the time to the response's head: all but the waiting for others. `None`
    /// when there was no answer.
    pub(super) fn overhead(&self) -> Option<Duration> {
        let total = self.answered?.saturating_duration_since(self.started);
        Some(total.saturating_sub(self.waited))
    }
}

/// Writes the record of a request when it is dropped.
#[derive(Debug)]
pub struct RecordGuard {
    record: Record,
    worker: WorkerMetrics,
}

impl RecordGuard {
    /// Begins the account of a request whose head was complete at `started`.
    #[must_use]
    pub fn new(worker: &WorkerMetrics, started: Instant) -> Self {
        worker.begin();
        let record = Record {
            fate: None,
            route: RouteId::NONE,
            status: None,
            started,
            answered: None,
            waited: Duration::ZERO,
            received: 0,
            sent: 0,
            upstream: None,
            trace: None,
            #[cfg(feature = "otlp")]
            told: None,
            detail: None,
            key: None,
            line: Vec::new(),
        };
        Self { record, worker: worker.clone() }
    }

    /// What became of it; said again when more is known, and the last word counts.
    pub fn settle(&mut self, fate: Fate, route: RouteId, about: &About<'_>) {
        self.record.fate = Some(fate);
        self.record.route = route;
        self.record.key =
            about.key.zip(about.account).and_then(|(key, of)| self.worker.key(key, of));
        #[cfg(feature = "otlp")]
        self.keep_for_span(about);
        self.note(about);
    }

    /// What is known of it before it is settled, which it may never be: before a long wait.
    pub fn note(&mut self, about: &About<'_>) {
        let (fate, lane, line) = (self.record.fate, self.worker.lane(), &mut self.record.line);
        let chosen = || fate != Some(Fate::Forwarded) || lane.chooses();
        if lane.is_on() {
            line.clear();
            if chosen() {
                if line.capacity() == 0 {
                    *line = lane.begin();
                }
                line::head(line, fate, about, self.record.trace.as_ref());
            }
        } else if access::wanted(fate) && chosen() {
            self.record.detail = Some(Box::new(Detail::new(about)));
        }
    }

    /// Whether its host, and what the client calls itself, will be told.
    #[must_use]
    pub fn tells(&self) -> (bool, bool) {
        let lane = self.worker.lane();
        (lane.is_on(), lane.is_on() && lane.tells_agent())
    }

    /// Where it stands in a trace: said before anything is settled.
    pub const fn trace(&mut self, trace: Trace) {
        self.record.trace = Some(trace);
    }

    /// Where it stands in a trace, if that was said.
    #[must_use]
    pub const fn traced(&self) -> Option<&Trace> {
        self.record.trace.as_ref()
    }

    /// The response's head was handed to the client's connection.
    pub fn answered(&mut self, status: u16, now: Instant) {
        self.record.status = Some(status);
        self.record.answered = Some(now);
    }

    /// Time before the response's head that was spent waiting for others: for the upstream, for
    /// the client's body, for a place in a queue. It is no overhead of ours.
    pub fn waited(&mut self, duration: Duration) {
        self.record.waited = self.record.waited.saturating_add(duration);
    }

    /// Time that was waited for the upstream's head.
    pub fn asked(&mut self, duration: Duration) {
        self.waited(duration);
        self.record.upstream = Some(duration);
    }

    /// Bytes of the request's body that arrived.
    pub const fn received(&mut self, bytes: u64) {
        self.record.received = self.record.received.saturating_add(bytes);
    }

    /// Bytes of the response's body that were handed on.
    pub const fn sent(&mut self, bytes: u64) {
        self.record.sent = self.record.sent.saturating_add(bytes);
    }
}

impl Drop for RecordGuard {
    fn drop(&mut self) {
        let elapsed = clock::mono().saturating_duration_since(self.record.started);
        self.worker.finish(&self.record, elapsed);
        #[cfg(feature = "otlp")]
        self.leave_span(elapsed);
        if self.worker.lane().is_on() {
            self.tell(elapsed);
        } else {
            access::write(&self.record, elapsed, |id| self.worker.label(id));
        }
    }
}

/// Spans are made only of requests that are sampled, and only where they are sent.
#[cfg(feature = "otlp")]
impl RecordGuard {
    fn keep_for_span(&mut self, about: &About<'_>) {
        let sampled = self.record.trace.is_some_and(|trace| trace.sampled);
        if sampled && self.worker.spans().is_some() {
            self.record.told = Some(Box::new(Detail::new(about)));
        }
    }

    fn leave_span(&self, elapsed: Duration) {
        let trace = self.record.trace.filter(|trace| trace.sampled);
        if let (Some(spans), Some(trace)) = (self.worker.spans(), trace) {
            let route = self.worker.label(self.record.route);
            spans.leave(Span::of(&self.record, trace, elapsed, route));
        }
    }
}

impl RecordGuard {
    /// Ends its line and hands it over.
    fn tell(&mut self, elapsed: Duration) {
        let mut line = std::mem::take(&mut self.record.line);
        if line.is_empty() {
            // A permit that was not chosen, or a request that ended before it was looked at.
            if self.record.fate.is_some() {
                return;
            }
            line::bare_head(&mut line, None);
        }
        let (worker, record) = (&self.worker, &self.record);
        worker.with_label(record.route, |route| {
            line::tail(&mut line, record, elapsed, route, clock::now());
        });
        worker.lane().take(line);
    }
}

#[cfg(test)]
pub(super) mod tests;
