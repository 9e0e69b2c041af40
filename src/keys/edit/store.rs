//! Replacing a file as a whole: lock, read, write a temporary file beside it, flush it to the disk,
//! rename it over the old one, flush the directory.
//!
//! The lock is a file of its own beside the key file, since the key file itself is another one
//! after every rename.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::fs;
use std::fs::File;
use std::fs::Metadata;
use std::fs::Permissions;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use crate::keys::lock;
use crate::source;
use crate::source::Problem;

type Result<T> = std::result::Result<T, Box<Problem>>;

/// How many random characters a temporary file has in its name.
const RANDOM: usize = 8;

/// A file that is locked against other edits, until this is dropped.
#[derive(Debug)]
pub(super) struct Store {
    /// As the user calls it.
    name: PathBuf,
    /// What is replaced: `name` with symlinks followed.
    target: PathBuf,
    directory: PathBuf,
    file_name: OsString,
    _lock: File,
}

impl Store {
    pub(super) fn lock(path: &Path) -> Result<Self> {
        let target = resolve(path)?;
        let (Some(directory), Some(file_name)) = (target.parent(), target.file_name()) else {
            return Err(Box::new(Problem::new(format!("`{}` is no file", path.display()))));
        };
        refuse_mounted(path, directory)?;
        let (directory, file_name) = (directory.to_owned(), file_name.to_owned());
        let lock_path = directory.join(affixed(&file_name, ".lock"));
        let lock = lock::open(&lock_path)
            .and_then(|lock| lock.lock().map(|()| lock))
            .map_err(|error| failed(&format!("`{}`", lock_path.display()), "locked", &error))?;
        Ok(Self { name: path.to_owned(), target, directory, file_name, _lock: lock })
    }

    /// The bytes of the file; none when there is no file yet.
    pub(super) fn read(&self) -> Result<Vec<u8>> {
        match source::contents(&self.target) {
            Ok(bytes) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(Box::new(Problem::unreadable(&self.name, &error))),
        }
    }

    /// Puts other bytes in the place of the file. Its mode and owner stay; a new one is for its
    /// owner alone.
    pub(super) fn replace(&self, bytes: &[u8]) -> Result<()> {
        self.remove_left_over();
        self.try_replace(bytes)
            .map_err(|error| failed(&format!("`{}`", self.name.display()), "written", &error))
    }

    fn try_replace(&self, bytes: &[u8]) -> io::Result<()> {
        let mut temporary = tempfile::Builder::new()
            .prefix(&affixed(&self.file_name, "."))
            .suffix(".tmp")
            .rand_bytes(RANDOM)
            .permissions(Permissions::from_mode(0o600))
            .tempfile_in(&self.directory)?;
        temporary.write_all(bytes)?;
        match fs::metadata(&self.target) {
            Ok(old) => take_after(temporary.as_file(), &old)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        temporary.as_file().sync_all()?;
        temporary.persist(&self.target).map_err(|error| error.error)?;
        File::open(&self.directory)?.sync_all()
    }

    /// Removes what an edit left behind that was killed. Only who holds the lock has such files.
    fn remove_left_over(&self) {
        let (prefix, suffix) = (affixed(&self.file_name, "."), ".tmp");
        let length = prefix.len() + RANDOM + suffix.len();
        for entry in fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let bytes = name.as_encoded_bytes();
            if bytes.len() == length
                && bytes.starts_with(prefix.as_encoded_bytes())
                && bytes.ends_with(suffix.as_bytes())
            {
                // If it stays it does no harm.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// `.NAME` and a suffix: hidden, and no `*.toml`, so that nobody takes it for a key file.
fn affixed(file_name: &OsStr, suffix: &str) -> OsString {
    let mut name = OsString::from(".");
    name.push(file_name);
    name.push(suffix);
    name
}

/// Follows symlinks; of a file that does not exist yet, those of its directory.
fn resolve(path: &Path) -> Result<PathBuf> {
    let unreadable = |error: &io::Error| Box::new(Problem::unreadable(path, error));
    match fs::canonicalize(path) {
        Ok(target) if target.is_file() => return Ok(target),
        Ok(target) if target.is_dir() => {
            return Err(unreadable(&io::ErrorKind::IsADirectory.into()));
        }
        Ok(_) => {
            let message = format!("`{}` is no regular file", path.display());
            let help = "put a regular file in its place, or a link to one";
            return Err(Box::new(Problem::new(message).help(help)));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(unreadable(&error)),
    }
    if fs::symlink_metadata(path).is_ok() {
        let message = format!("`{}` is a symlink to a file that does not exist", path.display());
        return Err(Box::new(Problem::new(message).help("remove it, or make what it points to")));
    }
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    match (fs::canonicalize(directory), path.file_name()) {
        (Ok(directory), Some(name)) => Ok(directory.join(name)),
        (Err(error), _) => Err(Box::new(Problem::unreadable(directory, &error))),
        (Ok(_), None) => Err(unreadable(&io::ErrorKind::IsADirectory.into())),
    }
}

/// Kubernetes writes its volumes into directories like `..2026_11_22` behind a symlink `..data`,
/// and replaces them as a whole: an edit would be lost.
fn refuse_mounted(path: &Path, directory: &Path) -> Result<()> {
    let dated =
        directory.iter().any(|part| part.len() > 2 && part.as_encoded_bytes().starts_with(b".."));
    if !dated && fs::symlink_metadata(directory.join("..data")).is_err() {
        return Ok(());
    }
    let message = format!(
        "`{}` is in a volume that Kubernetes mounts and replaces as a whole",
        path.display()
    );
    let help = "edit a copy of it, and put that into the Secret or ConfigMap that the volume shows";
    Err(Box::new(Problem::new(message).help(help)))
}

/// Gives the new file the mode and the owner of the old one.
fn take_after(new: &File, old: &Metadata) -> io::Result<()> {
    let made = new.metadata()?;
    if (made.uid(), made.gid()) != (old.uid(), old.gid()) {
        std::os::unix::fs::fchown(new, Some(old.uid()), Some(old.gid()))?;
    }
    new.set_permissions(Permissions::from_mode(old.mode() & 0o777))
}

fn failed(what: &str, done: &str, error: &io::Error) -> Box<Problem> {
    let kind = error.kind();
    let full =
        [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded, io::ErrorKind::FileTooLarge];
    let help = if full.contains(&kind) {
        "make room; nothing was changed"
    } else if kind == io::ErrorKind::ReadOnlyFilesystem {
        "the file system is read-only: edit the original of this file; nothing was changed"
    } else if kind == io::ErrorKind::PermissionDenied {
        "run this as the owner of the file, who may also write to its directory; nothing was changed"
    } else {
        "nothing was changed"
    };
    Box::new(Problem::new(format!("{what} cannot be {done}: {error}")).help(help))
}
