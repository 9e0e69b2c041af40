//! Where log lines go: a bounded queue and a thread that writes it out.
//!
//! Whoever logs never waits. When nobody reads our standard error, the thread waits in `write`,
//! the queue fills, and further lines are dropped and counted. So are lines that a full disk does
//! not take; whoever reads on is told how many there were.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

use super::aside::aside;
use super::output::{Lost, Output};

/// How many lines may wait.
const LINES: usize = 16 * 1024;
/// How many bytes are written at once.
const BATCH: usize = 64 * 1024;
/// How long lines may gather before they are written together.
const NAP: Duration = Duration::from_millis(5);
/// How long the end of the process waits for lines to be written.
const PATIENCE: Duration = Duration::from_secs(1);

static DROPPED: Lost = Lost::new();

/// How many lines this process has lost.
pub(super) fn dropped() -> u64 {
    DROPPED.get()
}

enum Message {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// Takes lines for the queue; one write is one line, or several whole ones.
#[derive(Clone)]
pub(super) struct Sink(SyncSender<Message>);

impl Sink {
    /// Starts the thread that writes to `out`.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        Self::with_room(out, LINES)
    }

    fn with_room(out: impl Write + Send + 'static, lines: usize) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(lines);
        aside("log", move || drain(&receiver, out))?;
        Ok(Self(sender))
    }

    /// Waits until what was logged before is written, but no longer than [`PATIENCE`].
    pub(super) fn flush(&self) {
        let (done, written) = sync_channel(1);
        let mut message = Message::Flush(done);
        let start = crate::clock::mono();
        while let Err(TrySendError::Full(back)) = self.0.try_send(message) {
            if left(start).is_zero() {
                return;
            }
            message = back;
            thread::sleep(Duration::from_millis(5));
        }
        // Nobody reads our standard error: there is nobody to tell.
        let _ = written.recv_timeout(left(start));
    }
}

fn left(start: Instant) -> Duration {
    PATIENCE.saturating_sub(crate::clock::mono().saturating_duration_since(start))
}

impl Write for Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.0.try_send(Message::Line(line.to_vec())).is_err() {
            DROPPED.all(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Writes what is queued, as much at once as there is, until the last sender is gone.
fn drain(queue: &Receiver<Message>, out: impl Write) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut output = Output::new(out, false, &DROPPED);
    while let Ok(first) = queue.recv() {
        let mut next = Some(first);
        let mut flushes = Vec::new();
        while let Some(message) = next.take() {
            match message {
                Message::Line(line) => batch.extend_from_slice(&line),
                Message::Flush(done) => flushes.push(done),
            }
            if batch.len() < BATCH {
                next = queue.try_recv().ok();
            }
        }
        let all = batch.len() < BATCH;
        output.write_lines(&batch);
        batch.clear();
        // While more waits, more may be lost.
        if all && let Some(lines) = output.untold() {
            tracing::warn!(lines, "log lines were lost: nobody took them");
        }
        if all && flushes.is_empty() {
            // Nobody waits: to be woken for each line would cost those who log more than the line.
            thread::sleep(NAP);
        }
        for done in flushes {
            let _ = done.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_flush_returns_when_every_line_is_written() {
        let out = Shared::default();
        let mut sink = Sink::start(out.clone()).unwrap();
        for line in 0..1000 {
            writeln!(sink, "{line}").unwrap();
        }
        sink.flush();
        let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1000);
        assert!(text.ends_with("999\n"));
    }

    #[test]
    fn a_reader_who_does_not_read_holds_nobody_up() {
        let (reader, writer) = io::pipe().unwrap();
        let mut sink = Sink::with_room(writer, 8).unwrap();
        let before = dropped();
        let line = [&[b'x'; 4095][..], b"\n"].concat();
        // A pipe holds 64 KiB; this is sixteen times as much.
        for _ in 0..256 {
            assert_eq!(Write::write(&mut sink, &line).unwrap(), line.len());
        }
        sink.flush();
        assert!(dropped() > before);
        drop(reader);
    }
}
