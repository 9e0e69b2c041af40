//! Whether files have changed: their metadata at each poll, and their content only when that
//! differs.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// What a set of paths looked like: what they lead to, and when that was last touched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fingerprint(Vec<Mark>);

/// Device, inode, size, and both times: an in-place write moves `ctime` even when `mtime` is put
/// back, and a swapped symlink leads to another inode.
type Mark = Option<(u64, u64, u64, (i64, i64), (i64, i64))>;

impl Fingerprint {
    pub(super) fn of(paths: &[PathBuf]) -> Self {
        Self(paths.iter().map(|path| mark(path)).collect())
    }
}

fn mark(path: &Path) -> Mark {
    let meta = fs::metadata(path).ok()?;
    let modified = (meta.mtime(), meta.mtime_nsec());
    let changed = (meta.ctime(), meta.ctime_nsec());
    Some((meta.dev(), meta.ino(), meta.size(), modified, changed))
}

/// A digest over the contents of a set of files; what cannot be read counts as such, directories
/// by the names in them.
pub(super) fn contents(paths: &[PathBuf]) -> [u8; 32] {
    let mut whole = Sha256::new();
    for path in paths {
        whole.update(path.as_os_str().as_encoded_bytes());
        whole.update([0]);
        if path.is_dir() {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
            names.sort();
            names.iter().for_each(|name| whole.update(name.as_encoded_bytes()));
            continue;
        }
        match fs::read(path) {
            Ok(bytes) => whole.update(Sha256::digest(bytes)),
            Err(error) => whole.update(error.kind().to_string()),
        }
    }
    whole.finalize().into()
}
