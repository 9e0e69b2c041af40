//! What lines are written to, which may take no more of them: a disk that is full, a pipe that was
//! closed. What it does not take is counted, and a line that was torn is ended before the next.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How many lines were lost.
#[derive(Debug)]
pub(super) struct Lost(AtomicU64);

impl Lost {
    pub(super) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub(super) fn one(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// All lines of a text.
    pub(super) fn all(&self, lines: &[u8]) {
        let lost = memchr::memchr_iter(b'\n', lines).count();
        self.0.fetch_add(u64::try_from(lost).unwrap_or_default(), Relaxed);
    }
}

/// Writes lines.
pub(super) struct Output<T> {
    out: T,
    lost: &'static Lost,
    /// Whether the last line that was taken lacks its end.
    torn: bool,
    /// Whether it took what it was given last.
    taking: bool,
    /// How many lost lines somebody was told of.
    told: u64,
}

impl<T: Write> Output<T> {
    /// `torn` is whether what it holds already does not end a line.
    pub(super) fn new(out: T, torn: bool, lost: &'static Lost) -> Self {
        Self { out, lost, torn, taking: true, told: lost.get() }
    }

    /// Goes on in another place.
    pub(super) fn replace(&mut self, out: T, torn: bool) {
        (self.out, self.torn) = (out, torn);
    }

    /// What it writes to.
    pub(super) const fn out(&self) -> &T {
        &self.out
    }

    /// Writes what it takes, and counts the lines that it does not.
    pub(super) fn write_lines(&mut self, lines: &[u8]) {
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
        self.lost.all(lost);
        self.taking = lost.is_empty();
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

    /// How many lines were lost that nobody was told of, once lines are taken again.
    pub(super) fn untold(&mut self) -> Option<u64> {
        let lost = self.lost.get() - self.told;
        if lost == 0 || !self.taking {
            return None;
        }
        self.told += lost;
        Some(lost)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

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
        static LOST: Lost = Lost::new();
        let disk = Disk::default();
        disk.0.lock().unwrap().1 = 7;
        let mut output = Output::new(disk.clone(), false, &LOST);
        output.write_lines(b"one\ntwo\nthree\n");
        assert!(output.torn && !output.taking);
        output.write_lines(b"four\n");
        assert_eq!((LOST.get(), output.untold()), (3, None));
        disk.0.lock().unwrap().1 = 1000;
        output.write_lines(b"five\n");
        assert_eq!((output.untold(), output.untold()), (Some(3), None));
        assert_eq!(disk.0.lock().unwrap().0, b"one\ntwo\nfive\n");
    }
}
