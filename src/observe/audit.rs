//! The audit log: who changed keys, and what has been in force. A line of JSON for each event, at the
//! end of a file to which nothing else is done.
//!
//! | member | says |
//! |---|---|
//! | `timestamp` | when: RFC 3339, UTC |
//! | `event` | what, see below |
//! | `user`, `uid` | whose process wrote the line |
//! | `sudo_user` | who became that user, as the environment has it |
//! | `host`, `pid` | where, and which process |
//! | `edit` | the same for all lines of one command |
//! | `file` | the key file |
//! | `key_id`, `account` | whose record |
//! | `before`, `after` | of a record, the members that changed; never its digest or salt |
//! | `trigger` | of a reload: `signal`, or `files` that had changed |
//! | `result` | of a reload: `done`, `failed`, or `revocations_only` |
//! | `generation_before`, `generation` | which table was in force, and which is |
//! | `digest_before`, `digest` | of the key files that were in force, and that are |
//! | `added`, `removed`, `revoked`, `altered` | how many keys a reload did that to |
//! | `added_keys`, … | their ids, a thousand at most |
//! | `error` | why something failed |
//!
//! Events: `key.create`, `key.change`, `key.delete`, `account.create`, `account.change`,
//! `account.delete`, written before a command writes the key file, which it leaves alone where its
//! line cannot be written; `edit.failed`, where writing the key file failed after that;
//! `process.start`, `process.drain`, `process.stop` and `reload` of a process that serves.

use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use serde_json::{Map, Value};

use super::scribe;
use super::words;
use crate::clock;

/// What is told of an event.
pub type Event = Map<String, Value>;

/// A file of events.
#[derive(Clone, Debug)]
pub struct AuditLog(PathBuf);

impl AuditLog {
    /// The file of a name, which need not exist yet.
    #[must_use]
    pub const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Its name.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes an event at its end, in one piece, and waits until the disk has it.
    ///
    /// # Errors
    /// When not all of it was written.
    pub fn append(&self, event: &Event) -> io::Result<()> {
        self.write(slice::from_ref(event), &AtomicBool::new(false))
    }

    /// Writes events at its end, each in one piece, and waits until the disk has them, but for a time at
    /// most: a line that has begun may come to be written all the same, by a disk that answers again.
    ///
    /// # Errors
    /// When not all of them were written by then.
    pub fn append_within(&self, events: Vec<Event>, time: Duration) -> io::Result<()> {
        let (log, over) = (self.clone(), Arc::new(AtomicBool::new(false)));
        let (told, written) = sync_channel(1);
        let thread = thread::Builder::new().name("audit-log".to_owned());
        let also_over = Arc::clone(&over);
        thread.spawn(move || told.send(log.write(&events, &also_over)))?;
        written.recv_timeout(time).unwrap_or_else(|_| {
            over.store(true, Relaxed);
            Err(io::ErrorKind::TimedOut.into())
        })
    }

    /// Writes events, as long as it is not over.
    fn write(&self, events: &[Event], over: &AtomicBool) -> io::Result<()> {
        // Opened for each command: whoever has renamed the file meant that.
        let (mut file, torn) = scribe::open(&self.0)?;
        let mut line = Vec::new();
        if torn {
            line.push(b'\n');
        }
        for event in events {
            serde_json::to_writer(&mut line, event)?;
            line.push(b'\n');
            if over.load(Relaxed) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            if file.write(&line)? < line.len() {
                return Err(io::ErrorKind::WriteZero.into());
            }
            line.clear();
        }
        if file.metadata()?.is_file() { file.sync_data() } else { Ok(()) }
    }
}

/// An event that happens now, with who does it.
#[must_use]
pub fn event(name: &str) -> Event {
    let mut event = Event::new();
    let now = words::timestamp(clock::now());
    let uid = rustix::process::getuid().as_raw();
    event.insert("timestamp".into(), String::from_utf8_lossy(&now).into());
    event.insert("event".into(), name.into());
    event.insert("uid".into(), uid.into());
    event.insert("pid".into(), std::process::id().into());
    let host = fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = host.map(|host| host.trim_end().to_owned());
    for (member, value) in
        [("user", user(uid)), ("sudo_user", env::var("SUDO_USER").ok()), ("host", host)]
    {
        if let Some(value) = value {
            event.insert(member.into(), value.into());
        }
    }
    event
}

/// The name of a user, where the machine has it in its list.
fn user(uid: u32) -> Option<String> {
    let list = fs::read_to_string("/etc/passwd").ok()?;
    let mut users = list.lines().map(|line| line.split(':'));
    users.find_map(|mut user| {
        let (name, id) = (user.next()?, user.nth(1)?);
        (id.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn events_stand_one_a_line_for_owner_and_group_and_a_torn_line_is_ended() {
        let directory = tempfile::tempdir().unwrap();
        let log = AuditLog::new(directory.path().join("audit"));
        log.append(&event("process.start")).unwrap();
        let mode = fs::metadata(log.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777 & !0o640, 0, "{mode:o}");
        let mut text = fs::read_to_string(log.path()).unwrap();
        text.push_str("{\"torn");
        fs::write(log.path(), text).unwrap();
        log.append(&event("process.stop")).unwrap();
        let text = fs::read_to_string(log.path()).unwrap();
        let lines: Vec<Option<Value>> =
            text.lines().map(|line| serde_json::from_str(line).ok()).collect();
        let [Some(start), None, Some(stop)] = lines.as_slice() else { panic!("{text}") };
        assert_eq!(
            (&start["event"], &stop["event"]),
            (&"process.start".into(), &"process.stop".into())
        );
        assert_eq!(start["pid"], std::process::id());
        assert!(AuditLog::new(directory.path().join("none/audit")).append(&event("x")).is_err());
    }
}
