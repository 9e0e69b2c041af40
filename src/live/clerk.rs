//! Writes the audit log of a process that serves, on a thread of its own.
//!
//! A disk that hangs, or a pipe that nobody empties, must not hold up a revocation: whoever has
//! something to tell hands it over and goes on. What is not written is counted, and said; so is what
//! has waited long, while it waits.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::SyncSender;
use std::sync::mpsc::TrySendError;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::clock;
use crate::observe::AuditLog;
use crate::observe::Event;
use crate::observe::Metrics;
use crate::observe::aside;

/// How many events may wait to be written.
const WAITING: usize = 16;
/// How long the end of the process waits for the last ones.
const PATIENCE: Duration = Duration::from_secs(2);
/// From when on it is said that one waits.
const LONG: Duration = Duration::from_secs(10);

/// Takes events to be written, in their order.
#[derive(Clone, Debug)]
pub(super) struct Clerk {
    queue: SyncSender<Message>,
    desk: Arc<Desk>,
}

/// What the one who writes shares with those who hand over.
#[derive(Debug)]
struct Desk {
    log: AuditLog,
    metrics: Arc<Metrics>,
    /// How many were not taken since one was written.
    lost: AtomicU64,
    /// How many were taken and are not written yet.
    waiting: AtomicU64,
    opened: Instant,
    /// When the one that is being written was begun, in milliseconds after `opened`; 0: none is.
    began: AtomicU64,
    /// Which one it was said of that it waits, by when it was begun.
    said: AtomicU64,
}

enum Message {
    Event(Event),
    /// Nothing more comes: say so once all is written.
    End(SyncSender<()>),
}

impl Clerk {
    /// Begins to write to a file.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(log: AuditLog, metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let (queue, events) = sync_channel(WAITING);
        let desk = Arc::new(Desk {
            log,
            metrics,
            lost: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            opened: clock::mono(),
            began: AtomicU64::new(0),
            said: AtomicU64::new(0),
        });
        let this = Self { queue, desk: Arc::clone(&desk) };
        aside("audit-log", move || desk.work(&events))?;
        Ok(this)
    }

    /// Takes an event. Never waits.
    pub(super) fn take(&self, event: Event) {
        self.look(clock::mono());
        let desk = &self.desk;
        desk.waiting.fetch_add(1, Relaxed);
        if self.queue.try_send(Message::Event(event)).is_ok() {
            return;
        }
        desk.waiting.fetch_sub(1, Relaxed);
        desk.metrics.audit_lines_dropped(1);
        // Said when it begins, and how many they were when it is over.
        if desk.lost.fetch_add(1, Relaxed) == 0 {
            let file = desk.log.path().display();
            tracing::error!(%file, "the audit log takes nothing: its lines are lost");
        }
    }

    /// Says it, once, if an event has waited long by now. Says whether it did.
    pub(super) fn look(&self, now: Instant) -> bool {
        let desk = &self.desk;
        let began = desk.began.load(Relaxed);
        let late = began > 0 && desk.millis(now).saturating_sub(began) >= millis(LONG);
        let says = late && desk.said.swap(began, Relaxed) != began;
        if says {
            let (file, lines) = (desk.log.path().display(), desk.waiting.load(Relaxed));
            let seconds = LONG.as_secs();
            tracing::error!(lines, seconds, %file, "the audit log takes nothing: its lines wait");
        }
        says
    }

    /// Waits until all is written, but not for ever.
    pub(super) fn end(&self) {
        if self.all_written() {
            return;
        }
        // A disk that takes nothing by then takes nothing.
        let desk = &self.desk;
        let (file, lines) = (desk.log.path().display(), desk.waiting.load(Relaxed));
        desk.metrics.audit_lines_dropped(lines);
        tracing::error!(lines, %file, "the audit log takes nothing: its last lines are lost");
    }

    /// Says whether all was written before patience was at an end.
    fn all_written(&self) -> bool {
        let until = clock::mono() + PATIENCE;
        let left = || until.saturating_duration_since(clock::mono());
        let (done, written) = sync_channel(1);
        let mut message = Message::End(done);
        while let Err(TrySendError::Full(back)) = self.queue.try_send(message) {
            if left().is_zero() {
                return false;
            }
            message = back;
            thread::sleep(Duration::from_millis(5));
        }
        written.recv_timeout(left()).is_ok()
    }
}

