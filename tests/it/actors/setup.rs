//! What the program is given: a directory with its files.

use std::fmt::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::origin::Origin;

/// Where a process finds the pipe that it was given.
pub(crate) const GIVEN: &str = "/proc/self/fd/5";

/// Config and keys of one run. What is not said is: loopback listeners on free ports, the test
/// authority's certificate, the given upstream, Bearer keys.
#[derive(Default)]
pub(crate) struct Setup {
    listen: String,
    tls: String,
    upstream: String,
    rest: String,
    keys: Option<String>,
    pub(crate) files: Vec<(String, Vec<u8>)>,
    pub(crate) sets: Vec<String>,
    pub(crate) variables: Vec<(String, String)>,
    /// Sockets that it is passed, with their names: at most two.
    pub(crate) passed: Vec<(String, OwnedFd)>,
    /// A pipe that it is given to read, at [`GIVEN`], and whom it starts, too.
    pub(crate) given: Option<OwnedFd>,
    /// Another program than the one that is tested: a copy of it.
    pub(crate) program: Option<PathBuf>,
    whole: Option<String>,
}

impl Setup {
    /// In front of an upstream, with two accounts and a key for everything: see [`usual_keys`].
    pub(crate) fn before(origin: &Origin) -> Self {
        Self::before_url(&origin.url)
    }

    pub(crate) fn before_url(url: &str) -> Self {
        Self { upstream: format!("url = {url:?}\n"), ..Self::default() }
    }

    /// A whole config file; addresses, upstream and certificate come as `--set`, in which `{dir}`
    /// stands for the directory.
    pub(crate) fn whole(config: &str, origin: &Origin) -> Self {
        let sets = [
            "listen.https=127.0.0.1:0",
            "listen.http=127.0.0.1:0",
            "listen.admin=127.0.0.1:0",
            "tls.certificate={dir}/server.crt",
            "tls.private_key={dir}/server.key",
            &format!("upstream.url={}", origin.url),
        ];
        let sets = sets.map(str::to_owned).to_vec();
        Self { whole: Some(config.to_owned()), sets, ..Self::default() }
    }

    pub(crate) fn listen(mut self, lines: &str) -> Self {
        let _ = writeln!(self.listen, "{lines}");
        self
    }

    pub(crate) fn tls(mut self, lines: &str) -> Self {
        let _ = writeln!(self.tls, "{lines}");
        self
    }

    pub(crate) fn upstream(mut self, lines: &str) -> Self {
        let _ = writeln!(self.upstream, "{lines}");
        self
    }

    /// Further tables.
    pub(crate) fn config(mut self, lines: &str) -> Self {
        let _ = writeln!(self.rest, "{lines}");
        self
    }

    pub(crate) fn keys(mut self, text: impl Into<String>) -> Self {
        self.keys = Some(text.into());
        self
    }

    pub(crate) fn file(mut self, name: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.push((name.to_owned(), content.into()));
        self
    }

    pub(crate) fn set(mut self, assignment: &str) -> Self {
        self.sets.push(assignment.to_owned());
        self
    }

    /// What `--set` says, for the files in a directory.
    pub(crate) fn sets_in(&self, directory: &Path) -> Vec<String> {
        let path = directory.display().to_string();
        self.sets.iter().map(|set| set.replace("{dir}", &path)).collect()
    }

    /// A variable of its environment.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Passes it a socket, as service managers do.
    pub(crate) fn pass(mut self, name: &str, socket: impl Into<OwnedFd>) -> Self {
        self.passed.push((name.to_owned(), socket.into()));
        self
    }

    /// The text of `keygate.toml`.
    pub(crate) fn text(&self) -> String {
        if let Some(whole) = &self.whole {
            return whole.clone();
        }
        let mut listen = self.listen.clone();
        for name in ["https", "http", "admin"] {
            if !listen.lines().any(|line| line.starts_with(&format!("{name} ="))) {
                let _ = writeln!(listen, "{name} = \"127.0.0.1:0\"");
            }
        }
        let tls = "certificate = \"server.crt\"\nprivate_key = \"server.key\"";
        format!(
            "[listen]\n{listen}\n[tls]\n{tls}\n{}\n[upstream]\n{}\n{}",
            self.tls, self.upstream, self.rest
        )
    }

    /// Writes everything into a directory.
    pub(crate) fn write(&self, directory: &Path) {
        let identity = super::pki::TRUSTED.issue();
        let write = |name: &str, content: &[u8]| {
            let path = directory.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
        };
        write("server.crt", identity.certificate.as_bytes());
        write("server.key", identity.key.as_bytes());
        write("keygate.toml", self.text().as_bytes());
        let keys = self.keys.clone().unwrap_or_else(usual_keys);
        write("keys.toml", keys.as_bytes());
        for (name, content) in &self.files {
            write(name, content);
        }
    }
}

pub(crate) const READ: &str = "acme-read-key-0123456789abcdef";
pub(crate) const WRITE: &str = "acme-write-key-0123456789abcdef";
pub(crate) const WRITE_TWO: &str = "acme-second-write-key-0123456789";
pub(crate) const OTHER: &str = "other-write-key-0123456789abcdef";

/// Account `acme` with [`READ`], [`WRITE`] and [`WRITE_TWO`]; account `other` with [`OTHER`].
pub(crate) fn usual_keys() -> String {
    [
        account("acme", ""),
        account("other", ""),
        key("acme-read", "acme", READ, "access = \"read\""),
        key("acme-write", "acme", WRITE, "access = \"write\""),
        key("acme-write-two", "acme", WRITE_TWO, "access = \"write\""),
        key("other-write", "other", OTHER, "access = \"write\""),
    ]
    .concat()
}

pub(crate) fn account(id: &str, lines: &str) -> String {
    format!("[[account]]\nid = {id:?}\nname = {id:?}\n{lines}\n\n")
}

/// A record for a key whose text the test knows.
pub(crate) fn key(id: &str, account: &str, text: &str, lines: &str) -> String {
    let digest = sha256(text);
    format!(
        "[[key]]\nid = {id:?}\naccount = {account:?}\nname = {id:?}\n\
         digest = \"{digest}\"\n{lines}\n\n"
    )
}

/// What stands in a file for a key: as `printf %s KEY | sha256sum` prints it.
pub(crate) fn sha256(text: &str) -> String {
    let hex: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
