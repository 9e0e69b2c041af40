//! The file as a stream: a head, the entries by mark, a tail that says whether all of it is there.
//!
//! Head: `keygate usage 1` and a line feed, then in four bytes each (little endian) since when uses
//! are recorded, and by what time it is judged what is too old. Tail: how many entries there are (eight bytes), and a
//! CRC-32 of everything before.

use std::io;
use std::io::Read;
use std::io::Write;

use thiserror::Error;

use super::KEPT;
use super::Usage;
use super::entry;
use super::entry::Mark;
use super::entry::Use;
use super::entry::at_the_latest;

const MAGIC: &[u8; 16] = b"keygate usage 1\n";
const HEAD: usize = MAGIC.len() + 4 + 4;
const TAIL: usize = 8 + 4;

/// How far the time by which uses are forgotten goes on at most from one writing to the next, in
/// seconds. It follows the clock; but while that jumps ahead, as it does where a machine begins with
/// a wrong one, or somebody sets it, nothing is forgotten for many hours of writing.
const STEP: u32 = 3600;

/// Why a file is not one of ours, or no longer whole.
#[derive(Debug, Error)]
pub enum Damage {
    /// It begins in another way.
    #[error("it is not a record of uses of this version")]
    Foreign,
    /// Some of it is missing, or another than was written.
    #[error("it is damaged")]
    Torn,
    /// The system does not give it.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A file that is being read, entry by entry. What came is to be believed once all of it has come.
struct Entries<R> {
    from: R,
    crc: crc32fast::Hasher,
    since: u32,
    believed: u32,
    count: u64,
    left: u64,
    last: Option<Mark>,
}

impl<R: Read> Entries<R> {
    /// Begins to read a file of a length.
    fn of(from: R, length: u64) -> Result<Self, Damage> {
        let body = length.checked_sub((HEAD + TAIL) as u64).ok_or(Damage::Torn);
        let crc = crc32fast::Hasher::new();
        let mut this = Self { from, crc, since: 0, believed: 0, count: 0, left: 0, last: None };
        match this.take() {
            Ok(magic) if magic == *MAGIC => {}
            Ok(_) | Err(Damage::Torn | Damage::Foreign) => return Err(Damage::Foreign),
            Err(Damage::Io(error)) => return Err(Damage::Io(error)),
        }
        this.since = u32::from_le_bytes(this.take()?);
        this.believed = u32::from_le_bytes(this.take()?);
        let body = body?;
        if body % entry::LENGTH as u64 != 0 {
            return Err(Damage::Torn);
        }
        this.count = body / entry::LENGTH as u64;
        this.left = this.count;
        Ok(this)
    }

    /// The next entry; none at a sound end.
    fn next(&mut self) -> Result<Option<(Mark, Use)>, Damage> {
        if self.left == 0 {
            return self.end().map(|()| None);
        }
        let read = entry::read(&self.take()?).ok_or(Damage::Torn)?;
        if self.last.is_some_and(|last| last >= read.0) {
            return Err(Damage::Torn);
        }
        self.last = Some(read.0);
        self.left -= 1;
        Ok(Some(read))
    }

