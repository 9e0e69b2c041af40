//! What happened, told once: the record of each request, and its three views: metrics, the access
//! log, and the health that probes ask for.
//!
//! Must not know hyper, nor any secret: it is handed ids, reasons and numbers.

mod access;
mod aside;
mod audit;
mod cells;
mod expose;
mod guards;
mod histogram;
mod journal;
mod json;
mod key_series;
mod label;
mod line;
pub mod log;
mod metrics;
mod output;
mod process;
mod record;
mod ring;
mod scribe;
mod sink;
#[cfg(feature = "otlp")]
mod spans;
mod status;
mod trace;
mod words;

pub use aside::SIGNALS;
pub use aside::aside;
pub use audit::AuditLog;
pub use audit::Event;
pub use audit::event as audit_event;
pub use expose::Exposition;
pub use guards::{ConnectionGuard, QueueGuard, UpstreamGuard};
pub use label::{EXPIRING_WITHIN_DAYS, OLDER_THAN_DAYS};
pub use label::{Handshake, ListenerKind, RouteId, TurnedAway, UpstreamError, UpstreamUse};
pub use label::{KeyCounts, Lanes, Limiter, Occupancy, TableCounts};
pub use metrics::{Metrics, WorkerMetrics};
pub use record::{About, Fate, Outcome, RecordGuard};
#[cfg(feature = "otlp")]
pub use spans::{Span, SpanCounts};
pub use status::Status;
pub use trace::Trace;
pub use trace::hexadecimal;
