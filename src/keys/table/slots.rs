//! The blocks of a table, each in a slot that it keeps as long as it is there.

use std::sync::Arc;

use super::KeyIndex;
use crate::clock;
use crate::keys::block::Block;
use crate::keys::block::Row;
use crate::keys::block::Rows;

/// A block, and where it stands in this table.
#[derive(Clone, Debug)]
pub(in crate::keys) struct Placed {
    /// Those of the block: a look at a key leads past it.
    pub(in crate::keys) rows: Rows,
    pub(in crate::keys) block: Arc<Block>,
    pub(in crate::keys) file: usize,
    /// Where in the file it begins.
    pub(in crate::keys) base: usize,
}

/// Blocks by their slots.
#[derive(Debug, Default)]
pub(super) struct Slots(Vec<Option<Placed>>);

/// How many slots are copied at a stretch.
const SOME: usize = 16;

impl Clone for Slots {
    fn clone(&self) -> Self {
        let mut slots = Vec::with_capacity(self.0.len());
        for some in self.0.chunks(SOME) {
            clock::give_way();
            slots.extend_from_slice(some);
        }
        Self(slots)
    }
}

impl Slots {
    #[inline]
    pub(super) fn get(&self, slot: usize) -> Option<&Placed> {
        self.0.get(slot)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: usize) -> Option<&mut Placed> {
        self.0.get_mut(slot)?.as_mut()
    }

    /// Puts a block there, or takes away what is there.
    pub(super) fn set(&mut self, slot: usize, placed: Option<Placed>) {
        if slot >= self.0.len() {
            self.0.resize_with(slot + 1, || None);
        }
        if let Some(room) = self.0.get_mut(slot) {
            *room = placed;
        }
    }

    /// The first from there on that is empty.
    pub(super) fn free(&self, from: usize) -> usize {
        let empty = self.0.iter().skip(from).position(Option::is_none);
        empty.map_or(self.0.len().max(from), |at| at + from)
    }

    /// How many there are, empty ones among them.
    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Placed)> {
        let all = self.0.iter().enumerate();
        all.filter_map(|(slot, placed)| placed.as_ref().map(|placed| (slot, placed)))
    }

    #[inline]
    pub(super) fn row(&self, at: KeyIndex) -> Option<Row<'_>> {
        self.get(at.slot())?.rows.get(at.row())
    }

    /// The text of a key's id.
    pub(super) fn id(&self, at: KeyIndex) -> &str {
        let Some(placed) = self.get(at.slot()) else { return "" };
        placed.rows.get(at.row()).map_or("", |row| placed.block.id(row))
    }
}
