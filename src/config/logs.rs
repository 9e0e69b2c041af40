//! Files that the process writes to while it runs: that they can be written is judged before.

use std::fs;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use rustix::fs::Access;
use rustix::fs::AtFlags;
use rustix::fs::CWD;
use rustix::fs::OFlags;

use super::Keys;
use super::files::Files;
use crate::source::At;
use crate::source::Problem;
use crate::source::Section;
use crate::source::Source;

/// Whether nothing is read from a file; says so where it is.
pub(super) fn is_free(
    section: &mut Section<'_, '_>,
    file: &At<PathBuf>,
    (files, keys): (&Files, Option<&Keys>),
) -> bool {
    let clash = clash(&file.value, (files, keys));
    let is_free = clash.is_none();
    if let Some(message) = clash {
        section.wrong(&file.span, message, "name a file that nothing else is in");
    }
    is_free
}

fn clash(path: &Path, (files, keys): (&Files, Option<&Keys>)) -> Option<String> {
    let is_read = files.have(path) || keys.is_some_and(|keys| keys.have(path, files));
    is_read.then(|| format!("`{}` is a file that keygate reads", path.display()))
}

/// A file that is named, and where. Nothing is looked at before somebody asks: whoever only wants to
/// know which keys were revoked does not wait for the disk of a log.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    source: Source,
    file: At<PathBuf>,
    files: Files,
    keys: Option<Keys>,
}

impl Written {
    pub(super) fn new(
        source: Source,
        file: At<PathBuf>,
        (files, keys): (&Files, Option<&Keys>),
    ) -> Self {
        Self { source, file, files: files.clone(), keys: keys.cloned() }
    }

    /// Why it must not be written to, if it must not: something is read from it, under whatever name.
    pub(crate) fn clash(&self) -> Option<String> {
        clash(&self.file.value, (&self.files.clone().looking(), self.keys.as_ref()))
    }

    /// Why it cannot be appended to, if it cannot: neither it nor its directory is changed.
    pub(super) fn trouble(&self) -> Option<Problem> {
        let (message, help) = obstacle(&self.file.value)?;
        Some(Problem::at(&self.source, self.file.span.clone(), message).help(help))
    }
}

fn obstacle(path: &Path) -> Option<(String, String)> {
    let name = path.display();
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Some((
            format!("`{name}` is a directory"),
            format!("name a file in it, like `{name}/log`"),
        )),
        Ok(_) => {
            // Whoever opens a pipe would wait for its reader.
            let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
            let opened = OpenOptions::new().append(true).custom_flags(flags).open(path);
            let error = opened.err()?;
            Some((format!("`{name}` cannot be written: {error}"), RIGHTS.to_owned()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let directory = match path.parent() {
                Some(parent) if parent != Path::new("") => parent,
                _ => Path::new("."),
            };
            directory_obstacle(directory)
        }
        Err(error) => Some((format!("`{name}` cannot be written: {error}"), RIGHTS.to_owned())),
    }
}

const RIGHTS: &str = "let the user that keygate runs as write to it";

fn directory_obstacle(directory: &Path) -> Option<(String, String)> {
    let name = directory.display();
    if !directory.is_dir() {
        let help = format!("make it, for the user that keygate runs as: `mkdir -p {name}`");
        return Some((format!("the directory `{name}` does not exist"), help));
    }
    let wanted = Access::WRITE_OK | Access::EXEC_OK;
    let error = rustix::fs::accessat(CWD, directory, wanted, AtFlags::EACCESS).err()?;
    let error = io::Error::from(error);
    Some((format!("nothing can be made in `{name}`: {error}"), RIGHTS.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_no_obstacle_where_it_stands_or_can_be_made_and_nothing_is_made() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("log");
        assert_eq!(obstacle(&file), None);
        assert!(!file.exists());
        fs::write(&file, "line\n").unwrap();
        assert_eq!(obstacle(&file), None);
        assert_eq!(fs::read(&file).unwrap(), b"line\n");
    }

    #[test]
    fn what_stands_in_the_way_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let (message, help) = obstacle(directory.path()).unwrap();
        assert!(message.ends_with("is a directory") && help.contains("/log`"), "{message}: {help}");
        let (message, help) = obstacle(&directory.path().join("none/log")).unwrap();
        assert!(message.ends_with("/none` does not exist"), "{message}");
        assert!(help.contains("mkdir -p "), "{help}");
        fs::write(directory.path().join("file"), "").unwrap();
        let (message, _) = obstacle(&directory.path().join("file/log")).unwrap();
        assert!(message.contains("cannot be written"), "{message}");
    }
}