    fn end(&mut self) -> Result<(), Damage> {
        let count = u64::from_le_bytes(self.take()?);
        let crc = self.crc.clone().finalize();
        let sound = count == self.count && u32::from_le_bytes(self.take()?) == crc;
        if sound { Ok(()) } else { Err(Damage::Torn) }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        let mut bytes = [0; N];
        self.from.read_exact(&mut bytes).map_err(|error| {
            let short = error.kind() == io::ErrorKind::UnexpectedEof;
            if short { Damage::Torn } else { Damage::Io(error) }
        })?;
        self.crc.update(&bytes);
        Ok(bytes)
    }
}

/// Reads a file of a length.
pub(super) fn read(from: impl Read, length: u64) -> Result<Usage, Damage> {
    let mut old = Entries::of(from, length)?;
    let mut entries = Vec::new();
    while let Some(entry) = old.next()? {
        entries.push(entry);
    }
    Ok(Usage { since: old.since, entries })
}

/// Why nothing was written.
#[derive(Debug, Error)]
pub(super) enum MergeError {
    /// What was there is of no use.
    #[error("what was recorded before: {0}")]
    Old(Damage),
    /// The system does not take what is new.
    #[error(transparent)]
    New(#[from] io::Error),
}

/// Writes what was there and what is new, sorted by mark, as it stands at `now`, which is the time of a
/// clock that was set. What was recorded before it was, counts as of now.
pub(super) fn merge(
    old: Option<(impl Read, u64)>,
    new: &[(Mark, Use)],
    now: u32,
    to: impl Write,
) -> Result<u64, MergeError> {
    let mut old = old.map(|(from, length)| Entries::of(from, length));
    let believed = match &old {
        Some(Ok(old)) => now.min(at_the_latest(old.believed, now).saturating_add(STEP)),
        Some(Err(_)) | None => now,
    };
    let oldest = believed.saturating_sub(u32::try_from(KEPT.as_secs()).unwrap_or(u32::MAX));
    let since = match &old {
        Some(Ok(old)) => at_the_latest(old.since, now).clamp(oldest, now),
        Some(Err(_)) | None => now,
    };
    let mut writer = Writer::begin(to, since, believed)?;
    let mut next = || match &mut old {
        Some(Ok(old)) => old.next().map_err(MergeError::Old),
        Some(Err(damage)) => Err(MergeError::Old(std::mem::replace(damage, Damage::Torn))),
        None => Ok(None),
    };
    let set = |used: Use| Use { at: at_the_latest(used.at, now), ..used };
    let right = new.iter().map(|(mark, used)| (*mark, set(*used)));
    let (mut left, mut right) = (next()?, right.peekable());
    while let Some((mark, kept)) = left {
        while let Some(first) = right.next_if(|(its, _)| *its < mark) {
            writer.put(&first)?;
        }
        // From when the clock was wrong: it would be the newest for years.
        let mut kept = Use { at: set(kept).at.min(now), ..kept };
        if let Some((_, newer)) = right.next_if(|(its, _)| *its == mark)
            && !kept.is_after(&newer)
        {
            kept = newer;
        }
        if kept.at >= oldest {
            writer.put(&(mark, kept))?;
        }
        left = next()?;
    }
    right.try_for_each(|entry| writer.put(&entry))?;
    Ok(writer.end()?)
}

struct Writer<W> {
    to: W,
    crc: crc32fast::Hasher,
    count: u64,
}

impl<W: Write> Writer<W> {
    fn begin(to: W, since: u32, believed: u32) -> io::Result<Self> {
        let mut this = Self { to, crc: crc32fast::Hasher::new(), count: 0 };
        this.write(MAGIC)?;
        this.write(&since.to_le_bytes())?;
        this.write(&believed.to_le_bytes())?;
        Ok(this)
    }

    fn put(&mut self, entry: &(Mark, Use)) -> io::Result<()> {
        self.count += 1;
        self.write(&entry::write(entry))
    }

