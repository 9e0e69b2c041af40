//! Key files as they are loaded again and again: only what changed is read, and of what is read
//! only what is new is parsed.
//!
//! A file whose mark is the same is not opened. Of one that is, each piece of text that was there
//! before keeps the block that was made of it. Nothing of the texts stays in memory, and no more
//! than a few pieces are there at a time.
//!
//! To tell whether a file is another one is to read it, so both are one: what is read to tell is
//! there when it is loaded.

mod cut;
mod piece;

use std::collections::HashMap;
use std::io;
use std::num::NonZero;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use sha2::Digest as _;
use sha2::Sha256;

use self::cut::Cutter;
use self::piece::Piece;
use super::digest::Digester;
use super::file::KeyFile;
use super::owners::Owners;
use super::sheet::Sheet;
use super::token::ApiKey;
use crate::clock;
use crate::source;
use crate::source::Mark;

/// What was read of key files so far.
#[derive(Debug, Default)]
pub struct KeyStore {
    held: HashMap<PathBuf, Held>,
    /// By what the digests were read, with the pepper.
    digester: Option<Digester>,
    depth: Depth,
    owners: Owners,
    /// How many owners there were when all files had been read for them.
    first_owners: Option<usize>,
}

/// How files are read.
#[derive(Clone, Copy)]
struct How<'h> {
    digester: &'h Digester,
    depth: Depth,
    owners: &'h Owners,
}

/// What is kept of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Depth {
    #[default]
    Keys,
    /// Nothing of the keys, not even whether their text is the same as before.
    Accounts,
}

/// What one file holds.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// SHA-256 over the contents.
    pub digest: [u8; 32],
    /// `None` where something in it is wrong, or might be: then it must be read in full.
    pub sheet: Option<Arc<Sheet>>,
}

#[derive(Debug)]
struct Held {
    /// `None` where a change could leave it as it is.
    mark: Option<Mark>,
    size: u64,
    loaded: Loaded,
    pieces: Vec<Piece>,
}

/// How many owners there may be at least, and how many times as many as at first, before those that
/// are gone are forgotten.
const FEW_OWNERS: usize = 1 << 12;
const MORE_OWNERS: usize = 4;
/// How much is worth a second thread.
const MUCH: usize = 16;
/// From which size, in bytes, it is better to wait than to read twice.
const LARGE: u64 = 4 << 20;

impl KeyStore {
    /// Reads files, each unless it is known to be the same as when it was last read. Forgets all
    /// others.
    ///
    /// # Errors
    /// For each file whether it can be read at all.
    pub fn load(&mut self, paths: &[PathBuf], digester: &Digester) -> Vec<io::Result<Loaded>> {
        self.require_pepper(digester);
        self.forget_owners(FEW_OWNERS);
        let (depth, owners) = (self.depth, self.owners.clone());
        let how = How { digester, depth, owners: &owners };
        let threads = match depth {
            // What stays is to lie in the memory of the process's first thread, which loads it: of
            // all threads' memory glibc puts only that into large pages, where a look into a large
            // table takes less long. And while requests are served, one core is enough.
            Depth::Keys => 1,
            Depth::Accounts => thread::available_parallelism().map_or(1, NonZero::get),
        };
        let mut old = std::mem::take(&mut self.held);
        let now = clock::now();
        let marks = paths.iter().map(|path| {
            clock::give_way();
            let mark = Mark::of(path);
            let held = old.remove(path);
            (path, mark, held)
        });
        let asked: Vec<_> = marks.collect();
        let mut read = in_parallel(&asked, threads, |(path, mark, held), threads| {
            let same = held.as_ref().filter(|held| mark.is_some() && held.mark == *mark);
            match same {
                Some(_) => None,
                None => {
                    let read = Held::read(path, *mark, held.as_ref(), how, threads);
                    Some(read.map(|held| held.marked(now)))
                }
            }
        })
        .into_iter();
        let mut results = Vec::with_capacity(paths.len());
        for (path, _, held) in asked {
            let held = match read.next().flatten().map_or_else(|| Ok(held), |read| read.map(Some)) {
                Ok(Some(held)) => held,
                // Nothing was known of it, so it was read.
                Ok(None) => {
                    results.push(Err(io::ErrorKind::NotFound.into()));
                    continue;
                }
                Err(error) => {
                    results.push(Err(error));
                    continue;
                }
            };
            results.push(Ok(held.loaded.clone()));
            self.held.insert(path.clone(), held);
        }
        self.first_owners.get_or_insert_with(|| owners.len());
        results
    }

    /// What the full reader found in a file that could not be loaded otherwise, to make one table of
    /// it and of what was.
    #[must_use]
    pub fn sheet(&self, file: &KeyFile) -> Arc<Sheet> {
        Arc::new(Sheet::owned_by(&self.owners, file))
    }

    /// What a file holds that was read before: a digest that is the same as long as its contents
    /// are. Reads it again where `mark`, which it has now, is not the one that it had. `None` for
    /// what was not read, or can no longer be.
    pub fn look(&mut self, path: &Path, mark: Option<Mark>, now: Timestamp) -> Option<[u8; 32]> {
        let held = self.held.get(path)?;
        if mark.is_some() && held.mark == mark {
            return Some(held.loaded.digest);
        }
        let how =
            How { digester: self.digester.as_ref()?, depth: self.depth, owners: &self.owners };
        let read = Held::read(path, mark, Some(held), how, 1);
        let Ok(held) = read.map(|read| read.marked(now)) else {
            self.held.remove(path);
            return None;
        };
        let digest = held.loaded.digest;
        self.held.insert(path.to_owned(), held);
        Some(digest)
    }

