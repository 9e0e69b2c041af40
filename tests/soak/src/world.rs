//! The stage: files, accounts and keys, and everything that the actors share.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rcgen::SanType;
use rustls::ClientConfig;
use sha2::{Digest as _, Sha256};

use crate::ledger::Ledger;
use crate::noise::Dice;
use crate::origin;
use crate::origin::NARROW;
use crate::pki::TRUSTED;

pub(crate) const ACCOUNTS: usize = 8;
/// How many requests a second the route `/rated` takes of a key.
pub(crate) const RATE: u64 = 3;
/// How many keys there are to be revoked by the list of revocations.
const LISTED: usize = 400;
/// How many tokens are in use at a time.
const TOKENS: usize = 8;

/// A key that clients present.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) account: String,
    /// What the upstream must be told, to the letter.
    pub(crate) identity: String,
}

/// The keys of one account.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    pub(crate) account: String,
    pub(crate) read: Key,
    pub(crate) write: Key,
    pub(crate) expiring: Key,
}

/// Where everything is.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) keygate: PathBuf,
    /// The directory of the program's files, perhaps on a small disk.
    pub(crate) files: PathBuf,
    /// Whether that disk is one to be filled.
    pub(crate) small: bool,
    /// The library that stands between the program and its clock.
    pub(crate) faketime: Option<PathBuf>,
    pub(crate) upstream: SocketAddr,
    /// Where the same upstream speaks TLS, and HTTP/2 in clear.
    pub(crate) upstream_tls: SocketAddr,
    pub(crate) upstream_http2: SocketAddr,
}

impl Stage {
    /// A file that is not on the disk that is filled.
    pub(crate) fn beside(&self, extension: &str) -> PathBuf {
        self.files.with_extension(extension)
    }
}

/// What all actors share.
pub(crate) struct World {
    pub(crate) stage: Stage,
    pub(crate) ledger: Ledger,
    pub(crate) holders: Vec<Holder>,
    /// To be revoked by the list.
    pub(crate) listed: Vec<Key>,
    /// The newest tokens, as keys.
    pub(crate) tokens: Mutex<VecDeque<Key>>,
    pub(crate) https: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) http1: Arc<ClientConfig>,
    pub(crate) http2: Arc<ClientConfig>,
    pub(crate) pid: u32,
    pub(crate) sequence: AtomicU64,
    /// Whether every request says its own id, so that the log knows of those without an answer.
    pub(crate) named: AtomicBool,
    /// Whether the disk is full, and nobody may make room on it.
    pub(crate) full: AtomicBool,
}

impl World {
    pub(crate) fn next(&self) -> u64 {
        self.sequence.fetch_add(1, Relaxed)
    }

    /// Keeps a token, and forgets an old one.
    pub(crate) fn keep(&self, token: Key) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.push_back(token);
        if tokens.len() > TOKENS {
            tokens.pop_front();
        }
    }

    /// One of the newest tokens.
    pub(crate) fn token(&self, dice: &mut Dice) -> Option<Key> {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let at = dice.below(tokens.len().max(1) as u64);
        tokens.get(usize::try_from(at).ok()?).cloned()
    }
}

/// Says when an activity has to end, and lets it wait until then.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(crate) fn raise(&self) {
        self.0.store(true, Relaxed);
    }

    pub(crate) fn raised(&self) -> bool {
        self.0.load(Relaxed)
    }

    /// Waits, and says whether to go on.
    pub(crate) fn wait(&self, mut time: Duration) -> bool {
        const STEP: Duration = Duration::from_millis(20);
        while !self.raised() && !time.is_zero() {
            std::thread::sleep(time.min(STEP));
            time = time.saturating_sub(STEP);
        }
        !self.raised()
    }
}

fn key(id: String, account: usize, access: &str) -> Key {
    let text = format!("soak-{id}-0123456789abcdef");
    let account = account_id(account);
    let identity = identity(&account, &id, access);
    Key { id, text, account, identity }
}

pub(crate) fn account_id(number: usize) -> String {
    format!("account-{number}")
}

/// What the upstream is told about a key of an account here.
pub(crate) fn identity(account: &str, id: &str, access: &str) -> String {
    origin::identity([account, id, access, &permissions(account), "workspace"])
}

/// Each account has one permission of its own; the first has one that a route asks for.
fn permissions(account: &str) -> String {
    match account {
        "account-0" => "special things:account-0".to_owned(),
        _ => format!("things:{account}"),
    }
}

pub(crate) fn holders() -> Vec<Holder> {
    let holder = |n| Holder {
        account: account_id(n),
        read: key(format!("read-{n}"), n, "read"),
        write: key(format!("write-{n}"), n, "write"),
        expiring: key(format!("expiring-{n}"), n, "read"),
    };
    (0..ACCOUNTS).map(holder).collect()
}

pub(crate) fn listed() -> Vec<Key> {
    (0..LISTED).map(|n| key(format!("listed-{n}"), n % ACCOUNTS, "read")).collect()
}

