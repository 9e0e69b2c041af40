//! Files → the next world. What does not load changes nothing, except that what is known to be
//! revoked stays revoked.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use jiff::Timestamp;

use super::Live;
use super::audit;
use super::changes::Changes;
use super::clerk::Clerk;
use super::fingerprint::Fingerprint;
use super::mounts;
use super::world::World;
use crate::clock;
use crate::config;
use crate::config::Config;
use crate::config::Keyring;
use crate::config::Revoked;
use crate::keys::KeyStore;
use crate::keys::KeyTable;
use crate::observe::AuditLog;
use crate::observe::Metrics;
use crate::source::Mark;
use crate::source::Problems;

/// Which configuration is loaded, again and again.
#[derive(Clone, Debug)]
pub struct Files {
    /// `keygate.toml`.
    pub config: PathBuf,
    /// What `--set` says.
    pub overrides: Vec<String>,
}

/// Loads, and remembers what is in force.
#[derive(Debug)]
pub struct Reloader {
    files: Files,
    config: Config,
    revocations: Revoked,
    watched: Vec<PathBuf>,
    /// As it was when it was last loaded.
    fingerprint: Fingerprint,
    /// As it was when it was last looked at.
    seen: Fingerprint,
    store: KeyStore,
    /// Worlds that were in force and that somebody may still look at.
    retired: Vec<Arc<World>>,
    audit: Option<Clerk>,
    /// Whether somebody asked for this reload.
    asked: bool,
}

/// What one pass over the files found.
struct Pass {
    config: Option<Config>,
    keyring: Option<Keyring>,
    problems: Problems,
    watched: Vec<PathBuf>,
    /// Of what was loaded.
    fingerprint: Fingerprint,
    /// Whether something was read that nobody had looked at before: a change meanwhile would be
    /// taken for what was read.
    missed: bool,
}

impl Reloader {
    /// The first load: everything must be right. Warnings are returned beside it.
    ///
    /// # Errors
    /// Every problem of every file.
    pub fn first(files: Files, metrics: &Metrics) -> Result<(Self, World, Problems), Problems> {
        let mut store = KeyStore::default();
        let began = clock::now();
        let unseen = Fingerprint::default();
        let mut pass = Pass::over(&files, None, &unseen, &mut store);
        // Nobody had looked at anything.
        if may_have_changed(&pass.watched, &store, began) {
            let seen = Fingerprint::of(&pass.watched, &unseen, &mut store, clock::now());
            pass = Pass::over(&files, None, &seen, &mut store);
        }
        let Pass { config, keyring, mut problems, watched, fingerprint, .. } = pass;
        problems.extend(mounts::frozen(&watched));
        let (Some(config), Some(keyring)) = (config, keyring) else { return Err(problems) };
        let (Some(keys), false) = (keyring.keys, problems.fatal()) else { return Err(problems) };
        let revocations = keyring.revocations;
        let world = World::new(&config, keys, &revocations, 1, metrics);
        let seen = fingerprint.clone();
        let this = Self {
            files,
            config,
            revocations,
            watched,
            fingerprint,
            seen,
            store,
            retired: Vec::new(),
            audit: None,
            asked: false,
        };
        Ok((this, world, problems))
    }

    /// The configuration in force.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Every file whose change matters, directories too.
    #[must_use]
    pub fn watched(&self) -> &[PathBuf] {
        &self.watched
    }

    /// Whether any file differs from what was last loaded. What is loaded next is compared with
    /// what this look finds.
    pub(super) fn is_stale(&mut self) -> bool {
        if let Some(left) = self.store.settles_in(clock::now()) {
            thread::sleep(left);
        }
        let Self { watched, seen, store, .. } = self;
        self.seen = Fingerprint::of(watched, seen, store, clock::now());
        !self.seen.has_contents_of(&self.fingerprint)
    }

    /// Drops the worlds that nobody looks at any more: here and not where they were last looked at,
    /// since a large one takes a while. Says whether all are gone.
    pub(super) fn bury(&mut self) -> bool {
        self.retired.retain(|world| Arc::strong_count(world) > 1);
        self.retired.is_empty()
    }

