//! `keygate keys rotate --finish`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use jiff::Timestamp;
use serde_json::Map;
use serde_json::Value;

use super::chain;
use super::create::whole_second;
use super::usage::Guard;
use super::view::State;
use super::view::View;
use crate::cli::audit;
use crate::cli::print;
use crate::cli::ring::Ring;
use crate::clock;
use crate::keys::KeyId;
use crate::keys::KeyRecord;
use crate::keys::KeyStatus;
use crate::keys::described;
use crate::source::Problem;
use crate::source::Problems;

/// Ends a key that was replaced, once nobody uses it any more (`None`: whoever does), and with it
/// those that it had replaced itself and that are still in force: all of them or none.
pub(super) fn finish(
    ring: &Ring,
    id: &KeyId,
    successor: Option<&KeyId>,
    guard: Option<Guard>,
) -> Result<ExitCode, Problems> {
    let now = clock::now();
    let (_, old) = ring.require_key(id)?;
    if View::new(ring, old, now).state() == State::Revoked {
        return Ok(print::answer(&format!("{id} is revoked already\n")));
    }
    // The new key must not be ended in the place of the old one.
    match successor {
        Some(named) => require_successor(ring, old, named)?,
        None => find_successor(ring, old)?,
    }
    let newer = chain::successors(ring, old);
    let stays = |key: &KeyRecord| {
        successor == Some(&key.id) || newer.iter().any(|newer| newer.id == key.id)
    };
    let mut ends = chain::predecessors(ring, old, stays);
    ends.retain(|key| matches!(View::new(ring, key, now).state(), State::Active | State::Disabled));
    ends.insert(0, old);
    for key in guard.iter().flat_map(|_| &ends) {
        let checked = guard.map(|guard| guard.check(ring, key, now)).transpose();
        checked.map_err(|problem| along(*problem, key, old))?;
    }
    end(ring, &ends, whole_second(now))
}

/// Ends keys, each in its file. Nothing is written before all can be.
fn end(ring: &Ring, keys: &[&KeyRecord], now: Timestamp) -> Result<ExitCode, Problems> {
    // In the order of where they are, whatever the config calls them: who ends others meanwhile must
    // not hold what we wait for, and wait for what we hold.
    let mut files: BTreeMap<PathBuf, (&Path, Vec<&KeyRecord>)> = BTreeMap::new();
    for key in keys {
        let (path, key) = ring.require_key(&key.id)?;
        let place = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        files.entry(place).or_insert_with(|| (path, Vec::new())).1.push(key);
    }
    let last = keys.first().map(|named| ring.require_key(&named.id)).transpose()?;
    let last = last.map(|(path, _)| path);
    let mut edits = Vec::new();
    for (path, keys) in files.into_values() {
        let mut edit = ring.edit_sound(path)?;
        let mut said = String::new();
        for KeyRecord { id, .. } in keys {
            edit.revoke(id, now)?;
            said += &format!("{id} is revoked since {now}, in {}\n", path.display());
        }
        edits.push((Some(path) == last, edit, said));
    }
    // By the key that was named one sees whether it is done: its file goes last.
    edits.sort_by_key(|(last, ..)| *last);
    let mut said = String::new();
    for (_, edit, ended) in edits {
        if let Err(problems) = audit::save_in_any_case(ring, edit) {
            // A disk may be full of a sudden: what is done already is told all the same.
            print::answer(&said);
            return Err(problems);
        }
        said += &ended;
    }
    Ok(print::answer(&said))
}

/// What stands against ending a key that nobody has named.
fn along(problem: Problem, key: &KeyRecord, named: &KeyRecord) -> Problem {
    if key.id == named.id {
        return problem;
    }
    let (id, message) = (&named.id, &problem.message);
    let message = format!("{message}; `{id}` replaced it, and they would be ended together");
    Problem { message, ..problem }
}

/// The key that an operator says has taken the place of another.
fn require_successor(ring: &Ring, old: &KeyRecord, named: &KeyId) -> Result<(), Problems> {
    let (_, new) = ring.require_key(named)?;
    let state = View::new(ring, new, clock::now()).state();
    let wrong = if new.id == old.id {
        "it is the old one".to_owned()
    } else if new.account != old.account {
        format!("it is of another account, `{}`", new.account)
    } else if state != State::Active {
        format!("it is {}", state.as_str())
    } else {
        return Ok(());
    };
    let message = format!("key `{named}` cannot be the successor of `{}`: {wrong}", old.id);
    Err(Problem::new(message).help("name the key that is used in its place").into())
}

/// The one key that can have taken the place of another.
fn find_successor(ring: &Ring, old: &KeyRecord) -> Result<(), Problems> {
    let id = &old.id;
    let said = chain::successors(ring, old);
    if !said.is_empty() {
        return one_in_force(ring, old, &said);
    }
    let found: Vec<_> =
        ring.keys().filter(|new| may_succeed(ring, old, new)).map(|new| new.id.as_str()).collect();
    let problem = match found.as_slice() {
        [_] => return Ok(()),
        [] => {
            let message = format!(
                "key `{id}` was not replaced: `{}` has no key that was made in its place",
                old.account
            );
            Problem::new(message).help(format!(
                "`keygate keys rotate {id}` replaces it; if another key is used in its place, name \
                 that with `--successor`; `keygate keys revoke {id}` ends it all the same"
            ))
        }
        several => {
            let several = several.join("`, `");
            let message = format!("which key has replaced `{id}` cannot be told: `{several}`");
            Problem::new(message).help("name it with `--successor`")
        }
    };
    Err(problem.into())
}

/// Of the keys that rotations have made in the place of another, one after the other perhaps, one must
/// be there to be used.
fn one_in_force(ring: &Ring, old: &KeyRecord, said: &[&KeyRecord]) -> Result<(), Problems> {
    let mut over = Vec::new();
    for new in said {
        let state = View::new(ring, new, clock::now()).state();
        let same = new.account == old.account;
        if state == State::Active && same {
            return Ok(());
        }
        over.push(match same {
            true => format!("`{}` is {}", new.id, state.as_str()),
            false => format!("`{}` is of another account", new.id),
        });
    }
    let (id, over) = (&old.id, over.join(", "));
    let message = format!("key `{id}` was replaced, but nobody can use the new key: {over}");
    Err(Problem::new(message)
        .help(format!(
            "`keygate keys rotate {id}` makes another; if one is used in its place, name that with \
             `--successor`"
        ))
        .into())
}

/// Whether a key can be the one that a rotation has made that did not say so: it is in force, has the settings of the old
/// one, and was made before that ends, which a rotation sees to.
fn may_succeed(ring: &Ring, old: &KeyRecord, new: &KeyRecord) -> bool {
    let KeyStatus::Active { until: Some(until) } = old.status else { return false };
    let made =
        new.created.is_some_and(|at| at <= until && old.created.is_none_or(|before| at >= before));
    new.account == old.account
        && new.replaces.is_none()
        && new.id != old.id
        && made
        && View::new(ring, new, clock::now()).state() == State::Active
        && settings(ring, new) == settings(ring, old)
}

/// What a rotation leaves as it is.
fn settings(ring: &Ring, key: &KeyRecord) -> Map<String, Value> {
    let mut members = described::key(key, &ring.digester);
    for own in ["id", "hint", "created", "replaces", "expires"] {
        members.remove(own);
    }
    members
}
