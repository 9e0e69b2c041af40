//! The keys and accounts of one file, as blocks in the order of the file.

use std::sync::Arc;

use super::block::Block;
use super::block::BlockBuilder;
use super::draft::Draft;
use super::file::KeyFile;
use super::owners::Owners;
use super::record::Account;
use super::record::KeyId;
use super::record::Origin;
use crate::clock;

/// What one file holds. Never changes; loads that found the same share it.
#[derive(Clone, Debug)]
pub struct Sheet {
    owners: Owners,
    parts: Vec<(usize, Arc<Block>)>,
}

impl Sheet {
    pub(super) const fn new(owners: Owners) -> Self {
        Self { owners, parts: Vec::new() }
    }

    /// Keeps what the full reader found.
    #[must_use]
    pub fn of(file: &KeyFile) -> Self {
        Self::owned_by(&Owners::default(), file)
    }

    /// As [`Sheet::of`], with the numbers of these owners.
    pub(super) fn owned_by(owners: &Owners, file: &KeyFile) -> Self {
        let mut sheet = Self::new(owners.clone());
        let mut block = BlockBuilder::new(owners);
        file.accounts.iter().for_each(|account| block.account(account.clone()));
        for record in &file.keys {
            if block.is_full() {
                let full = std::mem::replace(&mut block, BlockBuilder::new(owners));
                sheet.push(0, Arc::new(full.build()));
            }
            block.key(&Draft::from(record));
        }
        sheet.push(0, Arc::new(block.build()));
        sheet
    }

    pub(super) const fn owners(&self) -> &Owners {
        &self.owners
    }

    /// The same, with the numbers that other owners have.
    pub(super) fn renumbered(&self, owners: &Owners) -> Self {
        let part = |(base, block): &(usize, Arc<Block>)| (*base, Arc::new(block.owned_by(owners)));
        Self { owners: owners.clone(), parts: self.parts.iter().map(part).collect() }
    }

    /// Adds what begins so many bytes into the file.
    pub(super) fn push(&mut self, base: usize, block: Arc<Block>) {
        if !block.rows().is_empty() || !block.accounts().is_empty() {
            self.parts.push((base, block));
        }
    }

    pub(super) fn parts(&self) -> &[(usize, Arc<Block>)] {
        &self.parts
    }

    /// The accounts that the file defines.
    pub fn accounts(&self) -> impl Iterator<Item = Account> {
        self.parts.iter().flat_map(|(base, block)| {
            block.accounts().iter().map(move |account| {
                let span = account.origin.span.start + base..account.origin.span.end + base;
                Account { origin: Origin { span, ..account.origin }, ..Account::clone(account) }
            })
        })
    }

    /// The ids of the keys that are marked as revoked. They share the file's texts.
    pub fn revoked(&self) -> impl Iterator<Item = KeyId> {
        self.parts.iter().flat_map(|(_, block)| {
            clock::give_way();
            let revoked = block.rows().iter().enumerate().filter(|(_, row)| row.is_revoked());
            revoked.map(|(at, _)| block.name(at))
        })
    }
}
