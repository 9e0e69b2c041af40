//! Which directories are watched, and which names in them matter.
//!
//! A directory in which a file of ours simply lies often holds others as well, a log among them
//! that grows with each request: what happens to those is no reason to look at all files.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::time::SystemTime;

use crate::clock;
use crate::source::RealPaths;

/// The directories of some files, and what matters in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Directories {
    /// All of them: those that name a file, and those that hold what the name leads to.
    pub(super) all: HashSet<PathBuf>,
    /// Those in which only these names matter.
    plain: HashSet<PathBuf>,
    names: HashSet<OsString>,
}

impl Directories {
    /// The directories of these files and directories.
    pub(super) fn of(paths: &[PathBuf]) -> Self {
        let mut this = Self::default();
        let mut real = RealPaths::default();
        // By their real paths: one directory may be named in several ways.
        let mut open = HashSet::new();
        for path in paths {
            clock::give_way();
            let is_dir = path.is_dir();
            let is_link = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink());
            let own = if is_dir { Some(path.clone()) } else { parent(path) };
            let led =
                real.of(path).and_then(|real| if is_dir { Some(real) } else { parent(&real) });
            if is_dir || is_link {
                // A new name in it, or one that the link leads through, matters as well.
                let both = own.iter().chain(&led);
                open.extend(both.filter_map(|directory| directory.canonicalize().ok()));
            }
            this.names.extend(path.file_name().map(OsString::from));
            this.all.extend(own.into_iter().chain(led));
        }
        for directory in &this.all {
            this.names.extend(directory.file_name().map(OsString::from));
            // Events may tell it by either.
            let real = directory.canonicalize().ok().filter(|real| !open.contains(real));
            if let Some(real) = real {
                this.plain.extend([directory.clone(), real]);
            }
        }
        this
    }

    /// Whether something that happened to these paths may matter. Where no path is told, it may.
    pub(super) fn concern(&self, paths: &[PathBuf]) -> bool {
        let matters = |path: &PathBuf| {
            let known = path.parent().is_some_and(|parent| self.plain.contains(parent));
            !known || path.file_name().is_none_or(|name| self.names.contains(name))
        };
        paths.is_empty() || paths.iter().any(matters)
    }
}

/// Which directory it is that has a name: another one by the same name is not the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity(Option<(u64, u64, Option<SystemTime>)>);

impl Identity {
    /// Of the directory that has this name now, if there is one.
    pub(super) fn of(path: &Path) -> Self {
        // A number that is free again is soon given to another: when it was made tells them apart.
        let metadata = fs::metadata(path).ok();
        Self(metadata.map(|it| (it.dev(), it.ino(), it.created().ok())))
    }
}

fn parent(path: &Path) -> Option<PathBuf> {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Some(PathBuf::from(".")),
        parent => parent.map(Path::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_what_has_a_name_of_ours_matters_beside_a_plain_file() {
        let made = tempfile::tempdir().unwrap();
        let at = |name: &str| made.path().join(name);
        fs::write(at("keygate.toml"), "").unwrap();
        fs::create_dir(at("keys")).unwrap();
        fs::write(at("keys/a.toml"), "").unwrap();
        let watched = [at("keygate.toml"), at("keys"), at("keys/a.toml"), at("not-yet")];
        let directories = Directories::of(&watched);
        assert!(directories.all.contains(made.path()) && directories.all.contains(&at("keys")));
        let concerns = |name: &str| directories.concern(&[at(name)]);
        assert!(concerns("keygate.toml") && concerns("not-yet") && concerns("keys"));
        assert!(concerns("keys/new.toml"), "what is new in a directory of keys");
        assert!(!concerns("access.log"));
        assert!(directories.concern(&[at("x"), at("keygate.toml")]), "a rename");
        assert!(directories.concern(&[]) && directories.concern(&[PathBuf::from("/")]));
        assert!(concerns("elsewhere/access.log"), "a directory that is not known");
    }

    #[test]
    fn another_directory_by_the_same_name_is_not_the_same() {
        let made = tempfile::tempdir().unwrap();
        let keys = made.path().join("keys");
        fs::create_dir(&keys).unwrap();
        let first = Identity::of(&keys);
        fs::write(keys.join("a.toml"), "").unwrap();
        assert_eq!(Identity::of(&keys), first, "what lies in it makes it no other");
        fs::rename(&keys, made.path().join("old")).unwrap();
        assert_ne!(Identity::of(&keys), first);
        fs::create_dir(&keys).unwrap();
        assert_ne!(Identity::of(&keys), first);
    }

    #[test]
    fn everything_matters_where_a_link_leads_through() {
        let made = tempfile::tempdir().unwrap();
        let at = |name: &str| made.path().join(name);
        fs::create_dir(at("..one")).unwrap();
        fs::write(at("..one/keys.toml"), "").unwrap();
        fs::write(at("keygate.toml"), "").unwrap();
        symlink("..one", at("..data")).unwrap();
        symlink("..data/keys.toml", at("keys.toml")).unwrap();
        let directories = Directories::of(&[at("keygate.toml"), at("keys.toml")]);
        for name in ["..data", "..data_tmp", "..one/x", "access.log"] {
            assert!(directories.concern(&[at(name)]), "{name}");
        }
        // The same directory under another name is no other one.
        symlink(".", at("way")).unwrap();
        let directories = Directories::of(&[at("way/keygate.toml"), at("keys.toml")]);
        assert!(directories.concern(&[at("way/..data")]));
    }
}
