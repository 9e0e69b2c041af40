//! From a file to a [`Source`].

use std::io;
use std::path::Path;

use super::open::Irregular;
use super::open::contents;
use super::problem::Problem;
use super::text::Source;

impl Source {
    /// Reads a file whole. A byte order mark at its start is accepted and dropped.
    ///
    /// # Errors
    /// When it is missing, not readable, no regular file, or not UTF-8 (with the first bad byte).
    pub fn read(path: &Path) -> Result<Self, Box<Problem>> {
        let bytes = contents(path).map_err(|error| Box::new(Problem::unreadable(path, &error)))?;
        Self::from_bytes(path, &bytes)
    }

    /// The contents of a file, read by somebody else.
    ///
    /// # Errors
    /// When they are not UTF-8.
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self, Box<Problem>> {
        match std::str::from_utf8(bytes) {
            Ok(text) => {
                let text = text.strip_prefix('\u{feff}').unwrap_or(text);
                let directory = path.parent().unwrap_or(Path::new(""));
                Ok(Self::new(&path.to_string_lossy(), directory, text))
            }
            Err(error) => Err(Box::new(not_utf8(path, bytes, error.valid_up_to()))),
        }
    }
}

impl Problem {
    /// What to say when a file cannot be read.
    #[must_use]
    pub fn unreadable(path: &Path, error: &io::Error) -> Self {
        let name = path.display();
        let kind = error.kind();
        if kind == io::ErrorKind::NotFound {
            Self::new(format!("`{name}` does not exist"))
                .help("check the path; relative paths are relative to the file that names them")
        } else if kind == io::ErrorKind::PermissionDenied {
            Self::new(format!("`{name}` may not be read"))
                .help("give the user that keygate runs as the right to read it")
        } else if kind == io::ErrorKind::IsADirectory {
            Self::new(format!("`{name}` is a directory")).help("name a file in it")
        } else if let Some(irregular) = Irregular::of(error) {
            Self::new(format!("`{name}` is {irregular}"))
                .help("put a regular file in its place, or a link to one")
        } else {
            Self::new(format!("`{name}` cannot be read: {error}"))
        }
    }
}

fn not_utf8(path: &Path, bytes: &[u8], at: usize) -> Problem {
    let before = bytes.get(..at).unwrap_or_default();
    let line = before.split(|byte| *byte == b'\n').count();
    let help = match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "this looks like UTF-16; save the file as UTF-8",
        _ => "save the file as UTF-8",
    };
    Problem::new(format!("`{}` is not UTF-8: byte {at} (line {line})", path.display())).help(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_dropped() {
        let source = Source::from_bytes(Path::new("a/f.toml"), b"\xef\xbb\xbfx = 1").unwrap();
        assert_eq!((&*source.text, &*source.name), ("x = 1", "a/f.toml"));
        assert_eq!(source.directory, Path::new("a"));
    }

    #[test]
    fn says_at_which_byte_it_stops_being_utf8() {
        let problem = Source::from_bytes(Path::new("f"), b"ok\n\xff").unwrap_err();
        assert_eq!(problem.message, "`f` is not UTF-8: byte 3 (line 2)");
        let problem = Source::from_bytes(Path::new("f"), b"\xff\xfea\0").unwrap_err();
        assert_eq!(problem.help.unwrap(), "this looks like UTF-16; save the file as UTF-8");
    }

    #[test]
    fn says_what_stands_in_the_way() {
        let directory = tempfile::tempdir().unwrap();
        let message = |path: &Path| Source::read(path).unwrap_err().message;
        assert!(message(directory.path()).ends_with("` is a directory"));
        assert!(message(&directory.path().join("none")).ends_with("none` does not exist"));
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let problem = Problem::unreadable(Path::new("f"), &denied);
        assert_eq!(problem.message, "`f` may not be read");
    }
}
