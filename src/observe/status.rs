//! What a probe is told.

use serde::Serialize;

/// The answer of `/readyz`, member by member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Status {
    /// A table is loaded, the listeners are up, and no drain has begun.
    pub ready: bool,
    /// The process was told to end and finishes what it has accepted.
    pub draining: bool,
    /// Counts the tables that came into force; 0 before the first.
    pub generation: u64,
    /// Hexadecimal digest of the files that are in force, to compare replicas.
    pub digest: String,
    /// How many keys the table holds, in any state.
    pub keys: usize,
    /// How many accounts the table holds.
    pub accounts: usize,
    /// When the table came into force, RFC 3339 in UTC.
    pub loaded_at: Option<String>,
    /// Why the files as they are now do not load, when they do not.
    pub error: Option<String>,
}