    /// The digest of a file that was read, as it was when it was last read.
    #[must_use]
    pub fn digest(&self, path: &Path) -> Option<[u8; 32]> {
        self.held.get(path).map(|held| held.loaded.digest)
    }

    /// How long to wait so that large files that have just changed need not be read twice. Never
    /// long, also where they change all the time.
    #[must_use]
    pub fn settles_in(&self, now: Timestamp) -> Option<Duration> {
        let large = self.held.iter().filter(|(_, held)| held.size >= LARGE);
        let left = large.filter_map(|(path, held)| {
            let mark = Mark::of(path).filter(|mark| held.mark != Some(*mark))?;
            mark.settles_in(now)
        });
        left.max()
    }

    /// Reads files as [`KeyStore::load`] does, to know whether they are sound and which accounts they
    /// define: of the keys nothing is kept.
    pub fn survey(paths: &[PathBuf], digester: &Digester) -> Vec<io::Result<Loaded>> {
        Self { depth: Depth::Accounts, ..Self::default() }.load(paths, digester)
    }

    /// Makes sure that every file is read again, whatever its mark.
    pub fn doubt(&mut self) {
        self.held.values_mut().for_each(|held| held.mark = None);
    }

    /// Begins anew with the owners where most are likely to be gone: then all files are read again.
    fn forget_owners(&mut self, few: usize) {
        let most = self.first_owners.map(|first| first.saturating_mul(MORE_OWNERS).max(few));
        if most.is_some_and(|most| self.owners.len() > most) {
            (self.owners, self.first_owners) = (Owners::default(), None);
            self.held.clear();
        }
    }

    /// What was read under another pepper means something else.
    fn require_pepper(&mut self, digester: &Digester) {
        let probe =
            |digester: &Digester| digester.digest(&ApiKey::new(digester.algorithm().as_bytes()));
        if !self.digester.as_ref().is_some_and(|known| probe(known).matches(&probe(digester))) {
            self.held.clear();
        }
        self.digester = Some(digester.clone());
    }
}

impl Held {
    /// Reads a file. `before` is what it held when it was last read.
    fn read(
        path: &Path,
        mark: Option<Mark>,
        before: Option<&Self>,
        how: How<'_>,
        threads: usize,
    ) -> io::Result<Self> {
        let known = before.iter().flat_map(|before| &before.pieces);
        let known: HashMap<_, _> = known.map(|piece| (&piece.digest, &piece.blocks)).collect();
        let mut cutter = Cutter::new(source::open(path)?)?;
        let mut pieces: Vec<Piece> = Vec::new();
        let mut whole = Sha256::new();
        let mut sound = true;
        let mut add = |piece: Result<Piece, [u8; 32]>| match piece {
            Ok(piece) => {
                whole.update(piece.digest);
                pieces.push(piece);
            }
            Err(digest) => {
                whole.update(digest);
                sound = false;
            }
        };
        if threads < 2 {
            // Where it lies: what requests have in the processor's cache stays there.
            while let Some((base, text)) = cutter.next()? {
                add(Piece::read(base, text, &known, how));
            }
        } else {
            loop {
                let texts = cutter.some(MUCH)?;
                if texts.is_empty() {
                    break;
                }
                let read = in_parallel(&texts, threads, |(base, text), _| {
                    Piece::read(*base, text, &known, how)
                });
                read.into_iter().for_each(&mut add);
            }
        }
        let sheet = (sound && !cutter.was_blank()).then(|| {
            let mut sheet = Sheet::new(how.owners.clone());
            for Piece { base, blocks, .. } in &pieces {
                blocks.iter().for_each(|block| sheet.push(*base, Arc::clone(block)));
            }
            Arc::new(sheet)
        });
        let loaded = Loaded { digest: whole.finalize().into(), sheet };
        let size = mark.map_or(0, |mark| mark.size());
        Ok(Self { mark, size, loaded, pieces })
    }

    /// Keeps the mark that it had before it was read, if that tells it from what it becomes later.
    fn marked(self, now: Timestamp) -> Self {
        Self { mark: self.mark.filter(|mark| mark.is_settled(now)), ..self }
    }
}

/// Does the same with every thing, in some threads if it is worth it, and tells each how many
/// threads are left for it.
fn in_parallel<T: Sync, R: Send>(
    things: &[T],
    threads: usize,
    work: impl Fn(&T, usize) -> R + Sync,
) -> Vec<R> {
    if threads < 2 || things.len() < MUCH.min(2 * threads) {
        return things.iter().map(|thing| work(thing, threads)).collect();
    }
    let share = things.len().div_ceil(threads);
    thread::scope(|scope| {
        let work = &work;
        let running = things.chunks(share).map(|some| {
            let serve = move || some.iter().map(|thing| work(thing, 1)).collect::<Vec<_>>();
            (some, thread::Builder::new().spawn_scoped(scope, serve))
        });
        let running: Vec<_> = running.collect();
        let mut results = Vec::with_capacity(things.len());
        for (some, running) in running {
            match running.map(thread::ScopedJoinHandle::join) {
                Ok(Ok(done)) => results.extend(done),
                // Without another thread, or where one broke down, this one does it.
                Ok(Err(_)) | Err(_) => results.extend(some.iter().map(|thing| work(thing, 1))),
            }
        }
        results
    })
}

#[cfg(test)]
mod tests;
