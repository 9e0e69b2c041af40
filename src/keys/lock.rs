//! The lock beside a file that is replaced as a whole, and so cannot be locked itself.

use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

/// Opens the file to lock, or makes it, for its owner alone. A link in its place is not followed.
///
/// # Errors
/// When it cannot be opened for writing.
pub(super) fn open(path: &Path) -> io::Result<File> {
    // Nor is a pipe's reader waited for.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600).custom_flags(flags).open(path)
}
