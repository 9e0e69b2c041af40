//! Requests: how many, what became of them, how long they took and waited.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use prometheus_client::metrics::MetricType;

use super::{Out, total};
use crate::observe::cells::WorkerCells;
use crate::observe::histogram::{HistogramSum, WAITS};
use crate::observe::label::UNROUTED;
use crate::observe::metrics::Shared;
use crate::observe::record::{Fate, Outcome, fates, labels, slot};

pub(super) fn write(
    shared: &Shared,
    workers: &[Arc<WorkerCells>],
    out: &mut Out<'_>,
) -> fmt::Result {
    requests(shared, workers, out)?;
    by_key(shared, out)?;
    times(workers, out)?;
    queues(shared, workers, out)?;
    out.gauge(
        "keygate_in_flight_requests",
        "Requests that have begun and not ended",
        total(workers, |worker| Some(&worker.in_flight)),
    )?;
    out.counter(
        "keygate_attempts_limited",
        "Failed attempts that were answered rate_limited because too many came from one address",
        total(workers, |worker| Some(&worker.attempts_limited)),
    )
}

fn requests(shared: &Shared, workers: &[Arc<WorkerCells>], out: &mut Out<'_>) -> fmt::Result {
    let mut sums: BTreeMap<Arc<str>, Vec<u64>> = BTreeMap::new();
    for label in shared.labels().configured() {
        sums.entry(Arc::clone(label)).or_default();
    }
    for worker in workers {
        for (_, route) in worker.routes().iter() {
            let sum = sums.entry(Arc::clone(&route.label)).or_default();
            sum.resize(route.fates.len(), 0);
            for (total, cell) in sum.iter_mut().zip(&route.fates) {
                *total += cell.get();
            }
        }
    }
    let series = sums.iter().flat_map(|(route, sum)| {
        fates().filter_map(move |fate| {
            let count = sum.get(slot(fate)).copied().unwrap_or(0);
            // A series for each reason on each route would be a hundred zeros a route.
            let expected = fate == Some(Fate::Forwarded) && **route != *UNROUTED;
            let (outcome, reason) = labels(fate);
            let labels = || {
                [("route", route.as_ref()), ("outcome", outcome.as_str()), ("reason", reason)]
                    .map(|(name, value)| (name, value.to_owned()))
            };
            (count > 0 || expected).then(|| (labels(), count))
        })
    });
    out.counters("keygate_requests", "Requests by route, what became of them, and why", series)
}

/// Only where `[metrics] keys` asks for it.
fn by_key(shared: &Shared, out: &mut Out<'_>) -> fmt::Result {
    let sums = shared.keys.sums();
    if sums.is_empty() {
        return Ok(());
    }
    let series = sums.iter().flat_map(|((key, account), counts)| {
        Outcome::ALL.iter().zip(counts).filter_map(move |(outcome, count)| {
            let labels = || {
                [("key", key.as_str()), ("account", account), ("outcome", outcome.as_str())]
                    .map(|(name, value)| (name, value.to_owned()))
            };
            (*count > 0 || *outcome == Outcome::Forwarded).then(|| (labels(), *count))
        })
    });
    out.counters(
        "keygate_key_requests",
        "Requests by key and what became of them, of as many keys as metrics.keys says",
        series,
    )
}

fn times(workers: &[Arc<WorkerCells>], out: &mut Out<'_>) -> fmt::Result {
    let (mut durations, mut overheads) = (HistogramSum::default(), HistogramSum::default());
    for worker in workers {
        worker.durations.add_to(&mut durations);
        worker.overheads.add_to(&mut overheads);
    }
    out.histogram(
        "keygate_request_duration_seconds",
        "From a request's head to the end of its response",
        &durations,
    )?;
    out.histogram(
        "keygate_overhead_seconds",
        "Of the time to a response's head, what was not waiting for others",
        &overheads,
    )
}

/// Of the routes where requests may have to wait for a place.
fn queues(shared: &Shared, workers: &[Arc<WorkerCells>], out: &mut Out<'_>) -> fmt::Result {
    let none = || (0, HistogramSum::of(&WAITS));
    let mut queues: BTreeMap<Arc<str>, (u64, HistogramSum)> =
        shared.labels().queueing().map(|label| (label, none())).collect();
    for worker in workers {
        for (_, route) in worker.routes().iter() {
            let Some(queue) = route.queue() else { continue };
            let (waiting, waits) = queues.entry(Arc::clone(&route.label)).or_insert_with(none);
            *waiting += queue.waiting.get();
            queue.waits.add_to(waits);
        }
    }
    if queues.is_empty() {
        return Ok(());
    }
    out.gauges(
        "keygate_queued_requests",
        "Requests that wait for a place among those in flight (in_flight.queue)",
        "route",
        queues.iter().map(|(route, (waiting, _))| (route.to_string(), *waiting)),
    )?;
    let mut family = out.0.encode_descriptor(
        "keygate_queue_wait_seconds",
        "How long requests waited for a place among those in flight, admitted or not",
        None,
        MetricType::Histogram,
    )?;
    for (route, (_, HistogramSum { seconds, count, buckets })) in &queues {
        family
            .encode_family(&[("route", &**route)])?
            .encode_histogram::<[(&str, &str); 0]>(*seconds, *count, buckets, None)?;
    }
    Ok(())
}
