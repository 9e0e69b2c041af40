//! A directory with key files, and the binary that is run in it.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;

use keygate::keys::Digester;
use keygate::keys::KeyFile;
use keygate::keys::KeyId;
use keygate::keys::file;
use keygate::source::Problems;
use keygate::source::Source;
use serde_json::Value;

pub(crate) const KEYGATE: &str = env!("CARGO_BIN_EXE_keygate");

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("the command was killed"),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Said {
    /// Its stdout, if it was done.
    pub(crate) fn done(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self.out
    }

    /// Its stderr, if it was refused.
    pub(crate) fn refused(self) -> String {
        assert_eq!((self.code, self.out.as_str()), (1, ""), "{}", self.err);
        self.err
    }

    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.done()).unwrap()
    }
}

pub(crate) struct Home(tempfile::TempDir);

impl Home {
    /// An empty directory.
    pub(crate) fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A directory with a `keys.toml` in which there is an account `acme`.
    pub(crate) fn new() -> Self {
        let home = Self::empty();
        home.run(&["accounts", "create", "acme", "--keys", "keys.toml"]).done();
        home
    }

    /// A directory with this `keys.toml`.
    pub(crate) fn with(text: &str) -> Self {
        let home = Self::empty();
        home.write("keys.toml", text);
        home
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn text(&self) -> String {
        fs::read_to_string(self.path("keys.toml")).unwrap()
    }

    /// The names of all files, hidden ones too.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(KEYGATE);
        command.args(args).current_dir(self.0.path()).env_remove("NO_COLOR");
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Said {
        self.run_with(args, "")
    }

    pub(crate) fn run_with(&self, args: &[&str], stdin: impl AsRef<[u8]>) -> Said {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that does not read its stdin may be gone already.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_ref());
        child.wait_with_output().unwrap().into()
    }

    /// Runs `keygate keys …` on `keys.toml`.
    pub(crate) fn keys(&self, args: &[&str]) -> Said {
        self.run(&[&["keys"], args, &["--keys", "keys.toml"]].concat())
    }

    /// Makes a key of `acme`: its id, and the key.
    pub(crate) fn create(&self, args: &[&str]) -> (String, String) {
        let args = [&["create", "--account", "acme", "--json"], args].concat();
        let made = self.keys(&args).json();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        (text("id"), text("key"))
    }

    pub(crate) fn verify(&self, key: &str) -> Said {
        self.run_with(&["keys", "verify", "--json", "--keys", "keys.toml"], key)
    }

    /// What `verify` says of a key's status, and the exit code.
    pub(crate) fn status(&self, key: &str) -> (String, i32) {
        let said = self.verify(key);
        let value: Value = serde_json::from_str(&said.out).unwrap();
        (value["status"].as_str().unwrap().to_owned(), said.code)
    }

    /// `keys.toml`, which must be without a mistake.
    pub(crate) fn records(&self) -> KeyFile {
        read(&self.path("keys.toml"))
    }
}

pub(crate) fn read(path: &Path) -> KeyFile {
    let source = Source::read(path).unwrap();
    let mut problems = Problems::default();
    let read = file::parse(&source, 0, &Digester::Sha256, &mut problems);
    assert_eq!(problems.lines(), Vec::<String>::new());
    read
}

pub(crate) fn id(text: &str) -> KeyId {
    KeyId::new(text).unwrap()
}
