//! `[keys]`: which files hold the keys, and what a key looks like.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::path::PathBuf;

use jiff::SignedDuration;

use super::files::Files;
use super::reading::as_path;
use super::reading::choice;
use super::reading::duration;
use super::reading::path;
use crate::gate::KeyPattern;
use crate::keys::Access;
use crate::keys::KeyPrefix;
use crate::source::At;
use crate::source::Problem;
use crate::source::Section;
use crate::source::Source;
use crate::source::Span;

/// Which files hold the keys, and what a key looks like.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Files, or directories of `*.toml`.
    pub files: Vec<PathBuf>,
    /// One id or digest a line.
    pub revocations: Option<PathBuf>,
    /// What a syntactically valid key looks like.
    pub pattern: KeyPattern,
    /// Of the keys that we issue.
    pub prefix: KeyPrefix,
    /// Of a key that does not say.
    pub default_access: Access,
    /// How old a key may become before it is due to be changed.
    pub rotate_after: Option<SignedDuration>,
    /// The secret of HMAC-SHA-256 digests.
    pub pepper_file: Option<PathBuf>,
    /// Whether Basic wants the account's id as the user name: then no profile key may be presented
    /// by it.
    pub basic_names_account: bool,
    /// Where each file is named, if it is.
    pub(super) places: Places,
}

/// Where files are named.
#[derive(Clone, Default)]
pub(super) struct Places(HashMap<PathBuf, (Source, Span)>);

/// What is named is what a configuration says, and not where.
impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Places")
    }
}

impl Keys {
    /// What applies where no configuration says otherwise.
    #[must_use]
    pub fn defaults(files: Vec<PathBuf>) -> Option<Self> {
        Some(Self {
            files,
            revocations: None,
            pattern: KeyPattern::new(KeyPattern::DEFAULT).ok()?,
            prefix: KeyPrefix::new("kg")?,
            default_access: Access::Read,
            rotate_after: None,
            pepper_file: None,
            basic_names_account: false,
            places: Places::default(),
        })
    }

    /// The same problem with one of the files: where nothing in the file is to be shown, at the
    /// place where the file is named.
    pub(super) fn place(&self, path: &Path, problem: Problem) -> Problem {
        match self.places.0.get(path) {
            Some((source, span)) if problem.place.is_none() => {
                let placed = Problem::at(source, span.clone(), problem.message);
                Problem { place: placed.place, message: placed.message, ..problem }
            }
            _ => problem,
        }
    }

    /// Whether a file is one of those that they are read from, or would be.
    pub(super) fn have(&self, path: &Path, files: &Files) -> bool {
        let other = [&self.revocations, &self.pepper_file].into_iter().flatten();
        self.files.iter().chain(other).any(|known| {
            let within = path.parent().is_some_and(|directory| files.same(known, directory));
            files.same(known, path) || (within && path.extension().is_some_and(|it| it == "toml"))
        })
    }
}

pub(super) fn read(root: &mut Section<'_, '_>) -> Option<Keys> {
    // What is not written is as if it were: an empty table has all the defaults.
    let table = root.table("keys").unwrap_or_else(|| root.empty_table());
    let mut section = root.enter("[keys]", table);
    let named = files(&mut section);
    let revocations = path(&mut section, "revocations");
    let pattern = pattern(&mut section);
    let prefix = prefix(&mut section);
    let choices = [("read", Access::Read), ("write", Access::Write)];
    let access = choice(&mut section, "default_access", &choices);
    let rotate_after = duration(&mut section, "rotate_after");
    let pepper_file = path(&mut section, "pepper_file");
    let files = named.as_ref().map_or_else(
        || vec![section.source().directory.join("keys.toml")],
        |named| named.iter().map(|at| at.value.clone()).collect(),
    );
    let mut keys = Keys::defaults(files)?;
    for at in named.iter().flatten().chain(&revocations).chain(&pepper_file) {
        keys.places.0.insert(at.value.clone(), (section.source().clone(), at.span.clone()));
    }
    keys.revocations = revocations.map(|at| at.value);
    keys.pattern = pattern.unwrap_or(keys.pattern);
    keys.prefix = prefix.unwrap_or(keys.prefix);
    keys.default_access = access.unwrap_or(keys.default_access);
    keys.rotate_after = rotate_after.and_then(|age| SignedDuration::try_from(age).ok());
    keys.pepper_file = pepper_file.map(|at| at.value);
    Some(keys)
}

/// The files that are named, if any are: else it is `keys.toml` beside the configuration.
fn files(section: &mut Section<'_, '_>) -> Option<Vec<At<PathBuf>>> {
    let list = section.string_or_strings("files")?;
    if list.value.is_empty() {
        section.wrong(&list.span, "`files` names no file", "write `files = [\"keys.toml\"]`");
    }
    let mut files = Vec::<At<PathBuf>>::new();
    for at in list.value {
        let Some(path) = as_path(section, "files", &at) else { continue };
        if files.iter().any(|file| file.value == path.value) {
            section.wrong(
                &at.span,
                format!("`{}` is listed twice", at.value),
                "remove one of them",
            );
        }
        files.push(path);
    }
    Some(files)
}

fn pattern(section: &mut Section<'_, '_>) -> Option<KeyPattern> {
    let At { value, span } = section.string("pattern")?;
    // By itself first: `a)|(b` would only be one in a group.
    match regex_lite::Regex::new(&value).and_then(|_| KeyPattern::new(&value)) {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            let message = format!("`pattern` is not a regular expression: {error}");
            let help = format!("the default is `{}`", KeyPattern::DEFAULT);
            section.wrong(&span, message, help);
            None
        }
    }
}

fn prefix(section: &mut Section<'_, '_>) -> Option<KeyPrefix> {
    let At { value, span } = section.string("prefix")?;
    let prefix = KeyPrefix::new(&value);
    if prefix.is_none() {
        let message = format!("`{}` cannot be a prefix", value.escape_debug());
        section.wrong(&span, message, "write 1 to 32 ASCII letters, digits, `_` or `-`");
    }
    prefix
}
