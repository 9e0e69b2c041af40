//! The files that a configuration names: each is read once, and remembered so that it can be
//! watched.

use std::io;
use std::path::Path;
use std::path::PathBuf;

use crate::source;

/// Reads files and remembers their names, also of those that cannot be read.
#[derive(Clone, Debug, Default)]
pub(super) struct Files {
    named: Vec<PathBuf>,
    /// Whether requests are served meanwhile.
    serving: bool,
}

impl Files {
    /// For a process that serves.
    pub(super) fn serving() -> Self {
        Self { serving: true, ..Self::default() }
    }

    /// The same, for somebody who may wait for any disk.
    pub(super) fn looking(self) -> Self {
        Self { serving: false, ..self }
    }

    /// Whether what is written to must not be touched: its disk may hang, and whoever only wants to
    /// know which keys were revoked does not wait for that.
    pub(super) const fn are_serving(&self) -> bool {
        self.serving
    }

    /// Whether two paths lead to one file, as far as that can be told here.
    pub(super) fn same(&self, one: &Path, other: &Path) -> bool {
        one == other || (!self.serving && is_same(one, other))
    }

    /// Remembers a file without reading it.
    pub(super) fn name(&mut self, path: &Path) {
        if !self.named.iter().any(|known| known == path) {
            self.named.push(path.to_owned());
        }
    }

    /// Reads a file whole.
    pub(super) fn read(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        self.name(path);
        source::contents(path)
    }

    /// Whether one of them is the same file, whatever it is called.
    pub(super) fn have(&self, path: &Path) -> bool {
        self.named.iter().any(|known| self.same(known, path))
    }

    /// Every file that was named.
    pub(super) fn into_named(self) -> Vec<PathBuf> {
        self.named
    }
}

/// Whether two paths lead to one file.
fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    one == other || real(one).is_some_and(|one| real(other) == Some(one))
}

/// Whether everyone on the machine may read a file.
#[cfg(unix)]
pub(super) fn world_readable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o004 != 0)
}

/// Other systems have no such mode.
#[cfg(not(unix))]
pub(super) fn world_readable(_path: &Path) -> bool {
    false
}
