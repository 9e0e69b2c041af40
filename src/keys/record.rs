//! One row of a key file, and the account that it belongs to: validated, total, without secrets.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use ipnet::IpNet;
use jiff::SignedDuration;
use jiff::Timestamp;
use thiserror::Error;

use super::digest::KeyDigest;

/// A name that can stand in a header: 1 to 256 visible ASCII characters without spaces or commas.
///
/// Often a part of a longer text that many names share, so that to clone one allocates nothing.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Bytes);

/// Why a text is no [`Name`].
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NameError {
    /// Nothing at all.
    #[error("it is empty")]
    Empty,
    /// More than 256 bytes.
    #[error("it is longer than 256 characters")]
    Long,
    /// A space, a comma, a control character or something outside ASCII.
    #[error("`{}` cannot stand in it: only visible ASCII without spaces or commas", .0.escape_debug())]
    Character(char),
}

impl Name {
    /// Checks a text.
    ///
    /// # Errors
    /// When it could not stand in a header, or not in a list of names.
    pub fn new(text: &str) -> Result<Self, NameError> {
        Self::check(text).map(|()| Self(Bytes::copy_from_slice(text.as_bytes())))
    }

    /// Checks a text that stays where it is.
    ///
    /// # Errors
    /// As [`Name::new`].
    pub fn check(text: &str) -> Result<(), NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > Self::LONGEST {
            return Err(NameError::Long);
        }
        if text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',') {
            return Ok(());
        }
        let wrong = text.chars().find(|c| !c.is_ascii_graphic() || *c == ',');
        wrong.map_or(Ok(()), |c| Err(NameError::Character(c)))
    }

    /// How many bytes one has at most.
    pub const LONGEST: usize = 256;

    /// A part of a text, every name in which was checked before.
    pub(super) const fn shared(checked: Bytes) -> Self {
        Self(checked)
    }

    /// The same, which shares nothing: for who keeps it longer than there is what it came from.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // It was checked, so this is always the text.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Its bytes, shared.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        self.0.clone()
    }
}

impl std::borrow::Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({:?})", self.as_str())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The public id of a key: safe in logs, never the key.
pub type KeyId = Name;
/// The id of an account, as the upstream is told it.
pub type AccountId = Name;

/// A permission as a key or an account lists it: a name, or with a final `*` every name that
/// begins so.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Permission(Name);

impl Permission {
    /// Checks a text; `*` may stand only at its end.
    ///
    /// # Errors
    /// When it is no [`Name`], or has a `*` before its end.
    pub fn new(text: &str) -> Result<Self, NameError> {
        Self::check(text)?;
        Name::new(text).map(Self)
    }

    /// Checks a text that stays where it is.
    ///
    /// # Errors
    /// As [`Permission::new`].
    pub fn check(text: &str) -> Result<(), NameError> {
        Name::check(text)?;
        match text.find('*') {
            Some(at) if at + 1 < text.len() => Err(NameError::Character('*')),
            _ => Ok(()),
        }
    }

    /// One that was checked before.
    pub(super) const fn shared(checked: Name) -> Self {
        Self(checked)
    }

    /// The text, with its `*`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// What stands before the `*`, if it has one.
    #[must_use]
    pub fn prefix(&self) -> Option<&str> {
        self.as_str().strip_suffix('*')
    }

    /// Whether it grants a permission of exactly this name.
    #[must_use]
    pub fn grants(&self, name: &str) -> bool {
        self.prefix().map_or(self.as_str() == name, |prefix| name.starts_with(prefix))
    }

    /// What both grant: the narrower of the two where one contains the other.
    #[must_use]
    pub fn meet(&self, other: &Self) -> Option<Self> {
        match (self.prefix(), other.prefix()) {
            (None, _) => other.grants(self.as_str()).then(|| self.clone()),
            (_, None) => self.grants(other.as_str()).then(|| other.clone()),
            (Some(mine), Some(theirs)) if mine.starts_with(theirs) => Some(self.clone()),
            (Some(mine), Some(theirs)) => theirs.starts_with(mine).then(|| other.clone()),
        }
    }
}

/// The tier of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// GET and HEAD, nothing else, on every route.
    Read,
    /// Every method.
    Write,
}

impl Access {
    /// As files and headers have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// Whom a key stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A server: all data of the account.
    #[default]
    Workspace,
    /// One end user: only that profile's data.
    Profile,
}

impl Kind {
    /// As files and headers have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Workspace => "workspace",
            Self::Profile => "profile",
        }
    }
}

/// Whether a key is in force. It cannot be active and revoked at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyStatus {
    /// In force, until an instant if there is one: over when `now >= until`.
    Active {
        /// The instant, exclusive.
        until: Option<Timestamp>,
    },
    /// Withdrawn; the date is a note.
    Revoked {
        /// When, if the file says.
        at: Option<Timestamp>,
    },
}

/// Which events a key may send. Empty lists do not restrict; a name on both lists is denied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventRules {
    /// If not empty: only these.
    pub allow: Box<[Box<str>]>,
    /// Never these.
    pub deny: Box<[Box<str>]>,
}

