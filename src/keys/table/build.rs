//! From the sheets of all files to one table, from nothing or upon the table before.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::Index;
use super::KeyIndex;
use super::KeyTable;
use super::NOBODY;
use super::Placed;
use super::Position;
use super::error::TableError;
use crate::clock;
use crate::keys::block::Block;
use crate::keys::block::MOST;
use crate::keys::file::KeyFile;
use crate::keys::owners::Owners;
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
    owners: Owners,
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
        let file = KeyFile { accounts, keys, ..KeyFile::default() };
        self.sheets.push(Arc::new(Sheet::owned_by(&self.owners, &file)));
    }

    /// Adds one file.
    pub fn add_sheet(&mut self, sheet: Arc<Sheet>) {
        if self.sheets.is_empty() {
            self.owners = sheet.owners().clone();
        }
        // What means something else by its numbers than the others do says it by theirs.
        let same = sheet.owners().are(&self.owners);
        self.sheets.push(if same { sheet } else { Arc::new(sheet.renumbered(&self.owners)) });
    }

    /// Makes the table, or says everything that stands against it.
    ///
    /// # Errors
    /// Duplicate ids, duplicate digests, keys without an account.
    pub fn build(self) -> Result<KeyTable, Vec<TableError>> {
        Making::new(&self, None).finish()
    }

    /// The same upon a table that has much in common with it.
    ///
    /// # Errors
    /// As [`KeyTableBuilder::build`].
    pub fn build_upon(self, before: &KeyTable) -> Result<KeyTable, Vec<TableError>> {
        // Which of two records came first only a walk over all of them tells.
        Making::new(&self, Some(before)).finish().or_else(|_| self.build())
    }
}

/// A block, the file that it stands in, and where.
type Part<'s> = (usize, usize, &'s Arc<Block>);

struct Making<'b> {
    table: KeyTable,
    before: Option<&'b KeyTable>,
    /// The keys that are not in the index yet: a slot, and which of its rows are what they were in
    /// the table before.
    new: Vec<(u32, Same)>,
    errors: Vec<TableError>,
    /// Whether any key belongs to an account that there is not.
    orphans: bool,
}

/// Of which rows of a block the index knows the place already, since a row that says the same stood
/// there.
#[derive(Default)]
struct Same {
    digests: Vec<bool>,
    ids: Vec<bool>,
}

fn among(rows: &[bool], row: usize) -> bool {
    rows.get(row).copied().unwrap_or(false)
}

impl<'b> Making<'b> {
    fn new(builder: &KeyTableBuilder, before: Option<&'b KeyTable>) -> Self {
        let sheets = &builder.sheets;
        let parts = sheets.iter().enumerate().flat_map(|(file, sheet)| {
            sheet.parts().iter().map(move |(base, block)| (file, *base, block))
        });
        let keys = || sheets.iter().flat_map(|sheet| sheet.parts()).map(|(_, it)| it.rows().len());
        let table = KeyTable { owners: builder.owners.clone(), ..KeyTable::default() };
        let mut this = Self { table, before, new: Vec::new(), errors: Vec::new(), orphans: false };
        match before {
            None => {
                this.table.index = Index::with_capacity(keys().sum());
                parts.enumerate().for_each(|(slot, part)| this.place(slot, part, Same::default()));
            }
            Some(before) => this.take_over(parts, before),
        }
        this
    }

