//! What tells that a file was touched, without reading it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

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

    /// Of the content, in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Whether a change from now on would give it another mark.
    #[must_use]
    pub fn is_settled(&self, now: Timestamp) -> bool {
        self.settles_in(now).is_none()
    }

    /// How long it takes until a change would give it another mark. Never longer than a step, also
    /// where the file is said to have changed in the future.
    #[must_use]
    pub fn settles_in(&self, now: Timestamp) -> Option<Duration> {
        let (seconds, nanoseconds) = self.changed;
        let changed = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
        let left = (changed + i128::from(STEP) + 1) - now.as_nanosecond();
        u64::try_from(left.min(i128::from(STEP)))
            .ok()
            .filter(|left| *left > 0)
            .map(Duration::from_nanos)
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn a_file_settles_one_step_after_it_changed() {
        let made = tempfile::tempdir().unwrap();
        let path = made.path().join("file");
        fs::write(&path, "x").unwrap();
        let mark = Mark::of(&path).unwrap();
        let (seconds, nanoseconds) = mark.changed;
        let changed = Timestamp::new(seconds, nanoseconds.try_into().unwrap()).unwrap();
        let after = |nanoseconds| changed + SignedDuration::from_nanos(nanoseconds);
        assert_eq!(mark.settles_in(after(STEP + 1)), None);
        assert_eq!(mark.settles_in(after(STEP)), Some(Duration::from_nanos(1)));
        assert_eq!(mark.settles_in(after(STEP / 2)), Some(Duration::from_nanos(50_000_001)));
        assert_eq!(mark.settles_in(after(-STEP)), Some(Duration::from_nanos(100_000_000)));
        assert!(!mark.is_settled(after(STEP)) && mark.is_settled(after(STEP + 1)));
        assert_eq!(mark.size(), 1);
    }
}
