//! The immutable index from digest to key.
//!
//! A table is made of blocks, each in a slot of its own. The next table takes over the slots and
//! the index of the one before it and changes them only where a block came or went, so that to
//! change a file costs what that file holds.

mod build;
mod error;
mod index;
mod places;
mod slots;

use std::collections::HashSet;
use std::sync::Arc;

use super::block::MOST;
use super::block::Row;
use super::digest::KeyDigest;
use super::key::Key;
use super::owners::Owners;
use super::record::Account;
use super::record::KeyId;
use super::record::Origin;
use super::record::Permission;

pub use self::build::KeyTableBuilder;
pub use self::error::TableError;
use self::index::Found;
use self::index::Index;
pub(super) use self::slots::Placed;
use self::slots::Slots;

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

/// All keys and accounts of one load. Holds no digest twice and no key without its account.
#[derive(Debug, Default)]
pub struct KeyTable {
    slots: Slots,
    /// The slots in the order of the files.
    order: Vec<u32>,
    /// Those of them that hold keys.
    peopled: Vec<u32>,
    /// The accounts in the order of the files, and their slots.
    accounts: Vec<Arc<Account>>,
    account_slots: Vec<u32>,
    /// Whose keys these can be.
    owners: Owners,
    /// The positions of the accounts that are owners, by the numbers of these.
    positions: Vec<Position>,
    index: Index,
}

/// The position of an account, and beside it, so that nobody looks for it in the account, whether
/// that is disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position(u32);

/// The position of no account.
const NOBODY: Position = Position(u32::MAX);
const DISABLED: u32 = 1 << 31;

impl Position {
    fn new(at: usize, disabled: bool) -> Self {
        let at = u32::try_from(at).ok().filter(|at| *at < DISABLED - 1);
        at.map_or(NOBODY, |at| Self(if disabled { at | DISABLED } else { at }))
    }

    const fn at(self) -> usize {
        (self.0 & !DISABLED) as usize
    }

    const fn is_disabled(self) -> bool {
        self.0 & DISABLED != 0
    }
}

impl KeyTable {
    /// The key of a presented key's digest.
    #[must_use]
    pub fn find(&self, digest: &KeyDigest) -> Option<(KeyIndex, Key<'_>)> {
        let Found { at, placed, row } = self.index.find(&self.slots, digest)?;
        self.key_of(placed, row, at.row()).map(|key| (at, key))
    }

    /// Some key, for a digest that none has: to do with it what would be done with the right one.
    #[must_use]
    pub fn decoy(&self, digest: &KeyDigest) -> Option<(KeyIndex, Key<'_>)> {
        let at = self.index.near(digest).or_else(|| self.any(digest))?;
        let key = self.record(at)?;
        key.row.touch();
        Some((at, key))
    }

    /// A place that a digest draws.
    fn any(&self, digest: &KeyDigest) -> Option<KeyIndex> {
        let [random, _] = digest.ends();
        let pick = |of: usize, random: u64| {
            random.checked_rem(of as u64).and_then(|at| usize::try_from(at).ok())
        };
        let slot = *self.peopled.get(pick(self.peopled.len(), random >> 32)?)? as usize;
        let rows = self.slots.get(slot)?.rows.len();
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
    #[inline]
    pub fn record(&self, index: KeyIndex) -> Option<Key<'_>> {
        self.key(self.slots.get(index.slot())?, index.row())
    }

    /// The account of a key of this table.
    #[must_use]
    #[inline]
    pub fn account(&self, index: KeyIndex) -> Option<&Account> {
        self.accounts.get(self.account_position(index)?).map(|account| &**account)
    }

    /// The position of a key's account among [`KeyTable::accounts`].
    #[must_use]
    #[inline]
    pub fn account_position(&self, index: KeyIndex) -> Option<usize> {
        self.position(self.slots.row(index)?.owner()).map(Position::at)
    }

    /// Which of the lists of its slot is a key's own: its position in [`KeyTable::lists`].
    #[must_use]
    #[inline]
    pub fn list(&self, index: KeyIndex) -> Option<usize> {
        self.slots.row(index)?.rules()
    }

    /// How many keys there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is no key.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every key, in the order of the files.
    pub fn keys(&self) -> impl Iterator<Item = (KeyIndex, Key<'_>)> {
        self.order.iter().flat_map(|&slot| self.keys_in(slot as usize))
    }

    /// The keys that another table does not have word for word: those of blocks that are not shared.
    pub fn keys_beyond<'t>(&'t self, other: &Self) -> impl Iterator<Item = (KeyIndex, Key<'t>)> {
        let shared = other.slots.iter().map(|(_, placed)| Arc::as_ptr(&placed.block));
        let shared: HashSet<_> = shared.collect();
        let own = self.order.iter().map(|slot| *slot as usize).filter(move |slot| {
            let placed = self.slots.get(*slot);
            placed.is_some_and(|placed| !shared.contains(&Arc::as_ptr(&placed.block)))
        });
        own.flat_map(|slot| self.keys_in(slot))
    }

    /// Every account, in the order of the files.
    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.accounts.iter().map(|account| &**account)
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

    /// The lists of permissions that keys in a slot have, each once; some stand for keys that have
    /// other rules but no list.
    pub fn lists(&self, slot: usize) -> impl Iterator<Item = Option<Vec<Permission>>> {
        let block = self.slots.get(slot).map(|placed| &placed.block);
        let lists = block.map_or(0, |block| block.rules_len());
        (0..lists).map(move |at| block?.permissions_of(at))
    }

    /// For every key in a slot which of its lists is its own, and the position of its account.
    pub fn holders(&self, slot: usize) -> impl Iterator<Item = (Option<usize>, usize)> {
        let rows = self.slots.get(slot).into_iter().flat_map(|placed| placed.rows.iter());
        rows.filter_map(|row| Some((row.rules(), self.position(row.owner())?.at())))
    }

    /// Where an account stands.
    #[must_use]
    pub fn account_origin(&self, position: usize) -> Origin {
        let account = self.accounts.get(position);
        let slot = self.account_slots.get(position);
        let placed = slot.and_then(|slot| self.slots.get(*slot as usize));
        account.zip(placed).map_or_else(Origin::default, |(account, placed)| {
            let span = &account.origin.span;
            Origin { file: placed.file, span: span.start + placed.base..span.end + placed.base }
        })
    }

    fn keys_in(&self, slot: usize) -> impl Iterator<Item = (KeyIndex, Key<'_>)> {
        let placed = self.slots.get(slot);
        let rows = placed.map_or(0, |placed| placed.rows.len());
        (0..rows).filter_map(move |row| {
            self.key(placed?, row).map(|key| (KeyIndex::new(slot, row), key))
        })
    }

    #[inline]
    fn key<'t>(&'t self, placed: &'t Placed, at: usize) -> Option<Key<'t>> {
        self.key_of(placed, placed.rows.get(at)?, at)
    }

    #[inline]
    fn key_of<'t>(&'t self, placed: &'t Placed, row: Row<'t>, at: usize) -> Option<Key<'t>> {
        let position = self.position(row.owner())?;
        // Where the account is, but not yet what stands there: few ask.
        let account = self.accounts.get(position.at())?;
        Some(Key { placed, row, at, account, disabled: position.is_disabled() })
    }

    /// The position of an owner's account, if it has one.
    #[inline]
    fn position(&self, owner: u32) -> Option<Position> {
        self.positions.get(owner as usize).copied().filter(|position| *position != NOBODY)
    }
}

#[cfg(test)]
mod tests;