    /// Makes sure that files are read again even if they look the same.
    pub(super) fn doubt(&mut self) {
        self.store.doubt();
    }

    /// Says it if the audit log keeps something waiting.
    pub(super) fn look_at_audit_log(&self) {
        if let Some(clerk) = &self.audit {
            clerk.look(clock::mono());
        }
    }

    /// Begins to write the audit log, if there is one. What is returned tells it of the process.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn chronicle(&mut self, live: &Arc<Live>) -> io::Result<Chronicle> {
        let clerk = |log| Clerk::start(log, Arc::clone(live.metrics()));
        self.audit =
            self.config.audit_log.file.clone().map(AuditLog::new).map(clerk).transpose()?;
        Ok(Chronicle { audit: self.audit.clone(), live: Arc::clone(live) })
    }

    /// Loads again and swaps, or keeps what is in force. `asked` is whether somebody said so. To be
    /// called after a look: a change since then is seen by the next one.
    pub(super) fn reload(&mut self, live: &Live, asked: bool) {
        self.asked = asked;
        let began = clock::mono();
        let loaded = self.load(live);
        let took = clock::mono().saturating_duration_since(began);
        live.metrics().reloaded(loaded, took, clock::now());
    }

    /// Says whether all was right.
    fn load(&mut self, live: &Live) -> bool {
        let old = live.world();
        let Self { files, config, revocations, store, seen, .. } = self;
        let in_force = InForce { config, revocations, table: old.snapshot().table() };
        let mut pass = Pass::over(files, Some(&in_force), seen, store);
        if pass.missed {
            let seen = Fingerprint::of(&pass.watched, seen, store, clock::now());
            pass = Pass::over(files, Some(&in_force), &seen, store);
        }
        let Pass { config, keyring, problems, watched, fingerprint, .. } = pass;
        self.seen = fingerprint.clone();
        (self.watched, self.fingerprint) = (watched, fingerprint);
        log(&problems);
        let Some(keyring) = keyring else {
            self.keep(live, &problems, None);
            return false;
        };
        let (Some(config), false) = (config, problems.fatal()) else {
            let revoked = keyring.revoked();
            self.revocations = keyring.revocations;
            self.keep(live, &problems, Some(&revoked));
            return false;
        };
        let Some(keys) = keyring.keys else {
            self.keep(live, &problems, None);
            return false;
        };
        self.revocations = keyring.revocations;
        let generation = old.generation() + 1;
        let next = World::new(&config, keys, &self.revocations, generation, live.metrics());
        self.swap(live, next.reusing(&old), config);
        true
    }

    fn swap(&mut self, live: &Live, next: World, config: Config) {
        let settings = config.needs_restart(&self.config);
        if !settings.is_empty() {
            let settings = settings.join(", ");
            tracing::warn!(settings, "changed, but in force only after a restart");
        }
        tell_of_signing_keys(&self.config, &config);
        live.metrics().turn_access_log(&config.access_log);
        let old = live.world();
        let changes = Changes::between(old.snapshot(), next.snapshot());
        let generation = next.generation();
        let (before, after) = (audit::table(&old), audit::table(&next));
        drop(old);
        self.config = config;
        self.retired.push(live.swap(next, None, clock::now()));
        self.told().done(&before, &after, &changes);
        changes.log(generation, "reloaded");
    }

    fn keep(&mut self, live: &Live, problems: &Problems, revoked: Option<&Revoked>) {
        let error = problems.lines().into_iter().next().unwrap_or_default();
        tracing::error!(problems = problems.tally(), "not reloaded: the old state stays in force");
        let old = live.world();
        let next = revoked.map(|revoked| old.revoking(revoked));
        match next.filter(|next| next.snapshot().revokes_more_than(old.snapshot())) {
            Some(next) => {
                let changes = Changes::between(old.snapshot(), next.snapshot());
                let generation = next.generation();
                let (before, after) = (audit::table(&old), audit::table(&next));
                self.retired.push(live.swap(next, Some(error), clock::now()));
                self.told().failed(&before, Some((&after, &changes)), problems);
                changes.log(generation, "revocations are in force all the same");
            }
            None => {
                live.keep(error);
                self.told().failed(&audit::table(&old), None, problems);
            }
        }
    }

    const fn told(&self) -> audit::Reload<'_> {
        audit::Reload { log: self.audit.as_ref(), asked: self.asked }
    }
}

