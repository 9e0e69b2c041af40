//! Where the key of a digest, or of an id, is: two tables of places, which take five bytes a key
//! each where they are full. What is compared is read from the blocks.
//!
//! Each is cut into parts, so that to copy a large one is many short steps.

use std::hash::BuildHasher as _;

use hashbrown::DefaultHashBuilder;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::KeyIndex;
use super::Placed;
use crate::clock;
use crate::keys::block::Block;
use crate::keys::block::Row;
use crate::keys::digest::KeyDigest;

/// Places by digest and by id.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    digests: Parts,
    ids: Parts,
    hasher: DefaultHashBuilder,
}

/// Places by their hashes, in one part at least.
#[derive(Debug)]
struct Parts(Box<[HashTable<KeyIndex>]>);

/// How many keys a part has at most when it is made: they fill well what a power of two holds.
const PART: usize = 6_500;
/// What of a hash tells the part: 32 bits from here. Neither what tells the place in it is among
/// those that weigh, nor what tells two keys of one place apart.
const TELLING: u32 = 24;

impl Default for Parts {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl Clone for Parts {
    fn clone(&self) -> Self {
        let copy = |part: &HashTable<KeyIndex>| {
            clock::give_way();
            part.clone()
        };
        Self(self.0.iter().map(copy).collect())
    }
}

impl Parts {
    fn with_capacity(keys: usize) -> Self {
        let number = keys.div_ceil(PART).max(1);
        // No part has exactly its share.
        let share = keys / number + keys / number / 16;
        Self((0..number).map(|_| HashTable::with_capacity(share)).collect())
    }

    fn len(&self) -> usize {
        self.0.iter().map(HashTable::len).sum()
    }

    fn at(&self, hash: u64) -> usize {
        let share = (hash >> TELLING) & u64::from(u32::MAX);
        usize::try_from((share * self.0.len() as u64) >> u32::BITS).unwrap_or(0)
    }

    fn part(&self, hash: u64) -> Option<&HashTable<KeyIndex>> {
        self.0.get(self.at(hash))
    }

    fn part_mut(&mut self, hash: u64) -> Option<&mut HashTable<KeyIndex>> {
        let at = self.at(hash);
        self.0.get_mut(at)
    }
}

type Slots = [Option<Placed>];

/// How far is looked for some place. Two of five are taken at least where keys only came.
const NEAR: usize = 16;

fn row(slots: &Slots, at: KeyIndex) -> Option<(&Block, &Row)> {
    let block = &*slots.get(at.slot())?.as_ref()?.block;
    block.rows().get(at.row()).map(|row| (block, row))
}

fn note(entry: Entry<'_, KeyIndex>, at: KeyIndex) -> Result<(), KeyIndex> {
    match entry {
        Entry::Occupied(first) => Err(*first.get()),
        Entry::Vacant(place) => {
            place.insert(at);
            Ok(())
        }
    }
}

impl Index {
    pub(super) fn with_capacity(keys: usize) -> Self {
        let (digests, ids) = (Parts::with_capacity(keys), Parts::with_capacity(keys));
        Self { digests, ids, hasher: DefaultHashBuilder::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn find(&self, slots: &Slots, digest: &KeyDigest) -> Option<KeyIndex> {
        let same =
            |at: &KeyIndex| row(slots, *at).is_some_and(|(_, row)| row.digest().matches(digest));
        self.digests.part(digest.bucket())?.find(digest.bucket(), same).copied()
    }

    /// Some place, for a digest that has none: reached by the steps that lead to a place that is
    /// found, through the same part of the table.
    pub(super) fn near(&self, digest: &KeyDigest) -> Option<KeyIndex> {
        let part = self.digests.part(digest.bucket())?;
        let buckets = part.num_buckets();
        let first = usize::try_from(digest.bucket()).ok()? & buckets.checked_sub(1)?;
        (first..buckets).take(NEAR).find_map(|at| part.get_bucket(at)).copied()
    }

    pub(super) fn find_id(&self, slots: &Slots, id: &str) -> Option<KeyIndex> {
        let same = |at: &KeyIndex| row(slots, *at).is_some_and(|(block, row)| block.id(row) == id);
        let hash = self.hasher.hash_one(id);
        self.ids.part(hash)?.find(hash, same).copied()
    }

    /// Notes the place of a digest, or says where it is already.
    pub(super) fn insert(&mut self, slots: &Slots, at: KeyIndex) -> Result<(), KeyIndex> {
        let Some((_, new)) = row(slots, at) else { return Ok(()) };
        let digest = new.digest();
        let same =
            |at: &KeyIndex| row(slots, *at).is_some_and(|(_, row)| row.digest().matches(digest));
        let hash = |at: &KeyIndex| row(slots, *at).map_or(0, |(_, row)| row.digest().bucket());
        let Some(part) = self.digests.part_mut(digest.bucket()) else { return Ok(()) };
        note(part.entry(digest.bucket(), same, hash), at)
    }

    /// Notes the place of an id, or says where it is already.
    pub(super) fn insert_id(&mut self, slots: &Slots, at: KeyIndex) -> Result<(), KeyIndex> {
        let Some((block, new)) = row(slots, at) else { return Ok(()) };
        let id = block.id(new);
        let Self { ids, hasher, .. } = self;
        let same = |at: &KeyIndex| row(slots, *at).is_some_and(|(block, row)| block.id(row) == id);
        let hash = |at: &KeyIndex| {
            row(slots, *at).map_or(0, |(block, row)| hasher.hash_one(block.id(row)))
        };
        let own = hasher.hash_one(id);
        let Some(part) = ids.part_mut(own) else { return Ok(()) };
        note(part.entry(own, same, hash), at)
    }

    /// Forgets a place. The slots are as they were when it was noted.
    pub(super) fn remove(&mut self, slots: &Slots, at: KeyIndex) {
        let Some((block, old)) = row(slots, at) else { return };
        let digest = old.digest().bucket();
        let id = self.hasher.hash_one(block.id(old));
        for (parts, hash) in [(&mut self.digests, digest), (&mut self.ids, id)] {
            let part = parts.part_mut(hash);
            if let Some(Ok(entry)) = part.map(|part| part.find_entry(hash, |its| *its == at)) {
                entry.remove();
            }
        }
    }
}
