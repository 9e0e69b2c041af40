//! Changing a key file: only the bytes that change are touched, so that comments, order and layout
//! stay as their author left them, and whatever happens in between, the file is either the old one
//! or the new one.
//!
//! An edit holds a lock from reading to writing. Nothing may wait for a person meanwhile.

pub mod described;
mod render;
mod store;
mod text;

use std::path::Path;

use jiff::Timestamp;

use super::digest::Digester;
use super::file::SHOWN;
use super::record::Account;
use super::record::AccountId;
use super::record::KeyId;
use super::record::KeyRecord;
use crate::source::Problem;
use crate::source::Source;
use store::Store;
use text::List;

/// A key file that is locked and being changed. Dropping it changes nothing.
#[derive(Debug)]
pub struct Edit {
    store: Store,
    before: Source,
    source: Source,
}

impl Edit {
    /// Locks a key file and reads it; a file that does not exist is one that is empty. A symlink
    /// is followed, and what it points to is edited.
    ///
    /// # Errors
    /// When it cannot be read or locked, is not UTF-8, or is replaced as a whole by somebody else
    /// (a volume that Kubernetes mounts).
    pub fn open(path: &Path) -> Result<Self, Box<Problem>> {
        let store = Store::lock(path)?;
        let source = Source::from_bytes(path, &store.read()?)?.showing_only(SHOWN);
        Ok(Self { store, before: source.clone(), source })
    }

    /// The text as it stands now, with the changes so far.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The text as it was before.
    #[must_use]
    pub const fn before(&self) -> &Source {
        &self.before
    }

    /// Whether there is nothing in it yet.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.source.text.trim().is_empty()
    }

    /// Appends keys.
    ///
    /// # Errors
    /// When the file has its keys in a form that cannot be appended to.
    pub fn append_keys<'r>(
        &mut self,
        records: impl IntoIterator<Item = &'r KeyRecord>,
        digester: &Digester,
    ) -> Result<(), Box<Problem>> {
        let blocks: Vec<_> =
            records.into_iter().map(|record| render::key(record, digester)).collect();
        self.change(|source| text::append(source, List::Keys, &blocks))
    }

    /// Appends an account.
    ///
    /// # Errors
    /// When the file has its accounts in a form that cannot be appended to.
    pub fn append_account(&mut self, account: &Account) -> Result<(), Box<Problem>> {
        let blocks = [render::account(account)];
        self.change(|source| text::append(source, List::Accounts, &blocks))
    }

    /// Marks a key as revoked.
    ///
    /// # Errors
    /// When the file has no such key, or has it in a form that cannot be edited.
    pub fn revoke(&mut self, id: &KeyId, at: Timestamp) -> Result<(), Box<Problem>> {
        let at = render::instant(at);
        self.change(|source| text::set(source, List::Keys, id.as_str(), "revoked", &at))
    }

    /// Sets the instant at which a key expires.
    ///
    /// # Errors
    /// As [`Edit::revoke`].
    pub fn expire(&mut self, id: &KeyId, at: Timestamp) -> Result<(), Box<Problem>> {
        let at = render::instant(at);
        self.change(|source| text::set(source, List::Keys, id.as_str(), "expires", &at))
    }

    /// Removes a key's record. Comments outside of it stay.
    ///
    /// # Errors
    /// As [`Edit::revoke`].
    pub fn remove_key(&mut self, id: &KeyId) -> Result<(), Box<Problem>> {
        self.change(|source| text::remove(source, List::Keys, id.as_str()))
    }

    /// Disables an account, or enables it again.
    ///
    /// # Errors
    /// When the file has no such account, or has it in a form that cannot be edited.
    pub fn disable(&mut self, id: &AccountId, disabled: bool) -> Result<(), Box<Problem>> {
        let value = if disabled { "true" } else { "false" };
        self.change(|source| text::set(source, List::Accounts, id.as_str(), "disabled", value))
    }

    /// Puts the changed text in the place of the old one.
    ///
    /// # Errors
    /// When it could not be written; then the old text is still there.
    pub fn save(self) -> Result<(), Box<Problem>> {
        self.store.replace(self.source.text.as_bytes())
    }

    fn change(
        &mut self,
        change: impl FnOnce(&Source) -> Result<String, Box<Problem>>,
    ) -> Result<(), Box<Problem>> {
        let changed = change(&self.source)?;
        self.source = Source::new(&self.source.name, &self.source.directory, &changed);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
