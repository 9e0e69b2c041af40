//! Header blocks (RFC 7541), read for what the library does not tell: whether the path in them has
//! a fragment, which it cuts off, and how many fields there are.
//!
//! What is kept of a connection's table is no more than that takes: how large each entry is, and
//! whether it is such a path.

use std::collections::VecDeque;

use super::huffman;

/// The size of the table where nobody has announced another (RFC 9113, section 6.5.2).
const TABLE: usize = 4096;
/// What an entry counts beyond its name and value (RFC 7541, section 4.1).
const OVERHEAD: usize = 32;
/// The pseudo-header field that is looked for.
const PATH: &[u8] = b":path";

/// The lengths of the names in the static table, from its first entry on (RFC 7541, appendix A).
#[rustfmt::skip]
const STATIC: [u8; 61] = [
    10, 7, 7, 5, 5, 7, 7, 7, 7, 7, 7, 7, 7, 7, 14, 15,
    15, 13, 6, 27, 3, 5, 13, 13, 19, 16, 16, 14, 16, 13, 12, 6,
    4, 4, 6, 7, 4, 4, 8, 17, 13, 8, 19, 13, 4, 8, 12, 18,
    19, 5, 7, 7, 11, 6, 10, 25, 17, 10, 4, 3, 16,
];
const STATIC_PATHS: [usize; 2] = [4, 5];

/// A header block that cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// What a block has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// A path with a fragment.
    pub(super) fragment: bool,
    /// So many fields.
    pub(super) fields: usize,
}

/// What is kept of a field's name.
#[derive(Clone, Copy, Debug)]
struct Name {
    length: usize,
    is_path: bool,
}

/// What is kept of an entry of the table.
#[derive(Debug)]
struct Entry {
    name: Name,
    size: usize,
    fragment: bool,
}

/// One direction of a connection.
#[derive(Debug)]
pub(super) struct Reader {
    entries: VecDeque<Entry>,
    size: usize,
    most: usize,
}

impl Reader {
    pub(super) const fn new() -> Self {
        Self { entries: VecDeque::new(), size: 0, most: TABLE }
    }

    /// Reads a whole block.
    ///
    /// # Errors
    /// When it is not one; the table is of no use any more.
    pub(super) fn read(&mut self, block: &[u8]) -> Result<Found, Unreadable> {
        self.fields(block).ok_or(Unreadable)
    }

    fn fields(&mut self, mut rest: &[u8]) -> Option<Found> {
        let mut found = Found::default();
        while let Some(&first) = rest.first() {
            found.fields += 1;
            found.fragment |= match first {
                0x80.. => self.indexed(integer(&mut rest, 7)?)?,
                0x40..0x80 => {
                    let index = integer(&mut rest, 6)?;
                    self.literal(&mut rest, index, true)?
                }
                0x20..0x40 => {
                    let most = integer(&mut rest, 5)?;
                    self.resize(most)?
                }
                _ => {
                    let index = integer(&mut rest, 4)?;
                    self.literal(&mut rest, index, false)?
                }
            };
        }
        Some(found)
    }

    fn indexed(&self, index: usize) -> Option<bool> {
        match index.checked_sub(STATIC.len() + 1) {
            None => (index > 0).then_some(false),
            Some(at) => Some(self.entries.get(at)?.fragment),
        }
    }

    fn literal(&mut self, rest: &mut &[u8], index: usize, keep: bool) -> Option<bool> {
        let name = match index {
            0 => Name::read(&Text::take(rest)?)?,
            _ => self.name(index)?,
        };
        let value = Text::take(rest)?;
        if !keep && !name.is_path {
            return Some(false);
        }
        let (mut length, mut hash) = (0, false);
        value.each(|byte| {
            length += 1;
            hash |= byte == b'#';
        })?;
        let fragment = name.is_path && hash;
        if keep {
            self.keep(Entry { name, size: name.length + length + OVERHEAD, fragment });
        }
        Some(fragment)
    }

    fn name(&self, index: usize) -> Option<Name> {
        match index.checked_sub(STATIC.len() + 1) {
            Some(at) => self.entries.get(at).map(|entry| entry.name),
            None => {
                let length = STATIC.get(index.checked_sub(1)?)?;
                Some(Name { length: usize::from(*length), is_path: STATIC_PATHS.contains(&index) })
            }
        }
    }

    fn keep(&mut self, entry: Entry) {
        self.size += entry.size;
        self.entries.push_front(entry);
        self.evict();
    }

    fn resize(&mut self, most: usize) -> Option<bool> {
        if most > TABLE {
            return None;
        }
        self.most = most;
        self.evict();
        Some(false)
    }

    /// An entry that is larger than the table empties it (RFC 7541, section 4.4).
    fn evict(&mut self) {
        while self.size > self.most {
            let Some(entry) = self.entries.pop_back() else { return };
            self.size -= entry.size;
        }
    }
}

impl Name {
    fn read(text: &Text<'_>) -> Option<Self> {
        let (mut length, mut is_path) = (0, true);
        text.each(|byte| {
            is_path &= PATH.get(length) == Some(&byte);
            length += 1;
        })?;
        Some(Self { length, is_path: is_path && length == PATH.len() })
    }
}

