//! The keys and accounts of one file, as blocks in the order of the file.

use std::sync::Arc;

use super::block::Block;
use super::block::BlockBuilder;
use super::draft::Draft;
use super::file::KeyFile;
use super::record::Account;
use super::record::KeyId;
use super::record::Origin;
use crate::clock;

/// What one file holds. Never changes; loads that found the same share it.
#[derive(Clone, Debug, Default)]
pub struct Sheet {
    parts: Vec<(usize, Arc<Block>)>,
}

impl Sheet {
    /// Keeps what the full reader found.
    #[must_use]
    pub fn of(file: &KeyFile) -> Self {
        let mut sheet = Self::default();
        let mut block = BlockBuilder::default();
        file.accounts.iter().for_each(|account| block.account(account.clone()));
        for record in &file.keys {
            if block.is_full() {
                sheet.push(0, Arc::new(std::mem::take(&mut block).build()));
            }
            block.key(&Draft::from(record));
        }
        sheet.push(0, Arc::new(block.build()));
        sheet
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
                Account { origin: Origin { span, ..account.origin }, ..account.clone() }
            })
        })
    }

    /// The ids of the keys that are marked as revoked. They share the file's texts.
    pub fn revoked(&self) -> impl Iterator<Item = KeyId> {
        self.parts.iter().flat_map(|(_, block)| {
            clock::give_way();
            let revoked = block.rows().iter().filter(|row| row.is_revoked());
            revoked.map(|row| block.name(row))
        })
    }
}