impl Desk {
    fn work(&self, events: &Receiver<Message>) {
        for message in events {
            match message {
                Message::Event(event) => self.write(&event),
                // Whoever waited may have lost patience.
                Message::End(done) => drop(done.send(())),
            }
        }
    }

    fn write(&self, event: &Event) {
        self.began.store(self.millis(clock::mono()), Relaxed);
        let written = self.log.append(event);
        self.waiting.fetch_sub(1, Relaxed);
        self.began.store(0, Relaxed);
        let file = self.log.path().display();
        if let Err(error) = written {
            self.metrics.audit_lines_dropped(1);
            tracing::error!(%error, %file, "the audit log cannot be written");
            return;
        }
        let lines = self.lost.swap(0, Relaxed);
        if lines > 0 {
            tracing::warn!(lines, %file, "lines of the audit log were lost: nobody took them");
        } else if self.said.swap(0, Relaxed) > 0 {
            tracing::info!(%file, "the audit log takes lines again");
        }
    }

    /// Never 0.
    fn millis(&self, now: Instant) -> u64 {
        millis(now.saturating_duration_since(self.opened)).saturating_add(1)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read as _;
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    use std::path::Path;

    use super::*;
    use crate::clock::until;
    use crate::observe::Exposition;
    use crate::observe::audit_event;

    /// Both ends of a pipe that is full to the last byte.
    fn full_pipe(path: &Path) -> (File, File) {
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, path, kind, 0o600.into(), 0).unwrap();
        let mut open = File::options();
        open.custom_flags(i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap());
        let reader = open.read(true).open(path).unwrap();
        let mut writer = open.read(false).write(true).open(path).unwrap();
        for piece in [4096, 1] {
            while writer.write(&[b'x'; 4096][..piece]).is_ok() {}
        }
        (reader, writer)
    }

    #[test]
    fn an_event_that_waits_long_is_said_once_and_the_next_one_that_does_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit");
        let (mut reader, mut writer) = full_pipe(&path);
        let metrics = Metrics::new();
        let clerk = Clerk::start(AuditLog::new(path), metrics).unwrap();
        let busy = || clerk.desk.began.load(Relaxed) > 0;
        assert!(!clerk.look(clock::mono() + LONG), "nothing waits");
        for _ in 0..2 {
            clerk.take(audit_event("reload"));
            until(busy);
            assert!(!clerk.look(clock::mono()), "it has not waited long");
            assert!(clerk.look(clock::mono() + LONG));
            assert!(!clerk.look(clock::mono() + LONG * 2), "it was said before");
            until(|| {
                while reader.read(&mut [0; 4096]).is_ok() {}
                !busy()
            });
            assert_eq!(clerk.desk.waiting.load(Relaxed), 0);
            while reader.read(&mut [0; 4096]).is_ok() {}
            for piece in [4096, 1] {
                while writer.write(&[b'x'; 4096][..piece]).is_ok() {}
            }
        }
    }

    #[test]
    fn what_waits_at_the_end_is_counted_whether_one_waits_or_as_many_as_may() {
        for count in [1, WAITING + 1] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("audit");
            let _pipe = full_pipe(&path);
            let metrics = Metrics::new();
            let clerk = Clerk::start(AuditLog::new(path), Arc::clone(&metrics)).unwrap();
            for _ in 0..count {
                clerk.take(audit_event("reload"));
                until(|| clerk.desk.began.load(Relaxed) > 0);
            }
            clerk.end();
            let line = format!("keygate_audit_log_lines_dropped_total {count}\n");
            assert!(metrics.render(Exposition::Prometheus).contains(&line), "{count}");
        }
    }
}
