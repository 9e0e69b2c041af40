//! May this request pass? One synchronous function over facts and a snapshot.
//!
//! Must not know hyper, tokio, tracing, files, sockets or the clock: `now` is an argument.

mod access;
mod answer;
mod attempts;
mod authenticate;
mod authorize;
mod budget;
mod checks;
mod crowd;
mod decide;
mod extract;
mod facts;
mod identity;
mod inspect;
mod json;
mod limit;
mod listed;
mod network;
mod path;
mod pattern;
mod pointer;
mod policy;
mod prepared;
mod rate;
mod route;
mod rules;
mod snapshot;
mod tokens;
mod verdict;

pub use access::{PermissionSet, Permissions, effective};
pub use answer::{AnswerOverride, Answers, Format, Rendered};
pub use attempts::Attempts;
pub use authenticate::Principal;
pub use authorize::Grant;
pub use budget::{Budget, Reserve};
pub use checks::{Check, Checks};
pub use crowd::{Crowd, Crowded, Most, Place};
pub use decide::{Step, Verdict, decide, decide_as};
pub use facts::{Facts, Transport};
pub use identity::{Identity, ReservedName, Stripper};
pub use inspect::{Inspection, Judged};
pub use json::Findings;
pub use limit::{InFlight, LaneKey, LimitBy, Permit, Queue, Slot, Slots, Waiting};
pub use network::{client_address, normalize};
pub use path::CanonicalPath;
pub use pattern::KeyPattern;
pub use pointer::{Pointer, PointerError};
pub use policy::{Anonymous, BasicUser, Credentials, HttpAccepts, Unmatched};
pub use rate::{Quota, Rate, Rates};
pub use route::{PathPattern, PatternError, Route, RouteConflict, RouteIndex, Routes};
pub use rules::BodyRules;
pub use snapshot::{Parts, Revocations, Snapshot};
pub use tokens::{
    Algorithm, Endpoint, Minting, Profile, SigningKey, SigningKeyError, TokenSettings, Tokens,
};
pub use verdict::Denial;
