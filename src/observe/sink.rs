//! Where log lines go: a bounded queue and a thread that writes it out.
//!
//! Whoever logs never waits. When nobody reads our standard error, the thread waits in `write`,
//! the queue fills, and further lines are dropped and counted. So are lines that it does not take,
//! of a file on a disk that is full: the next one that it takes begins on a line of its own.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

/// How many lines may wait.
const LINES: usize = 16 * 1024;
/// How many bytes are written at once.
const BATCH: usize = 64 * 1024;
/// How long lines may gather before they are written together.
const NAP: Duration = Duration::from_millis(5);
/// How long the end of the process waits for lines to be written.
const PATIENCE: Duration = Duration::from_secs(1);

static DROPPED: AtomicU64 = AtomicU64::new(0);

/// How many lines this process has lost.
pub(super) fn dropped() -> u64 {
    DROPPED.load(Relaxed)
}

enum Message {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// Takes lines for the queue; one write is one line.
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
        thread::Builder::new().name("log".into()).spawn(move || drain(&receiver, out))?;
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
            DROPPED.fetch_add(1, Relaxed);
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
fn drain(queue: &Receiver<Message>, mut out: impl Write) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut torn = false;
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
        torn = write_lines(&mut out, &batch, torn);
        let _ = out.flush();
        let all = batch.len() < BATCH;
        batch.clear();
        if all && flushes.is_empty() {
            // Nobody waits: to be woken for each line would cost those who log more than the line.
            thread::sleep(NAP);
        }
        for done in flushes {
            let _ = done.send(());
        }
    }
}

/// Writes what goes, counts the lines that do not, and says whether the last one was torn: then
/// the next batch ends it first.
fn write_lines(out: &mut impl Write, lines: &[u8], torn: bool) -> bool {
    // A standard error that was closed takes no complaint either.
    let mut left = lines;
    let torn = torn && out.write_all(b"\n").is_err();
    if !torn {
        while let Some(more) = write_some(out, left) {
            left = more;
        }
    }
    let lost = memchr::memchr_iter(b'\n', left).count();
    DROPPED.fetch_add(lost as u64, Relaxed);
    let written = lines.len().saturating_sub(left.len());
    let last = written.checked_sub(1).and_then(|last| lines.get(last));
    !left.is_empty() && last.map_or(torn, |last| *last != b'\n')
}

/// What is left after one write; `None` when nothing is, or no more goes.
fn write_some<'l>(out: &mut impl Write, left: &'l [u8]) -> Option<&'l [u8]> {
    loop {
        match out.write(left) {
            Ok(count) if count > 0 => return left.get(count..),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => return None,
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

    /// Takes so many bytes, and then none until there is room again.
    #[derive(Default)]
    struct Disk {
        taken: Vec<u8>,
        room: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.room == 0 && !bytes.is_empty() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let count = bytes.len().min(self.room);
            self.room -= count;
            self.taken.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_a_full_disk_does_not_take_are_counted_and_tear_no_other() {
        let mut disk = Disk { room: 9, ..Disk::default() };
        let before = dropped();
        let torn = write_lines(&mut disk, b"first\nsecond\nthird\n", false);
        assert!(torn);
        assert_eq!(dropped() - before, 2);
        let torn = write_lines(&mut disk, b"fourth\n", torn);
        assert!(torn);
        assert_eq!(dropped() - before, 3);
        disk.room = 100;
        let torn = write_lines(&mut disk, b"fifth\n", torn);
        assert!(!torn);
        assert!(!write_lines(&mut disk, b"", torn));
        assert_eq!(dropped() - before, 3);
        assert_eq!(disk.taken, b"first\nsec\nfifth\n");
    }

    #[test]
    fn a_reader_who_does_not_read_holds_nobody_up() {
        let (reader, writer) = io::pipe().unwrap();
        let mut sink = Sink::with_room(writer, 8).unwrap();
        let before = dropped();
        let line = vec![b'x'; 4096];
        // A pipe holds 64 KiB; this is sixteen times as much.
        for _ in 0..256 {
            assert_eq!(Write::write(&mut sink, &line).unwrap(), line.len());
        }
        sink.flush();
        assert!(dropped() > before);
        drop(reader);
    }
}
