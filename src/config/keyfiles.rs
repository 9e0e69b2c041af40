//! Which key files there are: those that are named, and those in the directories that are named.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use super::keys::Keys;
use crate::clock;
use crate::source::Problem;
use crate::source::Problems;
use crate::source::RealPaths;

/// The files to read, in order, none twice.
#[must_use]
pub fn key_files(keys: &Keys, problems: &mut Problems) -> Vec<PathBuf> {
    list(keys, problems).0
}

/// The files to read, in order, none twice; and all that is worth watching, directories too.
pub(super) fn list(keys: &Keys, problems: &mut Problems) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let mut files = Vec::new();
    let mut watched = Vec::new();
    for named in &keys.files {
        watched.push(named.clone());
        if named.is_dir() {
            let found = directory(named, keys, problems);
            watched.extend(found.iter().cloned());
            files.extend(found);
        } else {
            files.push(named.clone());
        }
    }
    // A file that is named and lies in a directory that is named is one file.
    let mut real = RealPaths::default();
    let mut seen = HashSet::new();
    files.retain(|file| {
        clock::give_way();
        seen.insert(real.of(file).unwrap_or_else(|| file.clone()))
    });
    (files, watched)
}

fn directory(path: &Path, keys: &Keys, problems: &mut Problems) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut entries: Vec<_> = match entries {
        Ok(entries) => entries.iter().map(fs::DirEntry::path).collect(),
        Err(error) => {
            problems.push(keys.place(path, Problem::unreadable(path, &error)));
            return Vec::new();
        }
    };
    entries.sort();
    let mut files = Vec::new();
    for entry in entries {
        clock::give_way();
        // Also what Kubernetes keeps beside the files that it mounts: `..data`, `..2026_…`.
        let hidden = entry.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
        let known = [&keys.revocations, &keys.pepper_file].into_iter().flatten();
        if hidden || known.into_iter().any(|known| *known == entry) {
            continue;
        }
        if entry.extension().is_some_and(|extension| extension == "toml") && !entry.is_dir() {
            files.push(entry);
        } else {
            let message = format!("`{}` is not read: it is no `*.toml` file", entry.display());
            let help = "rename it, or move it out of the directory of key files";
            problems.push(Problem::new(message).help(help).warning());
        }
    }
    if files.is_empty() {
        let message = format!("`{}` holds no `*.toml` file", path.display());
        let problem = Problem::new(message).help("put a key file into it").warning();
        problems.push(keys.place(path, problem));
    }
    files
}
