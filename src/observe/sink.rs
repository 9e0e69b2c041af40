//! Where log lines go: a bounded queue and a thread that writes it out.
//!
//! Whoever logs never waits. When nobody reads our standard error, the thread waits in `write`,
//! the queue fills, and further lines are dropped and counted. So are lines that a full disk does
//! not take; whoever reads on is told how many there were.

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
fn drain(queue: &Receiver<Message>, out: impl Write) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut output = Output { out, torn: false, taking: true, told: dropped() };
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
        if all {
            output.tell();
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

/// What is written to, which may take no more: a disk that is full, a pipe that was closed.
struct Output<T> {
    out: T,
    /// Whether the last line that was taken lacks its end.
    torn: bool,
    /// Whether it took what it was given last.
    taking: bool,
    /// How many lost lines somebody was told of.
    told: u64,
}

impl<T: Write> Output<T> {
    /// Writes what it takes, and counts the lines that it does not.
    fn write_lines(&mut self, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        if self.torn {
            self.torn = self.write(b"\n") == 0;
        }
        let written = if self.torn { 0 } else { self.write(lines) };
        let (taken, lost) = lines.split_at_checked(written).unwrap_or((lines, &[]));
        if !lost.is_empty() {
            self.torn = taken.last().map_or(self.torn, |last| *last != b'\n');
        }
        let lost = memchr::memchr_iter(b'\n', lost).count();
        DROPPED.fetch_add(u64::try_from(lost).unwrap_or_default(), Relaxed);
        self.taking = lost == 0;
        let _ = self.out.flush();
    }

    /// How many of some bytes it takes.
    fn write(&mut self, bytes: &[u8]) -> usize {
        let mut written = 0;
        while let Some(rest @ [_, ..]) = bytes.get(written..) {
            match self.out.write(rest) {
                Ok(count @ 1..) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break,
            }
        }
        written
    }

    /// Says once, when lines are taken again, how many were lost.
    fn tell(&mut self) {
        let lost = dropped() - self.told;
        if lost > 0 && self.taking {
            self.told += lost;
            tracing::warn!(lines = lost, "log lines were lost: nobody took them");
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

    /// Takes so many bytes, then nothing until it has room again.
    #[derive(Clone, Default)]
    struct Disk(Arc<Mutex<(Vec<u8>, usize)>>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut disk = self.0.lock().unwrap();
            let taken = bytes.len().min(disk.1);
            disk.1 -= taken;
            disk.0.extend_from_slice(&bytes[..taken]);
            if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_a_full_disk_does_not_take_is_counted_and_lines_stay_lines() {
        let disk = Disk::default();
        disk.0.lock().unwrap().1 = 7;
        let before = dropped();
        let mut output = Output { out: disk.clone(), torn: false, taking: true, told: before };
        output.write_lines(b"one\ntwo\nthree\n");
        assert!(output.torn && !output.taking);
        output.write_lines(b"four\n");
        assert!(dropped() >= before + 3);
        disk.0.lock().unwrap().1 = 1000;
        output.write_lines(b"five\n");
        assert!(output.taking);
        output.tell();
        assert_eq!(output.told, dropped());
        assert_eq!(disk.0.lock().unwrap().0, b"one\ntwo\nfive\n");
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
