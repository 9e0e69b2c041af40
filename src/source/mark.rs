//! What tells that a file was touched, without reading it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use jiff::Timestamp;

/// Device, inode, size, and both times: an in-place write moves the time of the change even when
/// that of the modification is put back, and a swapped symlink leads to another inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Two changes that are no further apart may have the same time: systems count it in steps.
const STEP: i64 = 100_000_000;

impl Mark {
    /// Of what a path leads to, if it leads anywhere.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let meta = fs::metadata(path).ok()?;
        Some(Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }

    /// Whether a change from now on would give it another mark.
    #[must_use]
    pub fn is_settled(&self, now: Timestamp) -> bool {
        let (seconds, nanoseconds) = self.changed;
        let changed = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
        now.as_nanosecond() - changed > i128::from(STEP)
    }
}
