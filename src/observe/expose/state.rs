//! The process: how it does, what it takes, and how much of what it may take is taken.

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;

use super::Out;
use crate::observe::journal;
use crate::observe::label::Limiter;
use crate::observe::log;
use crate::observe::metrics::Shared;
use crate::observe::process::Process;

pub(super) fn write(shared: &Shared, out: &mut Out<'_>) -> fmt::Result {
    occupancy(shared, out)?;
    out.counter(
        "keygate_panics",
        "Bugs met, each of which ended one connection",
        shared.process.panics.load(Relaxed),
    )?;
    out.counter(
        "keygate_log_lines_dropped",
        "Log lines that were lost because nobody read them fast enough",
        log::dropped(),
    )?;
    out.counter(
        "keygate_access_log_lines_dropped",
        "Lines of the access log that were lost: they came too fast, or the disk was full",
        journal::lost(),
    )?;
    out.counter(
        "keygate_audit_log_lines_dropped",
        "Lines of the audit log of this process that were lost: they could not be written, or not in time",
        shared.process.audit_lines_dropped.load(Relaxed),
    )?;
    out.counter(
        "keygate_state_write_errors",
        "Writings into the state directory that failed",
        shared.process.state_write_errors.load(Relaxed),
    )?;
    #[cfg(feature = "otlp")]
    spans(shared, out)?;
    out.info("keygate_build", "What is running", ("version", env!("CARGO_PKG_VERSION")))?;
    process(shared, out)
}

/// Only where spans are sent.
#[cfg(feature = "otlp")]
fn spans(shared: &Shared, out: &mut Out<'_>) -> fmt::Result {
    let Some(spans) = shared.spans.get() else { return Ok(()) };
    let counts = &spans.counts;
    out.counter(
        "keygate_spans_exported",
        "Spans that the collector has taken",
        counts.exported.load(Relaxed),
    )?;
    let dropped = [("queue", &counts.crowded), ("collector", &counts.refused)];
    out.counters(
        "keygate_spans_dropped",
        "Spans that were lost: because too many waited, or because the collector took none",
        dropped.map(|(reason, count)| ([("reason", reason.to_owned())], count.load(Relaxed))),
    )
}

fn occupancy(shared: &Shared, out: &mut Out<'_>) -> fmt::Result {
    let now = *shared.process.occupancy();
    out.gauge("keygate_ready", "Whether requests are to be sent here", u64::from(now.ready))?;
    out.gauge(
        "keygate_draining",
        "Whether the process ends as soon as it has finished what it has accepted",
        u64::from(now.draining),
    )?;
    out.gauge(
        "keygate_connections_limit",
        "How many connections from clients there may be",
        now.connections_limit,
    )?;
    let limiters = || Limiter::ALL.into_iter().zip(now.limiters);
    out.gauges(
        "keygate_limiter_entries",
        "Accounts, keys and addresses that a limit counts now",
        "limiter",
        limiters().map(|(limiter, lanes)| (limiter.as_str().to_owned(), lanes.entries)),
    )?;
    let addresses = || {
        limiters().filter_map(|(limiter, lanes)| {
            lanes.addresses.map(|addresses| (limiter.as_str().to_owned(), addresses))
        })
    };
    out.gauges(
        "keygate_limiter_addresses",
        "Of these, the addresses, which strangers can make at will",
        "limiter",
        addresses().map(|(limiter, (count, _))| (limiter, count)),
    )?;
    out.gauges(
        "keygate_limiter_addresses_limit",
        "How many addresses there is room for; new ones are refused when it is full",
        "limiter",
        addresses().map(|(limiter, (_, limit))| (limiter, limit)),
    )?;
    out.gauge(
        "keygate_body_memory_bytes",
        "What bodies that are inspected take of routes.body_memory",
        now.body_memory,
    )?;
    out.gauge("keygate_body_memory_limit_bytes", "What they may take of it", now.body_memory_limit)
}

/// Nothing where the system does not say.
fn process(shared: &Shared, out: &mut Out<'_>) -> fmt::Result {
    out.gauge(
        "process_start_time_seconds",
        "When the process began, in Unix time",
        shared.process.started,
    )?;
    let Some(process) = Process::now() else { return Ok(()) };
    out.seconds_counter(
        "process_cpu_seconds",
        "Time of processors that the process took",
        process.cpu_seconds,
    )?;
    let gauges = [
        ("process_resident_memory_bytes", "Memory that the process takes", process.resident_bytes),
        (
            "process_virtual_memory_bytes",
            "Addresses that the process has reserved",
            process.virtual_bytes,
        ),
        ("process_threads", "Threads of the process", process.threads),
        ("process_open_fds", "Files and sockets that are open", process.open_files),
    ];
    for (name, help, value) in gauges {
        out.gauge(name, help, value)?;
    }
    match process.most_files {
        Some(most) => out.gauge("process_max_fds", "How many files and sockets may be open", most),
        None => Ok(()),
    }
}
