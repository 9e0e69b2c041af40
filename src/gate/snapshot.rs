//! One consistent world for one request: keys, accounts, routes, answers, generation.

use std::collections::HashSet;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use jiff::Timestamp;

use super::access::{PermissionSet, Permissions};
use super::answer::Answers;
use super::authenticate::standing;
use super::identity::{Identity, Stripper};
use super::pattern::KeyPattern;
use super::policy::{Credentials, HttpAccepts, Unmatched};
use super::prepared::Prepared;
use super::route::{RouteIndex, Routes};
use super::tokens::{Profile, Tokens, profile_header};
use super::verdict::Denial;
use crate::keys::{Access, Digester, KeyDigest, KeyId, KeyIndex, KeyPrefix, KeyStatus, KeyTable};

/// What a snapshot is made of.
#[derive(Clone, Debug)]
pub struct Parts {
    /// All keys and accounts.
    pub table: Arc<KeyTable>,
    /// How keys are hashed.
    pub digester: Digester,
    /// Of the keys that we issue.
    pub prefix: KeyPrefix,
    /// What a key looks like.
    pub pattern: KeyPattern,
    /// Of a key that does not say.
    pub default_access: Access,
    /// Which carriers are on.
    pub credentials: Credentials,
    /// What the plain listener takes.
    pub http_accepts: HttpAccepts,
    /// What the upstream is told.
    pub identity: Identity,
    /// All routes.
    pub routes: Routes,
    /// What happens to the rest.
    pub unmatched: Unmatched,
    /// What strangers are told.
    pub answers: Answers,
    /// The tokens that are minted and accepted, if they are.
    pub tokens: Option<Arc<Tokens>>,
}

/// Keys that are revoked although their records do not say so.
#[derive(Clone, Debug, Default)]
pub struct Revocations {
    keys: HashSet<KeyIndex>,
}

impl Revocations {
    /// Finds the keys of a table that are named by id or digest.
    #[must_use]
    pub fn resolve(table: &KeyTable, ids: &HashSet<KeyId>, digests: &[KeyDigest]) -> Self {
        let by_digest = digests.iter().filter_map(|digest| table.find(digest)).map(|(at, _)| at);
        let by_id = ids.iter().filter_map(|id| table.find_id(id)).map(|(at, _)| at);
        // Of a record that says so itself nothing has to be said.
        let silent = |at: &KeyIndex| {
            table.record(*at).is_some_and(|key| matches!(key.status(), KeyStatus::Active { .. }))
        };
        Self { keys: by_digest.chain(by_id).filter(silent).collect() }
    }

