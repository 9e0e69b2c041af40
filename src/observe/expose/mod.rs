//! The metrics as text: Prometheus's own format, or OpenMetrics to whoever asks for it.
//!
//! One file for each kind of thing that is told; here is how it is written.

mod keys;
mod state;
mod traffic;
mod wire;

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::cells::{Cell, WorkerCells};
use super::histogram::HistogramSum;
use super::metrics::Shared;

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
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let workers = self.0.workers().clone();
        let mut out = Out(encoder);
        traffic::write(&self.0, &workers, &mut out)?;
        wire::write(&workers, &mut out)?;
        keys::write(&self.0, &mut out)?;
        state::write(&self.0, &mut out)
    }
}

/// Where families go, one after the other. Counters are named without the `_total` that the text
/// has.
struct Out<'e>(DescriptorEncoder<'e>);

impl Out<'_> {
    fn counter(&mut self, name: &str, help: &str, count: u64) -> fmt::Result {
        self.0
            .encode_descriptor(name, help, None, MetricType::Counter)?
            .encode_counter::<NoLabelSet, u64, u64>(&count, None)
    }

    fn seconds_counter(&mut self, name: &str, help: &str, seconds: f64) -> fmt::Result {
        self.0
            .encode_descriptor(name, help, None, MetricType::Counter)?
            .encode_counter::<NoLabelSet, f64, u64>(&seconds, None)
    }

    fn gauge(
        &mut self,
        name: &str,
        help: &str,
        value: impl EncodeGaugeValue + Copy,
    ) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }

    /// A counter for each value of some labels.
    fn counters<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        all: impl IntoIterator<Item = ([(&'static str, String); N], u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, count) in all {
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, u64>(&count, None)?;
        }
        Ok(())
    }

    /// A gauge for each value of a label.
    fn gauges<V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        all: impl IntoIterator<Item = (String, V)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (value, count) in all {
            family.encode_family(&[(label, value)])?.encode_gauge(&count)?;
        }
        Ok(())
    }

    fn histogram(&mut self, name: &str, help: &str, sum: &HistogramSum) -> fmt::Result {
        let HistogramSum { seconds, count, buckets } = sum;
        self.0
            .encode_descriptor(name, help, None, MetricType::Histogram)?
            .encode_histogram::<NoLabelSet>(*seconds, *count, buckets, None)
    }

    fn info(&mut self, name: &str, help: &str, label: (&str, &str)) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Info)?.encode_info(&[label])
    }
}

/// The sum of one cell of every worker.
fn total(
    workers: &[Arc<WorkerCells>],
    cell: impl for<'w> Fn(&'w WorkerCells) -> Option<&'w Cell>,
) -> u64 {
    let cells = workers.iter().filter_map(|worker| cell(worker));
    cells.fold(0, |sum, cell| sum.wrapping_add(cell.get()))
}