    /// Leaves every block where it was before.
    fn take_over<'s>(&mut self, parts: impl Iterator<Item = Part<'s>>, before: &KeyTable) {
        let mut old: HashMap<*const Block, Vec<u32>> = HashMap::new();
        for &slot in before.order.iter().rev() {
            if let Some(placed) = before.slots.get(slot as usize) {
                old.entry(Arc::as_ptr(&placed.block)).or_default().push(slot);
            }
        }
        self.table.index = before.index.clone();
        self.table.slots = before.slots.clone();
        let mut known = Vec::new();
        for part in parts {
            known.push((part, old.get_mut(&Arc::as_ptr(part.2)).and_then(Vec::pop)));
        }
        // What comes takes the places of what goes: most of it is often the same.
        let mut gone: Vec<u32> = old.into_values().flatten().collect();
        gone.sort_unstable();
        let mut gone = gone.into_iter();
        let mut free = 0;
        for (part, slot) in known {
            clock::give_way();
            if let Some(slot) = slot {
                self.keep(slot, part);
            } else if let Some(slot) = gone.next() {
                let same = self.clear(slot, Some(part.2));
                self.place(slot as usize, part, same);
            } else {
                free = self.table.slots.free(free);
                self.place(free, part, Same::default());
            }
        }
        for slot in gone {
            clock::give_way();
            self.clear(slot, None);
            self.table.slots.set(slot as usize, None);
        }
    }

    /// Leaves a block in its slot.
    fn keep(&mut self, slot: u32, (file, base, block): Part<'_>) {
        if let Some(placed) = self.table.slots.get_mut(slot as usize) {
            (placed.file, placed.base) = (file, base);
        }
        self.order(slot, block);
    }

    /// Takes the keys of a block out of the index, but for those whose places will be the same.
    fn clear(&mut self, slot: u32, next: Option<&Arc<Block>>) -> Same {
        let slot = slot as usize;
        let mut same = Same::default();
        let Some(placed) = self.table.slots.get(slot) else { return same };
        for (row, old) in placed.rows.iter().enumerate() {
            if row.is_multiple_of(FEW) {
                clock::give_way();
            }
            let new = next.and_then(|next| Some((next, next.rows().get(row)?)));
            let digest = new.is_some_and(|(_, new)| new.digest().matches(&old.digest()));
            let id = new.is_some_and(|(next, new)| next.id(new) == placed.block.id(old));
            let at = KeyIndex::new(slot, row);
            if !digest {
                self.table.index.remove(&self.table.slots, at);
            }
            if !id {
                self.table.index.remove_id(&self.table.slots, at);
            }
            same.digests.push(digest);
            same.ids.push(id);
        }
        same
    }

    /// Puts a block into a slot.
    fn place(&mut self, slot: usize, (file, base, block): Part<'_>, same: Same) {
        let (rows, block) = (block.rows().clone(), Arc::clone(block));
        let number = u32::try_from(slot).unwrap_or(u32::MAX);
        self.order(number, &block);
        self.table.slots.set(slot, Some(Placed { rows, block, file, base }));
        self.new.push((number, same));
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
        if self.has_lost_accounts() {
            for slot in self.table.order.clone() {
                clock::give_way();
                self.orphans |= self.has_orphans(slot as usize);
            }
        }
        for (slot, same) in std::mem::take(&mut self.new) {
            self.index(slot as usize, &same);
        }
        self.table.index.shrink(&self.table.slots);
        let sound = self.errors.is_empty() && !self.orphans;
        if sound { Ok(self.table) } else { Err(self.errors) }
    }

    /// Gives every account its position.
    fn number_accounts(&mut self) {
        let Self { table, errors, .. } = self;
        for &slot in &table.order {
            clock::give_way();
            let Some(placed) = table.slots.get(slot as usize) else { continue };
            for account in placed.block.accounts() {
                let position = Position::new(table.accounts.len(), account.disabled);
                table.accounts.push(Arc::clone(account));
                table.account_slots.push(slot);
                let owner = table.owners.number(account.id.as_str()) as usize;
                if owner >= table.positions.len() {
                    table.positions.resize(owner + 1, NOBODY);
                }
                let Some(known) = table.positions.get_mut(owner) else { continue };
                let first = std::mem::replace(known, position);
                if first != NOBODY {
                    errors.push(TableError::DuplicateAccount {
                        id: account.id.clone(),
                        first: table.account_origin(first.at()),
                        second: table.account_origin(position.at()),
                    });
                }
            }
        }
    }

    /// Whether keys that had an account in the table before may have none in this one.
    fn has_lost_accounts(&self) -> bool {
        let Some(before) = self.before else { return false };
        let owned = before.positions.iter().enumerate().filter(|(_, was)| **was != NOBODY);
        let lost = |owner: usize| self.table.positions.get(owner).is_none_or(|is| *is == NOBODY);
        !before.owners.are(&self.table.owners) || owned.into_iter().any(|(owner, _)| lost(owner))
    }

    fn has_orphans(&self, slot: usize) -> bool {
        let placed = self.table.slots.get(slot);
        let mut rows = placed.into_iter().flat_map(|placed| placed.rows.iter());
        rows.any(|row| self.table.position(row.owner()).is_none())
    }

    /// Puts the keys in a slot into the index.
    fn index(&mut self, slot: usize, same: &Same) {
        let Self { table, errors, .. } = self;
        let Some(placed) = table.slots.get(slot) else { return };
        for (row, key) in placed.rows.iter().enumerate() {
            if row.is_multiple_of(FEW) {
                clock::give_way();
            }
            let at = KeyIndex::new(slot, row);
            if !among(&same.ids, row)
                && let Err(first) = table.index.insert_id(&table.slots, at)
            {
                errors.push(table.same_id(first, at));
            }
            // What has the same id, too, is told as that.
            if !among(&same.digests, row)
                && let Err(first) = table.index.insert(&table.slots, at)
                && table.slots.id(first) != table.slots.id(at)
            {
                errors.push(table.same_digest(first, at));
            }
            if table.position(key.owner()).is_none() {
                // Looking for what was meant takes a walk over all accounts: not for every record.
                let hinted = errors.len() < HINTED;
                errors.push(table.orphan(at, key.owner(), hinted));
            }
        }
    }
}

impl KeyTable {
    fn same_id(&self, first: KeyIndex, second: KeyIndex) -> TableError {
        let (first, origin) = (self.origin(first), self.origin(second));
        TableError::DuplicateId { id: self.id(second), first, second: origin }
    }

    fn same_digest(&self, first: KeyIndex, second: KeyIndex) -> TableError {
        TableError::DuplicateDigest {
            first_id: self.id(first),
            second_id: self.id(second),
            first: self.origin(first),
            second: self.origin(second),
        }
    }

    /// A key whose account there is not.
    fn orphan(&self, key: KeyIndex, owner: u32, hinted: bool) -> TableError {
        let account = self.owners.name(owner).unwrap_or_else(|| Name::shared(Bytes::new()));
        let known = self.accounts().map(|account| &account.id).filter(|_| hinted);
        TableError::UnknownAccount {
            id: self.id(key),
            nearest: nearest(&account, known),
            account,
            origin: self.origin(key),
        }
    }

    fn id(&self, at: KeyIndex) -> KeyId {
        let placed = self.slots.get(at.slot());
        placed.map_or_else(|| Name::shared(Bytes::new()), |placed| placed.block.name(at.row()))
    }

    fn origin(&self, at: KeyIndex) -> Origin {
        let row = self.slots.get(at.slot()).zip(self.slots.row(at));
        let Some((placed, row)) = row else { return Origin::default() };
        let Placed { file, base, .. } = *placed;
        let span = row.span();
        Origin { file, span: span.start + base..span.end + base }
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
