//! Connections: from clients, and to the upstream.

use std::fmt;
use std::sync::Arc;

use super::{Out, total};
use crate::observe::cells::{Cell, WorkerCells};
use crate::observe::label::{Handshake, ListenerKind, TurnedAway, UpstreamError, UpstreamUse};

pub(super) fn write(workers: &[Arc<WorkerCells>], out: &mut Out<'_>) -> fmt::Result {
    clients(workers, out)?;
    upstream(workers, out)
}

/// One sum for each of an enum's values.
fn each<const N: usize>(
    workers: &[Arc<WorkerCells>],
    names: [&'static str; N],
    cells: impl Fn(&WorkerCells) -> &[Cell; N],
) -> [(&'static str, u64); N] {
    let mut at = 0;
    names.map(|name| {
        let sum = total(workers, |worker| cells(worker).get(at));
        at += 1;
        (name, sum)
    })
}

fn labelled<const N: usize>(
    label: &'static str,
    sums: [(&'static str, u64); N],
) -> impl Iterator<Item = ([(&'static str, String); 1], u64)> {
    sums.into_iter().map(move |(value, count)| ([(label, value.to_owned())], count))
}

fn clients(workers: &[Arc<WorkerCells>], out: &mut Out<'_>) -> fmt::Result {
    let listeners = || ListenerKind::ALL.map(ListenerKind::as_str);
    out.gauges(
        "keygate_connections",
        "Connections that are open, by listener",
        "listener",
        each(workers, listeners(), |worker| &worker.connections)
            .map(|(listener, count)| (listener.to_owned(), count)),
    )?;
    let accepted = each(workers, listeners(), |worker| &worker.accepted);
    out.counters(
        "keygate_connections_accepted",
        "Connections that were let in, by listener",
        labelled("listener", accepted),
    )?;
    let errors = each(workers, listeners(), |worker| &worker.accept_errors);
    out.counters(
        "keygate_accept_errors",
        "How often the system gave no connection although one waited, by listener",
        labelled("listener", errors),
    )?;
    let refused =
        each(workers, TurnedAway::ALL.map(TurnedAway::as_str), |worker| &worker.turned_away);
    out.counters(
        "keygate_connections_refused",
        "Connections that were closed as soon as they had come, by reason",
        labelled("reason", refused),
    )?;
    let handshakes =
        each(workers, Handshake::ALL.map(Handshake::as_str), |worker| &worker.handshakes);
    out.counters(
        "keygate_tls_handshakes",
        "TLS handshakes with clients, by what became of them",
        labelled("result", handshakes),
    )
}

fn upstream(workers: &[Arc<WorkerCells>], out: &mut Out<'_>) -> fmt::Result {
    let errors = each(workers, UpstreamError::ALL.map(UpstreamError::as_str), |worker| {
        &worker.upstream_errors
    });
    out.counters(
        "keygate_upstream_errors",
        "What went wrong between keygate and the upstream",
        labelled("kind", errors),
    )?;
    let uses =
        each(workers, UpstreamUse::ALL.map(UpstreamUse::as_str), |worker| &worker.upstream_uses);
    out.counters(
        "keygate_upstream_requests",
        "Requests by the connection to the upstream that they went on",
        labelled("connection", uses),
    )?;
    out.counter(
        "keygate_upstream_connections_opened",
        "Connections that were opened to the upstream",
        total(workers, |worker| Some(&worker.upstream_opened)),
    )?;
    out.gauge(
        "keygate_upstream_connections",
        "Connections to the upstream that are open",
        total(workers, |worker| Some(&worker.upstream_open)),
    )?;
    out.gauge(
        "keygate_upstream_connections_idle",
        "Connections to the upstream that wait for a request, as of a quarter of a second ago",
        total(workers, |worker| Some(&worker.upstream_idle)),
    )
}
