//! Lines from one thread to one other, without a lock and without waiting: there is room for so
//! many, and who finds none left keeps its line.
//!
//! A line is its length, then its bytes, in words that are published together once all of them are
//! written.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicU64, AtomicUsize, fence};

const WORD: usize = size_of::<u64>();

/// On a cache line of its own: two threads write to different counts all the time.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Apart(AtomicUsize);

#[derive(Debug)]
struct Ring {
    /// A power of two of them. What is counted below is taken modulo their number.
    words: Box<[AtomicU64]>,
    written: Apart,
    read: Apart,
}

/// Where lines go in: one thread's own.
#[derive(Debug)]
pub(super) struct Inlet {
    ring: Arc<Ring>,
    written: usize,
    /// How far the other end was when it was last looked at.
    read: usize,
}

/// Where lines come out: another thread's own.
#[derive(Debug)]
pub(super) struct Outlet {
    ring: Arc<Ring>,
    read: usize,
}

/// The two ends of a ring with room for at least so many bytes, lengths among them.
pub(super) fn ring(bytes: usize) -> (Inlet, Outlet) {
    let words = bytes.div_ceil(WORD).max(2).next_power_of_two();
    let words = (0..words).map(|_| AtomicU64::new(0)).collect();
    let ring = Arc::new(Ring { words, written: Apart::default(), read: Apart::default() });
    (Inlet { ring: Arc::clone(&ring), written: 0, read: 0 }, Outlet { ring, read: 0 })
}

impl Ring {
    /// The words from a place on, in two pieces where they go around the end.
    fn pieces(&self, from: usize, count: usize) -> (&[AtomicU64], &[AtomicU64]) {
        let from = from & (self.words.len() - 1);
        let (before, after) = self.words.split_at_checked(from).unwrap_or_default();
        match after.get(..count) {
            Some(piece) => (piece, &[]),
            None => (after, before.get(..count - after.len()).unwrap_or_default()),
        }
    }
}

impl Inlet {
    /// Takes a line, if there is room for it.
    pub(super) fn push(&mut self, line: &[u8]) -> bool {
        let (whole, rest) = line.as_chunks::<WORD>();
        let count = 2 + whole.len();
        if self.room() < count {
            self.read = self.ring.read.0.load(Acquire);
            if self.room() < count {
                return false;
            }
        }
        let mut last = [0; WORD];
        last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        let lead = [line.len() as u64, u64::from_le_bytes(last)];
        let (first, second) = self.ring.pieces(self.written, 2);
        first.iter().chain(second).zip(lead).for_each(|(word, value)| word.store(value, Relaxed));
        let (first, second) = self.ring.pieces(self.written.wrapping_add(2), whole.len());
        let (before, after) = whole.split_at_checked(first.len()).unwrap_or_default();
        for (words, chunks) in [(first, before), (second, after)] {
            for (word, chunk) in words.iter().zip(chunks) {
                word.store(u64::from_le_bytes(*chunk), Relaxed);
            }
        }
        self.written = self.written.wrapping_add(count);
        // In one order with what the other end says when it goes to sleep: one of the two sees the
        // other.
        self.ring.written.0.store(self.written, SeqCst);
        true
    }

    fn room(&self) -> usize {
        self.ring.words.len() - self.written.wrapping_sub(self.read)
    }
}

impl Outlet {
    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.ring.written.0.load(SeqCst) == self.read
    }

    /// Whether nothing waits and nothing will come: the other end is gone.
    pub(super) fn is_over(&self) -> bool {
        let alone = Arc::strong_count(&self.ring) == 1;
        // The count says nothing of what else its last holder wrote, until it is waited for.
        fence(Acquire);
        alone && self.is_empty()
    }

    /// Adds the lines that wait to others, until there are at least so many bytes.
    pub(super) fn take(&mut self, lines: &mut Vec<u8>, most: usize) {
        let written = self.ring.written.0.load(Acquire);
        while self.read != written && lines.len() < most {
            self.take_one(lines);
        }
        self.ring.read.0.store(self.read, Release);
    }

    fn take_one(&mut self, lines: &mut Vec<u8>) {
        let (first, second) = self.ring.pieces(self.read, 2);
        let mut lead = first.iter().chain(second).map(|word| word.load(Relaxed));
        let length = lead.next().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
        let last = lead.next().unwrap_or(0).to_le_bytes();
        let (first, second) = self.ring.pieces(self.read.wrapping_add(2), length / WORD);
        let from = lines.len();
        // Room is made once, not looked for at each word.
        lines.resize(from + length, 0);
        let line = lines.get_mut(from..).unwrap_or_default();
        let (whole, rest) = line.as_chunks_mut::<WORD>();
        let (before, after) = whole.split_at_mut_checked(first.len()).unwrap_or_default();
        for (words, chunks) in [(first, before), (second, after)] {
            for (word, chunk) in words.iter().zip(chunks) {
                *chunk = word.load(Relaxed).to_le_bytes();
            }
        }
        rest.iter_mut().zip(last).for_each(|(to, from)| *to = from);
        self.read = self.read.wrapping_add(2 + length / WORD);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn taken(outlet: &mut Outlet) -> Vec<u8> {
        let mut lines = Vec::new();
        outlet.take(&mut lines, usize::MAX);
        lines
    }

    #[test]
    fn lines_of_every_length_come_out_as_they_went_in_wherever_the_end_falls() {
        let (mut inlet, mut outlet) = ring(256);
        for round in 0..200 {
            let line: Vec<u8> = (0..round % 97).collect();
            assert!(inlet.push(&line), "{round}");
            assert_eq!(taken(&mut outlet), line);
            assert!(outlet.is_empty());
        }
    }

    #[test]
    fn what_finds_no_room_is_not_taken_and_nothing_else_is_lost() {
        let (mut inlet, mut outlet) = ring(64);
        assert!(inlet.push(b"0123456789abcdef"));
        assert!(inlet.push(b"x"));
        assert!(!inlet.push(b"0123456789"));
        assert!(inlet.push(b"yz"));
        assert!(!inlet.push(b""));
        assert_eq!(taken(&mut outlet), b"0123456789abcdefxyz");
        assert!(inlet.push(&[b'z'; 40]));
        assert!(!ring(64).0.push(&[0; 60]), "longer than all of it");
    }

    #[test]
    fn an_outlet_is_over_when_its_other_end_is_gone_and_all_is_read() {
        let (mut inlet, mut outlet) = ring(64);
        assert!(inlet.push(b"last"));
        drop(inlet);
        assert!(!outlet.is_over());
        assert_eq!(taken(&mut outlet), b"last");
        assert!(outlet.is_over());
    }

    #[test]
    fn two_threads_lose_nothing_and_mix_nothing_up() {
        const LINES: u64 = 100_000;
        let (mut inlet, mut outlet) = ring(1024);
        let writer = thread::spawn(move || {
            for number in 0..LINES {
                let line = format!("{number}{}\n", "x".repeat((number % 61) as usize));
                while !inlet.push(line.as_bytes()) {
                    thread::yield_now();
                }
            }
        });
        let mut text = Vec::new();
        while !outlet.is_over() {
            outlet.take(&mut text, usize::MAX);
            thread::yield_now();
        }
        writer.join().unwrap();
        let text = String::from_utf8(text).unwrap();
        let mut count = 0;
        for (number, line) in (0..LINES).zip(text.lines()) {
            assert_eq!(line.trim_end_matches('x'), number.to_string());
            count += 1;
        }
        assert_eq!((count, text.lines().count()), (LINES, 100_000));
    }
}
