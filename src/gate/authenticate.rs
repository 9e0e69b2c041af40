//! Presented → principal: a key that is known, in force, and used from where it may be.

use jiff::Timestamp;

use super::extract::{Carrier, Presented};
use super::facts::Facts;
use super::network::holds;
use super::policy::BasicUser;
use super::snapshot::Snapshot;
use super::verdict::Denial;
use crate::keys::{Account, ApiKey, KeyIndex, KeyRecord, KeyStatus};

/// Who it is: a proof that only this step can make.
#[derive(Debug, PartialEq, Eq)]
pub struct Principal {
    index: KeyIndex,
}

impl Principal {
    /// The key, by its place in the snapshot that it was authenticated against.
    #[must_use]
    pub const fn key(&self) -> KeyIndex {
        self.index
    }
}

/// What was learnt on the way, for the record of a refusal.
#[derive(Default)]
pub(super) struct Trace {
    pub(super) key: Option<KeyIndex>,
    pub(super) bearer: bool,
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
    // Hash first, then look up by digest: the work is the same for a known and an unknown key,
    // and a stored digest that is presented is hashed like anything else.
    let digest = snapshot.digester().digest(&key);
    let Some((index, record)) = snapshot.table().find(&digest) else {
        return Err(classify(&key, snapshot));
    };
    trace.key = Some(index);
    let account = snapshot.table().account(index).ok_or(Denial::UnknownKey)?;
    may_carry(carrier, presented.user(), record, account, snapshot)?;
    standing(index, record, account, snapshot, now)?;
    match record.ips.is_empty() || holds(&record.ips, facts.client) {
        true => Ok(Principal { index }),
        false => Err(Denial::IpNotAllowed),
    }
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
    record: &KeyRecord,
    account: &Account,
    snapshot: &Snapshot,
) -> Result<(), Denial> {
    let Carrier::Basic = carrier else { return Ok(()) };
    let allowed = match &snapshot.credentials().basic {
        Some(BasicUser::Fixed(_)) => record.basic.unwrap_or(true),
        Some(BasicUser::Account) if user != Some(account.id.as_str().as_bytes()) => {
            return Err(Denial::MalformedCredential);
        }
        Some(BasicUser::Account) => record.basic.unwrap_or(false),
        None => false,
    };
    if allowed { Ok(()) } else { Err(Denial::CredentialNotAllowed) }
}

/// Whether a key and its account are in force at an instant.
pub(super) fn standing(
    index: KeyIndex,
    record: &KeyRecord,
    account: &Account,
    snapshot: &Snapshot,
    now: Timestamp,
) -> Result<(), Denial> {
    match record.status {
        KeyStatus::Revoked { .. } => Err(Denial::RevokedKey),
        KeyStatus::Active { .. } if snapshot.revocations().contains(index) => {
            Err(Denial::RevokedKey)
        }
        KeyStatus::Active { until: Some(until) } if now >= until => Err(Denial::ExpiredKey),
        KeyStatus::Active { .. } if account.disabled => Err(Denial::AccountDisabled),
        KeyStatus::Active { .. } => Ok(()),
    }
}
