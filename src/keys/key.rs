//! A key of a table: what a decision looks at, read where it is kept.

use std::sync::Arc;
use std::sync::LazyLock;

use ipnet::IpNet;
use jiff::SignedDuration;
use jiff::Timestamp;

use super::block::KeyRules;
use super::block::Row;
use super::digest::KeyDigest;
use super::record::Access;
use super::record::Account;
use super::record::AccountId;
use super::record::AttributeRules;
use super::record::EventRules;
use super::record::KeyId;
use super::record::KeyStatus;
use super::record::Kind;
use super::record::Origin;
use super::record::Permission;
use super::record::SimpleAuth;
use super::table::Placed;

/// One key of a [`KeyTable`](super::KeyTable).
#[derive(Clone, Copy, Debug)]
pub struct Key<'t> {
    pub(super) placed: &'t Placed,
    pub(super) row: Row<'t>,
    /// The position of the row in its block.
    pub(super) at: usize,
    pub(super) account: &'t Arc<Account>,
    /// Whether its account is.
    pub(super) disabled: bool,
}

static NO_RULES: LazyLock<KeyRules> = LazyLock::new(KeyRules::default);

impl<'t> Key<'t> {
    /// Public. Shares the table's text.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let Placed { rows, block, .. } = self.placed;
        rows.short_name(self.at).unwrap_or_else(|| block.long_name(self.at))
    }

    /// The text of [`Key::id`].
    #[must_use]
    #[inline]
    pub fn id_text(&self) -> &'t str {
        self.placed.block.id(self.row)
    }

    /// The same as bytes.
    #[must_use]
    #[inline]
    pub fn id_bytes(&self) -> &'t [u8] {
        self.placed.block.id_bytes(self.row)
    }

    /// Whose it is.
    #[must_use]
    pub fn account(&self) -> &'t AccountId {
        &self.account.id
    }

    /// The same account, which need not be read to say which it is.
    #[must_use]
    pub const fn owner(&self) -> &'t Arc<Account> {
        self.account
    }

    /// Whether its account is disabled.
    #[must_use]
    #[inline]
    pub const fn is_disabled(&self) -> bool {
        self.disabled
    }

    /// What is stored instead of the key.
    #[must_use]
    #[inline]
    pub fn digest(&self) -> KeyDigest {
        self.row.digest()
    }

    /// `None` where the file does not say: `keys.default_access` applies.
    #[must_use]
    #[inline]
    pub fn access(&self) -> Option<Access> {
        self.row.access()
    }

    /// Workspace unless said.
    #[must_use]
    #[inline]
    pub fn kind(&self) -> Kind {
        self.row.kind()
    }

    /// Whether Basic may carry it; `None` where the file does not say.
    #[must_use]
    #[inline]
    pub fn basic(&self) -> Option<bool> {
        self.row.basic()
    }

    /// Active or revoked.
    #[must_use]
    #[inline]
    pub fn status(&self) -> KeyStatus {
        self.placed.block.status(self.at, self.row)
    }

    /// A note.
    #[must_use]
    pub fn created(&self) -> Option<Timestamp> {
        self.placed.block.created(self.at, self.row)
    }

    /// What it lists; `None`: the account's.
    #[must_use]
    pub fn permissions(&self) -> Option<Vec<Permission>> {
        self.placed.block.permissions_of(self.row.rules()?)
    }

    /// Empty: from anywhere.
    #[must_use]
    #[inline]
    pub fn ips(&self) -> &'t [IpNet] {
        if self.row.has_addresses() { &self.rules().ips } else { &[] }
    }

    /// Which events it may send.
    #[must_use]
    pub fn events(&self) -> &'t EventRules {
        &self.rules().events
    }

    /// `None`: any attribute and tag.
    #[must_use]
    pub fn attributes(&self) -> Option<&'t AttributeRules> {
        self.rules().attributes.as_deref()
    }

    /// Enabled where present.
    #[must_use]
    pub fn simple_auth(&self) -> Option<&'t SimpleAuth> {
        self.rules().simple_auth.as_deref()
    }

    /// Where it stands.
    #[must_use]
    pub fn origin(&self) -> Origin {
        let span = self.row.span();
        let Placed { file, base, .. } = *self.placed;
        Origin { file, span: span.start + base..span.end + base }
    }

    /// Whether it was made longer ago than that, or nobody knows when.
    #[must_use]
    pub fn is_older(&self, age: SignedDuration, now: Timestamp) -> bool {
        self.created().is_none_or(|created| now.duration_since(created) > age)
    }

    /// Whether it is the very same record, which two tables share.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.row.is(other.row)
    }

    /// Whether two keys of one id say the same, wherever they stand. When they were made, and what
    /// is shown of the key, does not count.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        if self.is(other) {
            return self.account() == other.account();
        }
        let (ours, its) = (self.rules(), other.rules());
        self.account() == other.account()
            && self.row.notes() == other.row.notes()
            && self.digest().matches(&other.digest())
            && self.access() == other.access()
            && self.kind() == other.kind()
            && self.basic() == other.basic()
            && self.status() == other.status()
            && self.permissions() == other.permissions()
            && ours.ips == its.ips
            && ours.events == its.events
            && ours.attributes == its.attributes
            && ours.simple_auth == its.simple_auth
    }

    fn rules(&self) -> &'t KeyRules {
        self.placed.block.rules(self.row).unwrap_or(&NO_RULES)
    }
}
