//! What the upstream is told, and what a client can therefore never tell it.

use std::collections::HashSet;

use http::HeaderName;

/// The names of the identity headers; `None` switches one off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The account's id.
    pub account: Option<HeaderName>,
    /// The key's public id.
    pub key: Option<HeaderName>,
    /// The effective permissions.
    pub permissions: Option<HeaderName>,
    /// `read` or `write`.
    pub access: Option<HeaderName>,
    /// `workspace` or `profile`.
    pub kind: Option<HeaderName>,
    /// The profile's id.
    pub profile: Option<HeaderName>,
    /// The profile's own id.
    pub profile_custom_id: Option<HeaderName>,
    /// The profile's e-mail address.
    pub profile_email: Option<HeaderName>,
    /// Further names that a client may never send upstream.
    pub reserved: Vec<ReservedName>,
    /// Whether the credential travels upstream.
    pub forward_credential: bool,
}

/// A name that a client may never send upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReservedName {
    /// This one.
    Exact(Box<str>),
    /// Every one that begins so.
    Prefix(Box<str>),
}

const DEFAULTS: [&str; 8] = [
    "x-account-id",
    "x-key-id",
    "x-permissions",
    "x-key-access",
    "x-key-kind",
    "x-profile-id",
    "x-profile-custom-id",
    "x-profile-email",
];

/// What proxies and frameworks believe although anyone can send it.
const FORGEABLE: [&str; 7] = [
    "forwarded",
    "x-real-ip",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
];
const FORGEABLE_PREFIX: &str = "x-forwarded-";

impl Default for Identity {
    fn default() -> Self {
        let [account, key, permissions, access, kind, profile, custom_id, email] =
            DEFAULTS.map(|name| Some(HeaderName::from_static(name)));
        Self {
            account,
            key,
            permissions,
            access,
            kind,
            profile,
            profile_custom_id: custom_id,
            profile_email: email,
            reserved: Vec::new(),
            forward_credential: false,
        }
    }
}

impl Identity {
    /// Whether the credential travels upstream.
    #[must_use]
    pub const fn forward_credential(&self) -> bool {
        self.forward_credential
    }

    fn names(&self) -> impl Iterator<Item = &HeaderName> {
        let names = [
            &self.account,
            &self.key,
            &self.permissions,
            &self.access,
            &self.kind,
            &self.profile,
            &self.profile_custom_id,
            &self.profile_email,
        ];
        names.into_iter().flatten()
    }
}

/// Tells which of a client's headers and trailers are dropped, in every spelling.
#[derive(Clone, Debug)]
pub struct Stripper {
    exact: HashSet<Box<[u8]>>,
    prefixes: Vec<Box<[u8]>>,
    /// By the first folded byte: the lengths (capped at 63) of the names that begin with it.
    lengths: [u64; 256],
    carrier: Option<HeaderName>,
}

impl Stripper {
    /// All names that identity uses or once used, what is reserved, and what is forgeable. Other
    /// spellings of a key's carrier are dropped too; whether the carrier itself travels is a
    /// question of its own.
    #[must_use]
    pub fn new(identity: &Identity, carrier: Option<&HeaderName>) -> Self {
        let (exact, prefixes) = (HashSet::new(), Vec::new());
        let mut stripper = Self { exact, prefixes, lengths: [0; 256], carrier: carrier.cloned() };
        let fixed = DEFAULTS.iter().chain(&FORGEABLE).map(|name| name.as_bytes());
        let own = identity.names().chain(carrier).map(|name| name.as_str().as_bytes());
        fixed.chain(own).for_each(|name| stripper.add(name));
        stripper.add_prefix(FORGEABLE_PREFIX.as_bytes());
        for name in &identity.reserved {
            match name {
                ReservedName::Exact(name) => stripper.add(name.as_bytes()),
                ReservedName::Prefix(prefix) => stripper.add_prefix(prefix.as_bytes()),
            }
        }
        stripper
    }

    /// Whether a name is one of them when case and punctuation are folded.
    #[must_use]
    pub fn drops(&self, name: &HeaderName) -> bool {
        self.folds(name.as_str().as_bytes()) && self.carrier.as_ref() != Some(name)
    }

