//! Whether files have changed: their marks at each look, and the content only of those whose mark
//! differs.

use std::collections::BTreeMap;
use std::fs;
use std::fs::File;
use std::io;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::source::Mark;

/// What a set of paths looked like.
#[derive(Clone, Debug, Default)]
pub(super) struct Fingerprint(BTreeMap<PathBuf, Seen>);

#[derive(Clone, Debug)]
struct Seen {
    /// `None` where a change could leave it as it is.
    mark: Option<Mark>,
    content: [u8; 32],
}

impl Fingerprint {
    /// Looks at the paths. What has the mark that it had before is not read.
    pub(super) fn of(paths: &[PathBuf], before: &Self, now: Timestamp) -> Self {
        let look = |path: &PathBuf| {
            let mark = Mark::of(path);
            let same = before.0.get(path).filter(|seen| mark.is_some() && seen.mark == mark);
            let content = same.map_or_else(|| content(path), |seen| seen.content);
            (path.clone(), Seen { mark: mark.filter(|mark| mark.is_settled(now)), content })
        };
        Self(paths.iter().map(look).collect())
    }

    /// Whether the same paths had the same contents.
    pub(super) fn has_contents_of(&self, other: &Self) -> bool {
        let contents = |it: &Self| -> Vec<_> {
            it.0.iter().map(|(path, seen)| (path.clone(), seen.content)).collect()
        };
        contents(self) == contents(other)
    }
}

/// A digest over the content of a file, over the names in a directory; what cannot be read counts
/// as such.
fn content(path: &Path) -> [u8; 32] {
    let mut whole = Sha256::new();
    if path.is_dir() {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
        names.sort();
        for name in names {
            whole.update(name.as_encoded_bytes());
            whole.update([0]);
        }
    } else if let Err(error) = add(path, &mut whole) {
        whole.update(error.kind().to_string());
    }
    whole.finalize().into()
}

fn add(path: &Path, whole: &mut Sha256) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut some = vec![0; 1 << 17];
    loop {
        match file.read(&mut some)? {
            0 => return Ok(()),
            read => whole.update(some.get(..read).unwrap_or_default()),
        }
    }
}
