//! From the sheets of all files to one table, from nothing or upon the table before.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::Index;
use super::KeyIndex;
use super::KeyTable;
use super::Placed;
use super::error::TableError;
use crate::clock;
use crate::keys::block::Block;
use crate::keys::block::MOST;
use crate::keys::block::Row;
use crate::keys::file::KeyFile;
use crate::keys::record::Account;
use crate::keys::record::AccountId;
use crate::keys::record::KeyId;
use crate::keys::record::KeyRecord;
use crate::keys::record::Name;
use crate::keys::record::Origin;
use crate::keys::sheet::Sheet;

/// How many errors come with the name that was probably meant.
const HINTED: usize = 100;
/// How many keys go into the index, or leave it, at a stretch.
const FEW: usize = 16;

/// Collects the sheets of all files.
#[derive(Clone, Debug, Default)]
pub struct KeyTableBuilder {
    sheets: Vec<Arc<Sheet>>,
}

impl KeyTableBuilder {
    /// Adds the contents of one file.
    pub fn add(
        &mut self,
        accounts: impl IntoIterator<Item = Account>,
        keys: impl IntoIterator<Item = KeyRecord>,
    ) {
        let (accounts, keys) = (accounts.into_iter().collect(), keys.into_iter().collect());
        self.add_sheet(Arc::new(Sheet::of(&KeyFile { accounts, keys, ..KeyFile::default() })));
    }

    /// Adds one file.
    pub fn add_sheet(&mut self, sheet: Arc<Sheet>) {
        self.sheets.push(sheet);
    }

    /// Makes the table, or says everything that stands against it.
    ///
    /// # Errors
    /// Duplicate ids, duplicate digests, keys without an account.
    pub fn build(self) -> Result<KeyTable, Vec<TableError>> {
        Making::new(&self.sheets, None).finish()
    }

    /// The same upon a table that has much in common with it.
    ///
    /// # Errors
    /// As [`KeyTableBuilder::build`].
    pub fn build_upon(self, before: &KeyTable) -> Result<KeyTable, Vec<TableError>> {
        // Which of two records came first only a walk over all of them tells.
        Making::new(&self.sheets, Some(before)).finish().or_else(|_| self.build())
    }
}

struct Making {
    table: KeyTable,
    /// The slots whose keys are not in the index yet.
    new: Vec<u32>,
    accounts: HashMap<AccountId, u32>,
    errors: Vec<TableError>,
    /// Whether any key belongs to an account that there is not.
    orphans: bool,
    /// The ids of the accounts of the table before, in their order, if there was one.
    known: Option<Vec<AccountId>>,
}

impl Making {
    fn new(sheets: &[Arc<Sheet>], before: Option<&KeyTable>) -> Self {
        let parts = sheets.iter().enumerate().flat_map(|(file, sheet)| {
            sheet.parts().iter().map(move |(base, block)| (file, *base, block))
        });
        let keys = || sheets.iter().flat_map(|sheet| sheet.parts()).map(|(_, it)| it.rows().len());
        let mut this = Self {
            table: KeyTable::default(),
            new: Vec::new(),
            accounts: HashMap::new(),
            errors: Vec::new(),
            orphans: false,
            known: before.map(|before| before.accounts().map(|it| it.id.clone()).collect()),
        };
        match before {
            None => {
                this.table.index = Index::with_capacity(keys().sum());
                parts.for_each(|(file, base, block)| this.place(file, base, block));
            }
            Some(before) => this.take_over(parts, before),
        }
        this
    }

    /// Leaves every block where it was before.
    fn take_over<'s>(
        &mut self,
        parts: impl Iterator<Item = (usize, usize, &'s Arc<Block>)>,
        before: &KeyTable,
    ) {
        let mut old: HashMap<*const Block, Vec<u32>> = HashMap::new();
        for &slot in before.order.iter().rev() {
            if let Some(Some(placed)) = before.slots.get(slot as usize) {
                old.entry(Arc::as_ptr(&placed.block)).or_default().push(slot);
            }
        }
        self.table.index = before.index.clone();
        self.table.slots = before.slots.clone();
        let mut known = Vec::new();
        for (file, base, block) in parts {
            let slot = old.get_mut(&Arc::as_ptr(block)).and_then(Vec::pop);
            known.push((file, base, block, slot));
        }
        for slot in old.into_values().flatten() {
            clock::give_way();
            self.clear(slot);
        }
        for (file, base, block, slot) in known {
            clock::give_way();
            match slot.and_then(|slot| Some((slot, self.table.slots.get_mut(slot as usize)?))) {
                Some((slot, Some(placed))) => {
                    (placed.file, placed.base) = (file, base);
                    self.order(slot, block);
                }
                _ => self.place(file, base, block),
            }
        }
    }

    /// Takes a block out.
    fn clear(&mut self, slot: u32) {
        let slot = slot as usize;
        let placed = self.table.slots.get(slot).and_then(Option::as_ref);
        for row in 0..placed.map_or(0, |placed| placed.block.rows().len()) {
            if row.is_multiple_of(FEW) {
                clock::give_way();
            }
            self.table.index.remove(&self.table.slots, KeyIndex::new(slot, row));
        }
        if let Some(placed) = self.table.slots.get_mut(slot) {
            *placed = None;
        }
    }