    /// Writes the tail; says how many entries there are.
    fn end(mut self) -> io::Result<u64> {
        self.write(&self.count.to_le_bytes())?;
        let crc = self.crc.clone().finalize();
        self.to.write_all(&crc.to_le_bytes())?;
        self.to.flush()?;
        Ok(self.count)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.crc.update(bytes);
        self.to.write_all(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::super::entry::Network;
    use super::*;
    use crate::keys::digest::KeyDigest;

    const NOW: u32 = 1_800_000_000;

    fn entry(key: u8, at: u32, host: u8) -> (Mark, Use) {
        let from = Network::of(IpAddr::from([203, 0, host, 1]));
        (Mark::of(&KeyDigest::from_bytes([key; 32])), Use { at, from })
    }

    fn added(old: Option<&[u8]>, new: &[(Mark, Use)], now: u32) -> Result<Vec<u8>, MergeError> {
        let mut bytes = Vec::new();
        merge(old.map(|old| (old, old.len() as u64)), new, now, &mut bytes).map(|_| bytes)
    }

    fn usage(bytes: &[u8]) -> Result<Usage, Damage> {
        read(bytes, bytes.len() as u64)
    }

    #[test]
    fn of_two_uses_the_newer_is_kept_whoever_saw_it() {
        let first = added(None, &[entry(1, NOW - 9, 1), entry(3, NOW - 1, 1)], NOW).unwrap();
        let new = [entry(0, NOW, 2), entry(1, NOW, 2), entry(3, NOW - 5, 2), entry(9, NOW, 2)];
        let second = added(Some(&first), &new, NOW).unwrap();
        let expected = [entry(0, NOW, 2), entry(1, NOW, 2), entry(3, NOW - 1, 1), entry(9, NOW, 2)];
        assert_eq!(usage(&second).unwrap().entries, expected);
        assert_eq!(added(Some(&second), &new, NOW).unwrap(), second, "adding twice changes it");
    }

    #[test]
    fn what_is_too_long_ago_is_forgotten_and_not_denied() {
        let kept = u32::try_from(KEPT.as_secs()).unwrap();
        let first = added(None, &[entry(1, NOW, 1)], NOW).unwrap();
        let mut file = added(Some(&first), &[entry(2, NOW + 50, 1)], NOW + 50).unwrap();
        let later = NOW + kept + 10;
        for now in (NOW + 50..later).step_by(STEP as usize).chain([later]) {
            file = added(Some(&file), &[], now).unwrap();
        }
        let second = usage(&file).unwrap();
        assert_eq!(second.entries, [entry(2, NOW + 50, 1)]);
        assert_eq!(second.since, later - kept, "it pretends to know what it forgot");
    }

    #[test]
    fn a_clock_that_was_wrong_is_not_believed_for_long() {
        let ahead = added(None, &[entry(1, NOW + 999_999, 1)], NOW + 999_999).unwrap();
        let read = usage(&added(Some(&ahead), &[entry(1, NOW, 2)], NOW).unwrap()).unwrap();
        assert_eq!((read.entries, read.since), (vec![entry(1, NOW, 2)], NOW));
    }

    #[test]
    fn a_clock_that_jumps_ahead_and_back_costs_nothing() {
        let kept = u32::try_from(KEPT.as_secs()).unwrap();
        let far = NOW + 3 * kept;
        let before = added(None, &[entry(1, NOW - 9, 1), entry(2, NOW, 1)], NOW).unwrap();
        let mut file = before.clone();
        for second in 0..1000 {
            file = added(Some(&file), &[entry(2, far + second, 1)], far + second).unwrap();
            let read = usage(&file).unwrap();
            assert_eq!((read.len(), read.since), (2, NOW), "after {second}");
        }
        file = added(Some(&file), &[], NOW).unwrap();
        assert_eq!(file, before);
    }

    #[test]
    fn what_was_written_by_a_clock_in_1970_is_from_now_and_is_forgotten_in_its_time() {
        let kept = u32::try_from(KEPT.as_secs()).unwrap();
        let mut early = Vec::new();
        let mut writer = Writer::begin(&mut early, 30, 30).unwrap();
        writer.put(&entry(1, 30, 1)).unwrap();
        let _ = writer.end().unwrap();
        let mut file = added(Some(&early), &[entry(2, NOW, 1)], NOW).unwrap();
        let read = usage(&file).unwrap();
        // Since when, nobody knows; that it was not used since then would be a lie.
        assert_eq!((read.since, read.entries), (NOW, vec![entry(1, NOW, 1), entry(2, NOW, 1)]));
        let later = NOW + kept + 10;
        for now in (NOW..later).step_by(STEP as usize).chain([later]) {
            file = added(Some(&file), &[], now).unwrap();
        }
        assert!(usage(&file).unwrap().is_empty(), "it was not forgotten");
    }

    #[test]
    fn what_is_not_whole_is_not_read() {
        let whole = added(None, &[entry(1, NOW, 1), entry(2, NOW, 1)], NOW).unwrap();
        assert_eq!(whole.len(), HEAD + 2 * entry::LENGTH + TAIL);
        for length in 0..whole.len() {
            assert!(usage(&whole[..length]).is_err(), "cut to {length}");
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert!(usage(&changed).is_err(), "changed at {at}");
            let merged = added(Some(&changed), &[], NOW);
            assert!(matches!(merged, Err(MergeError::Old(_))), "changed at {at}");
        }
        assert!(usage(&[&whole[..], b"x"].concat()).is_err());
        let newer = [&b"keygate usage 2\n"[..], &whole[16..]].concat();
        assert!(matches!(usage(&newer), Err(Damage::Foreign)));
        assert!(matches!(usage(b"[keys]\n"), Err(Damage::Foreign)));
    }

    /// Keys, how long ago each was used, and from which network.
    fn batches() -> impl Strategy<Value = Vec<BTreeMap<u8, (u16, u8)>>> {
        let batch = proptest::collection::btree_map(any::<u8>(), any::<(u16, u8)>(), 0..40);
        proptest::collection::vec(batch, 0..8)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
        #[test]
        fn merging_is_what_a_map_would_do(batches in batches()) {
            let (mut file, mut map) = (added(None, &[], NOW).unwrap(), BTreeMap::new());
            for batch in batches {
                let new: Vec<_> =
                    batch.iter().map(|(key, (ago, host))| entry(*key, NOW - u32::from(*ago), *host))
                        .collect();
                for (mark, new) in &new {
                    let kept = map.entry(*mark).or_insert(*new);
                    if !kept.is_after(new) {
                        *kept = *new;
                    }
                }
                file = added(Some(&file), &new, NOW).unwrap();
            }
            prop_assert_eq!(usage(&file).unwrap().entries, map.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = usage(&[MAGIC, &bytes[..]].concat());
            prop_assert!(usage(&bytes).is_err());
        }
    }
}