    /// Whether a key is one of them.
    #[must_use]
    pub fn contains(&self, index: KeyIndex) -> bool {
        !self.keys.is_empty() && self.keys.contains(&index)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// One consistent world. Immutable: a change makes the next one.
#[derive(Debug)]
pub struct Snapshot {
    parts: Parts,
    revocations: Revocations,
    stripper: Arc<Stripper>,
    needs: Vec<Needs>,
    prepared: Prepared,
}

/// The permissions of a route, by number.
#[derive(Debug, Default)]
struct Needs {
    all: Vec<usize>,
    any: Vec<usize>,
}

impl Snapshot {
    /// Prepares everything that a request would otherwise have to. With many keys that takes a
    /// while: `pause` is called every few microseconds of it, to let others run.
    #[must_use]
    pub fn new(parts: Parts, revocations: Revocations, pause: impl Fn()) -> Self {
        let carrier = parts.credentials.header.as_ref();
        let stripper = Arc::new(Stripper::new(&parts.identity, carrier));
        let mut known = Permissions::default();
        let routes = parts.routes.list().iter();
        let needs = routes.map(|route| Needs {
            all: route.permissions.iter().map(|name| known.number(name)).collect(),
            any: route.any_permission.iter().map(|name| known.number(name)).collect(),
        });
        let needs = needs.collect();
        let prepared = Prepared::new(&parts.table, &known, pause);
        Self { parts, revocations, stripper, needs, prepared }
    }

    /// The same world with more keys revoked; those that are stay so. `pause` is as in
    /// [`Snapshot::new`].
    #[must_use]
    pub fn revoking(&self, mut revocations: Revocations, pause: impl Fn()) -> Self {
        revocations.keys.extend(&self.revocations.keys);
        Self::new(self.parts.clone(), revocations, pause)
    }

    /// All keys and accounts.
    #[must_use]
    pub fn table(&self) -> &KeyTable {
        &self.parts.table
    }

    /// All routes.
    #[must_use]
    pub const fn routes(&self) -> &Routes {
        &self.parts.routes
    }

    /// What strangers are told.
    #[must_use]
    pub const fn answers(&self) -> &Answers {
        &self.parts.answers
    }

    /// Which carriers are on.
    #[must_use]
    pub const fn credentials(&self) -> &Credentials {
        &self.parts.credentials
    }

    /// The names of the identity headers.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.parts.identity
    }

    /// The tokens that are minted and accepted, if they are.
    #[must_use]
    pub fn tokens(&self) -> Option<&Tokens> {
        self.parts.tokens.as_deref()
    }

    /// What of a client's headers never travels upstream.
    #[must_use]
    pub const fn stripper(&self) -> &Arc<Stripper> {
        &self.stripper
    }

    /// What the plain listener takes.
    #[must_use]
    pub const fn http_accepts(&self) -> HttpAccepts {
        self.parts.http_accepts
    }

    /// How keys are hashed.
    #[must_use]
    pub const fn digester(&self) -> &Digester {
        &self.parts.digester
    }

    pub(super) const fn prefix(&self) -> &KeyPrefix {
        &self.parts.prefix
    }

    pub(super) const fn pattern(&self) -> &KeyPattern {
        &self.parts.pattern
    }

    pub(super) const fn default_access(&self) -> Access {
        self.parts.default_access
    }

    pub(super) const fn unmatched(&self) -> Unmatched {
        self.parts.unmatched
    }

    /// Whether a key is revoked although its record does not say so.
    #[must_use]
    pub fn is_revoked(&self, key: KeyIndex) -> bool {
        self.revocations.contains(key)
    }

    /// Every key that is revoked although its record may not say so.
    pub fn revoked(&self) -> impl Iterator<Item = KeyIndex> {
        self.revocations.keys.iter().copied()
    }

    /// Whether it revokes keys that another snapshot of the same table does not.
    #[must_use]
    pub fn revokes_more_than(&self, other: &Self) -> bool {
        !self.revocations.keys.is_subset(&other.revocations.keys)
    }

    pub(super) const fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// Whether a key has what a route asks for.
    pub(super) fn grants(&self, key: KeyIndex, route: RouteIndex) -> bool {
        let set = self.permissions(key);
        let needs = self.needs.get(route.position());
        set.zip(needs).is_some_and(|(set, needs)| {
            let any = needs.any.is_empty() || needs.any.iter().any(|&number| set.holds(number));
            any && needs.all.iter().all(|&number| set.holds(number))
        })
    }

    /// The effective permissions of a key.
    #[must_use]
    pub fn permissions(&self, key: KeyIndex) -> Option<&PermissionSet> {
        self.prepared.set(&self.parts.table, key)
    }

    /// Tells the identity headers of a key, one after the other. `write` makes a value of an id,
    /// which is visible ASCII.
    pub fn identity_of(
        &self,
        key: KeyIndex,
        profile: Option<&Profile>,
        write: impl Fn(&[u8]) -> HeaderValue,
        mut tell: impl FnMut(&HeaderName, HeaderValue),
    ) {
        let names = &self.parts.identity;
        let record = self.parts.table.record(key);
        let mut told = |name: &Option<HeaderName>, value: Option<HeaderValue>| {
            if let Some((name, value)) = name.as_ref().zip(value) {
                tell(name, value);
            }
        };
        told(&names.account, self.prepared.account(&self.parts.table, key).map(&write));
        told(&names.key, record.map(|record| write(record.id_bytes())));
        told(&names.permissions, self.permissions(key).map(|set| set.header().clone()));
        let access = record.map(|record| record.access().unwrap_or(self.parts.default_access));
        told(&names.access, access.map(|access| HeaderValue::from_static(access.as_str())));
        let kind = record.map(|record| record.kind());
        told(&names.kind, kind.map(|kind| HeaderValue::from_static(kind.as_str())));
        if let Some(profile) = profile {
            told(&names.profile, Some(profile_header(profile.id())));
            told(&names.profile_custom_id, profile.custom_id.as_deref().map(profile_header));
            told(&names.profile_email, profile.email.as_deref().map(profile_header));
        }
    }

    /// Whether a key that was let in before is still in force: for streams that it opened.
    ///
    /// # Errors
    /// Why it is not.
    pub fn still_stands(
        &self,
        id: &KeyId,
        digest: &KeyDigest,
        now: Timestamp,
    ) -> Result<(), Denial> {
        let (index, record) = self.parts.table.find(digest).ok_or(Denial::UnknownKey)?;
        if record.id_text() != id.as_str() {
            return Err(Denial::UnknownKey);
        }
        standing((index, record), self, now)
    }
}
