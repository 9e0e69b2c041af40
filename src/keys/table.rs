//! The immutable index from digest to record.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashTable;
use thiserror::Error;

use super::digest::KeyDigest;
use super::record::{Account, AccountId, KeyId, KeyRecord, Origin};

/// The position of a record in its table. Means nothing in another table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyIndex(u32);

impl KeyIndex {
    /// The position, for tables that run parallel to this one.
    #[must_use]
    pub const fn position(self) -> usize {
        self.0 as usize
    }
}

/// Why records cannot form a table.
#[derive(Debug, Error)]
pub enum TableError {
    /// Two records of one id.
    #[error("key `{id}` is defined twice")]
    DuplicateId {
        /// The id.
        id: KeyId,
        /// The record that came first.
        first: Origin,
        /// The record that repeats it.
        second: Origin,
    },
    /// Two records of one digest: the same key would be two.
    #[error("keys `{first_id}` and `{second_id}` have the same digest")]
    DuplicateDigest {
        /// The first one's id.
        first_id: KeyId,
        /// The second one's id.
        second_id: KeyId,
        /// The record that came first.
        first: Origin,
        /// The record that repeats it.
        second: Origin,
    },
    /// Two accounts of one id.
    #[error("account `{id}` is defined twice")]
    DuplicateAccount {
        /// The id.
        id: AccountId,
        /// The account that came first.
        first: Origin,
        /// The one that repeats it.
        second: Origin,
    },
    /// A key of an account that no file defines.
    #[error("key `{id}` belongs to account `{account}`, which does not exist")]
    UnknownAccount {
        /// The key.
        id: KeyId,
        /// The account that is missing.
        account: AccountId,
        /// The nearest name among those that exist.
        nearest: Option<AccountId>,
        /// The record.
        origin: Origin,
    },
}

/// How many errors come with the name that was probably meant.
const HINTED: usize = 100;

/// Collects accounts and records of all files.
#[derive(Debug, Default)]
pub struct KeyTableBuilder {
    accounts: Vec<Account>,
    keys: Vec<KeyRecord>,
}

impl KeyTableBuilder {
    /// Adds the contents of one file.
    pub fn add(
        &mut self,
        accounts: impl IntoIterator<Item = Account>,
        keys: impl IntoIterator<Item = KeyRecord>,
    ) {
        self.accounts.extend(accounts);
        self.keys.extend(keys);
    }

    /// Makes the table, or says everything that stands against it.
    ///
    /// # Errors
    /// Duplicate ids, duplicate digests, keys without an account.
    pub fn build(self) -> Result<KeyTable, Vec<TableError>> {
        let mut errors = Vec::new();
        let accounts = index_accounts(&self.accounts, &mut errors);
        let mut account_of = Vec::with_capacity(self.keys.len());
        let mut by_digest: HashTable<u32> = HashTable::with_capacity(self.keys.len());
        let mut by_id = IdIndex::with_capacity(self.keys.len());
        for (position, record) in self.keys.iter().enumerate() {
            let index = u32::try_from(position).unwrap_or(u32::MAX);
            if let Err(first) = by_id.insert(&self.keys, index, &record.id) {
                errors.push(TableError::DuplicateId {
                    id: record.id.clone(),
                    first: first.origin.clone(),
                    second: record.origin.clone(),
                });
            }
            match find(&by_digest, &self.keys, &record.digest) {
                Some((_, first)) if first.id != record.id => {
                    errors.push(TableError::DuplicateDigest {
                        first_id: first.id.clone(),
                        second_id: record.id.clone(),
                        first: first.origin.clone(),
                        second: record.origin.clone(),
                    });
                }
                Some(_) => {}
                None => {
                    by_digest.insert_unique(record.digest.bucket(), index, |&at| {
                        self.keys.get(at as usize).map_or(0, |record| record.digest.bucket())
                    });
                }
            }
            account_of.push(accounts.get(&record.account).copied().unwrap_or_else(|| {
                // Looking for what was meant takes a walk over all accounts: not for every record.
                let wanted = errors.len() < HINTED;
                let known = self.accounts.iter().filter(|_| wanted).map(|account| &account.id);
                errors.push(TableError::UnknownAccount {
                    id: record.id.clone(),
                    account: record.account.clone(),
                    nearest: nearest(&record.account, known),
                    origin: record.origin.clone(),
                });
                0
            }));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(KeyTable { accounts: self.accounts, keys: self.keys, account_of, by_digest, by_id })
    }
}

/// Positions of records, by their ids.
#[derive(Debug, Default)]
struct IdIndex {
    positions: HashTable<u32>,
    hasher: RandomState,
}

impl IdIndex {
    fn with_capacity(capacity: usize) -> Self {
        Self { positions: HashTable::with_capacity(capacity), hasher: RandomState::new() }
    }

