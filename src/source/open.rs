//! Opening a file to read it, without ever waiting for somebody to write into it.
//!
//! Where a file should be, something else may come to stand: a pipe that nobody writes into would
//! keep whoever reads it, and all that should be loaded after it. So only regular files are read, and
//! what the process was given to read: the pipe of `/dev/stdin` and of a shell's `<(…)`, which ends
//! when its writer does. A path to the pipe of another process looks the same and is refused.

use std::fmt;
use std::fs;
use std::fs::File;
use std::fs::FileType;
use std::fs::Metadata;
use std::fs::OpenOptions;
use std::io;
use std::io::Read as _;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::fs::StatFs;
use rustix::fs::fcntl_getfl;
use rustix::fs::fcntl_setfl;
use rustix::fs::fstatfs;
use rustix::fs::statfs;

/// Where pipes are that have no name.
const PIPEFS: rustix::fs::FsWord = 0x5049_5045;

/// What stands where a file should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Irregular {
    Pipe,
    /// One without a name that is not ours.
    Foreign,
    Socket,
    Device,
}

impl fmt::Display for Irregular {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pipe => "a named pipe, not a regular file",
            Self::Foreign => "the pipe of another process, not a regular file",
            Self::Socket => "a socket, not a regular file",
            Self::Device => "a device, not a regular file",
        })
    }
}

impl std::error::Error for Irregular {}

impl Irregular {
    /// What an error is about, if it is this.
    pub(super) fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

/// Opens a file to read it, or a directory.
///
/// # Errors
/// When it cannot be opened, or is neither.
pub fn open(path: &Path) -> io::Result<File> {
    // To open a pipe or a device is to do something to it, so it is looked at before.
    let before = fs::metadata(path)?;
    judge(&before, || statfs(path))?;
    if before.file_type().is_fifo() && !was_given(&before)? {
        return Err(refused(Irregular::Foreign));
    }
    // It may have become another one since.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    judge(&found, || fstatfs(&file))?;
    if found.file_type().is_fifo() {
        // Now that it is open it is ours, whatever it is.
        if !is_same(&found, &before) {
            return Err(refused(Irregular::Foreign));
        }
        // Whoever was given it waits for what it says.
        fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    }
    Ok(file)
}

/// Reads a file whole.
///
/// # Errors
/// When it cannot be opened or read, or is none.
pub fn contents(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = open(path)?;
    let size = file.metadata().map_or(0, |found| found.len());
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(size).unwrap_or(0))?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn judge(found: &Metadata, system: impl FnOnce() -> rustix::io::Result<StatFs>) -> io::Result<()> {
    let kind: FileType = found.file_type();
    let irregular = if kind.is_file() || kind.is_dir() || is_null(found) {
        return Ok(());
    } else if kind.is_fifo() {
        if system()?.f_type == PIPEFS {
            return Ok(());
        }
        Irregular::Pipe
    } else if kind.is_socket() {
        Irregular::Socket
    } else {
        Irregular::Device
    };
    Err(refused(irregular))
}

fn refused(irregular: Irregular) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, irregular)
}

/// Whether this process can read from a pipe already, without opening it.
fn was_given(pipe: &Metadata) -> io::Result<bool> {
    for own in fs::read_dir("/proc/self/fd")? {
        let own = own?.path();
        // The link says what the descriptor is open for.
        let readable = fs::symlink_metadata(&own).is_ok_and(|link| link.mode() & 0o400 != 0);
        if readable && fs::metadata(&own).is_ok_and(|found| is_same(&found, pipe)) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Whether it is `/dev/null`, which is an empty file to everyone.
fn is_null(found: &Metadata) -> bool {
    let device = found.rdev();
    found.file_type().is_char_device()
        && (rustix::fs::major(device), rustix::fs::minor(device)) == (1, 3)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::process::Command;
    use std::process::Stdio;

    use rustix::fs::CWD;
    use rustix::fs::FileType::Fifo;
    use rustix::fs::mknodat;

    use super::*;

    #[test]
    fn what_is_no_file_is_refused_at_once_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        mknodat(CWD, at("pipe"), Fifo, 0o600.into(), 0).unwrap();
        symlink("pipe", at("link")).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        let irregular = |path: &Path| Irregular::of(&contents(path).unwrap_err());
        assert_eq!(irregular(&at("pipe")), Some(Irregular::Pipe));
        assert_eq!(irregular(&at("link")), Some(Irregular::Pipe));
        assert_eq!(irregular(&at("socket")), Some(Irregular::Socket));
        assert_eq!(irregular(Path::new("/dev/zero")), Some(Irregular::Device));
    }

    #[test]
    fn what_a_link_leads_to_is_read_and_what_the_process_was_given() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("file"), "text").unwrap();
        symlink("file", at("link")).unwrap();
        assert_eq!(contents(&at("link")).unwrap(), b"text");
        assert_eq!(contents(Path::new("/dev/null")).unwrap(), b"");
        assert_eq!(contents(&at("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
        let error = contents(directory.path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::IsADirectory);

        let (given, mut writer) = io::pipe().unwrap();
        let path = format!("/proc/self/fd/{}", given.as_raw_fd());
        let writes = std::thread::spawn(move || {
            // Whoever reads waits for all of it.
            for _ in 0..100 {
                writer.write_all(&[b'x'; 4096]).unwrap();
            }
        });
        assert_eq!(contents(Path::new(&path)).unwrap().len(), 100 * 4096);
        writes.join().unwrap();
    }

    #[test]
    fn a_pipe_that_this_process_only_writes_to_was_not_given_to_it() {
        let mut reader = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let end = reader.stdin.take().unwrap();
        let path = format!("/proc/self/fd/{}", end.as_raw_fd());
        let error = contents(Path::new(&path)).unwrap_err();
        assert_eq!(Irregular::of(&error), Some(Irregular::Foreign));
        drop(end);
        reader.wait().unwrap();
    }
}
