//! The immutable index from digest to key.
//!
//! A table is made of blocks, each in a slot of its own. The next table takes over the slots and
//! the index of the one before it and changes them only where a block came or went, so that to
//! change a file costs what that file holds.

mod build;
mod error;
mod index;

use std::collections::HashSet;
use std::sync::Arc;

use super::block::Block;
use super::block::MOST;
use super::digest::KeyDigest;
use super::key::Key;
use super::record::Account;
use super::record::KeyId;
use super::record::Origin;
use super::record::Permission;

pub use self::build::KeyTableBuilder;
pub use self::error::TableError;
use self::index::Index;

/// The place of a key in its table. Means nothing in another table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyIndex(u32);

impl KeyIndex {
    /// The place of a row of the block in a slot.
    fn new(slot: usize, row: usize) -> Self {
        Self(u32::try_from(slot * MOST + row).unwrap_or(u32::MAX))
    }

    /// The slot, for what runs parallel to the table.
    #[must_use]
    pub const fn slot(self) -> usize {
        self.0 as usize / MOST
    }

    /// The position among the keys of the slot.
    #[must_use]
    pub const fn row(self) -> usize {
        self.0 as usize % MOST
    }
}

/// A block, and where it stands in this table.
#[derive(Clone, Debug)]
struct Placed {
    block: Arc<Block>,
    file: usize,
    /// Where in the file it begins.
    base: usize,
    /// The positions of the accounts that its keys belong to.
    owners: Arc<[u32]>,
}

/// All keys and accounts of one load. Holds no digest twice and no key without its account.
#[derive(Debug, Default)]
pub struct KeyTable {
    slots: Vec<Option<Placed>>,
    /// The slots in the order of the files.
    order: Vec<u32>,
    /// Those of them that hold keys.
    peopled: Vec<u32>,
    /// The accounts in the order of the files: their slots, and their positions there.
    accounts: Vec<(u32, u32)>,
    index: Index,
}

impl KeyTable {
    /// The key of a presented key's digest.
    #[must_use]
    pub fn find(&self, digest: &KeyDigest) -> Option<(KeyIndex, Key<'_>)> {
        let at = self.index.find(&self.slots, digest)?;
        self.record(at).map(|key| (at, key))
    }

    /// Some key, for a digest that none has: to do with it what would be done with the right one.
    #[must_use]
    pub fn decoy(&self, digest: &KeyDigest) -> Option<(KeyIndex, Key<'_>)> {
        let at = self.index.near(digest).or_else(|| self.any(digest))?;
        self.record(at).map(|key| (at, key))
    }

    /// A place that a digest draws.
    fn any(&self, digest: &KeyDigest) -> Option<KeyIndex> {
        let random = digest.bucket();
        let pick = |of: usize, random: u64| {
            random.checked_rem(of as u64).and_then(|at| usize::try_from(at).ok())
        };
        let slot = *self.peopled.get(pick(self.peopled.len(), random >> 32)?)? as usize;
        let rows = self.slots.get(slot)?.as_ref()?.block.rows().len();
        Some(KeyIndex::new(slot, pick(rows, random & u64::from(u32::MAX))?))
    }

    /// The key of an id: what a token names.
    #[must_use]
    pub fn find_id(&self, id: &KeyId) -> Option<(KeyIndex, Key<'_>)> {
        let at = self.index.find_id(&self.slots, id.as_str())?;
        self.record(at).map(|key| (at, key))
    }