    /// Notes a position, or gives the record that has the id already.
    fn insert<'k>(
        &mut self,
        keys: &'k [KeyRecord],
        index: u32,
        id: &KeyId,
    ) -> Result<(), &'k KeyRecord> {
        if let Some((_, first)) = self.find(keys, id) {
            return Err(first);
        }
        let Self { positions, hasher } = self;
        positions.insert_unique(hasher.hash_one(id), index, |&at| {
            keys.get(at as usize).map_or(0, |record| hasher.hash_one(&record.id))
        });
        Ok(())
    }

    fn find<'k>(&self, keys: &'k [KeyRecord], id: &KeyId) -> Option<(KeyIndex, &'k KeyRecord)> {
        let same = |at: &u32| keys.get(*at as usize).is_some_and(|record| record.id == *id);
        let at = self.positions.find(self.hasher.hash_one(id), same)?;
        Some((KeyIndex(*at), keys.get(*at as usize)?))
    }
}

fn index_accounts(accounts: &[Account], errors: &mut Vec<TableError>) -> HashMap<AccountId, u32> {
    let mut index: HashMap<AccountId, u32> = HashMap::with_capacity(accounts.len());
    for (position, account) in accounts.iter().enumerate() {
        let position = u32::try_from(position).unwrap_or(u32::MAX);
        if let Some(first) = index.insert(account.id.clone(), position) {
            errors.push(TableError::DuplicateAccount {
                id: account.id.clone(),
                first: accounts.get(first as usize).map(|a| a.origin.clone()).unwrap_or_default(),
                second: account.origin.clone(),
            });
        }
    }
    index
}

fn nearest<'a>(
    wanted: &AccountId,
    known: impl Iterator<Item = &'a AccountId>,
) -> Option<AccountId> {
    known
        .map(|id| (strsim::osa_distance(id.as_str(), wanted.as_str()), id))
        .min()
        .filter(|(distance, _)| *distance <= 3)
        .map(|(_, id)| id.clone())
}

fn find<'t>(
    index: &HashTable<u32>,
    keys: &'t [KeyRecord],
    digest: &KeyDigest,
) -> Option<(KeyIndex, &'t KeyRecord)> {
    let at = index.find(digest.bucket(), |&at| {
        keys.get(at as usize).is_some_and(|record| record.digest.matches(digest))
    })?;
    keys.get(*at as usize).map(|record| (KeyIndex(*at), record))
}

/// All keys and accounts of one load. Holds no digest twice and no key without its account.
#[derive(Debug, Default)]
pub struct KeyTable {
    accounts: Vec<Account>,
    keys: Vec<KeyRecord>,
    account_of: Vec<u32>,
    by_digest: HashTable<u32>,
    by_id: IdIndex,
}

impl KeyTable {
    /// The record of a presented key's digest.
    #[must_use]
    pub fn find(&self, digest: &KeyDigest) -> Option<(KeyIndex, &KeyRecord)> {
        find(&self.by_digest, &self.keys, digest)
    }

    /// Some record, for a digest that none has: to do with it what would be done with the right one.
    #[must_use]
    pub fn decoy(&self, digest: &KeyDigest) -> Option<(KeyIndex, &KeyRecord)> {
        let at = digest.bucket().checked_rem(self.keys.len() as u64)?;
        let at = u32::try_from(at).ok()?;
        self.keys.get(at as usize).map(|record| (KeyIndex(at), record))
    }

    /// The record of an id: what a token names.
    #[must_use]
    pub fn find_id(&self, id: &KeyId) -> Option<(KeyIndex, &KeyRecord)> {
        self.by_id.find(&self.keys, id)
    }

    /// The record at a position of this table.
    #[must_use]
    pub fn record(&self, index: KeyIndex) -> Option<&KeyRecord> {
        self.keys.get(index.position())
    }

    /// The account of a key of this table.
    #[must_use]
    pub fn account(&self, index: KeyIndex) -> Option<&Account> {
        self.account_of.get(index.position()).and_then(|&at| self.accounts.get(at as usize))
    }

    /// Every key, in the order of the files.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = (KeyIndex, &KeyRecord)> {
        self.keys
            .iter()
            .enumerate()
            .map(|(at, record)| (KeyIndex(u32::try_from(at).unwrap_or(u32::MAX)), record))
    }

    /// Every account, in the order of the files.
    #[must_use]
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }
}
