//! The access log as lines of the log: one a request, under the target `keygate::access`. Where the
//! access log has a place of its own there are none (see [`super::line`]).
//!
//! What did not go through is worth a line by default; what did is a line at `debug`. Nothing is
//! copied or formatted for a line that would not be written.

use std::sync::Arc;
use std::time::Duration;

use tracing::Level;

use crate::gate::Transport;

use super::label::RouteId;
use super::record::{Fate, Record, labels};

const TARGET: &str = "keygate::access";
/// How much of a path is logged, in bytes.
pub(super) const PATH: usize = 1024;

/// How much it matters what became of a request.
const fn level(fate: Option<Fate>) -> Level {
    match fate {
        Some(Fate::Failed(_)) => Level::WARN,
        Some(Fate::Refused(_) | Fate::Shadow(_)) => Level::INFO,
        Some(Fate::Forwarded | Fate::Minted) | None => Level::DEBUG,
    }
}

/// Whether a line would be written for a request of this fate.
pub(super) fn wanted(fate: Option<Fate>) -> bool {
    match level(fate) {
        Level::WARN => tracing::enabled!(target: TARGET, Level::WARN),
        Level::INFO => tracing::enabled!(target: TARGET, Level::INFO),
        _ => tracing::enabled!(target: TARGET, Level::DEBUG),
    }
}

/// What of a path is logged: no query, since people put secrets into it, and not without end.
pub(super) fn path(path: &str) -> &str {
    let path = path.split_once(['?', '#']).map_or(path, |(path, _)| path);
    path.get(..path.floor_char_boundary(PATH)).unwrap_or_default()
}

pub(super) const fn transport(transport: Transport) -> &'static str {
    match transport {
        Transport::Tls => "https",
        Transport::Plain => "http",
    }
}

fn text(digits: &[u8]) -> String {
    String::from_utf8_lossy(digits).into_owned()
}

macro_rules! line {
    ($level:expr, $record:expr, $elapsed:expr, $route:expr) => {{
        let (outcome, reason) = labels($record.fate);
        let detail = $record.detail.as_deref();
        let trace = $record.trace.as_ref();
        tracing::event!(
            target: TARGET,
            $level,
            outcome = outcome.as_str(),
            reason = (!reason.is_empty()).then_some(reason),
            status = $record.status,
            route = $route,
            place = detail.and_then(|detail| detail.place.as_deref()),
            method = detail.and_then(|detail| detail.method.as_deref()),
            path = detail.and_then(|detail| detail.path.as_deref()),
            key = detail.and_then(|detail| detail.key.as_deref()),
            account = detail.and_then(|detail| detail.account.as_ref()).map(|id| id.as_str()),
            client = detail.map(|detail| tracing::field::display(detail.client)),
            transport = detail.map(|detail| transport(detail.transport)),
            version = detail.and_then(|detail| detail.version),
            request_id = detail.map(|detail| &*detail.request_id),
            trace_id = trace.map(|trace| text(&trace.trace_id())).as_deref(),
            span_id = trace.map(|trace| text(&trace.span_id())).as_deref(),
            generation = detail.map(|detail| detail.generation),
            received = $record.received,
            sent = $record.sent,
            milliseconds = $elapsed.as_secs_f64() * 1e3,
            "request"
        );
    }};
}

/// Writes the line of a request that has ended; the route's label is looked up only for that.
pub(super) fn write(record: &Record, elapsed: Duration, label: impl FnOnce(RouteId) -> Arc<str>) {
    // Of what was settled and has no detail, no line was wanted.
    if (record.detail.is_none() && record.fate.is_some()) || !wanted(record.fate) {
        return;
    }
    let label = label(record.route);
    match level(record.fate) {
        Level::WARN => line!(Level::WARN, record, elapsed, &*label),
        Level::INFO => line!(Level::INFO, record, elapsed, &*label),
        _ => line!(Level::DEBUG, record, elapsed, &*label),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_not_logged() {
        assert_eq!(path("/a/b?api_key=secret"), "/a/b");
        assert_eq!(path("/a/b#secret"), "/a/b");
    }

    #[test]
    fn a_long_path_is_cut_between_characters() {
        assert_eq!(path(&"é".repeat(2000)).len(), PATH);
        assert_eq!(path(&format!("/{}", "é".repeat(2000))).len(), PATH - 1);
    }
}