/// Which attributes and tags of a profile a key may change: only what is listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttributeRules {
    /// Member names.
    pub allow: Box<[Box<str>]>,
    /// Tags.
    pub tags: Box<[Box<str>]>,
}

/// Simple authentication of profiles, where a key has it enabled.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SimpleAuth {
    /// Must be presented where there is one.
    pub salt: Option<Box<str>>,
}

impl fmt::Debug for SimpleAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimpleAuth(..)")
    }
}

/// Where a record stands: which file (by its position in the list of sources of a load) and which
/// bytes of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The position of the file among the sources of the load.
    pub file: usize,
    /// The bytes of the record's `id`.
    pub span: Range<usize>,
}

/// One key, without the key.
#[derive(Clone, Debug)]
pub struct KeyRecord {
    /// Public.
    pub id: KeyId,
    /// Whose it is.
    pub account: AccountId,
    /// A note for people.
    pub name: Option<Box<str>>,
    /// What is stored instead of the key.
    pub digest: KeyDigest,
    /// The last characters of the key, for people.
    pub hint: Option<Box<str>>,
    /// `None` where the file does not say: `keys.default_access` applies.
    pub access: Option<Access>,
    /// Workspace unless said.
    pub kind: Kind,
    /// `None`: the account's.
    pub permissions: Option<Box<[Permission]>>,
    /// Empty: from anywhere.
    pub ips: Box<[IpNet]>,
    /// Which events it may send.
    pub events: EventRules,
    /// `None`: any attribute and tag.
    pub attributes: Option<Box<AttributeRules>>,
    /// Whether Basic may carry it; `None` where the file does not say.
    pub basic: Option<bool>,
    /// Enabled where present.
    pub simple_auth: Option<Box<SimpleAuth>>,
    /// A note.
    pub created: Option<Timestamp>,
    /// The key in whose place a rotation has made this one: a note.
    pub replaces: Option<KeyId>,
    /// Active or revoked.
    pub status: KeyStatus,
    /// Where it stands.
    pub origin: Origin,
}

#[cfg(test)]
impl KeyRecord {
    /// A key of tests, of which nothing is said but what every key has.
    pub(crate) fn plain(id: &str, account: &str, digest: KeyDigest) -> Self {
        let name = |text| Name::new(text).unwrap();
        Self {
            id: name(id),
            account: name(account),
            name: None,
            digest,
            hint: None,
            access: None,
            kind: Kind::Workspace,
            permissions: None,
            ips: Box::default(),
            events: EventRules::default(),
            attributes: None,
            basic: None,
            simple_auth: None,
            created: None,
            replaces: None,
            status: KeyStatus::Active { until: None },
            origin: Origin::default(),
        }
    }
}

impl KeyRecord {
    /// Whether it was made longer ago than that, or nobody knows when.
    #[must_use]
    pub fn is_older(&self, age: SignedDuration, now: Timestamp) -> bool {
        self.created.is_none_or(|created| now.duration_since(created) > age)
    }
}

/// One account: the tenant that keys belong to.
#[derive(Clone, Debug)]
pub struct Account {
    /// Public; what the upstream is told.
    pub id: AccountId,
    /// A note for people.
    pub name: Option<Box<str>>,
    /// `None`: not limited; empty: nothing.
    pub permissions: Option<Box<[Permission]>>,
    /// Refuses all its keys.
    pub disabled: bool,
    /// Where it stands.
    pub origin: Origin,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_always_stand_in_a_header() {
        for good in ["acme", "key_01JD3Q", "events:read", "a", "EVENTS_*", "b2c7:x/y"] {
            assert!(Name::new(good).is_ok(), "{good}");
        }
        assert_eq!(Name::new(""), Err(NameError::Empty));
        for bad in [' ', ',', '\n', '\u{7f}', 'é', '\0'] {
            assert_eq!(Name::new(&format!("a{bad}b")), Err(NameError::Character(bad)));
        }
        assert_eq!(Name::new(&"a".repeat(257)), Err(NameError::Long));
    }

    #[test]
    fn where_patterns_meet_the_narrower_stands() {
        let meet = |a: &str, b: &str| {
            let (a, b) = (Permission::new(a).unwrap(), Permission::new(b).unwrap());
            let met = a.meet(&b);
            assert_eq!(met, b.meet(&a));
            met.map(|p| p.as_str().to_owned())
        };
        assert_eq!(meet("A_B", "A_B").as_deref(), Some("A_B"));
        assert_eq!(meet("A_*", "A_B").as_deref(), Some("A_B"));
        assert_eq!(meet("A_*", "A_B_*").as_deref(), Some("A_B_*"));
        assert_eq!(meet("*", "A_*").as_deref(), Some("A_*"));
        assert_eq!(meet("A_*", "B_*"), None);
        assert_eq!(meet("A", "A_*"), None);
        assert_eq!(Permission::new("A_*_B"), Err(NameError::Character('*')));
    }
}
