//! What happened, told once: the record of each request, and its three views: metrics, the access
//! log, and the health that probes ask for.
//!
//! Must not know hyper, nor any secret: it is handed ids, reasons and numbers.

mod access;
mod cells;
mod expose;
mod guards;
mod histogram;
mod json;
mod key_series;
mod label;
pub mod log;
mod metrics;
mod process;
mod record;
mod sink;
mod status;

pub use expose::Exposition;
pub use guards::{ConnectionGuard, QueueGuard, UpstreamGuard};
pub use label::{EXPIRING_WITHIN_DAYS, OLDER_THAN_DAYS};
pub use label::{Handshake, ListenerKind, RouteId, TurnedAway, UpstreamError, UpstreamUse};
pub use label::{KeyCounts, Lanes, Limiter, Occupancy, TableCounts};
pub use metrics::{Metrics, WorkerMetrics};
pub use record::{About, Fate, Outcome, RecordGuard};
pub use status::Status;
