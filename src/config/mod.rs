//! From text to truth: `keygate.toml` becomes a [`Config`], or every problem with its place.
//!
//! One file for each section of it. Must not know tokio or hyper.

mod access_log;
mod admin_address;
mod audit_log;
mod body_rules;
mod bounds;
mod certificate;
mod certificate_for;
mod collector;
mod credential;
mod credentials;
mod drain;
mod files;
mod identity;
mod keyfiles;
mod keyring;
mod keys;
mod limits;
mod listen;
mod logs;
mod metrics;
mod overrides;
mod places;
mod reading;
mod responses;
mod revocations;
mod routes;
mod signing;
mod sni;
mod state;
mod takeover;
mod tickets;
mod tls;
mod tokens;
mod tracing;
mod trust;
mod units;
mod upstream;

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use crate::gate::Answers;
use crate::gate::BasicUser;
use crate::gate::Credentials;
use crate::gate::Denial;
use crate::gate::Identity;
use crate::gate::Routes;
use crate::gate::Tokens;
use crate::gate::Unmatched;
use crate::source::Problem;
use crate::source::Problems;
use crate::source::Section;
use crate::source::Source;
use crate::source::Span;

pub use access_log::AccessLog;
pub use access_log::LogTo;
pub use admin_address::AdminAddress;
pub use audit_log::AuditConfig;
pub use bounds::Bounds;
pub use collector::Collector;
pub use drain::Drain;
pub use keyfiles::key_files;
pub use keyring::Keyring;
pub use keyring::LoadedKeys;
pub use keyring::Texts;
pub use keyring::digester;
pub use keyring::load_keys;
pub use keyring::load_keys_again;
pub use keyring::load_revocations;
pub use keys::Keys;
pub use listen::Listen;
pub use metrics::MetricsConfig;
pub use places::Place;
pub use places::Places;
pub use revocations::Revoked;
pub use tls::Tls;
pub use tracing::TraceTrust;
pub use tracing::Tracing;
pub use upstream::Protocol;
pub use upstream::Target;
pub use upstream::Upstream;
pub use upstream::UpstreamTls;

/// Everything that `keygate.toml` says, validated, with the certificates that it names.
#[derive(Clone, Debug)]
pub struct Config {
    /// Threads, each with its own listeners.
    pub workers: usize,
    /// Where requests come in.
    pub listen: Listen,
    /// How clients are met; `None` where no listener speaks TLS.
    pub tls: Option<Tls>,
    /// The API behind.
    pub upstream: Upstream,
    /// Which files hold the keys.
    pub keys: Keys,
    /// Which carriers are on.
    pub credentials: Credentials,
    /// What the upstream is told.
    pub identity: Identity,
    /// What strangers are told.
    pub answers: Answers,
    /// All routes.
    pub routes: Routes,
    /// What happens to the rest.
    pub unmatched: Unmatched,
    /// How many bytes all inspected bodies may take at a time.
    pub body_memory: usize,
    /// The tokens that are minted and accepted, if they are.
    pub tokens: Option<Arc<Tokens>>,
    /// What clients may take, in time and in number.
    pub bounds: Bounds,
    /// How to end.
    pub drain: Drain,
    /// What is counted.
    pub metrics: MetricsConfig,
    /// Where what shall outlive the process is kept.
    pub state: Option<PathBuf>,
    /// Where requests are told of.
    pub access_log: AccessLog,
    /// Whose traces go on, and what of ours is sampled.
    pub tracing: Tracing,
    /// To whom spans are sent, if they are.
    pub collector: Option<Collector>,
    /// Where changes of keys are told of.
    pub audit_log: AuditConfig,
}

impl Config {
    /// What differs from a running configuration that only a restart can change: the names of the
    /// settings.
    #[must_use]
    pub fn needs_restart(&self, running: &Self) -> Vec<&'static str> {
        let differs = [
            ("workers", self.workers != running.workers),
            ("listen.https", self.listen.https != running.listen.https),
            ("listen.http", self.listen.http != running.listen.http),
            ("listen.admin", self.listen.admin != running.listen.admin),
            ("state.directory", self.state != running.state),
            ("audit_log.file", self.audit_log.file != running.audit_log.file),
            ("access_log.queue", self.access_log.queue != running.access_log.queue),
            ("tracing.endpoint", self.sends_spans_elsewhere(running)),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }

    /// What stands against writing the files that the process writes to. It keeps a process from
    /// starting, but no running one from taking over what else has changed.
    #[must_use]
    pub fn troubles(&self) -> Problems {
        let mut problems = Problems::default();
        let written = [&self.access_log.written, &self.audit_log.written];
        let troubles = written.into_iter().flatten().filter_map(logs::Written::trouble);
        troubles.for_each(|trouble| problems.push(trouble));
        problems
    }
}

impl Config {
    fn sends_spans_elsewhere(&self, running: &Self) -> bool {
        match (&self.collector, &running.collector) {
            (Some(new), Some(old)) => new.differs(old),
            (new, old) => new.is_some() != old.is_some(),
        }
    }
}

