//! The key files that a command works on, and what stands in them.

use std::path::Path;
use std::path::PathBuf;

use super::print;
use super::settings::Need;
use super::settings::Settings;
use super::settings::settings;
use crate::config;
use crate::config::Keys;
use crate::config::Revoked;
use crate::keys::Account;
use crate::keys::AccountId;
use crate::keys::Digester;
use crate::keys::Edit;
use crate::keys::KeyFile;
use crate::keys::KeyId;
use crate::keys::KeyRecord;
use crate::keys::KeyStore;
use crate::keys::Loaded;
use crate::keys::file;
use crate::observe::AuditLog;
use crate::source::Problem;
use crate::source::Problems;
use crate::source::Source;
use crate::source::nearest;

const DEFAULT_FILE: &str = "keys.toml";

/// Where the keys are.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Place {
    /// The configuration that names the key files [default: keygate.toml]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// A key file, or a directory of them, instead of those that the configuration names
    #[arg(long, value_name = "PATH")]
    pub(super) keys: Option<PathBuf>,
}

/// The key files, read.
#[derive(Debug)]
pub(crate) struct Ring {
    pub(crate) keys: Keys,
    pub(crate) digester: Digester,
    /// Whether Basic carries the account as its user name, if the configuration can be told.
    pub(crate) basic_names_account: bool,
    /// In the order in which the configuration has them; without those that do not exist.
    pub(crate) files: Vec<ReadFile>,
    /// Where uses are recorded, if they are.
    pub(crate) state: Option<PathBuf>,
    /// Where changes are told of, if they are.
    pub(crate) audit: Option<AuditLog>,
    /// What is wrong in them.
    pub(crate) problems: Problems,
    /// Why it cannot be told of every key whether it is revoked.
    pub(crate) unread: Problems,
    revoked: Revoked,
}

/// What of the files is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Everything,
    /// A file without a word in it is one to begin with.
    EverythingOrNothing,
    Accounts,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct ReadFile {
    pub(crate) path: PathBuf,
    pub(crate) content: KeyFile,
}

impl Ring {
    /// Reads all files. Files that do not exist hold nothing, and mistakes in files are for the
    /// command to judge.
    pub(crate) fn open(place: &Place) -> Result<Self, Problems> {
        Self::read(place, What::Everything, Need::Digests)
    }

    /// As [`Ring::open`], but a mistake in any file stops the command.
    pub(crate) fn open_sound(place: &Place) -> Result<Self, Problems> {
        Self::read(place, What::Everything, Need::Digests)?.sound()
    }

    /// As [`Ring::open_sound`], for keys that are added: it must also be known how they look.
    pub(crate) fn open_to_issue(place: &Place) -> Result<Self, Problems> {
        Self::read(place, What::Everything, Need::Looks)?.sound()
    }

    /// As [`Ring::open_to_issue`], but of the files only the accounts are kept: to add a key, the others
    /// need not be known, however many they are.
    pub(crate) fn open_to_add(place: &Place) -> Result<Self, Problems> {
        Self::read(place, What::Accounts, Need::Looks)?.sound()
    }

    /// As [`Ring::open_sound`], but a file without a word in it is one to begin with.
    pub(crate) fn open_to_begin(place: &Place) -> Result<Self, Problems> {
        Self::read(place, What::EverythingOrNothing, Need::Digests)?.sound()
    }

    /// Whether the text that is being edited defines an account, perhaps since a moment only.
    pub(crate) fn defines(&self, edit: &Edit, id: &AccountId) -> bool {
        let read = file::parse(edit.source(), 0, &self.digester, &mut Problems::default());
        read.accounts.iter().any(|account| account.id == *id)
    }

    /// For commands that only look: there must be something to look at.
    pub(crate) fn require_files(&self) -> Result<(), Problems> {
        if !self.files.is_empty()
            || self.problems.fatal()
            || self.keys.files.iter().any(|f| f.is_dir())
        {
            return Ok(());
        }
        let path = self.file_for_new(None);
        Err(Problem::new(format!("`{}` does not exist", path.display()))
            .help("make it with a first account: `keygate accounts create NAME`")
            .into())
    }

    pub(crate) fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.files.iter().flat_map(|file| &file.content.accounts)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &KeyRecord> {
        self.files.iter().flat_map(|file| &file.content.keys)
    }

    pub(crate) fn account(&self, id: &AccountId) -> Option<&Account> {
        self.accounts().find(|account| account.id == *id)
    }

    /// Whether the revocations name a key, whatever its record says.
    pub(crate) fn withdrawn(&self, record: &KeyRecord) -> bool {
        self.revoked.ids.contains(&record.id)
            || self.revoked.digests.iter().any(|digest| digest.matches(&record.digest))
    }

    /// Says, where statuses are shown, that they may be untrue.
    pub(crate) fn warn_of_unread(&self) {
        if !self.unread.is_empty() {
            let message = "keys may be revoked that are not shown as such";
            let help = "correct what is told below of the revocations";
            let mut problems = Problems::from(Problem::new(message).help(help).warning());
            for problem in self.unread.iter() {
                problems.push(problem.clone().warning());
            }
            print::warn_all(&problems);
        }
    }

