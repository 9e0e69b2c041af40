//! May this request pass? One synchronous function over facts and a snapshot.
//!
//! Must not know hyper, tokio, tracing, files, sockets or the clock: `now` is an argument.

mod access;
mod answer;
mod authenticate;
mod authorize;
mod decide;
mod extract;
mod facts;
mod identity;
mod limit;
mod network;
mod path;
mod policy;
mod route;
mod snapshot;
mod verdict;

pub use access::{PermissionSet, Permissions, effective};
pub use answer::{AnswerOverride, Answers, Format, Rendered};
pub use authenticate::Principal;
pub use authorize::Grant;
pub use decide::{Verdict, decide};
pub use facts::{Facts, Transport};
pub use identity::{Identity, ReservedName, Stripper};
pub use limit::{InFlight, LaneKey, LimitBy, Permit, Queue, Slot, Slots, Waiting};
pub use network::{client_address, normalize};
pub use path::CanonicalPath;
pub use policy::{Anonymous, BasicUser, Credentials, HttpAccepts, KeyPattern, Unmatched};
pub use route::{PathPattern, PatternError, Route, RouteConflict, RouteIndex, Routes};
pub use snapshot::{Parts, Revocations, Snapshot};
pub use verdict::Denial;