    /// Puts a block into a slot that is empty.
    fn place(&mut self, file: usize, base: usize, block: &Arc<Block>) {
        let placed = Placed { block: Arc::clone(block), file, base, owners: Arc::new([]) };
        let slots = &mut self.table.slots;
        let free = self.new.last().map_or(0, |last| *last as usize + 1);
        let empty = slots.iter().skip(free).position(Option::is_none).map(|at| at + free);
        let slot = empty.unwrap_or(slots.len());
        match slots.get_mut(slot) {
            Some(slot) => *slot = Some(placed),
            None => slots.push(Some(placed)),
        }
        let slot = u32::try_from(slot).unwrap_or(u32::MAX);
        self.new.push(slot);
        self.order(slot, block);
    }

    fn order(&mut self, slot: u32, block: &Block) {
        self.table.order.push(slot);
        if !block.rows().is_empty() {
            self.table.peopled.push(slot);
        }
    }

    fn finish(mut self) -> Result<KeyTable, Vec<TableError>> {
        if self.table.slots.len() > u32::MAX as usize / MOST {
            return Err(vec![TableError::TooMany]);
        }
        self.number_accounts();
        // Where the same accounts have the same positions, blocks that were there have their owners.
        let accounts = |known| self.table.accounts().map(|account| &account.id).eq(known);
        let lacking = match self.known.as_ref().is_some_and(accounts) {
            true => self.new.clone(),
            false => self.table.order.clone(),
        };
        for slot in lacking {
            clock::give_way();
            self.find_owners(slot as usize);
        }
        self.new.sort_unstable_by_key(|slot| {
            self.table
                .slots
                .get(*slot as usize)
                .and_then(Option::as_ref)
                .map(|it| (it.file, it.base))
        });
        for slot in std::mem::take(&mut self.new) {
            clock::give_way();
            self.index(slot as usize);
        }
        let sound = self.errors.is_empty() && !self.orphans;
        if sound { Ok(self.table) } else { Err(self.errors) }
    }

    /// Gives every account its position.
    fn number_accounts(&mut self) {
        let Self { table, accounts, errors, .. } = self;
        for &slot in &table.order {
            clock::give_way();
            let Some(Some(placed)) = table.slots.get(slot as usize) else { continue };
            for (at, account) in placed.block.accounts().iter().enumerate() {
                let position = u32::try_from(table.accounts.len()).unwrap_or(u32::MAX);
                table.accounts.push((slot, u32::try_from(at).unwrap_or(u32::MAX)));
                if let Some(first) = accounts.insert(account.id.clone(), position) {
                    errors.push(TableError::DuplicateAccount {
                        id: account.id.clone(),
                        first: table.account_origin(first as usize),
                        second: table.account_origin(position as usize),
                    });
                }
            }
        }
    }

    /// Finds the accounts that the keys in a slot belong to.
    fn find_owners(&mut self, slot: usize) {
        let Some(Some(placed)) = self.table.slots.get_mut(slot) else { return };
        let owners = (0..placed.block.owners()).map(|at| {
            let id = placed.block.owner(at);
            self.accounts.get(id.as_bytes()).copied().unwrap_or(NOBODY)
        });
        placed.owners = owners.collect();
        self.orphans |= placed.owners.contains(&NOBODY);
    }

    /// Puts the keys in a slot into the index.
    fn index(&mut self, slot: usize) {
        let Self { table, accounts, errors, .. } = self;
        let Some(Some(placed)) = table.slots.get(slot) else { return };
        for (row, key) in placed.block.rows().iter().enumerate() {
            if row.is_multiple_of(FEW) {
                clock::give_way();
            }
            let at = KeyIndex::new(slot, row);
            if let Err(first) = table.index.insert_id(&table.slots, at) {
                errors.push(TableError::DuplicateId {
                    id: placed.block.name(key),
                    first: table.origin(first),
                    second: table.origin(at),
                });
            }
            match table.index.insert(&table.slots, at) {
                Err(first) if table.id(first) != table.id(at) => {
                    errors.push(TableError::DuplicateDigest {
                        first_id: table.id(first),
                        second_id: table.id(at),
                        first: table.origin(first),
                        second: table.origin(at),
                    });
                }
                Ok(()) | Err(_) => {}
            }
            if placed.owners.get(key.owner()).is_none_or(|owner| *owner == NOBODY) {
                // Looking for what was meant takes a walk over all accounts: not for every record.
                let wanted = errors.len() < HINTED;
                let account = placed.block.owner_name(key.owner());
                let known = accounts.keys().filter(|_| wanted);
                errors.push(TableError::UnknownAccount {
                    id: placed.block.name(key),
                    nearest: nearest(&account, known),
                    account,
                    origin: table.origin(at),
                });
            }
        }
    }
}

/// The position of no account.
const NOBODY: u32 = u32::MAX;

impl KeyTable {
    fn id(&self, at: KeyIndex) -> KeyId {
        let row = self.row(at);
        row.map_or_else(|| Name::shared(Bytes::new()), |(placed, row)| placed.block.name(row))
    }

    fn origin(&self, at: KeyIndex) -> Origin {
        let Some((placed, row)) = self.row(at) else { return Origin::default() };
        let Placed { file, base, .. } = *placed;
        let span = Block::span(row);
        Origin { file, span: span.start + base..span.end + base }
    }

    fn row(&self, at: KeyIndex) -> Option<(&Placed, &Row)> {
        let placed = self.slots.get(at.slot())?.as_ref()?;
        placed.block.rows().get(at.row()).map(|row| (placed, row))
    }
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
