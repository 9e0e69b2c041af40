//! When each key was last used, and from which network: a file in the state directory.
//!
//! A key is *used* by every request that presents it, or a token that was minted from it, and is
//! judged by it, whatever the judgement: who still sends a key that was revoked has not changed it
//! yet. Requests that are refused before anybody looks at their credential (the transport, the form
//! of the path) and those of public routes use none.
//!
//! **What is kept.** For each key that was used in the last [`KEPT`]: a part of its digest (so a
//! record whose `id` changes keeps its past, and one whose digest changes begins anew), the second,
//! and the network, of IPv4 24 bits and of IPv6 48: enough to know whose machine it is, not which.
//! 28 bytes a key. And since when all this is recorded: what was not seen may have happened before.
//!
//! **Where.** One file, `usage`, that all processes which share the directory (replicas, the old and
//! the new one at an upgrade) add to. Who adds holds a lock, reads the file, and replaces it by one
//! that has both: newest wins, so that nobody's is lost and adding twice changes nothing. It is read
//! and written as a stream, sorted, so that a million keys take no memory in a process that records.
//! Readers need no lock: the file is replaced as a whole. One that is damaged, or not ours, is moved
//! aside and another begun. While the clock has not been set (it says 1970) nothing is written, since
//! that would make all that is known old; what is seen meanwhile counts as of when it is written.
//!
//! Must not know how uses are collected, or the clock.

mod entry;
mod format;
mod store;

use std::time::Duration;

use jiff::Timestamp;

pub use self::entry::Mark;
pub use self::entry::Network;
pub use self::entry::Use;
pub use self::format::Damage;
pub use self::store::Added;
pub use self::store::ReadError;
pub use self::store::UsageStore;

use super::digest::KeyDigest;

/// How long the last use of a key is remembered: a year, and a month for what happens yearly.
pub const KEPT: Duration = Duration::from_hours(400 * 24);

/// What was recorded, read.
#[derive(Clone, Debug)]
pub struct Usage {
    since: u32,
    /// By mark, ascending.
    entries: Vec<(Mark, Use)>,
}

impl Usage {
    /// Since when uses are recorded.
    #[must_use]
    pub fn since(&self) -> Timestamp {
        entry::instant(self.since)
    }

    /// The last use of the key that has a digest.
    #[must_use]
    pub fn of(&self, digest: &KeyDigest) -> Option<Use> {
        let mark = Mark::of(digest);
        let at = self.entries.binary_search_by_key(&mark, |(its, _)| *its).ok()?;
        self.entries.get(at).map(|(_, last)| *last)
    }

    /// How many keys were used.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none was.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