/// A record of a key file.
pub(crate) fn record(key: &Key, access: &str, more: &str) -> String {
    let digest: String = Sha256::digest(&key.text).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    format!(
        "[[key]]\nid = \"{}\"\naccount = \"{}\"\ndigest = \"sha256:{digest}\"\n\
         access = \"{access}\"\n{more}\n",
        key.id, key.account
    )
}

/// Writes all files of the program.
pub(crate) fn write_files(stage: &Stage, tomorrow: &str) -> io::Result<()> {
    for directory in ["more", "log", "filler"] {
        fs::create_dir_all(stage.files.join(directory))?;
    }
    let mut keys = String::from("# The keys of the soak.\n");
    for holder in holders() {
        let list: Vec<String> =
            permissions(&holder.account).split(' ').map(|name| format!("{name:?}")).collect();
        let list = list.join(", ");
        let _ = write!(keys, "[[account]]\nid = {:?}\npermissions = [{list}]\n\n", holder.account);
        keys += &record(&holder.read, "read", "");
        keys += &record(&holder.write, "write", "");
        keys += &record(&holder.expiring, "read", &format!("expires = {tomorrow}\n"));
    }
    let listed: String = listed().iter().map(|key| record(key, "read", "")).collect();
    put(&stage.files, "keys.toml", &keys)?;
    put(&stage.files, "more/listed.toml", &listed)?;
    put(&stage.files, "more/extra.toml", "# Nothing yet.\n")?;
    put(&stage.files, "revoked.txt", "# Nobody yet.\n")?;
    put(&stage.files, "keygate.toml", &config(stage, 0))?;
    put_certificate(&stage.files)?;
    let identity = TRUSTED.issue_with(|params| {
        params.subject_alt_names.push(SanType::IpAddress(stage.upstream_tls.ip()));
    });
    fs::write(stage.beside("ca"), TRUSTED.pem())?;
    fs::write(stage.beside("crt"), identity.certificate)?;
    fs::write(stage.beside("key"), identity.key)?;
    let made = Command::new(&stage.keygate)
        .args(["tokens", "keygen", "--out"])
        .arg(stage.files.join("tokens.pem"))
        .output()?;
    match made.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(String::from_utf8_lossy(&made.stderr))),
    }
}

/// A new certificate of the authority that the clients trust. Its two files change one after the
/// other: between that they do not fit each other.
pub(crate) fn put_certificate(files: &Path) -> io::Result<()> {
    let identity = TRUSTED.issue();
    put(files, "server.crt", &identity.certificate)?;
    put(files, "server.key", &identity.key)
}

/// Writes a file beside its place and renames it over it.
pub(crate) fn put(directory: &Path, name: &str, content: &str) -> io::Result<()> {
    let path = directory.join(name);
    let beside = path.with_extension("soak-tmp");
    let written = fs::write(&beside, content)
        .and_then(|()| fs::set_permissions(&beside, fs::Permissions::from_mode(0o600)))
        .and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(beside);
    }
    written
}

/// Whether a version of the configuration speaks HTTP/2 to the upstream.
pub(crate) const fn by_http2(version: u64) -> bool {
    version % 4 == 1
}

/// The configuration; versions of it differ in what no request notices: the way to the upstream,
/// a timeout, a route that nobody asks for.
pub(crate) fn config(stage: &Stage, version: u64) -> String {
    let upstream = match version % 4 {
        0 => format!("url = \"http://{}\"", stage.upstream),
        1 => format!("url = \"http://{}\"\nprotocol = \"http2\"", stage.upstream_http2),
        2 => {
            let ca = stage.beside("ca");
            format!("url = \"https://{}\"\nca = \"{}\"", stage.upstream_tls, ca.display())
        }
        _ => format!("url = \"unix:{}\"", stage.beside("sock").display()),
    };
    format!(
        r#"# Version {version}.
[listen]
https = "127.0.0.1:0"
http = "127.0.0.1:0"
admin = "127.0.0.1:0"

[tls]
certificate = "server.crt"
private_key = "server.key"

[upstream]
{upstream}
timeout = "{timeout}s"

[keys]
files = ["keys.toml", "more"]
revocations = "revoked.txt"

[credentials]
tokens = true

[tokens]
signing_key = "tokens.pem"

[responses]
disclose = true

[limits]
failures = false
body_pause = "{timeout}s"

[drain]
timeout = "20s"

[[route]]
path = "/echo/{{*rest}}"
{shuffled}
[[route]]
path = "/down/{{*rest}}"
[[route]]
path = "/up/{{*rest}}"
[[route]]
path = "/slow/{{*rest}}"
[[route]]
path = "/narrow/{{*rest}}"
in_flight = {{ max = {NARROW}, per = "account", queue = "20s" }}
[[route]]
path = "/rated/{{*rest}}"
rate = {{ requests = {RATE}, per = "1s", by = "key" }}
[[route]]
path = "/ws"
[[route]]
path = "/of/{{account}}/things"
account_from = "{{account}}"
[[route]]
path = "/special"
permissions = ["special"]
"#,
        timeout = 20 + version % 5,
        shuffled = match version % 2 {
            0 => "",
            _ => "[[route]]\npath = \"/only/at/times\"\n",
        },
    )
}