    /// An account that a key shall belong to.
    pub(crate) fn require_account(&self, id: &AccountId) -> Result<&Account, Problems> {
        self.account(id).ok_or_else(|| {
            let create = format!("create it first: `keygate accounts create {id}`");
            let known = self.accounts().map(|account| account.id.as_str());
            let help = match nearest(id.as_str(), known) {
                Some(near) => format!("did you mean `{near}`? otherwise {create}"),
                None => create,
            };
            Problem::new(format!("account `{id}` does not exist")).help(help).into()
        })
    }

    /// A key, and the file that it is in.
    pub(crate) fn require_key(&self, id: &KeyId) -> Result<(&Path, &KeyRecord), Problems> {
        let all = self
            .files
            .iter()
            .flat_map(|file| file.content.keys.iter().map(|record| (file.path.as_path(), record)));
        let mut found = all.filter(|(_, record)| record.id == *id);
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one),
            (Some((first, _)), Some((second, _))) => {
                let (first, second) = (first.display(), second.display());
                let message = format!("key `{id}` is defined twice: in `{first}` and `{second}`");
                Err(Problem::new(message).help("give one of them another id").into())
            }
            (None, _) => {
                let mut problems = Problems::default();
                problems.push(self.no_key(id));
                // It may be in a record that could not be read.
                problems.extend(self.problems.clone());
                Err(problems)
            }
        }
    }

    fn no_key(&self, id: &KeyId) -> Problem {
        // In a hurry, somebody gives the key itself, which must not be repeated.
        let ours = id.as_str().strip_prefix(self.keys.prefix.as_str());
        if ours.is_some_and(|rest| rest.starts_with('_')) {
            let help = "`keygate keys verify` reads a key on stdin and says its id; as an argument it \
                        stands in the history of the shell, and others could read it";
            return Problem::new("what was given is a key, not the id of one").help(help);
        }
        let near = nearest(id.as_str(), self.keys().map(|record| record.id.as_str()));
        Problem::new(format!("there is no key `{id}`")).help(match near {
            Some(near) => format!("did you mean `{near}`? `keygate keys list` shows all"),
            None => "`keygate keys list` shows all".to_owned(),
        })
    }

    /// The file that new records go into.
    pub(crate) fn file_for_new(&self, chosen: Option<&Path>) -> PathBuf {
        let first = self.keys.files.first().map_or(Path::new(DEFAULT_FILE), PathBuf::as_path);
        match chosen {
            Some(chosen) => chosen.to_owned(),
            None if first.is_dir() => first.join(DEFAULT_FILE),
            None => first.to_owned(),
        }
    }

    /// Begins an edit of a file. What is wrong in it already stops the edit.
    pub(crate) fn edit_sound(&self, path: &Path) -> Result<Edit, Problems> {
        let edit = Edit::open(path)?;
        let mut problems = Problems::default();
        if !edit.is_blank() {
            let _ = file::parse(edit.source(), 0, &self.digester, &mut problems);
        }
        if problems.fatal() { Err(problems) } else { Ok(edit) }
    }

    fn read(place: &Place, what: What, need: Need) -> Result<Self, Problems> {
        let Settings { keys, basic_names_account, state, audit, mut unread } =
            settings(place, need)?;
        let mut problems = Problems::default();
        let Some(digester) = config::digester(&keys, &mut problems) else { return Err(problems) };
        let mut problems = Problems::default();
        let mut files = Vec::new();
        let mut paths = config::key_files(&keys, &mut Problems::default());
        paths.retain(|path| path.exists());
        let mut known = match what {
            What::Accounts => KeyStore::survey(&paths, &digester),
            What::Everything | What::EverythingOrNothing => Vec::new(),
        }
        .into_iter();
        for path in paths {
            if let Some(Ok(Loaded { sheet: Some(sheet), .. })) = known.next() {
                let accounts = sheet.accounts().collect();
                files.push(ReadFile { path, content: KeyFile { accounts, ..KeyFile::default() } });
                continue;
            }
            match Source::read(&path) {
                Ok(source)
                    if what == What::EverythingOrNothing && source.text.trim().is_empty() => {}
                Ok(source) => {
                    let content = file::parse(&source, files.len(), &digester, &mut problems);
                    files.push(ReadFile { path, content });
                }
                Err(problem) => problems.push(*problem),
            }
        }
        let revoked = config::load_revocations(&keys, &digester, &mut unread);
        Ok(Self {
            keys,
            digester,
            basic_names_account,
            files,
            state,
            audit,
            problems,
            unread,
            revoked,
        })
    }

    fn sound(mut self) -> Result<Self, Problems> {
        if self.problems.fatal() { Err(std::mem::take(&mut self.problems)) } else { Ok(self) }
    }
}