/// What came of reading a configuration.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration, unless a problem stands against it.
    pub config: Option<Config>,
    /// `[keys]`, also where something else stands against the configuration: so that key files can
    /// be judged in the same run.
    pub keys: Option<Keys>,
    /// `[state]`, likewise.
    pub state: Option<PathBuf>,
    /// The file of `[audit_log]`, likewise.
    pub audit_log: Option<PathBuf>,
    /// Every problem, warnings among them.
    pub problems: Problems,
    /// Every file that was named, itself included: a change of any of them can change the outcome.
    /// Key files are not among them (see [`Config::keys`]).
    pub files: Vec<PathBuf>,
    /// The text that was read, with what `--set` adds to it.
    pub source: Option<Source>,
}

/// Reads `keygate.toml` with the values of `--set` in place of its own, and the certificates that
/// it names. Problems with dates are judged at `now`.
#[must_use]
pub fn load(path: &Path, overrides: &[String], now: Timestamp) -> Loaded {
    load_with(path, overrides, now, files::Files::default())
}

/// As [`load`], for a process that serves: it touches no file that the process writes to, since a
/// disk that hangs under one of them must keep no key from being revoked.
#[must_use]
pub fn load_again(path: &Path, overrides: &[String], now: Timestamp) -> Loaded {
    load_with(path, overrides, now, files::Files::serving())
}

fn load_with(path: &Path, overrides: &[String], now: Timestamp, mut files: files::Files) -> Loaded {
    let mut problems = Problems::default();
    files.name(path);
    let mut text = None;
    let Parts { config, keys, state, audit_log } = match Source::read(path) {
        Ok(source) if source.text.trim().is_empty() && overrides.is_empty() => {
            let message = format!("`{}` is empty", source.name);
            problems.push(Problem::new(message).help("`keygate init` writes one to start from"));
            Parts::default()
        }
        Ok(source) => {
            let source = overrides::attach(source, overrides);
            read(text.insert(source), &mut files, &mut problems, now)
        }
        Err(problem) => {
            let own = |help: &String| !help.starts_with("check the path");
            let help = problem.help.clone().filter(own).unwrap_or_else(|| NO_CONFIG.to_owned());
            problems.push(Problem { help: Some(help), ..*problem });
            Parts::default()
        }
    };
    let config = config.filter(|_| !problems.fatal());
    let files = files.into_named();
    Loaded { config, keys, state, audit_log, problems, files, source: text }
}

/// What was read of a text.
#[derive(Default)]
struct Parts {
    config: Option<Config>,
    keys: Option<Keys>,
    state: Option<PathBuf>,
    audit_log: Option<PathBuf>,
}

const NO_CONFIG: &str = "name a configuration with `--config`, or make one with `keygate init`";

fn read(
    source: &Source,
    files: &mut files::Files,
    problems: &mut Problems,
    now: Timestamp,
) -> Parts {
    let change = |table: &mut _, problems: &mut _| overrides::apply(source, table, problems);
    let mut root = Section::root_with(source, problems, change);
    let workers = listen::read_workers(&mut root);
    let listen = listen::read(&mut root);
    let tls = tls::read(&mut root, files, !listen.https.is_empty(), now);
    let upstream = upstream::read(&mut root, files);
    let keys = keys::read(&mut root);
    let credentials = credentials::read(&mut root);
    let basic_names_account = credentials.basic == Some(BasicUser::Account);
    let keys = keys.map(|keys| Keys { basic_names_account, ..keys });
    let identity = identity::read(&mut root);
    let answers = responses::read(&mut root, &credentials);
    let routes = routes::read(&mut root);
    let bounds = bounds::read(&mut root);
    let drain = drain::read(&mut root);
    let metrics = metrics::read(&mut root);
    let state = state::read(&mut root, files);
    let (tracing, collector) = tracing::read(&mut root, files);
    let tokens = tokens::read(&mut root, files, &credentials, routes.as_ref());
    // Once all files are known that are read: the logs must be none of them.
    let access_log = access_log::read(&mut root, files, keys.as_ref());
    let audit_log = audit_log::read(&mut root, (files, keys.as_ref()), &access_log.to);
    let audit_file = audit_log.file.clone();
    if let Some(span) = routes.as_ref().and_then(|routes| routes.account_from.as_ref()) {
        warn_of_oracle(&mut root, span, &answers);
    }
    drop(root);
    let config = upstream.zip(keys.clone()).zip(routes).map(|((upstream, keys), routes)| Config {
        workers,
        listen,
        tls,
        upstream,
        keys,
        credentials,
        identity,
        answers,
        routes: routes.routes,
        unmatched: routes.unmatched,
        body_memory: routes.body_memory,
        tokens,
        bounds,
        drain,
        metrics,
        state: state.clone(),
        access_log,
        tracing,
        collector,
        audit_log,
    });
    Parts { config, keys, state, audit_log: audit_file }
}

/// Whoever can tell another account's path from none learns which accounts exist.
fn warn_of_oracle(root: &mut Section<'_, '_>, account_from: &Span, answers: &Answers) {
    let (other, none) = (answers.status(Denial::WrongAccount), answers.status(Denial::NoRoute));
    if other != none {
        let message = format!(
            "`wrong_account` is answered with {} and `no_route` with {}, which tells strangers \
             which accounts exist",
            other.as_u16(),
            none.as_u16()
        );
        let help = format!("add `no_route = {{ status = {} }}` to `[responses]`", other.as_u16());
        root.warn(account_from, message, help);
    }
}

#[cfg(test)]
mod tests;
