//! Writes the audit log of a process that serves, on a thread of its own.
//!
//! A disk that hangs, or a pipe that nobody empties, must not hold up a revocation: whoever has
//! something to tell hands it over and goes on. What is not written is counted, and said.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::SyncSender;
use std::sync::mpsc::TrySendError;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use crate::clock;
use crate::observe::AuditLog;
use crate::observe::Event;
use crate::observe::Metrics;

/// How many events may wait to be written.
const WAITING: usize = 16;
/// How long the end of the process waits for the last ones.
const PATIENCE: Duration = Duration::from_secs(2);

/// Takes events to be written, in their order.
#[derive(Clone, Debug)]
pub(super) struct Clerk {
    queue: SyncSender<Message>,
    log: AuditLog,
    metrics: Arc<Metrics>,
    /// How many were not taken since one was written.
    lost: Arc<AtomicU64>,
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
        let this = Self { queue, log, metrics, lost: Arc::default() };
        let Self { log, metrics, lost, .. } = this.clone();
        let thread = thread::Builder::new().name("audit-log".to_owned());
        thread.spawn(move || write(&events, &log, &metrics, &lost))?;
        Ok(this)
    }

    /// Takes an event. Never waits.
    pub(super) fn take(&self, event: Event) {
        if self.queue.try_send(Message::Event(event)).is_ok() {
            return;
        }
        self.metrics.audit_line_dropped();
        // Said when it begins, and how many they were when it is over.
        if self.lost.fetch_add(1, Relaxed) == 0 {
            let file = self.log.path().display();
            tracing::error!(%file, "the audit log takes nothing: its lines are lost");
        }
    }

    /// Waits until all is written, but not for ever.
    pub(super) fn end(&self) {
        let until = clock::mono() + PATIENCE;
        let left = || until.saturating_duration_since(clock::mono());
        let (done, written) = sync_channel(1);
        let mut message = Message::End(done);
        while let Err(TrySendError::Full(back)) = self.queue.try_send(message) {
            if left().is_zero() {
                return;
            }
            message = back;
            thread::sleep(Duration::from_millis(5));
        }
        // A disk that takes nothing by then takes nothing.
        let _ = written.recv_timeout(left());
    }
}

fn write(events: &Receiver<Message>, log: &AuditLog, metrics: &Metrics, lost: &AtomicU64) {
    let file = log.path().display();
    for message in events {
        let event = match message {
            Message::Event(event) => event,
            Message::End(done) => {
                // Whoever waited may have lost patience.
                let _ = done.send(());
                continue;
            }
        };
        if let Err(error) = log.append(&event) {
            metrics.audit_line_dropped();
            tracing::error!(%error, %file, "the audit log cannot be written");
        } else {
            let lines = lost.swap(0, Relaxed);
            if lines > 0 {
                tracing::warn!(lines, %file, "lines of the audit log were lost: nobody took them");
            }
        }
    }
}
