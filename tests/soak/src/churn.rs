//! Keys that are made and revoked with the real command line while their clients use them.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::asks::Ask;
use crate::ledger::{Kind, Life, SECOND, Time, now};
use crate::noise::Dice;
use crate::world::{ACCOUNTS, Key, Stop, World, account_id, identity};

/// How long clients go on with a key that is revoked.
const AFTERLIFE: Time = 12 * SECOND;
/// How long the last of these requests may take.
const LAST: Time = 8 * SECOND;

#[derive(Clone, Debug)]
struct Known {
    key: Key,
    write: bool,
    /// When it is to be revoked.
    until: Time,
    revoked: Option<Time>,
}

/// The keys that come and go.
#[derive(Default)]
pub(crate) struct Churn(Mutex<Vec<Known>>);

impl Churn {
    fn known(&self) -> std::sync::MutexGuard<'_, Vec<Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request with one of them, alive or dead.
    pub(crate) fn ask(&self, dice: &mut Dice) -> Option<Ask> {
        let known = self.known();
        let asked = |known: &&Known| known.revoked.is_none_or(|at| now() < at + AFTERLIFE);
        let known: Vec<_> = known.iter().filter(asked).collect();
        if known.is_empty() {
            return None;
        }
        let chosen = dice.pick(&known);
        Some(match chosen.write {
            true => Ask::post(Kind::Fresh, &chosen.key, dice),
            false => Ask::echo(Kind::Fresh, &chosen.key, dice),
        })
    }

    /// One that has a while to live.
    pub(crate) fn living(&self, dice: &mut Dice) -> Option<Key> {
        let known = self.known();
        let living: Vec<_> = known.iter().filter(|known| known.revoked.is_none()).collect();
        (!living.is_empty()).then(|| dice.pick(&living).key.clone())
    }

    /// Makes and revokes until it is stopped, and revokes the rest.
    pub(crate) fn run(&self, world: &World, stop: &Stop, seed: u64) {
        let mut dice = Dice::new(seed);
        let mut listed = world.listed.iter();
        let mut round = 0u64;
        while stop.wait(Duration::from_millis(300)) {
            round += 1;
            if self.known().iter().filter(|known| known.revoked.is_none()).count() < 12 {
                self.create(world, &mut dice);
            }
            if round.is_multiple_of(10) {
                self.adopt(listed.next(), &mut dice);
            }
            self.bury(world, now());
        }
        self.bury(world, Time::MAX);
        self.known().clear();
    }

    fn create(&self, world: &World, dice: &mut Dice) {
        let account = account_id(dice.below(ACCOUNTS as u64) as usize);
        let write = dice.below(2) == 0;
        let access = if write { "write" } else { "read" };
        let arguments = ["create", "--account", &account, "--access", access, "--json"];
        let Some(output) = keys(world, &arguments) else { return };
        let made: serde_json::Value = serde_json::from_str(&output).unwrap_or_default();
        let text =
            |name: &str| made.get(name).and_then(serde_json::Value::as_str).map(str::to_owned);
        let (Some(id), Some(key)) = (text("id"), text("key")) else {
            world.ledger.wrong(format!("`keys create` printed no key: {output}"));
            return;
        };
        let created = now();
        world.ledger.open().lives.push(Life { id: id.clone(), created, revoked: None });
        let identity = identity(&account, &id, access);
        let key = Key { id, text: key, account, identity };
        self.add(key, write, created, dice);
    }

    /// Lets a key that was there from the start become one of those that go.
    fn adopt(&self, key: Option<&Key>, dice: &mut Dice) {
        if let Some(key) = key {
            self.add(key.clone(), false, now(), dice);
        }
    }

    fn add(&self, key: Key, write: bool, since: Time, dice: &mut Dice) {
        let until = since + 3 * SECOND + dice.below(6 * SECOND);
        self.known().push(Known { key, write, until, revoked: None });
    }

    /// Deletes what was revoked long ago, and whose last request is long answered.
    fn forget(&self, world: &World) {
        let over = |known: &Known| known.revoked.is_some_and(|at| at + AFTERLIFE + LAST < now());
        let mut known = self.known();
        let gone: Vec<Known> = known.iter().filter(|known| over(known)).cloned().collect();
        known.retain(|known| !over(known));
        drop(known);
        for known in gone.iter().filter(|known| !known.key.id.starts_with("listed-")) {
            // What cannot be deleted now stays where it is, revoked.
            keys(world, &["delete", &known.key.id, "--yes"]);
        }
    }

    /// Revokes what is due.
    fn bury(&self, world: &World, at: Time) {
        self.forget(world);
        let due: Vec<Key> = {
            let known = self.known();
            let due = known.iter().filter(|known| known.revoked.is_none() && known.until < at);
            due.map(|known| known.key.clone()).collect()
        };
        for key in due {
            let before = now();
            let done = match key.id.starts_with("listed-") {
                true => list(&world.stage.files.join("revoked.txt"), &key.id),
                false => keys(world, &["revoke", &key.id]).is_some(),
            };
            if !done {
                continue;
            }
            let revoked = Some((before, now()));
            let mut books = world.ledger.open();
            match books.lives.iter_mut().find(|life| life.id == key.id) {
                Some(life) => life.revoked = revoked,
                None => books.lives.push(Life { id: key.id.clone(), created: 0, revoked }),
            }
            *books.deeds.entry("keys revoked".to_owned()).or_default() += 1;
            drop(books);
            for known in self.known().iter_mut().filter(|known| known.key.id == key.id) {
                known.revoked = Some(now());
            }
        }
    }
}

/// Adds a line to the list of revocations; says whether the whole of it got there.
fn list(path: &Path, id: &str) -> bool {
    let line = format!("{id}\n");
    let append = || -> std::io::Result<()> {
        let mut text = std::fs::read_to_string(path)?;
        text += &line;
        let (directory, name) = (path.parent(), path.file_name());
        let directory = directory.unwrap_or(Path::new("."));
        crate::world::put(directory, &name.unwrap_or_default().to_string_lossy(), &text)
    };
    append().is_ok()
}

/// Runs `keygate keys …`; what it printed, unless it refused. Whatever it refuses it leaves alone.
fn keys(world: &World, arguments: &[&str]) -> Option<String> {
    let path = world.stage.files.join("keys.toml");
    let before = std::fs::read(&path).ok();
    let output = Command::new(&world.stage.keygate)
        .arg("keys")
        .args(arguments)
        .arg("--config")
        .arg(world.stage.files.join("keygate.toml"))
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let what = format!("`keys {}`", arguments[0]);
    if output.status.success() {
        world.ledger.deed(&what, 1);
        return Some(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    world.ledger.deed(&format!("{what} refused while files or disk were bad"), 1);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() != Some(1) || said.trim().is_empty() || said.contains("panicked") {
        world.ledger.wrong(format!("{what} ended with {}: {said}", output.status));
    }
    if before != std::fs::read(&path).ok() {
        world.ledger.wrong(format!("{what} failed and changed the file: {said}"));
    }
    None
}
