//! From the files that `[keys]` names to one table of keys.
//!
//! Every file is read once. What is known to be revoked is told even when the load fails.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use sha2::Digest as _;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::files::world_readable;
use super::keyfiles;
use super::keys::Keys;
use super::revocations;
use super::revocations::Revoked;
use crate::clock;
use crate::keys::Digester;
use crate::keys::KeyId;
use crate::keys::KeyStore;
use crate::keys::KeyTable;
use crate::keys::KeyTableBuilder;
use crate::keys::Kind;
use crate::keys::Loaded;
use crate::keys::Origin;
use crate::keys::Sheet;
use crate::keys::TableError;
use crate::keys::file;
use crate::source;
use crate::source::Problem;
use crate::source::Problems;
use crate::source::Source;

/// How many keys are looked at at a stretch.
const FEW: usize = 1 << 8;

/// One table from all files, and what goes with it.
#[derive(Clone, Debug)]
pub struct LoadedKeys {
    /// All keys and accounts.
    pub table: Arc<KeyTable>,
    /// How keys are hashed.
    pub digester: Digester,
    /// SHA-256 over the contents of all key files and the revocations, in hexadecimal; the same
    /// contents under other names have the same.
    pub digest: Box<str>,
}

/// What came of reading the files of `[keys]`.
#[derive(Debug)]
pub struct Keyring {
    /// The table, unless a problem stands against it.
    pub keys: Option<LoadedKeys>,
    /// Every problem, warnings among them.
    pub problems: Problems,
    /// What the revocations file says; the last content where it can no longer be read.
    pub revocations: Revoked,
    /// Every file and directory that was read, or could not be.
    pub files: Vec<PathBuf>,
    /// The key files, in the order that [`Origin`] counts them in.
    pub sources: Texts,
    /// What key files mark as revoked.
    marked: Marked,
}

/// What key files mark as revoked.
#[derive(Debug, Default)]
struct Marked {
    /// In files with mistakes.
    ids: Vec<KeyId>,
    sheets: Vec<Arc<Sheet>>,
}

impl Keyring {
    /// All that is known to be revoked: the revocations, and what key files mark so that could be
    /// parsed. To be honoured also where there is no table.
    #[must_use]
    pub fn revoked(&self) -> Revoked {
        let mut revoked = self.revocations.clone();
        revoked.ids.extend(self.marked.ids.iter().cloned());
        revoked.ids.extend(self.marked.sheets.iter().flat_map(|sheet| sheet.revoked()));
        revoked
    }
}

/// The texts of the key files: not kept, but read again where a place in one is told.
#[derive(Debug, Default)]
pub struct Texts {
    paths: Vec<PathBuf>,
}

impl Texts {
    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.paths.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// One of them, if it is still there.
    #[must_use]
    pub fn read(&self, file: usize) -> Option<Source> {
        let source = Source::read(self.paths.get(file)?).ok()?;
        Some(source.showing_only(file::SHOWN))
    }
}

/// Reads the files of `[keys]`. `before` is what the revocations file said when it was last read:
/// it stays in force if the file has vanished.
#[must_use]
pub fn load_keys(keys: &Keys, before: Option<&Revoked>) -> Keyring {
    load_keys_again(keys, before, &mut KeyStore::default(), None)
}