    /// The header that carries keys, in its own spelling.
    #[must_use]
    pub const fn carrier(&self) -> Option<&HeaderName> {
        self.carrier.as_ref()
    }

    fn folds(&self, name: &[u8]) -> bool {
        let first = name.first().map_or(0, |&byte| usize::from(fold(byte)));
        let lengths = self.lengths.get(first).copied().unwrap_or(0);
        if lengths >> name.len().min(63) & 1 == 0 {
            return false;
        }
        let mut folded = [0u8; 64];
        let Some(short) = folded.get_mut(..name.len()) else { return self.drops_long(name) };
        for (to, from) in short.iter_mut().zip(name) {
            *to = fold(*from);
        }
        self.matches(short)
    }

    fn drops_long(&self, name: &[u8]) -> bool {
        self.matches(&name.iter().map(|&byte| fold(byte)).collect::<Vec<_>>())
    }

    fn matches(&self, folded: &[u8]) -> bool {
        self.exact.contains(folded) || self.prefixes.iter().any(|prefix| folded.starts_with(prefix))
    }

    fn add(&mut self, name: &[u8]) {
        let folded: Box<[u8]> = name.iter().map(|&byte| fold(byte)).collect();
        self.mark(&folded, 1 << folded.len().min(63));
        self.exact.insert(folded);
    }

    fn add_prefix(&mut self, prefix: &[u8]) {
        let folded: Box<[u8]> = prefix.iter().map(|&byte| fold(byte)).collect();
        self.mark(&folded, u64::MAX << folded.len().min(63));
        self.prefixes.push(folded);
    }

    fn mark(&mut self, folded: &[u8], lengths: u64) {
        match folded.first() {
            Some(&first) => {
                if let Some(known) = self.lengths.get_mut(usize::from(first)) {
                    *known |= lengths;
                }
            }
            // The empty prefix reserves every name.
            None => self.lengths = [u64::MAX; 256],
        }
    }
}

/// Letters in lower case, digits as they are, everything else `-`: what frameworks that map a
/// header to a variable name cannot tell apart.
const fn fold(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' | b'0'..=b'9' => byte,
        b'A'..=b'Z' => byte.to_ascii_lowercase(),
        _ => b'-',
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn drops(identity: &Identity, name: &str) -> bool {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        Stripper::new(identity, None).drops(&name)
    }

    #[test]
    fn ordinary_headers_pass() {
        let identity = Identity::default();
        for name in [
            "accept",
            "host",
            "content-type",
            "x-request-id",
            "x-account",
            "traceparent",
            "x-forwarded",
            "x-api-key",
            "authorization",
        ] {
            assert!(!drops(&identity, name), "{name}");
        }
    }

    #[test]
    fn renamed_and_switched_off_names_stay_reserved() {
        let account = Some(HeaderName::from_static("x-tenant"));
        let identity = Identity { account, key: None, ..Identity::default() };
        for name in ["x-tenant", "x-account-id", "x-key-id", "X_Tenant"] {
            assert!(drops(&identity, name), "{name}");
        }
    }

    #[test]
    fn reserved_prefixes_cover_names_of_any_length() {
        let reserved = vec![ReservedName::Prefix("X-Auth-".into())];
        let identity = Identity { reserved, ..Identity::default() };
        assert!(drops(&identity, "x-auth-user"));
        assert!(drops(&identity, &format!("X_Auth.{}", "a".repeat(100))));
        assert!(!drops(&identity, "x-author"));
    }

    proptest! {
        #[test]
        fn every_spelling_of_an_identity_header_is_dropped(
            which in 0usize..8, other in "[!#$%&'*+.^_`|~-]", upper: bool
        ) {
            let name = DEFAULTS[which].replace('-', &other);
            let name = if upper { name.to_uppercase() } else { name };
            prop_assert!(drops(&Identity::default(), &name));
        }

        #[test]
        fn the_quick_look_agrees_with_the_plain_one(name in "[a-zA-Z0-9_.-]{1,80}") {
            let stripper = Stripper::new(&Identity::default(), None);
            let folded: Vec<u8> = name.bytes().map(fold).collect();
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            prop_assert_eq!(stripper.drops(&name), stripper.matches(&folded));
        }
    }
}
