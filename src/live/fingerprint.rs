//! Whether files have changed: their marks at each look, and the content only of those whose mark
//! differs.
//!
//! What key files hold the key store knows. It reads one that may have changed once, to tell whether
//! it has and to load it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::clock;
use crate::keys::KeyStore;
use crate::source;
use crate::source::Mark;

/// What a set of paths looked like.
#[derive(Clone, Debug, Default)]
pub(super) struct Fingerprint(BTreeMap<PathBuf, Seen>);

#[derive(Clone, Debug)]
struct Seen {
    /// `None` where a change could leave it as it is, and where the key store looks at it.
    mark: Option<Mark>,
    content: [u8; 32],
}

impl Fingerprint {
    /// Looks at the paths. What has the mark that it had before is not read.
    pub(super) fn of(
        paths: &[PathBuf],
        before: &Self,
        store: &mut KeyStore,
        now: Timestamp,
    ) -> Self {
        let look = |path: &PathBuf| (path.clone(), Seen::at(path, before, store, now));
        Self(paths.iter().map(look).collect())
    }

    /// What was loaded, where this is how it looked before: the key files as the store read them,
    /// all else as it looked. Says, too, whether something was loaded at which nobody had looked.
    pub(super) fn loaded(
        &self,
        paths: &[PathBuf],
        store: &mut KeyStore,
        now: Timestamp,
    ) -> (Self, bool) {
        let mut missed = false;
        let seen = |path: &PathBuf| {
            let known = store.digest(path).map(|content| Seen { mark: None, content });
            let seen = known.or_else(|| self.0.get(path).cloned()).unwrap_or_else(|| {
                missed = true;
                Seen::at(path, self, store, now)
            });
            (path.clone(), seen)
        };
        let loaded = paths.iter().map(seen).collect();
        (Self(loaded), missed)
    }

    /// Whether the same paths had the same contents.
    pub(super) fn has_contents_of(&self, other: &Self) -> bool {
        let same = |((one, seen), (another, other)): ((_, &Seen), (_, &Seen))| {
            one == another && seen.content == other.content
        };
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(same)
    }
}

impl Seen {
    fn at(path: &Path, before: &Fingerprint, store: &mut KeyStore, now: Timestamp) -> Self {
        clock::give_way();
        let mark = Mark::of(path);
        if let Some(content) = store.look(path, mark, now) {
            return Self { mark: None, content };
        }
        let same = before.0.get(path).filter(|seen| mark.is_some() && seen.mark == mark);
        let content = same.map_or_else(|| content(path), |seen| seen.content);
        Self { mark: mark.filter(|mark| mark.is_settled(now)), content }
    }
}

/// A digest over the content of a file, over the names in a directory; what cannot be read counts
/// as such.
fn content(path: &Path) -> [u8; 32] {
    let mut whole = Sha256::new();
    if path.is_dir() {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        let entries = entries.inspect(|_| clock::give_way());
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
    let mut file = source::open(path)?;
    let mut some = vec![0; 1 << 14];
    loop {
        clock::give_way();
        match file.read(&mut some)? {
            0 => return Ok(()),
            read => whole.update(some.get(..read).unwrap_or_default()),
        }
    }
}