/// As [`load_keys`]. What the store knows already is not read again, and the table is made upon the
/// one before it, if there is one.
#[must_use]
pub fn load_keys_again(
    keys: &Keys,
    before: Option<&Revoked>,
    store: &mut KeyStore,
    table: Option<&KeyTable>,
) -> Keyring {
    let mut problems = Problems::default();
    let mut contents = Contents::default();
    let digester = digester(keys, &mut problems);
    // Without the pepper digests cannot be read, but ids can.
    let reading = digester.clone().unwrap_or(Digester::Sha256);
    let mut ignored = Problems::default();
    let noted = if digester.is_some() { &mut problems } else { &mut ignored };
    let revocations = revocations(keys, before, &reading, &mut contents, noted);
    let (paths, mut files) = keyfiles::list(keys, &mut problems);
    files.extend(keys.revocations.clone());
    files.extend(keys.pepper_file.clone());
    let noted = if digester.is_some() { &mut problems } else { &mut ignored };
    let loaded = store.load(&paths, &reading);
    let mut reader = Reader {
        keys,
        store,
        digester: &reading,
        problems: noted,
        sheets: Vec::with_capacity(paths.len()),
        sources: Texts::default(),
        marked: Vec::new(),
        accounts_lost: false,
    };
    for (path, loaded) in paths.iter().zip(loaded) {
        reader.add(path, loaded, &mut contents);
    }
    let Reader { sheets, sources, marked, accounts_lost, .. } = reader;
    let mut builder = KeyTableBuilder::default();
    sheets.iter().for_each(|sheet| builder.add_sheet(Arc::clone(sheet)));
    let built = match table {
        Some(before) => builder.build_upon(before),
        None => builder.build(),
    };
    let table = built.map_err(|errors| {
        let holds = |error: &&TableError| {
            !(accounts_lost && matches!(error, TableError::UnknownAccount { .. }))
        };
        report(errors.iter().filter(holds), &sources, noted);
    });
    if let Ok(table) = &table
        && keys.basic_names_account
    {
        refuse_profile_keys_by_basic(table, &sources, noted);
    }
    let keys = digester.zip(table.ok()).filter(|_| !problems.fatal());
    let keys = keys.map(|(digester, table)| LoadedKeys {
        table: Arc::new(table),
        digester,
        digest: contents.digest(),
    });
    let marked = Marked { ids: marked, sheets };
    Keyring { keys, problems, revocations, files, sources, marked }
}

/// Collects what the files hold, one after the other.
struct Reader<'r> {
    keys: &'r Keys,
    store: &'r KeyStore,
    digester: &'r Digester,
    problems: &'r mut Problems,
    sheets: Vec<Arc<Sheet>>,
    sources: Texts,
    /// The ids of keys that are marked as revoked in files with mistakes.
    marked: Vec<KeyId>,
    accounts_lost: bool,
}

impl Reader<'_> {
    fn add(&mut self, path: &Path, loaded: io::Result<Loaded>, contents: &mut Contents) {
        clock::give_way();
        if let Ok(Loaded { digest, sheet: Some(sheet) }) = loaded {
            warn_if_world_readable(path, "keys", self.problems);
            contents.add(digest);
            self.keep(path, sheet);
            return;
        }
        // Something is wrong with it, or might be: then all of it is looked at.
        let source = match Source::read(path) {
            Ok(source) => source.showing_only(file::SHOWN),
            Err(problem) => {
                let problem = Problem { help: Some(no_key_file(&problem)), ..*problem };
                self.problems.push(self.keys.place(path, problem));
                self.accounts_lost = true;
                return;
            }
        };
        warn_if_world_readable(path, "keys", self.problems);
        contents.add(loaded.map_or_else(|_| [0; 32], |loaded| loaded.digest));
        let read = file::parse(&source, self.sources.paths.len(), self.digester, self.problems);
        self.accounts_lost |= read.accounts_lost;
        self.keep(path, self.store.sheet(&read));
        self.marked.extend(read.revoked);
    }

    fn keep(&mut self, path: &Path, sheet: Arc<Sheet>) {
        self.sources.paths.push(path.to_owned());
        self.sheets.push(sheet);
    }
}

/// What the revocations file says, as far as it can be read.
#[must_use]
pub fn load_revocations(keys: &Keys, digester: &Digester, problems: &mut Problems) -> Revoked {
    revocations(keys, None, digester, &mut Contents::default(), problems)
}

/// How this configuration hashes keys: with the pepper, if it names one.
pub fn digester(keys: &Keys, problems: &mut Problems) -> Option<Digester> {
    let Some(path) = &keys.pepper_file else { return Some(Digester::Sha256) };
    let pepper = match source::contents(path) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(error) => {
            problems.push(keys.place(path, Problem::unreadable(path, &error)));
            return None;
        }
    };
    // Editors and `echo` end a file with a line break that nobody means.
    let text = pepper.strip_suffix(b"\n").unwrap_or(&pepper);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    if text.len() < 16 {
        let message = format!("the pepper in `{}` is shorter than 16 bytes", path.display());
        let help = "make one with `openssl rand -base64 32`";
        problems.push(keys.place(path, Problem::new(message).help(help)));
        return None;
    }
    warn_if_world_readable(path, "the pepper", problems);
    Some(Digester::with_pepper(text))
}

