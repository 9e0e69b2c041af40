//! Some keys and accounts of one file, kept in little room: rows of 64 bytes, and one text that all
//! names are parts of.
//!
//! A block never changes, and does not know in which file it stands, nor where: two loads that
//! found the same text share it.

mod build;
mod row;

use bytes::Bytes;
use ipnet::IpNet;

use super::record::Account;
use super::record::AccountId;
use super::record::AttributeRules;
use super::record::EventRules;
use super::record::KeyId;
use super::record::Name;
use super::record::Permission;
use super::record::SimpleAuth;
use crate::source::Span;

pub(super) use self::build::BlockBuilder;
pub(super) use self::row::Row;

/// The most keys that one block holds.
pub(super) const MOST: usize = 1 << 10;

/// Some keys and accounts.
#[derive(Debug, Default)]
pub(super) struct Block {
    rows: Box<[Row]>,
    /// Instants that do not fit into a row.
    odd: Box<[row::Odd]>,
    /// The ids of the rows, then whatever else is named.
    texts: Bytes,
    /// The accounts that the rows belong to, as parts of the texts.
    owners: Box<[(u32, u16)]>,
    rules: Box<[KeyRules]>,
    permissions: Box<[Permission]>,
    accounts: Box<[Account]>,
}

/// What few keys have, or many keys have alike.
#[derive(Debug, Default)]
pub(super) struct KeyRules {
    /// As numbers of the block's permissions.
    permissions: Option<Box<[u32]>>,
    pub(super) ips: Box<[IpNet]>,
    pub(super) events: EventRules,
    pub(super) attributes: Option<Box<AttributeRules>>,
    pub(super) simple_auth: Option<Box<SimpleAuth>>,
}

impl Block {
    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The accounts that are defined in it; their spans count from its beginning.
    pub(super) fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// How many different accounts its keys belong to.
    pub(super) const fn owners(&self) -> usize {
        self.owners.len()
    }

    /// One of the accounts that its keys belong to.
    pub(super) fn owner(&self, at: usize) -> &str {
        let Some((start, length)) = self.owners.get(at) else { return "" };
        self.text(*start, usize::from(*length))
    }

    /// As [`Block::owner`], as a name that shares the text.
    pub(super) fn owner_name(&self, at: usize) -> AccountId {
        let (start, length) = self.owners.get(at).copied().unwrap_or_default();
        self.shared(start, usize::from(length))
    }

    pub(super) fn id(&self, row: &Row) -> &str {
        self.text(row.text(), row.id_length())
    }

    /// The id as a name of its own, which shares the text.
    pub(super) fn name(&self, row: &Row) -> KeyId {
        self.shared(row.text(), row.id_length())
    }

    /// The bytes of a row's id in the text that the block was read from.
    pub(super) const fn span(row: &Row) -> Span {
        row.span()
    }

    pub(super) fn rules(&self, row: &Row) -> Option<&KeyRules> {
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

    pub(super) fn created(&self, at: usize, row: &Row) -> Option<jiff::Timestamp> {
        let odd = || self.odd(u16::try_from(at).ok()?, row::Field::Created);
        row.created().unwrap_or_else(odd)
    }

    pub(super) fn status(&self, at: usize, row: &Row) -> super::KeyStatus {
        let odd = || self.odd(u16::try_from(at).ok()?, row::Field::Status);
        row.status(odd)
    }

    fn shared(&self, start: u32, length: usize) -> Name {
        let range = start as usize..start as usize + length;
        // Within the text: so it was built.
        let inside = range.end <= self.texts.len();
        Name::shared(if inside { self.texts.slice(range) } else { Bytes::new() })
    }

    fn text(&self, start: u32, length: usize) -> &str {
        let start = start as usize;
        let bytes = self.texts.get(start..start + length).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}
