//! Some keys and accounts of one file, kept in little room: rows that hold their ids, and one text
//! that all other names are parts of.
//!
//! A block never changes, and does not know in which file it stands, nor where: two loads that
//! found the same text share it.

mod build;
mod row;
mod rows;

use std::sync::Arc;

use bytes::Bytes;
use ipnet::IpNet;

use super::owners::Owners;
use super::record::Account;
use super::record::AttributeRules;
use super::record::EventRules;
use super::record::KeyId;
use super::record::Name;
use super::record::Permission;
use super::record::SimpleAuth;

pub(super) use self::build::BlockBuilder;
pub(super) use self::row::Row;
pub(super) use self::rows::Rows;

/// The most keys that one block holds.
pub(super) const MOST: usize = 1 << 10;

/// Some keys and accounts.
#[derive(Debug)]
pub(super) struct Block {
    rows: Rows,
    /// What the numbers of owners in the rows mean.
    owners: Owners,
    /// Instants that do not fit into a row.
    odd: Box<[row::Odd]>,
    /// Ids that are too long for their rows, and whatever else is named.
    texts: Bytes,
    rules: Box<[KeyRules]>,
    permissions: Box<[Permission]>,
    accounts: Box<[Arc<Account>]>,
}

/// What few keys have, or many keys have alike.
#[derive(Clone, Debug, Default)]
pub(super) struct KeyRules {
    /// As numbers of the block's permissions.
    permissions: Option<Box<[u32]>>,
    pub(super) ips: Box<[IpNet]>,
    pub(super) events: EventRules,
    pub(super) attributes: Option<Box<AttributeRules>>,
    pub(super) simple_auth: Option<Box<SimpleAuth>>,
}

impl Block {
    #[inline]
    pub(super) const fn rows(&self) -> &Rows {
        &self.rows
    }

    /// The accounts that are defined in it; their spans count from its beginning.
    pub(super) fn accounts(&self) -> &[Arc<Account>] {
        &self.accounts
    }

    /// The same, with the numbers that other owners have.
    pub(super) fn owned_by(&self, owners: &Owners) -> Self {
        let number = |old| owners.number(self.owners.name(old).as_ref().map_or("", Name::as_str));
        Self {
            rows: self.rows.owned_by(number),
            owners: owners.clone(),
            odd: self.odd.clone(),
            texts: self.texts.clone(),
            rules: self.rules.clone(),
            permissions: self.permissions.clone(),
            accounts: self.accounts.clone(),
        }
    }

    /// The text of an id.
    #[inline]
    pub(super) fn id<'b>(&'b self, row: Row<'b>) -> &'b str {
        std::str::from_utf8(self.id_bytes(row)).unwrap_or_default()
    }

    #[inline]
    pub(super) fn id_bytes<'b>(&'b self, row: Row<'b>) -> &'b [u8] {
        row.short_id().unwrap_or_else(|| self.long_id(row))
    }

    fn long_id(&self, row: Row<'_>) -> &[u8] {
        let start = row.text() as usize;
        self.texts.get(start..start + row.id_length()).unwrap_or_default()
    }

    /// The id of the row at a position, as a name of its own, which shares the text.
    pub(super) fn name(&self, at: usize) -> KeyId {
        let short = self.rows.short_name(at);
        short.unwrap_or_else(|| self.long_name(at))
    }

    /// As [`Block::name`], where the id is too long for the row.
    pub(super) fn long_name(&self, at: usize) -> KeyId {
        let place = self.rows.get(at).map(|row| (row.text() as usize, row.id_length()));
        let range = place.map_or(0..0, |(start, length)| start..start + length);
        // Within the text: so it was built.
        let inside = range.end <= self.texts.len();
        Name::shared(if inside { self.texts.slice(range) } else { Bytes::new() })
    }

    pub(super) fn rules(&self, row: Row<'_>) -> Option<&KeyRules> {
        self.rules.get(row.rules()?)
    }

    /// How many different rules there are.
    pub(super) const fn rules_len(&self) -> usize {
        self.rules.len()
    }

    /// What rules list as permissions, if they list any.
    pub(super) fn permissions_of(&self, rules: usize) -> Option<Vec<Permission>> {
        let numbers = self.rules.get(rules)?.permissions.as_deref()?;
        let listed = numbers.iter().filter_map(|number| self.permissions.get(*number as usize));
        Some(listed.cloned().collect())
    }

    /// An instant that does not fit into its row.
    fn odd(&self, row: u16, field: row::Field) -> Option<jiff::Timestamp> {
        let at = self.odd.binary_search_by_key(&(row, field), |odd| (odd.row, odd.field)).ok()?;
        self.odd.get(at).map(|odd| odd.at)
    }

    pub(super) fn created(&self, at: usize, row: Row<'_>) -> Option<jiff::Timestamp> {
        let odd = || self.odd(u16::try_from(at).ok()?, row::Field::Created);
        row.created().unwrap_or_else(odd)
    }

    #[inline]
    pub(super) fn status(&self, at: usize, row: Row<'_>) -> super::KeyStatus {
        let odd = || self.odd(u16::try_from(at).ok()?, row::Field::Status);
        row.status(odd)
    }
}