/// Tells the audit log that a process begins.
#[derive(Debug)]
pub struct Chronicle {
    audit: Option<Clerk>,
    live: Arc<Live>,
}

impl Chronicle {
    /// It serves. What is returned tells of its end.
    pub fn begins(self) -> Farewell {
        audit::process(self.audit.as_ref(), "process.start", &self.live.world());
        Farewell(self)
    }
}

/// Tells the audit log that a process drains, and when it is dropped that it has ended.
#[derive(Debug)]
#[must_use = "dropping it tells the end"]
pub struct Farewell(Chronicle);

impl Farewell {
    /// It takes no more connections.
    pub fn drains(&self) {
        let Chronicle { audit, live } = &self.0;
        audit::process(audit.as_ref(), "process.drain", &live.world());
    }
}

impl Drop for Farewell {
    fn drop(&mut self) {
        let Chronicle { audit, live } = &self.0;
        audit::process(audit.as_ref(), "process.stop", &live.world());
        audit.iter().for_each(Clerk::end);
    }
}

/// What a new load is compared with.
struct InForce<'f> {
    config: &'f Config,
    revocations: &'f Revoked,
    table: &'f KeyTable,
}

impl Pass {
    /// Reads everything once. Where the configuration does not load, the key files of the one in
    /// force are read: somebody may have revoked a key. `before` is what the files looked like
    /// before: a change while we read is seen at the next look.
    fn over(
        files: &Files,
        in_force: Option<&InForce<'_>>,
        before: &Fingerprint,
        store: &mut KeyStore,
    ) -> Self {
        let load = if in_force.is_some() { config::load_again } else { config::load };
        let loaded = load(&files.config, &files.overrides, clock::now());
        // A file that does not load may have lost the names of the key files with the rest.
        let known_good = loaded.config.as_ref().or(in_force.map(|it| it.config));
        let known_good = known_good.map(|config| &config.keys);
        let keys = known_good.or(loaded.keys.as_ref());
        let revocations = in_force.map(|it| it.revocations);
        let table = in_force.map(|it| it.table);
        let mut keyring = keys.map(|keys| config::load_keys_again(keys, revocations, store, table));
        let mut problems = loaded.problems;
        let mut watched = loaded.files;
        if let Some(keyring) = &mut keyring {
            problems.extend(std::mem::take(&mut keyring.problems));
            watched.append(&mut keyring.files);
        }
        watched.sort();
        watched.dedup();
        let (fingerprint, missed) = before.loaded(&watched, store, clock::now());
        Self { config: loaded.config, keyring, problems, watched, fingerprint, missed }
    }
}

/// Whether any file may have changed since an instant. The store knows what it read of key files;
/// and where something can be read only once, like a pipe, nothing is read again.
fn may_have_changed(paths: &[PathBuf], store: &KeyStore, since: Timestamp) -> bool {
    let others = || paths.iter().filter(|path| store.digest(path).is_none());
    let once =
        |path: &PathBuf| fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir());
    let changed = |path: &PathBuf| Mark::of(path).is_none_or(|mark| !mark.is_settled(since));
    !others().any(once) && others().any(changed)
}

/// Whoever changes signing keys wants to see that it was seen.
fn tell_of_signing_keys(old: &Config, new: &Config) {
    let kids = |config: &Config| {
        let kids = config.tokens.iter().flat_map(|tokens| tokens.kids());
        kids.map(str::to_owned).collect::<Vec<_>>()
    };
    let (old, new) = (kids(old), kids(new));
    if old != new {
        tracing::info!(signing = new.first(), kids = new.join(" "), "signing keys changed");
    }
}

fn log(problems: &Problems) {
    for problem in problems.reported() {
        match problem.warning {
            true => tracing::warn!("{}", problem.line()),
            false => tracing::error!("{}", problem.line()),
        }
    }
}
