//! `[tracing]`: whose traces go on, and what of those that begin here is sampled.

use super::collector;
use super::collector::Collector;
use super::files::Files;
use super::reading::choice;
use super::reading::share;
use crate::source::Section;

/// What is done with `traceparent` and `tracestate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tracing {
    /// Whether the upstream is told of a span of ours. If not, both headers travel like any other.
    pub traceparent: bool,
    /// Whose traces go on here.
    pub trust: TraceTrust,
    /// What the lower 56 bits of the id of a trace that begins here must reach for it to be sampled:
    /// the same ones that other samplers of that share choose.
    pub left_out: u64,
}

/// Whose traces go on here; for all others one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceTrust {
    /// Every client's.
    Everyone,
    /// Those of `listen.trusted_proxies`.
    TrustedProxies,
    /// Nobody's.
    Nobody,
}

impl Default for Tracing {
    fn default() -> Self {
        Self { traceparent: true, trust: TraceTrust::Everyone, left_out: 0 }
    }
}

impl Tracing {
    /// The same with a share of what begins here sampled.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share from 0 to 1 of 2^56"
    )]
    pub fn sampling(self, share: f64) -> Self {
        Self { left_out: ((1.0 - share) * 2f64.powi(56)) as u64, ..self }
    }
}

pub(super) fn read(root: &mut Section<'_, '_>, files: &mut Files) -> (Tracing, Option<Collector>) {
    let mut tracing = Tracing::default();
    let Some(table) = root.table("tracing") else { return (tracing, None) };
    let mut section = root.enter("[tracing]", table);
    if let Some(at) = section.bool("traceparent") {
        tracing.traceparent = at.value;
    }
    let choices = [
        ("everyone", TraceTrust::Everyone),
        ("trusted_proxies", TraceTrust::TrustedProxies),
        ("nobody", TraceTrust::Nobody),
    ];
    tracing.trust = choice(&mut section, "trust", &choices).unwrap_or(tracing.trust);
    if let Some(sampled) = share(&mut section, "sampled") {
        tracing = tracing.sampling(sampled);
    }
    let endpoint = section.peek("endpoint").map(|(key, _)| key);
    let collector = collector::read(&mut section, files);
    if let Some(endpoint) = endpoint.filter(|_| collector.is_some() && !tracing.traceparent) {
        let help = "remove `traceparent = false`, or `endpoint`";
        section.warn(&endpoint, "no spans are sent: no request stands in a trace", help);
    }
    (tracing, collector)
}
