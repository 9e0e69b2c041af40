//! The audit log of commands that edit key files: what an edit changes is told before it is done, and
//! what cannot be told is not done, unless it only takes rights away.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use serde_json::Map;
use serde_json::Value;

use super::print;
use super::ring::Ring;
use crate::clock;
use crate::keys::Edit;
use crate::keys::described;
use crate::keys::file;
use crate::keys::new_key_id;
use crate::observe::AuditLog;
use crate::observe::Event;
use crate::observe::audit_event;
use crate::source::Problem;
use crate::source::Problems;
use crate::source::Source;

type Members = Map<String, Value>;

/// How long somebody in a hurry waits for the audit log.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long anybody waits for it, however much there is to tell: the key file is locked meanwhile, and
/// somebody who wants to revoke a key may stand behind.
const LONGEST: Duration = Duration::from_secs(10);

/// Writes what was edited, and before it, where there is an audit log, what that changes.
pub(super) fn save(ring: &Ring, edit: Edit) -> Result<(), Problems> {
    let Some(log) = &ring.audit else { return Ok(edit.save()?) };
    let (events, failed) = events(ring, &edit);
    let lines = events.len();
    log.append_within(events, LONGEST).map_err(|error| unwritten(log, lines, &error))?;
    write(log, edit, failed)
}

/// As [`save`], for what takes rights away: a disk that is full or hangs is no reason to leave a key
/// in force that has leaked. What could not be told is a warning.
pub(super) fn save_in_any_case(ring: &Ring, edit: Edit) -> Result<(), Problems> {
    let Some(log) = &ring.audit else { return Ok(edit.save()?) };
    let (events, failed) = events(ring, &edit);
    match log.append_within(events, PATIENCE) {
        Ok(()) => write(log, edit, failed),
        Err(_) => {
            edit.save()?;
            let file = log.path().display();
            let problem = Problem::new(format!("the audit log `{file}` does not tell of this"))
                .help("it could not be written; what takes rights away is done all the same")
                .warning();
            print::warn_all(&problem.into());
            Ok(())
        }
    }
}

/// What tells of what an edit changes, and what tells that it came to nothing.
fn events(ring: &Ring, edit: &Edit) -> (Vec<Event>, Event) {
    let edit_id = new_key_id(clock::now()).map(|id| id.to_string()).unwrap_or_default();
    let common = |name: &str| {
        let mut event = audit_event(name);
        event.insert("edit".into(), edit_id.clone().into());
        event.insert("file".into(), edit.source().name.as_ref().into());
        event
    };
    let told = changes(ring, edit).into_iter().map(|(name, members)| {
        let mut event = common(name);
        event.extend(members);
        event
    });
    (told.collect(), common("edit.failed"))
}

fn write(log: &AuditLog, edit: Edit, mut failed: Event) -> Result<(), Problems> {
    edit.save().map_err(|problem| {
        failed.insert("error".into(), problem.message.clone().into());
        // The key file says how it is; this says only why the lines above it came to nothing.
        let _ = log.append_within(vec![failed], PATIENCE);
        Problems::from(problem)
    })
}

fn unwritten(log: &AuditLog, lines: usize, error: &io::Error) -> Problem {
    let (file, seconds) = (log.path().display(), LONGEST.as_secs());
    let nothing = "nothing was changed: what cannot be told is not done";
    if error.kind() == io::ErrorKind::TimedOut {
        let (lines, or) = match lines {
            1 => ("a line".to_owned(), ""),
            _ => (format!("{lines} lines"), ", or do it in parts"),
        };
        let message =
            format!("the audit log `{file}` did not take {lines} within {seconds} seconds");
        let help = format!("{nothing}. See that its disk answers, or that its pipe is read{or}");
        return Problem::new(message).help(help);
    }
    let message = format!("the audit log `{file}` cannot be written: {error}");
    let help = format!("{nothing}. Run this as a user who may write to it, or make room");
    Problem::new(message).help(help)
}

/// Each record that differs, with the members that do.
fn changes(ring: &Ring, edit: &Edit) -> Vec<(&'static str, Event)> {
    let (old, new) = (records(ring, edit.before()), records(ring, edit.source()));
    let mut changes = Vec::new();
    let kinds = [
        ("key_id", ["key.create", "key.change", "key.delete"]),
        ("id", ["account.create", "account.change", "account.delete"]),
    ];
    for ((old, new), (id_member, [create, change, delete])) in old.iter().zip(&new).zip(kinds) {
        let empty = Members::new();
        for (id, after) in &new.in_order {
            let before = old.by_id.get(id).and_then(|at| old.in_order.get(*at));
            let before = before.map(|(_, members)| members);
            if before == Some(after) {
                continue;
            }
            let name = if before.is_some() { change } else { create };
            changes.push((name, told(id_member, id, before.unwrap_or(&empty), after)));
        }
        for (id, before) in old.in_order.iter().filter(|(id, _)| !new.by_id.contains_key(id)) {
            changes.push((delete, told(id_member, id, before, &empty)));
        }
    }
    changes
}

/// The records of one kind.
#[derive(Default)]
struct Records {
    in_order: Vec<(String, Members)>,
    by_id: HashMap<String, usize>,
}

impl Records {
    fn add(&mut self, id: &str, members: Members) {
        self.by_id.insert(id.to_owned(), self.in_order.len());
        self.in_order.push((id.to_owned(), members));
    }
}

/// The keys of a text, and its accounts.
fn records(ring: &Ring, source: &Source) -> [Records; 2] {
    let read = file::parse(source, 0, &ring.digester, &mut Problems::default());
    let (mut keys, mut accounts) = (Records::default(), Records::default());
    for key in &read.keys {
        keys.add(key.id.as_str(), described::key(key, &ring.digester));
    }
    for account in &read.accounts {
        accounts.add(account.id.as_str(), described::account(account));
    }
    [keys, accounts]
}

fn told(id_member: &str, id: &str, before: &Members, after: &Members) -> Event {
    let mut event = Event::new();
    let whose = if id_member == "id" { "account" } else { "key_id" };
    event.insert(whose.into(), id.into());
    if let Some(account) = after.get("account").or_else(|| before.get("account")) {
        event.insert("account".into(), account.clone());
    }
    for (name, these, those) in [("before", before, after), ("after", after, before)] {
        let differs = |(member, value): &(&String, &Value)| those.get(*member) != Some(*value);
        let members: Members = these
            .iter()
            .filter(differs)
            .map(|(member, value)| (member.clone(), value.clone()))
            .collect();
        event.insert(name.into(), members.into());
    }
    event
}
