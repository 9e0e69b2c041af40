//! What happened, told once: the record of each request, and its three views: metrics, the access
//! log, and the health that probes ask for.
//!
//! Must not know hyper, nor any secret: it is handed ids, reasons and numbers.

mod access;
mod cells;
mod expose;
mod json;
mod label;
pub mod log;
mod metrics;
mod record;
mod sink;
mod status;

pub use expose::Exposition;
pub use label::{KeyCounts, ListenerKind, RouteId, TurnedAway, UpstreamError};
pub use metrics::{ConnectionGuard, Metrics, WorkerMetrics};
pub use record::{About, Fate, Outcome, RecordGuard};
pub use status::Status;