fn revocations(
    keys: &Keys,
    before: Option<&Revoked>,
    digester: &Digester,
    contents: &mut Contents,
    problems: &mut Problems,
) -> Revoked {
    let Some(path) = &keys.revocations else { return Revoked::default() };
    let problem = match Source::read(path) {
        Ok(source) => {
            contents.add(Sha256::digest(source.text.as_bytes()).into());
            return revocations::parse(&source, digester, problems);
        }
        Err(problem) => keys.place(path, *problem),
    };
    match before {
        Some(before) => {
            problems.push(problem.help("its last content stays in force").warning());
            before.clone()
        }
        None => {
            problems.push(if path.exists() {
                problem
            } else {
                problem.help("create an empty file: its absence could be a mistake")
            });
            Revoked::default()
        }
    }
}

fn no_key_file(problem: &Problem) -> String {
    if problem.message.ends_with("does not exist") {
        "check `keys.files`, or make a first key: `keygate keys create --account NAME`".to_owned()
    } else {
        problem.help.clone().unwrap_or_else(|| "check `keys.files`".to_owned())
    }
}

fn warn_if_world_readable(path: &Path, what: &str, problems: &mut Problems) {
    if world_readable(path) {
        let message = format!("everyone on this machine may read {what} in `{}`", path.display());
        problems.push(Problem::new(message).help("take the right away: `chmod o-r`").warning());
    }
}

/// The account's id is the user name, and a profile key stands for no account's server.
fn refuse_profile_keys_by_basic(table: &KeyTable, texts: &Texts, problems: &mut Problems) {
    let mut sources = HashMap::new();
    for (number, (_, key)) in table.keys().enumerate() {
        if number.is_multiple_of(FEW) {
            clock::give_way();
        }
        if key.kind() == Kind::Profile && key.basic() == Some(true) {
            let (id, origin) = (key.id(), key.origin());
            let _ = sources.entry(origin.file).or_insert_with(|| texts.read(origin.file));
            let message = format!("profile key `{id}` cannot be presented by Basic");
            let help = "remove `basic = true`, or make it a workspace key".to_owned();
            problems.push(problem(message, None, &origin, &sources).help(help));
        }
    }
}

fn report<'e>(
    errors: impl Iterator<Item = &'e TableError>,
    texts: &Texts,
    problems: &mut Problems,
) {
    let mut sources = HashMap::new();
    for error in errors {
        let (first, second, help) = match error {
            TableError::DuplicateId { first, second, .. } => {
                (Some(first), second, "give each key an id of its own".to_owned())
            }
            TableError::DuplicateDigest { first, second, .. } => {
                (Some(first), second, "remove one of them: they are the same key".to_owned())
            }
            TableError::DuplicateAccount { first, second, .. } => {
                (Some(first), second, "define an account once, in one of the files".to_owned())
            }
            TableError::UnknownAccount { account, nearest, origin, .. } => {
                let help = match nearest {
                    Some(nearest) => format!("did you mean `{nearest}`?"),
                    None => format!("add an `[[account]]` with `id = \"{account}\"`"),
                };
                (None, origin, help)
            }
            TableError::TooMany => {
                problems.push(Problem::new(error.to_string()).help("put several keys into a file"));
                continue;
            }
        };
        for file in first.iter().map(|first| first.file).chain([second.file]) {
            let _ = sources.entry(file).or_insert_with(|| texts.read(file));
        }
        problems.push(problem(error.to_string(), first, second, &sources).help(help));
    }
}

fn problem(
    message: String,
    first: Option<&Origin>,
    second: &Origin,
    sources: &HashMap<usize, Option<Source>>,
) -> Problem {
    let source = |origin: &Origin| sources.get(&origin.file).and_then(Option::as_ref);
    let Some(second_source) = source(second) else { return Problem::new(message) };
    let problem = Problem::at(second_source, second.span.clone(), message);
    match first.and_then(|first| Some((first, source(first)?))) {
        Some((first, source)) => problem.also(source, first.span.clone(), "the first of them"),
        None => problem,
    }
}

/// The digests of all contents that were read.
#[derive(Default)]
struct Contents(Vec<[u8; 32]>);

impl Contents {
    fn add(&mut self, content: [u8; 32]) {
        self.0.push(content);
    }

    /// Sorted, so that names and order do not count.
    fn digest(mut self) -> Box<str> {
        self.0.sort_unstable();
        let whole = Sha256::digest(self.0.concat());
        whole.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
    }
}
