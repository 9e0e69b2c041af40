//! Presented → principal: a key that is known, in force, and used from where it may be.

use std::hint::black_box;
use std::net::IpAddr;

use jiff::Timestamp;

use super::checks::{Check, Checks};
use super::extract::{Carrier, Presented};
use super::facts::Facts;
use super::network::holds;
use super::policy::BasicUser;
use super::snapshot::Snapshot;
use super::tokens::{Profile, is_token};
use super::verdict::Denial;
use crate::keys::{ApiKey, Key, KeyDigest, KeyIndex, KeyStatus};

/// Who it is: a proof that only this step can make.
#[derive(Debug, PartialEq, Eq)]
pub struct Principal {
    index: KeyIndex,
    profile: Option<Box<Profile>>,
}

impl Principal {
    /// The key, by its place in the snapshot that it was authenticated against.
    #[must_use]
    pub const fn key(&self) -> KeyIndex {
        self.index
    }

    /// The end user, of a profile key's token.
    #[must_use]
    pub fn profile(&self) -> Option<&Profile> {
        self.profile.as_deref()
    }
}

/// What was learnt on the way, for the record of a refusal.
#[derive(Default)]
pub(super) struct Trace {
    pub(super) key: Option<KeyIndex>,
    pub(super) bearer: bool,
    pub(super) passed: Checks,
}

pub(super) fn authenticate(
    presented: &Presented<'_>,
    facts: &Facts<'_>,
    snapshot: &Snapshot,
    now: Timestamp,
    trace: &mut Trace,
) -> Result<Principal, Denial> {
    let Some((carrier, key)) = presented.key() else { return Err(Denial::NoCredential) };
    trace.bearer = carrier == Carrier::Bearer;
    let (index, record, profile) = look_up(carrier, &key, snapshot, now)?;
    trace.key = Some(index);
    may_carry(carrier, presented.user(), record, snapshot)?;
    let admitted = admit((index, record), snapshot, facts.client, now, &mut trace.passed);
    if let Err(denial) = admitted {
        take_as_long(denial, &key, snapshot);
        return Err(denial);
    }
    Ok(Principal { index, profile })
}

/// As if a key had been presented, by a carrier that it may use.
pub(super) fn assume(
    index: KeyIndex,
    facts: &Facts<'_>,
    snapshot: &Snapshot,
    now: Timestamp,
    trace: &mut Trace,
) -> Result<Principal, Denial> {
    trace.key = Some(index);
    let record = snapshot.table().record(index).ok_or(Denial::UnknownKey)?;
    admit((index, record), snapshot, facts.client, now, &mut trace.passed)?;
    Ok(Principal { index, profile: None })
}

type Found<'s> = (KeyIndex, Key<'s>, Option<Box<Profile>>);

/// A key first, where its carrier takes keys; then a token. What arrives is always hashed and looked
/// up by digest: the work is the same for a known and an unknown key, and a stored digest that is
/// presented opens nothing.
fn look_up<'s>(
    carrier: Carrier,
    key: &ApiKey<'_>,
    snapshot: &'s Snapshot,
    now: Timestamp,
) -> Result<Found<'s>, Denial> {
    let bearer = carrier == Carrier::Bearer;
    if !bearer || snapshot.credentials().bearer {
        let digest = snapshot.digester().digest(key);
        match snapshot.table().find(&digest) {
            Some((index, record)) => return Ok((index, record, None)),
            None => pretend(carrier, &digest, snapshot, now),
        }
    }
    match snapshot.tokens().zip(key.text()) {
        Some((tokens, text)) if bearer && is_token(text.as_bytes()) => {
            let verified = tokens.verify(text, now).ok_or(Denial::InvalidToken)?;
            let (index, record) = verified.holder(snapshot).ok_or(Denial::InvalidToken)?;
            Ok((index, record, verified.into_profile().map(Box::new)))
        }
        _ => Err(classify(key, snapshot)),
    }
}

