//! Where the key of a digest, or of an id, is. What is compared is read from the blocks.

use std::hash::BuildHasher as _;
use std::hash::Hasher as _;

use hashbrown::DefaultHashBuilder;

use super::KeyIndex;
use super::Placed;
use super::Slots;
use super::places::Places;
use crate::clock;
use crate::keys::block::Row;
use crate::keys::digest::KeyDigest;

/// Places by digest and by id.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    digests: Places,
    ids: Places,
    hashes: Hashes,
}

/// A key that was looked for, where it is.
pub(super) struct Found<'s> {
    pub(super) at: KeyIndex,
    pub(super) placed: &'s Placed,
    pub(super) row: Row<'s>,
}

/// With a secret of this process: nobody can choose keys that all belong into one line.
#[derive(Clone, Debug)]
struct Hashes {
    builder: DefaultHashBuilder,
    secrets: [u64; 2],
}

impl Default for Hashes {
    fn default() -> Self {
        let builder = DefaultHashBuilder::default();
        let secrets = [builder.hash_one(1u8), builder.hash_one(2u8)];
        Self { builder, secrets }
    }
}

/// How many places are noted at a stretch.
const FEW: usize = 16;

impl Hashes {
    fn of(&self, id: &str) -> u64 {
        let mut hasher = self.builder.build_hasher();
        hasher.write(id.as_bytes());
        hasher.finish()
    }

    /// Of a digest, which is uniform already: half of it is enough.
    #[inline]
    fn of_digest(&self, digest: &KeyDigest) -> u64 {
        let [first, last] = digest.ends();
        let product = u128::from(first ^ self.secrets[0]) * u128::from(last ^ self.secrets[1]);
        let [low, high] = [product, product >> u64::BITS].map(|half| half & u128::from(u64::MAX));
        u64::try_from(low ^ high).unwrap_or(0)
    }

    fn of_digest_at(&self, slots: &Slots, at: KeyIndex) -> u64 {
        slots.row(at).map_or(0, |row| self.of_digest(&row.digest()))
    }

    fn of_id_at(&self, slots: &Slots, at: KeyIndex) -> u64 {
        self.of(slots.id(at))
    }
}

impl Index {
    pub(super) fn with_capacity(keys: usize) -> Self {
        let (digests, ids) = (Places::with_capacity(keys), Places::with_capacity(keys));
        Self { digests, ids, hashes: Hashes::default() }
    }

    pub(super) const fn len(&self) -> usize {
        self.ids.len()
    }

    #[inline]
    pub(super) fn find<'s>(&self, slots: &'s Slots, digest: &KeyDigest) -> Option<Found<'s>> {
        let same = |at: KeyIndex| {
            let placed = slots.get(at.slot())?;
            let row = placed.rows.get(at.row())?;
            row.touch();
            row.digest().matches(digest).then_some(Found { at, placed, row })
        };
        self.digests.find(self.hashes.of_digest(digest), same)
    }

    /// Some place, for a digest that has none: reached by the steps that lead to a place that is
    /// found, through the same line of the table.
    pub(super) fn near(&self, digest: &KeyDigest) -> Option<KeyIndex> {
        self.digests.near(self.hashes.of_digest(digest))
    }

    pub(super) fn find_id(&self, slots: &Slots, id: &str) -> Option<KeyIndex> {
        self.ids.find(self.hashes.of(id), |at| (slots.id(at) == id).then_some(at))
    }

    /// Notes the place of a digest, or says where it is already.
    pub(super) fn insert(&mut self, slots: &Slots, at: KeyIndex) -> Result<(), KeyIndex> {
        let Some(row) = slots.row(at) else { return Ok(()) };
        if let Some(first) = self.find(slots, &row.digest()) {
            return Err(first.at);
        }
        let Self { digests, hashes, .. } = self;
        note(digests, at, |at| hashes.of_digest_at(slots, at));
        Ok(())
    }

    /// Notes the place of an id, or says where it is already.
    pub(super) fn insert_id(&mut self, slots: &Slots, at: KeyIndex) -> Result<(), KeyIndex> {
        if let Some(first) = self.find_id(slots, slots.id(at)) {
            return Err(first);
        }
        let Self { ids, hashes, .. } = self;
        note(ids, at, |at| hashes.of_id_at(slots, at));
        Ok(())
    }

    /// Forgets the digest of a place. The slots are as they were when it was noted.
    pub(super) fn remove(&mut self, slots: &Slots, at: KeyIndex) {
        self.digests.remove(self.hashes.of_digest_at(slots, at), at);
    }

    /// Forgets the id of a place.
    pub(super) fn remove_id(&mut self, slots: &Slots, at: KeyIndex) {
        self.ids.remove(self.hashes.of_id_at(slots, at), at);
    }

    /// For how many digests there is room.
    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.digests.room()
    }

    /// Gives back what is left of a table that was much larger.
    pub(super) fn shrink(&mut self, slots: &Slots) {
        let Self { digests, ids, hashes } = self;
        if digests.is_sparse() {
            *digests = made_anew(digests, |at| hashes.of_digest_at(slots, at));
        }
        if ids.is_sparse() {
            *ids = made_anew(ids, |at| hashes.of_id_at(slots, at));
        }
    }
}

fn note(places: &mut Places, at: KeyIndex, hash: impl Fn(KeyIndex) -> u64) {
    if places.is_full() {
        *places = made_anew(places, &hash);
    }
    places.insert(hash(at), at);
}

/// The same places, with some room for more.
fn made_anew(places: &Places, hash: impl Fn(KeyIndex) -> u64) -> Places {
    let mut anew = Places::with_capacity(places.len() + places.len() / 8);
    for (number, at) in places.iter().enumerate() {
        if number.is_multiple_of(FEW) {
            clock::give_way();
        }
        anew.insert(hash(at), at);
    }
    anew.settle();
    anew
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// As digests do that somebody made up: all of an index would be moved for each of them.
    #[test]
    fn keys_that_all_belong_into_one_line_make_the_index_anew_a_few_times_only() {
        const KEYS: u32 = 2_000;
        let (mut places, hashed) = (Places::with_capacity(0), Cell::new(0));
        for number in 0..KEYS {
            note(&mut places, KeyIndex(number), |_| {
                hashed.set(hashed.get() + 1);
                7
            });
        }
        assert_eq!(places.len(), KEYS as usize);
        assert!(hashed.get() < 30 * KEYS, "{}", hashed.get());
        let last = KeyIndex(KEYS - 1);
        assert_eq!(places.find(7, |it| (it == last).then_some(it)), Some(last));
    }
}