/// A string as it is written (RFC 7541, section 5.2).
struct Text<'b> {
    coded: bool,
    bytes: &'b [u8],
}

impl<'b> Text<'b> {
    fn take(rest: &mut &'b [u8]) -> Option<Self> {
        let coded = rest.first()? & 0x80 != 0;
        let length = integer(rest, 7)?;
        let (bytes, after) = rest.split_at_checked(length)?;
        *rest = after;
        Some(Self { coded, bytes })
    }

    fn each(&self, mut each: impl FnMut(u8)) -> Option<()> {
        if self.coded {
            return huffman::decode(self.bytes, each);
        }
        self.bytes.iter().for_each(|&byte| each(byte));
        Some(())
    }
}

/// An integer that begins in the lowest bits of a byte (RFC 7541, section 5.1).
fn integer(rest: &mut &[u8], bits: u32) -> Option<usize> {
    let most = (1_usize << bits) - 1;
    let (first, mut after) = rest.split_first()?;
    let mut value = usize::from(*first) & most;
    if value == most {
        for shift in [0, 7, 14, 21] {
            let (next, further) = after.split_first()?;
            after = further;
            value += usize::from(next & 0x7f) << shift;
            if next & 0x80 == 0 {
                *rest = after;
                return Some(value);
            }
        }
        return None;
    }
    *rest = after;
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(reader: &mut Reader, block: &[u8]) -> Option<bool> {
        reader.read(block).ok().map(|found| found.fragment)
    }

    fn literal(first: u8, name: &[u8], value: &[u8]) -> Vec<u8> {
        let mut block = vec![first];
        if first.trailing_zeros() > 3 {
            block.push(u8::try_from(name.len()).unwrap());
            block.extend(name);
        }
        block.push(u8::try_from(value.len()).unwrap());
        block.extend(value);
        block
    }

    #[test]
    fn a_fragment_is_found_however_the_path_is_written() {
        let huffman = b"\x44\x83\x63\xfe\xbf";
        for (block, found) in [
            (literal(0x44, b"", b"/a#b"), true),
            (literal(0x04, b"", b"/a#b"), true),
            (literal(0x15, b"", b"/a?b#"), true),
            (literal(0x40, b":path", b"#"), true),
            (literal(0x00, b":path", b"/#"), true),
            (huffman.to_vec(), true),
            (literal(0x44, b"", b"/a%23"), false),
            (literal(0x40, b":paths", b"/#"), false),
            (literal(0x40, b":pat", b"/#"), false),
            (literal(0x40, b"referer", b"/#"), false),
            (vec![0x84, 0x85, 0x82], false),
        ] {
            assert_eq!(fragment(&mut Reader::new(), &block), Some(found), "{block:x?}");
        }
    }

    #[test]
    fn a_fragment_is_found_where_the_table_has_it() {
        let mut reader = Reader::new();
        assert_eq!(fragment(&mut reader, &literal(0x44, b"", b"/a#b")), Some(true));
        assert_eq!(fragment(&mut reader, &literal(0x40, b"x", b"#")), Some(false));
        assert_eq!(fragment(&mut reader, &[0xbe]), Some(false));
        assert_eq!(fragment(&mut reader, &[0x82, 0xbf]), Some(true));
        // Its name alone.
        assert_eq!(fragment(&mut reader, b"\x0f\x30\x01#"), Some(true));
        assert_eq!(fragment(&mut reader, b"\x0f\x30\x01/"), Some(false));
        // Emptied, it has nothing.
        assert_eq!(fragment(&mut reader, &[0x20]), Some(false));
        assert_eq!(reader.read(&[0xbe]), Err(Unreadable));
    }

    #[test]
    fn fields_are_counted() {
        let block = [vec![0x82, 0x84], literal(0x40, b"a", b"b"), vec![0xbe; 3]].concat();
        assert_eq!(Reader::new().read(&block), Ok(Found { fragment: false, fields: 6 }));
    }

    #[test]
    fn the_table_holds_as_much_as_the_document_says() {
        let mut reader = Reader::new();
        // 5 + 27 + 32 bytes each: 64 of them fill it.
        for number in 0..65 {
            let fragment = if number == 0 { "#" } else { "-" };
            reader.read(&literal(0x44, b"", format!("{fragment:->27}").as_bytes())).unwrap();
            assert_eq!(
                (reader.size, reader.entries.len()),
                (64 * (number + 1).min(64), (number + 1).min(64))
            );
        }
        assert!(reader.entries.iter().all(|entry| !entry.fragment));
        let mut large = b"\x44\x7f\x81\x1f".to_vec();
        large.resize(4 + 127 + 0xf81, b'-');
        assert_eq!(fragment(&mut reader, &large), Some(false));
        assert_eq!((reader.size, reader.entries.len()), (0, 0));
    }

    #[test]
    fn what_is_no_block_is_refused() {
        for bad in [
            &b"\x80"[..],
            b"\xbe",
            b"\x44",
            b"\x44\x05/a",
            b"\x44\x82\xff\xff",
            b"\x3f\xe2\x1f",
            b"\xff\xff\xff\xff\xff\x0f",
            b"\x7f",
        ] {
            assert_eq!(Reader::new().read(bad), Err(Unreadable), "{bad:x?}");
        }
    }
}