/// A key that is presented to log in: which one it is, if it is known, and its record if it is in
/// force and may come from there.
pub(super) fn log_in<'s>(
    key: &ApiKey<'_>,
    snapshot: &'s Snapshot,
    client: IpAddr,
    now: Timestamp,
) -> (Option<KeyIndex>, Result<Key<'s>, Denial>) {
    let digest = snapshot.digester().digest(key);
    let Some((index, record)) = snapshot.table().find(&digest) else {
        pretend(Carrier::Bearer, &digest, snapshot, now);
        return (None, Err(classify(key, snapshot)));
    };
    let admitted = admit((index, record), snapshot, client, now, &mut Checks::default());
    if let Err(denial) = admitted {
        take_as_long(denial, key, snapshot);
    }
    (Some(index), admitted.map(|()| record))
}

/// A key that is known: is it in force, is its account, and may it come from there?
pub(super) fn admit(
    (index, record): (KeyIndex, Key<'_>),
    snapshot: &Snapshot,
    client: IpAddr,
    now: Timestamp,
    passed: &mut Checks,
) -> Result<(), Denial> {
    match standing((index, record), snapshot, now) {
        Err(Denial::AccountDisabled) => {
            passed.pass(Check::Key);
            return Err(Denial::AccountDisabled);
        }
        standing => standing?,
    }
    passed.pass(Check::Key);
    passed.pass(Check::AccountStatus);
    if !record.ips().is_empty() {
        if !holds(record.ips(), client) {
            return Err(Denial::IpNotAllowed);
        }
        passed.pass(Check::Address);
    }
    Ok(())
}

/// A key that is known and refused like one that is not: what is asked of that one is asked of it
/// too, so that both take as long.
fn take_as_long(denial: Denial, key: &ApiKey<'_>, snapshot: &Snapshot) {
    if denial.stranger_name() != denial.name() {
        black_box(classify(key, snapshot));
    }
}

/// And a key that is not known: what is asked of one that is, is asked of a decoy.
fn pretend(carrier: Carrier, digest: &KeyDigest, snapshot: &Snapshot, now: Timestamp) {
    let Some((index, record)) = snapshot.table().decoy(digest) else { return };
    black_box(record.digest().matches(digest));
    let _ = black_box(may_carry(carrier, None, record, snapshot));
    let _ = black_box(standing((index, record), snapshot, now));
}

/// Only what matches nothing is told apart.
fn classify(key: &ApiKey<'_>, snapshot: &Snapshot) -> Denial {
    match snapshot.prefix().mistyped(key) || !snapshot.pattern().fits(key) {
        true => Denial::MalformedKey,
        false => Denial::UnknownKey,
    }
}

fn may_carry(
    carrier: Carrier,
    user: Option<&[u8]>,
    record: Key<'_>,
    snapshot: &Snapshot,
) -> Result<(), Denial> {
    let Carrier::Basic = carrier else { return Ok(()) };
    let allowed = match &snapshot.credentials().basic {
        Some(BasicUser::Fixed(_)) => record.basic().unwrap_or(true),
        Some(BasicUser::Account) if user != Some(record.account().as_str().as_bytes()) => {
            return Err(Denial::MalformedCredential);
        }
        Some(BasicUser::Account) => record.basic().unwrap_or(false),
        None => false,
    };
    if allowed { Ok(()) } else { Err(Denial::CredentialNotAllowed) }
}

/// Whether a key and its account are in force at an instant.
pub(super) fn standing(
    (index, record): (KeyIndex, Key<'_>),
    snapshot: &Snapshot,
    now: Timestamp,
) -> Result<(), Denial> {
    match record.status() {
        KeyStatus::Revoked { .. } => Err(Denial::RevokedKey),
        KeyStatus::Active { .. } if snapshot.revocations().contains(index) => {
            Err(Denial::RevokedKey)
        }
        KeyStatus::Active { until: Some(until) } if now >= until => Err(Denial::ExpiredKey),
        KeyStatus::Active { .. } if record.is_disabled() => Err(Denial::AccountDisabled),
        KeyStatus::Active { .. } => Ok(()),
    }
}
