//! The metrics as text: Prometheus's own format, or OpenMetrics to whoever asks for it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::cells::{Cell, HistogramSum, WorkerCells};
use super::label::{ListenerKind, TurnedAway, UNROUTED, UpstreamError};
use super::log;
use super::metrics::Shared;
use super::record::{Fate, fates, labels, slot};

/// The two text formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// Prometheus text 0.0.4.
    Prometheus,
    /// OpenMetrics text 1.0.0.
    OpenMetrics,
}

impl Exposition {
    /// The format for a request with this `Accept` field.
    #[must_use]
    pub fn accepted(accept: Option<&str>) -> Self {
        match accept {
            Some(accept) if accept.contains("application/openmetrics-text") => Self::OpenMetrics,
            _ => Self::Prometheus,
        }
    }

    /// The `Content-Type` of the format.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

pub(super) fn render(shared: &Arc<Shared>, exposition: Exposition) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Sum(Arc::clone(shared))));
    let mut text = String::with_capacity(16 * 1024);
    // Writing to a string cannot fail.
    let _ = encode(&mut text, &registry);
    match exposition {
        Exposition::OpenMetrics => text,
        Exposition::Prometheus => prometheus_text(&text),
    }
}

/// OpenMetrics names a counter's family without the `_total` that its samples have; the older
/// format names it as the sample, and knows no end mark.
fn prometheus_text(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut help = None;
    for line in open_metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map(|(_, help)| help);
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                other => ("", other),
            };
            let help = help.take().unwrap_or_default();
            text.push_str(&format!("# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n"));
        } else if !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// Adds the workers' cells up whenever it is asked.
#[derive(Debug)]
struct Sum(Arc<Shared>);

impl Collector for Sum {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let workers = self.0.workers().clone();
        self.requests(&workers, &mut encoder)?;
        times(&workers, &mut encoder)?;
        connections(&workers, &mut encoder)?;
        self.table(&mut encoder)?;
        self.process(&mut encoder)
    }
}

