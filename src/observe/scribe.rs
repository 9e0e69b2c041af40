//! Who writes the lines of the access log: to the end of a file, which others may rename or remove
//! meanwhile, or among the lines of the log on standard error.

use std::fs;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::log;
use super::output::{Lost, Output};
use crate::clock;

/// How often to look whether the file is still there under its name.
const LOOK: Duration = Duration::from_secs(1);
/// For its owner to write, for its group to read.
const MODE: u32 = 0o640;

/// Where lines go.
#[derive(Debug)]
pub(super) enum Target {
    /// Standard error.
    Stderr,
    /// A file that is open, and whether its last line lacks its end.
    File(PathBuf, File, bool),
}

impl Target {
    /// Opens a file to write at its end, or makes it.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(super) fn file(path: &Path) -> io::Result<Self> {
        let (file, torn) = open(path)?;
        Ok(Self::File(path.to_owned(), file, torn))
    }
}

/// Opens a file to write at its end, or makes it; and says whether its last line lacks its end.
pub(super) fn open(path: &Path) -> io::Result<(File, bool)> {
    // A pipe that nobody reads is an error: waiting for its reader would keep whoever loads the
    // configuration from seeing what was revoked.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let mut options = OpenOptions::new();
    let file = options.append(true).create(true).mode(MODE).custom_flags(flags).open(path)?;
    let regular = file.metadata()?.is_file();
    if !regular {
        // A reader that is only slow is waited for, by the thread that writes.
        fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    }
    Ok((file, regular && is_torn(path).unwrap_or(false)))
}

/// Whether what wrote a file before us was killed within a line.
fn is_torn(path: &Path) -> io::Result<bool> {
    let (mut file, mut last) = (File::open(path)?, [b'\n']);
    if file.metadata()?.len() > 0 {
        file.seek(io::SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    Ok(last != [b'\n'])
}

/// What it writes with.
struct Pen(Target);

impl Write for Pen {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Target::Stderr => log::write(lines),
            Target::File(_, file, _) => file.write(lines),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes lines where it was told last.
pub(super) struct Scribe {
    lost: &'static Lost,
    output: Option<Output<Pen>>,
    looked: Option<Instant>,
    complained: bool,
}

impl Scribe {
    pub(super) const fn new(lost: &'static Lost) -> Self {
        Self { lost, output: None, looked: None, complained: false }
    }

    /// Writes to another place from now on.
    pub(super) fn turn_to(&mut self, target: Target) {
        let torn = matches!(target, Target::File(_, _, true));
        match &mut self.output {
            Some(output) => output.replace(Pen(target), torn),
            None => self.output = Some(Output::new(Pen(target), torn, self.lost)),
        }
        (self.looked, self.complained) = (None, false);
    }

    /// Opens the file anew under its name. As long as that fails, the one that is open goes on.
    pub(super) fn reopen(&mut self) {
        let Some(output) = &self.output else { return };
        let Target::File(path, _, _) = &output.out().0 else { return };
        match Target::file(path) {
            Ok(target) => self.turn_to(target),
            Err(error) if !self.complained => {
                let file = path.display();
                tracing::error!(%error, %file, "the access log cannot be opened anew; what was open goes on");
                self.complained = true;
            }
            Err(_) => {}
        }
    }

    /// Writes whole lines; `all` is whether there are no more for now.
    pub(super) fn write(&mut self, lines: &[u8], all: bool) {
        if lines.is_empty() {
            return;
        }
        if self.is_gone() {
            self.reopen();
        }
        let Some(output) = &mut self.output else { return self.lost.all(lines) };
        output.write_lines(lines);
        // While more waits, more may be lost.
        if all && let Some(lines) = output.untold() {
            tracing::warn!(lines, "lines of the access log were lost: nobody took them");
        }
    }

    /// Whether somebody has renamed or removed the file, and not told us.
    fn is_gone(&mut self) -> bool {
        let now = clock::mono();
        if self.looked.is_some_and(|looked| now.duration_since(looked) < LOOK) {
            return false;
        }
        self.looked = Some(now);
        let Some(Target::File(path, file, _)) = self.output.as_ref().map(|output| &output.out().0)
        else {
            return false;
        };
        let same = |named: &Metadata, open: &Metadata| {
            (named.dev(), named.ino()) == (open.dev(), open.ino())
        };
        match (fs::metadata(path), file.metadata()) {
            (Ok(named), Ok(open)) => !same(&named, &open),
            (Err(error), _) => error.kind() == io::ErrorKind::NotFound,
            (Ok(_), Err(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    static LOST: Lost = Lost::new();

    #[test]
    fn a_line_that_was_torn_by_a_death_is_ended_first() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        fs::write(&path, "whole\ntor").unwrap();
        let mut scribe = Scribe::new(&LOST);
        scribe.turn_to(Target::file(&path).unwrap());
        scribe.write(b"next\n", true);
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole\ntor\nnext\n");
    }

    #[test]
    fn a_file_that_is_renamed_or_told_of_is_opened_anew_for_owner_and_group() {
        let directory = tempfile::tempdir().unwrap();
        let (path, old) = (directory.path().join("log"), directory.path().join("log.1"));
        let mut scribe = Scribe::new(&LOST);
        scribe.turn_to(Target::file(&path).unwrap());
        scribe.write(b"1\n", true);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777 & !0o640, 0);
        fs::rename(&path, &old).unwrap();
        scribe.write(b"2\n", true);
        assert_eq!(fs::read_to_string(&old).unwrap(), "1\n2\n", "looked at not so often");
        scribe.reopen();
        scribe.write(b"3\n", true);
        assert_eq!(fs::read_to_string(&path).unwrap(), "3\n");
        fs::rename(&path, &old).unwrap();
        scribe.looked = None;
        scribe.write(b"4\n", true);
        assert_eq!(fs::read_to_string(&path).unwrap(), "4\n");
    }

    #[test]
    fn a_pipe_is_not_waited_for_until_somebody_reads_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &path, kind, 0o600.into(), 0).unwrap();
        let (told, heard) = std::sync::mpsc::channel();
        let name = path.clone();
        std::thread::spawn(move || told.send(Target::file(&name).map(drop)));
        let opened = heard.recv_timeout(Duration::from_secs(10)).expect("it waits for a reader");
        assert!(opened.is_err());
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap();
        let reader = OpenOptions::new().read(true).custom_flags(flags).open(&path).unwrap();
        let Target::File(_, file, torn) = Target::file(&path).unwrap() else { panic!("no file") };
        assert!(!torn && !fcntl_getfl(&file).unwrap().contains(OFlags::NONBLOCK));
        drop(reader);
    }

    #[test]
    fn a_name_that_cannot_be_opened_leaves_what_is_open() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("in/log");
        fs::create_dir(directory.path().join("in")).unwrap();
        let mut scribe = Scribe::new(&LOST);
        scribe.turn_to(Target::file(&path).unwrap());
        fs::rename(directory.path().join("in"), directory.path().join("out")).unwrap();
        for _ in 0..3 {
            scribe.looked = None;
            scribe.write(b"line\n", true);
        }
        let written = fs::read_to_string(directory.path().join("out/log")).unwrap();
        assert_eq!(written, "line\n".repeat(3));
    }
}
