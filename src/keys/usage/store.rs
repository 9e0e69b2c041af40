//! The file in its directory: read as it is, added to under a lock, replaced as a whole.

use std::fs;
use std::fs::DirBuilder;
use std::fs::File;
use std::fs::OpenOptions;
use std::fs::Permissions;
use std::fs::TryLockError;
use std::io;
use std::io::BufReader;
use std::io::BufWriter;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use thiserror::Error;

use super::Usage;
use super::entry;
use super::entry::Mark;
use super::entry::Use;
use super::format;
use super::format::Damage;
use super::format::MergeError;
use crate::keys::lock;

const NAME: &str = "usage";
const LOCK: &str = "usage.lock";
const TEMPORARY: (&str, &str) = (".usage.", ".tmp");
/// How often, and how long apart, the lock is asked for.
const TRIES: u32 = 50;
const APART: Duration = Duration::from_millis(20);

/// A state directory, to record uses in.
#[derive(Clone, Debug)]
pub struct UsageStore {
    directory: PathBuf,
}

/// What came of adding.
#[derive(Debug)]
pub struct Added {
    /// How many keys are in the file now.
    pub keys: u64,
    /// How many bytes it has.
    pub bytes: u64,
    /// Where a file went that was of no use, and why it was of none.
    pub aside: Option<(PathBuf, Damage)>,
}

/// Why a record cannot be read.
#[derive(Debug, Error)]
#[error("`{}` cannot be read: {damage}", .path.display())]
pub struct ReadError {
    /// The file.
    pub path: PathBuf,
    /// What stands against it.
    pub damage: Damage,
}

impl UsageStore {
    /// In a directory, which need not exist yet.
    #[must_use]
    pub const fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// What was recorded; `None` where nothing ever was.
    ///
    /// # Errors
    /// When there is a file and it cannot be read, or is damaged.
    pub fn read(&self) -> Result<Option<Usage>, ReadError> {
        let path = self.directory.join(NAME);
        let read = open(&path).map_err(Damage::Io).and_then(|opened| match opened {
            Some((file, length)) => format::read(BufReader::new(file), length).map(Some),
            None => Ok(None),
        });
        read.map_err(|damage| ReadError { path, damage })
    }

    /// Adds uses, sorted by mark. To add none makes sure that the file exists, so that it says since
    /// when uses are recorded.
    ///
    /// # Errors
    /// When the directory cannot be written or another process holds the lock for long, or when `now`
    /// cannot be true; then nothing has changed.
    pub fn add(&self, new: &[(Mark, Use)], now: Timestamp) -> io::Result<Added> {
        if entry::second(now) < entry::EARLIEST {
            return Err(io::Error::other(format!("the clock is not set: it says {now}")));
        }
        self.make()?;
        let _lock = self.lock()?;
        self.remove_left_over();
        let path = self.directory.join(NAME);
        let mut aside = None;
        let old = match open(&path) {
            // A directory, a pipe: whatever it is, it is not ours.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                aside = Some((self.move_aside(&path, now)?, Damage::Foreign));
                None
            }
            old => old?,
        };
        let replaced = match self.replace(old, new, now) {
            Err(MergeError::Old(Damage::Io(error))) => return Err(error),
            Err(MergeError::Old(damage)) => {
                aside = Some((self.move_aside(&path, now)?, damage));
                self.replace(None, new, now)
            }
            replaced => replaced,
        };
        let (keys, bytes) = replaced.map_err(|error| match error {
            MergeError::New(error) | MergeError::Old(Damage::Io(error)) => error,
            MergeError::Old(damage) => io::Error::other(damage),
        })?;
        Ok(Added { keys, bytes, aside })
    }

    fn replace(
        &self,
        old: Option<(File, u64)>,
        new: &[(Mark, Use)],
        now: Timestamp,
    ) -> Result<(u64, u64), MergeError> {
        let temporary = tempfile::Builder::new()
            .prefix(TEMPORARY.0)
            .suffix(TEMPORARY.1)
            .permissions(Permissions::from_mode(0o600))
            .tempfile_in(&self.directory)?;
        let old = old.map(|(file, length)| (BufReader::with_capacity(MUCH, file), length));
        let writer = BufWriter::with_capacity(MUCH, temporary.as_file());
        let keys = format::merge(old, new, entry::second(now), writer)?;
        let bytes = temporary.as_file().metadata()?.len();
        temporary.as_file().sync_all()?;
        temporary.persist(self.directory.join(NAME)).map_err(|error| error.error)?;
        File::open(&self.directory)?.sync_all()?;
        Ok((keys, bytes))
    }

    /// Makes the directory, where there is one to make it in.
    fn make(&self) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(&self.directory) {
            Err(error) if !self.directory.is_dir() => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// A lock that ends with the process that holds it, whatever ends that.
    fn lock(&self) -> io::Result<File> {
        let lock = lock::open(&self.directory.join(LOCK))?;
        for _ in 0..TRIES {
            match lock.try_lock() {
                Ok(()) => return Ok(lock),
                Err(TryLockError::WouldBlock) => thread::sleep(APART),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        let message = format!("another process holds `{}`", self.directory.join(LOCK).display());
        Err(io::Error::new(io::ErrorKind::WouldBlock, message))
    }

    /// Removes what a process left behind that was killed. Only who holds the lock has such files.
    fn remove_left_over(&self) {
        for entry in fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.as_encoded_bytes();
            if name.starts_with(TEMPORARY.0.as_bytes()) && name.ends_with(TEMPORARY.1.as_bytes()) {
                // If it stays it does no harm.
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Gives a file another name, under which nobody looks for it.
    fn move_aside(&self, path: &Path, now: Timestamp) -> io::Result<PathBuf> {
        let aside = self.directory.join(now.strftime("usage.damaged-%Y%m%dT%H%M%SZ").to_string());
        fs::rename(path, &aside)?;
        Ok(aside)
    }
}

/// How many bytes are read and written at once.
const MUCH: usize = 128 * 1024;

/// A file and its length, if there is one; what is no file is an error of its own kind.
fn open(path: &Path) -> io::Result<Option<(File, u64)>> {
    // Never waits for the other end of a pipe.
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW;
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    let no_file = || io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file");
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(_) if fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) => {
            return Err(no_file());
        }
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    if metadata.is_file() { Ok(Some((file, metadata.len()))) } else { Err(no_file()) }
}

#[cfg(test)]
mod tests;