    /// The key at a place of this table.
    #[must_use]
    pub fn record(&self, index: KeyIndex) -> Option<Key<'_>> {
        let placed = self.slots.get(index.slot())?.as_ref()?;
        self.key(placed, index.row())
    }

    /// The account of a key of this table.
    #[must_use]
    pub fn account(&self, index: KeyIndex) -> Option<&Account> {
        let placed = self.slots.get(index.slot())?.as_ref()?;
        let row = placed.block.rows().get(index.row())?;
        self.account_at(*placed.owners.get(row.owner())? as usize)
    }

    /// The position of a key's account among [`KeyTable::accounts`].
    #[must_use]
    pub fn account_position(&self, index: KeyIndex) -> Option<usize> {
        let placed = self.slots.get(index.slot())?.as_ref()?;
        let row = placed.block.rows().get(index.row())?;
        placed.owners.get(row.owner()).map(|at| *at as usize)
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every key, in the order of the files.
    pub fn keys(&self) -> impl Iterator<Item = (KeyIndex, Key<'_>)> {
        self.order.iter().flat_map(|&slot| self.keys_in(slot as usize))
    }

    /// The keys that another table does not have word for word: those of blocks that are not shared.
    pub fn keys_beyond<'t>(&'t self, other: &Self) -> impl Iterator<Item = (KeyIndex, Key<'t>)> {
        let shared = other.slots.iter().flatten().map(|placed| Arc::as_ptr(&placed.block));
        let shared: HashSet<_> = shared.collect();
        let own = self.order.iter().map(|slot| *slot as usize).filter(move |slot| {
            let placed = self.slots.get(*slot).and_then(Option::as_ref);
            placed.is_some_and(|placed| !shared.contains(&Arc::as_ptr(&placed.block)))
        });
        own.flat_map(|slot| self.keys_in(slot))
    }

    /// Every account, in the order of the files.
    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        (0..self.accounts.len()).filter_map(|position| self.account_at(position))
    }

    /// How many accounts there are.
    #[must_use]
    pub const fn accounts_len(&self) -> usize {
        self.accounts.len()
    }

    /// How many slots there are, some of which may be empty.
    #[must_use]
    pub const fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The lists of permissions that keys in a slot have, where any has one.
    #[must_use]
    pub fn lists(&self, slot: usize) -> Option<Lists<'_>> {
        let placed = self.slots.get(slot)?.as_ref()?;
        let lists = (0..placed.block.rules_len()).map(|at| placed.block.permissions_of(at));
        let lists: Vec<_> = lists.collect();
        lists.iter().any(Option::is_some).then_some(Lists { placed, lists })
    }

    fn keys_in(&self, slot: usize) -> impl Iterator<Item = (KeyIndex, Key<'_>)> {
        let placed = self.slots.get(slot).and_then(Option::as_ref);
        let rows = placed.map_or(0, |placed| placed.block.rows().len());
        (0..rows).filter_map(move |row| {
            self.key(placed?, row).map(|key| (KeyIndex::new(slot, row), key))
        })
    }

    fn key<'t>(&'t self, placed: &'t Placed, at: usize) -> Option<Key<'t>> {
        let Placed { block, file, base, owners } = placed;
        let row = block.rows().get(at)?;
        let account = self.account_at(*owners.get(row.owner())? as usize)?;
        Some(Key { block, row, at, account: &account.id, file: *file, base: *base })
    }

    fn account_at(&self, position: usize) -> Option<&Account> {
        self.placed_account(position).map(|(_, account)| account)
    }

    /// Where an account stands.
    #[must_use]
    pub fn account_origin(&self, position: usize) -> Origin {
        self.placed_account(position).map_or_else(Origin::default, |(placed, account)| {
            let span = &account.origin.span;
            Origin { file: placed.file, span: span.start + placed.base..span.end + placed.base }
        })
    }

    fn placed_account(&self, position: usize) -> Option<(&Placed, &Account)> {
        let (slot, at) = self.accounts.get(position)?;
        let placed = self.slots.get(*slot as usize)?.as_ref()?;
        placed.block.accounts().get(*at as usize).map(|account| (placed, account))
    }
}

/// The lists of permissions of the keys in a slot.
#[derive(Debug)]
pub struct Lists<'t> {
    placed: &'t Placed,
    lists: Vec<Option<Vec<Permission>>>,
}

impl Lists<'_> {
    /// Every list once; some stand for keys that have other rules but no list.
    #[must_use]
    pub fn distinct(&self) -> &[Option<Vec<Permission>>] {
        &self.lists
    }

    /// For every key which of them is its own, and the position of its account.
    pub fn of_keys(&self) -> impl ExactSizeIterator<Item = (Option<usize>, usize)> {
        self.placed.block.rows().iter().map(|row| {
            let account = self.placed.owners.get(row.owner());
            (row.rules(), account.map_or(0, |at| *at as usize))
        })
    }
}
