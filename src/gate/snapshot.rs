//! One consistent world for one request: keys, accounts, routes, answers, generation.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use jiff::Timestamp;

use super::access::{PermissionSet, Permissions, effective};
use super::answer::Answers;
use super::authenticate::standing;
use super::identity::{Identity, Stripper};
use super::pattern::KeyPattern;
use super::policy::{Credentials, HttpAccepts, Unmatched};
use super::route::{RouteIndex, Routes};
use super::tokens::{Profile, Tokens, profile_header};
use super::verdict::Denial;
use crate::keys::{Access, Digester, KeyDigest, KeyId, KeyIndex, KeyPrefix, KeyTable, Permission};

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
        let named = |record: &KeyId| !ids.is_empty() && ids.contains(record);
        let by_id = table.keys().filter(|(_, record)| named(&record.id)).map(|(at, _)| at);
        Self { keys: by_digest.chain(by_id).collect() }
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
    sets: Vec<PermissionSet>,
    prepared: Vec<Prepared>,
}

/// The permissions of a route, by number.
#[derive(Debug, Default)]
struct Needs {
    all: Vec<usize>,
    any: Vec<usize>,
}

/// What is prepared of a key: its header values and its permissions.
#[derive(Debug)]
struct Prepared {
    account: HeaderValue,
    key: HeaderValue,
    set: usize,
}

impl Snapshot {
    /// Prepares everything that a request would otherwise have to.
    #[must_use]
    pub fn new(parts: Parts, revocations: Revocations) -> Self {
        let carrier = parts.credentials.header.as_ref();
        let stripper = Arc::new(Stripper::new(&parts.identity, carrier));
        let mut known = Permissions::default();
        let routes = parts.routes.list().iter();
        let needs = routes.map(|route| Needs {
            all: route.permissions.iter().map(|name| known.number(name)).collect(),
            any: route.any_permission.iter().map(|name| known.number(name)).collect(),
        });
        let needs = needs.collect();
        let (sets, prepared) = prepare(&parts.table, &known);
        Self { parts, revocations, stripper, needs, sets, prepared }
    }

    /// The same world with more keys revoked.
    #[must_use]
    pub fn revoking(&self, revocations: Revocations) -> Self {
        Self::new(self.parts.clone(), revocations)
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
        self.prepared.get(key.position()).and_then(|prepared| self.sets.get(prepared.set))
    }

    /// The identity headers of a key, prepared at load.
    pub fn identity_of(
        &self,
        key: KeyIndex,
        profile: Option<&Profile>,
    ) -> impl Iterator<Item = (&HeaderName, HeaderValue)> {
        let names = &self.parts.identity;
        let prepared = self.prepared.get(key.position());
        let record = self.parts.table.record(key);
        let access = record.map(|record| record.access.unwrap_or(self.parts.default_access));
        let said = |id: Option<&str>| id.map(profile_header);
        let values = [
            (&names.account, prepared.map(|prepared| prepared.account.clone())),
            (&names.key, prepared.map(|prepared| prepared.key.clone())),
            (&names.permissions, self.permissions(key).map(|set| set.header().clone())),
            (&names.access, access.map(|access| HeaderValue::from_static(access.as_str()))),
            (&names.kind, record.map(|record| HeaderValue::from_static(record.kind.as_str()))),
            (&names.profile, profile.map(|profile| profile_header(profile.id()))),
            (&names.profile_custom_id, said(profile.and_then(|p| p.custom_id.as_deref()))),
            (&names.profile_email, said(profile.and_then(|p| p.email.as_deref()))),
        ];
        values.into_iter().filter_map(|(name, value)| name.as_ref().zip(value))
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
        let account = self.parts.table.account(index).ok_or(Denial::UnknownKey)?;
        if record.id != *id {
            return Err(Denial::UnknownKey);
        }
        standing(index, record, account, self, now)
    }
}

/// Keys with the same permissions share one compiled set.
fn prepare(table: &KeyTable, known: &Permissions) -> (Vec<PermissionSet>, Vec<Prepared>) {
    let mut sets = Vec::new();
    let mut numbers: HashMap<Option<Vec<Permission>>, usize> = HashMap::new();
    let mut accounts: HashMap<&str, (HeaderValue, usize)> = HashMap::new();
    let mut number = |list: Option<Vec<Permission>>, sets: &mut Vec<PermissionSet>| {
        *numbers.entry(list).or_insert_with_key(|list| {
            sets.push(PermissionSet::compile(list.clone(), known));
            sets.len() - 1
        })
    };
    for account in table.accounts() {
        let set = number(effective(None, account.permissions.as_deref()), &mut sets);
        accounts.insert(account.id.as_str(), (value(account.id.as_str()), set));
    }
    let prepared = table.keys().map(|(index, record)| {
        let account = table.account(index);
        let known = account.and_then(|account| accounts.get(account.id.as_str()));
        let set = match (&record.permissions, known) {
            (None, Some((_, set))) => *set,
            (list, _) => {
                let limit = account.and_then(|account| account.permissions.as_deref());
                number(effective(list.as_deref(), limit), &mut sets)
            }
        };
        let account = known.map_or_else(|| value(record.account.as_str()), |(v, _)| v.clone());
        Prepared { account, key: value(record.id.as_str()), set }
    });
    let prepared = prepared.collect();
    (sets, prepared)
}

/// Names are visible ASCII, so this never falls back.
fn value(name: &str) -> HeaderValue {
    HeaderValue::from_str(name).unwrap_or_else(|_| HeaderValue::from_static(""))
}