impl Sum {
    fn requests(
        &self,
        workers: &[Arc<WorkerCells>],
        encoder: &mut DescriptorEncoder<'_>,
    ) -> fmt::Result {
        let mut sums: BTreeMap<Arc<str>, Vec<u64>> = BTreeMap::new();
        for label in self.0.labels().configured() {
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
        let mut family = encoder.encode_descriptor(
            "keygate_requests",
            "Requests by route, what became of them, and why",
            None,
            MetricType::Counter,
        )?;
        for (route, sum) in sums {
            for fate in fates() {
                let count = sum.get(slot(fate)).copied().unwrap_or(0);
                let (outcome, reason) = labels(fate);
                // A series for each reason on each route would be a hundred zeros a route.
                let expected = fate == Some(Fate::Forwarded) && *route != *UNROUTED;
                if count > 0 || expected {
                    let set =
                        [("route", &*route), ("outcome", outcome.as_str()), ("reason", reason)];
                    counter(&mut family.encode_family(&set)?, count)?;
                }
            }
        }
        Ok(())
    }

    fn table(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let process = &self.0.process;
        let states = ["active", "expired", "revoked", "disabled"];
        let mut family = encoder.encode_descriptor(
            "keygate_keys",
            "Keys in the table that is in force, by state",
            None,
            MetricType::Gauge,
        )?;
        for (state, count) in states.into_iter().zip(&process.keys) {
            family.encode_family(&[("state", state)])?.encode_gauge(&count.load(Relaxed))?;
        }
        let mut family = encoder.encode_descriptor(
            "keygate_reloads",
            "How often the files were read, by result",
            None,
            MetricType::Counter,
        )?;
        for (result, count) in ["success", "failure"].into_iter().zip(&process.reloads) {
            counter(&mut family.encode_family(&[("result", result)])?, count.load(Relaxed))?;
        }
        let gauges = [
            (
                "keygate_keys_due",
                "Active keys that are older than keys.rotate_after",
                &process.keys_due,
            ),
            (
                "keygate_last_reload_successful",
                "Whether the files, when they were last read, loaded",
                &process.last_reload_successful,
            ),
            (
                "keygate_table_generation",
                "Counts the tables that came into force",
                &process.generation,
            ),
        ];
        for (name, help, cell) in gauges {
            gauge(encoder, name, help, cell)?;
        }
        let mut family = encoder.encode_descriptor(
            "keygate_certificate_expiry_timestamp_seconds",
            "When the certificate that is served ends, in Unix time; by name where one has its own",
            None,
            MetricType::Gauge,
        )?;
        family.encode_gauge(&process.certificate_expiry.load(Relaxed))?;
        for (name, at) in process.named_expiries().iter() {
            family.encode_family(&[("name", &**name)])?.encode_gauge(at)?;
        }
        Ok(())
    }

    fn process(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let counters = [
            ("keygate_panics", "Bugs met, each of which ended one connection", {
                self.0.process.panics.load(Relaxed)
            }),
            (
                "keygate_log_lines_dropped",
                "Log lines that were lost because nobody read them fast enough",
                log::dropped(),
            ),
        ];
        for (name, help, count) in counters {
            counter(&mut encoder.encode_descriptor(name, help, None, MetricType::Counter)?, count)?;
        }
        encoder
            .encode_descriptor("keygate_build", "What is running", None, MetricType::Info)?
            .encode_info(&[("version", env!("CARGO_PKG_VERSION"))])
    }
}

fn times(workers: &[Arc<WorkerCells>], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let (mut durations, mut overheads) = (HistogramSum::default(), HistogramSum::default());
    for worker in workers {
        worker.durations.add_to(&mut durations);
        worker.overheads.add_to(&mut overheads);
    }
    let histograms = [
        (
            "keygate_request_duration_seconds",
            "From a request's head to the end of its response",
            durations,
        ),
        (
            "keygate_overhead_seconds",
            "Of the time to a response's head, what was not waiting for others",
            overheads,
        ),
    ];
    for (name, help, sum) in histograms {
        encoder
            .encode_descriptor(name, help, None, MetricType::Histogram)?
            .encode_histogram::<NoLabelSet>(sum.seconds, sum.count, &sum.buckets, None)?;
    }
    Ok(())
}

fn connections(workers: &[Arc<WorkerCells>], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let total = |cell: &dyn Fn(&WorkerCells) -> Option<&Cell>| -> u64 {
        workers
            .iter()
            .filter_map(|worker| cell(worker))
            .fold(0, |sum, cell| sum.wrapping_add(cell.get()))
    };
    let in_flight = total(&|worker| Some(&worker.in_flight));
    encoder
        .encode_descriptor(
            "keygate_in_flight_requests",
            "Requests that have begun and not ended",
            None,
            MetricType::Gauge,
        )?
        .encode_gauge(&in_flight)?;
    let mut family = encoder.encode_descriptor(
        "keygate_connections",
        "Connections that are open, by listener",
        None,
        MetricType::Gauge,
    )?;
    for kind in ListenerKind::ALL {
        let count = total(&|worker| worker.connections.get(kind as usize));
        family.encode_family(&[("listener", kind.as_str())])?.encode_gauge(&count)?;
    }
    let mut family = encoder.encode_descriptor(
        "keygate_connections_refused",
        "Connections that were closed as soon as they had come, by reason",
        None,
        MetricType::Counter,
    )?;
    for reason in TurnedAway::ALL {
        let count = total(&|worker| worker.turned_away.get(reason as usize));
        counter(&mut family.encode_family(&[("reason", reason.as_str())])?, count)?;
    }
    let mut family = encoder.encode_descriptor(
        "keygate_upstream_errors",
        "What went wrong between keygate and the upstream",
        None,
        MetricType::Counter,
    )?;
    for kind in UpstreamError::ALL {
        let count = total(&|worker| worker.upstream_errors.get(kind as usize));
        counter(&mut family.encode_family(&[("kind", kind.as_str())])?, count)?;
    }
    Ok(())
}

fn counter(encoder: &mut MetricEncoder<'_>, count: u64) -> fmt::Result {
    encoder.encode_counter::<NoLabelSet, u64, u64>(&count, None)
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &'static str,
    help: &'static str,
    cell: &AtomicU64,
) -> fmt::Result {
    encoder
        .encode_descriptor(name, help, None, MetricType::Gauge)?
        .encode_gauge(&cell.load(Relaxed))
}
