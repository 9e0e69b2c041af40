//! Reading a key file: text to records, or to everything that is wrong with it.
//!
//! One mistake costs the record that it is in, never the others: the rest of the file is still
//! read, so that one run shows all mistakes and what was revoked stays revoked. Must not know where
//! the text came from, nor what stands in other files: duplicates and missing accounts are found
//! when all files are put together.

mod account;
mod field;
mod key;
pub(super) mod plain;
mod time;

pub use field::parse_network;
pub use time::InstantError;
pub use time::parse_instant;

use super::digest::Digester;
use super::record::Account;
use super::record::KeyId;
use super::record::KeyRecord;
use super::record::KeyStatus;
use crate::source::Problem;
use crate::source::Problems;
use crate::source::Section;
use crate::source::Source;

use self::plain::Item;

/// The fields whose values a report may quote. What stands in any other could be a secret that was
/// put into the wrong place.
pub const SHOWN: &[&str] = &[
    "access",
    "account",
    "allow",
    "attributes",
    "basic",
    "created",
    "deny",
    "disabled",
    "events",
    "expires",
    "id",
    "ips",
    "kind",
    "name",
    "permissions",
    "revoked",
    "tags",
];

/// What one file holds.
#[derive(Debug, Default)]
pub struct KeyFile {
    /// The accounts, in the order of the file.
    pub accounts: Vec<Account>,
    /// The keys, in the order of the file.
    pub keys: Vec<KeyRecord>,
    /// The ids of the keys that it marks as revoked, among them those of records that are left out
    /// of `keys` because something else in them is wrong.
    pub revoked: Vec<KeyId>,
    /// Whether there may be more accounts than `accounts`, so that a key without one proves nothing.
    pub accounts_lost: bool,
}

/// Reads a key file. `file` is its position among the sources of the load, for [`Origin`].
///
/// [`Origin`]: super::Origin
#[must_use]
pub fn parse(
    source: &Source,
    file: usize,
    digester: &Digester,
    problems: &mut Problems,
) -> KeyFile {
    let source = &source.clone().showing_only(SHOWN);
    if source.text.trim().is_empty() {
        problems.push(
            Problem::new(format!("`{}` is empty", source.name))
                .help("if that is what you want, write a comment into it"),
        );
        return KeyFile::default();
    }
    plainly(source, file, digester).unwrap_or_else(|| fully(source, file, digester, problems))
}

/// Where everything has its usual form, there is nothing wrong either.
fn plainly(source: &Source, file: usize, digester: &Digester) -> Option<KeyFile> {
    let mut read = KeyFile::default();
    let mut sound = true;
    plain::read(&source.text, digester, |item| match item {
        Item::Account(mut account) => {
            account.origin.file = file;
            read.accounts.push(account);
        }
        Item::Key(draft) => match draft.to_record(file) {
            Ok(record) => read.keys.push(record),
            Err(_) => sound = false,
        },
    })?;
    let revoked = read.keys.iter().filter(|key| matches!(key.status, KeyStatus::Revoked { .. }));
    read.revoked = revoked.map(|key| key.id.clone()).collect();
    sound.then_some(read)
}

fn fully(source: &Source, file: usize, digester: &Digester, problems: &mut Problems) -> KeyFile {
    let mut root = Section::root(source, problems);
    let mut read = KeyFile::default();
    for table in root.tables("account") {
        let before = root.problems().len();
        let account = account::read(&mut root.enter("[[account]]", table), file);
        read.accounts_lost |= account.is_none() || root.problems().fatal_since(before);
        read.accounts.extend(account.filter(|_| !root.problems().fatal_since(before)));
    }
    for table in root.tables("key") {
        let before = root.problems().len();
        let mut section = root.enter("[[key]]", table);
        let key = key::read(&mut section, file, digester, &mut read.revoked);
        // Its unknown fields are among the problems only after this.
        drop(section);
        read.keys.extend(key.filter(|_| !root.problems().fatal_since(before)));
    }
    if root.structurally_damaged() {
        read.accounts_lost = true;
        // After a header that could not be read, a mark may belong to another record.
        read.revoked.clear();
    }
    read
}

#[cfg(test)]
mod differential;
#[cfg(test)]
mod tests;
