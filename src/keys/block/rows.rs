//! The rows of a block, one after the other.

use bytes::Bytes;

use super::row::ID;
use super::row::Row;
use super::row::STRIDE;
use super::row::give;
use crate::keys::record::KeyId;
use crate::keys::record::Name;

/// Some rows. Clones are the same ones.
#[derive(Clone, Debug, Default)]
pub(in crate::keys) struct Rows(Bytes);

/// Where rows may begin: so that each is in two lines of what a processor fetches, not in three.
const ALIGNED: usize = 32;

impl Rows {
    /// Keeps the bytes of rows.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut kept: Vec<u8> = Vec::with_capacity(bytes.len() + ALIGNED);
        let before = kept.as_ptr().align_offset(ALIGNED).min(ALIGNED);
        kept.resize(before, 0);
        kept.extend_from_slice(bytes);
        let mut kept = Bytes::from(kept);
        Self(kept.split_off(before))
    }

    /// The same, with other numbers for their owners.
    pub(super) fn owned_by(&self, number: impl Fn(u32) -> u32) -> Self {
        let mut bytes = self.0.to_vec();
        for row in bytes.chunks_exact_mut(STRIDE) {
            let owner = Row::at(row).map_or(0, Row::owner);
            give(row, number(owner));
        }
        Self::of(&bytes)
    }

    #[inline]
    pub(in crate::keys) fn get(&self, at: usize) -> Option<Row<'_>> {
        Row::at(self.0.get(at * STRIDE..)?)
    }

    pub(in crate::keys) const fn len(&self) -> usize {
        self.0.len() / STRIDE
    }

    pub(in crate::keys) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(in crate::keys) fn iter(&self) -> impl ExactSizeIterator<Item = Row<'_>> {
        (0..self.len()).map(|at| self.get(at).unwrap_or(Row::NONE))
    }

    /// The id of a row as a name of its own, unless it is too long for its row.
    pub(in crate::keys) fn short_name(&self, at: usize) -> Option<KeyId> {
        let length = self.get(at)?.short_id()?.len();
        let start = at * STRIDE + ID;
        Some(Name::shared(self.0.slice(start..start + length)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_begin_where_each_is_in_two_lines() {
        for number in 0..20 {
            let rows = Rows::of(&[7; STRIDE * 20][..STRIDE * number]);
            assert_eq!((rows.len(), rows.iter().len()), (number, number));
            assert!(rows.is_empty() || rows.0.as_ptr().align_offset(ALIGNED) == 0);
            assert!(rows.get(number).is_none());
        }
    }
}
