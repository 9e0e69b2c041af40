//! Where paths really lead, many of them.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// Finds what paths lead to without symbolic links. Most files of a directory lie in it themselves,
/// so it is followed once only.
#[derive(Debug, Default)]
pub struct RealPaths {
    directories: HashMap<PathBuf, Option<PathBuf>>,
}

impl RealPaths {
    /// The real path of something that exists.
    pub fn of(&mut self, path: &Path) -> Option<PathBuf> {
        let plain = fs::symlink_metadata(path).ok()?.is_file();
        let (Some(name), true) = (path.file_name(), plain) else { return path.canonicalize().ok() };
        let directory = match path.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => return path.canonicalize().ok(),
        };
        if !self.directories.contains_key(directory) {
            self.directories.insert(directory.to_owned(), directory.canonicalize().ok());
        }
        Some(self.directories.get(directory)?.as_ref()?.join(name))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn it_is_what_following_each_path_gives() {
        let made = tempfile::tempdir().unwrap();
        let at = |name: &str| made.path().join(name);
        fs::create_dir_all(at("a/b")).unwrap();
        fs::write(at("a/b/file"), "").unwrap();
        fs::write(at("a/file"), "").unwrap();
        symlink("a", at("way")).unwrap();
        symlink("b/file", at("a/link")).unwrap();
        symlink("nowhere", at("a/dead")).unwrap();
        let names = ["a", "a/b", "a/b/file", "a/file", "way/file", "way/b", "way/b/../file"];
        let more = ["way/link", "a/link", "way", "a/dead", "none", "none/file", "a/file/", ""];
        let mut real = RealPaths::default();
        for name in names.iter().chain(&more) {
            assert_eq!(real.of(&at(name)), at(name).canonicalize().ok(), "{name}");
        }
        let here = Path::new("Cargo.toml");
        assert_eq!(real.of(here), here.canonicalize().ok());
    }
}
