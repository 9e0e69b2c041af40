//! A file in pieces, cut at headers of records.
//!
//! Where it is cut depends only on what stands there: after a change somewhere in the file, the
//! pieces further down are the same as before.

use std::fs::File;
use std::io;
use std::io::Read as _;

use memchr::memmem::Finder;

use crate::clock;

/// What a record begins with, after the line before it.
const HEADER: &[u8] = b"\n[[";
/// How many records a piece has at least, unless the file ends before.
const FEWEST: usize = 256;
/// How many it has at most: as many as fit into a block.
const MOST: usize = crate::keys::block::MOST - 1;
/// After the fewest, a piece ends at each header with this chance: one in so many.
const CHANCE: u32 = 256;
/// How much of a record tells whether a piece ends before it.
const TELLING: usize = 96;
/// How much is read at a time.
const READ: usize = 1 << 17;

pub(super) struct Cutter {
    file: File,
    /// What was read; what is part of a piece already is dropped when more is read.
    buffer: Vec<u8>,
    taken: usize,
    /// Where in the file the rest begins.
    base: usize,
    /// Where in the rest to look on for headers, and how many were found already.
    looked: usize,
    headers: usize,
    at_end: bool,
    blank: bool,
    header: Finder<'static>,
}

impl Cutter {
    /// Drops a byte order mark at the beginning.
    pub(super) fn new(file: File) -> io::Result<Self> {
        let mut this = Self {
            file,
            buffer: Vec::new(),
            taken: 0,
            base: 0,
            looked: 0,
            headers: 0,
            at_end: false,
            blank: true,
            header: Finder::new(HEADER),
        };
        this.fill()?;
        if this.buffer.starts_with(b"\xef\xbb\xbf") {
            this.taken = 3;
        }
        Ok(this)
    }

    /// Whether nothing but blanks was in the file.
    pub(super) const fn was_blank(&self) -> bool {
        self.blank
    }

    /// The next piece, with where it begins; none at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<(usize, &[u8])>> {
        let length = loop {
            clock::give_way();
            match self.find_end() {
                Some(end) => break end,
                None if self.at_end => break self.rest().len(),
                None => self.fill()?,
            }
        };
        let (base, start) = (self.base, self.taken);
        self.base += length;
        self.taken += length;
        (self.looked, self.headers) = (0, 0);
        let piece = self.buffer.get(start..start + length).unwrap_or_default();
        self.blank &= piece.iter().all(u8::is_ascii_whitespace);
        Ok((!piece.is_empty()).then_some((base, piece)))
    }

    /// So many of the next pieces, to be kept for a while.
    pub(super) fn some(&mut self, most: usize) -> io::Result<Vec<(usize, Vec<u8>)>> {
        let mut pieces = Vec::new();
        while pieces.len() < most
            && let Some((base, piece)) = self.next()?
        {
            pieces.push((base, piece.to_vec()));
        }
        Ok(pieces)
    }

    fn rest(&self) -> &[u8] {
        self.buffer.get(self.taken..).unwrap_or_default()
    }

    /// Looks for the end of a piece in what was read.
    fn find_end(&mut self) -> Option<usize> {
        loop {
            let rest = self.buffer.get(self.taken + self.looked..)?;
            let at = self.looked + self.header.find(rest)? + 1;
            let telling = self.buffer.get(self.taken + at..)?;
            if telling.len() < TELLING && !self.at_end {
                return None;
            }
            self.looked = at;
            self.headers += 1;
            let telling = telling.get(..TELLING).unwrap_or(telling);
            let by_chance = || crc32fast::hash(telling).is_multiple_of(CHANCE);
            if self.headers >= MOST || (self.headers >= FEWEST && by_chance()) {
                return Some(at);
            }
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        let read = (&self.file).take(READ as u64).read_to_end(&mut self.buffer)?;
        self.at_end = read == 0;
        Ok(())
    }
}
