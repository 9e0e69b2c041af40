//! Spans of requests, on their way to whoever sends them: a bounded queue that nobody waits for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use jiff::Timestamp;

use crate::clock;
use crate::gate::Transport;

use super::record::{Detail, Fate, Outcome, Record, labels};
use super::trace::Trace;

/// How many spans may wait: some megabytes.
const MOST: usize = 8 * 1024;

/// What a span says. Of whom it speaks is in `keygate.*`; whom it belongs to, in its ids.
#[derive(Clone, Debug)]
pub struct Span {
    /// Its ids: its own is what the upstream was told is its parent.
    pub trace: Trace,
    /// When the request's head was complete.
    pub began: Timestamp,
    /// When its response had ended.
    pub ended: Timestamp,
    /// The route's path.
    pub route: Arc<str>,
    /// What was answered, if it was.
    pub status: Option<u16>,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, or nothing.
    pub reason: &'static str,
    /// Whether it is to be shown as a failure: of ours or of the upstream.
    pub failed: bool,
    /// Our own share of the time to the response's head.
    pub overhead: Option<Duration>,
    /// How long the upstream's head was waited for, if it was asked.
    pub upstream: Option<Duration>,
    /// Bytes of the response's body.
    pub sent: u64,
    /// Names and texts.
    pub texts: Vec<(&'static str, String)>,
}

impl Span {
    /// Of a request that has ended now.
    pub(super) fn of(record: &Record, trace: Trace, elapsed: Duration, route: Arc<str>) -> Self {
        let ended = clock::now();
        let began = ended.checked_sub(elapsed).unwrap_or(ended);
        let (outcome, reason) = labels(record.fate);
        Self {
            trace,
            began,
            ended,
            route,
            status: record.status,
            outcome,
            reason,
            failed: matches!(record.fate, Some(Fate::Failed(_)))
                || record.status.is_some_and(|status| status >= 500),
            overhead: record.overhead(),
            upstream: record.upstream,
            sent: record.sent,
            texts: record.told.as_deref().map(texts).unwrap_or_default(),
        }
    }
}

/// The attributes, by the names of OpenTelemetry's conventions for HTTP.
fn texts(detail: &Detail) -> Vec<(&'static str, String)> {
    let scheme = match detail.transport {
        Transport::Tls => "https",
        Transport::Plain => "http",
    };
    let mut texts = vec![
        ("url.scheme", scheme.to_owned()),
        ("client.address", detail.client.to_string()),
        ("keygate.request_id", detail.request_id.to_string()),
    ];
    for (name, text) in [
        ("http.request.method", detail.method.as_deref()),
        ("url.path", detail.path.as_deref()),
        ("network.protocol.version", detail.version),
    ] {
        texts.extend(text.map(|text| (name, text.to_owned())));
    }
    texts.extend(detail.key.as_ref().map(|key| ("keygate.key", key.to_string())));
    texts.extend(detail.account.as_ref().map(|id| ("keygate.account", id.to_string())));
    texts
}

/// What was lost, and what arrived.
#[derive(Debug, Default)]
pub struct SpanCounts {
    pub(super) crowded: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) exported: AtomicU64,
}

impl SpanCounts {
    /// So many were taken.
    pub fn exported(&self, count: usize) {
        self.exported.fetch_add(count as u64, Relaxed);
    }

    /// So many were not, and will not be sent again.
    pub fn refused(&self, count: usize) {
        self.refused.fetch_add(count as u64, Relaxed);
    }
}

/// Takes spans for the queue.
#[derive(Debug)]
pub(super) struct Spans {
    queue: SyncSender<Span>,
    pub(super) counts: Arc<SpanCounts>,
}

impl Spans {
    pub(super) fn new() -> (Self, Receiver<Span>) {
        let (queue, receiver) = sync_channel(MOST);
        (Self { queue, counts: Arc::default() }, receiver)
    }

    /// Leaves a span to be sent, or counts it as lost.
    pub(super) fn leave(&self, span: Span) {
        if self.queue.try_send(span).is_err() {
            self.counts.crowded.fetch_add(1, Relaxed);
        }
    }
}
