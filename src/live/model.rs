//! Reloads of a directory whose files change in every way, against a model too simple to be wrong.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use http::HeaderValue;
use proptest::prelude::*;
use sha2::Digest as _;
use sha2::Sha256;

use super::Files;
use super::Live;
use super::Reloader;
use crate::clock;
use crate::keys::ApiKey;
use crate::keys::KeyId;
use crate::observe::Metrics;

const FILES: usize = 4;
const ACCOUNTS: usize = 5;
const KEYS: usize = 20;
const CONFIG: &str = "[listen]\nhttp = \"127.0.0.1:0\"\nhttp_accepts = \"everything\"\n\
                      [upstream]\nurl = \"http://127.0.0.1:1\"\n\
                      [keys]\nfiles = [\"keys\"]\nrevocations = \"revoked.txt\"\n";

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Key {
    secret: usize,
    account: usize,
    /// As bits.
    permissions: Option<u8>,
    write: bool,
    profile: bool,
    expired: bool,
    revoked: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Account {
    permissions: Option<u8>,
    disabled: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct File {
    accounts: Vec<(usize, Account)>,
    keys: Vec<(usize, Key)>,
    /// How many keys beside them, of an account.
    others: (usize, usize),
    broken: bool,
    /// Written in a way that only the full reader knows.
    odd: bool,
    /// Under another name, which moves it among the others.
    renamed: bool,
}

#[derive(Clone, Debug)]
enum Step {
    /// A key comes, changes or moves; where it does not move, it may stand twice.
    Key(usize, usize, Key, bool, bool),
    KeyGoes(usize),
    Account(usize, usize, Account, bool),
    Swap(usize, usize),
    Rename(usize),
    Break(usize),
    Odd(usize),
    Others(usize, usize, usize),
    /// By id, or by digest.
    Revoke(usize, bool),
    Forgive,
}

#[derive(Clone, Debug, Default)]
struct State {
    files: [File; FILES],
    ids: BTreeSet<usize>,
    secrets: BTreeSet<usize>,
}

/// What is known of each secret, as text.
type Verdicts = BTreeMap<usize, String>;

fn id(key: usize) -> String {
    match key % 3 {
        0 => format!("key{key}_whose_name_is_too_long_for_any_row"),
        1 => format!("key{key:_>29}"),
        _ => format!("key{key}"),
    }
}

fn secret(number: usize) -> String {
    format!("a-secret-of-some-length-{number}")
}

fn digest(number: usize) -> String {
    let digest = Sha256::digest(secret(number).as_bytes());
    digest.iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

fn names(bits: u8) -> Vec<String> {
    (0..6).filter(|bit| bits >> bit & 1 == 1).map(|bit| format!("p{bit}")).collect()
}

impl File {
    fn text(&self, number: usize) -> String {
        // One in which nothing stands at all could be a mistake.
        let mut text = "# keys\n".to_owned();
        let list = |bits: Option<u8>| {
            bits.map_or_else(String::new, |bits| format!("permissions = {:?}\n", names(bits)))
        };
        for (account, Account { permissions, disabled }) in &self.accounts {
            let off = if *disabled { "disabled = true\n" } else { "" };
            let list = list(*permissions);
            let _ = write!(text, "[[account]]\nid = \"a{account}\"\n{list}{off}");
        }
        for (key, it) in self.keys.iter().copied().chain(self.others(number)) {
            let id = if self.odd { format!("'''{}'''", id(key)) } else { format!("{:?}", id(key)) };
            let _ = write!(text, "[[key]]\nid = {id}\naccount = \"a{}\"\n", it.account);
            let _ = write!(text, "digest = \"{}\"\n{}", digest(it.secret), list(it.permissions));
            text += if it.write { "access = \"write\"\n" } else { "" };
            text += if it.profile { "kind = \"profile\"\n" } else { "" };
            text += if it.expired { "expires = 2001-01-01T00:00:00.5Z\n" } else { "" };
            text += if it.revoked { "revoked = 2001-01-01\n" } else { "" };
        }
        text + if self.broken { "[[account]]\nid = \"x\"\nnonsense = 1\n" } else { "" }
    }

    /// Many keys whose permissions differ.
    fn others(&self, file: usize) -> impl Iterator<Item = (usize, Key)> {
        let (count, account) = self.others;
        (0..count).map(move |number| {
            let secret = 1000 * (file + 1) + number;
            let permissions = u8::try_from(number % 64).ok();
            (secret, Key { secret, account, permissions, ..Key::default() })
        })
    }

    fn name(&self, number: usize) -> String {
        format!("{}{number}.toml", if self.renamed { "z" } else { "f" })
    }
}

impl State {
    fn apply(&mut self, step: &Step) {
        let Self { files, ids, secrets } = self;
        match *step {
            Step::Key(file, key, it, moves, first) => {
                if moves {
                    let other =
                        |(number, its): &(usize, Key)| *number != key && its.secret != it.secret;
                    files.iter_mut().for_each(|file| file.keys.retain(other));
                }
                let at = if first { 0 } else { files[file].keys.len() };
                files[file].keys.insert(at, (key, it));
            }
            Step::KeyGoes(key) => {
                files.iter_mut().for_each(|file| file.keys.retain(|(number, _)| *number != key));
            }
            Step::Account(file, account, it, moves) => {
                if moves {
                    let other = |(number, _): &(usize, Account)| *number != account;
                    files.iter_mut().for_each(|file| file.accounts.retain(other));
                }
                files[file].accounts.push((account, it));
            }
            Step::Swap(a, b) => files.swap(a, b),
            Step::Rename(file) => files[file].renamed ^= true,
            Step::Break(file) => files[file].broken = true,
            Step::Odd(file) => files[file].odd ^= true,
            Step::Others(file, count, account) => files[file].others = (count, account),
            Step::Revoke(key, true) => drop(ids.insert(key)),
            Step::Revoke(secret, false) => drop(secrets.insert(secret)),
            Step::Forgive => {
                ids.clear();
                secrets.clear();
            }
        }
    }

    /// Takes away all that stands against it.
    fn heal(&mut self) {
        let (mut accounts, mut keys, mut secrets) =
            <(BTreeSet<_>, BTreeSet<_>, BTreeSet<_>)>::default();
        for file in &mut self.files {
            file.broken = false;
            file.accounts.retain(|(number, _)| accounts.insert(*number));
            file.keys.retain(|(key, it)| {
                !keys.contains(key) && secrets.insert(it.secret) && keys.insert(*key)
            });
        }
        for missing in (0..ACCOUNTS).filter(|number| !accounts.contains(number)) {
            self.files[missing % FILES].accounts.push((missing, Account::default()));
        }
    }

    fn keys(&self) -> Vec<(usize, Key)> {
        let files = self.files.iter().enumerate();
        files.flat_map(|(at, file)| file.keys.iter().copied().chain(file.others(at))).collect()
    }

    fn accounts(&self) -> Vec<(usize, Account)> {
        self.files.iter().flat_map(|file| file.accounts.clone()).collect()
    }

    fn is_sound(&self) -> bool {
        let (keys, accounts) = (self.keys(), self.accounts());
        let none_twice =
            |list: Vec<usize>| list.iter().collect::<BTreeSet<_>>().len() == list.len();
        none_twice(keys.iter().map(|(key, _)| *key).collect())
            && none_twice(keys.iter().map(|(_, it)| it.secret).collect())
            && none_twice(accounts.iter().map(|(account, _)| *account).collect())
            && keys.iter().all(|(_, it)| accounts.iter().any(|(account, _)| *account == it.account))
            && !self.files.iter().any(|file| file.broken)
    }

    /// What is to be said of each key that there is, given which are revoked elsewhere.
    fn verdicts(&self, ids: &BTreeSet<usize>, secrets: &BTreeSet<usize>) -> Verdicts {
        let accounts: BTreeMap<_, _> = self.accounts().into_iter().collect();
        let said = |(key, it): (usize, Key)| {
            let account = accounts[&it.account];
            let effective = match (it.permissions, account.permissions) {
                (None, None) => "*".to_owned(),
                (Some(own), limit) => names(own & limit.unwrap_or(u8::MAX)).join(" "),
                (None, Some(limit)) => names(limit).join(" "),
            };
            let stands = match () {
                () if it.revoked || ids.contains(&key) || secrets.contains(&it.secret) => {
                    "Err(RevokedKey)"
                }
                () if it.expired => "Err(ExpiredKey)",
                () if account.disabled => "Err(AccountDisabled)",
                () => "Ok(())",
            };
            let access = if it.write { "write" } else { "read" };
            let kind = if it.profile { "profile" } else { "workspace" };
            let (id, owner) = (id(key), it.account);
            (it.secret, format!("a{owner}|{id}|{effective}|{access}|{kind} {id} {stands}"))
        };
        self.keys().into_iter().map(said).collect()
    }

    fn write(&self, before: Option<&Self>, directory: &Path) {
        for number in 0..FILES {
            let (new, old) = (&self.files[number], before.map(|before| &before.files[number]));
            let keys = directory.join("keys");
            if let Some(old) = old.filter(|old| old.renamed != new.renamed) {
                fs::rename(keys.join(old.name(number)), keys.join(new.name(number))).unwrap();
            }
            if old != Some(new) {
                // As careful programs do, or not.
                let path = keys.join(if new.odd { ".new".to_owned() } else { new.name(number) });
                fs::write(&path, new.text(number)).unwrap();
                fs::rename(path, keys.join(new.name(number))).unwrap();
            }
        }
        let ids = self.ids.iter().map(|key| id(*key));
        let digests = self.secrets.iter().map(|secret| digest(*secret));
        let lines: Vec<_> = ids.chain(digests).collect();
        fs::write(directory.join("revoked.txt"), lines.join("\n")).unwrap();
    }
}

/// What the world in force says of a secret.
fn told(live: &Live, number: usize) -> Option<String> {
    let world = live.world();
    let snapshot = world.snapshot();
    let digest = snapshot.digester().digest(&ApiKey::new(secret(number).as_bytes()));
    let (at, key) = snapshot.table().find(&digest)?;
    let by_id = snapshot.table().find_id(&KeyId::new(key.id_text()).unwrap());
    assert_eq!(by_id.map(|(at, _)| at), Some(at));
    assert_eq!(snapshot.table().account(at).unwrap().id, *key.account());
    let (mut identity, write) =
        (Vec::new(), |value: &[u8]| HeaderValue::from_bytes(value).unwrap());
    snapshot.identity_of(at, None, write, |_, value| {
        identity.push(value.to_str().unwrap().to_owned());
    });
    let stands = snapshot.still_stands(&key.id(), &digest, clock::now());
    Some(format!("{} {} {stands:?}", identity.join("|"), key.id()))
}

fn key() -> impl Strategy<Value = Key> {
    let flag = prop::bool::weighted(0.15);
    let permissions = prop::option::of(0u8..64);
    (0..KEYS, 0..ACCOUNTS, permissions, any::<bool>(), any::<bool>(), flag, flag).prop_map(
        |(secret, account, permissions, write, profile, expired, revoked)| Key {
            secret,
            account,
            permissions,
            write,
            profile,
            expired,
            revoked,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let file = || 0..FILES;
    let mostly = || prop::bool::weighted(0.9);
    let account = (prop::option::of(0u8..64), prop::bool::weighted(0.2))
        .prop_map(|(permissions, disabled)| Account { permissions, disabled });
    prop_oneof![
        10 => (file(), 0..KEYS, key(), mostly(), any::<bool>())
            .prop_map(|(file, number, key, moves, first)| Step::Key(file, number, key, moves, first)),
        3 => (0..KEYS).prop_map(Step::KeyGoes),
        3 => (file(), 0..ACCOUNTS, account, mostly())
            .prop_map(|(file, number, account, moves)| Step::Account(file, number, account, moves)),
        2 => (file(), file()).prop_map(|(a, b)| Step::Swap(a, b)),
        2 => file().prop_map(Step::Rename),
        1 => file().prop_map(Step::Break),
        1 => file().prop_map(Step::Odd),
        1 => (file(), prop_oneof![Just(0usize), 0usize..600], 0..ACCOUNTS)
            .prop_map(|(file, count, account)| Step::Others(file, count, account)),
        2 => (0..KEYS, any::<bool>()).prop_map(|(key, by_id)| Step::Revoke(key, by_id)),
        1 => Just(Step::Forgive),
    ]
}

/// A reloader of a directory, and what should be in force.
struct Both {
    live: Arc<Live>,
    reloader: Reloader,
    state: State,
    sound: State,
    /// What was revoked since the last load that succeeded.
    revoked: (BTreeSet<usize>, BTreeSet<usize>),
}

impl Both {
    fn begin(directory: &Path) -> Self {
        let mut state = State::default();
        state.heal();
        fs::write(directory.join("keygate.toml"), CONFIG).unwrap();
        fs::create_dir(directory.join("keys")).unwrap();
        state.write(None, directory);
        let metrics = Metrics::new();
        let files = Files { config: directory.join("keygate.toml"), overrides: Vec::new() };
        let (reloader, world, _) = Reloader::first(files, &metrics).unwrap();
        let live = Live::new(world, metrics, clock::now());
        let sound = state.clone();
        Self { live, reloader, state, sound, revoked: Default::default() }
    }

    fn reload(&mut self, steps: &[Step], heals: bool, asked: bool, directory: &Path) {
        let before = self.state.clone();
        steps.iter().for_each(|step| self.state.apply(step));
        if heals {
            self.state.heal();
        }
        self.state.write(Some(&before), directory);
        if asked {
            self.reloader.doubt();
        }
        if self.reloader.is_stale() || asked {
            self.reloader.reload(&self.live, asked);
        }
        self.reloader.bury();
        let elsewhere = (self.state.ids.clone(), self.state.secrets.clone());
        if self.state.is_sound() {
            self.sound = self.state.clone();
            self.revoked = elsewhere;
        } else {
            let marked = self.state.keys().into_iter().filter(|(_, it)| it.revoked);
            self.revoked.0.extend(marked.map(|(key, _)| key).chain(elsewhere.0));
            self.revoked.1.extend(elsewhere.1);
        }
    }

    fn agree(&self) {
        let wanted = self.sound.verdicts(&self.revoked.0, &self.revoked.1);
        assert_eq!(self.live.world().snapshot().table().len(), wanted.len());
        assert_eq!(self.live.status().error.is_none(), self.state.is_sound());
        let some = wanted.keys().copied().filter(|secret| *secret >= KEYS).step_by(29);
        for secret in (0..KEYS).chain(some) {
            assert_eq!(told(&self.live, secret).as_ref(), wanted.get(&secret), "{secret}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn whatever_becomes_of_the_files_each_key_is_judged_by_its_own_record_and_account(
        reloads in prop::collection::vec(
            (prop::collection::vec(step(), 1..4), prop::bool::weighted(0.7), prop::bool::weighted(0.1)),
            1..40,
        )
    ) {
        let directory = tempfile::tempdir().unwrap();
        let mut both = Both::begin(directory.path());
        for (steps, heals, asked) in &reloads {
            both.reload(steps, *heals, *asked, directory.path());
            both.agree();
        }
    }
}
