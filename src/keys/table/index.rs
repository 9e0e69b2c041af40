//! Where the key of a digest, or of an id, is: two tables of places, which take five bytes a key
//! each where they are full. What is compared is read from the blocks.

use std::hash::BuildHasher as _;

use hashbrown::DefaultHashBuilder;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::KeyIndex;
use super::Placed;
use crate::keys::block::Block;
use crate::keys::block::Row;
use crate::keys::digest::KeyDigest;

/// Places by digest and by id.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    digests: HashTable<KeyIndex>,
    ids: HashTable<KeyIndex>,
    hasher: DefaultHashBuilder,
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
        let digests = HashTable::with_capacity(keys);
        Self { digests, ids: HashTable::with_capacity(keys), hasher: DefaultHashBuilder::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn find(&self, slots: &Slots, digest: &KeyDigest) -> Option<KeyIndex> {
        let same =
            |at: &KeyIndex| row(slots, *at).is_some_and(|(_, row)| row.digest().matches(digest));
        self.digests.find(digest.bucket(), same).copied()
    }

    /// Some place, for a digest that has none: reached by the steps that lead to a place that is
    /// found, through the same part of the table.
    pub(super) fn near(&self, digest: &KeyDigest) -> Option<KeyIndex> {
        let buckets = self.digests.num_buckets();
        let first = usize::try_from(digest.bucket()).ok()? & buckets.checked_sub(1)?;
        (first..buckets).take(NEAR).find_map(|at| self.digests.get_bucket(at)).copied()
    }

    pub(super) fn find_id(&self, slots: &Slots, id: &str) -> Option<KeyIndex> {
        let same = |at: &KeyIndex| row(slots, *at).is_some_and(|(block, row)| block.id(row) == id);
        self.ids.find(self.hasher.hash_one(id), same).copied()
    }

    /// Notes the place of a digest, or says where it is already.
    pub(super) fn insert(&mut self, slots: &Slots, at: KeyIndex) -> Result<(), KeyIndex> {
        let Some((_, new)) = row(slots, at) else { return Ok(()) };
        let digest = new.digest();
        let same =
            |at: &KeyIndex| row(slots, *at).is_some_and(|(_, row)| row.digest().matches(digest));
        let hash = |at: &KeyIndex| row(slots, *at).map_or(0, |(_, row)| row.digest().bucket());
        note(self.digests.entry(digest.bucket(), same, hash), at)
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
        note(ids.entry(hasher.hash_one(id), same, hash), at)
    }

    /// Forgets a place. The slots are as they were when it was noted.
    pub(super) fn remove(&mut self, slots: &Slots, at: KeyIndex) {
        let Some((block, old)) = row(slots, at) else { return };
        if let Ok(entry) = self.digests.find_entry(old.digest().bucket(), |its| *its == at) {
            entry.remove();
        }
        let hash = self.hasher.hash_one(block.id(old));
        if let Ok(entry) = self.ids.find_entry(hash, |its| *its == at) {
            entry.remove();
        }
    }
}
